//! `diffeo classify`: the class of each row, by a density given classes.

use std::path::PathBuf;
use std::time::Instant;

use diffeo::{Column, Result, Rows, quoted};
use diffeo_table::{Chunk, Input, Output, ReadOptions, Reader, Writer};
use serde_json::json;

use super::evaluate::DRAWS_MAX;
use super::model::{Loaded, refuse_column};
use super::score::{LOG_PROB, checked_output, output, without};
use crate::args::{ClassifyArgs, Common};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::progress::{Progress, grouped, rate};
use crate::{options, signals};

/// The column of how sure the class is.
const PROBABILITY: &str = "probability";

struct Plan {
    model: PathBuf,
    data: PathBuf,
    out: Output,
    read: ReadOptions,
    threads: usize,
    draws: Option<u64>,
}

/// A column of the context whose classes are told.
struct Told {
    place: usize,
    column: Column,
    classes: Vec<String>,
    shares: Vec<f64>,
    /// Whether the table has it.
    is_there: bool,
    threads: usize,
}

/// Rows by what became of them.
#[derive(Default)]
struct Counts {
    rows: u64,
    /// Of which no class can be.
    untold: u64,
    /// Whose class the table says,
    labelled: u64,
    /// and is the one that is told of them.
    right: u64,
    /// Of a class that the model does not know.
    unknown: u64,
    /// Of the others, the sum of minus the log-probability of the class that they have.
    log_loss: f64,
}

/// Runs `diffeo classify`.
pub(super) fn run(args: &ClassifyArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let loaded = Loaded::open(&plan.model)?.with_draws(plan.draws)?;
    let mut reader = loaded.open_any(&Input::from_arg(plan.data), &plan.read)?;
    let told = Told::of(&loaded, args, &reader, plan.threads)?;
    reader.require_columns(&told.needs(&loaded))?;
    let added = told.added(args);
    if !args.force {
        added.iter().try_for_each(|name| refuse_column(&reader, name))?;
    }
    signals::defer()?;
    let mut writer = Writer::create(&plan.out, None, args.force)?;
    let (mut counts, started, mut progress) =
        (Counts::default(), Instant::now(), Progress::new(console));
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        let mut kept = chunk.clone();
        for name in &added {
            kept = without(&reader, &kept, name)?;
        }
        let kept = loaded.without_pixels(kept)?;
        writer.write(&told.tell(args, &loaded, &chunk, kept, &mut counts)?)?;
        progress.update(|| {
            let rows = grouped(counts.rows);
            format!("{rows} rows told  {}", rate(counts.rows, started.elapsed()))
        });
    }
    writer.finish()?;
    drop(progress);
    loaded.say_warnings(&reader, console);
    Ok(report(&told, &counts, &plan.out, console))
}

fn plan(args: &ClassifyArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    let data = options::required("DATA", args.data.as_ref(), &mut faults);
    let read = options::read_options(&args.read, &mut faults);
    let draws = faults.count("--draws", args.draws, 1, DRAWS_MAX);
    let threads = options::threads(common, &mut faults);
    let out = output(args.out.as_deref(), "", common.json, &mut faults);
    faults.finish()?;
    let out = checked_output(out, &[&model, &data], args.force, console)?;
    Ok(Plan { model, data, out, read, threads, draws })
}

impl Told {
    fn of(loaded: &Loaded, args: &ClassifyArgs, reader: &Reader, threads: usize) -> Result<Self> {
        let place = loaded.model.class_column(args.class.as_deref())?;
        let column = loaded.model.schema().context[place].clone();
        let classes = column.classes().unwrap_or_default();
        let shares = match args.equal_shares {
            true => vec![1.0; classes.len()],
            false => loaded.model.class_shares(place),
        };
        let is_there = reader.columns().contains(&column.name);
        Ok(Self { place, column, classes, shares, is_there, threads })
    }

    /// The columns that must be in the table.
    fn needs(&self, loaded: &Loaded) -> Vec<Column> {
        let schema = loaded.model.schema();
        let others = schema.context.iter().enumerate();
        let others = others.filter(|(j, _)| self.is_there || *j != self.place);
        schema.columns.iter().chain(others.map(|(_, column)| column)).cloned().collect()
    }

