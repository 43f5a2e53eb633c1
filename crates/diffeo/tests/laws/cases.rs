//! The registry: every transform that a file can name, in the shapes that matter.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::monotone::{Affine, MonotoneSpec, RationalQuadratic};
use diffeo::nn::{Activation, NetworkSpec};
use diffeo::transforms::SupportMap;
use diffeo::{BaseSpec, Flow, FlowSpec, LayerSpec, Precision, Purpose, Streams, normal};

/// Seeds of the weights that each law is tried with.
pub const SEEDS: std::ops::Range<u64> = 0..8;
/// Rows at ordinary places; edges come after them.
pub const ORDINARY: usize = 24;
/// Half-widths of the boxes of all splines here.
pub const BOUNDS: [f64; 2] = [2.0, 3.0];

/// One transform to be held to the laws.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub spec: FlowSpec,
    /// Points of the data side to try; one row after another.
    pub points: Vec<Vec<f64>>,
    /// Whether a column is bounded, so that not every number is a point.
    pub bounded: bool,
}

pub fn spline(bins: usize, bound: f64) -> MonotoneSpec {
    MonotoneSpec::RationalQuadratic(RationalQuadratic { bins, bound })
}

pub fn affine() -> MonotoneSpec {
    MonotoneSpec::Affine(Affine::default())
}

fn network(residual: bool, activation: Activation) -> NetworkSpec {
    NetworkSpec { hidden: vec![12, 12], residual, activation }
}

fn autoregressive(
    monotone: MonotoneSpec,
    network: NetworkSpec,
    order: Option<Vec<usize>>,
) -> LayerSpec {
    LayerSpec::Autoregressive { monotone, network, order }
}

fn coupling(monotone: MonotoneSpec, network: NetworkSpec, d: usize) -> LayerSpec {
    LayerSpec::Coupling { monotone, network, kept: (0..d).map(|i| i % 2 == 0).collect() }
}

fn inverted(layer: LayerSpec) -> LayerSpec {
    LayerSpec::Inverted { transform: Box::new(layer) }
}

fn rotated(d: usize) -> Vec<usize> {
    (0..d).map(|i| (i + 1) % d).collect()
}

fn support(d: usize) -> LayerSpec {
    let maps = [SupportMap::Log, SupportMap::Identity, SupportMap::Logit { low: -1.0, high: 3.0 }];
    LayerSpec::Support { maps: maps.into_iter().cycle().take(d).collect() }
}

fn standardize(d: usize) -> LayerSpec {
    LayerSpec::Standardize {
        center: (0..d).map(|i| i as f64 - 0.5).collect(),
        scale: (0..d).map(|i| 0.1 + i as f64).collect(),
    }
}

/// All cases: every transform in 1, 2 and 5 dimensions, with and without context where it can have one.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for d in [1, 2, 5] {
        let bare = |name: &str, layer| case(name, [d, 0], vec![layer]);
        let elementwise = |monotone| LayerSpec::Elementwise { monotone };
        cases.extend([
            bare("permutation", LayerSpec::Permutation { order: rotated(d) }),
            bare("plu", LayerSpec::Plu { order: rotated(d) }),
            bare("actnorm", LayerSpec::ActNorm {}),
            bare("elementwise_affine", elementwise(affine())),
            bare("elementwise_spline", elementwise(spline(5, 2.0))),
            bare("standardize", standardize(d)),
            bare("support", support(d)),
            bare("inverted_plu", inverted(LayerSpec::Plu { order: rotated(d) })),
            bare("inverted_actnorm", inverted(LayerSpec::ActNorm {})),
            bare("inverted_elementwise_affine", inverted(elementwise(affine()))),
            bare("inverted_elementwise_spline", inverted(elementwise(spline(5, 2.0)))),
        ]);
        cases.extend(with_bases(d));
        for context in [0, 2] {
            cases.extend(with_networks(d, context));
        }
    }
    cases
}

/// One flow for every base but the normal, which all the others have.
fn with_bases(d: usize) -> Vec<Case> {
    let bases = [
        ("gaussian", BaseSpec::Gaussian),
        ("uniform", BaseSpec::Uniform { low: -6.0, high: 5.0 }),
        ("student_t", BaseSpec::StudentT { dof: 4.0 }),
        ("mixture", BaseSpec::Mixture { components: 3 }),
    ];
    let with_base = |(name, base): (&str, BaseSpec)| {
        let layer = LayerSpec::Elementwise { monotone: affine() };
        let mut case = case(&format!("onto_{name}"), [d, 0], vec![layer]);
        case.spec.base = base;
        case
    };
    bases.into_iter().map(with_base).collect()
}

