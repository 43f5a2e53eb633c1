//! Fitting flows to tables of every kind.

mod train_support;

use diffeo::monotone::Affine;
use diffeo::train::{Event, FitOptions, StopReason, Trainer, TrainingData, ValidationChoice};
use diffeo::transforms::{ActNormSpec, AutoregressiveSpec, ResidualSpec};
use diffeo::{Column, ColumnKind, ErrorKind, FlowSpec, LayerSpec, Precision, Preset, Rows, Schema};
use serde_json::json;
use train_support::{bits, correlated, events, nsf, options, schema, small, trainer};

#[test]
fn a_gaussian_is_fitted_in_closed_form_to_the_moments_of_the_data() {
    let data = correlated(500, 3);
    let spec = small(Preset::Gaussian, 2, 0, Precision::F64);
    let options = FitOptions { validation: ValidationChoice::None, ..FitOptions::default() };
    let mut trainer = Trainer::new(spec, schema(), data.clone(), options).unwrap();
    assert_eq!(trainer.plan().steps_total, 0);
    assert_eq!(events(&mut trainer).1, StopReason::Completed);
    let model = trainer.finish().unwrap();

    let n = data.x.len() as f64;
    let columns = [data.x.column(0), data.x.column(1)];
    let mean = columns.each_ref().map(|c| c.iter().sum::<f64>() / n);
    let moment = |i: usize, j: usize| {
        let product = |(a, b): (&f64, &f64)| (a - mean[i]) * (b - mean[j]);
        columns[i].iter().zip(&columns[j]).map(product).sum::<f64>() / n
    };
    let (aa, ab, bb) = (moment(0, 0), moment(0, 1), moment(1, 1));
    let det = aa * bb - ab * ab;
    for (x, y) in [(1.0, -2.0), (0.0, 0.0), (3.0, -1.0)] {
        let (u, v) = (x - mean[0], y - mean[1]);
        let distance = (bb * u * u - 2.0 * ab * u * v + aa * v * v) / det;
        let exact = -0.5 * distance - 0.5 * det.ln() - (2.0 * std::f64::consts::PI).ln();
        let found = model.log_prob(&Rows::new(vec![x, y], 2).unwrap(), None, 1).unwrap()[0];
        assert!((found - exact).abs() < 1e-9, "{found} {exact}");
    }
}

#[test]
fn a_spline_flow_learns_a_correlated_normal() {
    let mut trainer = trainer(FitOptions { learning_rate: Some(5e-3), ..options(400) });
    let (events, reason) = events(&mut trainer);
    let losses: Vec<f64> = events
        .iter()
        .filter_map(|e| {
            if let Event::Validated { valid_loss, .. } = e { Some(*valid_loss) } else { None }
        })
        .collect();
    let model = trainer.finish().unwrap();
    let summary = model.summary.clone().unwrap();
    // The entropy of the data is 1.634 nats; so few rows leave some error.
    assert!(-summary.valid_log_prob_mean < losses[0] - 0.2, "{losses:?}");
    assert!(-summary.valid_log_prob_mean < 2.1, "{losses:?}");
    assert_eq!(summary.stop_reason, reason.to_string());
    assert_eq!((summary.rows_train, summary.rows_valid), (100, 50));
    assert!(summary.seconds.is_nan(), "the library reads no clock");
    assert_eq!(summary.history.len(), losses.len());
}

#[test]
fn an_inverse_autoregressive_flow_learns_it_through_its_inverse() {
    let options = FitOptions { learning_rate: Some(5e-3), ..options(400) };
    let spec = small(Preset::Iaf, 2, 0, Precision::F32);
    let mut trainer = Trainer::new(spec, schema(), correlated(100, 1), options).unwrap();
    events(&mut trainer);
    let found = -trainer.finish().unwrap().summary.unwrap().valid_log_prob_mean;
    assert!(found < 2.1, "{found} nats against 1.634");
}

