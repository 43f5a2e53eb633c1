//! `diffeo sample`: new rows, written as they are drawn.

mod clips;
mod images;
mod region;

use std::path::PathBuf;
use std::time::Instant;

use diffeo::inference::{Estimate, RejectionOptions};
use diffeo::{Column, Error, Result, Rows, SampleOptions, Schema, quoted};
use diffeo_table::{Chunk, Input, Output, ReadOptions, Reader, Words, Writer};

use self::images::{Gallery, To};
use self::region::Region;
use super::model::Loaded;
use super::score::{LOG_PROB, checked_output, output};
use crate::args::{Common, SampleArgs};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::progress::{Progress, grouped, rate};
use crate::{options, signals};

/// What else than tables an output may be.
const OF_IMAGES: &str =
    "; of images also in .png or .svg (a sheet), .gif or .apng (clips), or a folder, many/";

/// Values drawn at a time: memory stays below 100 MB for any width. Rows do not depend on it.
const BLOCK_VALUES: usize = 1 << 20;
/// Most rows drawn at a time, so that signals and progress are seen often.
const BLOCK_ROWS: usize = 1 << 15;

struct Plan {
    model: PathBuf,
    out: Output,
    read: ReadOptions,
    threads: usize,
    seed: Option<u64>,
    rows: u64,
    repeats: u64,
    tries: u64,
}

/// Runs `diffeo sample`.
pub(super) fn run(args: &SampleArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let mut loaded = Loaded::open(&plan.model)?;
    if let Some(weight) = args.guidance {
        loaded.model = loaded.model.guided(weight).map_err(|e| e.at(&plan.model))?;
    }
    check_conditions(args, &loaded)?;
    let seed = options::seed_or_drawn(plan.seed, console);
    signals::defer()?;
    let schema = loaded.model.schema();
    let options = SampleOptions {
        seed,
        first_row: 0,
        temperature: args.temperature.unwrap_or(1.0),
        threads: plan.threads,
    };
    if let (Some(image), 1..) = (schema.image, schema.earlier_frames()) {
        return clips::run(args, &plan, &loaded, (options, image), console);
    }
    let region = args.region.as_ref();
    let region =
        region.map(|list| Region::new(&list.0, &schema.columns, plan.tries)).transpose()?;
    let mut sampler = Sampler {
        region,
        loaded: &loaded,
        options,
        with_log_prob: args.with_log_prob,
        completes: args.given.is_some(),
        words: Words::new(&all_columns(schema)),
        sink: sink(args, &plan, &loaded)?,
        progress: Progress::new(console),
        started: Instant::now(),
    };
    match conditions(args) {
        None => sampler.draw(plan.rows)?,
        Some(path) => sampler.draw_for(path.clone(), &plan, console)?,
    }
    let rows = sampler.options.first_row;
    sampler.sink.finish()?;
    drop(sampler.progress);
    console.note(format!("{} rows drawn with seed {seed}", grouped(rows)));
    let mut report = Report::default();
    if let Some(region) = sampler.region.filter(|_| rows > 0) {
        let Estimate { mean: probability, standard_error: error } = region.probability();
        let text = match error < 5e-5 {
            true => format!("{probability:.2e} ± {error:.0e}"),
            false => format!("{probability:.4} ± {error:.4}"),
        };
        console.note(format!("the region has probability {text}"));
        report.number("probability", probability);
        report.number("probability_stderr", error);
    }
    report.key("rows", rows);
    report.key("seed", seed);
    if let Output::Path(path) = &plan.out {
        report.key("out", path.to_string_lossy());
    }
    Ok(report)
}

