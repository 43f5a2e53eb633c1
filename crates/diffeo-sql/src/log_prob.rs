//! `diffeo_log_prob(model, column, ...)`.

use std::sync::Arc;

use datafusion::arrow::array::Float64Array;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::models::{constant, expect_columns, model, path_of, refused, rows_of};

const NAME: &str = "diffeo_log_prob";

/// `diffeo_log_prob(model, column, ...)`: the log-density of each row, in nats, in the units of the data.
///
/// `model` is the path of a model file, a constant; the columns follow in the order of the model's, those of its context behind them. A row that is not finite, or outside of what its columns may hold,
/// is NaN or -inf.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct LogProb {
    signature: Signature,
}

impl Default for LogProb {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for LogProb {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let path = path_of(args.scalar_arguments.first().copied().flatten(), NAME)?;
        let schema = model(&path)?.schema().clone();
        let columns = [schema.columns, schema.context].concat();
        expect_columns(&columns, args.arg_fields.len() - 1, NAME)?;
        Ok(Arc::new(Field::new(NAME, DataType::Float64, false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, number_rows, .. } = args;
        let model = model(&path_of(constant(args.first()), NAME)?)?;
        let (columns, context) = (&model.schema().columns, &model.schema().context);
        expect_columns(&[&columns[..], context].concat(), args.len() - 1, NAME)?;
        if number_rows == 0 {
            return Ok(ColumnarValue::Array(Arc::new(Float64Array::from(Vec::<f64>::new()))));
        }
        // Constants alone are one row.
        let is_constant = args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { number_rows };
        let arrays = args[1..].iter().map(|arg| arg.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let (own, given) = arrays.split_at(columns.len());
        let x = rows_of(columns, own.to_vec(), rows)?;
        let given = match context.as_slice() {
            [] => None,
            context => Some(rows_of(context, given.to_vec(), rows)?),
        };
        let log_prob = model.log_prob(&x, given.as_ref(), 1).map_err(|e| refused(e.to_string()))?;
        Ok(match is_constant {
            true => ColumnarValue::Scalar(ScalarValue::Float64(log_prob.first().copied())),
            false => ColumnarValue::Array(Arc::new(Float64Array::from(log_prob))),
        })
    }
}
