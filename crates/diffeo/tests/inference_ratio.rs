//! Ratios of two populations whose densities are known.

use diffeo::inference::{
    DensityRatio, IntervalOptions, Populations, RatioOptions, Transported, Weights,
};
use diffeo::train::{Event, FitOptions, Trainer};
use diffeo::{Column, ColumnKind, Error, ErrorKind, Preset, PresetOptions, Purpose, Rows, Streams};
use diffeo::{fill_normal, uniform};

/// Normal rows of two columns about `shift`.
fn normals(n: usize, seed: u64, shift: f64) -> Rows {
    let mut values = vec![0.0; 2 * n];
    fill_normal(&mut Streams::new(seed).rng(Purpose::Check, 0, 0), &mut values);
    values.iter_mut().step_by(2).for_each(|v| *v += shift);
    Rows::new(values, 2).unwrap()
}

fn columns() -> Vec<Column> {
    vec![Column::real("a"), Column::real("b")]
}

fn quick() -> RatioOptions {
    let shape = PresetOptions { transforms: 2, hidden: vec![16], ..PresetOptions::default() };
    let (steps, learning_rate) = (Some(500), Some(5e-3));
    let fit = FitOptions { steps, learning_rate, threads: 2, ..FitOptions::default() };
    RatioOptions { preset: Preset::Maf, preset_options: Some(shape), fit, checkpoints: None }
}

