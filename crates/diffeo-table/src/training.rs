//! A table as a fit takes it: which column plays which part, what each of them holds, and the rows.

pub(crate) mod images;

use diffeo::train::TrainingData;
use diffeo::{Column, ColumnKind, Error, KindWish, Result, Rows, Schema, quoted};

use crate::infer::{InferOptions, Note, Wish, infer_schema_with};
use crate::needs::Wanted;
use crate::options::{Input, MemoryLimit, Missing, ReadOptions};
use crate::reader::Reader;
use crate::report::ReadReport;
use crate::table::{read_rows, read_wanted};

/// Which part each column of a table plays in a fit.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// The columns to model, in the order of the dimensions, some with their kind; none for all that can be read and have no other part.
    pub columns: Vec<Wish>,
    /// The columns that the density is conditional on.
    pub context: Vec<Wish>,
    /// Columns to leave out.
    pub exclude: Vec<String>,
    /// The column that says how much each row counts.
    pub weight: Option<String>,
    /// How the kinds are chosen that are not given.
    pub infer: InferOptions,
    /// The noise that images are to have: see [`Schema::noised`].
    pub noise: Option<f64>,
}

/// A table that is ready for a fit.
#[derive(Clone, Debug)]
pub struct TrainingTable {
    /// What each column holds.
    pub schema: Schema,
    /// The rows.
    pub data: TrainingData,
    /// Why, and what may go wrong.
    pub notes: Vec<Note>,
}

impl Roles {
    /// Reads a table and decides what each column holds; `warn` is told at once what is left out or strange.
    ///
    /// # Errors
    /// As [`read_wanted`] and [`infer_schema_with`]; [`diffeo::ErrorKind::Data`] for a column that is not there, and if nothing is left to model;
    /// [`diffeo::ErrorKind::Config`] for a column of two parts, and for a pipe without named columns, as it is read once only.
    pub fn read(
        &self,
        input: &Input,
        options: &ReadOptions,
        limit: MemoryLimit,
        warn: &mut dyn FnMut(String),
    ) -> Result<TrainingTable> {
        let columns = match self.columns.as_slice() {
            [] => self.all_columns(input, options, warn)?,
            named => named.to_vec(),
        };
        self.check_dequantized(&columns)?;
        let wanted = self.wanted(&columns, options.missing == Missing::Model);
        let table = read_wanted(input, &wanted, options, limit)?;
        table.report.warnings().into_iter().for_each(&mut *warn);
        let (schema, notes) = infer_schema_with(&table, &columns, &self.context, &self.infer)
            .map_err(|e| input.located(e))?;
        let known = schema.columns.iter().chain(&schema.context).map(|column| column.name.clone());
        let names: Vec<String> = known.chain(self.weight.clone()).collect();
        let rows = if table.names == names { table.rows } else { table.columns(&names)? };
        Ok(TrainingTable { data: parts(rows, &schema)?, schema, notes })
    }

    /// Reads rows of columns that are known: those that validate, or of another table.
    ///
    /// # Errors
    /// As [`read_rows`].
    pub fn read_known(
        &self,
        schema: &Schema,
        input: &Input,
        options: &ReadOptions,
        limit: MemoryLimit,
    ) -> Result<(TrainingData, ReadReport)> {
        let columns = schema.columns.iter().chain(&schema.context).cloned();
        let columns: Vec<Column> = columns.chain(self.weight.iter().map(Column::real)).collect();
        let (rows, report) = read_rows(input, &columns, options, limit)?;
        Ok((parts(rows, schema)?, report))
    }

    /// All that is to be read.
    fn wanted(&self, columns: &[Wish], holes: bool) -> Vec<Wanted> {
        let wanted = |(name, wish): &Wish| Wanted {
            kind: wish.as_ref().map(|wish| wish.kind),
            holes,
            ..Wanted::any(name)
        };
        let number = |name| Wanted { kind: Some(ColumnKind::Real), ..Wanted::any(name) };
        let columns = columns.iter().chain(&self.context).map(wanted);
        columns.chain(self.weight.iter().map(number)).collect()
    }

    /// The columns to model where none are named: all that can be read and have no other part to play.
    fn all_columns(
        &self,
        input: &Input,
        options: &ReadOptions,
        warn: &mut dyn FnMut(String),
    ) -> Result<Vec<Wish>> {
        let taken = |name: &String| {
            self.context.iter().any(|(other, _)| other == name)
                || self.exclude.contains(name)
                || self.weight.as_ref() == Some(name)
        };
        if input.is_read_once() {
            return Err(Error::config(
                "stdin and pipes are read once only; name the columns to model with --columns",
            ));
        }
        let reader = Reader::open(input, options)?;
        let mut excluded = self.exclude.iter();
        if let Some(name) = excluded.find(|name| !reader.columns().contains(name)) {
            return Err(Error::data(format!(
                "--exclude: the table has no column {}",
                quoted(name)
            )));
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
                warn(format!("left out, {reason}: {}", names.join(", ")));
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
    fn check_dequantized(&self, columns: &[Wish]) -> Result<()> {
        for name in &self.infer.dequantize {
            match columns.iter().find(|(column, _)| column == name) {
                Some((_, kind)) if kind.as_ref().is_none_or(|wish| wish.kind.is_whole()) => {}
                Some((_, kind)) => {
                    let kind = kind.as_ref().map_or(String::new(), KindWish::to_string);
                    return Err(Error::config(format!(
                        "column {} is {kind} by --columns and integer by --dequantize",
                        quoted(name)
                    )));
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
}

/// Cuts rows into what is modelled, what it is conditioned on, and the weights.
fn parts(rows: Rows, schema: &Schema) -> Result<TrainingData> {
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
