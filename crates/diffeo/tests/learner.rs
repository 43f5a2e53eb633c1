//! The open doors of training: a learner of any module, objectives and sources of batches, and a fit in one expression.

mod support;

use burn::tensor::Tensor;
use diffeo::inference::{BaseDraws, LogDensity, ReverseKl};
use diffeo::monotone::Affine;
use diffeo::network::{Activation, NetworkSpec};
use diffeo::train::{Batch, Event, Fit, Learner, LearnerOptions, Likelihood, Source};
use diffeo::transforms::{AutoregressiveSpec, InvertedSpec};
use diffeo::{
    ErrorKind, Flow, FlowSpec, Parameter, Precision, Preset, PresetOptions, Result, Rows,
    Trainable, Visitor,
};
use support::{bits, host, normals, rows, tensor};

/// A module that is no flow: a line through points.
#[derive(Clone, Debug)]
struct Line {
    slope: Parameter,
    offset: Parameter,
}

impl Trainable for Line {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("slope", &mut self.slope);
        visitor("offset", &mut self.offset);
    }
}

fn line() -> Line {
    let zero = || Parameter::new(tensor(vec![0.0], [1, 1]));
    Line { slope: zero(), offset: zero() }
}

/// `y = 2 x - 1` at 50 points.
fn loss(line: &Line) -> Result<Tensor<1>> {
    let x = normals(50, 1);
    let y: Vec<f64> = x.iter().map(|x| 2.0 * x - 1.0).collect();
    let found = tensor(x, [50, 1]) * line.slope.value.clone() + line.offset.value.clone();
    Ok((found - tensor(y, [50, 1])).square().mean())
}

fn quick() -> LearnerOptions {
    LearnerOptions { learning_rate: 0.05, ..LearnerOptions::default() }
}

#[test]
fn a_learner_trains_any_module_and_goes_on_from_its_checkpoint_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.checkpoint");
    let mut learner = Learner::new(line(), LearnerOptions { average: 0.9, ..quick() }).unwrap();
    for step in 0..400 {
        learner.step(loss).unwrap();
        if step == 149 {
            learner.save(&path).unwrap();
        }
    }
    let of = |line: &Line| [&line.slope, &line.offset].map(|p| host(p.value.clone())[0]);
    let [slope, offset] = of(learner.module());
    assert!((slope - 2.0).abs() < 1e-3 && (offset + 1.0).abs() < 1e-3, "{slope} {offset}");
    let [slope, offset] = of(&learner.averaged().unwrap());
    assert!((slope - 2.0).abs() < 1e-2 && (offset + 1.0).abs() < 1e-2, "{slope} {offset}");
    let mut again = Learner::new(line(), LearnerOptions { average: 0.9, ..quick() }).unwrap();
    again.restore(&path).unwrap();
    assert_eq!(again.steps(), 150);
    for _ in 150..400 {
        again.step(loss).unwrap();
    }
    assert_eq!(of(again.module()).map(f64::to_bits), of(learner.module()).map(f64::to_bits));
    // A checkpoint of something else is refused.
    let options =
        PresetOptions { hidden: vec![4], precision: Precision::F64, ..Default::default() };
    let flow = Preset::Maf.spec(1, 0, &options).unwrap().build(0).unwrap();
    let error = Learner::new(flow, quick()).unwrap().restore(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("was slope of shape [1, 1], is transform.0"), "{error}");
    // So is one whose average there is none to go on with.
    let error = Learner::new(line(), quick()).unwrap().restore(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.message().contains("with a running average"), "{error}");
}

#[test]
fn d1_a_step_that_is_not_finite_goes_back_to_the_last_good_weights_at_half_the_rate() {
    let mut learner = Learner::new(line(), LearnerOptions { good_after: 10, ..quick() }).unwrap();
    for _ in 0..10 {
        learner.step(loss).unwrap();
    }
    let good = host(learner.module().slope.value.clone());
    learner.step(loss).unwrap();
    assert_ne!(host(learner.module().slope.value.clone()), good);
    let event = learner.step(|line| Ok(loss(line)? * f64::NAN)).unwrap();
    let Event::RolledBack { to_step, learning_rate, .. } = event else { panic!("{event:?}") };
    assert_eq!((to_step, learning_rate), (10, 0.025));
    assert_eq!(host(learner.module().slope.value.clone()), good);
    // Ten good steps later the rate is what it was.
    let rates = (0..11).map(|_| match learner.step(loss).unwrap() {
        Event::Step { learning_rate, .. } => learning_rate,
        event => panic!("{event:?}"),
    });
    assert_eq!(rates.collect::<Vec<_>>(), [[0.025; 10].as_slice(), &[0.05]].concat());
}

