//! What is held to the laws: a flow, and points to try it at.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::flow::Flow;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, normal};
use crate::spec::{FlowSpec, Precision};
use crate::transforms::{LayerSpec, Registry};

/// Sets of weights that each law is tried with.
const TRIALS: u64 = 5;
/// Those for layers that take a hundred times as long as others.
const TRIALS_MIN: u64 = 2;

pub(super) const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::F64];

/// A flow to be held to the laws.
#[derive(Clone, Debug)]
pub struct Case {
    /// What messages call it.
    pub name: String,
    /// The flow, in double precision.
    pub spec: FlowSpec,
    /// Points of the data side to try: ordinary ones, then edges.
    pub points: Vec<Vec<f64>>,
    /// What the names of a program's own layers mean.
    pub registry: Registry,
    /// Sets of weights that it is tried with.
    pub trials: u64,
}

impl Case {
    /// Points at ordinary places; edges come after them.
    pub(super) const ORDINARY: usize = 24;

    /// One layer onto a standard normal.
    pub fn of_layer(layer: impl Into<LayerSpec>, dims: usize, context: usize) -> Self {
        let layer = layer.into();
        let name = format!("{}_{dims}d_{context}c", layer.name());
        Self::new(name, FlowSpec::new(dims, vec![layer]).given(context))
    }

    /// A flow at the usual points: zero, a hair beside zero, where scalar maps end and the neighbours of that, far out.
    pub fn new(name: impl Into<String>, spec: FlowSpec) -> Self {
        let spec = spec.in_precision(Precision::F64);
        let points = points(&spec);
        Self { name: name.into(), spec, points, registry: Registry::new(), trials: TRIALS }
    }

    /// The same case with layers of a program's own.
    #[must_use]
    pub fn with(self, registry: Registry) -> Self {
        Self { registry, ..self }
    }

    /// Seeds of the weights that it is tried with.
    pub fn seeds(&self) -> std::ops::Range<u64> {
        0..self.trials
    }

    /// The case with fewer sets of weights: for layers that take a hundred times as long as others.
    pub(super) fn shortened(&self) -> Self {
        Self { trials: TRIALS_MIN, ..self.clone() }
    }

    /// Whether it takes a hundred times as long as others, and is tried at less.
    pub(super) fn is_shortened(&self) -> bool {
        self.trials < TRIALS
    }

    /// The layer, if it is the only one.
    pub fn layer(&self) -> Option<&LayerSpec> {
        match self.spec.transforms.as_slice() {
            [layer] => Some(layer),
            _ => None,
        }
    }

    /// The points, `[n, d]`.
    pub fn x(&self) -> Tensor<2> {
        tensor(self.points.concat(), [self.points.len(), self.spec.dims])
    }

    /// A context for each point, if the flow has one.
    pub fn context(&self) -> Option<Tensor<2>> {
        let (n, c) = (self.points.len(), self.spec.context_dims);
        let mut rng = Streams::new(5).rng(Purpose::Check, 1, 0);
        (c > 0).then(|| tensor((0..n * c).map(|_| normal(&mut rng)).collect(), [n, c]))
    }

    /// The same flow in another precision, at points that this precision can hold.
    pub(super) fn in_precision(&self, precision: Precision) -> Self {
        let mut case = self.clone();
        case.spec.precision = precision;
        if precision == Precision::F32 {
            case.points.iter_mut().flatten().for_each(|v| *v = f64::from(*v as f32));
        }
        case
    }

    /// The case at some of its points.
    pub(super) fn only(&self, keep: impl Fn(&[f64]) -> bool) -> Self {
        let mut case = self.clone();
        case.points.retain(|row| keep(row));
        case
    }
}

/// A number and its neighbours on both sides, in both precisions.
pub fn around(edge: f64) -> [f64; 5] {
    let single = edge as f32;
    [
        edge,
        edge.next_up(),
        edge.next_down(),
        f64::from(single.next_up()),
        f64::from(single.next_down()),
    ]
}

