//! The column that a table's cells, and a user's wish, make.

use diffeo::{Column, ColumnKind, Error, KindWish, Result, Step, choose_kind, quoted};

use crate::content::Content;
use crate::measure::Values;
use crate::tally::Tally;

/// Whole numbers have a probability each if there are at most so many from the smallest to the largest,
const RANGE_MAX: f64 = 16.0;
/// or so many that are not distributed smoothly: what is, a density learns from fewer rows, as it knows which numbers are neighbours.
const ROUGH_RANGE_MAX: usize = 1000;
/// There must be so many rows for each, of few numbers and of many: what has fewer is better told by its neighbours, rough as they are.
const ROWS_PER_NUMBER: [f64; 2] = [5.0, 25.0];
/// Most point masses that are found beside a density.
const SPIKES_MAX: usize = 32;
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

/// Which values of a column of numbers get point masses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masses {
    /// None: they only make sense where a density is modelled beside them.
    None,
    /// Those that are frequent beside others that hardly repeat.
    Spikes,
    /// Where there are few different values, all of these too.
    All,
}

/// The column that the cells make by themselves.
pub(super) fn inferred(name: &str, x: &Values<'_>, masses: Masses) -> Chosen {
    let (column, reason) = match x.content() {
        Content::Levels { levels, other } => of_levels(name, levels, *other, x.len()),
        Content::Truths { words } => {
            let reason = format!("boolean ({} and {})", quoted(&words[0]), quoted(&words[1]));
            let column = Column::new(name, ColumnKind::Boolean);
            (Column { levels: words.to_vec(), ..column }, reason)
        }
        Content::Dates => (Column::new(name, ColumnKind::Date), "date (days)".to_owned()),
        Content::Times => (
            Column::new(name, ColumnKind::Time),
            "time (dates with times; in UTC, if they have a zone)".to_owned(),
        ),
        Content::Numbers { .. } => of_numbers(name, x, masses),
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
        (kind, _) => Column::new(name, kind),
    };
    let column = Column { masses: wish.masses.clone(), ..column };
    check_support(&column, wish, x)?;
    let column = match column.kind {
        ColumnKind::Date => column,
        _ => {
            let bounds = column.kind.bounds_in_steps();
            of_whole(column, x, (&x.tally(), Masses::All), bounds)
        }
    };
    Ok(Chosen { column: with_holes(column, x), reason: between_steps(wish.kind, x) })
}

/// A column of whole numbers that have no probability of their own, as was asked for.
///
/// # Errors
/// As [`wished`].
pub(super) fn dequantized(name: &str, wish: Option<&KindWish>, x: &Values<'_>) -> Result<Chosen> {
    let step = x.tally().step().unwrap_or(Step::ONE);
    let found = stepped(ColumnKind::Integer, step);
    let wish = wish.cloned().unwrap_or(found.into());
    let column = with_holes(Column::new(name, wish.kind), x);
    check_support(&column, &wish, x)?;
    Ok(Chosen { column, reason: between_steps(wish.kind, x) })
}

