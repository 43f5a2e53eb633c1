//! Reads the tables of a fit and decides what each column may hold.

use diffeo::train::{TrainingData, ValidationChoice};
use diffeo::{Column, ImageShape, Result, Schema};
use diffeo_table::{InferOptions, Input, Reader, Roles, TrainingTable, expect_image};

use super::images;
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
    let limit = memory::limit(plan.max_memory);
    let warn = &mut |warning| console.warn(warning);
    let TrainingTable { schema, data, notes } =
        roles(plan).read(&plan.data, &plan.read, limit, warn)?;
    announce(&schema, console);
    for note in notes {
        match note.warning {
            true => console.warn(note.to_string()),
            false if note.text == "real" => {} // the default needs no reason
            false => console.note(format!("  {note}")),
        }
    }
    let validation = validation(&schema, plan, console)?;
    Ok(Prepared { schema, data, validation })
}

/// Which part each column plays, as the options say.
pub(super) fn roles(plan: &FitPlan) -> Roles {
    let args = &plan.args;
    Roles {
        columns: args.columns.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
        context: args.context.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
        exclude: args.exclude.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
        weight: args.weight.clone(),
        infer: InferOptions {
            drop_constant: args.drop_constant,
            dequantize: args.dequantize.iter().flat_map(|list| list.0.clone()).collect(),
            any_subset: args.any_subset,
        },
    }
}

/// The rows that decide when to stop, if they are in a table of their own.
pub(super) fn validation(
    schema: &Schema,
    plan: &FitPlan,
    console: &Console,
) -> Result<Option<ValidationChoice>> {
    let Valid::Table(path) = &plan.valid else { return Ok(None) };
    let rows = read_known(&Input::Path(path.clone()), schema, plan, console)?;
    Ok(Some(ValidationChoice::Given(rows)))
}

/// Reads the rows of columns that are known.
pub(super) fn read_known(
    input: &Input,
    schema: &Schema,
    plan: &FitPlan,
    console: &Console,
) -> Result<TrainingData> {
    if schema.image.is_some() && !input.is_read_once() {
        expect_image(schema, &Reader::open(input, &plan.read)?, input)?;
    }
    let limit = memory::limit(plan.max_memory);
    let (rows, report) = roles(plan).read_known(schema, input, &plan.read, limit)?;
    report.warnings().into_iter().for_each(|warning| console.warn(warning));
    Ok(rows)
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
