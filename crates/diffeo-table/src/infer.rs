//! What kind of values each column holds, read off the file's types and the data, with a reason for each choice.

mod kinds;

use diffeo::{Column, Error, KindWish, Result, Schema, quoted};

use crate::content::Content;
use crate::measure::Values;
use crate::ranks::{Dependent, dependent_columns};
use crate::table::Table;
use kinds::{Chosen, Masses};

/// One line about a column or the table: why a kind was chosen, or what may go wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The column, if it is about one.
    pub column: Option<String>,
    /// Whether the user should think about it.
    pub warning: bool,
    /// The line, without the name of the column.
    pub text: String,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.column {
            Some(name) => write!(f, "column {}: {}", quoted(name), self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// How to infer a schema.
#[derive(Clone, Debug, Default)]
pub struct InferOptions {
    /// Leave out columns that have one value only, with a warning, instead of refusing the table.
    pub drop_constant: bool,
    /// Columns whose whole numbers are to have no probabilities of their own.
    pub dequantize: Vec<String>,
    /// Make columns that may be left out or given ([`Column::optional`]): missing values are then values that are not known.
    pub any_subset: bool,
    /// The columns are given, beside images: one of a single value tells nothing, and does no harm.
    pub beside_images: bool,
}

/// A column and the kind that it is to have, if one was asked for.
pub type Wish = (String, Option<KindWish>);

/// [`infer_schema_with`] with default options: a constant column is an error.
///
/// # Errors
/// As [`infer_schema_with`].
pub fn infer_schema(
    table: &Table,
    columns: &[Wish],
    context: &[Wish],
) -> Result<(Schema, Vec<Note>)> {
    infer_schema_with(table, columns, context, &InferOptions::default())
}

/// A schema for the given columns (all but the context if there are none), and a line about each choice.
///
/// A column whose kind is given keeps it, after a check that the data lies in it (a category must have been read as one, with
/// [`crate::read_wanted`]). Otherwise
/// * text is a category, unless nearly every row has a text of its own: then the column is left out with a warning;
/// * two words for true and false, stored truth values, and numbers that are 0 and 1 are booleans;
/// * dates are dates, with times of day times;
/// * numbers are what [`choose_kind`](diffeo::choose_kind) says, and multiples of a step if all whole numbers are, or if there are ten rows for
///   each different value of a few digits;
/// * whole numbers and multiples have a probability each, if there are 16 at most from the smallest to the largest and five rows for each, or 1000
///   and 25 rows for each, and their counts differ from those of their neighbours more than draws of a smooth density would; days of a month, hours
///   and the like that have none are bounded by their ends;
/// * values that fill 5% of the rows each, or 1% with 20 rows, are point masses beside others that hardly repeat, or beside multiples that are five
///   times as rare; where there are ten rows for each different value and no step, all that have five rows are.
///
/// A column in which values are missing may have holes. Numbers of the context are real: only a location and a scale are taken from them.
///
/// Warnings name what makes a likelihood meaningless: discrete columns and heavy ties, columns that are copies or linear
/// combinations of others, a single row.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] for a column that is not there, a constant column (its density is infinite) unless
/// [`InferOptions::drop_constant`], and data outside a given kind; [`diffeo::ErrorKind::Config`] for a column named twice.
pub fn infer_schema_with(
    table: &Table,
    columns: &[Wish],
    context: &[Wish],
    options: &InferOptions,
) -> Result<(Schema, Vec<Note>)> {
    let is_context = |name: &String| context.iter().any(|(other, _)| other == name);
    let all: Vec<Wish> = if columns.is_empty() {
        table.names.iter().filter(|n| !is_context(n)).map(|n| (n.clone(), None)).collect()
    } else {
        columns.to_vec()
    };
    let mut drawn = Draft { table, options, schema: Schema::default(), notes: Vec::new() };
    if table.rows.len() == 1 {
        drawn
            .notes
            .push(warning(None, "the table has one row; a density cannot be learned from it"));
    }
    all.iter().try_for_each(|(name, wish)| drawn.column(name, wish.as_ref()))?;
    context.iter().try_for_each(|(name, wish)| drawn.context(name, wish.as_ref()))?;
    let Draft { schema, mut notes, .. } = drawn;
    if schema.columns.is_empty() {
        return Err(Error::data("no columns are left to model; name some with --columns"));
    }
    schema.validate()?;
    notes.extend(tie_warnings(table, &schema)?);
    notes.extend(rank_warnings(table, &schema)?);
    Ok((schema, notes))
}

/// A schema that is being drawn up.
struct Draft<'a> {
    table: &'a Table,
    options: &'a InferOptions,
    schema: Schema,
    notes: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn column(&mut self, name: &str, wish: Option<&KindWish>) -> Result<()> {
        let x = self.values(name)?;
        if let Some(value) = x.only_value().filter(|_| self.table.rows.len() > 1) {
            // One word has a probability, where one number has no density.
            let is_of_words =
                matches!(x.content(), Content::Levels { .. } | Content::Truths { .. });
            if self.options.drop_constant || !(self.options.beside_images || is_of_words) {
                return constant(name, &value, self.options, &mut self.notes);
            }
            let text = match is_of_words && !self.options.beside_images {
                true => format!("it has the value {value} in every row, and so will draws"),
                false => TELLS_NOTHING.to_owned(),
            };
            self.notes.push(warning(Some(name), text));
        }
        if let (None, Some(distinct)) = (wish, kinds::names_rows(&x)) {
            let item = format!("--columns '{name}=category'");
            let text = format!(
                "left out, it seems to name the rows: {distinct} different texts in {} rows; {item} models it all the same",
                x.len()
            );
            self.notes.push(warning(Some(name), text));
            return Ok(());
        }
        let mut chosen = match wish {
            wish if self.options.dequantize.iter().any(|other| other == name) => {
                kinds::dequantized(name, wish, &x)?
            }
            Some(wish) => kinds::wished(name, wish, &x)?,
            // What is given of a column, and drawn of it given others, is told by which numbers are near each other: where each is an outcome by itself, that takes many times as long to learn.
            None if self.options.any_subset => kinds::inferred(name, &x, Masses::Spikes),
            None => kinds::inferred(name, &x, Masses::All),
        };
        if self.options.any_subset {
            chosen.column.make_optional();
        }
        self.say(name, &chosen, &x);
        if wish.is_none() && x.are_dates() {
            let text = format!(
                "its numbers look like dates, YYYYMMDD, between which there are gaps: most samples will be no dates; see them as such with \
                 --columns '{name}=date'"
            );
            self.notes.push(warning(Some(name), text));
        }
        if wish.is_none() && kinds::reads_as_dates(&chosen.column) {
            let text = "its texts look like dates, each of which is now a word of its own: dates are read as 2024-01-31, with a time as 2024-01-31 12:30";
            self.notes.push(warning(Some(name), text));
        }
        self.schema.columns.push(chosen.column);
        Ok(())
    }

    fn context(&mut self, name: &str, wish: Option<&KindWish>) -> Result<()> {
        let x = self.values(name)?;
        if x.only_value().is_some() && self.table.rows.len() > 1 {
            self.notes.push(warning(Some(name), TELLS_NOTHING));
        }
        let mut chosen = match wish {
            Some(wish) => kinds::wished(name, wish, &x)?,
            None => kinds::inferred(name, &x, Masses::None),
        };
        if wish.is_none() && matches!(x.content(), Content::Numbers { .. }) {
            chosen.column = Column { holes: chosen.column.holes, ..Column::real(name) };
            chosen.reason = None;
        }
        // A context has no probabilities.
        (chosen.column.unseen, chosen.column.range) = (0.0, None);
        chosen.column.masses.clear();
        self.say(name, &chosen, &x);
        self.schema.context.push(chosen.column);
        Ok(())
    }

    /// The values of a column that has some.
    fn values(&self, name: &str) -> Result<Values<'a>> {
        let x = Values::of(self.table, name)?;
        match x.len() {
            0 => Err(Error::data(format!(
                "column {} has no value in any row: leave it out of --columns, or use --exclude",
                quoted(name)
            ))),
            _ => Ok(x),
        }
    }

    fn say(&mut self, name: &str, chosen: &Chosen, x: &Values<'_>) {
        let note = |text| Note { column: Some(name.to_owned()), warning: false, text };
        self.notes.extend(chosen.reason.clone().map(note));
        if x.missing() > 0 {
            let share = 100.0 * x.missing() as f64 / self.table.rows.len() as f64;
            self.notes.push(note(format!("missing in {share:.1}% of the rows")));
        }
    }
}

