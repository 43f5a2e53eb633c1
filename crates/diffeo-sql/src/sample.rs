//! `diffeo_sample(model, seed, row, context, ...)`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, StructArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use diffeo::{Model, Rows, SampleOptions};
use diffeo_table::Chunk;

use crate::models::{constant, expect_columns, model, path_of, refused, rows_of};

const NAME: &str = "diffeo_sample";

/// `diffeo_sample(model, seed, row, column, ...)`: a draw for each row, as a structure of the model's columns.
///
/// `model` is the path of a model file and `seed` a whole number, both constants; `row` numbers the rows, from 0 or any other number: equal numbers are equal draws. The columns are those of the model's
/// context, if it has one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Sample {
    signature: Signature,
}

impl Default for Sample {
    fn default() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Sample {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(refused(format!("{NAME}: the type follows from the model")))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let path = path_of(args.scalar_arguments.first().copied().flatten(), NAME)?;
        let model = model(&path)?;
        expect_columns(&model.schema().context, args.arg_fields.len().saturating_sub(3), NAME)?;
        let none = Rows::zeros(0, model.schema().columns.len());
        Ok(Arc::new(Field::new(NAME, structure(&model, &none)?.data_type().clone(), false)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs { args, number_rows, return_field, .. } = args;
        let model = model(&path_of(constant(args.first()), NAME)?)?;
        let seed = seed_of(constant(args.get(1)))?;
        let context = &model.schema().context;
        expect_columns(context, args.len().saturating_sub(3), NAME)?;
        let rows = numbers(args.get(2), number_rows)?;
        let given = match context.as_slice() {
            [] => None,
            context => {
                let arrays = args[3..].iter().map(|arg| arg.to_array(number_rows));
                Some(rows_of(context, arrays.collect::<Result<_>>()?, number_rows)?)
            }
        };
        let drawn =
            draw(&model, seed, &rows, given.as_ref()).map_err(|e| refused(e.to_string()))?;
        let drawn = cast(&structure(&model, &drawn)?, return_field.data_type())?;
        Ok(ColumnarValue::Array(drawn))
    }
}

fn seed_of(argument: Option<&ScalarValue>) -> Result<u64> {
    let seed = argument.filter(|seed| seed.data_type().is_integer());
    let seed = seed.and_then(|seed| match seed.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(seed))) => u64::try_from(seed).ok(),
        _ => None,
    });
    seed.ok_or_else(|| {
        refused(format!("{NAME}: expected a seed of at least 0 as a constant second"))
    })
}

/// The numbers of the rows.
fn numbers(argument: Option<&ColumnarValue>, count: usize) -> Result<Vec<u64>> {
    let wrong = || {
        refused(format!(
            "{NAME}: expected the number of each row, a whole one of at least 0, third"
        ))
    };
    let array = argument.ok_or_else(wrong)?.to_array(count)?;
    if !array.data_type().is_integer() {
        return Err(wrong());
    }
    let array = cast(&array, &DataType::Int64)?;
    let numbers = array.as_primitive::<Int64Type>().iter();
    numbers.map(|n| n.and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)).collect()
}

/// Draws rows by their numbers; those that follow one another are drawn together.
fn draw(model: &Model, seed: u64, rows: &[u64], given: Option<&Rows>) -> diffeo::Result<Rows> {
    let width = model.schema().columns.len();
    let (mut values, mut from) = (Vec::with_capacity(rows.len() * width), 0);
    while from < rows.len() {
        let run =
            rows[from..].windows(2).take_while(|pair| pair[1] == pair[0].wrapping_add(1)).count()
                + 1;
        let options = SampleOptions { seed, first_row: rows[from], temperature: 1.0, threads: 1 };
        let context = given.map(|given| given.slice(from..from + run));
        values.extend_from_slice(model.sample(run, context.as_ref(), &options)?.values());
        from += run;
    }
    Rows::new(values, width)
}

/// Rows as the cells that they stand for.
fn structure(model: &Model, rows: &Rows) -> Result<StructArray> {
    let batch = Chunk::from_columns(&model.schema().columns, rows, &[])
        .and_then(|chunk| chunk.typed_batch());
    Ok(StructArray::from(batch.map_err(|e| refused(e.to_string()))?))
}
