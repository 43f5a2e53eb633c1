//! Densities and draws of some columns given others.

mod support;

use diffeo::check::{CheckData, CheckOptions, check};
use diffeo::train::Fit;
use diffeo::{
    Column, ColumnKind, ErrorKind, Model, Preset, PresetOptions, Purpose, Rows, SampleOptions,
    Schema, Streams, Units, normal, uniform,
};
use support::{close, randomised, rows};

const NAN: f64 = f64::NAN;

/// Columns of every kind that may be left out.
fn schema() -> Schema {
    let columns = vec![
        Column::category("c", ["a", "b", "c"]),
        Column::new("b", ColumnKind::Boolean),
        Column::real("x"),
        Column { masses: vec![0.0], ..Column::new("y", ColumnKind::Positive) },
        Column::new("t", ColumnKind::Periodic { low: 0.0, high: 24.0 }),
        Column::new("k", ColumnKind::Integer),
    ];
    Schema::new(columns, Vec::new()).any_subset()
}

fn model_of(preset: Preset, schema: &Schema, seed: u64) -> Model {
    let precision = diffeo::Precision::F64;
    let hidden = vec![24, 24];
    let options = PresetOptions { hidden, transforms: 2, precision, ..PresetOptions::default() };
    let spec = preset.spec_for(&schema.shape(), &options).unwrap();
    // Whole numbers are spread over many cells, so that sums over them see the bins of a random spline.
    let scale = |column: &Column| if column.kind == ColumnKind::Integer { 20.0 } else { 1.0 };
    let scales: Vec<f64> =
        schema.columns.iter().filter(|column| column.has_number()).map(scale).collect();
    let units = Units::of(schema, &vec![0.1; scales.len()], &scales);
    Model::with_units(randomised(&spec, seed, 0.3), schema.clone(), units).unwrap()
}

/// The row as often as there are values, with these in column `j`.
fn with(row: &[f64], j: usize, values: &[f64]) -> Rows {
    let all = values.iter().flat_map(|value| {
        let mut row = row.to_vec();
        row[j] = *value;
        row
    });
    rows(all.collect(), row.len())
}

#[test]
fn each_column_given_any_others_has_probability_one() {
    let grid = |low: f64, high: f64, n: usize| -> Vec<f64> {
        (0..n).map(|i| low + (high - low) * (i as f64 + 0.5) / n as f64).collect()
    };
    let whole: Vec<f64> = (-400..400).map(f64::from).collect();
    let values: [(Vec<f64>, f64); 6] = [
        (vec![0.0, 1.0, 2.0], 1.0),
        (vec![0.0, 1.0], 1.0),
        (grid(-14.0, 14.0, 28_000), 0.001),
        (grid(-12.0, 12.0, 120_000).iter().map(|u| u.exp()).collect(), 0.0002),
        (grid(0.0, 24.0, 2400), 0.01),
        (whole, 1.0),
    ];
    let whole_row = [2.0, 1.0, -0.4, 1.7, 22.5, 3.0];
    for (preset, known) in [
        (Preset::Nsf, [true; 6]),
        (Preset::NsfCoupling, [false; 6]),
        (Preset::Maf, [true, false, true, false, true, false]),
    ] {
        let model = model_of(preset, &schema(), 5);
        for (j, (values, step)) in values.iter().enumerate() {
            let mut given = whole_row;
            (0..6).filter(|i| *i == j || !known[*i]).for_each(|i| given[i] = NAN);
            let mut row = [NAN; 6];
            // The steps of the positive column are equal in its logarithm.
            let slope = |x: &f64| if j == 3 && *x > 0.0 { *x } else { 1.0 };
            let density = |x: &Rows| -> f64 {
                let given = rows(given.repeat(x.len()), 6);
                let p = model.log_prob_given(x, &given, None, 2).unwrap();
                p.iter().zip(x.column(j)).map(|(p, x)| p.exp() * slope(&x)).sum()
            };
            let mut sum = density(&with(&row, j, values)) * step;
            if j == 3 {
                sum += density(&with(&row, j, &[0.0]));
            }
            assert!((sum - 1.0).abs() < 4e-3, "{preset}, column {j}: {sum}");
            // Two columns that are asked for together.
            if j == 0 && !known[1] {
                let mut both = 0.0;
                for truth in [0.0, 1.0] {
                    row[1] = truth;
                    both += density(&with(&row, 0, values));
                }
                assert!((both - 1.0).abs() < 1e-9, "{preset}: {both}");
            }
        }
        let nothing = model.log_prob(&rows(vec![NAN; 6], 6), None, 1).unwrap();
        close("nothing", &nothing, &[0.0], 1e-12);
    }
}

