//! What several test programs need: tensors from plain numbers, and flows with weights far from their start.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of this")]

pub(crate) mod integral;

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
pub(crate) use diffeo::laws::{host, randomised, tensor, tensor_as, tracked};
use diffeo::monotone::{DescribeMap, Monotone};
use diffeo::{
    Column, ColumnKind, Flow, FlowSpec, Init, LayerSpec, Model, Precision, Purpose, Rows, Schema,
    Streams, normal,
};

/// A scalar map, ready to be applied.
pub(crate) fn scalar_map(map: impl DescribeMap) -> Box<dyn Monotone> {
    map.build(&mut Init::new(0, DType::F64, Device::flex()))
}

/// `n` standard normal numbers; every `row` is another stream.
pub(crate) fn normals(n: usize, row: u64) -> Vec<f64> {
    let mut rng = Streams::new(20).rng(Purpose::Check, 0, row);
    (0..n).map(|_| normal(&mut rng)).collect()
}

/// Sets some parameters of a flow by name and leaves the others.
pub(crate) fn set(flow: &mut Flow, values: &[(&str, &[f64])]) {
    let dtype = flow.spec().precision.dtype();
    let mut weights: BTreeMap<_, _> = flow.parameters().into_iter().collect();
    for (name, values) in values {
        let slot = weights.get_mut(*name).unwrap();
        *slot = tensor_as(values.to_vec(), slot.dims(), dtype);
    }
    flow.set_parameters(&weights).unwrap();
}

/// A flow of the given layers onto a standard normal.
pub(crate) fn spec(dims: usize, precision: Precision, transforms: Vec<LayerSpec>) -> FlowSpec {
    FlowSpec::new(dims, transforms).in_precision(precision)
}

/// A schema with columns `x0`, `x1`, ... of the given kinds and `context` real columns `c0`, `c1`, ...
pub(crate) fn schema(kinds: &[ColumnKind], context: usize) -> Schema {
    let named = |prefix: &str, i: usize, kind| Column::new(format!("{prefix}{i}"), kind);
    Schema::new(
        kinds.iter().enumerate().map(|(i, &kind)| named("x", i, kind)).collect(),
        (0..context).map(|i| named("c", i, ColumnKind::Real)).collect(),
    )
}

pub(crate) fn model(flow: Flow, kinds: &[ColumnKind]) -> Model {
    let context = flow.context_dims();
    Model::new(flow, schema(kinds, context)).unwrap()
}

pub(crate) fn rows(values: Vec<f64>, width: usize) -> Rows {
    Rows::new(values, width).unwrap()
}

pub(crate) fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// `|a - b| <= tolerance max(1, |b|)` for every element.
#[track_caller]
pub(crate) fn close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / b.abs().max(1.0);
        assert!(error <= tolerance, "{what}, element {i}: {a} against {b}, error {error:e}");
    }
}