    /// The columns that are written.
    fn added(&self, args: &ClassifyArgs) -> Vec<String> {
        let mut added = vec![format!("predicted_{}", self.column.name), PROBABILITY.to_owned()];
        if args.probabilities {
            added.extend(self.classes.iter().map(|class| format!("{PROBABILITY}_{class}")));
        }
        added.push(LOG_PROB.to_owned());
        added
    }

    /// The rows of a chunk with what was found of them.
    fn tell(
        &self,
        args: &ClassifyArgs,
        loaded: &Loaded,
        chunk: &Chunk,
        kept: Chunk,
        counts: &mut Counts,
    ) -> Result<Chunk> {
        let schema = loaded.model.schema();
        let x = chunk.rows_for(&schema.columns)?;
        loaded.note_unseen(&x);
        let context = chunk.rows_but(&schema.context, self.place)?;
        loaded.note_unknown(&context);
        let found = loaded.model.classify(&x, &context, self.place, &self.shares, self.threads)?;
        let likeliest: Vec<Option<usize>> =
            (0..x.len()).map(|i| likeliest(found.probabilities.row(i))).collect();
        if self.is_there {
            let truth = chunk.rows_for(std::slice::from_ref(&self.column))?;
            counts.compare(&truth, &likeliest, &found.probabilities);
        }
        counts.rows += x.len() as u64;
        counts.untold += likeliest.iter().filter(|class| class.is_none()).count() as u64;

        let mut names = self.added(args).into_iter();
        let mut name = || names.next().unwrap_or_default();
        let words = likeliest.iter().map(|class| class.map(|k| self.classes[k].as_str()));
        let best = likeliest.iter().enumerate();
        let best = best.map(|(i, class)| class.map_or(f64::NAN, |k| found.probabilities.row(i)[k]));
        let mut told = kept.with_words(&name(), words)?.with_column(&name(), best.collect())?;
        if args.probabilities {
            for class in 0..self.classes.len() {
                told = told.with_column(&name(), found.probabilities.column(class))?;
            }
        }
        told.with_column(&name(), found.log_prob)
    }
}

/// The class of the highest probability, if they are numbers.
fn likeliest(probabilities: &[f64]) -> Option<usize> {
    let (class, highest) = probabilities.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
    (!highest.is_nan()).then_some(class)
}

impl Counts {
    fn compare(&mut self, truth: &Rows, likeliest: &[Option<usize>], probabilities: &Rows) {
        for (i, likeliest) in likeliest.iter().enumerate() {
            let class = truth.row(i)[0];
            if class.is_nan() {
                continue;
            }
            self.labelled += 1;
            // One that the model does not know is beyond all that it does.
            match probabilities.row(i).get(class as usize) {
                Some(given) => self.log_loss -= given.ln(),
                None => self.unknown += 1,
            }
            self.right += u64::from(likeliest.is_some_and(|k| k as f64 == class));
        }
    }
}

fn report(told: &Told, counts: &Counts, out: &Output, console: &Console) -> Report {
    let mut report = Report::default();
    report.key("rows", counts.rows);
    report.key("rows_untold", counts.untold);
    report.key("classes", json!(told.classes));
    let rows = grouped(counts.rows);
    if counts.labelled > 0 {
        let n = counts.labelled as f64;
        let share = counts.right as f64 / n;
        let stderr = (share * (1.0 - share) / n).sqrt();
        let log_loss = counts.log_loss / (counts.labelled - counts.unknown) as f64;
        report.key("rows_labelled", counts.labelled);
        report.key("rows_right", counts.right);
        report.key("rows_unknown", counts.unknown);
        report.number("accuracy", share);
        report.number("accuracy_stderr", stderr);
        report.number("log_loss", log_loss);
        console.note(format!(
            "{} of {} rows have the {} that is told of them: {:.2}% ± {:.2}%; log loss {log_loss:.4} nats",
            grouped(counts.right),
            grouped(counts.labelled),
            quoted(&told.column.name),
            100.0 * share,
            100.0 * stderr
        ));
    } else {
        console.note(format!("{rows} rows told"));
    }
    if counts.unknown > 0 {
        console.warn(format!(
            "{} rows have a {} that no row of the fit had: they are told as one of the others, and the log loss is that of the rest",
            grouped(counts.unknown),
            quoted(&told.column.name)
        ));
    }
    if counts.untold > 0 {
        let untold = grouped(counts.untold);
        console.warn(format!("{untold} rows are of no class: each says that they cannot be"));
    }
    if let Output::Path(path) = out {
        report.key("out", path.to_string_lossy());
    }
    report
}