#[test]
fn a_column_that_is_given_is_not_counted() {
    let model = model_of(Preset::Nsf, &schema(), 2);
    let row = vec![1.0, 0.0, 0.3, 0.0, 7.5, -2.0];
    let (x, none) = (rows(row.clone(), 6), rows(vec![NAN; 6], 6));
    let whole = model.log_prob(&x, None, 1).unwrap();
    assert_eq!(whole, model.log_prob_given(&x, &none, None, 1).unwrap());
    close("all given", &model.log_prob_given(&x, &x, None, 1).unwrap(), &[0.0], 1e-12);
    let (mut given, mut other) = (vec![NAN; 6], row);
    (given[2], other[2]) = (0.3, 9.0);
    let given = rows(given, 6);
    let a = model.log_prob_given(&x, &given, None, 1).unwrap();
    assert_eq!(a, model.log_prob_given(&rows(other, 6), &given, None, 1).unwrap());
    assert_ne!(a, whole);

    let fault = model.log_prob_given(&x, &rows(vec![NAN, 0.5, NAN, NAN, NAN, NAN], 6), None, 1);
    assert!(fault.unwrap_err().message().contains("\"b\""));
    let mut fixed = schema();
    fixed.columns[2].optional = false;
    let model = model_of(Preset::Nsf, &fixed, 2);
    let fault = model.log_prob_given(&x, &given, None, 1).unwrap_err();
    assert!(fault.kind() == ErrorKind::Config && fault.message().contains("\"x\""), "{fault}");
    fixed.columns[0].holes = true;
    assert_eq!(fixed.validate().unwrap_err().kind(), ErrorKind::Config);
    let context = Schema::real(["x"]).given([Column { optional: true, ..Column::real("c") }]);
    assert_eq!(context.validate().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn what_is_drawn_has_the_density_of_its_scores_and_what_is_given_stays() {
    let context = Column::real("w");
    let model = model_of(Preset::Nsf, &schema().given([context]), 7);
    let n = 20_000;
    let (given, w) = (vec![NAN, 1.0, NAN, 0.0, 23.0, NAN], rows(vec![0.4; n], 1));
    let table = rows(given.repeat(n), 6);
    let options = SampleOptions { threads: 2, ..SampleOptions::default() };
    let drawn = model.impute(&table, Some(&w), &options).unwrap();
    for (j, value) in given.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
        assert!(drawn.column(j).iter().all(|x| x == value), "column {j}");
    }
    assert!(drawn.values().iter().all(|x| x.is_finite()));
    // The first column has three values, whose probabilities the scores say.
    let levels = with(&[NAN; 6], 0, &[0.0, 1.0, 2.0]);
    let (three, one) = (rows(given.repeat(3), 6), rows(vec![0.4; 3], 1));
    let p = model.log_prob_given(&levels, &three, Some(&one), 1).unwrap();
    for (level, p) in p.iter().map(|p| p.exp()).enumerate() {
        let share = drawn.column(0).iter().filter(|x| **x == level as f64).count() as f64;
        let error = (p * (1.0 - p) / n as f64).sqrt();
        assert!((share / n as f64 - p).abs() < 5.0 * error, "{level}: {share}, {p}");
    }
    // Rows are those of any cut.
    let part = SampleOptions { first_row: 10, ..SampleOptions::default() };
    let again = model.impute(&table.slice(10..20), Some(&w.slice(10..20)), &part).unwrap();
    assert_eq!(again, drawn.slice(10..20));
    let full = rows(vec![2.0, 1.0, 0.5, 3.0, 1.0, 4.0], 6);
    assert_eq!(model.impute(&full, Some(&w.slice(0..1)), &part).unwrap(), full);
    let read = Model::from_bytes(&model.to_bytes().unwrap(), &Default::default()).unwrap();
    assert_eq!(read.impute(&table.slice(10..20), Some(&w.slice(10..20)), &part).unwrap(), again);
}

/// A category and two numbers that depend on it and on each other, and a value that is one of two by the first number.
struct Truth;

impl Truth {
    const SHARES: [f64; 3] = [0.5, 0.3, 0.2];
    const MEANS: [[f64; 2]; 3] = [[0.0, 0.0], [2.5, 1.0], [-1.0, 3.0]];
    const CORRELATION: f64 = 0.8;

    fn table(n: usize, seed: u64) -> Rows {
        let streams = Streams::new(seed);
        let row = |i: usize| {
            let mut rng = streams.rng(Purpose::Check, 0, i as u64);
            let u = uniform(&mut rng);
            let c = usize::from(u > 0.5) + usize::from(u > 0.8);
            let (a, b) = (normal(&mut rng), normal(&mut rng));
            let r = Self::CORRELATION;
            let [x, y] = Self::MEANS[c];
            [c as f64, x + a, y + r * a + (1.0 - r * r).sqrt() * b]
        };
        rows((0..n).flat_map(row).collect(), 3)
    }

    /// The density of the columns of a row that are in a set.
    fn density(row: &[f64], set: [bool; 3]) -> f64 {
        let of = |c: usize| {
            let [x, y] = [row[1] - Self::MEANS[c][0], row[2] - Self::MEANS[c][1]];
            let r = Self::CORRELATION;
            let normal = |x: f64, deviation: f64| {
                let z = x / deviation;
                (-0.5 * z * z).exp() / (deviation * std::f64::consts::TAU.sqrt())
            };
            Self::SHARES[c]
                * match (set[1], set[2]) {
                    (true, true) => normal(x, 1.0) * normal(y - r * x, (1.0 - r * r).sqrt()),
                    (true, false) => normal(x, 1.0),
                    (false, true) => normal(y, 1.0),
                    (false, false) => 1.0,
                }
        };
        match set[0] {
            true => of(row[0] as usize),
            false => (0..3).map(of).sum(),
        }
    }
}

#[test]
fn marginals_and_conditionals_come_near_the_truth() {
    // One value in ten is not known.
    let (mut train, test) = (Truth::table(12_000, 1), Truth::table(4000, 2));
    let streams = Streams::new(9);
    for (i, value) in train.values_mut().iter_mut().enumerate() {
        if uniform(&mut streams.rng(Purpose::Check, 1, i as u64)) < 0.1 {
            *value = NAN;
        }
    }
    let columns =
        vec![Column::category("c", ["a", "b", "c"]), Column::real("x"), Column::real("y")];
    let schema = Schema::new(columns, Vec::new()).any_subset();
    let fit = Fit::new(Preset::Nsf).schema(schema).rows(train);
    let model = fit.steps(4000).threads(2).run().unwrap();
    let masked = |set: [bool; 3]| {
        let mut x = test.clone();
        x.values_mut().iter_mut().enumerate().for_each(|(i, x)| {
            if !set[i % 3] {
                *x = NAN;
            }
        });
        x
    };
    let mut worst = 0.0_f64;
    for code in 1..27 {
        let part = |j: u32| (code / 3_i32.pow(j)) % 3;
        let set = |which: i32| [0, 1, 2].map(|j| part(j) == which);
        let (asked, given) = (set(1), set(2));
        if asked == [false; 3] {
            continue;
        }
        let both = [0, 1, 2].map(|j| asked[j] || given[j]);
        let (x, known) = (masked(asked), masked(given));
        let p = model.log_prob_given(&x, &known, None, 2).unwrap();
        let truth = (0..test.len())
            .map(|i| (Truth::density(test.row(i), both) / Truth::density(test.row(i), given)).ln());
        let gap = truth.zip(&p).map(|(truth, p)| truth - p).sum::<f64>() / test.len() as f64;
        println!("{asked:?} given {given:?}: {gap:.4}");
        worst = worst.max(gap);
    }
    assert!(worst < 0.05, "{worst}");
    let data = CheckData { x: Truth::table(2000, 3), context: None };
    let report = check(&model, Some(&data), &CheckOptions::default()).unwrap();
    assert!(report.iter().all(|result| result.passed), "{report:?}");
}
