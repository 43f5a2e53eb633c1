//! Failures that users of other flow libraries reported: each input, and what must come out here.
//!
//! A test is named after its number in our list, the library and the report. Numbers 32 and 39 have more in `density.rs`.

mod support;

use burn::tensor::{DType, Tensor};
use diffeo::monotone::{
    Affine, Bernstein, LogisticMixture, Monotone, MonotoneSpec, MonotonicNetwork, PolynomialSpline,
    RationalQuadratic, SumOfSquares,
};
use diffeo::network::NetworkSpec;
use diffeo::train::{Event, FitOptions, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::{ActNorm, Plu, Qr, Svd};
use diffeo::transforms::{
    ActNormSpec, CouplingSpec, ElementwiseSpec, Gates, PlanarSpec, PluSpec, QrSpec, RadialSpec,
    SvdSpec,
};
use diffeo::{
    ColumnKind, ErrorKind, FlowSpec, Given, Init, LayerSpec, Model, Precision, Preset,
    PresetOptions, Rows, SampleOptions, Transform, Units,
};
use support::integral::total_between;
use support::{
    close, host, model, normals, randomised, rows, scalar_map, schema, set, spec, tensor,
    tensor_as, tracked,
};

const F32: DType = DType::F32;

fn spline(bins: usize, bound: f64) -> RationalQuadratic {
    RationalQuadratic { bins, bound }
}

fn elementwise_spline(bins: usize, bound: f64) -> LayerSpec {
    LayerSpec::Elementwise(ElementwiseSpec {
        monotone: MonotoneSpec::RationalQuadratic(spline(bins, bound)),
    })
}

fn elementwise_affine(log_scale_max: f64) -> LayerSpec {
    LayerSpec::Elementwise(ElementwiseSpec {
        monotone: MonotoneSpec::Affine(Affine { log_scale_max }),
    })
}

/// Parameters for `n` elements, all different.
fn params(map: &dyn Monotone, n: usize, size: f64, dtype: DType) -> Tensor<2> {
    let k = map.params_per_dim();
    tensor_as(normals(n * k, 3).iter().map(|v| size * v).collect(), [n, k], dtype)
}

fn column(values: &[f64], dtype: DType) -> Tensor<2> {
    tensor_as(values.to_vec(), [values.len(), 1], dtype)
}

#[track_caller]
fn all_finite<const D: usize>(what: &str, t: Tensor<D>) {
    let values = host(t);
    assert!(values.iter().all(|v| v.is_finite()), "{what}: {values:?}");
}

#[test]
fn p01_nflows_23_a_batch_wholly_in_the_tails_of_a_spline_passes_unchanged() {
    for precision in [Precision::F32, Precision::F64] {
        let spec = spec(2, precision, vec![elementwise_spline(8, 4.0)]);
        let flow = randomised(&spec, 1, 2.0);
        let x = [5.0, -6.0, 4.5, 1e6];
        let batch = tensor_as(x.to_vec(), [2, 2], precision.dtype());
        let there = flow.to_base(batch.clone(), None).unwrap();
        assert_eq!((host(there.value), host(there.log_det)), (x.to_vec(), vec![0.0; 2]));
        let back = flow.to_data(batch, None).unwrap();
        assert_eq!((host(back.value), host(back.log_det)), (x.to_vec(), vec![0.0; 2]));
    }
}

#[test]
fn p02_nflows_87_the_inverse_survives_discriminants_near_zero_in_single_precision() {
    const BOUND: f64 = 3.0;
    for bins in [2, 8, 32] {
        for size in [0.5, 2.0, 8.0, 30.0] {
            let map = scalar_map(spline(bins, BOUND));
            let n = 2001;
            let z: Vec<f64> =
                (0..n).map(|i| BOUND * (2.0 * i as f64 / (n - 1) as f64 - 1.0)).collect();
            let params = params(&*map, n, size, F32);
            let x = map.inverse(column(&z, F32), params.clone()).unwrap();
            let again = map.forward(x.value.clone(), params).unwrap();
            let (x, log_slope, again) = (host(x.value), host(x.log_slope), host(again.value));
            for i in 0..n {
                assert!(
                    x[i].abs() <= BOUND && log_slope[i].is_finite(),
                    "{bins} bins, {size}: {}",
                    x[i]
                );
                // x is known to half a unit in its last place; the map stretches that by its slope.
                let slope = (-log_slope[i]).exp();
                let limit = 16.0 * f64::from(f32::EPSILON) * BOUND * (1.0 + slope);
                let miss = (again[i] - z[i]).abs();
                assert!(
                    miss <= limit,
                    "{bins} bins, {size}: {} came back as {}, slope {slope}",
                    z[i],
                    again[i]
                );
            }
        }
    }
}

#[test]
fn p03_pyro_3139_the_inverse_outside_the_box_is_the_identity() {
    let map = scalar_map(spline(8, 3.0));
    let z = [3.0f64.next_up(), -3.0f64.next_up(), 3.5, -17.0, 1e30, -1e300];
    let mapped = map.inverse(column(&z, DType::F64), params(&*map, 6, 2.0, DType::F64)).unwrap();
    assert_eq!((host(mapped.value), host(mapped.log_slope)), (z.to_vec(), vec![0.0; 6]));
}

#[test]
fn p04_flowjax_239_gradients_outside_the_box_are_those_of_the_identity() {
    let map = scalar_map(spline(8, 3.0));
    for dtype in [DType::F64, F32] {
        let x = [3.5, -3.5, 1e6, -1e6, 1e30, -1e30];
        for inverse in [false, true] {
            let x = column(&x, dtype).autodiff().require_grad();
            let params = params(&*map, 6, 2.0, dtype).autodiff().require_grad();
            let direction = if inverse { <dyn Monotone>::inverse } else { <dyn Monotone>::forward };
            let mapped = direction(&*map, x.clone(), params.clone()).unwrap();
            let grads = (mapped.value.sum() + mapped.log_slope.sum()).backward();
            assert_eq!(host(x.grad(&grads).unwrap()), vec![1.0; 6]);
            assert!(host(params.grad(&grads).unwrap()).iter().all(|g| *g == 0.0));
        }
    }
}

#[test]
fn p05_bayesflow_721_heavy_tails_give_a_finite_loss_and_finite_gradients() {
    // Ratios of normals: a Cauchy distribution, here out to 1e4 and beyond.
    let z = normals(4096, 1);
    let mut x: Vec<f64> = z.chunks_exact(2).map(|z| z[0] / z[1]).collect();
    x[0] = 3e7;
    assert!(x.iter().filter(|v| v.abs() > 3.0).count() > 100);
    for preset in [Preset::Nsf, Preset::NsfCoupling, Preset::Maf] {
        let options =
            PresetOptions { bound: 3.0, hidden: vec![32, 32], ..PresetOptions::default() };
        let flow = randomised(&preset.spec(2, 0, &options).unwrap(), 1, 0.1);
        let (flow, leaves) = tracked(&flow);
        let x = tensor_as(x.clone(), [1024, 2], F32).autodiff().require_grad();
        let loss = flow.log_prob(x.clone(), None).unwrap().mean().neg();
        all_finite("loss", loss.clone());
        let grads = loss.backward();
        all_finite("x", x.grad(&grads).unwrap());
        for (name, leaf) in leaves {
            all_finite(&name, leaf.grad(&grads).unwrap());
        }
    }
}

#[test]
fn p06_normflows_58_a_coupling_of_one_column_is_refused_with_a_way_out() {
    for preset in [Preset::RealNvp, Preset::NsfCoupling] {
        let error = preset.spec(1, 0, &PresetOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(
            error.message().contains("2 columns") && error.message().contains("nsf"),
            "{error}"
        );
    }
    let network = NetworkSpec { hidden: vec![4], residual: false, activation: Default::default() };
    for kept in [true, false] {
        let monotone = MonotoneSpec::Affine(Affine::default());
        let layer = LayerSpec::Coupling(CouplingSpec {
            monotone,
            network: network.clone(),
            kept: vec![kept],
            gates: Gates::default(),
        });
        let error = spec(1, Precision::F32, vec![layer]).build(0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    }
    for preset in [Preset::Maf, Preset::Iaf, Preset::Nsf, Preset::Gaussian] {
        preset.spec(1, 0, &PresetOptions::default()).unwrap();
    }
}

#[test]
fn p07_normflows_73_32_affine_layers_on_19_columns_stay_finite() {
    let options =
        PresetOptions { transforms: 32, hidden: vec![64, 64], ..PresetOptions::default() };
    for preset in [Preset::RealNvp, Preset::Maf] {
        let spec = preset.spec(19, 0, &options).unwrap();
        for size in [0.05, 0.1] {
            let flow = randomised(&spec, 2, size);
            let x = tensor_as(normals(64 * 19, 4), [64, 19], F32);
            let (tracked, leaves) = tracked(&flow);
            let log_prob = tracked.log_prob(x, None).unwrap();
            all_finite(preset.name(), log_prob.clone());
            let grads = log_prob.mean().backward();
            leaves.iter().for_each(|(name, leaf)| all_finite(name, leaf.grad(&grads).unwrap()));
            let (sample, log_prob) = flow.sample_with_log_prob(64, None, 1).unwrap();
            all_finite(preset.name(), sample);
            all_finite(preset.name(), log_prob);
        }
    }
}

#[test]
fn p08_normflows_47_no_output_of_a_network_makes_a_scale_overflow() {
    let map = scalar_map(Affine::default());
    let raws = [50.0, 1e4, 1e30, f64::from(f32::MAX)];
    for dtype in [DType::F64, F32] {
        for raw in raws.iter().flat_map(|r| [*r, -r]) {
            for direction in [<dyn Monotone>::forward, <dyn Monotone>::inverse] {
                let params = tensor_as(vec![0.5, raw], [1, 2], dtype).autodiff().require_grad();
                let mapped =
                    direction(&*map, column(&[1.5], dtype).autodiff(), params.clone()).unwrap();
                let log_slope = host(mapped.log_slope.clone())[0];
                assert!(log_slope.abs() <= 7.0 && log_slope.abs() > 6.9, "{raw}: {log_slope}");
                let grads = (mapped.value.clone().sum() + mapped.log_slope.sum()).backward();
                all_finite("value", mapped.value);
                all_finite("gradient", params.grad(&grads).unwrap());
            }
        }
    }
}

#[test]
fn d5_p08_no_weight_of_any_layer_takes_a_scale_beyond_its_bound() {
    let layers = [
        (elementwise_affine(7.0), "params", 7.0),
        (LayerSpec::Plu(PluSpec { order: vec![1, 0] }), "log_scale", Plu::LOG_SCALE_MAX),
        (LayerSpec::Qr(QrSpec { reflections: 2 }), "log_diagonal", Qr::LOG_SCALE_MAX),
        (LayerSpec::Svd(SvdSpec { reflections: 1 }), "log_scale", Svd::LOG_SCALE_MAX),
        (LayerSpec::ActNorm(ActNormSpec {}), "log_scale", ActNorm::LOG_SCALE_MAX),
    ];
    for ((layer, name, bound), precision) in
        layers.iter().flat_map(|l| [Precision::F32, Precision::F64].map(|p| (l.clone(), p)))
    {
        for raw in [500.0, 1e4, 1e30].iter().flat_map(|r| [*r, -r]) {
            let mut flow = spec(2, precision, vec![layer.clone()]).build(0).unwrap();
            let name = format!("transform.0.{name}");
            let values =
                if name.ends_with("params") { vec![0.0, raw, 0.0, raw] } else { vec![raw; 2] };
            set(&mut flow, &[(&name, &values)]);
            let x = tensor_as(vec![1.5, -0.5, 0.0, 1e-8], [2, 2], precision.dtype());
            let there = flow.to_base(x.clone(), None).unwrap();
            let back = flow.to_data(there.value.clone(), None).unwrap();
            all_finite("value", there.value);
            let limit = 2.0 * bound * raw.signum();
            close("there", &host(there.log_det), &[limit; 2], 1e-5);
            close("back", &host(back.log_det), &[-limit; 2], 1e-5);
            close("x", &host(back.value), &host(x), 1e-5);
        }
    }
}

#[test]
fn p10_zuko_55_a_spline_cannot_beat_the_entropy_its_density_integrates_to_one() {
    for size in [1.0, 4.0, 20.0] {
        for seed in 0..6 {
            let spec = spec(1, Precision::F64, vec![elementwise_spline(16, 4.0)]);
            let model = model(randomised(&spec, seed, size), &[ColumnKind::Real]);
            let found = total_between(&model, 10.0, 20_001);
            assert!((found - 1.0).abs() < 1e-3, "size {size} seed {seed}: {found}");
        }
    }
}

/// Maps none of which has a formula for its inverse.
fn curves() -> [Box<dyn Monotone>; 7] {
    [
        scalar_map(LogisticMixture { components: 6, depth: 2 }),
        scalar_map(Bernstein { degree: 9, bound: 3.0 }),
        scalar_map(SumOfSquares { polynomials: 2, degree: 4, bound: 3.0 }),
        scalar_map(MonotonicNetwork { units: 6, nodes: 48, bound: 3.0 }),
        scalar_map(PolynomialSpline { degree: 1, bins: 8, bound: 3.0 }),
        scalar_map(PolynomialSpline { degree: 2, bins: 8, bound: 3.0 }),
        scalar_map(PolynomialSpline { degree: 3, bins: 8, bound: 3.0 }),
    ]
}

#[test]
fn p09_zuko_20_samples_of_logistic_mixtures_are_finite_and_are_what_was_asked_for() {
    let x = rows(normals(2 * 3000, 1).iter().map(|v| 5.0 * v).collect(), 2);
    let options = PresetOptions { hidden: vec![16], ..PresetOptions::default() };
    let spec = Preset::Flowpp.spec(2, 0, &options).unwrap();
    let options = FitOptions { epochs: Some(1.0), ..FitOptions::default() };
    let model = fit(spec, &[ColumnKind::Real; 2], TrainingData::rows(x), options);
    let drawn = model.sample(10_000, None, &SampleOptions::default()).unwrap();
    assert!(drawn.values().iter().all(|v| v.is_finite()));
    let (back, _) = model.to_base(&drawn, None, 1).unwrap();
    let (again, _) = model.to_data(&back, None, 1).unwrap();
    let missed = |(a, b): (&f64, &f64)| (a - b).abs() / (1.0 + a.abs());
    let worst = drawn.values().iter().zip(again.values()).map(missed).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn p31_tonyduan_2_no_weight_makes_a_planar_layer_fold() {
    for (dims, size) in [(1, 3.0), (2, 10.0), (5, 100.0)] {
        let spec = spec(dims, Precision::F64, vec![PlanarSpec {}.into(), RadialSpec {}.into()]);
        for seed in 0..20 {
            let flow = randomised(&spec, seed, size);
            let z = tensor(normals(200 * dims, seed), [200, dims]);
            let x = flow.to_data(z.clone(), None).unwrap();
            let back = flow.to_base(x.value, None).unwrap();
            all_finite("log-determinant", back.log_det.clone());
            // The volume may shrink a thousandfold a layer, and rounding grows by as much.
            close("round trip", &host(back.value), &host(z), 1e-6);
        }
    }
}

#[test]
fn p42_p44_umnn_zuko_nflows_values_far_out_are_neither_clipped_nor_lost() {
    for map in curves() {
        for far in [15.0, -400.0, 1e5, -1e9] {
            let params = params(&*map, 5, 1.0, DType::F64);
            let z: Vec<f64> = (0..5).map(|i| far * (1.0 + 0.3 * f64::from(i))).collect();
            let x = map.inverse(column(&z, DType::F64), params.clone()).unwrap();
            let again = map.forward(x.value, params).unwrap();
            close(&format!("{map:?} at {far}"), &host(again.value), &z, 1e-9);
            let sums = again.log_slope + x.log_slope;
            close("slopes", &host(sums), &[0.0; 5], 1e-9);
        }
    }
}

#[test]
fn p17_distrax_216_a_deviation_of_e_to_the_minus_20_is_exact() {
    let scale = (-20.0f64).exp();
    let x: Vec<f64> = [0.0, 1.0, -2.5, 6.0].iter().map(|v| v * scale).collect();
    let exact: Vec<f64> = x
        .iter()
        .map(|v| 20.0 - 0.5 * (v / scale).powi(2) - 0.5 * (2.0 * std::f64::consts::PI).ln())
        .collect();
    let units = Units::of(&schema(&[ColumnKind::Real], 0), &[0.0], &[scale]);
    for (precision, tolerance) in [(Precision::F64, 1e-12), (Precision::F32, 1e-5)] {
        let flow = spec(1, precision, vec![]).build(0).unwrap();
        let schema = schema(&[ColumnKind::Real], 0);
        let model = Model::with_units(flow, schema, units.clone()).unwrap();
        let found = model.log_prob(&rows(x.clone(), 1), None, 1).unwrap();
        close("units", &found, &exact, tolerance);
        let mut flow = spec(1, precision, vec![elementwise_affine(40.0)]).build(0).unwrap();
        let name = flow.parameters()[0].0.clone();
        set(&mut flow, &[(&name, &[0.0, 40.0 * 0.5f64.atanh()])]);
        let found = flow.log_prob(column(&x, precision.dtype()), None).unwrap();
        close("affine", &host(found), &exact, tolerance);
        let back = host(flow.sample(100, None, 1).unwrap());
        assert!(back.iter().all(|v| v.abs() < 6.0 * scale && *v != 0.0), "{back:?}");
    }
}

#[test]
fn p19_sbi_126_a_constant_column_divides_nothing_by_zero() {
    let mut layer = ActNorm::new(2, &Init::new(0, DType::F64, burn::tensor::Device::flex()));
    let x = tensor(vec![1.0, 7.0, 2.0, 7.0, 4.0, 7.0], [3, 2]);
    layer.start(x.clone(), &Given::default()).unwrap();
    let mapped = layer.forward(x, &Given::default()).unwrap();
    all_finite("actnorm", mapped.log_det);
    // The other column comes out with mean 0 and deviation 1.
    let first: Vec<f64> = host(mapped.value.clone()).into_iter().step_by(2).collect();
    let square = first.iter().map(|v| v * v).sum::<f64>();
    close("mean and variance", &[first.iter().sum::<f64>(), square / 3.0], &[0.0, 1.0], 1e-12);
    all_finite("actnorm", mapped.value);
    let second_constant = normals(50, 2).into_iter().flat_map(|v| [v, 7.0]).collect();
    let refused = Trainer::new(
        Preset::Maf.spec(2, 0, &PresetOptions::default()).unwrap(),
        schema(&[ColumnKind::Real; 2], 0),
        TrainingData { x: rows(second_constant, 2), context: None, weights: None },
        FitOptions::default(),
    );
    let error = refused.err().unwrap();
    assert!(error.kind() == ErrorKind::Data && error.message().contains("constant"), "{error}");
    assert!(error.message().contains("\"x1\"") && !error.message().contains("\"x0\""), "{error}");
    // A constant context column tells nothing, but a density can be conditioned on it.
    let data = TrainingData {
        x: rows(normals(100, 1), 1),
        context: Some(rows(vec![7.0; 100], 1)),
        weights: None,
    };
    let spec = Preset::Maf.spec(1, 1, &PresetOptions::default()).unwrap();
    let options = FitOptions { steps: Some(3), ..FitOptions::default() };
    let model = fit(spec, &[ColumnKind::Real], data, options);
    let x = rows(vec![0.3], 1);
    assert!(model.log_prob(&x, Some(&rows(vec![7.0], 1)), 1).unwrap()[0].is_finite());
}

fn fit(
    spec: FlowSpec,
    kinds: &[ColumnKind],
    data: TrainingData,
    options: FitOptions,
) -> diffeo::Model {
    let schema = schema(kinds, spec.context_dims);
    let mut trainer = Trainer::new(spec, schema, data, options).unwrap();
    while !matches!(trainer.advance().unwrap(), Event::Finished { .. }) {}
    trainer.finish().unwrap()
}

#[test]
fn p20_sbi_346_a_few_rows_far_out_do_not_hide_the_others_from_a_flow() {
    // The deviation of the first column is 6,300, that of all its rows but four is 1.
    let mut x = normals(2000, 8);
    x[..8].chunks_mut(2).for_each(|row| row[0] = 1e5 * row[0].signum());
    let data = TrainingData { x: rows(x.clone(), 2), context: None, weights: None };
    let small = PresetOptions { transforms: 3, hidden: vec![16, 16], ..PresetOptions::default() };
    let score = |preset: Preset| {
        let options = FitOptions {
            steps: Some(400),
            validation: ValidationChoice::None,
            ..FitOptions::default()
        };
        let spec = preset.spec(2, 0, &small).unwrap();
        let model = fit(spec, &[ColumnKind::Real; 2], data.clone(), options);
        let log_prob = model.log_prob(&rows(x.clone(), 2), None, 1).unwrap();
        assert!(log_prob.iter().all(|p| p.is_finite()), "{preset}");
        log_prob[4..].iter().sum::<f64>() / 996.0
    };
    let (gaussian, nsf) = (score(Preset::Gaussian), score(Preset::Nsf));
    assert!(nsf > gaussian + 3.0, "{nsf} against {gaussian} of a Gaussian");
}

#[test]
fn p30_pyro_2503_the_two_directions_of_iaf_are_consistent() {
    let options = |precision| PresetOptions {
        transforms: 4,
        hidden: vec![24, 24],
        precision,
        ..PresetOptions::default()
    };
    for (precision, tolerance) in [(Precision::F64, 1e-9), (Precision::F32, 2e-3)] {
        for preset in [Preset::Iaf, Preset::Maf] {
            let flow = randomised(&preset.spec(5, 0, &options(precision)).unwrap(), 3, 0.2);
            let z = normals(5 * 200, 9);
            let data =
                flow.to_data(tensor_as(z.clone(), [200, 5], precision.dtype()), None).unwrap();
            let back = flow.to_base(data.value, None).unwrap();
            close(preset.name(), &host(back.value), &z, tolerance);
            let sum = host(data.log_det + back.log_det);
            close(preset.name(), &sum, &[0.0; 200], tolerance);
        }
    }
}

#[test]
fn p32_pzflow_86_counts_come_back_exactly() {
    let kinds = [ColumnKind::Integer, ColumnKind::Integer];
    let counts: Vec<f64> = (0..400).map(|i| f64::from(i * i % 1009 - 100)).collect();
    for preset in [Preset::Nsf, Preset::Maf, Preset::RealNvp] {
        let spec = preset.spec(2, 0, &PresetOptions::default()).unwrap();
        let units = Units::of(&schema(&kinds, 0), &[400.0; 2], &[300.0; 2]);
        let flow = randomised(&spec, 1, 0.05);
        let model = Model::with_units(flow, schema(&kinds, 0), units).unwrap();
        let x = rows(counts.clone(), 2);
        let (z, _) = model.to_base(&x, None, 1).unwrap();
        let (back, _) = model.to_data(&z, None, 1).unwrap();
        let floored: Vec<f64> = back.values().iter().map(|v| v.floor()).collect();
        assert_eq!(floored, counts, "{preset}");
        let log_prob = model.log_prob(&x, None, 1).unwrap();
        assert!(log_prob.iter().all(|p| *p < 0.0), "{preset}: a probability above one");
    }
}

#[test]
fn p34_normalizingflows_jl_63_the_bound_is_where_the_tails_start() {
    for bound in [0.5, 1.0, 3.0, 10.0] {
        let map = scalar_map(spline(4, bound));
        let k = map.params_per_dim();
        let raw =
            tensor((0..k).map(|i| (i as f64 - 4.0) * 0.7).collect::<Vec<_>>().repeat(4), [4, k]);
        let x = [0.999 * bound, -0.999 * bound, 1.001 * bound, -1.001 * bound];
        let mapped = map.forward(column(&x, DType::F64), raw).unwrap();
        let (z, log_slope) = (host(mapped.value), host(mapped.log_slope));
        assert!(z[0] != x[0] && z[1] != x[1] && log_slope[0] != 0.0, "inside {bound}");
        assert_eq!((&z[2..], &log_slope[2..]), (&x[2..], &[0.0; 2][..]), "outside {bound}");
    }
}

#[test]
fn p35_nflows_49_one_affine_layer_reaches_a_deviation_of_100() {
    // `z = x e^s` with `s = -ln sigma`; the widest and narrowest that the default bound allows are 1096 and 1 / 1096.
    for sigma in [1e-3, 1.0, 10.0, 100.0, 1000.0] {
        let mut flow = spec(1, Precision::F64, vec![elementwise_affine(7.0)]).build(0).unwrap();
        let name = flow.parameters()[0].0.clone();
        set(&mut flow, &[(&name, &[0.0, 7.0 * (-f64::ln(sigma) / 7.0).atanh()])]);
        let x: Vec<f64> = [0.0, 0.7, -3.0].iter().map(|v| v * sigma).collect();
        let exact = |x: &f64| {
            -0.5 * (x / sigma).powi(2) - sigma.ln() - 0.5 * (2.0 * std::f64::consts::PI).ln()
        };
        let found = host(flow.log_prob(column(&x, DType::F64), None).unwrap());
        close("log_prob", &found, &x.iter().map(exact).collect::<Vec<_>>(), 1e-12);
    }
}

#[test]
fn p35_nflows_49_a_fit_of_one_layer_finds_a_deviation_of_100() {
    let x: Vec<f64> = normals(2000, 6).iter().map(|v| 100.0 * v).collect();
    let options = PresetOptions { transforms: 1, hidden: vec![16], ..PresetOptions::default() };
    let data = TrainingData { x: rows(x.clone(), 1), context: None, weights: None };
    let fit_options = FitOptions { steps: Some(100), ..FitOptions::default() };
    let model =
        fit(Preset::Maf.spec(1, 0, &options).unwrap(), &[ColumnKind::Real], data, fit_options);
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let found = mean(&model.log_prob(&rows(x.clone(), 1), None, 1).unwrap());
    let best = -0.5
        * (1.0
            + (2.0 * std::f64::consts::PI * mean(&x.iter().map(|v| v * v).collect::<Vec<_>>()))
                .ln());
    assert!((found - best).abs() < 0.01, "{found} against {best}");
    let sample = model.sample(2000, None, &SampleOptions::default()).unwrap();
    let spread = mean(&sample.values().iter().map(|v| v * v).collect::<Vec<_>>()).sqrt();
    assert!((spread - 100.0).abs() < 10.0, "{spread}");
}

#[test]
fn p43_zuko_infinities_have_density_zero_and_touch_no_other_row() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for precision in [Precision::F32, Precision::F64] {
        for preset in Preset::of_tables() {
            let options = PresetOptions { hidden: vec![16], precision, ..PresetOptions::default() };
            let flow = randomised(&preset.spec(2, 0, &options).unwrap(), 5, 0.3);
            let x = vec![inf, 0.0, 0.5, -0.5, 0.0, -inf, inf, -inf, nan, inf];
            let found = host(flow.log_prob(tensor(x, [5, 2]), None).unwrap());
            let alone = host(flow.log_prob(tensor(vec![0.5, -0.5], [1, 2]), None).unwrap());
            assert_eq!([found[0], found[2], found[3]], [-inf; 3], "{preset}");
            assert!(found[4].is_nan() && found[1].to_bits() == alone[0].to_bits(), "{preset}");
        }
    }
    let map = scalar_map(spline(8, 3.0));
    let x = column(&[inf, -inf, nan], DType::F64);
    for direction in [<dyn Monotone>::forward, <dyn Monotone>::inverse] {
        let mapped = direction(&*map, x.clone(), params(&*map, 3, 2.0, DType::F64)).unwrap();
        let (z, log_slope) = (host(mapped.value), host(mapped.log_slope));
        assert_eq!((z[0], z[1], &log_slope[..2]), (inf, -inf, &[0.0; 2][..]));
        assert!(z[2].is_nan());
    }
}

/// A banana: `x1 = x0^2 / 2 + noise`.
fn banana(n: usize, row: u64) -> Rows {
    let z = normals(2 * n, row);
    rows(z.chunks_exact(2).flat_map(|z| [2.0 * z[0], 2.0 * z[0] * z[0] + 0.3 * z[1]]).collect(), 2)
}

#[test]
fn p18_distrax_203_when_validation_diverges_the_best_weights_are_kept() {
    let data = |x: Rows| TrainingData { x, context: None, weights: None };
    let (train, valid) = (banana(600, 1), banana(300, 2));
    let options = FitOptions {
        // The rate rises to 0.5 all the way: the fit gets better, then falls apart.
        steps: Some(240),
        learning_rate: Some(0.5),
        clip_norm: f64::INFINITY,
        warmup: 1.0,
        average: Some(0.0),
        patience: Some(1000),
        validation: ValidationChoice::Given(data(valid.clone())),
        ..FitOptions::default()
    };
    let preset = PresetOptions { transforms: 3, hidden: vec![16, 16], ..PresetOptions::default() };
    let spec = Preset::RealNvp.spec(2, 0, &preset).unwrap();
    let mut trainer =
        Trainer::new(spec, schema(&[ColumnKind::Real; 2], 0), data(train), options).unwrap();
    let (mut losses, mut troubles) = (Vec::new(), 0);
    loop {
        match trainer.advance().unwrap() {
            Event::Validated { valid_loss, .. } => losses.push(valid_loss),
            Event::RolledBack { .. } => troubles += 1,
            Event::Finished { .. } => break,
            _ => {}
        }
    }
    let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
    let worse = losses.iter().filter(|l| **l > best + 0.5 || !l.is_finite()).count();
    assert!(worse + troubles > 0, "such a rate should hurt: {losses:?}");
    let model = trainer.finish().unwrap();
    let log_prob = model.log_prob(&valid, None, 1).unwrap();
    let found = -log_prob.iter().sum::<f64>() / log_prob.len() as f64;
    assert!((found - best).abs() < 1e-6 * best.abs().max(1.0), "{found} against the best, {best}");
    let start = losses[0];
    assert!(best < start, "the best of {losses:?} is not better than the start");
}
