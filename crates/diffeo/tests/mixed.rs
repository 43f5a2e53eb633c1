//! Outcomes beside numbers: categories, booleans, whole numbers of a range, point masses, holes, circles.

mod support;

use diffeo::check::{CheckData, CheckOptions, CheckResult, check};
use diffeo::train::{Event, Fit};
use diffeo::{
    Column, ColumnKind, ErrorKind, KindWish, Model, Preset, PresetOptions, Purpose, Rows,
    SampleOptions, Schema, Streams, Units, normal, uniform,
};
use support::{close, randomised, rows};

/// A model of columns with random weights.
fn model_of(preset: Preset, schema: &Schema, seed: u64) -> Model {
    let options = PresetOptions { hidden: vec![24, 24], transforms: 2, ..PresetOptions::default() };
    let precision = diffeo::Precision::F64;
    let spec = preset.spec_for(&schema.shape(), &PresetOptions { precision, ..options }).unwrap();
    let units = Units::of(schema, &vec![0.1; spec.numbers()], &vec![1.0; spec.numbers()]);
    Model::with_units(randomised(&spec, seed, 0.3), schema.clone(), units).unwrap()
}

fn wished(name: &str, kind: &str) -> Column {
    let KindWish { kind, masses } = kind.parse().unwrap();
    Column { masses, ..Column::new(name, kind) }
}

fn of(columns: Vec<Column>) -> Schema {
    Schema::new(columns, Vec::new())
}

fn category(name: &str, levels: usize) -> Column {
    Column::category(name, (0..levels).map(|i| format!("level {i}")))
}

fn with_holes(column: Column) -> Column {
    Column { holes: true, ..column }
}

/// The sum of `p` over rows.
fn total(model: &Model, x: &Rows) -> f64 {
    let context = (!model.schema().context.is_empty()).then(|| {
        let row = vec![0.3; model.schema().context.len()];
        rows(row.repeat(x.len()), row.len())
    });
    model.log_prob(x, context.as_ref(), 2).unwrap().iter().map(|p| p.exp()).sum()
}

