//! The self-test passes on sound models and fails on data that is not theirs.

use diffeo::bases::{MixtureSpec, StudentTSpec, UniformSpec};
use diffeo::check::{CheckData, CheckOptions, CheckResult, check};
use diffeo::laws::{built, randomised};
use diffeo::network::Activation;
use diffeo::{
    BaseSpec, Column, ColumnKind, ErrorKind, Flow, FlowSpec, Model, Precision, Preset,
    PresetOptions, Purpose, Rows, SampleOptions, Schema, Streams, Unit, Units, normal,
};

const OPTIONS: CheckOptions = CheckOptions { seed: 1, threads: 2, samples: 3000 };

fn columns(names: &[&str], kinds: &[ColumnKind]) -> Vec<Column> {
    let column = |(name, kind): (&&str, &ColumnKind)| Column::new(*name, *kind);
    names.iter().zip(kinds).map(column).collect()
}

fn spec(preset: Preset, dims: usize, context: usize, precision: Precision) -> FlowSpec {
    let options = PresetOptions {
        transforms: 2,
        hidden: vec![16],
        activation: Activation::Tanh,
        precision,
        ..PresetOptions::default()
    };
    preset.spec(dims, context, &options).unwrap()
}

fn model(flow: Flow) -> Model {
    let real = |names: &str, n| {
        columns(&names.split(' ').take(n).collect::<Vec<_>>(), &vec![ColumnKind::Real; n])
    };
    let (d, c) = (flow.dims(), flow.context_dims());
    Model::new(flow, Schema::new(real("a b c d", d), real("s t", c))).unwrap()
}

fn draws(model: &Model, n: usize, context: Option<&Rows>, seed: u64) -> Rows {
    let options = SampleOptions { seed, threads: 2, ..SampleOptions::default() };
    model.sample(n, context, &options).unwrap()
}

#[track_caller]
fn all_pass(results: &[CheckResult]) {
    let failed: Vec<_> = results.iter().filter(|r| !r.passed).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

fn failed(results: &[CheckResult]) -> Vec<&str> {
    results.iter().filter(|r| !r.passed).map(|r| r.name.as_str()).collect()
}

#[test]
fn fresh_and_randomised_models_pass() {
    for precision in [Precision::F32, Precision::F64] {
        for (preset, d) in
            [(Preset::Nsf, 1), (Preset::Maf, 2), (Preset::NsfCoupling, 3), (Preset::Iaf, 4)]
        {
            let spec = spec(preset, d, 0, precision);
            for flow in [spec.build(2).unwrap(), built(&spec, 3)] {
                let results = check(&model(flow), None, &OPTIONS).unwrap();
                let names: Vec<_> = results.iter().map(|r| r.name.as_str()).collect();
                assert_eq!(
                    names,
                    ["round_trip", "log_det", "normalisation", "sample_score_agreement"]
                );
                println!("{preset} {d} {precision:?}: {results:#?}");
                all_pass(&results);
            }
        }
    }
}

/// Columns of every kind, each with its map.
fn mixed() -> Model {
    let kinds =
        [ColumnKind::Positive, ColumnKind::Integer, ColumnKind::Interval { low: -1.0, high: 3.0 }];
    let spec = spec(Preset::Maf, 3, 0, Precision::F32);
    let schema = Schema::new(columns(&["income", "children", "share"], &kinds), Vec::new());
    // The flow's own numbers are large; at the edges of its interval floats are too coarse for the share's logit.
    let units = Units::of(&schema, &[2.0, 5.5, 0.5], &[0.5, 3.0, 0.05]);
    Model::with_units(built(&spec, 5), schema, units).unwrap()
}

#[test]
fn a_model_of_columns_of_every_kind_passes_on_its_own_samples() {
    let model = mixed();
    let data = CheckData { x: draws(&model, 5000, None, 77), context: None };
    let results = check(&model, Some(&data), &OPTIONS).unwrap();
    println!("{results:#?}");
    all_pass(&results);
    let names: Vec<_> = results[4..].iter().map(|r| r.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "calibration:income",
            "calibration:children",
            "calibration:share",
            "energy_distance",
            "base_numbers",
            "base_dependence",
            "base_energy",
            "coverage"
        ]
    );
}

#[test]
fn data_that_is_not_the_models_fails_by_column() {
    let model = mixed();
    let mut x = draws(&model, 3000, None, 78);
    let mut children = x.column(1);
    children.sort_by(f64::total_cmp);
    let shift = children[x.len() * 3 / 4] - children[x.len() / 4];
    x.values_mut().chunks_mut(3).for_each(|row| row[1] += shift);
    // Rows outside the support are data that the model gives no density, not a fault of the map.
    x.values_mut()[0] = -1.0;
    let results = check(&model, Some(&CheckData { x, context: None }), &OPTIONS).unwrap();
    let failed = failed(&results);
    assert_eq!(failed[..2], ["calibration:children", "energy_distance"], "{results:#?}");
    assert!(failed.contains(&"base_numbers") && failed.contains(&"coverage"), "{results:#?}");
    assert!(results[0].detail.contains("1 of them outside the support"), "{}", results[0].detail);
}

