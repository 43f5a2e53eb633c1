//! A program's own layer is a peer of the built-in ones; estimators are random in training and exact in scoring.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::Tensor;
use diffeo::train::{Event, Fit, FitOptions, Resume, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::{ChainSpec, Describe, InvertedSpec, Own, OwnLayer, Registry};
use diffeo::{
    ErrorKind, FlowSpec, Given, Init, LayerSpec, Mapped, Model, Parameter, Place, Preset,
    PresetOptions, Result, Rows, Transform, Visitor,
};
use serde::{Deserialize, Serialize};
use support::{bits, normals, rows};

/// `z = x e^s` with one `s` for all columns, whose log-determinant is only estimated where that is allowed: `d s (1 + noise)`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NoisyScaleSpec {
    noise: f64,
}

impl OwnLayer for NoisyScaleSpec {
    const NAME: &'static str = "noisy_scale";
}

impl Describe for NoisyScaleSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        match self.noise >= 0.0 {
            true => Ok(()),
            false => Err(diffeo::Error::config("noise must not be negative")),
        }
    }

    fn count(&self, _at: Place) -> Option<u64> {
        Some(1)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        let log_scale = Parameter::new(init.full([1, 1], 0.1));
        Ok(Box::new(NoisyScale { log_scale, dims: at.dims, noise: self.noise }))
    }
}

/// How often a layer was given draws.
static ESTIMATED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Debug)]
struct NoisyScale {
    log_scale: Parameter,
    dims: usize,
    noise: f64,
}

impl NoisyScale {
    fn log_det(&self, rows: usize, given: &Given<'_>) -> Tensor<1> {
        let s = self.log_scale.value.clone();
        let factor = match &given.draws {
            None => s.ones_like().expand([rows, 1]),
            Some(draws) => {
                ESTIMATED.fetch_add(1, Ordering::SeqCst);
                let noise = draws.normal([rows, 1], (&s.device(), s.dtype()));
                noise.mul_scalar(self.noise).add_scalar(1.0)
            }
        };
        diffeo::ops::sum_rows(s.mul_scalar(self.dims as f64) * factor)
    }
}

impl Transform for NoisyScale {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let log_det = self.log_det(x.dims()[0], given);
        Ok(Mapped { value: x * self.log_scale.value.clone().exp(), log_det })
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        let log_det = self.log_det(z.dims()[0], given).neg();
        Ok(Mapped { value: z * self.log_scale.value.clone().neg().exp(), log_det })
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("log_scale", &mut self.log_scale);
    }
}

fn own(noise: f64) -> LayerSpec {
    Own::new(NoisyScaleSpec { noise }).unwrap().into()
}

/// The layer at every depth: in a chain, in an inverted layer, before an autoregressive one.
fn spec() -> FlowSpec {
    let options = PresetOptions { transforms: 1, hidden: vec![8], ..PresetOptions::default() };
    let mut spec = Preset::Maf.spec(2, 0, &options).unwrap();
    let inside = vec![own(0.5), InvertedSpec::of(own(0.25)).into()];
    spec.transforms.insert(0, ChainSpec { transforms: inside }.into());
    spec.transforms.insert(0, own(1.0));
    spec
}

fn table() -> Rows {
    rows(normals(2 * 300, 4).iter().map(|v| 3.0 * v + 1.0).collect(), 2)
}

fn options(threads: usize) -> FitOptions {
    FitOptions { steps: Some(30), batch: Some(100), threads, ..FitOptions::default() }
}

fn weights(model: &Model) -> Vec<u64> {
    let all = model.flow().parameters().into_iter().map(|(_, value)| support::host(value));
    bits(&all.collect::<Vec<_>>().concat())
}

