//! What kind of values each column holds, read off the file's types and the data, with a reason for each choice.

use diffeo::{Column, ColumnKind, Error, Result, Schema, quoted};

use crate::moments::{Moments, moments};
use crate::number::EXACT_INTEGER;
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

/// Skewness above which a column of positive numbers is taken as [`ColumnKind::Positive`], if its logarithm is less skewed.
const SKEWED: f64 = 1.0;
/// A real column with fewer distinct values than this share of the rows is called discrete in a warning,
const DISTINCT_SHARE: f64 = 0.1;
/// one with a value that fills at least this share of the rows has heavy ties,
const TIE_SHARE: f64 = 0.05;
/// if there are so many rows.
const TIE_ROWS: usize = 50;
/// Rows looked at for these two.
const TIE_SAMPLE: usize = 100_000;

/// [`infer_schema_with`] with default options: a constant column is an error.
///
/// # Errors
/// As [`infer_schema_with`].
pub fn infer_schema(
    table: &Table,
    columns: &[(String, Option<ColumnKind>)],
    context: &[String],
) -> Result<(Schema, Vec<Note>)> {
    infer_schema_with(table, columns, context, InferOptions::default())
}

/// A schema for the given columns (all but the context if there are none), and a line about each choice.
///
/// A column whose kind is given keeps it, after a check that the data lies in it. Otherwise it is
/// * [`ColumnKind::Integer`] if the file stores whole numbers or all values are whole and at most 2^53;
/// * [`ColumnKind::Positive`] if min > 0, the skewness of x is above 1, and that of ln x is closer to 0;
/// * [`ColumnKind::Real`] otherwise.
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
    columns: &[(String, Option<ColumnKind>)],
    context: &[String],
    options: InferOptions,
) -> Result<(Schema, Vec<Note>)> {
    let mut notes = Vec::new();
    let all: Vec<(String, Option<ColumnKind>)> = if columns.is_empty() {
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
    for (name, kind) in &all {
        let j = table.index_of(name)?;
        let x = Values { table, j };
        let m = moments(x.iter());
        if m.min == m.max && table.rows.len() > 1 {
            constant(name, &m, options, &mut notes)?;
            continue;
        }
        let kind = match kind {
            Some(kind) => check_support(name, *kind, &x).map(|()| *kind)?,
            None => {
                let (kind, reason) = choose(&x, &m);
                notes.push(Note { column: Some(name.clone()), warning: false, text: reason });
                kind
            }
        };
        if kind != ColumnKind::Integer {
            match ties(&x) {
                Some(Ties::FewDistinct(n)) => discrete.push(format!("{} {n}", quoted(name))),
                Some(Ties::Heavy { value, share }) => {
                    tied.push(format!("{} {:.0}% equal {value}", quoted(name), 100.0 * share));
                }
                None => {}
            }
        }
        schema.columns.push(Column { name: name.clone(), kind });
    }
    for name in context {
        let j = table.index_of(name)?;
        let m = moments(Values { table, j }.iter());
        if m.min == m.max && table.rows.len() > 1 {
            notes.push(warning(
                Some(name),
                "a context column with one value only tells the model nothing",
            ));
        }
        schema.context.push(Column { name: name.clone(), kind: ColumnKind::Real });
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

/// A column of a table.
struct Values<'a> {
    table: &'a Table,
    j: usize,
}

impl Values<'_> {
    fn iter(&self) -> impl Iterator<Item = f64> + Clone {
        self.table.rows.values().iter().skip(self.j).step_by(self.table.rows.width()).copied()
    }
}

fn constant(name: &str, m: &Moments, options: InferOptions, notes: &mut Vec<Note>) -> Result<()> {
    if !options.drop_constant {
        return Err(Error::data(format!(
            "column {} has the value {} in every row; its density is infinite there: leave it out with --drop-constant",
            quoted(name),
            m.min
        )));
    }
    notes.push(warning(Some(name), format!("left out, it has the value {} in every row", m.min)));
    Ok(())
}

/// The kind of a column that nobody named, and why.
fn choose(x: &Values<'_>, m: &Moments) -> (ColumnKind, String) {
    if x.table.integer_typed.get(x.j) == Some(&true) {
        return (ColumnKind::Integer, "integer (the file stores whole numbers)".to_owned());
    }
    if m.min.abs().max(m.max.abs()) <= EXACT_INTEGER && x.iter().all(|v| v.fract() == 0.0) {
        return (ColumnKind::Integer, "integer (all values are whole)".to_owned());
    }
    if m.min > 0.0 && m.skewness > SKEWED {
        let of_logarithm = moments(x.iter().map(f64::ln)).skewness;
        if of_logarithm.abs() < m.skewness {
            let text = format!(
                "positive (all values > 0, skewness {:.1}, {of_logarithm:.1} for their logarithms)",
                m.skewness
            );
            return (ColumnKind::Positive, text);
        }
    }
    (ColumnKind::Real, "real".to_owned())
}

fn check_support(name: &str, kind: ColumnKind, x: &Values<'_>) -> Result<()> {
    let outside = |v: &f64| !kind.contains(*v);
    let Some(first) = x.iter().find(outside) else {
        return Ok(());
    };
    let count = x.iter().filter(|v| outside(v)).count();
    let hint = match kind {
        ColumnKind::Interval { .. } => "; the bounds are excluded, widen them",
        _ => "; choose another kind for it with --columns",
    };
    Err(Error::data(format!(
        "column {} is to be {kind}, but {count} of {} values are not, the first is {first}{hint}",
        quoted(name),
        x.table.rows.len()
    )))
}

/// Values that repeat.
enum Ties {
    FewDistinct(usize),
    Heavy { value: f64, share: f64 },
}

fn ties(x: &Values<'_>) -> Option<Ties> {
    let n = x.table.rows.len();
    if n < TIE_ROWS {
        return None;
    }
    let mut sorted: Vec<f64> = x.iter().step_by(n.div_ceil(TIE_SAMPLE)).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let looked_at = sorted.len() as f64;
    let (mut distinct, mut longest, mut value) = (0, 0, 0.0);
    for run in sorted.chunk_by(|a, b| a == b) {
        distinct += 1;
        if run.len() > longest {
            longest = run.len();
            value = run.first().copied().unwrap_or(0.0);
        }
    }
    if (distinct as f64) < DISTINCT_SHARE * looked_at {
        return Some(Ties::FewDistinct(distinct));
    }
    let share = longest as f64 / looked_at;
    (share >= TIE_SHARE).then_some(Ties::Heavy { value, share })
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
    let continuous: Vec<&str> = schema
        .columns
        .iter()
        .filter(|c| c.kind != ColumnKind::Integer)
        .map(|c| c.name.as_str())
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