/// All rows that have one of each list.
fn product(lists: &[Vec<f64>]) -> Rows {
    let mut all: Vec<Vec<f64>> = vec![vec![]];
    for list in lists {
        let longer = |row: &Vec<f64>| {
            list.iter().map(|v| [row.clone(), vec![*v]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    rows(all.concat(), lists.len())
}

/// Points at the middle of `n` intervals from `low` to `high`, and the length of one.
fn grid(low: f64, high: f64, n: usize) -> (Vec<f64>, f64) {
    let step = (high - low) / n as f64;
    ((0..n).map(|i| low + (i as f64 + 0.5) * step).collect(), step)
}

fn levels(n: usize) -> Vec<f64> {
    (0..n).map(|k| k as f64).collect()
}

#[test]
fn probabilities_of_outcomes_add_up_to_one() {
    let boolean = Column::new("b", ColumnKind::Boolean);
    let range = Column { range: Some([-2, 4]), ..Column::new("k", ColumnKind::Integer) };
    // 70 and 130 levels need two marks, the last of which has outcomes that are not possible.
    for (columns, lists) in [
        (vec![category("a", 3), boolean.clone()], vec![levels(3), levels(2)]),
        (vec![category("a", 70), boolean.clone()], vec![levels(70), levels(2)]),
        (vec![boolean, category("a", 130)], vec![levels(2), levels(130)]),
        (
            vec![with_holes(category("a", 4)), range, category("c", 1)],
            vec![
                [levels(4), vec![f64::NAN]].concat(),
                (-2..=4).map(f64::from).collect(),
                levels(1),
            ],
        ),
    ] {
        let schema = of(columns).given([Column::real("c0"), category("c1", 5)]);
        for seed in 0..3 {
            let model = model_of(Preset::Nsf, &schema, seed);
            let sum = total(&model, &product(&lists));
            assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        }
    }
}

#[test]
fn unseen_values_share_what_is_set_aside_for_them() {
    let unseen = 0.01;
    let known = Column { unseen, ..category("a", 3) };
    let model = model_of(Preset::Nsf, &of(vec![known]), 1);
    assert!((total(&model, &rows(levels(4), 1)) - 1.0).abs() < 1e-12);
    close("other", &model.log_prob(&rows(vec![7.0], 1), None, 1).unwrap(), &[unseen.ln()], 1e-12);

    let kinds = [
        ColumnKind::Integer,
        ColumnKind::IntegerRange { low: Some(0), high: None },
        ColumnKind::IntegerRange { low: Some(-10), high: Some(40) },
        ColumnKind::IntegerRange { low: None, high: Some(7) },
    ];
    for kind in kinds {
        let column = Column { range: Some([0, 7]), unseen, ..Column::new("k", kind) };
        let model = model_of(Preset::Nsf, &of(vec![column]), 1);
        let all = rows((-2000..2000).map(f64::from).collect(), 1);
        let sum = total(&model, &all);
        assert!((sum - 1.0).abs() < 1e-12, "{kind}: {sum}");
        let far = model.log_prob(&rows(vec![9.0, -3.0], 1), None, 1).unwrap();
        let can = [9.0, -3.0].map(|k| kind.contains(k));
        assert_eq!([far[0].is_finite(), far[1].is_finite()], can, "{kind}");
    }
}

#[test]
fn outcomes_and_densities_together_are_one() {
    // A number with point masses and a hole beside a category, and the same with the number first.
    let number = with_holes(wished("x", "real+{0, 2}"));
    let (points, step) = grid(-14.0, 14.0, 4000);
    let masses = vec![0.0, 2.0, f64::NAN];
    for preset in [Preset::Nsf, Preset::Maf, Preset::Iaf] {
        for seed in 0..2 {
            let model = model_of(preset, &of(vec![category("a", 3), number.clone()]), seed);
            let discrete = total(&model, &product(&[levels(3), masses.clone()]));
            let density = total(&model, &product(&[levels(3), points.clone()])) * step;
            assert!((discrete + density - 1.0).abs() < 2e-3, "{preset}: {discrete} + {density}");
            assert!(discrete > 0.05 && density > 0.05, "{preset}: {discrete} + {density}");
        }
    }
    // Two numbers, each of which may be absent.
    let schema = of(vec![with_holes(wished("x", "real")), wished("y", "real+{1}")]);
    for preset in [Preset::Nsf, Preset::Maf, Preset::NsfCoupling, Preset::RealNvp] {
        let model = model_of(preset, &schema, 3);
        let (line, step) = grid(-9.0, 9.0, 300);
        let (nan, one) = (vec![f64::NAN], vec![1.0]);
        let neither = total(&model, &product(&[nan.clone(), one.clone()]));
        let only_x = total(&model, &product(&[line.clone(), one])) * step;
        let only_y = total(&model, &product(&[nan, line.clone()])) * step;
        let both = total(&model, &product(&[line.clone(), line])) * step * step;
        let sum = neither + only_x + only_y + both;
        assert!((sum - 1.0).abs() < 0.01, "{preset}: {neither} + {only_x} + {only_y} + {both}");
    }
}

#[test]
fn whole_numbers_without_a_range_may_be_missing() {
    let schema = of(vec![with_holes(wished("n", "integer")), category("a", 2)]);
    let model = model_of(Preset::Nsf, &schema, 4);
    let missing = total(&model, &product(&[vec![f64::NAN], levels(2)]));
    let whole = (-40..=40).map(f64::from).collect();
    let counted = total(&model, &product(&[whole, levels(2)]));
    assert!((missing + counted - 1.0).abs() < 0.05, "{missing} + {counted}");
    assert!(missing > 0.05, "{missing}");
    assert_eq!(total(&model, &product(&[vec![0.5, 2.25], levels(2)])), 0.0);
}

#[test]
fn closed_bounds_have_probabilities_and_open_sides_none() {
    let model = model_of(Preset::Nsf, &of(vec![wished("u", "[0, 1]"), category("a", 2)]), 2);
    let ends = total(&model, &product(&[vec![0.0, 1.0], levels(2)]));
    let (points, step) = grid(0.0, 1.0, 20_000);
    let inside = total(&model, &product(&[points, levels(2)])) * step;
    assert!((ends + inside - 1.0).abs() < 1e-3, "{ends} + {inside}");
    let outside = product(&[vec![-1e-9, 1.0 + 1e-9, 5.0], levels(2)]);
    assert_eq!(total(&model, &outside), 0.0);
    for (kind, low) in [(">=2", 2.0), ("(2, inf)", 2.0), ("positive+{0}", 0.0)] {
        let model = model_of(Preset::Maf, &of(vec![wished("x", kind)]), 2);
        let bound = total(&model, &rows(vec![low], 1));
        // In ln(x - low) the density is smooth.
        let (points, step) = grid(-16.0, 16.0, 8000);
        let x: Vec<f64> = points.iter().map(|z| low + z.exp()).collect();
        let p = model.log_prob(&rows(x, 1), None, 1).unwrap();
        let above: f64 = p.iter().zip(&points).map(|(p, z)| (p + z).exp() * step).sum();
        assert!((bound + above - 1.0).abs() < 1e-6, "{kind}: {bound} + {above}");
        assert_eq!(bound == 0.0, kind == "(2, inf)");
        assert_eq!(total(&model, &rows(vec![low - 1.0], 1)), 0.0);
    }
}

#[test]
fn a_circle_closes() {
    let schema = of(vec![category("a", 2), wished("hour", "periodic[0, 24)"), wished("x", "real")]);
    let model = model_of(Preset::Maf, &schema, 5);
    let (hours, dh) = grid(0.0, 24.0, 64);
    let (xs, dx) = grid(-60.0, 60.0, 4000);
    let sum = total(&model, &product(&[levels(2), hours, xs])) * dh * dx;
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    let at = |hour: f64| model.log_prob(&rows(vec![1.0, hour, 0.3], 3), None, 1).unwrap()[0];
    assert!((at(0.0) - at(24.0f64.next_down())).abs() < 1e-6);
    assert!((at(0.0) - at(24.0)).abs() < 1e-12 && (at(-1.0) - at(23.0)).abs() < 1e-9);
    assert!((at(0.0) - at(12.0)).abs() > 1e-3, "the density depends on the hour");
}

/// Every kind at once.
fn all_kinds() -> Schema {
    of(vec![
        category("a", 70),
        wished("x", "positive+{0}"),
        Column::new("b", ColumnKind::Boolean),
        with_holes(wished("y", "real")),
        wished("u", "[0, 1]"),
        wished("t", "periodic[-1, 1)"),
        Column { range: Some([0, 9]), unseen: 1e-3, ..Column::new("k", ColumnKind::Integer) },
        with_holes(category("c", 3)),
        wished("z", "real"),
    ])
    .given([category("g", 4), Column::real("h"), with_holes(wished("i", "periodic[0, 1)"))])
}

fn contexts(n: usize) -> Rows {
    let row = |i: usize| {
        [(i % 5) as f64, 0.1 * (i % 7) as f64, if i.is_multiple_of(3) { f64::NAN } else { 0.2 }]
    };
    rows((0..n).flat_map(row).collect(), 3)
}

#[test]
fn draws_are_scored_as_they_were_drawn_and_come_back_from_the_base() {
    let model = model_of(Preset::Nsf, &all_kinds(), 7);
    let context = contexts(600);
    let options = SampleOptions { seed: 4, ..SampleOptions::default() };
    let (x, drawn) = model.sample_with_log_prob(600, Some(&context), &options).unwrap();
    close("drawn", &drawn, &model.log_prob(&x, Some(&context), 2).unwrap(), 1e-7);
    for (i, column) in model.schema().columns.iter().enumerate() {
        let values = x.column(i);
        assert!(values.iter().all(|v| column.contains(*v)), "{}: {values:?}", column.name);
        let first = values[0].to_bits();
        assert!(values.iter().any(|v| v.to_bits() != first), "{} is always the same", column.name);
    }
    let (z, log_det) = model.to_base(&x, Some(&context), 2).unwrap();
    assert!(z.values().iter().all(|z| z.is_finite()) && log_det.iter().all(|d| d.is_finite()));
    let (back, back_det) = model.to_data(&z, Some(&context), 2).unwrap();
    let finite = |rows: &Rows| -> Vec<f64> {
        rows.values().iter().map(|v| if v.is_nan() { -7.0 } else { *v }).collect()
    };
    close("back", &finite(&back), &finite(&x), 1e-6);
    let negated: Vec<f64> = back_det.iter().map(|d| -d).collect();
    close("log-determinants", &negated, &log_det, 1e-6);
    // Rows and their order, blocks and threads do not matter.
    let again = model.log_prob(&x.slice(37..90), Some(&context.slice(37..90)), 1).unwrap();
    let all = model.log_prob(&x, Some(&context), 2).unwrap();
    assert_eq!(support::bits(&again), support::bits(&all[37..90]));
    let few = model.sample(9, Some(&context.slice(0..9)), &options).unwrap();
    assert_eq!(support::bits(few.values()), support::bits(x.slice(0..9).values()));
}

#[test]
fn draws_have_the_frequencies_of_their_probabilities() {
    let schema = of(vec![category("a", 3), wished("x", "real+{0}")]);
    let model = model_of(Preset::Maf, &schema, 11);
    let n = 20_000;
    let x = model.sample(n, None, &SampleOptions { threads: 2, ..Default::default() }).unwrap();
    for level in 0..3 {
        let here = |row: &&[f64]| row[0] == f64::from(level);
        let all: Vec<&[f64]> = x.values().chunks_exact(2).collect();
        let zeros = all.iter().filter(|row| here(row) && row[1] == 0.0).count() as f64 / n as f64;
        let p = total(&model, &rows(vec![f64::from(level), 0.0], 2));
        let error = (p * (1.0 - p) / n as f64).sqrt();
        assert!((zeros - p).abs() < 5.0 * error, "level {level}: {zeros} against {p}");
    }
}

#[test]
fn files_hold_all_kinds_and_impossible_columns_are_refused() {
    let model = model_of(Preset::Nsf, &all_kinds(), 3);
    let bytes = model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes, &diffeo::transforms::Registry::new()).unwrap();
    assert_eq!(again.schema(), model.schema());
    let context = contexts(50);
    let x = model.sample(50, Some(&context), &SampleOptions::default()).unwrap();
    let score = |model: &Model| support::bits(&model.log_prob(&x, Some(&context), 1).unwrap());
    assert_eq!(score(&again), score(&model));

    let bad = [
        Column { levels: vec!["a".into(), "a".into()], ..Column::new("x", ColumnKind::Category) },
        Column::new("x", ColumnKind::Category),
        Column { range: Some([3, 2]), ..Column::new("x", ColumnKind::Integer) },
        Column { range: Some([i64::MIN, i64::MAX]), ..Column::new("x", ColumnKind::Integer) },
        Column { range: Some([0, 2]), ..Column::real("x") },
        Column { range: Some([-2, 4]), ..wished("x", "integer<=0") },
        Column { masses: vec![0.0, 0.0], ..Column::real("x") },
        Column { masses: vec![f64::NAN], ..Column::real("x") },
        Column { masses: vec![1.0], ..wished("x", "[0, 1]") },
        Column { levels: vec!["a".into()], ..Column::real("x") },
        Column { unseen: 1.0, ..category("x", 2) },
        Column::new("x", ColumnKind::Periodic { low: 1.0, high: 1.0 }),
    ];
    for column in bad {
        let schema = of(vec![column.clone()]);
        assert_eq!(schema.validate().unwrap_err().kind(), ErrorKind::Config, "{column:?}");
        // As a file would bring it, before anything is known of it.
        let flow = model.flow().clone();
        assert_eq!(Model::new(flow, schema).unwrap_err().kind(), ErrorKind::Config, "{column:?}");
    }
    // A flow that cannot leave a number out.
    let schema = of(vec![wished("x", "real+{0}"), wished("y", "real")]);
    let mut spec = Preset::Nsf.spec_for(&schema.shape(), &PresetOptions::default()).unwrap();
    spec.transforms.push(diffeo::transforms::PluSpec { order: vec![0, 1] }.into());
    let error = Model::new(spec.build(0).unwrap(), schema).unwrap_err();
    assert!(error.message().contains("leave out"), "{error}");
}

#[test]
fn values_that_cannot_be_score_minus_infinity_and_unknown_ones_nan() {
    let model = model_of(Preset::Nsf, &all_kinds(), 3);
    let context = contexts(1);
    let good = model.sample(1, Some(&context), &SampleOptions::default()).unwrap();
    let with = |column: usize, value: f64| {
        let mut x = good.clone();
        x.values_mut()[column] = value;
        model.log_prob(&x, Some(&context), 1).unwrap()[0]
    };
    for (column, value) in
        [(1, -1.0), (2, 0.5), (2, 2.0), (4, 1.5), (6, 0.5), (0, -1.0), (8, f64::INFINITY)]
    {
        assert_eq!(with(column, value), f64::NEG_INFINITY, "column {column}: {value}");
    }
    for column in [0, 1, 2, 4, 5, 6, 8] {
        assert!(with(column, f64::NAN).is_nan(), "column {column}");
    }
    assert!(with(3, f64::NAN).is_finite() && with(7, f64::NAN).is_finite());
    assert!(with(6, 30.0).is_finite(), "a whole number beyond the range");
}

#[test]
fn single_precision_agrees_with_double() {
    let schema = all_kinds();
    let double = model_of(Preset::Nsf, &schema, 9);
    let spec = double.flow().spec().clone().in_precision(diffeo::Precision::F32);
    let mut flow = spec.build(0).unwrap();
    flow.set_parameters(&double.flow().parameters().into_iter().collect()).unwrap();
    let single = Model::with_units(flow, schema, double.units().clone()).unwrap();
    let context = contexts(200);
    let x = double.sample(200, Some(&context), &SampleOptions::default()).unwrap();
    let score = |model: &Model| model.log_prob(&x, Some(&context), 1).unwrap();
    let mut errors: Vec<f64> =
        score(&single).iter().zip(score(&double)).map(|(a, b)| (a - b).abs()).collect();
    errors.sort_by(f64::total_cmp);
    // Random weights have steep places, where single precision loses digits in a few rows.
    assert!(errors[100] < 1e-4 && errors[180] < 1e-2 && errors[199] < 0.5, "{errors:?}");
}

/// Rows of a category with probabilities 1/2, 1/3, 1/6 and a number that is 0 in a fifth of the rows, and missing in a tenth, and else normal about
/// twice the level.
fn truth(n: usize, seed: u64) -> Rows {
    let mut rng = Streams::new(seed).rng(Purpose::Check, 9, 0);
    let mut values = Vec::new();
    for _ in 0..n {
        let (a, b) = (uniform(&mut rng), uniform(&mut rng));
        let level = f64::from(u8::from(a > 1.0 / 2.0) + u8::from(a > 5.0 / 6.0));
        let number = match b {
            b if b < 0.2 => 0.0,
            b if b < 0.3 => f64::NAN,
            _ => 2.0 * level + 0.5 * normal(&mut rng),
        };
        values.extend([level, number]);
    }
    rows(values, 2)
}

#[test]
fn a_fit_comes_near_the_truth_and_passes_its_check() {
    let (train, test) = (truth(6000, 1), truth(4000, 2));
    let number = with_holes(wished("x", "real+{0}"));
    let options = PresetOptions { hidden: vec![24, 24], transforms: 2, ..PresetOptions::default() };
    let fit = Fit::new(Preset::Nsf).schema(of(vec![category("a", 3), number])).rows(train);
    let model = fit.preset_options(options).steps(1200).threads(2).run().unwrap();
    let score = model.log_prob(&test, None, 2).unwrap();
    let mean = score.iter().sum::<f64>() / score.len() as f64;
    let entropy = |p: &[f64]| -p.iter().map(|p| p * p.ln()).sum::<f64>();
    let of_number = 0.5 * (std::f64::consts::TAU * std::f64::consts::E * 0.25).ln();
    let truth =
        -entropy(&[1.0 / 2.0, 1.0 / 3.0, 1.0 / 6.0]) - entropy(&[0.2, 0.1, 0.7]) - 0.7 * of_number;
    assert!((mean - truth).abs() < 0.05, "{mean} against {truth}");

    let check = |x: Rows| {
        let options = CheckOptions { samples: 4000, threads: 2, ..CheckOptions::default() };
        check(&model, Some(&CheckData { x, context: None }), &options).unwrap()
    };
    let failed = |results: &[CheckResult]| -> Vec<String> {
        results.iter().filter(|r| !r.passed).map(|r| format!("{}: {}", r.name, r.detail)).collect()
    };
    let results = check(test.clone());
    assert!(failed(&results).is_empty(), "{:?}", failed(&results));
    // Levels that know nothing of the numbers, and more zeros than there should be.
    let mut apart = test.clone();
    let levels: Vec<f64> = test.column(0).into_iter().cycle().skip(7).take(test.len()).collect();
    levels.iter().enumerate().for_each(|(i, level)| apart.row_mut(i)[0] = *level);
    assert!(!failed(&check(apart)).is_empty());
    let mut zeros = test;
    (0..zeros.len()).step_by(5).for_each(|i| zeros.row_mut(i)[1] = 0.0);
    assert!(!failed(&check(zeros)).is_empty());
}

/// A level; an angle that turns with it, of density `(1 + 0.8 cos) / turn`; a count that is geometric given it; and a number that is 0 in a fifth
/// and missing in a tenth of the rows, else normal about what level and angle say.
fn wide_truth(n: usize, seed: u64) -> Rows {
    let mut rng = Streams::new(seed).rng(Purpose::Shuffle, 0, 0);
    let mut values = Vec::new();
    for _ in 0..n {
        let a = uniform(&mut rng);
        let level = f64::from(u8::from(a > 1.0 / 2.0) + u8::from(a > 5.0 / 6.0));
        let angle = loop {
            let angle = std::f64::consts::TAU * uniform(&mut rng);
            if 1.8 * uniform(&mut rng) < 1.0 + 0.8 * (angle - level).cos() {
                break angle;
            }
        };
        let count = ((1.0 - uniform(&mut rng)).ln() / STAY[level as usize].ln()).floor();
        let number = match uniform(&mut rng) {
            b if b < 0.2 => 0.0,
            b if b < 0.3 => f64::NAN,
            _ => level + angle.cos() + 0.5 * normal(&mut rng),
        };
        values.extend([level, angle * 24.0 / std::f64::consts::TAU, count, number]);
    }
    rows(values, 4)
}

/// How likely a count is to go on, for each level.
const STAY: [f64; 3] = [0.5, 0.8, 0.95];

/// The mean log-density of [`wide_truth`] under itself.
fn wide_negative_entropy() -> f64 {
    let shares = [1.0 / 2.0, 1.0 / 3.0, 1.0 / 6.0];
    let sum = |p: &[f64]| p.iter().map(|p| p * p.ln()).sum::<f64>();
    let (angles, step) = grid(0.0, 24.0, 20_000);
    let density = |t: &f64| (1.0 + 0.8 * (t * std::f64::consts::TAU / 24.0).cos()) / 24.0;
    let of_angle: f64 = angles.iter().map(density).map(|p| step * p * p.ln()).sum();
    let of_count = |stay: f64| (1.0 - stay).ln() + stay / (1.0 - stay) * stay.ln();
    let of_counts: f64 = shares.iter().zip(STAY).map(|(share, stay)| share * of_count(stay)).sum();
    let of_normal = -0.5 * (std::f64::consts::TAU * std::f64::consts::E * 0.25).ln();
    sum(&shares) + of_angle + of_counts + sum(&[0.2, 0.1, 0.7]) + 0.7 * of_normal
}

#[test]
fn a_fit_of_twenty_thousand_rows_comes_within_a_twentieth_of_a_nat() {
    let (train, test) = (wide_truth(20_000, 1), wide_truth(20_000, 2));
    let count = ColumnKind::IntegerRange { low: Some(0), high: None };
    let columns = vec![
        category("a", 3),
        wished("t", "periodic[0, 24)"),
        Column::new("k", count),
        with_holes(wished("x", "real+{0}")),
    ];
    let options = PresetOptions { hidden: vec![32, 32], transforms: 2, ..PresetOptions::default() };
    let fit = Fit::new(Preset::Nsf).schema(of(columns)).rows(train).seed(1);
    let model = fit.preset_options(options).steps(1500).threads(2).run().unwrap();
    let score = model.log_prob(&test, None, 2).unwrap();
    let mean = score.iter().sum::<f64>() / score.len() as f64;
    let truth = wide_negative_entropy();
    println!("{mean} of {truth}");
    assert!((mean - truth).abs() < 0.05, "{mean} against {truth}");
}

#[test]
fn outcomes_and_numbers_are_each_kept_where_they_were_best() {
    // Few rows: a number that nothing tells is soon learned by heart, and a level that another one tells goes on being learned.
    let mut rng = Streams::new(4).rng(Purpose::Shuffle, 0, 0);
    let row = |_| {
        let level = (3.0 * uniform(&mut rng)).floor();
        let turned = (level + f64::from(u8::from(uniform(&mut rng) < 0.1))) % 3.0;
        [level, turned, normal(&mut rng)]
    };
    let x = rows((0..150).flat_map(row).collect(), 3);
    let schema = of(vec![category("a", 3), category("b", 3), Column::real("x")]);
    let options = PresetOptions { hidden: vec![48, 48], transforms: 4, ..PresetOptions::default() };
    let fit = Fit::new(Preset::Nsf).schema(schema).rows(x).seed(1);
    let model = fit.preset_options(options).steps(400).run().unwrap();
    let summary = model.summary.unwrap();
    let whole = summary.history.iter().filter_map(|point| point.valid_loss);
    let whole = whole.fold(f64::INFINITY, f64::min);
    let kept = -summary.valid_log_prob_mean;
    assert!(kept < whole - 1e-3, "{kept} kept, {whole} at one step");
}

#[test]
fn marks_start_at_the_frequencies_of_the_rows() {
    let schema = of(vec![category("a", 4), Column::new("b", ColumnKind::Boolean)]);
    let spec = Preset::Nsf.spec_for(&schema.shape(), &PresetOptions::default()).unwrap();
    let mut flow = spec.build(3).unwrap();
    let marks = [[0.5, 0.5], [0.5, 1.5], [1.5, 1.5], [0.5, 1.5], [2.5, 1.5], [1.5, 1.5]];
    flow.initialize(support::tensor(marks.concat(), [6, 2]), None).unwrap();
    let model = Model::new(flow, schema).unwrap();
    // Half a row more of each: 3, 2, 1 and 0 of 6, and 1 and 5 of 6.
    let expected = |a: f64, b: f64| ((a + 0.5) / 8.0 * (b + 0.5) / 7.0).ln();
    let x = rows(vec![0.0, 1.0, 1.0, 0.0, 3.0, 1.0], 2);
    let expected = [expected(3.0, 5.0), expected(2.0, 1.0), expected(0.0, 5.0)];
    close("start", &model.log_prob(&x, None, 1).unwrap(), &expected, 1e-5);
}

#[test]
fn rounded_numbers_and_masses_beside_whole_ones_are_all_there_is() {
    // Random weights put some of the density far out: what is summed reaches far, too.
    let tenths = |k: i32| f64::from(k) / 10.0;
    let whole = |k: i32| f64::from(k);
    let many =
        format!("integer+{{{}}}", (0..90).map(|k| k.to_string()).collect::<Vec<_>>().join(","));
    let kinds: [(&str, fn(i32) -> f64); 7] = [
        (&many, whole),
        ("rounded(0.1)", tenths),
        ("rounded(0.1)>=-0.5", tenths),
        ("rounded(0.1)[-1, 4]+{0, 0.7}", tenths),
        ("integer+{0, 3}", whole),
        ("integer>=-1+{-1, 0}", whole),
        ("rounded(5)", |k| 5.0 * f64::from(k)),
    ];
    for (kind, value) in kinds {
        for seed in 0..2 {
            let schema = of(vec![wished("x", kind), Column::new("b", ColumnKind::Boolean)]);
            // Cells are narrow beside the spread, as where they have no probability of their own.
            let model = model_of(Preset::Nsf, &schema, seed);
            let bounded = schema.columns[0].kind.bounds_in_steps() != [None; 2];
            let scale = if bounded { 1.0 } else { 20.0 * (value(1) - value(0)) };
            let units = Units::of(&schema, &[0.1], &[scale]);
            let model = Model::with_units(model.flow().clone(), schema.clone(), units).unwrap();
            let values: Vec<f64> = (-20_000..=20_000).map(value).collect();
            let sum = total(&model, &product(&[values.clone(), levels(2)]));
            // Next to a bound, random weights bend the density within a cell more than its eight points see.
            let limit = if bounded { 0.03 } else { 2e-3 };
            assert!((sum - 1.0).abs() < limit, "{kind}: {sum}");
            let options = SampleOptions { seed: 3, ..SampleOptions::default() };
            let (drawn, log_prob) = model.sample_with_log_prob(4000, None, &options).unwrap();
            close(kind, &model.log_prob(&drawn, None, 1).unwrap(), &log_prob, 1e-12);
            let column = &schema.columns[0];
            let column_values = drawn.column(0);
            for x in &column_values {
                let is_value = values.binary_search_by(|v| v.total_cmp(x)).is_ok();
                assert!(is_value || x.abs() > value(20_000), "{kind}: {x}");
                assert!(column.contains(*x), "{kind}: {x}");
            }
            for mass in column.masses.iter().chain([&value(2)]) {
                let p = total(&model, &product(&[vec![*mass], levels(2)]));
                let found = column_values.iter().filter(|x| *x == mass).count() as f64 / 4000.0;
                let error = (p * (1.0 - p) / 4000.0).sqrt();
                assert!(
                    (found - p).abs() < 4.5 * error + limit * p,
                    "{kind} at {mass}: {found}, {p}"
                );
            }
        }
    }
    // What lies between steps counts as what is next to it.
    let model = model_of(Preset::Maf, &of(vec![wished("x", "rounded(0.1)")]), 1);
    let p = model.log_prob(&rows(vec![0.3, 0.1 + 0.2, 0.34, f64::from(0.3f32)], 1), None, 1);
    let p = p.unwrap();
    assert!(p.iter().all(|other| *other == p[0]), "{p:?}");
}

#[test]
fn the_best_of_a_fit_is_what_it_keeps() {
    let columns = vec![category("a", 3), Column::real("x"), Column::real("y")];
    let mut rng = Streams::new(4).rng(Purpose::Check, 0, 0);
    let row = |i: usize| {
        let x = normal(&mut rng);
        [(i % 3) as f64, x, x * x + normal(&mut rng)]
    };
    let x = rows((0..400).flat_map(row).collect(), 3);
    let options = PresetOptions { hidden: vec![16], transforms: 2, ..PresetOptions::default() };
    let fit = Fit::new(Preset::Nsf).schema(of(columns)).preset_options(options).rows(x).steps(400);
    let mut trainer = fit.seed(2).into_trainer().unwrap();
    assert!(trainer.best().is_none());
    while !matches!(trainer.advance().unwrap(), Event::Finished { .. }) {}
    let best = trainer.best().unwrap();
    let summary = trainer.finish().unwrap().summary.unwrap();
    assert_eq!(best, (summary.best_step, -summary.valid_log_prob_mean));
}
