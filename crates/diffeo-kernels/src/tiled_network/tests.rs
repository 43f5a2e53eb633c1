//! What is expected of every network on tiles: its kernels agree with tensor primitives, bits do not depend on the machine, and nothing overflows.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::ops::tiled_network;
use crate::to_tiles;

/// More than a tile, and not a whole number of them.
pub(crate) const ROWS: usize = TILE_ROWS + 5;

/// Numbers that look random.
pub(crate) fn numbers(n: usize, phase: f64, size: f64) -> Vec<f64> {
    (0..n).map(|i| size * ((i * i) as f64 * 0.37 + i as f64 * 1.3 + phase).sin()).collect()
}

pub(crate) fn total<N: TiledNetwork>(network: &N) -> usize {
    network.parts().last().unwrap().place.end
}

pub(crate) fn tensor(values: Vec<f64>, shape: [usize; 2], dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

pub(crate) fn host(t: Tensor<2>) -> Vec<f64> {
    t.cast(DType::F64).into_data().try_to_vec().unwrap()
}

/// Rows, flat weights and a context.
pub(crate) fn inputs<N: TiledNetwork>(
    network: &N,
    dtype: DType,
) -> (Tensor<2>, Tensor<2>, Option<Tensor<2>>) {
    let NetworkWidths { inputs, context, .. } = network.widths();
    let x = tensor(numbers(ROWS * inputs, 0.3, 2.0), [ROWS, inputs], dtype);
    let weights = tensor(numbers(total(network), 0.9, 0.6), [1, total(network)], dtype);
    let given = tensor(numbers(ROWS * context, 0.7, 1.5), [ROWS, context], dtype);
    (x, weights, (context > 0).then_some(given))
}

/// Parameters, and the gradients of a loss by rows, weights and context.
pub(crate) fn outcome<N: TiledNetwork>(network: &Arc<Buffered<N>>, fused: bool) -> Vec<Vec<f64>> {
    let (x, weights, context) = inputs(&***network, DType::F64);
    let leaf = |t: Tensor<2>| t.autodiff().require_grad();
    let (x, weights, context) = (leaf(x), leaf(weights), context.map(leaf));
    let params = match fused {
        true => tiled_network(network, x.clone(), weights.clone(), context.as_ref()),
        false => network.composed(x.clone(), &weights, context.as_ref()),
    };
    let [n, outputs] = params.dims();
    let factors = tensor(numbers(n * outputs, 0.1, 1.0), [n, outputs], DType::F64);
    let gradients = (params.clone() * factors).sum().backward();
    let of = |leaf: &Tensor<2>| {
        host(leaf.grad(&gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like()))
    };
    let leaves = [x, weights].into_iter().chain(context);
    std::iter::once(host(params.inner())).chain(leaves.map(|leaf| of(&leaf))).collect()
}

pub(crate) fn paths_agree<N: TiledNetwork>(network: N) {
    let network = Arc::new(Buffered::new(network));
    let [fused, composed] = [true, false].map(|fused| outcome(&network, fused));
    for (what, (fused, composed)) in fused.iter().zip(&composed).enumerate() {
        assert_eq!(fused.len(), composed.len());
        let largest = composed.iter().fold(1.0f64, |largest, v| largest.max(v.abs()));
        for (i, (a, b)) in fused.iter().zip(composed).enumerate() {
            assert!((a - b).abs() < 1e-12 * largest, "{network:?}: {what}[{i}]: {a} {b}");
        }
    }
}

/// The parameters of a tile and the gradients by rows and weights, of weights and rows of these sizes.
pub(crate) fn run<N: TiledNetwork, T: Real>(network: &N, [weight, size]: [f64; 2]) -> Vec<T> {
    let widths = network.widths();
    let of = |values: Vec<f64>| values.into_iter().map(T::from_f64).collect::<Vec<T>>();
    let flat = of(numbers(total(network), 0.2, weight));
    let tile = |width: usize, phase: f64| {
        let mut tiles = vec![T::ZERO; width * TILE_ROWS];
        to_tiles(&of(numbers(TILE_ROWS * width, phase, size)), width, &mut tiles);
        tiles
    };
    let (x, context) = (tile(widths.inputs, 0.5), tile(widths.context, 0.8));
    let mut packed = vec![Aligned::default(); network.packed()];
    network.pack(&flat, &mut packed);
    let weights = NetworkWeights { flat: &flat, packed: &packed };
    let rows = RowTile { x: &x, context: &context };
    let mut memory: Vec<Aligned<T>> = network.memory().into_iter().map(Aligned::zeros).collect();
    let mut work = N::Work::default();
    let mut params = vec![T::ZERO; widths.outputs * TILE_ROWS];
    network.forward(weights, rows, &mut memory, &mut work, &mut params);
    let forward = params.clone();
    network.repeat(weights, rows, &mut memory, &mut work, &mut params);
    assert!(
        params.iter().zip(&forward).all(|(a, b)| a == b || a.to_f64().is_nan()),
        "a repetition differs"
    );
    let mut by_params = of(numbers(params.len(), 0.4, 1.0));
    let (mut by_x, mut by_context) = (x.clone(), context.clone());
    let mut by_weights = vec![T::ZERO; flat.len()];
    let to = NetworkGradients { x: &mut by_x, context: &mut by_context, weights: &mut by_weights };
    network.backward(weights, rows, &memory, &mut work, &mut by_params, to);
    [params, by_x, by_context, by_weights].concat()
}

/// Whether every instruction set gives the same bits.
pub(crate) fn same_bits_at_each_level<N: TiledNetwork>(network: &N) {
    let single = at_each_level(|| format!("{:?}", run::<N, f32>(network, [0.6, 2.0])));
    assert!(single.iter().all(|found| *found == single[0]));
    let double = at_each_level(|| format!("{:?}", run::<N, f64>(network, [0.6, 2.0])));
    assert!(double.iter().all(|found| *found == double[0]));
}

/// Far rows and absurd weights give numbers.
pub(crate) fn stays_finite<N: TiledNetwork>(network: &N) {
    let params = network.widths().outputs * TILE_ROWS;
    for sizes in [[0.6, 1e38], [1e4, 2.0], [1e4, 1e38]] {
        let found = run::<N, f32>(network, sizes);
        assert!(found[..params].iter().all(|v| v.is_finite()), "{sizes:?}: parameters");
        let ordinary = sizes[0] < 1.0;
        assert!(!ordinary || found.iter().all(|v| v.is_finite()), "{sizes:?}: gradients");
    }
}
