//! Reads the tables of a fit and decides what each column may hold.

use diffeo::train::{TrainingData, ValidationChoice};
use diffeo::{
    Column, ColumnKind, Error, ErrorKind, ImageShape, KindWish, Result, Rows, Schema, quoted,
};
use diffeo_table::{
    InferOptions, Input, Missing, Reader, Table, Wanted, Wish, infer_schema_with, read_rows,
    read_wanted,
};

use super::images;
use crate::commands::model::{expect_image, is_read_once};
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
    if let Some(image) = images::shape(plan)? {
        return images::prepare(image, plan, console);
    }
    let args = &plan.args;
    let context = args.context.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let columns = match &args.columns {
        Some(list) => list.0.clone(),
        None => all_columns(plan, &context, console)?,
    };
    check_dequantized(&columns, plan)?;
    let table = read(&columns, &context, plan, console)?;
    let options = InferOptions {
        drop_constant: args.drop_constant,
        dequantize: args.dequantize.iter().flat_map(|list| list.0.clone()).collect(),
        any_subset: args.any_subset,
    };
    let (schema, notes) = infer_schema_with(&table, &columns, &context, &options)
        .map_err(|e| of_table(e, &plan.data))?;
    announce(&schema, console);
    for note in notes {
        match note.warning {
            true => console.warn(note.to_string()),
            false if note.text == "real" => {} // the default needs no reason
            false => console.note(format!("  {note}")),
        }
    }
    let columns = schema.columns.iter().chain(&schema.context);
    let mut names: Vec<String> = columns.map(|column| column.name.clone()).collect();
    names.extend(args.weight.clone());
    let rows = if table.names == names { table.rows } else { table.columns(&names)? };
    let data = training_data(rows, &schema)?;
    let validation = validation(&schema, plan, console)?;
    Ok(Prepared { schema, data, validation })
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

/// Reads the columns that are needed from the table to fit.
pub(super) fn read(
    columns: &[Wish],
    context: &[Wish],
    plan: &FitPlan,
    console: &Console,
) -> Result<Table> {
    let holes = plan.read.missing == Missing::Model;
    let wanted = |(name, wish): &Wish| Wanted {
        kind: wish.as_ref().map(|wish| wish.kind),
        holes,
        ..Wanted::any(name)
    };
    let mut all: Vec<Wanted> = columns.iter().chain(context).map(wanted).collect();
    let number = |name| Wanted { kind: Some(ColumnKind::Real), ..Wanted::any(name) };
    all.extend(plan.args.weight.iter().map(number));
    let table = read_wanted(&plan.data, &all, &plan.read, memory::limit(plan.max_memory))?;
    table.report.warnings().into_iter().for_each(|warning| console.warn(warning));
    Ok(table)
}

/// The rows that decide when to stop, if they are in a table of their own.
pub(super) fn validation(
    schema: &Schema,
    plan: &FitPlan,
    console: &Console,
) -> Result<Option<ValidationChoice>> {
    let Valid::Table(path) = &plan.valid else { return Ok(None) };
    let rows = read_known(&Input::Path(path.clone()), schema, plan, console)?;
    Ok(Some(ValidationChoice::Given(training_data(rows, schema)?)))
}

/// Reads the rows of columns that are known.
pub(super) fn read_known(
    input: &Input,
    schema: &Schema,
    plan: &FitPlan,
    console: &Console,
) -> Result<Rows> {
    let columns = schema.columns.iter().chain(&schema.context).cloned();
    let columns: Vec<Column> = columns.chain(plan.args.weight.iter().map(Column::real)).collect();
    let limit = memory::limit(plan.max_memory);
    if schema.image.is_some() && !is_read_once(input) {
        expect_image(schema, &Reader::open(input, &plan.read)?, input)?;
    }
    let (rows, report) = read_rows(input, &columns, &plan.read, limit)?;
    report.warnings().into_iter().for_each(|warning| console.warn(warning));
    Ok(rows)
}

/// The columns to model where none are named: all that can be read and have no other part to play.
fn all_columns(plan: &FitPlan, context: &[Wish], console: &Console) -> Result<Vec<Wish>> {
    let excluded = plan.args.exclude.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
    let taken = |name: &String| {
        context.iter().any(|(other, _)| other == name)
            || excluded.contains(name)
            || plan.args.weight.as_ref() == Some(name)
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
        (&survey.other, "they hold neither numbers nor text nor dates"),
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
    let is_read = |name: &String| survey.numeric.contains(name) || survey.text.contains(name);
    let columns: Vec<String> = candidates.into_iter().filter(|name| is_read(name)).collect();
    if columns.is_empty() {
        return Err(Error::data(
            "expected at least one column of numbers, text or dates to model, found none; see --columns",
        ));
    }
    Ok(columns.into_iter().map(|name| (name, None)).collect())
}

/// Refuses columns of `--dequantize` that are not modelled, or as something else.
fn check_dequantized(columns: &[Wish], plan: &FitPlan) -> Result<()> {
    for name in plan.args.dequantize.iter().flat_map(|list| &list.0) {
        match columns.iter().find(|(column, _)| column == name) {
            Some((_, kind)) if kind.as_ref().is_none_or(|wish| wish.kind.is_whole()) => {}
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
    Ok(())
}

/// Cuts rows into what is modelled, what it is conditioned on, and the weights.
pub(super) fn training_data(rows: Rows, schema: &Schema) -> Result<TrainingData> {
    let (modelled, given) = (schema.columns.len(), schema.context.len());
    if modelled == rows.width() {
        return Ok(TrainingData { x: rows, context: None, weights: None });
    }
    let part = |from: usize, to: usize| {
        let values = (0..rows.len()).flat_map(|i| rows.row(i)[from..to].iter().copied());
        Rows::new(values.collect(), to - from)
    };
    let context = if given == 0 { None } else { Some(part(modelled, modelled + given)?) };
    let weights = (rows.width() > modelled + given).then(|| rows.column(modelled + given));
    Ok(TrainingData { x: part(0, modelled)?, context, weights })
}

/// What rows of clips are.
fn describe_frames(image: &ImageShape, earlier: usize) -> String {
    let before =
        if earlier == 1 { "the one before it".into() } else { format!("the {earlier} before it") };
    format!("frames {image}, each given {before}")
}

/// Prints what each column was taken for.
pub(super) fn announce(schema: &Schema, console: &Console) {
    let list = |columns: &[Column]| {
        let item = |c: &Column| format!("{}={}", crate::columns::list_item(&c.name), c.describe());
        columns.iter().map(item).collect::<Vec<_>>().join(",")
    };
    match schema.image {
        Some(image) if schema.earlier_frames() > 0 => {
            console.note(describe_frames(&image, schema.earlier_frames()));
            return;
        }
        Some(image) => console.note(format!("images {image}")),
        None => console.note(format!("columns {}", list(&schema.columns))),
    }
    if !schema.context.is_empty() {
        console.note(format!("context {}", list(&schema.context)));
    }
}
