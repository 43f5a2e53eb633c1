//! The kernels against tensor primitives, and what the order of columns promises.

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::ops::{SequenceSampler, sequence};
use crate::tiles::TILE_ROWS;
use crate::to_tiles;

/// More than a tile, and not a whole number of them.
const ROWS: usize = TILE_ROWS + 5;

fn shapes() -> Vec<SequenceShape> {
    let of = |(dims, group, context)| SequenceShape {
        dims,
        group,
        context,
        per_column: 3,
        alike: false,
    };
    let own = [(1, 1, 0), (1, 1, 2), (2, 1, 0), (5, 1, 3), (5, 2, 0), (4, 2, 1), (3, 3, 2)].map(of);
    let alike = [(1, 1, 2), (5, 1, 0), (6, 2, 1), (3, 3, 2)].map(of);
    let alike = alike.map(|shape| SequenceShape { alike: true, ..shape });
    own.into_iter().chain(alike).collect()
}

fn transformer(shape: SequenceShape) -> Transformer {
    Transformer::new(shape, [6, 2, 7, 2])
}

fn recurrent(shape: SequenceShape) -> Recurrent {
    Recurrent::new(shape, 7)
}

/// Numbers that look random.
fn numbers(n: usize, phase: f64, size: f64) -> Vec<f64> {
    (0..n).map(|i| size * ((i * i) as f64 * 0.37 + i as f64 * 1.3 + phase).sin()).collect()
}

fn total<N: SequenceNetwork>(network: &N) -> usize {
    network.parts().last().unwrap().place.end
}

