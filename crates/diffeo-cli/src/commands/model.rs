//! What the commands that use a finished model share: loading it, and matching a table to its columns by name.

use std::cell::Cell;
use std::path::Path;

use diffeo::{Column, Error, Model, Reservoir, Result, Rows, WeightedReservoir, quoted};
use diffeo_table::{Chunk, Input, ReadOptions, Reader, expect_image};

use crate::output::Console;
use crate::progress::grouped;

/// The note of a model that says which column its rows counted by in its fit.
pub(super) const WEIGHT: &str = "fit.weight";

/// A model and the names of the columns that it needs.
pub(super) struct Loaded {
    pub(super) model: Model,
    pub(super) columns: Vec<String>,
    pub(super) context: Vec<String>,
    /// The column that says how much a row stands for.
    weight: Option<String>,
    /// Rows so far whose context has a level that the model does not know,
    unknown: Cell<usize>,
    /// those that have one in a column of the model,
    unseen: Cell<usize>,
    /// and those whose context lies outside of that of the fit.
    beyond: Cell<usize>,
}

/// Rows of a table as a model takes them.
pub(super) struct Batch {
    pub(super) x: Rows,
    pub(super) context: Option<Rows>,
    /// How much each row stands for, if not all alike.
    pub(super) weights: Option<Vec<f64>>,
}

