//! Law 9: saved and loaded, a model gives the same bits. Law 10: so it does for any number of threads.

use super::case::{Case, PRECISIONS, built};
use crate::columns::{Column, Schema};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};

fn model(case: &Case) -> Model {
    let named = |prefix: &str, n: usize| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
    let context = named("c", case.spec.context_dims).into_iter().map(Column::real);
    let schema = Schema::real(named("x", case.spec.dims)).given(context);
    Model::new(built(&case.spec, 4), schema).unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

/// `n` rows and their contexts: the case's points over and over, moved a little each time.
fn rows(case: &Case, n: usize) -> (Rows, Option<Rows>) {
    let values = (0..n).flat_map(|i| {
        let row = &case.points[i % case.points.len()];
        let turn = 1.0 - 1e-3 * (i / case.points.len()) as f64;
        row.iter().map(move |v| v * turn).collect::<Vec<_>>()
    });
    let of = |values: Vec<f64>, width| Rows::new(values, width).unwrap_or_else(|e| panic!("{e}"));
    let c = case.spec.context_dims;
    let context = || of((0..n * c).map(|i| (i as f64 * 0.7).sin()).collect(), c);
    (of(values.collect(), case.spec.dims), (c > 0).then(context))
}

/// All verbs of a model, as bits.
fn answers(model: &Model, x: &Rows, context: Option<&Rows>, threads: usize) -> Vec<Vec<u64>> {
    let options = SampleOptions { threads, ..SampleOptions::default() };
    let all = || -> crate::error::Result<Vec<Vec<f64>>> {
        let (sample, log_prob) = model.sample_with_log_prob(x.len(), context, &options)?;
        let (z, log_det) = model.to_base(x, context, threads)?;
        let (back, inverse) = model.to_data(&z, context, threads)?;
        let scored = model.log_prob(x, context, threads)?;
        let [sample, z, back] = [sample, z, back].map(Rows::into_values);
        Ok(vec![sample, log_prob, z, log_det, back, inverse, scored])
    };
    let bits = |values: Vec<f64>| values.into_iter().map(f64::to_bits).collect();
    all().unwrap_or_else(|e| panic!("{e}")).into_iter().map(bits).collect()
}

/// Saved and loaded (with the case's registry), a model has the same specification and gives the same bits.
///
/// # Panics
/// Where it does not.
pub fn saved_and_loaded_it_is_the_same(case: &Case) {
    for precision in PRECISIONS {
        let case = case.in_precision(precision);
        let model = model(&case);
        let loaded = model.to_bytes().and_then(|bytes| Model::from_bytes(&bytes, &case.registry));
        let loaded = loaded.unwrap_or_else(|e| panic!("{} {precision:?}: {e}", case.name));
        assert_eq!(loaded.flow().spec(), &case.spec, "{}", case.name);
        let (x, context) = rows(&case, 70);
        let [before, after] = [&model, &loaded].map(|m| answers(m, &x, context.as_ref(), 1));
        assert_eq!(before, after, "{} {precision:?}", case.name);
    }
}

/// Any number of threads, and any cut of a table into chunks, gives the same bits.
///
/// # Panics
/// Where it does not.
pub fn threads_change_nothing(case: &Case) {
    for precision in PRECISIONS {
        let case = case.in_precision(precision);
        let model = model(&case);
        // More rows than a block holds.
        let (x, context) = rows(&case, 1100);
        let one = answers(&model, &x, context.as_ref(), 1);
        let short = usize::from(case.is_shortened());
        for threads in [8, 2].into_iter().skip(short) {
            let many = answers(&model, &x, context.as_ref(), threads);
            assert_eq!(one, many, "{} {precision:?}, {threads} threads", case.name);
        }
        // Single rows only at the start and across the end of a block, for time.
        let cuts = [(1024, 0..1100), (1025, 0..1100), (1, 0..40), (1, 1020..1030), (7, 0..300)];
        for (chunk, all) in cuts.into_iter().skip(short) {
            let mut pieces = Vec::new();
            for start in all.clone().step_by(chunk) {
                let rows = start..all.end.min(start + chunk);
                let c = context.as_ref().map(|c| c.slice(rows.clone()));
                let part = model.log_prob(&x.slice(rows), c.as_ref(), 1);
                pieces.extend(part.unwrap_or_else(|e| panic!("{e}")).into_iter().map(f64::to_bits));
            }
            assert_eq!(pieces, one[6][all], "{} {precision:?}, chunks of {chunk}", case.name);
        }
    }
}
