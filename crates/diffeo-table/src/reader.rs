//! The reader of all formats: opens, tells the format, streams chunks, keeps count.

use std::collections::HashSet;
use std::path::PathBuf;

use arrow_schema::SchemaRef;
use diffeo::{Column, Error, ImageShape, Result, quoted};

use crate::chunk::{Chunk, Origin, Places, check_names, missing_columns};
use crate::detect::{self, Look};
use crate::format::Format;
use crate::guard::guarded;
use crate::needs::Need;
use crate::numbers::{Allowed, is_integer_type};
use crate::options::{Input, Missing, ReadOptions};
use crate::readers::{
    arrow_ipc::IpcReader, batches::BatchReader, clip_column::ColumnFrames, clip_files,
    clips::ClipReader, decode::Decode, idx, image_column, image_folder::FolderReader, npy, npz,
    parquet::ParquetReader, text::TextReader,
};
use crate::report::{ReadReport, counts_per_column};
use crate::source::{Source, Watch};

/// Streams a table as [`Chunk`]s, in memory that does not grow with the file.
///
/// (An Arrow IPC file is the exception: it is read one record batch at a time, however large its writer made them.)
pub struct Reader {
    decoder: Box<dyn Decode>,
    format: Format,
    label: PathBuf,
    watch: Option<Watch>,
    options: ReadOptions,
    columns: Vec<String>,
    needed: Vec<Need>,
    report: ReadReport,
    rows_given: u64,
    ended: bool,
}

/// Rows looked through to count missing values after the first one was found.
const COUNT_ROWS: u64 = 10_000_000;

impl Reader {
    /// Opens a table and reads its header.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if it cannot be opened or read, [`diffeo::ErrorKind::Data`] if it is not a table or of another
    /// kind than asked for (the message says what it looks like), [`diffeo::ErrorKind::Limit`] beyond
    /// [`ReadOptions::max_bytes`], [`diffeo::ErrorKind::Config`] for options that make no sense.
    pub fn open(input: &Input, options: &ReadOptions) -> Result<Self> {
        let label = input.label().to_path_buf();
        if label.is_dir() && matches!(input, Input::Path(_)) {
            return Self::open_folder(label, options);
        }
        if let (Input::Batches(table), Some(_)) = (input, options.earlier) {
            let decoder = guarded(Format::Arrow.decoder(), || {
                let frames = Box::new(ColumnFrames::new(table.clone())?);
                Ok(Box::new(ClipReader::new(frames, options)?))
            })?;
            return Self::of(decoder, Format::Arrow, label, (None, Vec::new()), options);
        }
        if let Input::Batches(table) = input {
            let decoder = guarded(Format::Arrow.decoder(), || {
                image_column::wrap(Box::new(BatchReader::new(table.clone(), options)), options)
            })?;
            return Self::of(decoder, Format::Arrow, label, (None, Vec::new()), options);
        }
        let mut source = Source::open(input, options.max_bytes)?;
        let format = tell_format(&source, input, options).map_err(|e| e.at(&label))?;
        let mut notes = Vec::new();
        if let (Input::Path(path), Some(found)) = (input, format)
            && let Some(named) = Format::from_path(path)
            && named != found
            && !(named.is_text() && found.is_text())
            && !matches!(
                (named, found),
                (Format::Arrow, Format::ArrowStream) | (Format::ArrowStream, Format::Arrow)
            )
        {
            notes.push(format!("the name says {named}, the bytes say {found}; read as {found}"));
        }
        if options.earlier.is_some()
            && !matches!(format, Some(Format::Clip | Format::Npy | Format::Npz))
        {
            return Err(Error::data("expected clips: a GIF or APNG file, a folder of such or of frames, or an npy array (clips, frames, height, width[, channels])").at(&label));
        }
        let watch = source.take_watch();
        let decoder = guarded(decoder_name(format), || -> Result<Box<dyn Decode>> {
            Ok(match format {
                Some(Format::Parquet) => {
                    image_column::wrap(Box::new(ParquetReader::open(source, options)?), options)?
                }
                Some(Format::Arrow | Format::ArrowStream) => {
                    image_column::wrap(Box::new(IpcReader::open(source, options)?), options)?
                }
                Some(Format::Npy) => npy::open(source, options)?,
                Some(Format::Npz) => npz::open(source, options)?,
                Some(Format::Idx) => idx::open(source, options)?,
                Some(Format::Clip) => {
                    let (file, _) = source.into_file()?;
                    Box::new(ClipReader::new(clip_files::in_file(file, &label, options)?, options)?)
                }
                _ => Box::new(TextReader::open(source, options, format)?),
            })
        });
        let decoder = decoder.map_err(|e| located(e, &label))?;
        Self::of(decoder, format.unwrap_or(Format::Csv), label, (watch, notes), options)
    }

