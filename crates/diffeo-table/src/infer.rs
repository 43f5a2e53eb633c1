//! What kind of values each column holds, read off the file's types and the data, with a reason for each choice.

use diffeo::{Column, ColumnKind, Error, KindWish, Result, Schema, choose_kind, quoted};

use crate::measure::{Ties, Values};
use crate::moments::moments;
use crate::ranks::{Dependent, dependent_columns};
use crate::table::Table;

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
#[derive(Clone, Copy, Debug, Default)]
pub struct InferOptions {
    /// Leave out columns that have one value only, with a warning, instead of refusing the table.
    pub drop_constant: bool,
}

/// [`infer_schema_with`] with default options: a constant column is an error.
///
/// # Errors
/// As [`infer_schema_with`].
pub fn infer_schema(
    table: &Table,
    columns: &[(String, Option<KindWish>)],
    context: &[String],
) -> Result<(Schema, Vec<Note>)> {
    infer_schema_with(table, columns, context, InferOptions::default())
}

/// A schema for the given columns (all but the context if there are none), and a line about each choice.
///
/// A column whose kind is given keeps it, after a check that the data lies in it. Otherwise [`choose_kind`] decides.
///
/// Columns of the context are `Real`: only a location and a scale are taken from them.
///
/// Warnings name what makes a likelihood meaningless: discrete columns and heavy ties, columns that are copies or linear
/// combinations of others, a single row.
///
/// # Errors
/// [`diffeo::ErrorKind::Data`] for a column that is not there, a constant column (its density is infinite) unless
/// [`InferOptions::drop_constant`], and data outside a given kind; [`diffeo::ErrorKind::Config`] for a column named twice.
pub fn infer_schema_with(
    table: &Table,
    columns: &[(String, Option<KindWish>)],
    context: &[String],
    options: InferOptions,
) -> Result<(Schema, Vec<Note>)> {
    let mut notes = Vec::new();
    let all: Vec<(String, Option<KindWish>)> = if columns.is_empty() {
        table.names.iter().filter(|n| !context.contains(n)).map(|n| (n.clone(), None)).collect()
    } else {
        columns.to_vec()
    };
    if table.rows.len() == 1 {
        notes.push(warning(None, "the table has one row; a density cannot be learned from it"));
    }
    let mut schema = Schema::default();
    let mut discrete = Vec::new();
    let mut tied = Vec::new();
    for (name, wish) in &all {
        let x = Values::of(table, name)?;
        let facts = x.facts();
        if facts.min == facts.max && table.rows.len() > 1 {
            constant(name, facts.min, options, &mut notes)?;
            continue;
        }
        let (column, reason) = match wish {
            Some(wish) => (wished(name, wish, &x)?, None),
            None => {
                let (kind, reason) = choose_kind(&facts, None);
                (Column::new(name, kind), reason)
            }
        };
        let kind = column.kind;
        notes.extend(reason.map(|text| Note { column: Some(name.clone()), warning: false, text }));
        if x.are_dates() {
            notes.push(warning(
                Some(name),
                "its numbers look like dates, YYYYMMDD, between which there are gaps: most samples will be no dates; write the number of days \
                 since a first one instead",
            ));
        }
        if !kind.is_discrete() && column.masses.is_empty() {
            match x.ties() {
                Some(Ties::FewDistinct(n)) => discrete.push(format!("{} {n}", quoted(name))),
                Some(Ties::Heavy { value, share }) => {
                    tied.push(format!("{} {:.0}% equal {value}", quoted(name), 100.0 * share));
                }
                None => {}
            }
        }
        schema.columns.push(column);
    }
    for name in context {
        let m = moments(Values::of(table, name)?.iter());
        if m.min == m.max && table.rows.len() > 1 {
            notes.push(warning(
                Some(name),
                "a context column with one value only tells the model nothing",
            ));
        }
        schema.context.push(Column::real(name));
    }
    if schema.columns.is_empty() {
        return Err(Error::data("no columns are left to model; name some with --columns"));
    }
    schema.validate()?;
    notes.extend(tie_warnings(&discrete, &tied, table.rows.len()));
    notes.extend(rank_warnings(table, &schema)?);
    Ok((schema, notes))
}

fn warning(column: Option<&str>, text: impl Into<String>) -> Note {
    Note { column: column.map(str::to_owned), warning: true, text: text.into() }
}

fn constant(name: &str, value: f64, options: InferOptions, notes: &mut Vec<Note>) -> Result<()> {
    if !options.drop_constant {
        return Err(Error::data(format!(
            "column {} has the value {value} in every row; its density is infinite there: leave it out with --drop-constant",
            quoted(name)
        )));
    }
    notes.push(warning(Some(name), format!("left out, it has the value {value} in every row")));
    Ok(())
}

/// A column as it was asked for, of which every value must be.
fn wished(name: &str, wish: &KindWish, x: &Values<'_>) -> Result<Column> {
    if wish.kind == ColumnKind::Category {
        return Err(Error::data(format!(
            "column {}: categories are not read from tables yet; use integer[LOW, HIGH] for codes that are whole numbers",
            quoted(name)
        )));
    }
    let column = wish.column(name);
    let outside = |v: &f64| !column.contains(*v);
    let Some(first) = x.iter().find(outside) else {
        return Ok(column);
    };
    let count = x.iter().filter(|v| outside(v)).count();
    Err(Error::data(format!(
        "column {} is to be {wish}, but {count} of {} values are not, the first is {first}; {}",
        quoted(name),
        x.len(),
        wish.kind.advice()
    )))
}

fn tie_warnings(discrete: &[String], tied: &[String], rows: usize) -> Vec<Note> {
    let mut notes = Vec::new();
    if !discrete.is_empty() {
        notes.push(warning(
            None,
            format!(
                "few distinct values in {rows} rows: {}; the likelihood of rounded values has no bound and cannot be compared, \
                 see them as integers (--dequantize, or scale them to whole numbers)",
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
    let continuous: Vec<&str> =
        schema.columns.iter().filter(|c| !c.kind.is_discrete()).map(|c| c.name.as_str()).collect();
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
