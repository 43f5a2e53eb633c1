//! Reads the tables of a fit and decides what each column may hold.

use diffeo::train::{TrainingData, ValidationChoice};
use diffeo::{Column, ImageShape, Model, Result, Schema, quoted};
use diffeo_table::{InferOptions, Input, Note, Reader, Roles, TrainingTable, expect_image};

use super::images;
use crate::memory;
use crate::options::fit::{FitPlan, Valid};
use crate::output::Console;
use crate::progress::grouped;

/// Columns that are listed with their kinds, and names where all that is said of columns is the same.
const COLUMNS_LISTED: usize = 60;
const NAMES_LISTED: usize = 8;

/// What a trainer needs besides the flow.
pub(super) struct Prepared {
    pub(super) schema: Schema,
    pub(super) data: TrainingData,
    pub(super) validation: Option<ValidationChoice>,
    /// The model whose weights the fit begins from, if any.
    pub(super) start: Option<Model>,
}

/// Reads the tables and prints the schema that was chosen, or that of the model that the fit begins from.
pub(super) fn prepare(plan: &FitPlan, start: Option<Model>, console: &Console) -> Result<Prepared> {
    if let Some(model) = start {
        let schema = model.schema().clone();
        announce(&schema, console);
        let prepared = images::with_held_out(schema, plan, console)?;
        return Ok(Prepared { start: Some(model), ..prepared });
    }
    if let Some(image) = images::shape(plan)? {
        return images::prepare(image, plan, console);
    }
    let limit = memory::limit(plan.max_memory);
    let warn = &mut |warning| console.warn(warning);
    let TrainingTable { schema, data, notes } =
        roles(plan).read(&plan.data, &plan.read, limit, warn)?;
    announce(&schema, console);
    say_left_out(plan, console)?;
    let (warnings, reasons): (Vec<Note>, Vec<Note>) = notes.into_iter().partition(|n| n.warning);
    warnings.into_iter().for_each(|note| console.warn(note.to_string()));
    say_reasons(&reasons, console);
    let validation = validation(&schema, plan, console)?;
    Ok(Prepared { schema, data, validation, start: None })
}

/// Says which columns of the table play no part because others were named.
fn say_left_out(plan: &FitPlan, console: &Console) -> Result<()> {
    if plan.args.columns.is_none() || plan.data.is_read_once() {
        return Ok(());
    }
    let roles = roles(plan);
    let named = |name: &String| {
        let wishes = roles.columns.iter().chain(&roles.context).map(|(name, _)| name);
        wishes.chain(&roles.exclude).chain(&roles.weight).any(|other| other == name)
    };
    let reader = Reader::open(&plan.data, &plan.read)?;
    let others: Vec<&String> = reader.columns().iter().filter(|name| !named(name)).collect();
    if !others.is_empty() {
        let (count, list) = (grouped(others.len() as u64), listed(others.iter().copied()));
        console.note(format!("  --columns names all that is modelled; left out: {count} ({list})"));
    }
    Ok(())
}

/// The first of some names, and whether there are more.
fn listed<'a>(names: impl Iterator<Item = &'a String> + Clone) -> String {
    let first: Vec<String> = names.clone().take(NAMES_LISTED).map(|name| quoted(name)).collect();
    let more = if names.count() > NAMES_LISTED { ", ..." } else { "" };
    format!("{}{more}", first.join(", "))
}

/// Says why columns are what they are, once for all of which the same is to say.
fn say_reasons(reasons: &[Note], console: &Console) {
    let mut texts: Vec<&str> = Vec::new();
    // The default needs no reason.
    for note in reasons.iter().filter(|note| note.text != "real") {
        if !texts.contains(&note.text.as_str()) {
            texts.push(&note.text);
        }
    }
    for text in texts {
        let of_text: Vec<&Note> = reasons.iter().filter(|note| note.text == text).collect();
        match of_text.as_slice() {
            many if many.len() > NAMES_LISTED => {
                let names = many.iter().filter_map(|note| note.column.as_ref());
                let count = grouped(many.len() as u64);
                console.note(format!("  {count} columns ({}): {text}", listed(names)));
            }
            few => few.iter().for_each(|note| console.note(format!("  {note}"))),
        }
    }
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
            beside_images: false,
        },
        noise: args.noise,
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
        let listed = columns.iter().take(COLUMNS_LISTED).map(item).collect::<Vec<_>>().join(",");
        match columns.len().checked_sub(COLUMNS_LISTED) {
            None | Some(0) => listed,
            Some(more) => format!("{listed} and {} more", grouped(more as u64)),
        }
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