#[test]
fn a_conditional_model_is_checked_at_the_contexts_of_the_data() {
    let spec = spec(Preset::Maf, 1, 1, Precision::F32);
    let unit = Unit { center: 10.0, scale: 2.0, ..Unit::default() };
    let units = Units { context: vec![unit], ..Units::none(1, 0) };
    // Weights so large that most of the spread of the column is due to its context.
    let plain = model(randomised(&spec, 9, 0.8));
    let model = Model::with_units(plain.flow().clone(), plain.schema().clone(), units).unwrap();
    all_pass(&check(&model, None, &OPTIONS).unwrap());
    let n = 2000;
    let mut rng = Streams::new(6).rng(Purpose::Check, 99, 0);
    let context = Rows::new((0..n).map(|_| 10.0 + 2.0 * normal(&mut rng)).collect(), 1).unwrap();
    let x = draws(&model, n, Some(&context), 4);
    let own = CheckData { x: x.clone(), context: Some(context.clone()) };
    let results = check(&model, Some(&own), &OPTIONS).unwrap();
    println!("{results:#?}");
    all_pass(&results);
    // The column as a whole is distributed as before, but it has lost its context.
    let mut values = x.into_values();
    values.rotate_left(1);
    let lost = CheckData { x: Rows::new(values, 1).unwrap(), context: Some(context) };
    let results = check(&model, Some(&lost), &OPTIONS).unwrap();
    let failed = failed(&results);
    assert!(
        failed.contains(&"energy_distance") && failed.contains(&"base_numbers"),
        "{results:#?}"
    );
}

/// Posteriors that are known exactly, by their draws: pass; the same widened by 1.2 or moved by a third of a deviation does not, in any of the three tests.
#[test]
fn posteriors_are_calibrated_given_each_context_or_fail() {
    let model = model(randomised(&spec(Preset::Maf, 2, 1, Precision::F64), 9, 0.5));
    let n = 4000;
    let mut rng = Streams::new(6).rng(Purpose::Check, 99, 0);
    let context = Rows::new((0..n).map(|_| normal(&mut rng)).collect(), 1).unwrap();
    let drawn = |temperature| {
        let options = SampleOptions { seed: 77, threads: 2, temperature, ..Default::default() };
        model.sample(n, Some(&context), &options).unwrap()
    };
    let of = |x: Rows| {
        let data = CheckData { x, context: Some(context.clone()) };
        let options = CheckOptions { samples: n, ..OPTIONS };
        check(&model, Some(&data), &options).unwrap()
    };
    let exact = of(drawn(1.0));
    println!("{exact:#?}");
    all_pass(&exact);
    let tests = ["sbc:a", "sbc:b", "tarp", "local_calibration"];
    let names: Vec<_> = exact.iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names[names.len() - 4..], tests);
    // The model is wider than this data.
    let inflated = of(drawn(1.0 / 1.2));
    assert!(tests.iter().all(|name| failed(&inflated).contains(name)), "{inflated:#?}");
    let wide = inflated.iter().find(|r| r.name == "sbc:a").unwrap();
    assert!(wide.detail.contains("they lie as data 0.8"), "{}", wide.detail);
    let centre = drawn(0.0);
    let mut moved = drawn(1.0);
    let spread = |j: usize| {
        let square = |(a, b): (f64, f64)| (a - b) * (a - b) / n as f64;
        let columns = moved.column(j).into_iter().zip(centre.column(j));
        columns.map(square).sum::<f64>().sqrt()
    };
    let by = [spread(0) / 3.0, spread(1) / 3.0];
    moved
        .values_mut()
        .chunks_mut(2)
        .for_each(|row| row.iter_mut().zip(by).for_each(|(v, b)| *v += b));
    let shifted = of(moved);
    assert!(tests.iter().all(|name| failed(&shifted).contains(name)), "{shifted:#?}");
    // Right on the whole, wrong near some contexts: too wide on one side and too narrow on the other.
    let [narrow, wide] = [drawn(1.0 / 1.8), drawn(1.8)];
    let mut mixed = drawn(1.0);
    for i in 0..n {
        let from = if context.row(i)[0] < 0.0 { &narrow } else { &wide };
        mixed.row_mut(i).copy_from_slice(from.row(i));
    }
    let mixed = of(mixed);
    assert!(failed(&mixed).contains(&"local_calibration"), "{mixed:#?}");
}

