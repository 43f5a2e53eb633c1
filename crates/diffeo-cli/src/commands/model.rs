//! What the commands that use a finished model share: loading it, and matching a table to its columns by name.

use std::path::Path;

use diffeo::{Column, Error, Model, Reservoir, Result, Rows, quoted};
use diffeo_table::{Chunk, Input, ReadOptions, Reader};

use crate::output::Console;

/// A model and the names of the columns that it needs.
pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) columns: Vec<String>,
    pub(super) context: Vec<String>,
}

/// Rows of a table as a model takes them.
pub(super) struct Batch {
    pub(super) x: Rows,
    pub(super) context: Option<Rows>,
}

impl Loaded {
    /// Loads the model at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let model = Model::load(path)?;
        let names = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect();
        let (columns, context) = (names(&model.schema().columns), names(&model.schema().context));
        Ok(Self { model, columns, context })
    }

    /// Opens a table that has the model's columns, in any order and among others.
    pub(super) fn open_table(
        &self,
        input: &Input,
        options: &ReadOptions,
        only_these: bool,
    ) -> Result<Reader> {
        let mut reader = Reader::open(input, options)?;
        let names: Vec<String> = self.columns.iter().chain(&self.context).cloned().collect();
        if only_these {
            reader.select(&names)?
        } else {
            reader.require(&names)?
        }
        Ok(reader)
    }

    /// The numbers of a chunk that the model needs.
    pub(super) fn batch(&self, chunk: &Chunk) -> Result<Batch> {
        Ok(Batch { x: chunk.numbers(&self.columns)?, context: self.context_of(chunk)? })
    }

    /// The context of a chunk; `None` for an unconditional model.
    pub(super) fn context_of(&self, chunk: &Chunk) -> Result<Option<Rows>> {
        if self.context.is_empty() { Ok(None) } else { chunk.numbers(&self.context).map(Some) }
    }

    /// A random sample of at most `most` rows of a table: its first rows alone would mislead where it is sorted.
    pub(super) fn gather(&self, mut reader: Reader, most: u64, console: &Console) -> Result<Batch> {
        let mut reservoir = Reservoir::new(usize::try_from(most).unwrap_or(usize::MAX), 0);
        while let Some(chunk) = reader.next_chunk()? {
            let batch = self.batch(&chunk)?;
            for i in 0..batch.x.len() {
                let context = batch.context.as_ref().map_or(&[][..], |c| c.row(i));
                reservoir.offer(batch.x.row(i).iter().chain(context).copied());
            }
        }
        say_warnings(&reader, console);
        let (mut x, mut context) = (Vec::new(), Vec::new());
        for row in reservoir.into_rows() {
            let (values, given) = row.split_at(self.columns.len());
            x.extend_from_slice(values);
            context.extend_from_slice(given);
        }
        let width = self.context.len();
        let context = if width == 0 { None } else { Some(Rows::new(context, width)?) };
        Ok(Batch { x: Rows::new(x, self.columns.len())?, context })
    }
}

/// Says what the reader had to leave out or noticed.
pub(super) fn say_warnings(reader: &Reader, console: &Console) {
    for warning in reader.report().warnings() {
        console.warn(warning);
    }
}

/// Refuses a column that would be written but is there already.
pub(super) fn refuse_column(reader: &Reader, name: &str) -> Result<()> {
    if reader.columns().iter().any(|column| column == name) {
        return Err(Error::data(format!(
            "the table has a column {} already; replace it with --force or rename it",
            quoted(name)
        )));
    }
    Ok(())
}