    fn open_folder(label: PathBuf, options: &ReadOptions) -> Result<Self> {
        if let Some(format) = options.format {
            return Err(
                Error::data(format!("expected {format} as asked, found a folder")).at(&label)
            );
        }
        let is_of_clips = options.earlier.is_some() || clip_files::holds_films(&label);
        let format = if is_of_clips { Format::Clip } else { Format::Images };
        let decoder = guarded(format.decoder(), || -> Result<Box<dyn Decode>> {
            Ok(match is_of_clips {
                true => {
                    Box::new(ClipReader::new(clip_files::in_folder(&label, options)?, options)?)
                }
                false => Box::new(FolderReader::open(&label, options)?),
            })
        });
        let decoder = decoder.map_err(|e| located(e, &label))?;
        Self::of(decoder, format, label, (None, Vec::new()), options)
    }

    fn of(
        mut decoder: Box<dyn Decode>,
        format: Format,
        label: PathBuf,
        (watch, mut notes): (Option<Watch>, Vec<String>),
        options: &ReadOptions,
    ) -> Result<Self> {
        notes.extend(decoder.take_notes());
        let columns: Vec<String> =
            decoder.schema().fields().iter().map(|f| f.name().clone()).collect();
        check_names(columns.iter().map(String::as_str)).map_err(|e| e.at(&label))?;
        Ok(Self {
            decoder,
            format,
            label,
            watch,
            options: options.clone(),
            columns,
            needed: Vec::new(),
            report: ReadReport { notes, ..ReadReport::default() },
            rows_given: 0,
            ended: false,
        })
    }

    /// Names of the columns, in the order of the file.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The format that was found.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The shape of the images that the rows are, if that is what they are: their numbers are the columns that [`ImageShape::columns`] names. Labels are the column
    /// `label`.
    pub fn image(&self) -> Option<ImageShape> {
        self.decoder.image()
    }

    /// Number of rows, if the file says so; it may lie.
    pub fn rows_hint(&self) -> Option<u64> {
        let rows = self.decoder.rows_hint()?;
        Some(self.options.max_rows.map_or(rows, |most| rows.min(most)))
    }

    /// Share of the file that has been read, where its size is known.
    pub fn progress(&self) -> Option<f64> {
        match self.decoder.rows_hint() {
            Some(rows) if rows > 0 => Some((self.report.rows_read as f64 / rows as f64).min(1.0)),
            _ => self.decoder.progress(),
        }
    }

    /// What was read, left out and noticed so far.
    pub fn report(&self) -> &ReadReport {
        &self.report
    }

    /// Says which columns will be needed as numbers. They must exist, and every chunk is checked for them: this is what
    /// [`Missing`] refers to. The other columns pass through as they are.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] naming all columns that are not there.
    pub fn require(&mut self, columns: &[String]) -> Result<()> {
        self.need(columns.iter().map(|name| Need::of_column(&Column::real(name))).collect())
    }

    /// Says which columns will be needed as a model takes them (see [`Chunk::rows_for`]). They must exist, and every chunk is checked for them;
    /// [`Missing`] refers to those of them that may have no holes. The other columns pass through as they are.
    ///
    /// # Errors
    /// As [`Reader::require`].
    pub fn require_columns(&mut self, columns: &[Column]) -> Result<()> {
        self.need(columns.iter().map(Need::of_column).collect())
    }

    fn need(&mut self, needs: Vec<Need>) -> Result<()> {
        let there: HashSet<&String> = self.columns.iter().collect();
        let names = needs.iter().map(|need| &need.name);
        let absent: Vec<&str> =
            names.filter(|name| !there.contains(name)).map(String::as_str).collect();
        if !absent.is_empty() {
            return Err(missing_columns(&absent, &self.columns).at(&self.label));
        }
        self.needed = needs;
        Ok(())
    }

    /// Like [`Reader::require`], and reads no other columns: cheaper where nothing is passed through. To be called before the
    /// first chunk is read.
    ///
    /// # Errors
    /// As [`Reader::require`].
    pub fn select(&mut self, columns: &[String]) -> Result<()> {
        self.require(columns)?;
        self.project()
    }

    /// Like [`Reader::require_columns`], and reads no other columns. To be called before the first chunk is read.
    ///
    /// # Errors
    /// As [`Reader::require`].
    pub fn select_columns(&mut self, columns: &[Column]) -> Result<()> {
        self.require_columns(columns)?;
        self.project()
    }

    /// Selects columns whose content is yet to be found, or that were understood as far as another table goes.
    pub(crate) fn select_needs(&mut self, needs: Vec<Need>) -> Result<()> {
        self.need(needs)?;
        self.project()
    }

