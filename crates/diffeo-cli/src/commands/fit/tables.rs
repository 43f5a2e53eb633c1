//! Reads the tables of a fit and decides what each column may hold.

use diffeo::train::{TrainingData, ValidationChoice};
use diffeo::{ColumnKind, Error, ErrorKind, KindWish, Result, Schema, quoted};
use diffeo_table::{
    InferOptions, Input, MemoryLimit, Reader, Table, infer_schema_with, read_table,
};

use crate::memory;
use crate::options::fit::{FitPlan, Valid};
use crate::output::Console;

/// What a trainer needs besides the flow.
pub(super) struct Prepared {
    pub(super) schema: Schema,
    pub(super) data: TrainingData,
    pub(super) validation: Option<ValidationChoice>,
}

/// Reads the tables and prints the schema that was chosen.
pub(super) fn prepare(plan: &FitPlan, console: &Console) -> Result<Prepared> {
    let args = &plan.args;
    let context = args.context.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let limit = memory::limit(plan.max_memory);
    let columns = match &args.columns {
        Some(list) => list.0.clone(),
        None => all_columns(plan, &context, console)?,
    };
    let columns = with_dequantized(columns, plan)?;
    let wanted = columns.iter().map(|(name, _)| name).chain(&context).chain(&args.weight);
    let wanted: Vec<String> = wanted.cloned().collect();
    let table = read(&plan.data, &wanted, plan, limit, console)?;
    let options = InferOptions { drop_constant: args.drop_constant };
    let (schema, notes) = infer_schema_with(&table, &columns, &context, options)
        .map_err(|e| of_table(e, &plan.data))?;
    announce(&schema, console);
    for note in notes {
        match note.warning {
            true => console.warn(note.to_string()),
            false if note.text == "real" => {} // the default needs no reason
            false => console.note(format!("  {note}")),
        }
    }
    let data = training_data(table, &schema, args.weight.as_deref())?;
    let validation = match &plan.valid {
        Valid::Table(path) => {
            let names = names(&schema, args.weight.as_deref());
            let input = Input::Path(path.clone());
            let table = read(&input, &names, plan, limit, console)?;
            Some(ValidationChoice::Given(training_data(table, &schema, args.weight.as_deref())?))
        }
        _ => None,
    };
    Ok(Prepared { schema, data, validation })
}

/// Whether a second reading would find nothing, or wait for ever.
pub(super) fn is_read_once(data: &Input) -> bool {
    match data {
        Input::Stdin => true,
        Input::Path(path) => {
            std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
        }
    }
}

/// Names the table in an error about its content.
pub(super) fn of_table(error: Error, data: &Input) -> Error {
    match data {
        Input::Path(path) if error.kind() == ErrorKind::Data && error.path().is_none() => {
            error.at(path)
        }
        _ => error,
    }
}

fn read(
    input: &Input,
    wanted: &[String],
    plan: &FitPlan,
    limit: MemoryLimit,
    console: &Console,
) -> Result<Table> {
    let table = read_table(input, Some(wanted), &plan.read, limit)?;
    for warning in table.report.warnings() {
        console.warn(warning);
    }
    Ok(table)
}

/// The columns to model where none are named: all that hold numbers and have no other part to play.
fn all_columns(
    plan: &FitPlan,
    context: &[String],
    console: &Console,
) -> Result<Vec<(String, Option<KindWish>)>> {
    let excluded = plan.args.exclude.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
    let taken = |name: &String| {
        context.contains(name) || excluded.contains(name) || plan.args.weight.as_ref() == Some(name)
    };
    if is_read_once(&plan.data) {
        return Err(Error::config(
            "stdin and pipes are read once only; name the columns to model with --columns",
        ));
    }
    let reader = Reader::open(&plan.data, &plan.read)?;
    let missing: Vec<&String> =
        excluded.iter().filter(|name| !reader.columns().contains(name)).collect();
    if let Some(name) = missing.first() {
        return Err(Error::data(format!("--exclude: the table has no column {}", quoted(name))));
    }
    let candidates: Vec<String> =
        reader.columns().iter().filter(|name| !taken(name)).cloned().collect();
    let survey = reader.survey()?;
    let left_out = [
        (&survey.other, "they hold no numbers (categories are not modelled)"),
        (&survey.empty, "they have no value in any row"),
        (
            &survey.index,
            "they are row numbers that pandas stored (to_parquet(index=False) does not)",
        ),
    ];
    for (names, reason) in left_out {
        let names = names.iter().filter(|name| candidates.contains(name));
        let names: Vec<String> = names.map(|name| quoted(name)).collect();
        if !names.is_empty() {
            console.warn(format!("left out, {reason}: {}", names.join(", ")));
        }
    }
    let columns: Vec<String> =
        candidates.into_iter().filter(|name| survey.numeric.contains(name)).collect();
    if columns.is_empty() {
        return Err(Error::data(
            "expected at least one numeric column to model, found none; see --columns",
        ));
    }
    Ok(columns.into_iter().map(|name| (name, None)).collect())
}

/// Makes the columns of `--dequantize` integers.
fn with_dequantized(
    mut columns: Vec<(String, Option<KindWish>)>,
    plan: &FitPlan,
) -> Result<Vec<(String, Option<KindWish>)>> {
    for name in plan.args.dequantize.iter().flat_map(|list| &list.0) {
        match columns.iter_mut().find(|(column, _)| column == name) {
            Some((_, kind)) if kind.as_ref().is_none_or(|wish| wish.kind.is_whole()) => {
                *kind = Some(ColumnKind::Integer.into());
            }
            Some((_, kind)) => {
                let kind = kind.as_ref().map_or(String::new(), KindWish::to_string);
                let message = format!(
                    "column {} is {kind} by --columns and integer by --dequantize",
                    quoted(name)
                );
                return Err(Error::config(message));
            }
            None => {
                return Err(Error::data(format!(
                    "--dequantize: no column {} is modelled",
                    quoted(name)
                )));
            }
        }
    }
    Ok(columns)
}

fn names(schema: &Schema, weight: Option<&str>) -> Vec<String> {
    let columns = schema.columns.iter().chain(&schema.context).map(|column| column.name.clone());
    columns.chain(weight.map(str::to_string)).collect()
}

/// Cuts the table into what is modelled, what it is conditioned on, and the weights.
fn training_data(table: Table, schema: &Schema, weight: Option<&str>) -> Result<TrainingData> {
    let column_names: Vec<String> = schema.columns.iter().map(|c| c.name.clone()).collect();
    let context_names: Vec<String> = schema.context.iter().map(|c| c.name.clone()).collect();
    let context =
        if context_names.is_empty() { None } else { Some(table.columns(&context_names)?) };
    let weights = match weight {
        Some(name) => Some(table.rows.column(table.index_of(name)?)),
        None => None,
    };
    let x = if table.names == column_names { table.rows } else { table.columns(&column_names)? };
    Ok(TrainingData { x, context, weights })
}

/// Prints what each column was taken for.
fn announce(schema: &Schema, console: &Console) {
    let list = |columns: &[diffeo::Column]| {
        let item =
            |c: &diffeo::Column| format!("{}={}", crate::columns::list_item(&c.name), c.describe());
        columns.iter().map(item).collect::<Vec<_>>().join(",")
    };
    console.note(format!("columns {}", list(&schema.columns)));
    if !schema.context.is_empty() {
        console.note(format!("context {}", list(&schema.context)));
    }
}