#[test]
fn a_residual_flow_learns_it_by_exact_and_by_estimated_log_determinants_on_any_number_of_threads() {
    let fit = |exact_dims: usize, options: FitOptions| {
        let residual = ResidualSpec { exact_dims, ..ResidualSpec::new(vec![16]) };
        let pair = [LayerSpec::from(residual), ActNormSpec {}.into()];
        let spec = FlowSpec::new(2, [pair.clone(), pair].concat());
        let mut trainer = Trainer::new(spec, schema(), correlated(600, 1), options).unwrap();
        events(&mut trainer);
        trainer.finish().unwrap()
    };
    let nats = |exact_dims: usize| {
        let options = FitOptions { learning_rate: Some(5e-3), ..options(400) };
        -fit(exact_dims, options).summary.unwrap().valid_log_prob_mean
    };
    let [exact, estimated] = [8, 0].map(nats);
    assert!(exact < 2.1 && estimated < 2.1, "{exact} and {estimated} nats against 1.634");
    assert!((exact - estimated).abs() < 0.1, "{exact} and {estimated} nats");
    let weights = |threads: usize, exact_dims: usize| {
        let options = FitOptions { threads, batch: Some(600), ..options(10) };
        bits(&fit(exact_dims, options))
    };
    assert_eq!(weights(1, 0), weights(2, 0));
    assert_ne!(weights(1, 0), weights(1, 8), "an estimate is another number");
}