/// What is said of a column that is given and never differs.
const TELLS_NOTHING: &str = "a context column with one value only tells the model nothing";

fn warning(column: Option<&str>, text: impl Into<String>) -> Note {
    Note { column: column.map(str::to_owned), warning: true, text: text.into() }
}

fn constant(name: &str, value: &str, options: &InferOptions, notes: &mut Vec<Note>) -> Result<()> {
    if !options.drop_constant {
        return Err(Error::data(format!(
            "column {} has the value {value} in every row; its density is infinite there: leave it out with --drop-constant",
            quoted(name)
        )));
    }
    notes.push(warning(Some(name), format!("left out, it has the value {value} in every row")));
    Ok(())
}

/// Warnings for numbers that repeat where there is to be a density.
fn tie_warnings(table: &Table, schema: &Schema) -> Result<Vec<Note>> {
    let (mut discrete, mut tied) = (Vec::new(), Vec::new());
    let dense = schema.columns.iter().filter(|c| !c.kind.is_discrete() && c.masses.is_empty());
    for column in dense {
        let tally = Values::of(table, &column.name)?.tally();
        if tally.is_of_few_values() {
            discrete.push(format!("{} {}", quoted(&column.name), tally.distinct()));
        } else if let Some((value, share)) = tally.heavy_tie() {
            tied.push(format!("{} {:.0}% equal {value}", quoted(&column.name), 100.0 * share));
        }
    }
    Ok(tie_notes(&discrete, &tied, table.rows.len()))
}

