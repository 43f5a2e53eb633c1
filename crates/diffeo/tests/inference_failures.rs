//! Failures of inference that users of other libraries reported: each input, and what must come out here. A test is named after its number in our list, the library
//! and the report.

mod support;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::inference::{
    Bootstrap, BootstrapOptions, ChainOptions, Constrained, Domain, FlowProposal, LogDensity,
    ModelProposal, OwnGradient, PlainDensity, RejectionOptions, VariationalOptions, draw_within,
    fit, run_chains,
};
use diffeo::{
    ColumnKind, Error, ErrorKind, Flow, Precision, Preset, PresetOptions, Result, Rows,
    SampleOptions,
};
use support::{host, model};

fn flow(dims: usize, context: usize) -> Flow {
    let options = PresetOptions {
        transforms: 2,
        hidden: vec![8],
        precision: Precision::F64,
        ..PresetOptions::default()
    };
    Preset::RealNvp.spec(dims, context, &options).unwrap().build(1).unwrap()
}

#[test]
fn e7_p21_sbi_1569_a_context_that_is_no_number_is_an_error_at_once() {
    let model = model(flow(2, 1), &[ColumnKind::Real; 2]);
    for bad in [f64::NAN, f64::INFINITY] {
        let context = Rows::new(vec![0.5, bad, 0.1], 1).unwrap();
        let error = model.sample(3, Some(&context), &SampleOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.message().contains("row 2"), "{error}");
    }
}

#[test]
fn e9_p22_sbi_741_a_region_that_is_never_hit_ends_with_the_rate() {
    let model = model(flow(2, 0), &[ColumnKind::Real; 2]);
    let proposal = ModelProposal { model: &model, options: SampleOptions::default() };
    let options = RejectionOptions { tries: 5000, ..RejectionOptions::default() };
    let error =
        draw_within(&proposal, &|row| row[0] > 1e9, 3, &options, |_, _| Ok(())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConverged);
    assert!(error.message().contains("accepted 0 of 3 rows in 5000 tries"), "{error}");
}

#[test]
fn e10_more_draws_begin_with_the_same_draws() {
    let model = model(flow(2, 0), &[ColumnKind::Real; 2]);
    let of = |n| model.sample(n, None, &SampleOptions::default()).unwrap();
    assert_eq!(of(1000).slice(0..10).values(), of(10).values());
}

/// Standard normal, but its slope by the second number is none.
struct Torn;

impl PlainDensity for Torn {
    fn dims(&self) -> usize {
        3
    }

    fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.iter_mut().zip(x).for_each(|(g, x)| *g = -x);
        gradient[1] = f64::NAN;
        -0.5 * x.iter().map(|x| x * x).sum::<f64>()
    }
}

#[test]
fn p36_flowmc_186_a_gradient_that_is_no_number_stops_with_the_number() {
    let target = OwnGradient { density: Torn, threads: 1 };
    let told = |what: &str, error: Error| {
        assert_eq!(error.kind(), ErrorKind::Domain, "{what}: {error}");
        assert!(error.message().contains("by number 2"), "{what}: {error}");
    };
    let mut steps = 0;
    let options = VariationalOptions { steps: 500, ..VariationalOptions::default() };
    let fitted = fit(flow(3, 0), &target, &options, |_| {
        steps += 1;
        Ok(())
    });
    told("fit", fitted.err().unwrap());
    assert!(steps < 100, "{steps}");
    let flow = flow(3, 0);
    let proposal = FlowProposal { flow: &flow, seed: 1 };
    let chains = run_chains(&target, &proposal, &ChainOptions::default(), |_| Ok(()));
    told("chains", chains.err().unwrap());
    let bootstrap = Bootstrap::new(flow.clone(), &target, BootstrapOptions::default());
    told("bootstrap", bootstrap.err().unwrap());
}

/// Uniform on the numbers that it is given.
struct Flat;

impl LogDensity for Flat {
    fn dims(&self) -> usize {
        1
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let n = x.dims()[0];
        Ok(x.mul_scalar(0.0).reshape([n]))
    }
}

#[test]
fn p45_nessai_the_edges_of_an_interval_are_in_its_volume() {
    let target =
        Constrained::new(Flat, vec![Domain::Interval { low: -2.0, high: 3.0, count: 1 }]).unwrap();
    let step = 0.01;
    let u: Vec<f64> = (-6000..=6000).map(|i| f64::from(i) * step).collect();
    let n = u.len();
    let u = Tensor::<2>::from_data(TensorData::new(u, [n, 1]), (&Device::flex(), DType::F64));
    let density = host(target.log_density(u).unwrap());
    let total: f64 = density.iter().map(|l| l.exp() * step).sum();
    assert!((total - 5.0).abs() < 1e-9, "{total}");
}