#[test]
fn an_own_layer_is_trained_saved_and_loaded_through_the_registry_and_refused_by_name_without() {
    let model = Fit::of(spec()).rows(table()).options(options(1)).run().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    model.save(&path).unwrap();
    let error = Model::load(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFile);
    assert!(
        error.message().contains("\"noisy_scale\"") && error.message().contains("load_with"),
        "{error}"
    );
    let registry = Registry::new().with::<NoisyScaleSpec>();
    let loaded = Model::load_with(&path, &registry).unwrap();
    let score = |m: &Model| bits(&m.log_prob(&table(), None, 1).unwrap());
    assert_eq!(score(&loaded), score(&model));
    assert_eq!(loaded.flow().spec(), model.flow().spec());
    // Settings that the layer refuses are refused.
    let mut bad = spec();
    bad.transforms[0] = own(-1.0);
    assert_eq!(bad.build(0).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn draws_reach_every_layer_in_training_and_none_in_scoring_and_threads_change_no_bit() {
    let before = ESTIMATED.load(Ordering::SeqCst);
    let fit = |threads| Fit::of(spec()).rows(table()).options(options(threads)).run().unwrap();
    let (one, two) = (fit(1), fit(2));
    assert!(ESTIMATED.load(Ordering::SeqCst) > before, "a layer in training was given draws");
    assert_eq!(weights(&one), weights(&two), "shards share the numbers of their rows");
    // The noise is there: without it the weights are others.
    let mut quiet = spec();
    quiet.transforms[0] = own(0.0);
    let quiet = Fit::of(quiet).rows(table()).options(options(1)).run().unwrap();
    assert_ne!(weights(&one), weights(&quiet));
    // Scoring is exact: the same for every call, and the log-determinants of both ways cancel.
    let x = table();
    let score = |model: &Model| bits(&model.log_prob(&x, None, 1).unwrap());
    assert_eq!(score(&one), score(&one));
    let (z, there) = one.to_base(&x, None, 1).unwrap();
    let (_, back) = one.to_data(&z, None, 1).unwrap();
    support::close("log-determinants", &there, &back.iter().map(|v| -v).collect::<Vec<_>>(), 1e-4);
}

#[test]
fn a_fit_of_an_own_layer_resumes_to_the_same_bits_with_its_registry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let data = || TrainingData::rows(table());
    let options = || FitOptions { validation: ValidationChoice::None, ..options(1) };
    let schema = diffeo::Schema::real(["a", "b"]);
    let mut first = Trainer::new(spec(), schema, data(), options()).unwrap();
    while first.step() < 10 {
        first.advance().unwrap();
    }
    first.save_checkpoint(&path).unwrap();
    while !matches!(first.advance().unwrap(), Event::Finished { .. }) {}
    let whole = first.finish().unwrap();
    let error = Trainer::resume(&path, data(), options()).err().unwrap();
    assert!(error.message().contains("noisy_scale"), "{error}");
    let registry = Registry::new().with::<NoisyScaleSpec>();
    let resume = Resume { registry, ..Resume::default() };
    let second = Trainer::resume_with(&path, data(), options(), &resume).unwrap();
    assert_eq!(weights(&second.run().unwrap()), weights(&whole));
}

#[test]
fn layers_that_start_from_data_do_so_wherever_they_stand() {
    use diffeo::transforms::ActNormSpec;
    let nested = vec![
        LayerSpec::from(ActNormSpec {}),
        ChainSpec { transforms: vec![ActNormSpec {}.into()] }.into(),
        InvertedSpec::of(ActNormSpec {}).into(),
        InvertedSpec::of(ChainSpec { transforms: vec![ActNormSpec {}.into()] }).into(),
    ];
    for layer in nested {
        let spec = FlowSpec::new(2, vec![layer.clone()]).in_precision(diffeo::Precision::F64);
        let mut flow = spec.build(0).unwrap();
        let x = support::tensor(table().into_values(), [300, 2]);
        flow.initialize(x.clone(), None).unwrap();
        let z = support::host(flow.to_base(x, None).unwrap().value);
        for column in 0..2 {
            let values: Vec<f64> = z.iter().skip(column).step_by(2).copied().collect();
            let mean = values.iter().sum::<f64>() / 300.0;
            let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 300.0;
            assert!(mean.abs() < 1e-9 && (square - 1.0).abs() < 1e-9, "{layer:?}: {mean} {square}");
        }
    }
}