impl Loaded {
    /// Loads the model at `path`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let model = Model::load(path)?;
        let names = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect();
        let (columns, context) = (names(&model.schema().columns), names(&model.schema().context));
        let [unknown, unseen, beyond] = [const { Cell::new(0) }; 3];
        Ok(Self { model, columns, context, weight: None, unknown, unseen, beyond })
    }

    /// The same, where a column of tables says how much each row stands for.
    pub(super) fn weighted_by(self, column: Option<&String>) -> Self {
        Self { weight: column.cloned(), ..self }
    }

    /// The same, whose images are scored by so many draws of noise.
    pub(super) fn with_draws(mut self, draws: Option<u64>) -> Result<Self> {
        if let Some(draws) = draws {
            let points = usize::try_from(draws).unwrap_or(usize::MAX);
            self.model = self.model.with_noise_points(points).map_err(|_| {
                Error::config("--draws: is about models of images without noise (fit --noise), whose probability is estimated; here there is nothing to draw")
            })?;
        }
        Ok(self)
    }

    /// How what the model is of is read: as clips, if it is of such.
    pub(super) fn as_read(&self, options: &ReadOptions) -> ReadOptions {
        let earlier = Some(self.model.schema().earlier_frames()).filter(|earlier| *earlier > 0);
        let image = self.model.schema().image.filter(|image| matches!(image.channels, 1 | 3));
        ReadOptions { earlier, channels: image.map(|image| image.channels), ..options.clone() }
    }

    /// Opens a table that has the model's columns, in any order and among others.
    pub(super) fn open_table(
        &self,
        input: &Input,
        options: &ReadOptions,
        only_these: bool,
    ) -> Result<Reader> {
        let mut reader = self.open_any(input, options)?;
        let schema = self.model.schema();
        let columns = schema.columns.iter().chain(&schema.context).cloned();
        let columns: Vec<Column> = columns.chain(self.weight.iter().map(Column::real)).collect();
        if only_these {
            reader.select_columns(&columns)?
        } else {
            reader.require_columns(&columns)?
        }
        Ok(reader)
    }

    /// Opens a table of whatever columns, of images of the model's shape if it is of such.
    pub(super) fn open_any(&self, input: &Input, options: &ReadOptions) -> Result<Reader> {
        let reader = Reader::open(input, &self.as_read(options))?;
        expect_image(self.model.schema(), &reader, input)?;
        Ok(reader)
    }

    /// A chunk as it is written again: images are where they were, and a table of their pixels is of no use.
    pub(super) fn without_pixels(&self, chunk: Chunk) -> Result<Chunk> {
        let schema = self.model.schema();
        if schema.image.is_none() {
            return Ok(chunk);
        }
        let given = schema.given_image.map_or(0, |given| given.numbers());
        chunk.without_columns(&self.columns)?.without_columns(&self.context[..given])
    }

    /// The numbers of a chunk that the model needs.
    pub(super) fn batch(&self, chunk: &Chunk) -> Result<Batch> {
        let columns = &self.model.schema().columns;
        let (x, context) = (chunk.rows_for(columns)?, self.context_of(chunk)?);
        self.note_unseen(&x);
        Ok(Batch { x, context, weights: self.weights_of(chunk)? })
    }

    fn weights_of(&self, chunk: &Chunk) -> Result<Option<Vec<f64>>> {
        let Some(name) = &self.weight else { return Ok(None) };
        let weights = chunk.numbers(std::slice::from_ref(name))?.into_values();
        match weights.iter().position(|weight| *weight < 0.0) {
            None => Ok(Some(weights)),
            Some(i) => Err(Error::data(format!(
                "row {}, column {}: a weight must not be negative, found {}",
                chunk.first_row() + i as u64 + 1,
                quoted(name),
                weights[i]
            ))),
        }
    }

    /// The context of a chunk; `None` for an unconditional model.
    pub(super) fn context_of(&self, chunk: &Chunk) -> Result<Option<Rows>> {
        let context = &self.model.schema().context;
        if context.is_empty() {
            return Ok(None);
        }
        let rows = chunk.rows_for(context)?;
        self.note_unknown(&rows);
        Ok(Some(rows))
    }

    /// Counts the rows of a context that [`Loaded::say_warnings`] tells of.
    pub(super) fn note_unknown(&self, context: &Rows) {
        let found = Column::rows_of_unknown_levels(&self.model.schema().context, context);
        self.unknown.set(self.unknown.get() + found);
        let summary = self.model.summary.as_ref();
        let beyond = summary.map_or(0, |s| s.rows_beyond(&self.model.schema().context, context));
        self.beyond.set(self.beyond.get() + beyond);
    }

    /// Counts the rows under the columns of the model that [`Loaded::say_warnings`] tells of.
    pub(super) fn note_unseen(&self, x: &Rows) {
        let found = Column::rows_of_unknown_levels(&self.model.schema().columns, x);
        self.unseen.set(self.unseen.get() + found);
    }

    /// Says that rows count all the same, where those of the fit did not.
    pub(super) fn warn_of_weight(&self, given: Option<&String>, console: &Console) {
        if let (None, Some(name)) = (given, self.model.note(WEIGHT)) {
            console.warn(format!(
                "the model was fitted to rows that count by their column {0}; here all count the same (--weight {0} weighs them)",
                quoted(name)
            ));
        }
    }

    /// Says what the reader had to leave out or noticed, and which rows the model is asked about without knowing their context.
    pub(super) fn say_warnings(&self, reader: &Reader, console: &Console) {
        say_warnings(reader, console);
        if self.unknown.get() > 0 {
            console.warn(format!(
                "{} rows have a context with a level that no row of the fit had; they count as having none of the levels (diffeo inspect --json lists those of each column)",
                grouped(self.unknown.get() as u64)
            ));
        }
        if self.beyond.get() > 0 {
            console.warn(format!(
                "{} rows have a context far outside of that of all rows of the fit: nothing was learned there, and what the model says of them is a guess (diffeo inspect --json has the ranges)",
                grouped(self.beyond.get() as u64)
            ));
        }
        if self.unseen.get() > 0 {
            console.warn(format!(
                "{} rows have a level that no row of the fit had, in a column of the model: it counts as one of those that were never seen (diffeo inspect --json lists the levels of each column)",
                grouped(self.unseen.get() as u64)
            ));
        }
    }

    /// A random sample of at most `most` rows of a table: its first rows alone would mislead where it is sorted. With weights, each is kept with a probability in proportion, so that the rows
    /// are a sample of what they stand for.
    pub(super) fn gather(&self, mut reader: Reader, most: u64, console: &Console) -> Result<Batch> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut evenly = Reservoir::new(most, 0);
        let mut by_weight = WeightedReservoir::new(most, 0);
        let columns = &self.model.schema().columns;
        let is_whole =
            |row: &[f64]| columns.iter().zip(row).all(|(c, x)| !(c.optional && x.is_nan()));
        let (mut partial, mut all, mut largest) = (0, 0, 0.0f64);
        while let Some(chunk) = reader.next_chunk()? {
            let batch = self.batch(&chunk)?;
            for i in 0..batch.x.len() {
                all += 1;
                if !is_whole(batch.x.row(i)) {
                    partial += 1;
                    continue;
                }
                let context = batch.context.as_ref().map_or(&[][..], |c| c.row(i));
                let row = batch.x.row(i).iter().chain(context).copied();
                match &batch.weights {
                    Some(weights) => {
                        largest = largest.max(weights[i]);
                        by_weight.offer(row, weights[i]);
                    }
                    None => evenly.offer(row),
                }
            }
        }
        self.say_warnings(&reader, console);
        if partial > 0 {
            let text = "rows with missing values were left out: whole rows are compared with samples, and differ from them where values are missing for a reason";
            console.warn(format!("{} of {} {text}", grouped(partial), grouped(all)));
        }
        let rows = match &self.weight {
            None => evenly.into_rows(),
            Some(name) => {
                let heaviest = by_weight.heaviest();
                let rows = by_weight.into_rows();
                if rows.is_empty() {
                    let name = quoted(name);
                    return Err(Error::data(format!(
                        "column {name}: every row has weight 0; at least one must count"
                    )));
                }
                let kept = grouped(rows.len() as u64);
                let cut = match heaviest < largest {
                    true => format!(", of which those above {heaviest:.5} count for that"),
                    false => String::new(),
                };
                console.note(format!(
                    "{kept} of {} rows were kept by their weight{cut}",
                    grouped(all)
                ));
                rows
            }
        };
        let (mut x, mut context) = (Vec::new(), Vec::new());
        let width = self.context.len();
        for row in rows {
            let (values, given) = row.split_at(self.columns.len());
            x.extend_from_slice(values);
            context.extend_from_slice(given);
        }
        let context = if width == 0 { None } else { Some(Rows::new(context, width)?) };
        Ok(Batch { x: Rows::new(x, self.columns.len())?, context, weights: None })
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