#[test]
fn d1_steps_that_are_never_finite_end_with_an_error_and_the_last_good_weights() {
    let mut learner = Learner::new(line(), LearnerOptions { good_after: 10, ..quick() }).unwrap();
    (0..12).for_each(|_| drop(learner.step(loss).unwrap()));
    for _ in 0..9 {
        let event = learner.step(|line| Ok(loss(line)? * f64::NAN)).unwrap();
        assert!(matches!(event, Event::RolledBack { to_step: 10, .. }), "{event:?}");
        // Good steps that are too few for good weights do not begin the count anew.
        learner.step(loss).unwrap();
    }
    let error = learner.step(|line| Ok(loss(line)? * f64::NAN)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    assert!(error.message().contains("10 times"), "{error}");
    assert!(host(learner.module().slope.value.clone()).iter().all(|w| w.is_finite()));
}

#[test]
fn options_of_a_learner_are_checked() {
    for options in [
        LearnerOptions { learning_rate: f64::NAN, ..quick() },
        LearnerOptions { average: 1.0, ..quick() },
        LearnerOptions { threads: 0, ..quick() },
    ] {
        assert_eq!(Learner::new(line(), options).err().unwrap().kind(), ErrorKind::Config);
    }
    let mut learner = Learner::new(line(), quick()).unwrap();
    assert_eq!(learner.set_learning_rate(f64::NAN).unwrap_err().kind(), ErrorKind::Config);
    learner.step(loss).unwrap();
}

/// The same rows again and again.
struct Table(Rows);

impl Source for Table {
    fn batch(&mut self, _step: u64) -> Result<Batch> {
        Ok(Batch::of(self.0.clone()))
    }
}

#[test]
fn the_likelihood_is_an_objective_like_any_other() {
    let x = rows(normals(400, 2).iter().map(|v| 0.5 * v + 2.0).collect(), 1);
    let network = NetworkSpec { hidden: vec![4], residual: false, activation: Activation::Tanh };
    let layer = AutoregressiveSpec::new(Affine::default(), network);
    let flow = FlowSpec::new(1, vec![layer.into()]).build(0).unwrap();
    let mut learner = Learner::new(flow, quick()).unwrap();
    let mut source = Table(x.clone());
    let mut last = f64::NAN;
    for _ in 0..400 {
        if let Event::Step { loss, .. } = learner.learn(&Likelihood, &mut source).unwrap() {
            last = loss;
        }
    }
    // The entropy of the sample's own Gaussian.
    let mean = x.values().iter().sum::<f64>() / 400.0;
    let variance = x.values().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 400.0;
    let best = 0.5 * (1.0 + (2.0 * std::f64::consts::PI * variance).ln());
    assert!((last - best).abs() < 1e-3, "{last} against {best}");
}

/// `N((1, -1), [[1, 0.6], [0.6, 1]])` without its constant.
struct Target;

impl LogDensity for Target {
    fn dims(&self) -> usize {
        2
    }

    fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
        let a = x.clone().narrow(1, 0, 1).sub_scalar(1.0);
        let b = x.narrow(1, 1, 1).add_scalar(1.0) - a.clone().mul_scalar(0.6);
        let square = a.square() + b.square().div_scalar(1.0 - 0.36);
        Ok(square.sum_dim(1).reshape([-1]).mul_scalar(-0.5))
    }
}

#[test]
fn reverse_kl_finds_a_gaussian_target_and_its_constant() {
    let network = NetworkSpec { hidden: vec![8], residual: false, activation: Activation::Tanh };
    let layer = AutoregressiveSpec::new(Affine::default(), network);
    let spec = FlowSpec::new(2, vec![InvertedSpec::of(layer).into()]).in_precision(Precision::F64);
    let flow: Flow = spec.build(0).unwrap();
    let mut draws = BaseDraws::new(&flow, 128, 3);
    let mut learner = Learner::new(flow, LearnerOptions { average: 0.98, ..quick() }).unwrap();
    let mut last = Vec::new();
    for step in 0..400 {
        if step == 300 {
            learner.set_learning_rate(0.005).unwrap();
        }
        if let Event::Step { loss, .. } = learner.learn(&ReverseKl(Target), &mut draws).unwrap() {
            last.push(loss);
        }
    }
    // KL = loss + ln Z, with Z = 2 pi sqrt(1 - 0.6^2).
    let log_z = (2.0 * std::f64::consts::PI * 0.8).ln();
    let kl = last[350..].iter().sum::<f64>() / 50.0 + log_z;
    assert!(kl.abs() < 0.02, "{kl}");
    let flow = learner.averaged().unwrap();
    let x = host(flow.sample(20_000, None, 5).unwrap());
    let mean = |j: usize| x.iter().skip(j).step_by(2).sum::<f64>() / 20_000.0;
    assert!(
        (mean(0) - 1.0).abs() < 0.05 && (mean(1) + 1.0).abs() < 0.05,
        "{} {}",
        mean(0),
        mean(1)
    );
}

#[test]
fn batches_of_draws_are_the_same_whenever_they_are_asked_for() {
    let flow = FlowSpec::new(3, vec![]).build(0).unwrap();
    let mut draws = BaseDraws::new(&flow, 5, 1);
    let of = |draws: &mut BaseDraws, step| bits(draws.batch(step).unwrap().x.values());
    let later = of(&mut draws, 7);
    assert_ne!(of(&mut draws, 6), later);
    assert_eq!(of(&mut BaseDraws::new(&flow, 5, 1), 7), later);
}

#[test]
fn a_fit_says_what_is_missing_and_names_columns_by_itself() {
    assert_eq!(Fit::new(Preset::Maf).run().unwrap_err().kind(), ErrorKind::Data);
    let x = rows(normals(300, 3), 3);
    let own = Fit::of(FlowSpec::new(3, vec![])).rows(x.clone());
    let error = own.preset_options(PresetOptions::default()).run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let options = PresetOptions { transforms: 1, hidden: vec![8], ..PresetOptions::default() };
    let fit = Fit::new(Preset::Maf).preset_options(options).rows(x).steps(5);
    let model = fit.clone().run().unwrap();
    let names: Vec<_> = model.schema().columns.iter().map(|c| c.name.clone()).collect();
    assert_eq!(names, ["x0", "x1", "x2"]);
    let conditional = fit.given(rows(normals(100, 4), 1)).run().unwrap();
    assert_eq!(conditional.schema().context[0].name, "context0");
}
