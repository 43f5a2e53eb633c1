//! The column that a table's cells, and a user's wish, make.

use diffeo::{Column, ColumnKind, Error, KindWish, Result, choose_kind, quoted};

use crate::content::Content;
use crate::measure::Values;

/// Whole numbers have a probability each if there are at most so many from the smallest to the largest
const RANGE_MAX: f64 = 100.0;
/// and so many rows for each of them.
const ROWS_PER_NUMBER: f64 = 5.0;
/// Most point masses that are found.
const SPIKES_MAX: usize = 8;
/// A text column of more levels than this
const LEVELS_OF_NAMES: usize = 100;
/// which are more than this share of the rows holds names of rows, not categories.
const NAMES_SHARE: f64 = 0.5;

/// A column and why it is what it is; a wish has no reason.
pub(super) struct Chosen {
    pub(super) column: Column,
    pub(super) reason: Option<String>,
}

/// Whether a column of text names its rows: nearly every one has a level of its own.
pub(super) fn names_rows(x: &Values<'_>) -> Option<usize> {
    let Content::Levels { levels, other } = x.content() else { return None };
    let distinct = levels.len() + *other as usize;
    let many = levels.len() > LEVELS_OF_NAMES && distinct as f64 > NAMES_SHARE * x.len() as f64;
    many.then_some(distinct)
}

/// The column that the cells make by themselves. Point masses only make sense where a density is modelled beside them.
pub(super) fn inferred(name: &str, x: &Values<'_>, with_masses: bool) -> Chosen {
    let (column, reason) = match x.content() {
        Content::Levels { levels, other } => of_levels(name, levels, *other, x.len()),
        Content::Truths { words } => {
            let reason = format!("boolean ({} and {})", quoted(&words[0]), quoted(&words[1]));
            let column = Column::new(name, ColumnKind::Boolean);
            (Column { levels: words.to_vec(), ..column }, reason)
        }
        Content::Dates => (Column::new(name, ColumnKind::Date), "date (days)".to_owned()),
        Content::Times => {
            (Column::new(name, ColumnKind::Time), "time (dates with times)".to_owned())
        }
        Content::Numbers { .. } => of_numbers(name, x, with_masses),
    };
    Chosen { column: with_holes(column, x), reason: Some(reason) }
}

/// The column that a wish makes of the cells.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] if a value is not of the kind.
pub(super) fn wished(name: &str, wish: &KindWish, x: &Values<'_>) -> Result<Chosen> {
    let column = match (wish.kind, x.content()) {
        (ColumnKind::Category, Content::Levels { levels, other }) => {
            of_levels(name, levels, *other, x.len()).0
        }
        (ColumnKind::Boolean, Content::Truths { words }) => {
            Column { levels: words.to_vec(), ..Column::new(name, ColumnKind::Boolean) }
        }
        (kind, Content::Levels { .. } | Content::Truths { .. }) => {
            return Err(Error::data(format!(
                "column {} is to be {kind}, but its cells are words; see it as category, or boolean for words such as true and false",
                quoted(name)
            )));
        }
        (kind @ (ColumnKind::Integer | ColumnKind::IntegerRange { .. }), _) => {
            of_whole(Column::new(name, kind), x)
        }
        (kind, _) => Column::new(name, kind),
    };
    let column = with_holes(Column { masses: wish.masses.clone(), ..column }, x);
    check_support(&column, wish, x)?;
    Ok(Chosen { column, reason: None })
}

/// A column of whole numbers that have no probability of their own, as was asked for.
///
/// # Errors
/// As [`wished`].
pub(super) fn dequantized(name: &str, wish: Option<&KindWish>, x: &Values<'_>) -> Result<Chosen> {
    let wish = wish.cloned().unwrap_or(ColumnKind::Integer.into());
    let column = with_holes(Column::new(name, wish.kind), x);
    check_support(&column, &wish, x)?;
    Ok(Chosen { column, reason: None })
}

fn with_holes(column: Column, x: &Values<'_>) -> Column {
    Column { holes: x.missing() > 0, ..column }
}

fn of_levels(name: &str, levels: &[(String, u64)], other: u64, rows: usize) -> (Column, String) {
    let column = Column::category(name, levels.iter().map(|(level, _)| level.as_str()));
    let (count, other) = (levels.len(), other > 0);
    let unseen = if other { 0.0 } else { of_unseen(rows) };
    let more = if other { " and other, for all that are rarer" } else { "" };
    let levels = if count == 1 { "level" } else { "levels" };
    (Column { other, unseen, ..column }, format!("category ({count} {levels}{more})"))
}

/// What is set aside for all that no row had.
fn of_unseen(rows: usize) -> f64 {
    1.0 / (rows as f64 + 2.0)
}

fn of_numbers(name: &str, x: &Values<'_>, with_masses: bool) -> (Column, String) {
    let facts = x.facts(&[]);
    let (kind, reason) = choose_kind(&facts, None);
    let reason = reason.unwrap_or_default();
    if kind == ColumnKind::Boolean {
        return (Column::new(name, kind), reason);
    }
    if kind.is_whole() {
        let column = of_whole(Column::new(name, kind), x);
        let reason = match column.range {
            Some([low, high]) => {
                format!("integer, each of {low} to {high} with a probability of its own")
            }
            None => reason,
        };
        return (column, reason);
    }
    let spikes = if with_masses { x.spikes(SPIKES_MAX) } else { Vec::new() };
    let masses: Vec<f64> = spikes.iter().map(|(value, _)| *value).collect();
    let (of_rest, _) = choose_kind(&x.facts(&masses), None);
    if masses.is_empty() || of_rest.is_discrete() {
        return (Column::new(name, kind), reason);
    }
    let list: Vec<String> = spikes
        .iter()
        .map(|(value, share)| format!("{value} ({:.0}% of the rows)", 100.0 * share))
        .collect();
    let mass = if list.len() == 1 { "a point mass" } else { "point masses" };
    let reason = format!("{of_rest} beside {mass} at {}", list.join(", "));
    (Column { masses, ..Column::new(name, of_rest) }, reason)
}

/// Gives each whole number a probability of its own where there are rows enough for that, or where both bounds were asked for.
fn of_whole(column: Column, x: &Values<'_>) -> Column {
    let facts = x.facts(&[]);
    let (low, high) = match column.kind {
        ColumnKind::IntegerRange { low, high } => (low, high),
        _ => (None, None),
    };
    if let (Some(low), Some(high)) = (low, high) {
        let range = (high.abs_diff(low) < Column::RANGE_MAX).then_some([low, high]);
        return Column { range, ..column };
    }
    let from = low.map_or(facts.min, |low| low as f64);
    let to = high.map_or(facts.max, |high| high as f64);
    let count = to - from + 1.0;
    if facts.all_whole && count <= RANGE_MAX && x.len() as f64 >= ROWS_PER_NUMBER * count {
        let range = Some([from as i64, to as i64]);
        return Column { range, unseen: of_unseen(x.len()), ..column };
    }
    column
}

fn check_support(column: &Column, wish: &KindWish, x: &Values<'_>) -> Result<()> {
    let outside = |v: &f64| !column.contains(*v);
    let Some(first) = x.iter().find(outside) else {
        return Ok(());
    };
    let count = x.iter().filter(|v| outside(v)).count();
    Err(Error::data(format!(
        "column {} is to be {wish}, but {count} of {} values are not, the first is {first}; {}",
        quoted(&column.name),
        x.len(),
        wish.kind.advice()
    )))
}
