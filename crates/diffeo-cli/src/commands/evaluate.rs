//! `diffeo evaluate`: the mean log-likelihood of a table.

use diffeo::{Error, Likelihood, Result};
use diffeo_table::Input;
use serde_json::json;

use super::model::{Batch, Loaded};
use crate::args::{Common, EvaluateArgs};
use crate::faults::Faults;
use crate::output::{Console, Report, number};
use crate::progress::{Progress, grouped};
use crate::{options, signals};

/// Most draws of noise for an image.
pub(super) const DRAWS_MAX: u64 = 1 << 20;

/// Runs `diffeo evaluate`.
pub(super) fn run(args: &EvaluateArgs, common: &Common, console: &Console) -> Result<Report> {
    let mut faults = Faults::default();
    options::device(common, &mut faults)?;
    let model = options::required("MODEL", args.model.as_ref(), &mut faults);
    let data = options::required("DATA", args.data.as_ref(), &mut faults);
    let read = options::read_options(&args.read, &mut faults);
    let threads = options::threads(common, &mut faults);
    let draws = faults.count("--draws", args.draws, 1, DRAWS_MAX);
    faults.finish()?;

    let loaded = Loaded::open(&model)?.weighted_by(args.weight.as_ref()).with_draws(draws)?;
    let mut reader = loaded.open_table(&Input::from_arg(data), &read, true)?;
    let (mut likelihood, mut progress) = (Likelihood::default(), Progress::new(console));
    let earlier = loaded.model.schema().earlier_frames();
    let mut of_frames = vec![Likelihood::default(); if earlier > 0 { earlier + 1 } else { 0 }];
    signals::defer()?;
    while let Some(chunk) = reader.next_chunk()? {
        signals::check()?;
        let Batch { x, context, weights } = loaded.batch(&chunk)?;
        let log_prob = loaded.model.log_prob(&x, context.as_ref(), threads)?;
        if let Some(context) = context.filter(|_| earlier > 0) {
            for (i, log_prob) in log_prob.iter().enumerate() {
                let before = context.row(i).last().map_or(0, |before| *before as usize);
                of_frames[before.min(earlier)].add(&[*log_prob]);
            }
        }
        match weights {
            Some(weights) => likelihood.add_weighted(&log_prob, &weights),
            None => likelihood.add(&log_prob),
        }
        progress.update(|| format!("{} rows evaluated", grouped(likelihood.rows())));
    }
    drop(progress);
    loaded.say_warnings(&reader, console);
    if likelihood.rows() == 0 {
        return Err(Error::data("every row has weight 0; at least one must count"));
    }
    let (schema, dims) = (loaded.model.schema(), loaded.columns.len());
    loaded.warn_of_weight(args.weight.as_ref(), console);
    let bits = match (schema.image, schema.noise) {
        (None, _) => Bits::Exact,
        (Some(_), None) => Bits::Bound { draws: draws.unwrap_or(1) },
        (Some(_), Some(levels)) => Bits::OfNoised { levels },
    };
    let mut report = report(&likelihood, dims, bits);
    let each = of_frames.iter().enumerate().filter(|(_, found)| found.rows() > 0);
    let each = each.map(|(before, found)| frame(&mut report, before, found, dims));
    let each: Vec<serde_json::Value> = each.collect();
    if !each.is_empty() {
        report.key("frames", each);
    }
    Ok(report)
}

/// Adds what is found of the frames of clips that have so many before them.
fn frame(report: &mut Report, before: usize, found: &Likelihood, dims: usize) -> serde_json::Value {
    let (bits, rows) = (found.bits_per_dim(dims), found.rows());
    report.line(format!("  {bits:.4} bits per dim of {} frames given {before}", grouped(rows)));
    json!({ "earlier": before, "rows": rows, "bits_per_dim": number(bits) })
}

/// What bits per dimension are.
#[derive(Clone, Copy)]
enum Bits {
    /// Of what was measured.
    Exact,
    /// Of images, whose probability is estimated by so many draws of noise for each.
    Bound { draws: u64 },
    /// Of the density of images with normal noise of a deviation in levels.
    OfNoised { levels: f64 },
}

impl Bits {
    /// The line that says how many there are.
    fn line(self, bits: f64, stderr: f64) -> String {
        let known = format!("bits per dim    {bits:.4} ± {stderr:.4}");
        match self {
            Self::Exact => format!("bits per dim    {bits:.4}"),
            Self::Bound { draws } => format!(
                "{known} (on average an upper bound of the true number, by {draws} draw{} of noise an image)",
                if draws == 1 { "" } else { "s" }
            ),
            Self::OfNoised { levels } => format!(
                "{known} (of images with noise of {levels:.3} levels, which the model is of: no bound of what a code of the images needs)"
            ),
        }
    }
}

fn report(likelihood: &Likelihood, dims: usize, bits_are: Bits) -> Report {
    let (mean, stderr) = (likelihood.mean(), likelihood.standard_error());
    let bits = likelihood.bits_per_dim(dims);
    let bits_stderr = stderr / (dims as f64 * std::f64::consts::LN_2);
    let mut report = Report::default();
    report.line(format!(
        "log-likelihood  {mean:.4} ± {stderr:.4} nats per row (mean ± standard error)"
    ));
    report.line(bits_are.line(bits, bits_stderr));
    report.line(format!("rows            {}", grouped(likelihood.rows())));
    report.line(format!("dims            {dims}"));
    if mean == f64::NEG_INFINITY {
        let outside = grouped(likelihood.rows_outside_support());
        report.line(format!(
            "{outside} rows lie outside the support of a column (density 0): the mean is -inf"
        ));
    }
    report.key("rows", likelihood.rows());
    report.key("dims", dims);
    report.number("log_prob_mean", mean);
    report.number("log_prob_stderr", stderr);
    report.number("bits_per_dim", bits);
    report.number("bits_per_dim_stderr", bits_stderr);
    match bits_are {
        Bits::Exact => {}
        Bits::Bound { draws } => report.key("draws", draws),
        Bits::OfNoised { levels } => report.number("noise_levels", levels),
    }
    report.key("rows_outside_support", likelihood.rows_outside_support());
    report
}