fn tensor(values: Vec<f64>, shape: [usize; 2], dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

fn host(t: Tensor<2>) -> Vec<f64> {
    t.cast(DType::F64).into_data().try_to_vec().unwrap()
}

/// Rows, flat weights and a context.
fn inputs<N: SequenceNetwork>(
    network: &N,
    dtype: DType,
) -> (Tensor<2>, Tensor<2>, Option<Tensor<2>>) {
    let SequenceShape { dims, context, .. } = *network.shape();
    let x = tensor(numbers(ROWS * dims, 0.3, 2.0), [ROWS, dims], dtype);
    let weights = tensor(numbers(total(network), 0.9, 0.6), [1, total(network)], dtype);
    let given = tensor(numbers(ROWS * context, 0.7, 1.5), [ROWS, context], dtype);
    (x, weights, (context > 0).then_some(given))
}

/// Parameters, and the gradients of a loss by rows, weights and context.
fn outcome<N: SequenceNetwork>(network: &Arc<Buffered<N>>, fused: bool) -> Vec<Vec<f64>> {
    let (x, weights, context) = inputs(&***network, DType::F64);
    let leaf = |t: Tensor<2>| t.autodiff().require_grad();
    let (x, weights, context) = (leaf(x), leaf(weights), context.map(leaf));
    let params = match fused {
        true => sequence(network, x.clone(), weights.clone(), context.as_ref()),
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

fn paths_agree<N: SequenceNetwork>(network: N) {
    let network = Arc::new(Buffered::new(network));
    let [fused, composed] = [true, false].map(|fused| outcome(&network, fused));
    for (what, (fused, composed)) in fused.iter().zip(&composed).enumerate() {
        assert_eq!(fused.len(), composed.len());
        let largest = composed.iter().fold(1.0f64, |largest, v| largest.max(v.abs()));
        for (i, (a, b)) in fused.iter().zip(composed).enumerate() {
            let shape = network.shape();
            assert!((a - b).abs() < 1e-12 * largest, "{shape:?}: {what}[{i}]: {a} {b}");
        }
    }
}

#[test]
fn kernels_and_tensor_primitives_agree_and_so_do_their_gradients() {
    for shape in shapes() {
        paths_agree(transformer(shape));
        paths_agree(recurrent(shape));
    }
}

/// The parameters of all levels of the rows, read level by level.
fn stepped<N: SequenceNetwork>(
    network: &Arc<Buffered<N>>,
    x: &Tensor<2>,
    dtype: DType,
) -> Vec<f64> {
    let (_, weights, context) = inputs(&***network, dtype);
    let sampler = SequenceSampler::new(network, &weights).unwrap();
    let mut reader = sampler.read(x, context.as_ref()).unwrap();
    let levels = network.shape().levels();
    let step = |level: usize| {
        let before = (level > 0).then(|| {
            let columns = network.shape().columns(level - 1);
            x.clone().narrow(1, columns.start, columns.len())
        });
        reader.next(before.as_ref()).unwrap()
    };
    host(Tensor::cat((0..levels).map(step).collect(), 1))
}

fn levels_have_the_bits_of_the_whole<N: SequenceNetwork>(network: N) {
    let network = Arc::new(Buffered::new(network));
    for dtype in [DType::F32, DType::F64] {
        let (x, weights, context) = inputs(&**network, dtype);
        let whole = host(sequence(&network, x.clone(), weights, context.as_ref()));
        assert_eq!(stepped(&network, &x, dtype), whole, "{:?} {dtype:?}", network.shape());
    }
}

#[test]
fn level_by_level_parameters_have_the_bits_of_the_whole_pass() {
    for shape in shapes() {
        levels_have_the_bits_of_the_whole(transformer(shape));
        levels_have_the_bits_of_the_whole(recurrent(shape));
    }
}

#[test]
fn a_reader_refuses_what_a_gradient_is_wanted_of() {
    let network = Arc::new(Buffered::new(transformer(shapes()[2])));
    let (x, weights, _) = inputs(&**network, DType::F64);
    assert!(SequenceSampler::new(&network, &weights.clone().autodiff().require_grad()).is_none());
    let sampler = SequenceSampler::new(&network, &weights).unwrap();
    assert!(sampler.read(&x.clone().autodiff().require_grad(), None).is_none());
    assert!(sampler.read(&x.clone().cast(DType::F32), None).is_none());
    let mut reader = sampler.read(&x, None).unwrap();
    reader.next(None).unwrap();
    let solved = x.narrow(1, 0, 1);
    assert!(reader.next(Some(&solved.clone().autodiff().require_grad())).is_none());
    assert!(reader.next(Some(&solved)).is_some());
}

/// A column that changes, to whatever it may be, changes no parameter of its own token or of an earlier one, and does change later ones.
fn nothing_looks_ahead<N: SequenceNetwork>(network: N) {
    let network = Arc::new(Buffered::new(network));
    let SequenceShape { dims, group, per_column, .. } = *network.shape();
    let (x, weights, context) = inputs(&**network, DType::F64);
    let params = |x| host(sequence(&network, x, weights.clone(), context.as_ref()));
    let before = params(x.clone());
    for (column, value) in (0..dims).flat_map(|j| [0.7, 1e30, f64::NAN].map(|v| (j, v))) {
        let mut values = host(x.clone());
        values.chunks_mut(dims).for_each(|row| row[column] = value);
        let after = params(tensor(values, [ROWS, dims], DType::F64));
        let end = dims.min((column / group + 1) * group) * per_column;
        let rows = before.chunks(dims * per_column).zip(after.chunks(dims * per_column));
        for (before, after) in rows {
            assert_eq!(before[..end], after[..end], "{:?}: {column}", network.shape());
            let differ = before[end..].iter().zip(&after[end..]).all(|(a, b)| a != b);
            assert!(differ, "{:?}: {column} is not seen", network.shape());
        }
    }
}

#[test]
fn no_column_is_seen_by_itself_or_before_it() {
    for shape in shapes() {
        nothing_looks_ahead(transformer(shape));
        nothing_looks_ahead(recurrent(shape));
    }
}

/// The parameters of a tile and the gradients by rows and weights, of weights and rows of these sizes.
fn run<N: SequenceNetwork, T: Real>(network: &N, [weight, size]: [f64; 2]) -> Vec<T> {
    let shape = *network.shape();
    let of = |values: Vec<f64>| values.into_iter().map(T::from_f64).collect::<Vec<T>>();
    let flat = of(numbers(total(network), 0.2, weight));
    let tile = |width: usize, phase: f64| {
        let mut tiles = vec![T::ZERO; width * TILE_ROWS];
        to_tiles(&of(numbers(TILE_ROWS * width, phase, size)), width, &mut tiles);
        tiles
    };
    let (x, context) = (tile(shape.dims, 0.5), tile(shape.context, 0.8));
    let mut packed = vec![Aligned::default(); network.packed()];
    network.pack(&flat, &mut packed);
    let weights = SequenceWeights { flat: &flat, packed: &packed };
    let rows = SequenceTile { x: &x, context: &context };
    let mut memory: Vec<Aligned<T>> = network.memory().into_iter().map(Aligned::zeros).collect();
    let (mut work, levels) = (N::Work::default(), 0..shape.levels());
    let mut params = vec![T::ZERO; shape.dims * shape.per_column * TILE_ROWS];
    network.forward(weights, rows, levels, &mut memory, &mut work, &mut params);
    let mut by_params = of(numbers(params.len(), 0.4, 1.0));
    let (mut by_x, mut by_context) = (x.clone(), context.clone());
    let mut by_weights = vec![T::ZERO; flat.len()];
    let to = SequenceGradients { x: &mut by_x, context: &mut by_context, weights: &mut by_weights };
    network.backward(weights, rows, &memory, &mut work, &mut by_params, to);
    [params, by_x, by_context, by_weights].concat()
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    fn same<N: SequenceNetwork>(network: &N) {
        let single = at_each_level(|| format!("{:?}", run::<N, f32>(network, [0.6, 2.0])));
        assert!(single.iter().all(|found| *found == single[0]));
        let double = at_each_level(|| format!("{:?}", run::<N, f64>(network, [0.6, 2.0])));
        assert!(double.iter().all(|found| *found == double[0]));
    }
    same(&transformer(shapes()[3]));
    same(&recurrent(shapes()[3]));
}

#[test]
fn far_rows_and_absurd_weights_give_numbers() {
    fn finite<N: SequenceNetwork>(network: &N) {
        let params = network.shape().dims * network.shape().per_column * TILE_ROWS;
        for sizes in [[0.6, 1e38], [1e4, 2.0], [1e4, 1e38]] {
            let found = run::<N, f32>(network, sizes);
            assert!(found[..params].iter().all(|v| v.is_finite()), "{sizes:?}: parameters");
            let ordinary = sizes[0] < 1.0;
            assert!(!ordinary || found.iter().all(|v| v.is_finite()), "{sizes:?}: gradients");
        }
    }
    finite(&transformer(shapes()[3]));
    finite(&recurrent(shapes()[3]));
}
