//! What the order of columns promises.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::*;
use crate::Buffered;
use crate::ops::{SequenceSampler, tiled_network};
use crate::tiled_network::tests::{
    ROWS, host, inputs, paths_agree, same_bits_at_each_level, stays_finite, tensor,
};

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
        let whole = host(tiled_network(&network, x.clone(), weights, context.as_ref()));
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
    let params = |x| host(tiled_network(&network, x, weights.clone(), context.as_ref()));
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

#[test]
fn kernels_and_tensor_primitives_agree_and_so_do_their_gradients() {
    for shape in shapes() {
        paths_agree(transformer(shape));
        paths_agree(recurrent(shape));
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    same_bits_at_each_level(&transformer(shapes()[3]));
    same_bits_at_each_level(&recurrent(shapes()[3]));
}

#[test]
fn far_rows_and_absurd_weights_give_numbers() {
    stays_finite(&transformer(shapes()[3]));
    stays_finite(&recurrent(shapes()[3]));
}