#[test]
fn a_seed_gives_the_same_results_on_any_number_of_threads() {
    let model = mixed();
    let data = CheckData { x: draws(&model, 700, None, 1), context: None };
    let of = |seed, threads| {
        let options = CheckOptions { seed, threads, samples: 500 };
        check(&model, Some(&data), &options).unwrap()
    };
    assert_eq!(of(1, 1), of(1, 3));
    assert_ne!(of(1, 1), of(2, 1));
}

#[test]
fn a_base_of_bounded_support_and_one_of_heavy_tails_are_densities_too() {
    for base in [
        BaseSpec::Uniform(UniformSpec { low: -1.0, high: 2.0 }),
        BaseSpec::StudentT(StudentTSpec { dof: 4.0 }),
        BaseSpec::Mixture(MixtureSpec { components: 3 }),
    ] {
        for d in [1, 3] {
            let mut spec = spec(Preset::Nsf, d, 0, Precision::F64);
            spec.base = base.clone();
            let results = check(&model(spec.build(3).unwrap()), None, &OPTIONS).unwrap();
            println!("{base:?} {d}: {results:#?}");
            all_pass(&results);
        }
    }
}

#[test]
fn data_that_cannot_be_checked_is_refused_with_its_place() {
    let model = mixed();
    let of = |values: Vec<f64>, width| {
        let data = CheckData { x: Rows::new(values, width).unwrap(), context: None };
        check(&model, Some(&data), &OPTIONS).unwrap_err()
    };
    assert_eq!(of(vec![1.0; 4], 2).kind(), ErrorKind::Shape);
    assert_eq!(of(vec![], 3).kind(), ErrorKind::Data);
    let error = of(vec![1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0], 3);
    assert!(
        error.message().contains("row 2") && error.message().contains("\"children\""),
        "{error}"
    );
    let few = CheckOptions { samples: 10, ..OPTIONS };
    assert_eq!(check(&model, None, &few).unwrap_err().kind(), ErrorKind::Config);
}

/// A standard normal of two columns, or of one given one that it does not look at.
fn plain(context: usize) -> Model {
    let spec = FlowSpec::new(2 - context, vec![]).given(context);
    model(spec.build(0).unwrap())
}

#[test]
fn m1_models_too_narrow_too_wide_shifted_or_blind_fail_on_two_thousand_rows_and_right_ones_pass() {
    let n = 2000;
    for seed in 0..3 {
        let mut rng = Streams::new(seed).rng(Purpose::Check, 98, 0);
        let right: Vec<f64> = (0..2 * n).map(|_| normal(&mut rng)).collect();
        let of = |change: &dyn Fn(f64) -> f64| {
            let mut values = right.clone();
            values.iter_mut().step_by(2).for_each(|v| *v = change(*v));
            let x = Rows::new(values, 2).unwrap();
            check(&plain(0), Some(&CheckData { x, context: None }), &OPTIONS).unwrap()
        };
        all_pass(&of(&|v| v));
        // The model is a normal; the data is that of one 1.3 times as wide or narrow, or elsewhere.
        let wrong: [&dyn Fn(f64) -> f64; 3] = [&|v| 1.3 * v, &|v| v / 1.3, &|v| v + 0.3];
        for change in wrong {
            let results = of(change);
            assert!(failed(&results).contains(&"base_numbers"), "{seed}: {results:#?}");
        }
        // Half of the variance is explained by a context that the model does not look at.
        let (x, c): (Vec<f64>, Vec<f64>) = right
            .chunks(2)
            .map(|pair| (std::f64::consts::FRAC_1_SQRT_2 * (pair[0] + pair[1]), pair[1]))
            .unzip();
        let data =
            CheckData { x: Rows::new(x, 1).unwrap(), context: Some(Rows::new(c, 1).unwrap()) };
        let results = check(&plain(1), Some(&data), &OPTIONS).unwrap();
        assert!(failed(&results).contains(&"base_dependence"), "{seed}: {results:#?}");
    }
}

#[test]
fn a_model_of_few_whole_numbers_passes_on_its_own_samples() {
    // Cells as wide as the spread of the model, in which its density is far from uniform.
    let unit = Unit { center: 0.5, scale: 0.5, ..Unit::default() };
    let schema = Schema::new(columns(&["flag"], &[ColumnKind::Integer]), Vec::new());
    let units = Units { columns: vec![unit], context: vec![] };
    let flow = FlowSpec::new(1, vec![]).build(0).unwrap();
    let model = Model::with_units(flow, schema, units).unwrap();
    let data = CheckData { x: draws(&model, 5000, None, 3), context: None };
    all_pass(&check(&model, Some(&data), &OPTIONS).unwrap());
}