fn plan(args: &SampleArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    if conditions(args).is_none() && args.rows.is_none() {
        faults.add("-n is missing: how many rows to draw");
    }
    faults.positive("--temperature", args.temperature);
    let plan = Plan {
        rows: faults.count("-n", args.rows, 0, i64::MAX as u64).unwrap_or(0),
        repeats: faults.count("--repeats", args.repeats, 1, 1 << 32).unwrap_or(1),
        tries: faults
            .count("--max-tries", args.max_tries, 1, i64::MAX as u64)
            .unwrap_or(RejectionOptions::default().tries),
        seed: options::seed(args.seed, &mut faults),
        read: read_options(args, &mut faults),
        threads: options::threads(common, &mut faults),
        out: match To::of(args.out.as_deref()) {
            Some(to) if !to.is_of_tables() => Output::Path(args.out.clone().unwrap_or_default()),
            _ => output(args.out.as_deref(), OF_IMAGES, common.json, &mut faults),
        },
        model,
    };
    faults.finish()?;
    let inputs: Vec<_> =
        [&plan.model].into_iter().chain(conditions(args)).map(PathBuf::as_path).collect();
    if matches!(To::of(args.out.as_deref()), Some(To::Folder(_))) {
        return Ok(plan);
    }
    let out = checked_output(plan.out.clone(), &inputs, args.force, console)?;
    Ok(Plan { out, ..plan })
}

/// Where rows go.
enum Sink {
    Table(Writer),
    Images(Gallery),
}

impl Sink {
    fn finish(self) -> Result<()> {
        match self {
            Self::Table(writer) => writer.finish(),
            Self::Images(gallery) => gallery.finish(),
        }
    }
}

/// Opens the output: one of images, if the model is of such and its name says so.
fn sink(args: &SampleArgs, plan: &Plan, loaded: &Loaded) -> Result<Sink> {
    let path = match &plan.out {
        Output::Path(path) => Some(path.as_path()),
        Output::Stdout(_) => None,
    };
    match (To::of(path), loaded.model.schema().image) {
        (Some(to), Some(image)) if !(to.is_of_tables() && args.with_log_prob) => {
            if args.with_log_prob {
                return Err(Error::config(
                    "--with-log-prob has no place among images; write a table, such as .parquet",
                ));
            }
            // Where a table says how many, that is known later.
            let count = args.context.is_none().then_some(plan.rows);
            Gallery::create(to, image, (args.force, count)).map(Sink::Images)
        }
        (Some(to), None) if !to.is_of_tables() => Err(Error::config(
            "--out: a picture or a folder is for models of images, and this is one of columns; name a table",
        )),
        _ => Writer::create(&plan.out, None, args.force).map(Sink::Table),
    }
}

/// The table whose rows are to be drawn for.
fn conditions(args: &SampleArgs) -> Option<&PathBuf> {
    args.context.as_ref().or(args.given.as_ref())
}

/// How to read that table: in one of rows to complete, values are missing.
fn read_options(args: &SampleArgs, faults: &mut Faults) -> ReadOptions {
    let read = options::read_options(&args.read, faults);
    match (&args.given, args.read.missing) {
        (Some(_), None) => ReadOptions { missing: diffeo_table::Missing::Model, ..read },
        _ => read,
    }
}

fn check_conditions(args: &SampleArgs, loaded: &Loaded) -> Result<()> {
    if loaded.model.schema().earlier_frames() > 0 {
        return Ok(()); // Clips begin by themselves, and go on for any number of frames.
    }
    match (conditions(args), args.rows, args.repeats) {
        (Some(_), Some(_), _) => {
            return Err(Error::config(
                "-n has no meaning with --context or --given; --repeats gives the samples for each of their rows",
            ));
        }
        (None, _, Some(_)) => {
            return Err(Error::config("--repeats needs --context or --given, the rows to repeat"));
        }
        _ => {}
    }
    if args.given.is_some() && !loaded.model.is_of_subsets() {
        return Err(Error::config(
            "--given: the model was not fitted for any subset of its columns; fit it with --any-subset",
        ));
    }
    match (loaded.context.is_empty(), conditions(args).is_some()) {
        (false, false) => {
            let names: Vec<String> = loaded.context.iter().map(|name| quoted(name)).collect();
            Err(Error::data(format!(
                "the model is conditional on {}; give a table with these columns by --context",
                names.join(", ")
            )))
        }
        (true, true) if args.given.is_none() => {
            Err(Error::config("--context: the model is not conditional, it takes no context"))
        }
        _ => Ok(()),
    }
}