    /// The needed columns, as far as they were understood.
    pub(crate) fn take_needs(&mut self) -> Vec<Need> {
        std::mem::take(&mut self.needed)
    }

    /// Reads none but the needed columns.
    fn project(&mut self) -> Result<()> {
        let needed: HashSet<&String> = self.needed.iter().map(|need| &need.name).collect();
        let keep: Vec<usize> =
            (0..self.columns.len()).filter(|&i| needed.contains(&self.columns[i])).collect();
        let decoder = &mut self.decoder;
        guarded(self.format.decoder(), || decoder.project(&keep))
            .map_err(|e| located(e, &self.label))?;
        self.columns = keep.iter().map(|&i| self.columns[i].clone()).collect();
        Ok(())
    }

    /// The next rows, or `None` after the last.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] for damaged files, cells that are not numbers and missing values, with file, line or row
    /// and column, and for a table without rows; [`diffeo::ErrorKind::Io`] if reading fails or the file changes meanwhile.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        if self.ended {
            return Ok(None);
        }
        let outcome = self.advance();
        if !matches!(outcome, Ok(Some(_))) {
            self.ended = true;
        }
        outcome.map_err(|e| located(e, &self.label))
    }

    /// Whether the file stores each of the named columns as whole numbers.
    pub(crate) fn integer_typed(&self, columns: &[String]) -> Vec<bool> {
        let schema = self.decoder.schema();
        columns
            .iter()
            .map(|name| schema.field_with_name(name).is_ok_and(|f| is_integer_type(f.data_type())))
            .collect()
    }

    /// Cells that mark a missing value besides the usual ones.
    pub(crate) fn marks(&self) -> Vec<String> {
        self.options.missing_marks.clone()
    }

    /// The columns as the file types them.
    pub(crate) fn schema(&self) -> SchemaRef {
        self.decoder.schema()
    }

    fn advance(&mut self) -> Result<Option<Chunk>> {
        loop {
            let Some(chunk) = self.decode()? else {
                self.finish()?;
                return Ok(None);
            };
            let mut chunk = self.check_needed(chunk)?;
            if chunk.rows() > 0 {
                chunk.set_first_row(self.rows_given);
                self.rows_given += chunk.rows() as u64;
                return Ok(Some(chunk));
            }
        }
    }

    /// The next rows as they are in the file.
    fn decode(&mut self) -> Result<Option<Chunk>> {
        let left = self
            .options
            .max_rows
            .map_or(u64::MAX, |most| most.saturating_sub(self.report.rows_read));
        if left == 0 {
            self.note_row_limit();
            return Ok(None);
        }
        let decoder = &mut self.decoder;
        let Some(mut found) = guarded(self.format.decoder(), || decoder.next_batch())? else {
            return Ok(None);
        };
        if found.batch.num_rows() as u64 > left {
            found.batch = found.batch.slice(0, left as usize);
        }
        let places = match found.lines {
            Some(lines) => Places::Lines(lines.into()),
            None => Places::RowsFrom(self.report.rows_read + 1),
        };
        self.report.rows_read += found.batch.num_rows() as u64;
        let origin = Origin { label: Some(self.label.clone()), places };
        let allowed = Allowed {
            magnitude: self.options.max_magnitude,
            infinite: self.options.missing == Missing::Keep,
            marks: self.marks().into(),
        };
        Ok(Some(Chunk::new(found.batch, 0, origin, allowed)))
    }

    /// Parses the needed columns and deals with what is missing in them.
    fn check_needed(&mut self, mut chunk: Chunk) -> Result<Chunk> {
        let mut gaps: Option<Vec<bool>> = None;
        let mut first: Option<(usize, String)> = None;
        for need in &mut self.needed {
            let (i, parsed) = chunk.parse(need)?;
            let name = &need.name;
            self.report.underflows += parsed.underflows;
            self.report.inexact_integers += parsed.inexact;
            if parsed.missing.len() < chunk.rows() {
                let words = *need.words.get_or_insert(parsed.words);
                if words != parsed.words {
                    return Err(chunk.origin().error(format!(
                        "column {}: words for true and false in some rows, from {} on other cells; write one or the other",
                        quoted(name),
                        chunk.origin().places.describe(0)
                    )));
                }
            }
            if let Some(&row) = parsed.missing.first().filter(|_| !need.holes) {
                self.report.add_missing(name, parsed.missing.len() as u64);
                let keep = gaps.get_or_insert_with(|| vec![true; chunk.rows()]);
                parsed.missing.iter().filter_map(|&r| keep.get_mut(r).map(|k| *k = false)).count();
                if first.as_ref().is_none_or(|(r, _)| row < *r) {
                    first = Some((row, name.clone()));
                }
            }
            chunk.set_parsed(i, parsed.values, need.is_plain());
        }
        let (Some(keep), Some((row, name))) = (gaps, first) else {
            return Ok(chunk);
        };
        if self.options.missing == Missing::Keep {
            return Ok(chunk);
        }
        if self.options.missing != Missing::Drop {
            let place = chunk.origin().places.describe(row);
            return Err(self.count_missing(&place, &name));
        }
        self.report.rows_dropped += keep.iter().filter(|&&k| !k).count() as u64;
        chunk.keep(&keep)
    }

    /// Looks through the rest of the file so that the error can say how many values are missing where.
    fn count_missing(&mut self, place: &str, column: &str) -> Error {
        while self.report.rows_read < COUNT_ROWS
            && let Ok(Some(chunk)) = self.decode()
        {
            for need in self.needed.iter_mut().filter(|need| !need.holes) {
                match chunk.parse(need) {
                    Ok((_, parsed)) if !parsed.missing.is_empty() => {
                        self.report.add_missing(&need.name, parsed.missing.len() as u64);
                    }
                    _ => {}
                }
            }
        }
        let total: u64 = self.report.missing.iter().map(|(_, n)| n).sum();
        let values = if total == 1 { "value is" } else { "values are" };
        Error::data(format!(
            "{total} {values} missing in {} rows read: {} (first at {place}, column {}); {}",
            self.report.rows_read,
            counts_per_column(&self.report.missing),
            quoted(column),
            self.report.advice()
        ))
    }

    fn note_row_limit(&mut self) {
        if let Some(most) = self.options.max_rows
            && self.decoder.rows_hint().is_none_or(|rows| rows > most)
        {
            self.report.notes.push(format!("only the first {most} rows were read, as asked"));
        }
    }

    fn finish(&mut self) -> Result<()> {
        self.report.notes.extend(self.decoder.take_notes());
        if let Some(watch) = &self.watch {
            watch.check(&self.label)?;
        }
        if self.report.rows_read == 0 {
            return Err(Error::data(
                "the table has no rows; expected at least one below the header",
            ));
        }
        if self.rows_given == 0 {
            return Err(Error::data(format!(
                "no rows are left: all {} have missing values: {}; {}",
                self.report.rows_read,
                counts_per_column(&self.report.missing),
                self.report.advice()
            )));
        }
        Ok(())
    }
}

