//! `diffeo inspect`: what a model file holds, also when the model in it cannot be used.

use diffeo::model::file::{Damage, ModelParts, from_json};
use diffeo::{Column, ColumnKind, Model, Result, TrainingSummary, Unit, printable};
use serde_json::{Value, json};

use crate::args::{Common, InspectArgs};
use crate::duration::Rough;
use crate::faults::Faults;
use crate::options;
use crate::output::{Console, Report, number};
use crate::preflight::size;
use crate::progress::grouped;

/// Columns listed for people; programs get all.
const COLUMNS_LISTED: usize = 50;

/// Runs `diffeo inspect`.
pub(super) fn run(args: &InspectArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let path = options::required("MODEL", args.model.as_ref(), &mut faults);
    faults.finish()?;
    if let Some(report) = super::audio::inspected(&path)? {
        return Ok(report);
    }
    let parts = ModelParts::read(&path, Damage::Allow)?;
    let mut damage = parts.damage();
    if damage.is_empty()
        && let Err(error) = Model::load(&path)
    {
        damage.push(error.message().to_string());
    }
    for fault in &damage {
        console.warn(format!("the model is damaged and cannot be used: {fault}"));
    }
    let mut report = Report::default();
    head(&mut report, &parts, &damage);
    schema(&mut report, &parts);
    transforms(&mut report, &parts.spec);
    training(&mut report, parts.summary.as_ref());
    notes(&mut report, &parts);
    Ok(report)
}

fn head(report: &mut Report, parts: &ModelParts, damage: &[String]) {
    let parameters: u64 =
        parts.tensors.iter().map(|t| t.shape.iter().map(|&n| n as u64).product::<u64>()).sum();
    let bytes: u64 = parts.tensors.iter().map(|t| t.data.len() as u64).sum();
    let (columns, context) = (parts.schema.columns.len(), parts.schema.context.len());
    let given = if context == 0 { String::new() } else { format!(", given {context} more") };
    let earlier = parts.schema.earlier_frames();
    match parts.schema.image {
        Some(image) if earlier > 0 => {
            report
                .line(format!("density of frames of clips, {image}, given {earlier} before each"));
        }
        Some(image) => {
            let noise = parts.schema.noise.map(|s| format!(" with noise of {s:.3} levels"));
            report.line(format!("density of images, {image}{}{given}", noise.unwrap_or_default()));
        }
        None => report.line(format!("density of {columns} columns{given}")),
    }
    report.line(format!(
        "{} parameters in {} tensors, {} ({})",
        grouped(parameters),
        parts.tensors.len(),
        parts.precision.name(),
        size(bytes)
    ));
    report.line(format!("written by diffeo {}", printable(&parts.diffeo_version)));
    report.key("dims", columns);
    report.key("context_dims", context);
    report.key("parameters", parameters);
    report.key("precision", parts.precision.name());
    report.key("diffeo_version", parts.diffeo_version.as_str());
    report.key("damage", damage.to_vec());
}

fn schema(report: &mut Report, parts: &ModelParts) {
    // A column has as many units as it has numbers: none if it has outcomes only, several for a category of the context.
    let names = |columns: &[Column], units: &[Unit], width: fn(&Column) -> usize, role: &str| {
        let mut units = units.iter();
        let row = |c: &Column| {
            let own: Vec<&Unit> = units.by_ref().take(width(c)).collect();
            let unit = match own.as_slice() {
                [unit] => format!("centre {:.4}, scale {:.4}", unit.center, unit.scale),
                _ => String::new(),
            };
            vec![format!("  {}", printable(&c.name)), printable(&kind(c)), unit, role.into()]
        };
        columns.iter().map(row).collect::<Vec<_>>()
    };
    let (schema, units) = (&parts.schema, &parts.units);
    let mut rows = match schema.image {
        Some(_) => Vec::new(),
        None => names(&schema.columns, &units.columns, |c| usize::from(c.has_number()), ""),
    };
    let given = schema.given_image.map_or(0, |given| given.numbers());
    let context = (&schema.context[given..], units.context.get(given..).unwrap_or_default());
    rows.extend(names(context.0, context.1, Column::context_width, "context"));
    let more = rows.len().saturating_sub(COLUMNS_LISTED);
    rows.truncate(COLUMNS_LISTED);
    if !rows.is_empty() {
        report.line("\ncolumns");
        report.table(&rows);
    }
    if more > 0 {
        report.line(format!("  and {more} more (see --json)"));
    }
    report.key("schema", serde_json::to_value(&parts.schema).unwrap_or(Value::Null));
    report.key("units", serde_json::to_value(&parts.units).unwrap_or(Value::Null));
}

/// What a column may hold, and how many things that are.
fn kind(column: &Column) -> String {
    let mut text = column.describe();
    match (column.kind, column.range) {
        (ColumnKind::Category, _) => {
            let other = if column.other { " and other" } else { "" };
            text.push_str(&format!(", {} levels{other}", column.levels.len()));
        }
        (ColumnKind::Boolean, _) if !column.levels.is_empty() => {
            text.push_str(&format!(", {}", column.levels.join(" and ")));
        }
        (kind, Some(ends)) => {
            let [low, high] = kind.in_values(ends);
            text.push_str(&format!(", each of {low} to {high}"));
        }
        _ => {}
    }
    if column.optional {
        text.push_str(", may be left out or given");
    }
    text
}

