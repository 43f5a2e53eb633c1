//! What a model does with the rows and contexts that it is given.

mod support;

use diffeo::{ColumnKind, ErrorKind, Model, Precision, Preset, PresetOptions, Rows, SampleOptions};
use support::{bits, model, normals, randomised, rows};

/// A small conditional model of `dims` columns and two columns of context.
fn conditional(preset: Preset, dims: usize) -> Model {
    let options = PresetOptions { transforms: 2, hidden: vec![16], ..PresetOptions::default() };
    model(
        randomised(&preset.spec(dims, 2, &options).unwrap(), 3, 0.3),
        &vec![ColumnKind::Real; dims],
    )
}

#[test]
fn e7_a_context_of_another_shape_is_refused_by_every_verb() {
    let model = conditional(Preset::Nsf, 2);
    let x = rows(normals(8, 1), 2);
    let options = SampleOptions::default();
    for context in [
        None,
        Some(rows(vec![0.5, 1.0], 2)),
        Some(rows(normals(4, 2), 1)),
        Some(rows(normals(12, 2), 3)),
        Some(rows(normals(10, 2), 2)),
    ] {
        let context = context.as_ref();
        let errors = [
            model.log_prob(&x, context, 1).unwrap_err(),
            model.to_base(&x, context, 1).unwrap_err(),
            model.to_data(&x, context, 1).unwrap_err(),
            model.sample(4, context, &options).unwrap_err(),
            model.sample_with_log_prob(4, context, &options).unwrap_err(),
        ];
        for error in errors {
            let found = context.map_or("no context".into(), |c| {
                format!("found {} rows of {}", c.len(), c.width())
            });
            assert!(
                error.kind() == ErrorKind::Shape
                    && error.message().contains("4 rows of 2 context values"),
                "{error}"
            );
            assert!(error.message().contains(&found), "{error}");
        }
    }
}

#[test]
fn e7_context_columns_have_their_places_and_one_row_for_all_must_be_written_out() {
    for preset in [Preset::Nsf, Preset::Maf, Preset::Iaf, Preset::RealNvp, Preset::NsfCoupling] {
        let model = conditional(preset, 2);
        let x = rows(normals(80, 1), 2);
        let one = [0.7, -1.2];
        let all = model.log_prob(&x, Some(&rows(one.repeat(40), 2)), 1).unwrap();
        let swapped = model.log_prob(&x, Some(&rows([one[1], one[0]].repeat(40), 2)), 1).unwrap();
        assert!(
            all.iter().zip(&swapped).all(|(a, b)| a != b),
            "{preset}: the order of columns shows"
        );
        for (i, expected) in all.iter().enumerate().step_by(7) {
            let alone =
                model.log_prob(&x.slice(i..i + 1), Some(&rows(one.to_vec(), 2)), 1).unwrap();
            assert_eq!(alone[0].to_bits(), expected.to_bits(), "{preset} row {i}");
        }
        let mut bad = one.repeat(40);
        bad[6] = f64::NAN;
        let found = model.log_prob(&x, Some(&rows(bad, 2)), 1).unwrap();
        assert!(found[3].is_nan(), "{preset}: a context of NaN is not hidden");
        for i in (0..40).filter(|i| *i != 3) {
            assert_eq!(found[i].to_bits(), all[i].to_bits(), "{preset} row {i}");
        }
    }
}

#[test]
fn e8_chunks_of_1_7_1024_and_1025_rows_give_the_same_bits() {
    for preset in Preset::of_tables() {
        let options = PresetOptions { transforms: 2, hidden: vec![16], ..PresetOptions::default() };
        let flow = randomised(&preset.spec(3, 0, &options).unwrap(), 3, 0.3);
        let model = model(flow, &[ColumnKind::Real, ColumnKind::Positive, ColumnKind::Integer]);
        let n = 2060;
        let one = |i: usize, v: f64| match i % 3 {
            0 => v,
            1 => v.exp(),
            _ => (5.0 * v).round(),
        };
        let x =
            rows(normals(3 * n, 1).into_iter().enumerate().map(|(i, v)| one(i, v)).collect(), 3);
        let whole = bits(&model.log_prob(&x, None, 2).unwrap());
        for (chunk, range) in [(1, 1000..1060), (7, 0..n), (1024, 0..n), (1025, 0..n)] {
            let mut found = Vec::new();
            for start in range.clone().step_by(chunk) {
                let part = x.slice(start..(start + chunk).min(range.end));
                found.extend(bits(&model.log_prob(&part, None, 1).unwrap()));
            }
            assert_eq!(found, whole[range], "{preset}, chunks of {chunk}");
        }
    }
}

#[test]
fn e5_probabilities_too_small_for_a_float_have_a_logarithm() {
    let options = PresetOptions { precision: Precision::F64, ..PresetOptions::default() };
    let spec = Preset::Gaussian.spec(1, 0, &options).unwrap();
    let of = |kind| model(spec.build(0).unwrap(), &[kind]);
    // A density of e^-745 is the last that is not zero, and whole numbers are averaged over their cells.
    let x: Vec<f64> = (36..44).chain([100, 100_000]).map(f64::from).collect();
    let half_log_tau = 0.5 * (2.0 * std::f64::consts::PI).ln();
    let real = of(ColumnKind::Real).log_prob(&rows(x.clone(), 1), None, 1).unwrap();
    for (x, found) in x.iter().zip(&real) {
        let exact = -0.5 * x * x - half_log_tau;
        assert!((found / exact - 1.0).abs() < 1e-14, "{x}: {found} against {exact}");
    }
    let whole = of(ColumnKind::Integer).log_prob(&rows(x.clone(), 1), None, 1).unwrap();
    for (x, found) in x.iter().zip(&whole) {
        // The mass of a cell lies at its near end, x + 1/16 on the lattice.
        let nearest = -0.5 * (x + 0.0625f64).powi(2) - half_log_tau - 8f64.ln();
        assert!(
            *found >= nearest && *found < nearest + 8f64.ln(),
            "{x}: {found} against {nearest}"
        );
    }
    let sample: Rows = of(ColumnKind::Real).sample(100, None, &SampleOptions::default()).unwrap();
    let scored = of(ColumnKind::Real).log_prob(&sample, None, 1).unwrap();
    let (again, drawn) =
        of(ColumnKind::Real).sample_with_log_prob(100, None, &SampleOptions::default()).unwrap();
    assert_eq!(again, sample);
    support::close("log_prob", &drawn, &scored, 1e-12);
}

#[test]
fn rows_beyond_the_last_number_are_refused() {
    let model = conditional(Preset::Maf, 2);
    let context = rows(normals(6, 1), 2);
    let from = |first_row| SampleOptions { first_row, ..SampleOptions::default() };
    let last = model.sample(3, Some(&context), &from(u64::MAX - 3)).unwrap();
    assert_eq!(last.len(), 3);
    let error = model.sample(3, Some(&context), &from(u64::MAX - 2)).unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("2^64"), "{error}");
}