/// The columns of a table to draw for: all of the context, then those to complete that it has.
fn columns_to_complete(reader: &Reader, schema: &Schema, console: &Console) -> Result<Vec<Column>> {
    let (found, absent): (Vec<&Column>, Vec<&Column>) =
        schema.columns.iter().partition(|column| reader.columns().contains(&column.name));
    let names = |columns: &[&Column]| {
        columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
    };
    if found.is_empty() {
        return Err(Error::data(format!(
            "--given: the table has no column of the model, which are {}",
            names(&absent)
        )));
    }
    if !absent.is_empty() {
        console.note(format!("not in the table, drawn in every row: {}", names(&absent)));
    }
    Ok(schema.context.iter().chain(found).cloned().collect())
}

/// The columns of the output.
fn all_columns(schema: &Schema) -> Vec<Column> {
    schema.context.iter().chain(&schema.columns).cloned().collect()
}

struct Sampler<'a> {
    loaded: &'a Loaded,
    options: SampleOptions,
    with_log_prob: bool,
    /// Whether rows are completed, not drawn whole.
    completes: bool,
    /// The columns of the output, context, then samples, with the words that were given for them.
    words: Words,
    sink: Sink,
    progress: Progress,
    started: Instant,
    /// Where the rows must lie, if not anywhere.
    region: Option<Region>,
}

