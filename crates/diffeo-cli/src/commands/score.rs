//! `diffeo score`: a table in, the same table with the column log_prob out, chunk by chunk.

use std::path::{Path, PathBuf};
use std::time::Instant;

use diffeo::{Column, Error, Result, Rows, Schema, TrainingSummary};
use diffeo_table::{Chunk, Format, Input, Missing, Output, ReadOptions, Reader, Writer};

use super::model::{Batch, Loaded, refuse_column};
use crate::args::{Common, NonFinite, ScoreArgs};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::preflight::{self, Target};
use crate::progress::{Progress, grouped, rate};
use crate::{options, signals};

/// The column that is added.
pub(super) const LOG_PROB: &str = "log_prob";
/// The column that `--verify` adds.
const ROUND_TRIP: &str = "round_trip_error";
/// The columns that `--flag-ood` adds.
const OOD: &str = "ood";
const TAIL: &str = "tail_probability";
/// How many rows an error lists.
const ROWS_LISTED: usize = 10;

struct Plan {
    model: PathBuf,
    data: PathBuf,
    out: Output,
    read: ReadOptions,
    threads: usize,
}

/// Rows by what became of them; a row that holds NaN or an infinity is not counted as outside the support too.
#[derive(Default)]
struct Counts {
    rows: u64,
    outside_support: u64,
    nan: u64,
    infinite: u64,
    ood: u64,
    missed: u64,
}

impl Counts {
    fn add(&mut self, log_prob: &[f64], nonfinite: &[usize]) {
        let is_zero = |l: &&f64| **l == f64::NEG_INFINITY;
        let zero = log_prob.iter().filter(is_zero).count();
        let infinite = nonfinite.iter().filter_map(|&i| log_prob.get(i)).filter(is_zero).count();
        self.rows += log_prob.len() as u64;
        self.outside_support += (zero - infinite) as u64;
        self.infinite += infinite as u64;
        self.nan += (nonfinite.len() - infinite) as u64;
    }
}

/// Runs `diffeo score`.
pub(super) fn run(args: &ScoreArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let loaded = Loaded::open(&plan.model)?;
    let mut reader = loaded.open_table(&Input::from_arg(plan.data), &plan.read, false)?;
    if !args.force {
        let added = [
            (true, LOG_PROB),
            (args.verify, ROUND_TRIP),
            (args.flag_ood.is_some(), OOD),
            (args.flag_ood.is_some(), TAIL),
        ];
        added
            .iter()
            .filter(|(is, _)| *is)
            .try_for_each(|(_, name)| refuse_column(&reader, name))?;
    }
    let tail = args.flag_ood.map(|share| Tail::of(&loaded, share)).transpose()?;
    signals::defer()?;
    let mut writer = Writer::create(&plan.out, None, args.force)?;
    let (mut counts, started, mut progress) =
        (Counts::default(), Instant::now(), Progress::new(console));
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        writer.write(&score(
            args,
            &loaded,
            &reader,
            &chunk,
            tail.as_ref(),
            plan.threads,
            &mut counts,
        )?)?;
        crate::exit::panic_if_asked("score");
        progress.update(|| {
            format!(
                "{} rows scored  {}",
                grouped(counts.rows),
                rate(counts.rows, started.elapsed())
            )
        });
    }
    writer.finish()?;
    drop(progress);
    loaded.say_warnings(&reader, console);
    Ok(report(args, &counts, &loaded, &reader, &plan.out, console))
}

fn plan(args: &ScoreArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    let data = options::required("DATA", args.data.as_ref(), &mut faults);
    let mut read = options::read_options(&args.read, &mut faults);
    faults.check("--flag-ood", args.flag_ood, "a share of at least 0 and below 1", |share| {
        (0.0..1.0).contains(&share)
    });
    if args.nonfinite == Some(NonFinite::Keep) {
        if args.read.missing.is_some() {
            faults.add("--missing and --nonfinite keep contradict each other: the first is about rows to leave out");
        }
        read.missing = Missing::Keep;
    }
    let threads = options::threads(common, &mut faults);
    let out = output(args.out.as_deref(), "", common.json, &mut faults);
    faults.finish()?;
    let out = checked_output(out, &[&model, &data], args.force, console)?;
    Ok(Plan { model, data, out, read, threads })
}

/// Where the table goes: `-` and nothing are CSV on stdout. What else a name may be is said where it is none of a table.
pub(super) fn output(out: Option<&Path>, others: &str, json: bool, faults: &mut Faults) -> Output {
    match out.filter(|path| path.as_os_str() != "-") {
        Some(path) => {
            if Format::from_path(path).is_none() {
                faults.add(format!("--out: {}{others}", options::TABLE_NAME));
            }
            Output::Path(path.to_path_buf())
        }
        None => {
            if json {
                faults
                    .add("--json writes to stdout, and so does the table; name a file with --out");
            }
            Output::Stdout(Format::Csv)
        }
    }
}

/// Checks before the work that the output can be written.
pub(super) fn checked_output(
    out: Output,
    inputs: &[&Path],
    overwrite: bool,
    console: &Console,
) -> Result<Output> {
    match out {
        Output::Path(path) => {
            let target =
                Target { path: &path, inputs: inputs.to_vec(), overwrite, devices: true, bytes: 0 };
            preflight::check(&target, console).map(Output::Path)
        }
        stdout => Ok(stdout),
    }
}