/// One line a transform: its type, and the scalar settings in it.
fn transforms(report: &mut Report, spec: &Value) {
    report.line("\ntransforms, data to base");
    let layers =
        spec.get("transforms").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut rows = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let (name, settings) = describe(layer);
        rows.push(vec![format!("  {}", i + 1), name, settings]);
    }
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    match spec.pointer("/marks/marks").map(count) {
        Some(marks) if marks > 0 => {
            let network = spec.pointer("/marks/network").unwrap_or(&Value::Null);
            let settings = format!("of {marks} marks, network=({})", describe(network).1);
            rows.insert(0, vec!["  first".to_string(), "outcomes".to_string(), settings]);
        }
        _ => {}
    }
    if let Some(embedding) = spec.get("embedding") {
        let settings = describe(embedding).1;
        rows.insert(0, vec!["  context".to_string(), "embedding".to_string(), settings]);
    }
    let (name, settings) = describe(spec.get("base").unwrap_or(&Value::Null));
    rows.push(vec!["  base".to_string(), name, settings]);
    report.table(&rows);
    report.key("spec", spec.clone());
}

/// The type of a part and its settings. Long lists are counted, not shown.
fn describe(part: &Value) -> (String, String) {
    const LIST_SHOWN: usize = 6;
    let name = part.get("type").and_then(Value::as_str).unwrap_or("unknown");
    let mut settings = Vec::new();
    for (key, value) in part.as_object().into_iter().flatten().filter(|(key, _)| *key != "type") {
        let text = match value {
            Value::Null => continue,
            Value::Array(items) if items.len() > LIST_SHOWN => format!("{} values", items.len()),
            Value::Array(items) => {
                format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(","))
            }
            Value::Object(_) => {
                let (inner, more) = describe(value);
                let inner = if inner == "unknown" { String::new() } else { inner };
                format!("{inner}({more})")
            }
            other => short(other),
        };
        settings.push(format!("{key}={text}"));
    }
    (printable(name), printable(&settings.join(" ")))
}

/// A value of one line; numbers with as many digits as help to recognise them.
fn short(value: &Value) -> String {
    match (value, value.as_f64()) {
        (Value::String(text), _) => text.clone(),
        (Value::Number(n), Some(x)) if n.is_f64() => {
            let digits = format!("{x:.3e}").parse::<f64>().unwrap_or(x);
            if (1e-4..1e6).contains(&digits.abs()) {
                digits.to_string()
            } else {
                format!("{digits:e}")
            }
        }
        (Value::Object(_), _) => {
            let (name, settings) = describe(value);
            if settings.is_empty() { name } else { format!("{name}({settings})") }
        }
        (other, _) => other.to_string(),
    }
}

/// Texts that programs have noted in the file: `control` says where a policy comes from.
fn notes(report: &mut Report, parts: &ModelParts) {
    if parts.other.is_empty() {
        return;
    }
    report.line("\nnotes");
    let rows = parts
        .other
        .iter()
        .map(|(name, text)| vec![format!("  {}", printable(name)), printable(text)]);
    report.table(&rows.collect::<Vec<_>>());
    report.key("notes", json!(parts.other));
}

fn training(report: &mut Report, summary: Option<&Value>) {
    report.line("\ntraining");
    let Some(summary) = summary else {
        report.line("  none: the model was not trained by diffeo fit");
        report.key("training", Value::Null);
        return;
    };
    report.key("training", summary.clone());
    let Ok(summary) = from_json::<TrainingSummary>("training summary", summary) else {
        report.line("  the summary in the file cannot be read (see --json)");
        return;
    };
    let trimmed = match summary.rows_trimmed {
        0 => String::new(),
        rows => format!(", {} left out as unlike the others", grouped(rows)),
    };
    let rows = [
        ("validation log-likelihood", format!("{:.4} nats per row", summary.valid_log_prob_mean)),
        (
            "rows",
            format!(
                "{} trained, {} validated{trimmed}",
                grouped(summary.rows_train),
                grouped(summary.rows_valid)
            ),
        ),
        (
            "steps",
            format!("{} of which {} was best", grouped(summary.steps), grouped(summary.best_step)),
        ),
        ("epochs", format!("{:.1}", summary.epochs)),
        ("time", Rough(summary.seconds).to_string()),
        ("stopped because", printable(&summary.stop_reason)),
        ("seed", summary.seed.to_string()),
        ("data fingerprint", printable(&summary.data_fingerprint)),
    ];
    let evaluations =
        summary.evaluations.map(|n| ("evaluations of the field", format!("{n:.0} a row")));
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .chain(evaluations)
        .map(|(name, value)| vec![format!("  {name}"), value])
        .collect();
    report.table(&rows);
    for warning in &summary.warnings {
        report.line(format!("  warned: {}", printable(warning)));
    }
    let history: Vec<Value> = summary.history.iter().map(|point| json!({
        // Before the first step there is none.
        "step": point.step, "train_loss": Some(point.train_loss).filter(|l| !l.is_nan()).map(number),
        "valid_loss": point.valid_loss.map(number), "learning_rate": number(point.learning_rate),
    })).collect();
    report.key("history", history);
}