impl Sampler<'_> {
    /// Draws `rows` rows of an unconditional model.
    fn draw(&mut self, rows: u64) -> Result<()> {
        let block = (BLOCK_VALUES / self.loaded.columns.len().max(1)).clamp(1, BLOCK_ROWS);
        if rows == 0 {
            return self.write(0, (None, None), None); // a table with a header and no rows
        }
        let mut left = rows;
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(block);
            self.write(n, (None, None), None)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// Draws `repeats` rows for each row of the table at `path`.
    fn draw_for(&mut self, path: PathBuf, plan: &Plan, console: &Console) -> Result<()> {
        let mut reader = Reader::open(&Input::from_arg(path), &plan.read)?;
        let schema = self.loaded.model.schema();
        let columns = match self.completes {
            true => columns_to_complete(&reader, schema, console)?,
            false => schema.context.clone(),
        };
        // A table of conditions says what comes first; one to complete comes back as it is.
        let order = if self.completes { reader.columns().to_vec() } else { Vec::new() };
        match self.completes {
            true => reader.require_columns(&columns)?,
            false => reader.select_columns(&columns)?,
        }
        let all = all_columns(schema);
        let of_model: Vec<String> = all.iter().map(|column| column.name.clone()).collect();
        let has: Vec<bool> =
            all.iter().map(|column| columns.iter().any(|c| c.name == column.name)).collect();
        let block = (BLOCK_VALUES / all.len().max(1)).clamp(1, BLOCK_ROWS);
        while let Some(chunk) = reader.next_chunk()? {
            let found = self.words.rows(&chunk, &has)?;
            let others = chunk.without_columns(&of_model)?;
            let repeats = usize::try_from(plan.repeats).unwrap_or(usize::MAX);
            let places = (0..found.len()).flat_map(|row| std::iter::repeat_n(row, repeats));
            let mut places = places.peekable();
            while places.peek().is_some() {
                let block: Vec<usize> = places.by_ref().take(block).collect();
                self.write_for(&found.select(&block), (&others.take(&block)?, &order))?;
            }
        }
        self.loaded.say_warnings(&reader, console);
        Ok(())
    }

    /// Draws and writes a row for each of these rows, of all columns and NaN where nothing is given, beside other columns of the table and in its order.
    fn write_for(&mut self, rows: &Rows, others: (&Chunk, &[String])) -> Result<()> {
        let (schema, known) = (self.loaded.model.schema(), self.words.known(rows));
        let (width, own) = (rows.width(), schema.context.len());
        let part = |places: std::ops::Range<usize>| {
            let row = |i| known.row(i)[places.clone()].iter().copied();
            Rows::new((0..known.len()).flat_map(row).collect(), places.len())
        };
        let context = match own {
            0 => None,
            _ => Some(part(0..own)?).inspect(|rows| self.loaded.note_unknown(rows)),
        };
        let given = self.completes.then(|| part(own..width)).transpose()?;
        given.iter().for_each(|rows| self.loaded.note_unseen(rows));
        self.write(rows.len(), (context.as_ref(), given.as_ref()), Some((rows, others)))
    }

    /// `n` rows, and their log-density if it is to be written.
    fn next(
        &mut self,
        n: usize,
        context: Option<&Rows>,
        given: Option<&Rows>,
    ) -> Result<(Rows, Option<Vec<f64>>)> {
        let (model, options) = (&self.loaded.model, &self.options);
        if let Some(region) = self.region.as_mut().filter(|_| n > 0) {
            let rows = region.draw(model, options, n, &mut self.progress)?;
            let score = || model.log_prob(&rows, None, options.threads);
            let log_prob = self.with_log_prob.then(score).transpose()?;
            return Ok((rows, log_prob));
        }
        match (given, self.with_log_prob) {
            (Some(given), scored) => {
                let rows = model.impute(given, context, options)?;
                let score = || model.log_prob_given(&rows, given, context, options.threads);
                let log_prob = scored.then(score).transpose()?;
                Ok((rows, log_prob))
            }
            (None, true) => {
                let (rows, log_prob) = model.sample_with_log_prob(n, context, options)?;
                Ok((rows, Some(log_prob)))
            }
            (None, false) => Ok((model.sample(n, context, options)?, None)),
        }
    }

    /// Draws and writes the next `n` rows, for what is given of them: context and columns as the model takes them, and as they were written, with what the table has besides and the order
    /// of its columns.
    fn write(
        &mut self,
        n: usize,
        (context, given): (Option<&Rows>, Option<&Rows>),
        written: Option<(&Rows, (&Chunk, &[String]))>,
    ) -> Result<()> {
        signals::check()?;
        let (rows, log_prob) = self.next(n, context, given)?;
        let writer = match &mut self.sink {
            Sink::Table(writer) => writer,
            Sink::Images(gallery) => {
                gallery.write(&rows)?;
                return self.count(n);
            }
        };
        let columns = self.words.columns();
        let mut values = Vec::with_capacity(n * columns.len());
        for row in 0..n {
            values.extend_from_slice(context.map_or(&[], |c| c.row(row)));
            values.extend_from_slice(rows.row(row));
        }
        let mut rows = Rows::new(values, columns.len())?;
        if let Some((written, _)) = written {
            self.words.restore(written, &mut rows);
        }
        let more: Vec<_> = log_prob.into_iter().map(|values| (LOG_PROB, values)).collect();
        let drawn = Chunk::from_columns(columns, &rows, &more)?;
        writer.write(&match written {
            Some((_, (others, order))) => others.beside(&drawn, order)?,
            None => drawn,
        })?;
        self.count(n)
    }

    /// Says that `n` more rows are written.
    fn count(&mut self, n: usize) -> Result<()> {
        self.options.first_row += n as u64;
        let (drawn, elapsed) = (self.options.first_row, self.started.elapsed());
        self.progress.update(|| format!("{} rows drawn  {}", grouped(drawn), rate(drawn, elapsed)));
        Ok(())
    }
}