fn points(spec: &FlowSpec) -> Vec<Vec<f64>> {
    let d = spec.dims;
    let mut rng = Streams::new(11).rng(Purpose::Check, 0, 0);
    let mut rows: Vec<Vec<f64>> =
        (0..Case::ORDINARY).map(|_| (0..d).map(|_| 1.5 * normal(&mut rng)).collect()).collect();
    let mut edges = vec![0.0, -0.0, 1e-8, -1e-8, 40.0, -1e3, 1e6, -1e6];
    let bound = spec.transforms.iter().map(|layer| layer.bound()).fold(f64::INFINITY, f64::min);
    let bound = if bound.is_finite() { bound } else { 2.0 };
    edges.extend([around(bound), around(-bound)].concat());
    for edge in edges {
        rows.push(vec![edge; d]);
        if d > 1 {
            let mut mixed = vec![0.3; d];
            mixed[0] = edge;
            rows.push(mixed);
        }
    }
    rows
}

/// The flow of a specification with weights that make it far from the identity.
///
/// # Panics
/// If it cannot be built.
pub fn built(spec: &FlowSpec, seed: u64) -> Flow {
    randomised(spec, seed, 0.4)
}

/// The flow of a specification with every parameter drawn from `N(0, size^2)`.
///
/// # Panics
/// If it cannot be built.
pub fn randomised(spec: &FlowSpec, seed: u64, size: f64) -> Flow {
    let mut flow = spec.build(seed).unwrap_or_else(|e| panic!("{spec:?}: {e}"));
    let mut weights = BTreeMap::new();
    for (row, (name, value)) in flow.parameters().into_iter().enumerate() {
        let mut rng = Streams::new(seed).rng(Purpose::Init, 1, row as u64);
        let [n, m] = value.dims();
        let values: Vec<f64> = (0..n * m).map(|_| size * normal(&mut rng)).collect();
        weights.insert(name, tensor_as(values, [n, m], spec.precision.dtype()));
    }
    flow.set_parameters(&weights).unwrap_or_else(|e| panic!("{spec:?}: {e}"));
    flow
}

/// Numbers in double precision, row after row.
pub fn tensor(values: Vec<f64>, shape: [usize; 2]) -> Tensor<2> {
    tensor_as(values, shape, DType::F64)
}

/// Numbers as a tensor on the CPU, row after row.
pub fn tensor_as(values: Vec<f64>, shape: [usize; 2], dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

/// The numbers of a tensor, row after row.
///
/// # Panics
/// If they cannot be read.
pub fn host<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    host_values(t).unwrap_or_else(|e| panic!("{e}"))
}

/// A copy of a flow whose parameters record gradients, and these parameters by name.
pub fn tracked(flow: &Flow) -> (Flow, BTreeMap<String, Tensor<2>>) {
    let mut flow = flow.clone();
    let mut leaves = BTreeMap::new();
    flow.visit(&mut |name, p| {
        p.value = p.value.clone().autodiff().require_grad();
        leaves.insert(name.to_owned(), p.value.clone());
    });
    (flow, leaves)
}

/// `|found - expected| <= tolerance (1 + |expected|)`, element by element.
///
/// # Panics
/// Where it is not so.
#[track_caller]
pub fn close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: lengths");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / (1.0 + b.abs());
        assert!(error <= tolerance, "{name}, element {i}: {a} against {b}, error {error:e}");
    }
}

/// `|found - expected| <= count * unit`, element by element.
#[track_caller]
pub(super) fn within(name: &str, found: &[f64], expected: &[f64], units: &[f64], count: f64) {
    assert_eq!([found.len(), expected.len()], [units.len(); 2], "{name}: lengths");
    for i in 0..found.len() {
        let error = (found[i] - expected[i]).abs() / units[i];
        let (a, b) = (found[i], expected[i]);
        assert!(error <= count, "{name}, element {i}: {a} against {b}, {error} units");
    }
}
