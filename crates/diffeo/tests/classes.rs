//! Densities given classes as what tells them: Bayes' rule, and fits that heed the class.

mod support;

use diffeo::train::{Fit, FitOptions, Loss};
use diffeo::{Column, ColumnKind, ErrorKind, Model, Preset, PresetOptions, Rows, Schema};
use support::{bits, close, normals, rows};

fn schema(dims: usize) -> Schema {
    let columns = (0..dims).map(|i| Column::real(format!("x{i}"))).collect();
    Schema::new(columns, vec![Column::category("letter", ["a", "b"])])
}

fn letters(n: usize, of: impl Fn(usize) -> usize) -> Rows {
    rows((0..n).map(|i| of(i) as f64).collect(), 1)
}

/// A normal number each, about 1 for the letter a and -1 for b.
fn two(n: usize, key: u64, letter: impl Fn(usize) -> usize) -> (Rows, Rows) {
    let mean = |i: usize| if letter(i) == 0 { 1.0 } else { -1.0 };
    let x = normals(n, key).iter().enumerate().map(|(i, v)| v + mean(i)).collect();
    (rows(x, 1), letters(n, letter))
}

fn fitted(x: &Rows, letters: &Rows, preset: Preset, options: FitOptions) -> Model {
    let shape = PresetOptions { hidden: vec![16], transforms: 1, ..PresetOptions::default() };
    let fit = Fit::new(preset).preset_options(shape).schema(schema(x.width())).options(options);
    fit.rows(x.clone()).given(letters.clone()).run().unwrap()
}

fn options(contrast: f64) -> FitOptions {
    FitOptions { steps: Some(300), learning_rate: Some(1e-2), contrast, ..FitOptions::default() }
}

/// Share of rows whose likeliest letter is theirs.
fn accuracy(model: &Model, x: &Rows, letters: &Rows) -> f64 {
    let found = model.classify(x, letters, 0, &[0.5, 0.5], 1).unwrap();
    let is_right = |i: &usize| {
        let p = found.probabilities.row(*i);
        f64::from(u8::from(p[1] > p[0])) == letters.row(*i)[0]
    };
    (0..x.len()).filter(is_right).count() as f64 / x.len() as f64
}

/// Three rows of a for each of b: what is known of a row before it is seen counts, and the contrast moves neither density nor classes from the truth.
#[test]
fn classes_have_the_probabilities_of_bayes_rule() {
    let (x, letters) = two(4000, 1, |i| usize::from(i % 4 == 0));
    for contrast in [0.0, 20.0] {
        let model = fitted(&x, &letters, Preset::Maf, options(contrast));
        assert_eq!(model.class_column(None).unwrap(), 0);
        close("shares", &model.class_shares(0), &[0.75, 0.25], 1e-12);

        let at = rows((-20..=20).map(|i| 0.1 * f64::from(i)).collect(), 1);
        let context = rows(vec![f64::NAN; at.len()], 1);
        let found = model.classify(&at, &context, 0, &model.class_shares(0), 2).unwrap();
        let log_odds = |x: f64| 2.0 * x + 3f64.ln();
        for i in 0..at.len() {
            let (p, x) = (found.probabilities.row(i), at.row(i)[0]);
            let expected = 1.0 / (1.0 + (-log_odds(x)).exp());
            assert!((p[0] - expected).abs() < 0.05, "{contrast}: {x} {p:?} {expected}");
            assert!((p[0] + p[1] - 1.0).abs() < 1e-12);
            let normal =
                |m: f64| (-0.5 * (x - m).powi(2)).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let density = 0.75 * normal(1.0) + 0.25 * normal(-1.0);
            assert!((found.log_prob[i] - density.ln()).abs() < 0.15, "{contrast}: {x}");
        }
        let (new, truth) = two(4000, 2, |i| i % 2);
        let right = accuracy(&model, &new, &truth);
        assert!((right - 0.8413).abs() < 0.015, "{contrast}: {right}");
    }
}