#[test]
fn d10_the_model_scores_its_validation_rows_as_recorded_bit_for_bit() {
    let mut trainer = trainer(options(30));
    events(&mut trainer);
    let model = trainer.finish().unwrap();
    let valid = correlated(50, 77).x;
    let log_prob = model.log_prob(&valid, None, 2).unwrap();
    let mean = log_prob.iter().sum::<f64>() / 50.0;
    let recorded = model.summary.as_ref().unwrap().valid_log_prob_mean;
    assert_eq!(mean.to_bits(), recorded.to_bits(), "{mean} {recorded}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    let loaded = diffeo::Model::load(&path).unwrap();
    assert_eq!(loaded.log_prob(&valid, None, 1).unwrap(), log_prob);
    // As text, because the first training loss is NaN.
    assert_eq!(format!("{:?}", loaded.summary), format!("{:?}", model.summary));
}

#[test]
fn d9_any_number_of_threads_gives_the_same_model() {
    let fit = |threads| {
        let options = FitOptions { threads, batch: Some(300), ..options(6) };
        let mut trainer = Trainer::new(nsf(), schema(), correlated(300, 1), options).unwrap();
        let events = format!("{:?}", events(&mut trainer));
        (bits(&trainer.finish().unwrap()), events)
    };
    let one = fit(1);
    for threads in [2, 8] {
        assert!(one == fit(threads), "{threads} threads");
    }
}

#[test]
fn every_kind_of_column_trains_with_weights_and_context() {
    let kinds = [
        ColumnKind::Real,
        ColumnKind::Positive,
        ColumnKind::Interval { low: 0.0, high: 1.0 },
        ColumnKind::Integer,
    ];
    let column = |(i, kind): (usize, &ColumnKind)| Column::new(format!("c{i}"), *kind);
    let schema = Schema::new(
        kinds.iter().enumerate().map(column).collect(),
        train_support::real_columns(&["context"]),
    );
    let normals = correlated(200, 5).x.into_values();
    let (mut x, mut context) = (Vec::new(), Vec::new());
    for pair in normals.chunks(2) {
        x.extend([
            1e9 + pair[0],
            (pair[0] * 30.0).exp(),
            1.0 / (1.0 + pair[1].exp()),
            pair[1].round(),
        ]);
        context.push(pair[0] + pair[1]);
    }
    let data = TrainingData {
        x: Rows::new(x, 4).unwrap(),
        context: Some(Rows::new(context, 1).unwrap()),
        weights: Some((0..200).map(|i| f64::from(i % 3)).collect()),
    };
    for preset in [Preset::Nsf, Preset::Maf, Preset::Iaf, Preset::RealNvp] {
        let spec = small(preset, 4, 1, Precision::F32);
        let options = FitOptions { steps: Some(40), ..FitOptions::default() };
        let mut trainer = Trainer::new(spec, schema.clone(), data.clone(), options).unwrap();
        let (events, _) = events(&mut trainer);
        assert!(!events.iter().any(|e| matches!(e, Event::RolledBack { .. })), "{events:?}");
        let model = trainer.finish().unwrap();
        assert!(model.summary.as_ref().unwrap().rows_train < 140, "rows of weight 0 are left out");
        let scores = model.log_prob(&data.x, data.context.as_ref(), 1).unwrap();
        assert!(scores.iter().all(|s| s.is_finite()), "{preset}: {scores:?}");
    }
}

#[test]
fn b5_schema_and_flow_must_agree_and_options_are_checked_first() {
    let three = small(Preset::Nsf, 3, 0, Precision::F32);
    let error =
        Trainer::new(three, schema(), correlated(10, 1), FitOptions::default()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("3 columns"), "{error}");
    let options = FitOptions { learning_rate: Some(-1.0), ..FitOptions::default() };
    let error = Trainer::new(nsf(), schema(), correlated(10, 1), options).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
}

#[test]
fn a_stopped_fit_keeps_the_last_weights_if_they_are_better() {
    let mut trainer = trainer(FitOptions { learning_rate: Some(5e-3), ..options(4000) });
    for _ in 0..80 {
        trainer.advance().unwrap();
    }
    trainer.stop(StopReason::MaxTime);
    let (_, reason) = events(&mut trainer);
    assert_eq!(reason, StopReason::MaxTime);
    let step = trainer.step();
    let summary = trainer.finish().unwrap().summary.unwrap();
    assert_eq!(summary.stop_reason, "max_time");
    assert_eq!(summary.best_step, step);
}

#[test]
fn d6_repeated_rows_are_the_first_thing_said() {
    let few = correlated(5, 1).x;
    let rows: Vec<usize> = (0..100).map(|i| i % 5).collect();
    let data = TrainingData { x: few.select(&rows), context: None, weights: None };
    let mut trainer = Trainer::new(nsf(), schema(), data, options(1)).unwrap();
    match trainer.advance().unwrap() {
        Event::Warning(text) => assert!(text.contains("repeat"), "{text}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn d6_warnings_are_kept_with_the_model_also_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fit.checkpoint");
    let few = correlated(5, 1).x;
    let rows: Vec<usize> = (0..100).map(|i| i % 5).collect();
    let data = TrainingData { x: few.select(&rows), context: None, weights: None };
    let mut trainer = Trainer::new(nsf(), schema(), data.clone(), options(4)).unwrap();
    trainer.advance().unwrap();
    trainer.save_checkpoint(&path).unwrap();
    let mut resumed = Trainer::resume(&path, data, options(4)).unwrap();
    for trainer in [&mut trainer, &mut resumed] {
        events(trainer);
    }
    for trainer in [trainer, resumed] {
        let warnings = trainer.finish().unwrap().summary.unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains("repeat"), "{warnings:?}");
    }
    let mut clean = train_support::trainer(options(4));
    events(&mut clean);
    assert!(clean.finish().unwrap().summary.unwrap().warnings.is_empty());
}

#[test]
fn e2_the_lowest_log_density_of_the_run_is_recorded() {
    let mut trainer = trainer(options(30));
    events(&mut trainer);
    let model = trainer.finish().unwrap();
    let of = |x: &Rows| {
        let log_prob = model.log_prob(x, None, 1).unwrap();
        log_prob.into_iter().fold(f64::INFINITY, f64::min)
    };
    let lowest = of(&correlated(100, 1).x).min(of(&correlated(50, 77).x));
    let summary = model.summary.as_ref().unwrap();
    assert_eq!(summary.log_prob_lowest, Some(lowest));
    // So are quantiles, of which the lowest is the first.
    assert_eq!(summary.quantile(0.0), Some(lowest));
    let mut all: Vec<f64> = [correlated(100, 1).x, correlated(50, 77).x]
        .iter()
        .flat_map(|x| model.log_prob(x, None, 1).unwrap())
        .collect();
    all.sort_by(f64::total_cmp);
    for share in [0.05, 0.1, 0.5, 0.9] {
        let value = summary.quantile(share).unwrap();
        let below = all.iter().filter(|p| **p <= value).count() as f64 / 150.0;
        assert!((below - share).abs() < 0.02, "{share}: {below}");
        assert!((summary.share_below(value).unwrap() - share).abs() < 1e-9);
    }
    let ends = [f64::NEG_INFINITY, lowest - 1.0, f64::NAN, f64::INFINITY];
    assert_eq!(ends.map(|p| summary.share_below(p).unwrap()), [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn b5_an_order_that_is_no_permutation_is_a_fault_of_the_configuration() {
    let wrong: [&[usize]; 4] = [&[0, 0], &[1, 2], &[0], &[0, 1, 2]];
    for order in wrong {
        let layers = [
            json!({"type": "permutation", "order": order}),
            json!({"type": "plu", "order": order}),
            json!({"type": "autoregressive", "monotone": {"type": "affine", "log_scale_max": 7.0},
                "network": {"hidden": [4]}, "order": order}),
        ];
        for layer in layers {
            let spec = json!({"dims": 2, "transforms": [layer], "base": {"type": "normal"}});
            let spec: FlowSpec = serde_json::from_value(spec).unwrap();
            let error = Trainer::new(spec, schema(), correlated(50, 1), options(1)).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Config, "{layer}: {error}");
            assert!(error.message().contains("order"), "{layer}: {error}");
        }
    }
}

#[test]
fn d5_p08_scales_at_their_bound_are_warned_about_once_and_scales_with_room_are_not() {
    // The second column's deviation given the first is 0.6 of its own: a log-scale of 0.5, and 0.05 is allowed.
    let warnings = |log_scale_max: f64| {
        let mut spec = small(Preset::Maf, 2, 0, Precision::F32);
        for layer in &mut spec.transforms {
            if let LayerSpec::Autoregressive(AutoregressiveSpec { monotone, .. }) = layer {
                *monotone = Affine { log_scale_max }.into();
            }
        }
        let options = FitOptions { learning_rate: Some(0.02), ..options(150) };
        let mut trainer = Trainer::new(spec, schema(), correlated(400, 1), options).unwrap();
        let told = events(&mut trainer).0;
        let again = trainer.advance().unwrap();
        assert!(matches!(again, Event::Finished { .. }), "{again:?}");
        let at_bound = |e: &&Event| matches!(e, Event::Warning(t) if t.contains("at their bound"));
        told.iter().filter(at_bound).count()
    };
    assert_eq!((warnings(0.05), warnings(7.0)), (1, 0));
}

#[test]
fn a2_a_row_or_two_are_fitted_with_a_warning_or_refused_with_the_minimum() {
    let few =
        |rows: usize| TrainingData { x: correlated(5, 1).x.slice(0..rows), ..correlated(1, 1) };
    let start = |rows, validation| {
        let options = FitOptions { validation, ..options(5) };
        Trainer::new(nsf(), schema(), few(rows), options)
    };
    for rows in [1, 2] {
        let error = start(rows, ValidationChoice::default()).err().unwrap();
        assert!(error.message().contains("at least 2"), "{error}");
        let mut trainer = start(rows, ValidationChoice::None).unwrap();
        let (told, reason) = events(&mut trainer);
        let warned = |e: &Event| matches!(e, Event::Warning(t) if t.contains("from one row"));
        assert_eq!((told.iter().any(warned), reason), (rows == 1, StopReason::Completed));
        let model = trainer.finish().unwrap();
        let log_prob = model.log_prob(&few(rows).x, None, 1).unwrap();
        assert!(log_prob.iter().all(|p| p.is_finite()), "{log_prob:?}");
    }
}

#[test]
fn masked_weights_stay_zero() {
    let masked_of = |model: &diffeo::Model| {
        let mut masked = Vec::new();
        model.flow().clone().visit(&mut |name, p| {
            if let Some(mask) = &p.mask {
                let outside = p.value.clone() * (mask.clone().neg() + 1.0);
                masked.push((name.to_owned(), outside.abs().max().into_scalar::<f32>()));
            }
        });
        masked
    };
    for preset in [Preset::Nsf, Preset::Maf] {
        let spec = small(preset, 2, 0, Precision::F32);
        let mut trainer = Trainer::new(spec, schema(), correlated(100, 1), options(10)).unwrap();
        events(&mut trainer);
        let masked = masked_of(&trainer.finish().unwrap());
        assert!(
            !masked.is_empty() && masked.iter().all(|(_, largest)| *largest == 0.0),
            "{masked:?}"
        );
    }
}
