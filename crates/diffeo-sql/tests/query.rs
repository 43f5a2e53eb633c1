//! Functions of SQL on one machine: the bits of the library, whatever the partitions.

mod setup;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{
    AsArray, Float64Array, Int64Array, RecordBatch, StringViewArray, StructArray,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Float64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use diffeo::train::Fit;
use diffeo::{Column, Preset, Rows, SampleOptions};
use setup::{model, rows};

/// A session with a table `t` of `id`, `a`, `b`, `c` in so many partitions of small batches.
fn session(n: usize, partitions: usize) -> SessionContext {
    let x = rows(n);
    let names = ["a", "b", "c"];
    let mut fields = vec![Field::new("id", DataType::Int64, false)];
    fields.extend(names.map(|name| Field::new(name, DataType::Float64, true)));
    let schema = Arc::new(Schema::new(fields));
    let batch = |from: usize, to: usize| {
        let id = Int64Array::from_iter_values((from..to).map(|i| i as i64));
        let column =
            |j: usize| Arc::new(Float64Array::from_iter_values((from..to).map(|i| x.row(i)[j])));
        RecordBatch::try_new(
            Arc::clone(&schema),
            vec![Arc::new(id), column(0), column(1), column(2)],
        )
        .unwrap()
    };
    let part = n.div_ceil(partitions);
    let parts = (0..partitions).map(|p| {
        let (from, to) = (p * part, n.min((p + 1) * part));
        (from..to).step_by(37).map(|at| batch(at, to.min(at + 37))).collect()
    });
    let table = MemTable::try_new(Arc::clone(&schema), parts.collect()).unwrap();
    let session =
        SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
    diffeo_sql::register(&session);
    session.register_table("t", Arc::new(table)).unwrap();
    session
}

async fn ask(session: &SessionContext, sql: &str) -> Result<RecordBatch, String> {
    let frame = session.sql(sql).await.map_err(|e| e.to_string())?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(|e| e.to_string())?;
    Ok(concat_batches(&batches.first().map_or(schema, RecordBatch::schema), &batches).unwrap())
}

fn numbers(batch: &RecordBatch, j: usize) -> Vec<f64> {
    batch.column(j).as_primitive::<Float64Type>().values().to_vec()
}

fn at(path: &Path) -> String {
    path.to_string_lossy().replace('\'', "''")
}

#[tokio::test]
async fn scores_are_those_of_the_library_in_any_partitions() {
    let folder = tempfile::tempdir().unwrap();
    let (path, model) = model(folder.path());
    let expected = model.log_prob(&rows(500), None, 1).unwrap();
    let sql = format!("SELECT diffeo_log_prob('{}', a, b, c) FROM t ORDER BY id", at(&path));
    for partitions in [1, 3] {
        let found = numbers(&ask(&session(500, partitions), &sql).await.unwrap(), 0);
        assert!(found.iter().map(|x| x.to_bits()).eq(expected.iter().map(|x| x.to_bits())));
    }
    // Missing values and constants answer for themselves; no rows are no rows.
    let session = session(5, 1);
    let path = at(&path);
    let each = |c: &str| format!("diffeo_log_prob('{path}', 0.5, 1, {c})");
    let sql = format!("SELECT {}, {}", each("NULL"), each("0.1"));
    let row = ask(&session, &sql).await.unwrap();
    assert!(numbers(&row, 0)[0].is_nan() && numbers(&row, 1)[0].is_finite());
    let none =
        ask(&session, &format!("SELECT diffeo_log_prob('{path}', a, b, c) FROM t WHERE id > 99"))
            .await
            .unwrap();
    assert_eq!(none.num_rows(), 0);
}

#[tokio::test]
async fn draws_follow_from_seed_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let (path, model) = model(folder.path());
    let options = SampleOptions { seed: 7, first_row: 100, ..SampleOptions::default() };
    let expected = model.sample(50, None, &options).unwrap();
    let sql = format!(
        "SELECT diffeo_sample('{}', 7, id) FROM t WHERE id >= 100 ORDER BY id LIMIT 50",
        at(&path)
    );
    for partitions in [1, 4] {
        let found = ask(&session(200, partitions), &sql).await.unwrap();
        let drawn: &StructArray = found.column(0).as_struct();
        assert_eq!(drawn.column_names(), ["a", "b", "c"]);
        for j in 0..3 {
            assert_eq!(
                drawn.column(j).as_primitive::<Float64Type>().values().to_vec(),
                expected.column(j)
            );
        }
    }
}

#[tokio::test]
async fn categories_and_contexts_come_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kinds.safetensors");
    let x = Rows::new((0..300).map(|i| f64::from(i % 3) + (f64::from(i) * 0.7).sin()).collect(), 1)
        .unwrap();
    let word = Rows::new((0..300).map(|i| f64::from(i % 3)).collect(), 1).unwrap();
    let levels = ["red", "green", "blue"].map(str::to_owned).to_vec();
    let schema =
        diffeo::Schema::new(vec![Column::real("x")], vec![Column::category("word", levels)]);
    let fit = Fit::new(Preset::Maf).schema(schema).rows(x.clone()).given(word.clone());
    let model = fit.steps(5).seed(2).run().unwrap();
    model.save(&path).unwrap();
    let fields = vec![
        Field::new("x", DataType::Float64, true),
        Field::new("word", DataType::Utf8View, true),
    ];
    let words = (0..300).map(|i| Some(["red", "green", "blue"][i % 3]));
    let arrays: Vec<datafusion::arrow::array::ArrayRef> = vec![
        Arc::new(Float64Array::from(x.values().to_vec())),
        Arc::new(StringViewArray::from_iter(words)),
    ];
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    let session = SessionContext::new();
    diffeo_sql::register(&session);
    session.register_batch("t", batch).unwrap();
    let sql = format!("SELECT diffeo_log_prob('{}', x, word) FROM t", at(&path));
    let found = numbers(&ask(&session, &sql).await.unwrap(), 0);
    assert_eq!(found, model.log_prob(&x, Some(&word), 1).unwrap());
    let sql = format!("SELECT diffeo_sample('{}', 1, 5, 'blue')", at(&path));
    assert_eq!(ask(&session, &sql).await.unwrap().num_rows(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = model(folder.path());
    let (session, path) = (session(5, 1), at(&path));
    for (sql, reason) in [
        (
            format!("SELECT diffeo_log_prob('{path}', a) FROM t"),
            "expected 3 columns, those of the model in its order (a, b, c), found 1",
        ),
        (
            "SELECT diffeo_log_prob(a, b) FROM t".to_owned(),
            "the path of a model as a constant text",
        ),
        (
            "SELECT diffeo_log_prob('/nowhere', a) FROM t".to_owned(),
            "every machine needs it at this path",
        ),
        (format!("SELECT diffeo_sample('{path}', id, id) FROM t"), "expected a seed"),
        (format!("SELECT diffeo_sample('{path}', 1, -id - 1) FROM t"), "the number of each row"),
        (format!("SELECT diffeo_sample('{path}', 1, 2.5) FROM t"), "the number of each row"),
        (format!("SELECT diffeo_log_prob('{path}', a, 'y', c) FROM t"), "found text in its place"),
    ] {
        let message = ask(&session, &sql).await.unwrap_err();
        assert!(message.contains(reason), "{sql}: {message}");
    }
}
