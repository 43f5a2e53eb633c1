//! What is expected of a network that reads images.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::*;
use crate::Buffered;
use crate::ops::tiled_network;
use crate::tiled_network::tests::{
    ROWS, host, inputs, paths_agree, same_bits_at_each_level, stays_finite, tensor,
};

/// Images of one pixel, of a line, narrow and wide ones, without and with a context.
fn networks() -> Vec<Convolutional> {
    let of = |[height, width, inputs, context, outputs]: [usize; 5], sizes| {
        let shape = ConvolutionShape { height, width, inputs, context, outputs };
        Convolutional::new(shape, sizes)
    };
    vec![
        of([1, 1, 1, 0, 1], [2, 1, 0]),
        of([1, 4, 2, 1, 3], [4, 1, 2]),
        of([5, 1, 1, 0, 2], [3, 2, 0]),
        of([3, 4, 2, 3, 5], [6, 2, 0]),
        of([4, 3, 1, 2, 34], [6, 2, 3]),
        of([3, 3, 35, 0, 2], [14, 1, 1]),
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
    let shape = ConvolutionShape { height: 5, width: 7, inputs: 1, context: 0, outputs: 1 };
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
