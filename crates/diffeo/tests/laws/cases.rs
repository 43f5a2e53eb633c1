//! The registry: every transform that a file can name, in the shapes that matter.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::monotone::{Affine, MonotoneSpec, RationalQuadratic};
use diffeo::nn::{Activation, NetworkSpec};
use diffeo::transforms::SupportMap;
use diffeo::{BaseSpec, Flow, FlowSpec, LayerSpec, Precision, Purpose, Streams, normal};

/// One transform to be held to the laws.
pub struct Case {
    pub name: String,
    pub spec: FlowSpec,
    /// Points of the data side to try; one row after another.
    pub points: Vec<Vec<f64>>,
    /// Largest error of a round trip in `f64`, relative to `1 + |x|`.
    pub tolerance: f64,
}

/// The number of a variant. Without a catch-all: a new transform does not compile until it has a number here, and
/// `every_transform_has_a_case` fails until it has a case.
pub fn number(layer: &LayerSpec) -> usize {
    match layer {
        LayerSpec::Chain { .. } => 0,
        LayerSpec::Inverted { .. } => 1,
        LayerSpec::Permutation { .. } => 2,
        LayerSpec::Plu { .. } => 3,
        LayerSpec::ActNorm {} => 4,
        LayerSpec::Elementwise { .. } => 5,
        LayerSpec::Coupling { .. } => 6,
        LayerSpec::Autoregressive { .. } => 7,
        LayerSpec::Support { .. } => 8,
        LayerSpec::Standardize { .. } => 9,
    }
}

/// How many numbers [`number`] gives out.
pub const VARIANTS: usize = 10;

pub fn spline(bins: usize, bound: f64) -> MonotoneSpec {
    MonotoneSpec::RationalQuadratic(RationalQuadratic { bins, bound })
}

pub fn affine() -> MonotoneSpec {
    MonotoneSpec::Affine(Affine::default())
}

pub fn network(residual: bool, activation: Activation) -> NetworkSpec {
    NetworkSpec { hidden: vec![12, 12], residual, activation }
}

fn autoregressive(monotone: MonotoneSpec, residual: bool, order: Option<Vec<usize>>) -> LayerSpec {
    LayerSpec::Autoregressive { monotone, network: network(residual, Activation::Tanh), order }
}

fn coupling(monotone: MonotoneSpec, d: usize) -> LayerSpec {
    let kept = (0..d).map(|i| i % 2 == 0).collect();
    LayerSpec::Coupling { monotone, network: network(false, Activation::Relu), kept }
}

fn rotated(d: usize) -> Vec<usize> {
    (0..d).map(|i| (i + 1) % d).collect()
}

/// All cases: every transform in 1, 2 and 5 dimensions, with and without context where it can have one.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for d in [1, 2, 5] {
        let maps =
            [SupportMap::Log, SupportMap::Identity, SupportMap::Logit { low: -1.0, high: 3.0 }];
        let maps = maps.into_iter().cycle().take(d).collect();
        let center = (0..d).map(|i| i as f64 - 0.5).collect();
        let scale = (0..d).map(|i| 0.1 + i as f64).collect();
        let plain = vec![
            ("permutation", LayerSpec::Permutation { order: rotated(d) }),
            ("plu", LayerSpec::Plu { order: rotated(d) }),
            ("actnorm", LayerSpec::ActNorm {}),
            ("elementwise_affine", LayerSpec::Elementwise { monotone: affine() }),
            ("elementwise_spline", LayerSpec::Elementwise { monotone: spline(5, 2.0) }),
            ("standardize", LayerSpec::Standardize { center, scale }),
            ("support", LayerSpec::Support { maps }),
        ];
        cases.extend(plain.into_iter().map(|(name, layer)| case(name, d, 0, layer)));
        for context in [0, 2] {
            let mut conditional = vec![
                ("maf", autoregressive(affine(), false, None)),
                ("maf_residual", autoregressive(affine(), true, None)),
                ("nsf", autoregressive(spline(4, 3.0), false, Some(rotated(d)))),
                ("nsf_residual", autoregressive(spline(8, 2.0), true, None)),
                (
                    "iaf",
                    LayerSpec::Inverted {
                        transform: Box::new(autoregressive(affine(), false, None)),
                    },
                ),
            ];
            let chain = vec![
                LayerSpec::Plu { order: rotated(d) },
                autoregressive(spline(4, 3.0), false, None),
                LayerSpec::Permutation { order: rotated(d) },
            ];
            conditional.push(("chain", LayerSpec::Chain { transforms: chain }));
            if d > 1 {
                conditional.push(("realnvp", coupling(affine(), d)));
                conditional.push(("nsf_coupling", coupling(spline(6, 3.0), d)));
            }
            cases
                .extend(conditional.into_iter().map(|(name, layer)| case(name, d, context, layer)));
        }
    }
    cases
}

fn case(name: &str, dims: usize, context_dims: usize, layer: LayerSpec) -> Case {
    let points = points(dims, matches!(layer, LayerSpec::Support { .. }));
    Case {
        name: format!("{name}_{dims}d_{context_dims}c"),
        spec: FlowSpec {
            dims,
            context_dims,
            precision: Precision::F64,
            transforms: vec![layer],
            context_transforms: vec![],
            base: BaseSpec::Normal,
        },
        points,
        // A spline may be as flat as 1e-3 of a bin 1e-3 wide: rounding in z is that much larger in x.
        tolerance: 1e-7,
    }
}

/// Ordinary points and edges: zero, a hair beside zero, splines' bounds and just beside them, far out.
fn points(d: usize, bounded: bool) -> Vec<Vec<f64>> {
    let mut rng = Streams::new(11).rng(Purpose::Check, 0, 0);
    let mut rows: Vec<Vec<f64>> =
        (0..24).map(|_| (0..d).map(|_| 1.5 * normal(&mut rng)).collect()).collect();
    if bounded {
        // Inside (0, inf) and (-1, 3), close to the bounds too.
        let inside = |v: f64| 1.0 + 0.999 * (v / (1.0 + v.abs()));
        rows.iter_mut().flatten().for_each(|v| *v = inside(*v));
        rows.extend([1e-8, 2.5].map(|v| vec![v; d]));
        return rows;
    }
    for edge in [0.0, 1e-8, -1e-8, 2.0, -2.0, 3.0, -3.0, 2.0 - 1e-12, 3.0 + 1e-12, 40.0, -1e3] {
        rows.push(vec![edge; d]);
        let mut mixed = vec![0.3; d];
        mixed[0] = edge;
        rows.push(mixed);
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
}