#[test]
fn the_log_ratio_of_two_normals_is_found() -> diffeo::Result<()> {
    let rows = [normals(1500, 1, 0.0), normals(1500, 2, 1.0)];
    let populations = Populations::new(columns(), rows, 3, 0)?;
    let ratio = DensityRatio::fit(&populations, &quick(), |_, _, _| Ok(()))?;
    // `ln p2 / p1 = a - 1/2`.
    let exact = |rows: &Rows| rows.column(0).into_iter().map(|a| a - 0.5).collect::<Vec<_>>();
    let off = |found: &[f64], exact: Vec<f64>| {
        let squares = found.iter().zip(exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        (squares / found.len() as f64).sqrt()
    };
    for (found, rows) in ratio.log_ratios().iter().zip(populations.rows()) {
        assert!(off(found, exact(rows)) < 0.3, "{}", off(found, exact(rows)));
    }
    let new = normals(500, 3, 0.5);
    assert!(off(&ratio.log_ratio(&new, 2)?, exact(&new)) < 0.2);
    assert!((0.8..1.25).contains(&ratio.slope()), "{}", ratio.slope());
    let classifier = populations.classifier_log_ratios(1)?;
    let by_classifier = off(&classifier[0], exact(&populations.rows()[0]));
    assert!(by_classifier < 0.3, "{by_classifier}");
    Ok(())
}

#[test]
fn a_run_that_was_interrupted_goes_on_to_the_same_bits() -> diffeo::Result<()> {
    let rows = [normals(200, 1, 0.0), normals(200, 2, 1.0)];
    let populations = Populations::new(columns(), rows, 3, 0)?;
    let folder = tempfile::tempdir().unwrap();
    let mut options = quick();
    options.fit.steps = Some(60);
    let whole = DensityRatio::fit(&populations, &options, |_, _, _| Ok(()))?;
    options.checkpoints = Some(folder.path().join("ratio"));
    // Stopped in the middle of the second flow, twice; the first is not fitted again.
    for steps in [20, 40] {
        let stop = |fold: usize, trainer: &mut Trainer, _: &Event| match (fold, trainer.step()) {
            (1, step) if step >= steps => Err(Error::new(ErrorKind::Interrupted, "stop")),
            (0, step) if steps == 40 && step < 60 => Err(Error::data("fitted again")),
            _ => Ok(()),
        };
        let error = DensityRatio::fit(&populations, &options, stop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    }
    assert!(options.checkpoint(1).unwrap().exists() && !options.checkpoint(2).unwrap().exists());
    let resumed = DensityRatio::fit(&populations, &options, |_, _, _| Ok(()))?;
    assert_eq!(resumed.log_ratios(), whole.log_ratios());
    options.fit.seed = 1;
    let error = DensityRatio::fit(&populations, &options, |_, _, _| Ok(())).unwrap_err();
    assert!(error.message().contains("seed"), "{error}");
    Ok(())
}

#[test]
fn an_error_of_the_watcher_ends_all() -> diffeo::Result<()> {
    let rows = [normals(50, 1, 0.0), normals(50, 2, 0.0)];
    let populations = Populations::new(columns(), rows, 2, 0)?;
    let stop = |_: usize, _: &mut _, _: &_| Err(Error::new(ErrorKind::Interrupted, "stop"));
    let error = DensityRatio::fit(&populations, &quick(), stop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    Ok(())
}

#[test]
fn populations_that_cannot_be_dealt_are_refused() {
    let [few, many] = [normals(3, 1, 0.0), normals(50, 2, 0.0)];
    let error = Populations::new(columns(), [many.clone(), few], 2, 0).unwrap_err();
    assert!(error.message().contains("second population"), "{error}");
    let error = Populations::new(columns(), [many.clone(), many.clone()], 1, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let one = vec![Column::real("a")];
    let error = Populations::new(one, [many.clone(), many], 2, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
}

#[test]
fn categories_and_missing_values_tell_populations_apart() -> diffeo::Result<()> {
    let sample = |seed: u64, share: f64| {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 0, 0);
        let mut values = Vec::new();
        for _ in 0..2000 {
            let level = f64::from(u8::from(uniform(&mut rng) < share));
            values.extend([level, if uniform(&mut rng) < 0.3 { f64::NAN } else { level }]);
        }
        Rows::new(values, 2)
    };
    let mut number = Column::new("b", ColumnKind::Boolean);
    number.holes = true;
    let columns = vec![Column::category("a", ["no", "yes"]), number];
    let rows = [sample(1, 0.5)?, sample(2, 0.8)?];
    let populations = Populations::new(columns, rows, 2, 0)?;
    let ratio = DensityRatio::fit(&populations, &quick(), |_, _, _| Ok(()))?;
    for found in [ratio.log_ratios(), &populations.classifier_log_ratios(1)?] {
        for (row, ratio) in populations.rows()[0].values().chunks_exact(2).zip(&found[0]) {
            let exact = if row[0] == 1.0 { (0.8_f64 / 0.5).ln() } else { (0.2_f64 / 0.5).ln() };
            assert!((ratio - exact).abs() < 0.2, "{row:?} {ratio} {exact}");
        }
    }
    Ok(())
}

/// Intervals of the average over a shifted normal, by exact weights and by weights that are wrong together with a regression that is right.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() -> diffeo::Result<()> {
    let (mut held, mut saved, repetitions) = (0, 0, 300);
    for seed in 0..repetitions {
        let [here, there] = [normals(300, 2 * seed, 0.0), normals(300, 2 * seed + 1, 0.5)];
        let noise = normals(300, 10_000 + seed, 0.0).column(1);
        let outcome: Vec<f64> =
            here.column(0).iter().zip(&noise).map(|(a, e)| a * a + 0.5 * e).collect();
        let weights = Weights::new(here.column(0).iter().map(|a| 0.5 * a - 0.125).collect())?;
        let options = IntervalOptions { resamples: 500, seed, threads: 2, ..Default::default() };
        let [low, high] = Transported::new(&weights, &outcome)?.interval(&options)?;
        held += u64::from((low..=high).contains(&1.25));
        let expected = |rows: &Rows| rows.column(0).iter().map(|a| a * a).collect::<Vec<_>>();
        let wrong = Weights::new(vec![0.0; 300])?;
        let both = Transported::new(&wrong, &outcome)?;
        let both = both.with_expected(&expected(&here), expected(&there))?;
        let [low, high] = both.interval(&options)?;
        saved += u64::from((low..=high).contains(&1.25));
    }
    for held in [held, saved] {
        let share = held as f64 / repetitions as f64;
        assert!((0.91..0.985).contains(&share), "{share}");
    }
    Ok(())
}
