//! What is expected of a network that reads waveforms.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::*;
use crate::Buffered;
use crate::ops::tiled_network;
use crate::tiled_network::tests::{
    ROWS, host, inputs, numbers, paths_agree, same_bits_at_each_level, stays_finite, tensor, total,
};

fn network(length: usize, order: Order, frames: Option<Frames>, sizes: [usize; 2]) -> WaveNet {
    WaveNet::new(WaveNetShape { length, order, frames, outputs: sizes[1] }, sizes[0])
}

fn sequence(window: usize, dilations: &[usize]) -> Order {
    Order::Sequence { window, dilations: dilations.to_vec() }
}

fn lines(height: usize, dilations: &[[usize; 2]]) -> Order {
    Order::Lines { height, dilations: dilations.to_vec() }
}

/// Of one sample and of more than a block, filters that reach before the start, without and with frames, in sequence and as lines.
fn networks() -> Vec<WaveNet> {
    let frames = |[count, numbers, samples]: [usize; 3]| Some(Frames { count, numbers, samples });
    vec![
        network(1, sequence(1, &[1]), None, [1, 1]),
        network(9, sequence(3, &[1, 2, 16]), None, [3, 2]),
        network(70, sequence(5, &[4, 1]), frames([4, 2, 20]), [2, 2]),
        network(6, sequence(2, &[1, 2]), frames([1, 35, 6]), [13, 34]),
        network(12, lines(3, &[[1, 1], [2, 3]]), None, [3, 2]),
        network(20, lines(4, &[[1, 1], [1, 2], [1, 4]]), frames([3, 2, 2]), [4, 2]),
    ]
}

#[test]
fn kernels_and_tensor_primitives_agree_and_so_do_their_gradients() {
    networks().into_iter().for_each(paths_agree);
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    networks().iter().for_each(same_bits_at_each_level);
}

#[test]
fn far_samples_and_absurd_weights_give_numbers() {
    networks().iter().for_each(stays_finite);
}

/// Which outputs change when a sample does.
fn reached(network: WaveNet, sample: usize) -> Vec<bool> {
    let length = network.shape.length;
    let network = Arc::new(Buffered::new(network));
    let (x, weights, _) = inputs(&**network, DType::F64);
    let out = |x| host(tiled_network(&network, x, weights.clone(), None));
    let (before, mut values) = (out(x.clone()), host(x));
    values.chunks_mut(length).for_each(|row| row[sample] += 1.0);
    let after: Tensor<2> = tensor(values, [ROWS, length], DType::F64);
    before.iter().zip(out(after)).map(|(a, b)| *a != b).take(length).collect()
}

#[test]
fn a_sample_is_seen_by_those_behind_it_as_far_as_filters_reach() {
    let found = reached(network(20, sequence(2, &[1, 4]), None, [3, 1]), 5);
    // By the first filter one or two samples later, by the layers none or one and none or four.
    let later: Vec<usize> = found.iter().enumerate().filter(|f| *f.1).map(|f| f.0).collect();
    assert_eq!(later, [6, 7, 8, 10, 11, 12]);
}

#[test]
fn a_sample_of_a_line_is_seen_by_lines_below() {
    let found = reached(network(4 * 9, lines(4, &[[1, 1], [1, 2]]), None, [6, 1]), 9 + 4);
    for (p, found) in found.into_iter().enumerate() {
        let (line, at) = (p / 9, p % 9);
        assert_eq!(found, line > 1 && at.abs_diff(4) <= 4, "{line} {at}");
    }
}

#[test]
fn sample_by_sample_gives_the_bits_of_the_whole() {
    for network in networks() {
        if !matches!(network.shape.order, Order::Sequence { .. }) {
            continue;
        }
        let NetworkWidths { inputs, context, outputs } = network.widths();
        let of = |n: usize, phase: f64| -> Vec<f32> {
            numbers(n * TILE_ROWS, phase, 1.5).into_iter().map(|v| v as f32).collect()
        };
        let (x, context) = (of(inputs, 0.3), of(context, 0.8));
        let flat: Vec<f32> =
            numbers(total(&network), 0.2, 0.6).into_iter().map(|v| v as f32).collect();
        let mut packed = vec![Aligned::default(); network.packed()];
        network.pack(&flat, &mut packed);
        let weights = NetworkWeights { flat: &flat, packed: &packed };
        let (mut work, mut whole) = (WaveNetWork::default(), vec![0.0f32; outputs * TILE_ROWS]);
        let tile = RowTile { x: &x, context: &context };
        network.forward(weights, tile, &mut [], &mut work, &mut whole);
        let mut stream = WaveNetStream::new(&network, weights, &context);
        let samples = x.chunks_exact(TILE_ROWS);
        for (x, whole) in samples.zip(whole.chunks_exact(network.shape.outputs * TILE_ROWS)) {
            let mut out = vec![0.0; whole.len()];
            stream.step(weights, &mut out, |_, to| to.copy_from_slice(x));
            assert_eq!(out, whole, "{network:?}");
        }
    }
}

#[test]
fn line_by_line_gives_the_numbers_of_the_whole() {
    for network in networks() {
        let Order::Lines { height, .. } = network.shape.order else { continue };
        let NetworkWidths { inputs, context, outputs } = network.widths();
        let (x, context) =
            (numbers(inputs * TILE_ROWS, 0.3, 1.5), numbers(context * TILE_ROWS, 0.8, 1.5));
        let flat = numbers(total(&network), 0.2, 0.6);
        let mut packed = vec![Aligned::default(); network.packed()];
        network.pack(&flat, &mut packed);
        let weights = NetworkWeights { flat: &flat, packed: &packed };
        let (mut work, mut whole) = (WaveNetWork::default(), vec![0.0; outputs * TILE_ROWS]);
        let tile = RowTile { x: &x, context: &context };
        network.forward(weights, tile, &mut [], &mut work, &mut whole);
        let mut lines = WaveNetLines::new(&network, weights, &context);
        let samples = x.chunks_exact(x.len() / height);
        for (x, whole) in samples.zip(whole.chunks_exact(whole.len() / height)) {
            let mut out = vec![0.0; whole.len()];
            lines.step(weights, &mut out, |_, to| to.copy_from_slice(x));
            assert_eq!(out, whole, "{network:?}");
        }
    }
}

#[test]
fn frames_are_seen_by_their_shares() {
    let frames = Frames { count: 3, numbers: 1, samples: 4 };
    let found: Vec<_> = (0..12).map(|at| frames.around(at)).collect();
    assert_eq!(found[0], ([0, 1], 0.0));
    assert_eq!(found[3], ([0, 1], 0.375));
    assert_eq!(found[4], ([0, 1], 0.625));
    assert_eq!(found[11].0, [2, 2]);
}

/// The gradient by the samples, with weights that are trained and with weights that are given.
#[test]
fn given_weights_change_no_other_gradient() {
    for network in networks() {
        let network = Arc::new(Buffered::new(network));
        let (x, weights, context) = inputs(&**network, DType::F64);
        let by_x = |weights: Tensor<2>| {
            let x = x.clone().autodiff().require_grad();
            let context = context.clone().map(Tensor::autodiff);
            let out = tiled_network(&network, x.clone(), weights, context.as_ref());
            host(x.grad(&out.square().sum().backward()).unwrap())
        };
        let trained = by_x(weights.clone().autodiff().require_grad());
        assert_eq!(trained, by_x(weights.clone().autodiff()));
    }
}
