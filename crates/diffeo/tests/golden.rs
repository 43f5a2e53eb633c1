//! Differential tests: fixed models, with log-densities from zuko, nflows, normflows, torchdiffeq, PyTorch and 50-digit arithmetic.
//!
//! The numbers and the script that made them: `tests/golden/`, `benches/peers/golden.py`.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor};
use diffeo::bases::Gaussian;
use diffeo::bases::{GaussianSpec, MixtureSpec, NormalSpec, StudentTSpec};
use diffeo::conditioner::{Conditioner, DescribeConditioner, HalfSpec, MaskedSpec};
use diffeo::monotone::{Affine, MonotoneSpec, RationalQuadratic};
use diffeo::transforms::{AutoregressiveSpec, CouplingSpec};
use diffeo::{
    BaseSpec, Distribution, Flow, FlowSpec, Given, Init, LayerSpec, Parameter, Place, Precision,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use support::{close, host, rows, scalar_map, spec, tensor};

/// Largest `|a - b| / max(1, |b|)`, in `f64`.
const TOLERANCE: f64 = 1e-10;

type Matrix = Vec<Vec<f64>>;

#[derive(Deserialize)]
struct Numbers {
    shape: [usize; 2],
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Stage {
    network_output: Option<Matrix>,
    z: Matrix,
    log_slope: Option<Matrix>,
    log_det: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Recorded {
    dims: usize,
    context_dims: usize,
    layers: Vec<serde_json::Value>,
    base: BaseSpec,
    x: Matrix,
    context: Option<Matrix>,
    stages: Vec<Stage>,
    z: Matrix,
    log_det: Vec<f64>,
    log_prob: Vec<f64>,
}

fn load<T: DeserializeOwned>(name: &str) -> T {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn matrix(rows: &Matrix) -> Tensor<2> {
    tensor(rows.concat(), [rows.len(), rows.first().map_or(0, Vec::len)])
}

impl Numbers {
    fn tensor(&self) -> Tensor<2> {
        tensor(self.values.clone(), self.shape)
    }
}

/// The flow of a file, with its weights.
fn build(name: &str, golden: &Recorded) -> Flow {
    let mut layers: Vec<LayerSpec> = Vec::new();
    let mut weights = BTreeMap::new();
    for (i, layer) in golden.layers.iter().enumerate() {
        let mut layer = layer.clone();
        let parameters = layer.as_object_mut().unwrap().remove("parameters").unwrap();
        let parameters: BTreeMap<String, Numbers> = serde_json::from_value(parameters).unwrap();
        weights.extend(
            parameters
                .iter()
                .map(|(name, value)| (format!("transform.{i}.{name}"), value.tensor())),
        );
        layers.push(serde_json::from_value(layer).unwrap());
    }
    let spec = FlowSpec {
        context_dims: golden.context_dims,
        base: golden.base.clone(),
        ..spec(golden.dims, Precision::F64, layers)
    };
    let mut flow = spec.build(0).unwrap();
    flow.set_parameters(&weights).unwrap_or_else(|e| panic!("{name}: {e}"));
    flow
}

/// A layer's network by itself, on the columns it reads in the order it reads them; and the columns that it is about.
fn network_output(
    flow: &Flow,
    at: usize,
    x: &Matrix,
    context: Option<&Tensor<2>>,
) -> (Tensor<2>, Vec<usize>, MonotoneSpec) {
    let (dims, at_place) = (flow.dims(), Place::new(flow.dims(), flow.context_dims()));
    let mut init = Init::new(0, DType::F64, Device::flex());
    let (mut network, read, moved, monotone): (Box<dyn Conditioner>, Vec<usize>, Vec<usize>, _) =
        match &flow.spec().transforms[at] {
            LayerSpec::Autoregressive(AutoregressiveSpec { monotone, network, order, .. }) => {
                let per_dim = monotone.params_per_dim();
                let masked = MaskedSpec { network: network.clone(), order: order.clone() };
                let masked = masked.build(at_place, per_dim, &mut init).unwrap();
                let order = order.clone().unwrap_or_else(|| (0..dims).collect());
                (masked, order.clone(), order, monotone)
            }
            LayerSpec::Coupling(CouplingSpec { monotone, network, kept, .. }) => {
                let (read, moved): (Vec<usize>, Vec<usize>) = (0..dims).partition(|&i| kept[i]);
                let per_dim = monotone.params_per_dim();
                let half = HalfSpec { network: network.clone(), kept: kept.clone() };
                (half.build(at_place, per_dim, &mut init).unwrap(), read, moved, monotone)
            }
            other => panic!("{other:?} has no network"),
        };
    let weights: BTreeMap<_, _> = flow.parameters().into_iter().collect();
    network.visit(&mut |name: &str, p: &mut Parameter| {
        p.value = weights[&format!("transform.{at}.{name}")].clone();
    });
    let output = network.parameters(columns(x, &read), &Given::context(context)).unwrap();
    (output, moved, monotone.clone())
}

fn columns(rows: &Matrix, which: &[usize]) -> Tensor<2> {
    matrix(&rows.iter().map(|row| which.iter().map(|&j| row[j]).collect()).collect())
}

/// One layer, from the recorded input of the stage: network, scalar map by element, whole layer, and back.
fn check_stage(
    what: &str,
    flow: &Flow,
    at: usize,
    x: &Matrix,
    c: Option<&Tensor<2>>,
    stage: &Stage,
) {
    if let (Some(output), Some(log_slope)) = (&stage.network_output, &stage.log_slope) {
        let (found, moved, monotone) = network_output(flow, at, x, c);
        close(&format!("{what} network"), &host(found), &output.concat(), TOLERANCE);
        let mut init = Init::new(0, DType::F64, Device::flex());
        let map = monotone.build(&mut init);
        let scalar = map.forward(columns(x, &moved), matrix(output)).unwrap();
        let expected = |m: &Matrix| host(columns(m, &moved));
        close(&format!("{what} scalar z"), &host(scalar.value), &expected(&stage.z), TOLERANCE);
        let slopes = host(scalar.log_slope);
        close(&format!("{what} log_slope"), &slopes, &expected(log_slope), TOLERANCE);
    }
    let log_det = match (&stage.log_det, &stage.log_slope) {
        (Some(log_det), _) => log_det.clone(),
        (None, Some(log_slope)) => log_slope.iter().map(|row| row.iter().sum()).collect(),
        (None, None) => panic!("{what}: no log-determinant"),
    };
    let layer = &flow.chain().layers()[at];
    let given = Given::context(c);
    let mapped = layer.forward(matrix(x), &given).unwrap();
    close(&format!("{what} z"), &host(mapped.value), &stage.z.concat(), TOLERANCE);
    close(&format!("{what} log_det"), &host(mapped.log_det), &log_det, TOLERANCE);
    // Where a map squeezes by e^-s, rounding of the recorded z returns e^s times as large.
    let stretch = log_det.iter().fold(0.0, |worst: f64, v| worst.max(-v)).exp();
    let back = layer.inverse(matrix(&stage.z), &given).unwrap();
    close(&format!("{what} inverse"), &host(back.value), &x.concat(), TOLERANCE * stretch);
    let minus: Vec<f64> = log_det.iter().map(|v| -v).collect();
    close(&format!("{what} inverse log_det"), &host(back.log_det), &minus, TOLERANCE * stretch);
}

fn check(name: &str) {
    let golden: Recorded = load(name);
    let flow = build(name, &golden);
    let context = golden.context.as_ref().map(matrix);
    let mut x = &golden.x;
    for (at, stage) in golden.stages.iter().enumerate() {
        check_stage(&format!("{name} stage {at}"), &flow, at, x, context.as_ref(), stage);
        x = &stage.z;
    }
    let mapped = flow.to_base(matrix(&golden.x), context.clone()).unwrap();
    close(&format!("{name} z"), &host(mapped.value), &golden.z.concat(), TOLERANCE);
    close(&format!("{name} log_det"), &host(mapped.log_det), &golden.log_det, TOLERANCE);
    let log_prob = flow.log_prob(matrix(&golden.x), context).unwrap();
    close(&format!("{name} log_prob"), &host(log_prob), &golden.log_prob, TOLERANCE);
}

#[test]
fn affine_autoregressive_flows_agree_with_zuko() {
    check("maf");
    check("maf_context");
}

#[test]
fn continuous_layers_agree_with_zuko_and_torchdiffeq() {
    check("continuous");
    check("continuous_context");
}

#[test]
fn spline_autoregressive_flows_agree_with_zuko() {
    check("nsf");
    check("nsf_context");
    check("nsf_plu");
}

#[test]
fn couplings_agree_with_zuko() {
    check("realnvp");
    check("realnvp_context");
    check("nsf_coupling");
}

#[test]
fn linear_maps_agree_with_zuko_nflows_and_flowjax() {
    check("plu");
    check("householder");
    check("cholesky");
}

#[test]
fn residual_layers_agree_with_normflows_and_pytorch() {
    check("residual");
    check("residual_context");
}

#[test]
fn conditioners_that_read_in_sequence_agree_with_pytorch() {
    for name in ["transformer", "transformer_context", "recurrent", "recurrent_context"] {
        check(name);
    }
}

#[test]
fn block_autoregressive_layers_agree_with_flowjax() {
    check("blocks");
    check("blocks_context");
}

#[derive(Deserialize)]
struct Curve {
    z: Vec<f64>,
    log_slope: Vec<f64>,
}

#[derive(Deserialize)]
struct SplineCase {
    bins: usize,
    bound: f64,
    params: Vec<f64>,
    x: Vec<f64>,
    exact: Curve,
}

#[derive(Deserialize)]
struct AffineCase {
    params: Matrix,
    x: Vec<f64>,
    z: Vec<f64>,
    log_slope: Vec<f64>,
}

#[derive(Deserialize)]
struct ScalarMaps {
    splines: Vec<SplineCase>,
    affine: AffineCase,
}

#[test]
fn splines_agree_with_50_digit_arithmetic() {
    for case in load::<ScalarMaps>("scalar_maps").splines {
        let spline = scalar_map(RationalQuadratic { bins: case.bins, bound: case.bound });
        let n = case.x.len();
        let params = tensor(case.params.repeat(n), [n, case.params.len()]);
        let mapped = spline.forward(tensor(case.x.clone(), [n, 1]), params.clone()).unwrap();
        let what = format!("spline of {} bins on {}", case.bins, case.bound);
        close(&what, &host(mapped.value), &case.exact.z, TOLERANCE);
        close(
            &format!("{what}, log_slope"),
            &host(mapped.log_slope),
            &case.exact.log_slope,
            TOLERANCE,
        );
        let back = spline.inverse(tensor(case.exact.z.clone(), [n, 1]), params).unwrap();
        let stretch = case.exact.log_slope.iter().fold(0.0, |worst: f64, v| worst.max(-v)).exp();
        close(&format!("{what}, inverse"), &host(back.value), &case.x, TOLERANCE * stretch);
    }
}

#[test]
fn affine_maps_agree_with_zuko() {
    let case = load::<ScalarMaps>("scalar_maps").affine;
    let n = case.x.len();
    let params = matrix(&case.params);
    let affine = scalar_map(Affine::default());
    let mapped = affine.forward(tensor(case.x.clone(), [n, 1]), params.clone()).unwrap();
    close("affine z", &host(mapped.value), &case.z, TOLERANCE);
    close("affine log_slope", &host(mapped.log_slope), &case.log_slope, TOLERANCE);
    let stretch = case.log_slope.iter().fold(0.0, |worst: f64, v| worst.max(-v)).exp();
    let back = affine.inverse(tensor(case.z, [n, 1]), params).unwrap();
    close("affine inverse", &host(back.value), &case.x, TOLERANCE * stretch);
}

#[derive(Deserialize)]
struct CurveCase {
    map: MonotoneSpec,
    params: Vec<f64>,
    x: Vec<f64>,
    z: Vec<f64>,
    log_slope: Vec<f64>,
    /// `z` by a library that is no more exact than single precision.
    rough: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Curves {
    cases: Vec<CurveCase>,
}

#[test]
fn maps_without_a_formula_for_the_inverse_agree_with_zuko_nflows_umnn_and_50_digits() {
    let files = ["curves", "integrals"].map(load::<Curves>);
    for case in files.into_iter().flat_map(|file| file.cases) {
        let what = format!("{:?}", case.map);
        let map = case.map.build(&mut Init::new(0, DType::F64, Device::flex()));
        let n = case.x.len();
        let params = tensor(case.params.repeat(n), [n, case.params.len()]);
        let mapped = map.forward(tensor(case.x.clone(), [n, 1]), params.clone()).unwrap();
        let value = host(mapped.value);
        close(&what, &value, &case.z, TOLERANCE);
        if let Some(rough) = &case.rough {
            close(&format!("{what}, roughly"), &value, rough, 1e-6);
        }
        close(&format!("{what}, log_slope"), &host(mapped.log_slope), &case.log_slope, TOLERANCE);
        let back = map.inverse(tensor(case.z.clone(), [n, 1]), params).unwrap();
        let stretch = case.log_slope.iter().fold(0.0, |worst: f64, v| worst.max(-v)).exp();
        close(&format!("{what}, inverse"), &host(back.value), &case.x, TOLERANCE * stretch);
    }
}

#[derive(Deserialize)]
struct BaseCase {
    #[serde(default)]
    parameters: BTreeMap<String, Numbers>,
    log_prob: Vec<f64>,
}

#[derive(Deserialize)]
struct GaussianCase {
    data: Matrix,
    mean: Vec<f64>,
    covariance: Matrix,
    parameters: BTreeMap<String, Numbers>,
    log_prob: Vec<f64>,
}

#[derive(Deserialize)]
struct Distributions {
    z: Matrix,
    normal: BaseCase,
    student_t: BaseCase,
    mixture: BaseCase,
    gaussian: GaussianCase,
}

fn base_log_prob(base: BaseSpec, z: &Matrix, parameters: &BTreeMap<String, Numbers>) -> Vec<f64> {
    let spec = FlowSpec { base, ..spec(z[0].len(), Precision::F64, vec![]) };
    let mut flow = spec.build(0).unwrap();
    let named = parameters.iter().map(|(name, value)| (format!("base.{name}"), value.tensor()));
    flow.set_parameters(&named.collect()).unwrap();
    host(flow.log_prob(matrix(z), None).unwrap())
}

#[test]
fn distributions_agree_with_pytorch() {
    let golden: Distributions = load("distributions");
    let cases = [
        (
            "normal",
            BaseSpec::Normal(NormalSpec {}),
            &golden.normal.parameters,
            &golden.normal.log_prob,
        ),
        (
            "student-t",
            BaseSpec::StudentT(StudentTSpec { dof: 5.0 }),
            &golden.student_t.parameters,
            &golden.student_t.log_prob,
        ),
        (
            "mixture",
            BaseSpec::Mixture(MixtureSpec { components: 4 }),
            &golden.mixture.parameters,
            &golden.mixture.log_prob,
        ),
        (
            "gaussian",
            BaseSpec::Gaussian(GaussianSpec {}),
            &golden.gaussian.parameters,
            &golden.gaussian.log_prob,
        ),
    ];
    for (name, base, parameters, expected) in cases {
        close(name, &base_log_prob(base, &golden.z, parameters), expected, TOLERANCE);
    }
}

#[test]
fn the_closed_form_gaussian_fit_agrees_with_numpy() {
    let GaussianCase { data, mean, covariance, parameters, log_prob } =
        load::<Distributions>("distributions").gaussian;
    let d = mean.len();
    let mut gaussian = Gaussian::new(d, &Init::new(0, DType::F64, Device::flex()));
    gaussian.fit(&rows(data.concat(), d), None).unwrap();
    gaussian.visit(&mut |name: &str, p: &mut Parameter| {
        close(name, &host(p.value.clone()), &parameters[name].values, TOLERANCE);
        if name == "mean" {
            close(name, &host(p.value.clone()), &mean, TOLERANCE);
        }
    });
    let z = load::<Distributions>("distributions").z;
    close("gaussian", &host(gaussian.log_prob(matrix(&z))), &log_prob, TOLERANCE);
    // `-2 ln p(mean) = ln det(2 pi Sigma)`, without the factorisation that the fit uses.
    let [a, b, c] = [&covariance[0], &covariance[1], &covariance[2]];
    let det = a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0])
        + a[2] * (b[0] * c[1] - b[1] * c[0]);
    let expected = -0.5 * (det.ln() + d as f64 * (2.0 * std::f64::consts::PI).ln());
    let found = host(gaussian.log_prob(tensor(mean, [1, d])));
    close("at the mean", &found, &[expected], TOLERANCE);
}
