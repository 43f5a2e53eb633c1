//! Law 9: saved and loaded, a model gives the same bits. Law 10: so it does for any number of threads, and any cut.

use diffeo::{Column, ColumnKind, Model, Rows, SampleOptions, Schema};

use crate::cases::{Case, built, cases};

fn model(case: &Case, seed: u64) -> Model {
    let named = |prefix: &str, n: usize| {
        let column = |i| Column { name: format!("{prefix}{i}"), kind: ColumnKind::Real };
        (0..n).map(column).collect()
    };
    let schema =
        Schema { columns: named("x", case.spec.dims), context: named("c", case.spec.context_dims) };
    Model::new(built(&case.spec, seed), schema).unwrap()
}

/// `n` rows and their contexts: the case's points over and over, moved a little each time.
fn rows(case: &Case, n: usize) -> (Rows, Option<Rows>) {
    let d = case.spec.dims;
    let values = (0..n).flat_map(|i| {
        let row = &case.points[i % case.points.len()];
        let turn = 1.0 - 1e-3 * (i / case.points.len()) as f64;
        row.iter().map(move |v| v * turn).collect::<Vec<_>>()
    });
    let c = case.spec.context_dims;
    let context = || Rows::new((0..n * c).map(|i| (i as f64 * 0.7).sin()).collect(), c).unwrap();
    (Rows::new(values.collect(), d).unwrap(), (c > 0).then(context))
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// All verbs of a model, as bits.
fn answers(model: &Model, x: &Rows, context: Option<&Rows>, threads: usize) -> Vec<Vec<u64>> {
    let options = SampleOptions { threads, ..SampleOptions::default() };
    let (sample, log_prob) = model.sample_with_log_prob(x.len(), context, &options).unwrap();
    let (z, log_det) = model.to_base(x, context, threads).unwrap();
    let (back, inverse) = model.to_data(&z, context, threads).unwrap();
    let scored = model.log_prob(x, context, threads).unwrap();
    [sample.values(), &log_prob, z.values(), &log_det, back.values(), &inverse, &scored]
        .map(bits)
        .to_vec()
}

#[test]
fn law9_saved_and_loaded_every_transform_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for case in cases() {
        for precision in crate::PRECISIONS {
            let case = case.with_precision(precision);
            let path = folder.path().join(format!("{}.safetensors", case.name));
            let model = model(&case, 4);
            model.save(&path).unwrap();
            let loaded = Model::load(&path).unwrap();
            assert_eq!(loaded.flow.spec(), &case.spec, "{}", case.name);
            let (x, context) = rows(&case, 70);
            let [before, after] = [&model, &loaded].map(|m| answers(m, &x, context.as_ref(), 1));
            assert_eq!(before, after, "{} {precision:?}", case.name);
        }
    }
}

#[test]
fn law10_any_number_of_threads_gives_the_same_bits() {
    for case in cases() {
        for precision in crate::PRECISIONS {
            let case = case.with_precision(precision);
            let model = model(&case, 4);
            let (x, context) = rows(&case, 300);
            let one = answers(&model, &x, context.as_ref(), 1);
            for threads in [2, 8] {
                let many = answers(&model, &x, context.as_ref(), threads);
                assert_eq!(one, many, "{} {precision:?}, {threads} threads", case.name);
            }
        }
    }
}

#[test]
fn e8_chunks_of_any_size_give_the_same_bits() {
    for case in cases().iter().filter(|c| c.spec.dims == 2) {
        for precision in crate::PRECISIONS {
            let case = case.with_precision(precision);
            let model = model(&case, 4);
            let (x, context) = rows(&case, 1100);
            let whole = bits(&model.log_prob(&x, context.as_ref(), 1).unwrap());
            // Chunks of one row only at the start and across the end of a block, for time.
            for (chunk, from, to) in
                [(1, 0, 40), (1, 1020, 1030), (7, 0, 1100), (1024, 0, 1100), (1025, 0, 1100)]
            {
                let mut pieces = Vec::new();
                for start in (from..to).step_by(chunk) {
                    let end = (start + chunk).min(to);
                    let c = context.as_ref().map(|c| c.slice(start..end));
                    pieces.extend(model.log_prob(&x.slice(start..end), c.as_ref(), 1).unwrap());
                }
                assert_eq!(bits(&pieces), whole[from..to], "{}, chunks of {chunk}", case.name);
            }
        }
    }
}
