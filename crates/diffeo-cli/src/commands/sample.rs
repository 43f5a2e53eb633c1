//! `diffeo sample`: new rows, written as they are drawn.

use std::path::PathBuf;
use std::time::Instant;

use diffeo::{Column, Error, Result, Rows, SampleOptions};
use diffeo_table::{Chunk, Input, Output, ReadOptions, Writer};

use super::model::Loaded;
use super::score::{LOG_PROB, checked_output, output};
use crate::args::{Common, SampleArgs};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::progress::{Progress, grouped, rate};
use crate::{options, signals};

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
}

/// Runs `diffeo sample`.
pub(super) fn run(args: &SampleArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let loaded = Loaded::open(&plan.model)?;
    check_context(args, &loaded)?;
    let seed = options::seed_or_drawn(plan.seed, console);
    signals::defer()?;
    let schema = loaded.model.schema();
    let mut sampler = Sampler {
        loaded: &loaded,
        options: SampleOptions {
            seed,
            first_row: 0,
            temperature: args.temperature.unwrap_or(1.0),
            threads: plan.threads,
        },
        with_log_prob: args.with_log_prob,
        columns: schema.context.iter().chain(&schema.columns).cloned().collect(),
        writer: Writer::create(&plan.out, None, args.force)?,
        progress: Progress::new(console),
        started: Instant::now(),
    };
    match &args.context {
        None => sampler.draw(plan.rows)?,
        Some(path) => sampler.draw_given(path.clone(), &plan)?,
    }
    let rows = sampler.options.first_row;
    sampler.writer.finish()?;
    drop(sampler.progress);
    console.note(format!("{} rows drawn with seed {seed}", grouped(rows)));
    let mut report = Report::default();
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
    match (&args.context, args.rows) {
        (None, None) => faults.add("-n is missing: how many rows to draw"),
        (Some(_), Some(_)) => faults.add(
            "-n has no meaning with --context; --repeats gives the samples for each of its rows",
        ),
        _ => {}
    }
    if args.context.is_none() && args.repeats.is_some() {
        faults.add("--repeats needs --context, the rows to repeat");
    }
    faults.positive("--temperature", args.temperature);
    let plan = Plan {
        rows: faults.count("-n", args.rows, 0, i64::MAX as u64).unwrap_or(0),
        repeats: faults.count("--repeats", args.repeats, 1, 1 << 32).unwrap_or(1),
        seed: options::seed(args.seed, &mut faults),
        read: options::read_options(&args.read, &mut faults),
        threads: options::threads(common, &mut faults),
        out: output(args.out.as_deref(), common.json, &mut faults),
        model,
    };
    faults.finish()?;
    let inputs: Vec<_> =
        [&plan.model].into_iter().chain(&args.context).map(PathBuf::as_path).collect();
    let out = checked_output(plan.out.clone(), &inputs, args.force, console)?;
    Ok(Plan { out, ..plan })
}

fn check_context(args: &SampleArgs, loaded: &Loaded) -> Result<()> {
    match (loaded.context.is_empty(), args.context.is_some()) {
        (false, false) => {
            let names: Vec<String> =
                loaded.context.iter().map(|name| diffeo::quoted(name)).collect();
            Err(Error::data(format!(
                "the model is conditional on {}; give a table with these columns by --context",
                names.join(", ")
            )))
        }
        (true, true) => {
            Err(Error::config("--context: the model is not conditional, it takes no context"))
        }
        _ => Ok(()),
    }
}

struct Sampler<'a> {
    loaded: &'a Loaded,
    options: SampleOptions,
    with_log_prob: bool,
    /// The columns of the output: context, then samples.
    columns: Vec<Column>,
    writer: Writer,
    progress: Progress,
    started: Instant,
}

impl Sampler<'_> {
    /// Draws `rows` rows of an unconditional model.
    fn draw(&mut self, rows: u64) -> Result<()> {
        let block = (BLOCK_VALUES / self.loaded.columns.len().max(1)).clamp(1, BLOCK_ROWS);
        if rows == 0 {
            return self.write(0, None); // a table with a header and no rows
        }
        let mut left = rows;
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(block);
            self.write(n, None)?;
            left -= n as u64;
        }
        Ok(())
    }

    /// Draws `repeats` rows for each row of the table at `path`.
    fn draw_given(&mut self, path: PathBuf, plan: &Plan) -> Result<()> {
        let mut reader = diffeo_table::Reader::open(&Input::from_arg(path), &plan.read)?;
        let columns = &self.loaded.model.schema().context;
        reader.select_columns(columns)?;
        let block = (BLOCK_VALUES / self.columns.len().max(1)).clamp(1, BLOCK_ROWS);
        while let Some(chunk) = reader.next_chunk()? {
            let given = chunk.rows_for(columns)?;
            let mut repeated = Vec::new();
            for row in 0..given.len() {
                for _ in 0..plan.repeats {
                    repeated.extend_from_slice(given.row(row));
                    if repeated.len() >= block * given.width() {
                        self.write_given(std::mem::take(&mut repeated), given.width())?;
                    }
                }
            }
            self.write_given(repeated, given.width())?;
        }
        Ok(())
    }

    fn write_given(&mut self, context: Vec<f64>, width: usize) -> Result<()> {
        if context.is_empty() {
            return Ok(());
        }
        let context = Rows::new(context, width)?;
        self.write(context.len(), Some(&context))
    }

    /// Draws and writes the next `n` rows.
    fn write(&mut self, n: usize, context: Option<&Rows>) -> Result<()> {
        signals::check()?;
        let (rows, log_prob) = match self.with_log_prob {
            true => {
                let (rows, log_prob) =
                    self.loaded.model.sample_with_log_prob(n, context, &self.options)?;
                (rows, Some(log_prob))
            }
            false => (self.loaded.model.sample(n, context, &self.options)?, None),
        };
        let mut values = Vec::with_capacity(n * self.columns.len());
        for row in 0..n {
            values.extend_from_slice(context.map_or(&[], |c| c.row(row)));
            values.extend_from_slice(rows.row(row));
        }
        let rows = Rows::new(values, self.columns.len())?;
        let more: Vec<_> = log_prob.into_iter().map(|values| (LOG_PROB, values)).collect();
        self.writer.write(&Chunk::from_columns(&self.columns, &rows, &more)?)?;
        self.options.first_row += n as u64;
        let (drawn, elapsed) = (self.options.first_row, self.started.elapsed());
        self.progress.update(|| format!("{} rows drawn  {}", grouped(drawn), rate(drawn, elapsed)));
        Ok(())
    }
}