fn tie_notes(discrete: &[String], tied: &[String], rows: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    if !discrete.is_empty() {
        notes.push(warning(
            None,
            format!(
                "few distinct values in {rows} rows: {}; the likelihood of rounded values has no bound and cannot be compared, \
                 see them as multiples of a step (rounded(0.1), integer)",
                discrete.join(", ")
            ),
        ));
    }
    if !tied.is_empty() {
        notes.push(warning(
            None,
            format!(
                "values that repeat often: {}; the likelihood has no bound there, do not take it as success (see --dequantize)",
                tied.join(", ")
            ),
        ));
    }
    notes
}

/// Warnings for columns that others determine. Integer columns get noise, which takes the dependence away.
fn rank_warnings(table: &Table, schema: &Schema) -> Result<Vec<Note>> {
    let continuous: Vec<&str> = schema
        .columns
        .iter()
        .filter(|c| !c.kind.is_discrete())
        .map(|c| c.name.as_str())
        .filter(|name| Values::of(table, name).is_ok_and(|x| x.missing() == 0))
        .collect();
    let places = continuous.iter().map(|name| table.index_of(name)).collect::<Result<Vec<_>>>()?;
    let (values, width) = (table.rows.values(), table.rows.width());
    let at = |i: usize, j: usize| {
        places.get(j).and_then(|&place| values.get(i * width + place)).copied().unwrap_or(0.0)
    };
    let name = |j: usize| continuous.get(j).copied().unwrap_or("");
    let note = |dependent| match dependent {
        Dependent::Copy { column, of } => warning(
            Some(name(column)),
            format!(
                "the same as {} up to scale and offset: the likelihood is unbounded; leave one of them out",
                quoted(name(of))
            ),
        ),
        Dependent::Combination { column } => warning(
            Some(name(column)),
            "a linear combination of other columns: the likelihood is unbounded; leave one of them out",
        ),
    };
    Ok(dependent_columns(table.rows.len(), places.len(), at).into_iter().map(note).collect())
}
