//! Tables that a model is asked about, block by block.

use diffeo::{Column, ColumnKind, Error, Rows, Schema};
use diffeo_table::{Chunk, Input, Missing, ReadOptions, Reader, expect_image};
use pyo3::prelude::*;

use crate::errors::{Unseen, raise, tell_unseen};
use crate::model::PyModel;
use crate::table::{input_of, input_of_clips};

/// Where the context of rows is.
#[derive(Clone, Copy)]
pub(crate) enum Beside<'a, 'py> {
    /// Given for itself, or else in the data.
    Context(Option<&'a Bound<'py, PyAny>>),
    /// In the data, but for a column that is to be found.
    ContextBut(usize),
}

impl PyModel {
    /// Gives the rows of `data` block by block, without the interpreter's lock, and looks for signals in between.
    pub(crate) fn each_block(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        context: Option<&Bound<'_, PyAny>>,
        mut apply: impl FnMut(&Rows, Option<&Rows>) -> diffeo::Result<()> + Send,
    ) -> PyResult<()> {
        let columns = &self.model.schema().columns;
        self.each_chunk(py, data, Beside::Context(context), |chunk, given| {
            apply(&chunk.rows_for(columns)?, given)
        })
    }

    /// Gives the cells of `data` block by block, with their context.
    pub(crate) fn each_chunk(
        &self,
        py: Python<'_>,
        data: &Bound<'_, PyAny>,
        beside: Beside<'_, '_>,
        mut apply: impl FnMut(&Chunk, Option<&Rows>) -> diffeo::Result<()> + Send,
    ) -> PyResult<()> {
        let schema = self.model.schema();
        let (apart, without) = match beside {
            Beside::Context(context) => (self.context_rows(context)?, None),
            Beside::ContextBut(column) => (None, Some(column)),
        };
        let context = if apart.is_some() { &[][..] } else { &schema.context };
        let context = context.iter().enumerate().filter(|(j, _)| Some(*j) != without);
        let columns = schema.columns.iter().chain(context.map(|(_, column)| column));
        let needed: Vec<Column> = columns.cloned().collect();
        let input = match schema.earlier_frames() {
            0 => input_of(data, &names(&needed))?,
            _ => input_of_clips(data)?,
        };
        if schema.image.is_some() && is_empty(&input) {
            return Ok(());
        }
        let mut reader = open(&input, &needed, Some(schema)).map_err(raise)?;
        let is_category = |column: &&Column| column.kind == ColumnKind::Category && !column.other;
        let categories: Vec<Column> = schema.columns.iter().filter(is_category).cloned().collect();
        let (mut from, mut unknown, mut beyond, mut unseen) = (0, 0, 0, 0);
        while !is_empty(&input) {
            py.check_signals()?;
            let apart = apart.as_ref();
            let done = py.detach(|| -> diffeo::Result<Option<usize>> {
                let Some(chunk) = reader.next_chunk()? else { return Ok(None) };
                let given = match (apart, schema.context.as_slice()) {
                    (Some(apart), _) => Some(part(apart, from, chunk.rows())?),
                    (None, []) => None,
                    (None, context) => Some(match without {
                        Some(without) => chunk.rows_but(context, without)?,
                        None => chunk.rows_for(context)?,
                    })
                    .inspect(|rows| {
                        unknown += Column::rows_of_unknown_levels(context, rows);
                        beyond += self.rows_beyond(rows);
                    }),
                };
                if !categories.is_empty() {
                    let x = chunk.rows_for(&categories)?;
                    unseen += Column::rows_of_unknown_levels(&categories, &x);
                }
                apply(&chunk, given.as_ref())?;
                Ok(Some(chunk.rows()))
            });
            match done.map_err(raise)? {
                Some(rows) => from += rows,
                None => break,
            }
        }
        tell_unseen(py, unknown, Unseen::Given)?;
        tell_unseen(py, beyond, Unseen::Beyond)?;
        tell_unseen(py, unseen, Unseen::Level)?;
        match apart {
            Some(apart) if apart.len() != from => Err(raise(Error::shape(format!(
                "expected a row of context for each of {from} rows, found {}",
                apart.len()
            )))),
            _ => Ok(()),
        }
    }

    /// The rows of a context that stands apart.
    pub(crate) fn context_rows(
        &self,
        context: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Rows>> {
        let columns = &self.model.schema().context;
        let Some(context) = context else { return Ok(None) };
        if columns.is_empty() {
            return Err(raise(Error::config("the model is not conditional, it takes no context")));
        }
        let input = input_of(context, &names(columns))?;
        let rows = open(&input, columns, None).and_then(|mut reader| {
            let mut values = Vec::new();
            while !is_empty(&input)
                && let Some(chunk) = reader.next_chunk()?
            {
                values.extend_from_slice(chunk.rows_for(columns)?.values());
            }
            Rows::new(values, columns.len())
        });
        let rows = rows.map_err(raise)?;
        tell_unseen(context.py(), Column::rows_of_unknown_levels(columns, &rows), Unseen::Given)?;
        tell_unseen(context.py(), self.rows_beyond(&rows), Unseen::Beyond)?;
        Ok(Some(rows))
    }

    /// Rows of a context far outside of that of the fit.
    fn rows_beyond(&self, context: &Rows) -> usize {
        let summary = self.model.summary.as_ref();
        summary.map_or(0, |s| s.rows_beyond(&self.model.schema().context, context))
    }
}

/// Whether a table in memory has no rows, as parts of one may: a file without any is refused.
fn is_empty(input: &Input) -> bool {
    matches!(input, Input::Batches(batches) if batches.rows() == 0)
}

/// Opens a table of which these columns are needed; a row answers for itself. Images are to be those of the schema of a model.
fn open(input: &Input, columns: &[Column], schema: Option<&Schema>) -> diffeo::Result<Reader> {
    let (missing, max_magnitude) = (Missing::Keep, f64::MAX);
    let earlier = schema.map(Schema::earlier_frames).filter(|earlier| *earlier > 0);
    let options = ReadOptions { missing, max_magnitude, earlier, ..ReadOptions::default() };
    let mut reader = Reader::open(input, &options)?;
    if let Some(schema) = schema {
        expect_image(schema, &reader, input)?;
    }
    reader.select_columns(columns)?;
    Ok(reader)
}

/// Some rows of a context.
fn part(context: &Rows, from: usize, rows: usize) -> diffeo::Result<Rows> {
    if from + rows > context.len() {
        return Err(Error::shape(format!(
            "expected a row of context for each row, found {} for at least {}",
            context.len(),
            from + rows
        )));
    }
    Ok(context.select(&(from..from + rows).collect::<Vec<_>>()))
}

pub(crate) fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.name.clone()).collect()
}