impl Format {
    /// What messages call the decoder.
    fn decoder(self) -> &'static str {
        match self {
            Self::Parquet => "Parquet",
            Self::Arrow | Self::ArrowStream => "Arrow IPC",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Idx => "IDX",
            Self::Images | Self::Clip => "image",
            _ => "text",
        }
    }
}

fn decoder_name(format: Option<Format>) -> &'static str {
    format.unwrap_or(Format::Csv).decoder()
}

/// Adds the file to an error that does not name one.
fn located(error: Error, label: &std::path::Path) -> Error {
    if error.path().is_some() { error } else { error.at(label) }
}

/// The format: what the bytes say; for text what the caller or the name says. `None` is text of unknown delimiter.
fn tell_format(source: &Source, input: &Input, options: &ReadOptions) -> Result<Option<Format>> {
    let named = match input {
        Input::Path(path) => Format::from_path(path),
        Input::Stdin | Input::Bytes { .. } | Input::Batches(_) => None,
    };
    let wanted = options.format;
    if wanted == Some(Format::JsonLines) {
        return Err(Error::config(
            "JSON lines can be written, not read; give CSV, Parquet, Arrow or npy",
        ));
    }
    let clash = |found: &str| {
        Error::data(format!(
            "expected {} as asked, but this looks like {found}",
            wanted.unwrap_or(Format::Csv)
        ))
    };
    match detect::look(source.head()) {
        Look::Foreign(name, advice) => Err(Error::data(format!(
            "expected a table (CSV, Parquet, Arrow or npy) or images, this looks like {name}; {advice}"
        ))),
        Look::Known(found) => match wanted {
            Some(format) if format.decoder() != found.decoder() => Err(clash(&found.to_string())),
            _ => Ok(Some(found)),
        },
        Look::Text => match wanted.or(named) {
            Some(format) if format.is_text() => Ok(Some(format)),
            _ if source.head().is_empty() => {
                Err(Error::data("the file is empty; expected a table with at least one row"))
            }
            Some(format) if wanted.is_some() => Err(Error::data(format!(
                "expected {format} as asked, but the bytes are not; this looks like text"
            ))),
            Some(Format::JsonLines) => {
                Err(Error::data("JSON lines can be written, not read; export the table as CSV"))
            }
            Some(format) => Err(Error::data(format!(
                "the name says {format}, but the bytes do not; the file is damaged, or text that needs --format csv"
            ))),
            None => Ok(None),
        },
    }
}
