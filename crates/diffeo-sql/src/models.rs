//! Models by the paths of their files, read once, and the columns that functions take.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use diffeo::{Column, ColumnKind, Model, Rows};
use diffeo_table::{Batches, Input, Missing, ReadOptions, Reader};

/// Size and time of a file: a model that was fitted anew is read anew.
type Stamp = (u64, Option<SystemTime>);

type Known = HashMap<PathBuf, (Stamp, Arc<Model>)>;

static MODELS: OnceLock<Mutex<Known>> = OnceLock::new();

/// The model in a file, which is read if it is another one than before.
pub(crate) fn model(path: &str) -> Result<Arc<Model>> {
    let path = Path::new(path);
    let fault = |e: std::io::Error| {
        refused(format!(
            "{}: cannot read the model: {e}; every machine needs it at this path",
            path.display()
        ))
    };
    let about = std::fs::metadata(path).map_err(fault)?;
    let stamp = (about.len(), about.modified().ok());
    let models = MODELS.get_or_init(Mutex::default);
    let known = models.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    match known {
        Some((seen, model)) if seen == stamp => Ok(model),
        _ => {
            let model = Arc::new(Model::load(path).map_err(|e| refused(e.to_string()))?);
            let mut models = models.lock().unwrap_or_else(PoisonError::into_inner);
            models.insert(path.to_owned(), (stamp, Arc::clone(&model)));
            Ok(model)
        }
    }
}

/// The constant text of an argument.
pub(crate) fn path_of(argument: Option<&ScalarValue>, function: &str) -> Result<String> {
    match argument {
        Some(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::LargeUtf8(Some(text))
            | ScalarValue::Utf8View(Some(text)),
        ) => Ok(text.clone()),
        _ => Err(refused(format!(
            "{function}: expected the path of a model as a constant text first, such as {function}('model.safetensors', ...)"
        ))),
    }
}

/// The constant of an argument, if it is one.
pub(crate) fn constant(argument: Option<&ColumnarValue>) -> Option<&ScalarValue> {
    match argument {
        Some(ColumnarValue::Scalar(value)) => Some(value),
        _ => None,
    }
}

/// Refuses arguments that are not one for each column.
pub(crate) fn expect_columns(columns: &[Column], found: usize, function: &str) -> Result<()> {
    if columns.len() == found {
        return Ok(());
    }
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    Err(refused(format!(
        "{function}: expected {} columns, those of the model in its order ({}), found {found}",
        columns.len(),
        names.join(", ")
    )))
}

/// Rows of a model's columns, as cells of these arrays say; a row that is missing something answers for itself.
pub(crate) fn rows_of(columns: &[Column], arrays: Vec<ArrayRef>, rows: usize) -> Result<Rows> {
    for (column, array) in columns.iter().zip(&arrays) {
        let is_of_text =
            matches!(column.kind, ColumnKind::Category | ColumnKind::Date | ColumnKind::Time);
        if array.data_type().is_string() && !is_of_text {
            return Err(refused(format!(
                "column {} of the model is {}, found text in its place; columns follow in the order of the model's",
                column.name,
                column.describe()
            )));
        }
    }
    let fields = columns.iter().zip(&arrays);
    let fields: Vec<Field> = fields
        .map(|(column, array)| Field::new(&column.name, array.data_type().clone(), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)?;
    let read = || -> diffeo::Result<Rows> {
        let options = ReadOptions {
            missing: Missing::Keep,
            max_magnitude: f64::MAX,
            ..ReadOptions::default()
        };
        let input = Input::Batches(Batches::new(schema, [batch])?);
        let mut reader = Reader::open(&input, &options)?;
        reader.select_columns(columns)?;
        let mut values = Vec::with_capacity(rows * columns.len());
        while let Some(chunk) = reader.next_chunk()? {
            values.extend_from_slice(chunk.rows_for(columns)?.values());
        }
        Rows::new(values, columns.len())
    };
    read().map_err(|e| refused(e.to_string()))
}

pub(crate) fn refused(text: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(text.into())
}