fn with_networks(d: usize, context: usize) -> Vec<Case> {
    use Activation::{Elu, Relu, Tanh};
    let plain = |activation| network(false, activation);
    let residual = |activation| network(true, activation);
    let made = |name: &str, monotone, network, order| {
        case(name, [d, context], vec![autoregressive(monotone, network, order)])
    };
    let chain = vec![
        LayerSpec::Plu { order: rotated(d) },
        autoregressive(spline(4, 3.0), plain(Tanh), None),
        LayerSpec::Permutation { order: rotated(d) },
    ];
    let table = vec![
        support(d),
        standardize(d),
        LayerSpec::ActNorm {},
        LayerSpec::Plu { order: rotated(d) },
        autoregressive(spline(4, 3.0), residual(Relu), None),
    ];
    let inverse = |name: &str, layer: LayerSpec| case(name, [d, context], vec![inverted(layer)]);
    let mut cases = vec![
        made("maf", affine(), plain(Tanh), None),
        made("maf_relu", affine(), plain(Relu), None),
        made("maf_residual", affine(), residual(Elu), None),
        made("nsf", spline(4, 3.0), plain(Elu), Some(rotated(d))),
        made("nsf_residual", spline(8, 2.0), residual(Tanh), None),
        inverse("iaf", autoregressive(affine(), plain(Tanh), None)),
        inverse("inverted_nsf", autoregressive(spline(4, 3.0), plain(Tanh), None)),
        case("chain", [d, context], vec![LayerSpec::Chain { transforms: chain }]),
        case("table", [d, context], table),
    ];
    if context > 0 {
        let mut mapped = made("maf_of_mapped_context", affine(), plain(Tanh), None);
        let maps = vec![SupportMap::Identity, SupportMap::Logit { low: -9.0, high: 9.0 }];
        mapped.spec.context_transforms = vec![LayerSpec::Support { maps }, standardize(context)];
        cases.push(mapped);
    }
    if d > 1 {
        let coupled = |name: &str, monotone, network| {
            case(name, [d, context], vec![coupling(monotone, network, d)])
        };
        cases.extend([
            coupled("realnvp", affine(), plain(Relu)),
            coupled("realnvp_residual", affine(), residual(Tanh)),
            coupled("nsf_coupling", spline(6, 3.0), plain(Tanh)),
            coupled("nsf_coupling_residual", spline(6, 2.0), residual(Elu)),
            inverse("inverted_realnvp", coupling(affine(), plain(Elu), d)),
            inverse("inverted_nsf_coupling", coupling(spline(6, 3.0), plain(Relu), d)),
        ]);
    }
    cases
}

fn case(name: &str, [dims, context_dims]: [usize; 2], transforms: Vec<LayerSpec>) -> Case {
    let bounded = transforms.iter().any(|t| matches!(t, LayerSpec::Support { .. }));
    Case {
        name: format!("{name}_{dims}d_{context_dims}c"),
        points: points(dims, bounded),
        bounded,
        spec: FlowSpec {
            dims,
            context_dims,
            precision: Precision::F64,
            transforms,
            context_transforms: vec![],
            base: BaseSpec::Normal,
        },
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

/// Ordinary points, then edges: zero, a hair beside zero, the splines' bounds and their neighbours, far out.
fn points(d: usize, bounded: bool) -> Vec<Vec<f64>> {
    let mut rng = Streams::new(11).rng(Purpose::Check, 0, 0);
    let mut rows: Vec<Vec<f64>> =
        (0..ORDINARY).map(|_| (0..d).map(|_| 1.5 * normal(&mut rng)).collect()).collect();
    let mut edges = vec![0.0, -0.0, 1e-8, -1e-8, 40.0, -1e3, 1e6, -1e6];
    edges.extend(BOUNDS.iter().flat_map(|bound| [around(*bound), around(-bound)].concat()));
    if bounded {
        // Inside (0, inf) and (-1, 3), close to the bounds too.
        let inside = |v: f64| 1.0 + 0.999 * (v / (1.0 + v.abs()));
        rows.iter_mut().flatten().for_each(|v| *v = inside(*v));
        edges = vec![1e-8, 1e-3, 2.5, 3.0 - 1e-6];
    }
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

/// The flow of a case with weights that make it far from the identity.
pub fn built(spec: &FlowSpec, seed: u64) -> Flow {
    let mut flow = spec.build(seed).unwrap();
    let dtype = spec.precision.dtype();
    let mut weights = BTreeMap::new();
    for (row, (name, value)) in flow.parameters().into_iter().enumerate() {
        let mut rng = Streams::new(seed).rng(Purpose::Init, 1, row as u64);
        let [n, m] = value.dims();
        let values: Vec<f64> = (0..n * m).map(|_| 0.4 * normal(&mut rng)).collect();
        weights.insert(name, tensor_as(values, [n, m], dtype));
    }
    flow.set_parameters(&weights).unwrap();
    flow
}

pub fn tensor(values: Vec<f64>, shape: [usize; 2]) -> Tensor<2> {
    tensor_as(values, shape, DType::F64)
}

pub fn tensor_as(values: Vec<f64>, shape: [usize; 2], dtype: DType) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), dtype))
}

pub fn host<const D: usize>(t: Tensor<D>) -> Vec<f64> {
    t.into_data().convert::<f64>().try_into_vec().unwrap()
}

impl Case {
    pub fn x(&self) -> Tensor<2> {
        tensor(self.points.concat(), [self.points.len(), self.spec.dims])
    }

    pub fn context(&self) -> Option<Tensor<2>> {
        let (n, c) = (self.points.len(), self.spec.context_dims);
        let mut rng = Streams::new(5).rng(Purpose::Check, 1, 0);
        (c > 0).then(|| tensor((0..n * c).map(|_| normal(&mut rng)).collect(), [n, c]))
    }

    /// The same transform in another precision, at points that this precision can hold.
    pub fn with_precision(&self, precision: Precision) -> Self {
        let mut case = self.clone();
        case.spec.precision = precision;
        if precision == Precision::F32 {
            case.points.iter_mut().flatten().for_each(|v| *v = f64::from(*v as f32));
        }
        case
    }

    /// The layer, if it is the only one.
    pub fn layer(&self) -> Option<&LayerSpec> {
        match self.spec.transforms.as_slice() {
            [layer] => Some(layer),
            _ => None,
        }
    }
}