/// That values are rounded.
fn between_steps(kind: ColumnKind, x: &Values<'_>) -> Option<String> {
    let ColumnKind::Rounded { step, .. } = kind else { return None };
    let count = x.iter().filter(|x| !step.divides(*x)).count();
    (count > 0).then(|| {
        format!("{count} of {} values lie between multiples of {step}: each counts as the one next to it", x.len())
    })
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

fn of_numbers(name: &str, x: &Values<'_>, wanted: Masses) -> (Column, String) {
    let (kind, reason) = choose_kind(&x.facts(&[]), None);
    let reason = reason.unwrap_or_default();
    if kind == ColumnKind::Boolean {
        return (Column::new(name, kind), reason);
    }
    let tally = x.tally();
    if let Some(step) = lattice(kind, &tally) {
        let reason = if step == Step::ONE { reason } else { of_step(step, &tally) };
        let column =
            of_whole(Column::new(name, stepped(kind, step)), x, (&tally, wanted), [None; 2]);
        if let Some([low, high]) = calendar(&column, &tally) {
            let kind = ColumnKind::IntegerRange { low: Some(low), high: Some(high) };
            let reason = format!("{kind}, as all are there from {low} to {high}, as in a calendar");
            return (Column { kind, ..column }, reason);
        }
        if let Some(ends) = column.range {
            let [low, high] = column.kind.in_values(ends);
            let named = if step == Step::ONE { "integer" } else { reason.as_str() };
            let reason = format!("{named}, each of {low} to {high} with a probability of its own");
            return (column, reason);
        }
        let masses = match wanted {
            Masses::All if tally.is_of_few_values() && !tally.fills(step) => {
                tally.repeated(Column::MASSES_MAX)
            }
            Masses::All | Masses::Spikes => tally.peaks(step, SPIKES_MAX),
            Masses::None => Vec::new(),
        };
        return beside_masses(column, reason, masses, &tally);
    }
    let is_of_few = tally.is_of_few_values();
    let resolution = || if is_of_few { tally.resolution() } else { None };
    let masses = match wanted {
        Masses::All if is_of_few => tally.repeated(Column::MASSES_MAX),
        Masses::All | Masses::Spikes => tally.spikes(SPIKES_MAX),
        Masses::None => Vec::new(),
    };
    if let (Masses::Spikes, Some(step), true) = (wanted, resolution(), masses.is_empty()) {
        return (Column::new(name, stepped(kind, step)), of_step(step, &tally));
    }
    let masses = with_lone_rest(masses, x);
    if masses.len() == tally.distinct() {
        let is_positive = x.iter().all(|x| x >= 0.0);
        let kind = if is_positive { ColumnKind::Positive } else { ColumnKind::Real };
        let reason = format!("{kind} with a mass at each of its {} values", masses.len());
        return (Column { masses, ..Column::new(name, kind) }, reason);
    }
    let rest = x.facts(&masses);
    let (of_rest, of_rest_reason) = match choose_kind(&rest, None) {
        // What is never below 0 is not without its masses either.
        (ColumnKind::Real, _) if kind != ColumnKind::Real && rest.min > 0.0 => {
            (ColumnKind::Positive, None)
        }
        found => found,
    };
    if masses.is_empty() || of_rest.is_discrete() {
        return (Column::new(name, kind), reason);
    }
    let reason = of_rest_reason.unwrap_or_default();
    // Of few values the rare ones have probabilities, too: a density would be in another measure, in which what is rare may look likely.
    let of_rest = resolution().map_or(of_rest, |step| stepped(of_rest, step));
    beside_masses(Column::new(name, of_rest), reason, masses, &tally)
}

/// Point masses, and one more where a single value is left beside them: that has no density.
fn with_lone_rest(mut masses: Vec<f64>, x: &Values<'_>) -> Vec<f64> {
    if !masses.is_empty() && masses.len() < Column::MASSES_MAX {
        let rest = x.facts(&masses);
        masses.extend((rest.min == rest.max).then_some(rest.min));
    }
    masses
}

/// The step of which numbers are multiples: all whole numbers are, others if there are few different ones that fill enough of the lattice.
fn lattice(kind: ColumnKind, tally: &Tally) -> Option<Step> {
    match kind.is_whole() {
        true => Some(tally.step().filter(|step| step.is_whole()).unwrap_or(Step::ONE)),
        false if tally.is_of_few_values() => tally.step().filter(|step| tally.fills(*step)),
        false => None,
    }
}

/// Multiples of a step that have the bound of a kind.
fn stepped(kind: ColumnKind, step: Step) -> ColumnKind {
    let is_bounded = !matches!(kind, ColumnKind::Integer | ColumnKind::Real);
    match (step == Step::ONE, is_bounded) {
        (true, _) if kind.is_whole() => kind,
        (_, bounded) => ColumnKind::Rounded { step, low: bounded.then_some(0.0), high: None },
    }
}

fn of_step(step: Step, tally: &Tally) -> String {
    format!("multiples of {step} ({} different values)", tally.distinct())
}

/// A column with point masses: of multiples of a step those next to what rounding has left of them.
fn beside_masses(
    column: Column,
    reason: String,
    found: Vec<f64>,
    tally: &Tally,
) -> (Column, String) {
    const LISTED: usize = 4;
    let mut masses: Vec<(f64, f64)> = Vec::new();
    for (mass, share) in found.into_iter().map(|x| (column.kind.nearest(x), tally.share(x))) {
        match masses.iter_mut().find(|(other, _)| *other == mass) {
            Some((_, shares)) => *shares += share,
            None => masses.push((mass, share)),
        }
    }
    if masses.is_empty() {
        return (column, reason);
    }
    let list = masses.iter().take(LISTED);
    let list = list.map(|(x, share)| format!("{x} ({:.0}% of the rows)", 100.0 * share));
    let more = masses.len().saturating_sub(LISTED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mass = if masses.len() == 1 { "a point mass" } else { "point masses" };
    let list: Vec<String> = list.collect();
    let mark = masses.iter().map(|(x, _)| *x).find(|x| looks_like_a_mark(*x));
    let hint = mark.map_or(String::new(), |x| {
        format!("; if {x} marks missing values, say so with --missing-as '{x}'")
    });
    let reason = format!("{} beside {mass} at {}{more}{hint}", column.kind, list.join(", "));
    (Column { masses: masses.into_iter().map(|(x, _)| x).collect(), ..column }, reason)
}

/// Whether the levels of a category look like dates that are not written as such: 31/12/2024, 5.3.24, 12 Jan 2024.
pub(super) fn reads_as_dates(column: &Column) -> bool {
    const LEVELS_MIN: usize = 10;
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let is_part = |part: &str| {
        let word = part.to_ascii_lowercase();
        let is_month = MONTHS.iter().any(|month| word.starts_with(month));
        is_month || matches!(part.len(), 1 | 2 | 4) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let is_date = |level: &String| {
        let day = level.split([' ', 'T']).filter(|part| !part.contains(':')).collect::<Vec<_>>();
        let day = day.join(" ");
        let parts: Vec<&str> =
            day.split(['/', '.', '-', ' ', ',']).filter(|part| !part.is_empty()).collect();
        parts.len() == 3 && parts.iter().all(|part| is_part(part))
    };
    let levels = &column.levels;
    column.kind == ColumnKind::Category
        && levels.len() >= LEVELS_MIN
        && 10 * levels.iter().filter(|level| is_date(level)).count() > 9 * levels.len()
}

/// The ends of days, weeks, hours, minutes or seconds, if whole numbers without probabilities of their own are such: from the first to the last, and no rarer at the ends. A density would go on
/// beyond, where there is no day.
fn calendar(column: &Column, tally: &Tally) -> Option<[i64; 2]> {
    const CYCLES: [[i64; 2]; 7] = [[1, 31], [0, 23], [1, 24], [0, 59], [1, 53], [1, 365], [1, 366]];
    let is_whole = column.kind.step() == Some(Step::ONE);
    let is_free = column.range.is_none() && column.masses.is_empty();
    let ends = tally.ends().filter(|_| is_whole && is_free)?;
    let cycle = CYCLES.into_iter().find(|cycle| cycle.map(|end| end as f64) == ends)?;
    tally.is_cut().then_some(cycle)
}

/// Whether a number is one that programs write for none: nines, such as -999 and 9999.
fn looks_like_a_mark(x: f64) -> bool {
    let digits = x.abs().to_string();
    digits.len() > 1 && digits.bytes().all(|digit| digit == b'9')
}

/// Gives each whole number, or multiple of a step, a probability of its own where there are rows enough for that, or where both bounds were
/// asked for: from the smallest value to the largest, or between the bounds that were asked for. Where few values are to have no masses, only few numbers have them.
fn of_whole(
    column: Column,
    x: &Values<'_>,
    (tally, wanted): (&Tally, Masses),
    bounds: [Option<i64>; 2],
) -> Column {
    let [low, high] = bounds;
    let Some(step) = column.kind.step().filter(|_| column.masses.is_empty()) else { return column };
    if let (Some(low), Some(high)) = (low, high) {
        let range = (high.abs_diff(low) < Column::RANGE_MAX).then_some([low, high]);
        return Column { range, ..column };
    }
    let facts = x.facts(&[]);
    let from = low.map_or(step.count(facts.min).round(), |low| low as f64);
    let to = high.map_or(step.count(facts.max).round(), |high| high as f64);
    let count = to - from + 1.0;
    let few = count <= RANGE_MAX;
    let is_separate = few || wanted != Masses::Spikes && tally.is_rough(step, ROUGH_RANGE_MAX);
    let rows = ROWS_PER_NUMBER[usize::from(!few)];
    if is_separate && x.len() as f64 >= rows * count {
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
