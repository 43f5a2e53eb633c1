//! What is expected of a network that reads images.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::*;
use crate::Buffered;
use crate::ops::tiled_network;
use crate::tiled_network::tests::{
    ROWS, host, inputs, paths_agree, same_bits_at_each_level, stays_finite, tensor,
};

/// Images of one pixel, of a line, narrow and wide ones, without and with a context, which is an image in part or as a whole.
fn networks() -> Vec<Convolutional> {
    let of = |[height, width, inputs, context, outputs]: [usize; 5], sizes| {
        let shape = ConvolutionShape { height, width, inputs, context, given: None, outputs };
        Convolutional::new(shape, sizes)
    };
    let given = |[height, width, rest]: [usize; 3], [factor, channels]: [usize; 2]| {
        let context = height * width * factor * factor * channels + rest;
        let given = Some(GivenImage { factor, channels });
        let shape = ConvolutionShape { height, width, inputs: 2, context, given, outputs: 3 };
        Convolutional::new(shape, [6, 2, 0])
    };
    vec![
        of([1, 1, 1, 0, 1], [2, 1, 0]),
        of([1, 4, 2, 1, 3], [4, 1, 2]),
        of([5, 1, 1, 0, 2], [3, 2, 0]),
        of([3, 4, 2, 3, 5], [6, 2, 0]),
        of([4, 3, 1, 2, 34], [6, 2, 3]),
        of([3, 3, 35, 0, 2], [14, 1, 1]),
        given([3, 2, 0], [1, 2]),
        given([2, 3, 2], [2, 3]),
    ]
}

#[test]
fn kernels_and_tensor_primitives_agree_and_so_do_their_gradients() {
    networks().into_iter().for_each(paths_agree);
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    networks().iter().skip(3).for_each(same_bits_at_each_level);
}

#[test]
fn far_rows_and_absurd_weights_give_numbers() {
    networks().iter().skip(3).for_each(stays_finite);
}

/// Without attention, a pixel is seen as far as the filters reach, and no farther.
#[test]
fn a_pixel_is_seen_by_its_neighbours() {
    let shape =
        ConvolutionShape { height: 5, width: 7, inputs: 1, context: 0, given: None, outputs: 1 };
    let network = Arc::new(Buffered::new(Convolutional::new(shape, [4, 1, 0])));
    let (x, weights, _) = inputs(&**network, DType::F64);
    let out = |x| host(tiled_network(&network, x, weights.clone(), None));
    let (before, mut values) = (out(x.clone()), host(x));
    values.chunks_mut(35).for_each(|row| row[2 * 7 + 1] += 1.0);
    let after: Tensor<2> = tensor(values, [ROWS, 35], DType::F64);
    for (i, (a, b)) in before.iter().zip(out(after)).enumerate() {
        let (line, pixel) = (i % 35 / 7, i % 7);
        // An entry and a block reach one pixel each.
        let reached = line.abs_diff(2) <= 2 && pixel.abs_diff(1) <= 2;
        assert_eq!(*a != b, reached, "{line} {pixel}");
    }
}

/// A square of a given image is seen by its pixel and by those that the filters of the blocks reach from there, what is behind the image by all.
#[test]
fn a_given_image_is_seen_where_it_lies() {
    let given = Some(GivenImage { factor: 2, channels: 1 });
    let shape = ConvolutionShape { height: 4, width: 5, inputs: 1, context: 81, given, outputs: 1 };
    let network = Arc::new(Buffered::new(Convolutional::new(shape, [4, 1, 0])));
    let (x, weights, context) = inputs(&**network, DType::F64);
    let context = host(context.unwrap());
    let out = |context: Vec<f64>| {
        let context = tensor(context, [ROWS, 81], DType::F64);
        host(tiled_network(&network, x.clone(), weights.clone(), Some(&context)))
    };
    let before = out(context.clone());
    // Line 5 of the given image lies in line 2 of the other, its pixel 8 in pixel 4.
    for (number, line, pixel) in [(5 * 10 + 8, 2, 4), (0, 0, 0), (80, 9, 9)] {
        let mut changed = context.clone();
        changed.chunks_mut(81).for_each(|row| row[number] += 1.0);
        for (i, (a, b)) in before.iter().zip(out(changed)).enumerate() {
            let (l, p) = (i % 20 / 5, i % 5);
            let reached = number == 80 || l.abs_diff(line) <= 1 && p.abs_diff(pixel) <= 1;
            assert_eq!(*a != b, reached, "{number}: {l} {p}");
        }
    }
}
