//! Models that go further where their context leads.

mod support;

use diffeo::train::{Fit, FitOptions};
use diffeo::transforms::Registry;
use diffeo::{
    Column, ErrorKind, Model, Precision, Preset, PresetOptions, Rows, SampleOptions, Schema,
};
use support::{bits, close, normals, randomised, rows};

/// Of some columns given one of three letters.
fn schema(dims: usize) -> Schema {
    let columns = (0..dims).map(|i| Column::real(format!("x{i}"))).collect();
    Schema::new(columns, vec![Column::category("letter", ["a", "b", "c"])])
}

fn model(preset: Preset, dims: usize) -> Model {
    let (hidden, precision) = (vec![16, 16], Precision::F64);
    let options = PresetOptions { hidden, transforms: 2, precision, ..PresetOptions::default() };
    let spec = preset.spec(dims, 3, &options).unwrap();
    Model::new(randomised(&spec, 3, 0.3), schema(dims)).unwrap()
}

/// The letter of each of some rows; from 3 on none that the model knows.
fn letters(n: usize, of: impl Fn(usize) -> f64) -> Rows {
    rows((0..n).map(of).collect(), 1)
}

#[test]
fn a_weight_says_how_far_a_model_goes() {
    for preset in [Preset::Nsf, Preset::NsfCoupling, Preset::Maf, Preset::TMaf, Preset::Iaf] {
        let model = model(preset, 3);
        let x = rows(normals(3 * 40, 0), 3);
        let (told, untold) = (letters(40, |i| (i % 3) as f64), letters(40, |_| 7.0));
        let of = |model: &Model, context: &Rows| model.log_prob(&x, Some(context), 1).unwrap();
        let name = preset.to_string();
        close(&name, &of(&model.guided(0.0).unwrap(), &told), &of(&model, &told), 1e-9);
        close(&name, &of(&model.guided(-1.0).unwrap(), &told), &of(&model, &untold), 1e-9);

        let guided = model.guided(1.5).unwrap();
        let apart =
            of(&guided, &told).iter().zip(of(&model, &told)).any(|(a, b)| (a - b).abs() > 0.01);
        assert!(apart, "{name}");
        let options = SampleOptions { seed: 5, ..SampleOptions::default() };
        let (drawn, log_prob) = guided.sample_with_log_prob(40, Some(&told), &options).unwrap();
        close(&name, &guided.log_prob(&drawn, Some(&told), 1).unwrap(), &log_prob, 1e-6);
        let again = Model::from_bytes(&guided.to_bytes().unwrap(), &Registry::new()).unwrap();
        assert_eq!(bits(&of(&again, &told)), bits(&of(&guided, &told)), "{name}");
    }
}

#[test]
fn a_guided_density_integrates_to_one() {
    let guided = model(Preset::Nsf, 1).guided(3.0).unwrap();
    let step = 1e-3;
    let x: Vec<f64> = (-30_000..30_000).map(|i| step * (f64::from(i) + 0.5)).collect();
    let context = letters(x.len(), |_| 1.0);
    let log_prob = guided.log_prob(&rows(x, 1), Some(&context), 1).unwrap();
    let total: f64 = log_prob.iter().map(|v| step * v.exp()).sum();
    assert!((total - 1.0).abs() < 1e-4, "{total}");
}

/// Two letters whose numbers overlap: what is drawn by a guided model lies further from the middle.
#[test]
fn guidance_tells_classes_apart() {
    let n = 2000;
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let x: Vec<f64> = normals(n, 1).iter().enumerate().map(|(i, v)| v + sign(i)).collect();
    let context = letters(n, |i| (i % 2) as f64);
    let fit = |share| {
        let shape = PresetOptions { hidden: vec![16], transforms: 1, ..PresetOptions::default() };
        let options = FitOptions {
            steps: Some(300),
            learning_rate: Some(1e-2),
            context_dropout: share,
            ..FitOptions::default()
        };
        let fit = Fit::new(Preset::Maf).preset_options(shape).schema(schema(1)).options(options);
        fit.rows(rows(x.clone(), 1)).given(context.clone()).run().unwrap()
    };
    let model = fit(0.3);
    let drawn = |model: &Model, letter: f64| {
        let (n, options) = (4000.0, SampleOptions { seed: 2, ..SampleOptions::default() });
        let drawn = model.sample(4000, Some(&letters(4000, |_| letter)), &options).unwrap();
        let mean = drawn.values().iter().sum::<f64>() / n;
        let square = drawn.values().iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        (mean, square.sqrt())
    };
    let [usual, further] = [&model, &model.guided(1.0).unwrap()].map(|model| drawn(model, 0.0));
    assert!((usual.0 - 1.0).abs() < 0.15 && (usual.1 - 1.0).abs() < 0.15, "{usual:?}");
    assert!(further.0 > 1.2 && further.1 < 0.85, "{further:?}");
    // Without a letter it is what both are together.
    let untold = drawn(&model, 7.0);
    assert!(untold.0.abs() < 0.15 && (untold.1 - 2f64.sqrt()).abs() < 0.15, "{untold:?}");

    let quantiles = |model: &Model| model.summary.as_ref().unwrap().log_prob_quantiles.len();
    assert!(quantiles(&model) > 0 && quantiles(&model.guided(1.0).unwrap()) == 0);

    let refused = fit(0.0).guided(1.0).unwrap_err();
    assert!(refused.message().contains("--context-dropout"), "{refused}");
}

#[test]
fn what_cannot_be_guided_is_refused() {
    for weight in [-1.5, 101.0, f64::NAN, f64::INFINITY] {
        let refused = model(Preset::Nsf, 2).guided(weight).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Config, "{weight}");
    }
    let refused = |model: Model| model.guided(1.0).unwrap_err().message().to_owned();
    assert!(refused(model(Preset::Ffjord, 2)).contains("Continuous"));
    assert!(refused(model(Preset::Nsf, 2).guided(1.0).unwrap()).contains("guided already"));
    let spec = Preset::Nsf.spec(2, 0, &PresetOptions::default()).unwrap();
    let plain = Schema::new(vec![Column::real("x"), Column::real("y")], vec![]);
    assert!(refused(Model::new(spec.build(1).unwrap(), plain).unwrap()).contains("no context"));

    let number = Schema { context: vec![Column::real("age")], ..schema(1) };
    let options = FitOptions { context_dropout: 0.1, ..FitOptions::default() };
    let [x, age] = [1, 2].map(|row| rows(normals(50, row), 1));
    let fit = Fit::new(Preset::Nsf).schema(number).options(options).rows(x).given(age);
    let refused = fit.into_trainer().err().expect("a number cannot be hidden");
    assert!(refused.message().contains("\"age\" is real"), "{refused}");
}
