//! `diffeo truncate`: the rows of a table within a model's region of highest density.

use std::path::{Path, PathBuf};

use diffeo::inference::{Estimate, HighestDensityRegion};
use diffeo::{Error, Result, SampleOptions, quoted};
use diffeo_table::{Input, Output, ReadOptions, Reader, Writer};

use super::model::{Loaded, say_warnings};
use super::score::{checked_output, output};
use crate::args::{Common, TruncateArgs};
use crate::faults::Faults;
use crate::output::{Console, Report};
use crate::progress::{Progress, grouped};
use crate::{options, signals};

/// The mass of the region.
const MASS: f64 = 0.9999;
/// Draws that lie beyond the region, by which its end is known; and the fewest and most draws for that.
const BEYOND: f64 = 10.0;
const DRAWS: [f64; 2] = [10_000.0, 1_000_000.0];

struct Plan {
    model: PathBuf,
    data: PathBuf,
    out: Output,
    read: ReadOptions,
    threads: usize,
    seed: u64,
    mass: f64,
}

/// Runs `diffeo truncate`.
pub(super) fn run(args: &TruncateArgs, common: &Common, console: &Console) -> Result<Report> {
    let plan = plan(args, common, console)?;
    let loaded = Loaded::open(&plan.model)?;
    let context = context(args.context.as_deref(), &loaded, &plan.read)?;
    let mut reader = Reader::open(&Input::from_arg(&plan.data), &plan.read)?;
    let columns = &loaded.model.schema().columns;
    reader.require_columns(columns)?;
    let draws = (BEYOND / (1.0 - plan.mass)).clamp(DRAWS[0], DRAWS[1]) as usize;
    let sampling =
        SampleOptions { seed: plan.seed, threads: plan.threads, ..SampleOptions::default() };
    let region =
        HighestDensityRegion::new(&loaded.model, context.as_deref(), plan.mass, draws, &sampling)?;
    signals::defer()?;
    let mut writer = Writer::create(&plan.out, None, args.force)?;
    let (mut rows, mut kept, mut progress) = (0, 0, Progress::new(console));
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        let held = region.contains(&chunk.rows_for(columns)?, plan.threads)?;
        rows += held.len() as u64;
        kept += held.iter().filter(|held| **held).count() as u64;
        writer.write(&chunk.keep(&held)?)?;
        progress.update(|| format!("{} of {} rows kept", grouped(kept), grouped(rows)));
    }
    writer.finish()?;
    drop(progress);
    say_warnings(&reader, console);
    let mut report = Report::default();
    report.key("rows", rows);
    report.key("kept", kept);
    if rows > 0 {
        let share = Estimate::of_share(kept, rows);
        report.number("share", share.mean);
        report.number("share_stderr", share.standard_error);
    }
    report.number("threshold", region.threshold());
    report.number("mass", plan.mass);
    if let Output::Path(path) = &plan.out {
        report.key("out", path.to_string_lossy());
    }
    let told = format!("{} of {} rows lie in the region", grouped(kept), grouped(rows));
    match kept {
        0 if rows > 0 => {
            console.warn(format!("{told}; give more rows, or rows nearer to the model"));
        }
        _ => console.note(told),
    }
    Ok(report)
}

fn plan(args: &TruncateArgs, common: &Common, console: &Console) -> Result<Plan> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    let data = options::required("DATA", args.data.as_ref(), &mut faults);
    faults
        .check("--mass", args.mass, "a share above 0 and below 1", |mass| mass > 0.0 && mass < 1.0);
    let read = options::read_options(&args.read, &mut faults);
    let seed = options::seed(args.seed, &mut faults).unwrap_or(0);
    let threads = options::threads(common, &mut faults);
    let out = output(args.out.as_deref(), "", common.json, &mut faults);
    faults.finish()?;
    let inputs: Vec<&Path> =
        [&model, &data].into_iter().chain(&args.context).map(PathBuf::as_path).collect();
    let out = checked_output(out, &inputs, args.force, console)?;
    Ok(Plan { model, data, out, read, threads, seed, mass: args.mass.unwrap_or(MASS) })
}

/// The one row that a conditional model is given.
fn context(path: Option<&Path>, loaded: &Loaded, read: &ReadOptions) -> Result<Option<Vec<f64>>> {
    let columns = &loaded.model.schema().context;
    let path = match (path, columns.is_empty()) {
        (None, true) => return Ok(None),
        (Some(_), true) => {
            return Err(Error::config(
                "--context: the model is not conditional, it takes no context",
            ));
        }
        (None, false) => {
            let names: Vec<String> = loaded.context.iter().map(|name| quoted(name)).collect();
            return Err(Error::config(format!(
                "the model is conditional on {}; give a table of one row with these columns by --context",
                names.join(", ")
            )));
        }
        (Some(path), false) => path,
    };
    let mut reader = Reader::open(&Input::from_arg(path), read)?;
    reader.select_columns(columns)?;
    let mut found = Vec::new();
    let mut rows = 0;
    while let Some(chunk) = reader.next_chunk()? {
        rows += chunk.rows();
        if found.is_empty() && chunk.rows() > 0 {
            found = chunk.rows_for(columns)?.row(0).to_vec();
        }
    }
    match rows {
        1 => Ok(Some(found)),
        _ => Err(Error::data(format!(
            "--context: expected a table of one row, the observation; found {rows}"
        ))
        .at(path)),
    }
}