/// The letter is the sign of a product of two of eight numbers, which decides 0.7 of eleven nats.
#[test]
fn a_contrast_tells_classes_that_the_likelihood_hardly_sees() {
    let n = 4000;
    let of = |key| {
        let x = rows(normals(8 * n, key), 8);
        let letters = letters(n, |i| usize::from(x.row(i)[2] * x.row(i)[5] > 0.0));
        (x, letters)
    };
    let ((x, given), (new, truth)) = (of(1), of(2));
    let right = |contrast| {
        let model = fitted(&x, &given, Preset::NsfCoupling, options(contrast));
        accuracy(&model, &new, &truth)
    };
    let [without, with] = [right(0.0), right(10.0)];
    assert!(with > without + 0.05 && with > 0.8, "{without} {with}");
}

#[test]
fn contrasts_have_the_same_bits_on_any_threads() {
    let (x, letters) = two(400, 1, |i| i % 2);
    let of = |threads| {
        let options = FitOptions { steps: Some(20), batch: Some(128), threads, ..options(3.0) };
        let model = fitted(&x, &letters, Preset::Nsf, options);
        bits(&model.log_prob(&x, Some(&letters), 1).unwrap())
    };
    assert_eq!(of(1), of(3));
}

#[test]
fn what_has_no_classes_is_refused() {
    let (x, letters) = two(100, 1, |i| i % 2);
    let fit = |schema: Schema, options: FitOptions| {
        let fit = Fit::new(Preset::Maf).schema(schema.clone()).options(options).rows(x.clone());
        let fit = if schema.context.is_empty() { fit } else { fit.given(letters.clone()) };
        fit.into_trainer().err().map(|e| e.message().to_owned()).unwrap_or_default()
    };
    let said = fit(Schema { context: vec![], ..schema(1) }, options(1.0));
    assert!(said.contains("there is no context"), "{said}");
    let loss = Some(Loss::FlowMatching);
    let said = fit(schema(1), FitOptions { contrast: -1.0, ..options(0.0) });
    assert!(said.contains("contrast must be a number from 0"), "{said}");
    let flow = Fit::new(Preset::OtFlowMatching).schema(schema(1));
    let flow =
        flow.options(FitOptions { loss, ..options(1.0) }).rows(x.clone()).given(letters.clone());
    let said = flow.into_trainer().err().unwrap();
    assert!(said.message().contains("loss likelihood alone"), "{said}");

    let model = fitted(&x, &letters, Preset::Maf, FitOptions { steps: Some(1), ..options(0.0) });
    for shares in [&[1.0][..], &[0.0, 0.0], &[-1.0, 2.0], &[f64::NAN, 1.0]] {
        let error = model.classify(&x, &letters, 0, shares, 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{shares:?}");
    }
    let said = |model: &Model, name| model.class_column(name).unwrap_err().message().to_owned();
    assert!(said(&model, Some("word")).contains("which is not in it"));
    let context =
        vec![Column::category("letter", ["a", "b"]), Column::new("is", ColumnKind::Boolean)];
    let spec = Preset::Maf.spec(1, 3, &PresetOptions::default()).unwrap();
    let several = Model::new(spec.build(1).unwrap(), Schema { context, ..schema(1) }).unwrap();
    assert!(said(&several, None).contains("name one"));
    assert_eq!(several.class_column(Some("is")).unwrap(), 1);
    close("shares", &several.class_shares(1), &[0.5, 0.5], 0.0);
    let spec = Preset::Maf.spec(1, 2, &PresetOptions::default()).unwrap();
    let ages = Schema { context: ["age", "size"].map(Column::real).to_vec(), ..schema(1) };
    let of_numbers = Model::new(spec.build(1).unwrap(), ages).unwrap();
    assert!(said(&of_numbers, None).contains("--context LABEL"));
    assert!(said(&of_numbers, Some("age")).contains("found \"age\""));
}