fn score(
    args: &ScoreArgs,
    loaded: &Loaded,
    reader: &Reader,
    chunk: &Chunk,
    tail: Option<&Tail<'_>>,
    threads: usize,
    counts: &mut Counts,
) -> Result<Chunk> {
    let Batch { x, context, .. } = loaded.batch(chunk)?;
    let nonfinite = nonfinite_rows(loaded.model.schema(), &x, context.as_ref());
    if args.nonfinite.unwrap_or_default() == NonFinite::Refuse && !nonfinite.is_empty() {
        return Err(refuse_rows(chunk, &nonfinite));
    }
    let log_prob = loaded.model.log_prob(&x, context.as_ref(), threads)?;
    counts.add(&log_prob, &nonfinite);
    let mut scored = loaded.without_pixels(without(reader, chunk, LOG_PROB)?)?;
    scored = scored.with_column(LOG_PROB, log_prob.clone())?;
    if args.verify {
        let error = loaded.model.round_trip_error(&x, context.as_ref(), threads)?;
        let limit = loaded.model.round_trip_limit();
        // Outside the support there is nothing to come back from.
        let missed = |(e, l): &(&f64, &f64)| **e > limit || (e.is_nan() && l.is_finite());
        counts.missed += error.iter().zip(&log_prob).filter(missed).count() as u64;
        scored = without(reader, &scored, ROUND_TRIP)?.with_column(ROUND_TRIP, error)?;
    }
    if let Some(tail) = tail {
        let share: Vec<f64> = log_prob.iter().map(|&l| tail.share_below(l)).collect();
        let ood: Vec<bool> = log_prob.iter().map(|&l| l.is_nan() || l < tail.threshold).collect();
        counts.ood += ood.iter().filter(|&&flag| flag).count() as u64;
        scored = without(reader, &scored, TAIL)?.with_column(TAIL, share)?;
        scored = without(reader, &scored, OOD)?.with_flags(OOD, &ood)?;
    }
    Ok(scored)
}

/// What the log-densities of the rows of the fit say of others.
struct Tail<'a> {
    summary: &'a TrainingSummary,
    /// A row below is flagged.
    threshold: f64,
}

impl<'a> Tail<'a> {
    /// The tail in which a share of the rows of the fit lies.
    fn of(loaded: &'a Loaded, share: f64) -> Result<Self> {
        let summary = loaded.model.summary.as_ref();
        let found = summary.and_then(|summary| Some((summary, summary.quantile(share)?)));
        let (summary, threshold) = found.ok_or_else(|| {
            Error::config(
                "--flag-ood: the model file does not hold the log-densities of its training; fit it anew with this release",
            )
        })?;
        Ok(Self { summary, threshold })
    }

    fn share_below(&self, log_prob: f64) -> f64 {
        self.summary.share_below(log_prob).unwrap_or(f64::NAN)
    }
}

/// The chunk without a column that is about to be replaced; `--force` was given if it is there.
pub(super) fn without(reader: &Reader, chunk: &Chunk, name: &str) -> Result<Chunk> {
    if reader.columns().iter().any(|column| column == name) {
        chunk.without_column(name)
    } else {
        Ok(chunk.clone())
    }
}

/// The rows that hold an infinity, or NaN where no value may be missing.
fn nonfinite_rows(schema: &Schema, x: &Rows, context: Option<&Rows>) -> Vec<usize> {
    let is_bad =
        |(column, v): (&Column, &f64)| !(v.is_finite() || v.is_nan() && column.may_be_missing());
    let bad = |columns: &[Column], rows: &Rows, i| columns.iter().zip(rows.row(i)).any(is_bad);
    let given = |i| context.is_some_and(|c| bad(&schema.context, c, i));
    (0..x.len()).filter(|&i| bad(&schema.columns, x, i) || given(i)).collect()
}

fn refuse_rows(chunk: &Chunk, rows: &[usize]) -> Error {
    let numbers =
        rows.iter().take(ROWS_LISTED).map(|&row| (chunk.first_row() + row as u64 + 1).to_string());
    let listed = numbers.collect::<Vec<_>>().join(", ");
    let more = if rows.len() > ROWS_LISTED { ", ..." } else { "" };
    Error::data(format!(
        "expected finite numbers, found NaN or infinities in row {listed}{more}; --nonfinite keep scores the other rows"
    ))
}

fn report(
    args: &ScoreArgs,
    counts: &Counts,
    loaded: &Loaded,
    reader: &Reader,
    out: &Output,
    console: &Console,
) -> Report {
    let mut report = Report::default();
    report.key("rows", counts.rows);
    report.key("rows_dropped", reader.report().rows_dropped);
    report.key("rows_outside_support", counts.outside_support);
    report.key("rows_nonfinite", counts.nan + counts.infinite);
    if args.verify {
        report.key("rows_not_invertible", counts.missed);
    }
    if args.flag_ood.is_some() {
        report.key("rows_ood", counts.ood);
        console.note(format!("{} rows are flagged as {OOD}", grouped(counts.ood)));
    }
    if let Output::Path(path) = out {
        report.key("out", path.to_string_lossy());
    }
    if counts.outside_support > 0 {
        let rows = grouped(counts.outside_support);
        console.note(format!(
            "{rows} rows lie outside the support of a column; their log_prob is -inf"
        ));
    }
    if counts.nan > 0 {
        let context = if loaded.context.is_empty() { "" } else { " or an infinite context" };
        let rows = grouped(counts.nan);
        console.warn(format!("{rows} rows hold NaN{context}; their log_prob is NaN"));
    }
    if counts.infinite > 0 {
        let rows = grouped(counts.infinite);
        console.warn(format!("{rows} rows hold an infinity; their log_prob is -inf"));
    }
    if counts.missed > 0 {
        let limit = loaded.model.round_trip_limit();
        console.warn(format!(
            "{} rows do not come back from the base: {ROUND_TRIP} is above {limit:.0e}, and their log_prob is not to be \
             relied on",
            grouped(counts.missed)
        ));
    }
    console.note(format!("{} rows scored", grouped(counts.rows)));
    report
}
