//! What is checked: the model, the rows to hold it against, and contexts for those of its draws that need one.

use super::{CheckData, CheckOptions, validate};
use crate::error::{Error, ErrorKind, Result};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};
use crate::spec::Precision;

/// Which random numbers a step of the checks draws: the `step` of [`Purpose::Check`].
#[derive(Clone, Copy)]
pub(super) enum Draw {
    /// Which rows of a long table are used.
    Rows,
    /// Contexts where there is no data.
    Contexts,
    /// Points of the importance sampling.
    Proposal,
    /// Halves of the data.
    Halves,
    /// Points of the cells of whole numbers.
    Cells,
    /// Places among equal densities.
    Ranks,
    /// Places of marks in their cells.
    Marks,
}

/// Which samples of the model a check uses: blocks of row numbers that do not meet.
#[derive(Clone, Copy)]
pub(super) enum Samples {
    RoundTrip,
    LogDet,
    Normalisation,
    Agreement,
    Calibration,
    Base,
    Coverage,
}

/// A model under test.
pub(super) struct Subject<'a> {
    pub(super) model: &'a Model,
    /// The same flow with whole numbers as real ones: nothing is rounded and a density stays a density.
    pub(super) continuous: Model,
    pub(super) threads: usize,
    pub(super) samples: usize,
    streams: Streams,
    data: Option<CheckData>,
}

impl<'a> Subject<'a> {
    pub(super) fn new(
        model: &'a Model,
        data: Option<&CheckData>,
        options: &CheckOptions,
    ) -> Result<Self> {
        validate(model, data, options)?;
        let streams = Streams::new(options.seed);
        let data = data.map(|data| some_rows(data, options.samples, &streams)).transpose()?;
        let continuous = model.unrounded()?;
        let (threads, samples) = (options.threads, options.samples);
        Ok(Self { model, continuous, threads, samples, streams, data })
    }

    /// At most `samples` rows of the data, chosen at random.
    pub(super) fn data(&self) -> Option<&CheckData> {
        self.data.as_ref()
    }

    /// The limit for the precision of the model.
    pub(super) fn limit(&self, single: f64, double: f64) -> f64 {
        match self.model.flow().spec().precision {
            Precision::F32 => single,
            Precision::F64 => double,
        }
    }

    pub(super) fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(super) fn sample_options(&self, samples: Samples) -> SampleOptions {
        let first_row = (samples as u64) << 40;
        SampleOptions {
            seed: self.streams.seed(),
            first_row,
            threads: self.threads,
            ..SampleOptions::default()
        }
    }

    /// Draws that answer the rows of data: as many as wanted, at the contexts of the rows over and over.
    ///
    /// # Errors
    /// As [`Model::sample`].
    pub(super) fn samples_like(&self, data: &CheckData) -> Result<Rows> {
        let n = match &data.context {
            Some(context) => self.samples.max(context.len()).next_multiple_of(context.len()),
            None => self.samples,
        };
        self.model.sample(n, self.contexts(n).as_ref(), &self.sample_options(Samples::Calibration))
    }

    /// Contexts of `n` rows: those of the data over and over, or a draw of what training may have seen.
    pub(super) fn contexts(&self, n: usize) -> Option<Rows> {
        let width = self.model.schema().context.len();
        if width == 0 {
            return None;
        }
        let mut all = Rows::zeros(n, width);
        for (i, row) in all.values_mut().chunks_mut(width).enumerate() {
            match self.data.as_ref().and_then(|d| d.context.as_ref()) {
                Some(given) => row.copy_from_slice(given.row(i % given.len())),
                None => {
                    let mut rng = self.streams.rng(Purpose::Check, Draw::Contexts as u64, i as u64);
                    row.copy_from_slice(&self.model.encoding().some_context(Some(&mut rng)));
                }
            }
        }
        Some(all)
    }

    /// One context for a question that needs a fixed one: the first of the data, or the centre of those in training.
    pub(super) fn fixed_context(&self) -> Option<Vec<f64>> {
        (!self.model.schema().context.is_empty()).then(|| {
            match self.data.as_ref().and_then(|d| d.context.as_ref()) {
                Some(given) => given.row(0).to_vec(),
                None => self.model.encoding().some_context(None),
            }
        })
    }
}

/// What stands for a missing value among ranks.
pub(super) const MISSING: f64 = f64::MIN;

/// The rows with a value below all others where one is missing: what is compared are ranks.
pub(super) fn ranked(rows: &Rows) -> Rows {
    let mut rows = rows.clone();
    rows.values_mut().iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = MISSING);
    rows
}

fn some_rows(data: &CheckData, most: usize, streams: &Streams) -> Result<CheckData> {
    if data.x.len() <= most {
        return Ok(data.clone());
    }
    let n = u32::try_from(data.x.len())
        .map_err(|_| Error::new(ErrorKind::Limit, "a check takes at most 2^32 - 1 rows of data"))?;
    let order = permutation(&mut streams.rng(Purpose::Check, Draw::Rows as u64, 0), n);
    let chosen: Vec<usize> = order.into_iter().take(most).map(|i| i as usize).collect();
    let context = data.context.as_ref().map(|c| c.select(&chosen));
    Ok(CheckData { x: data.x.select(&chosen), context })
}
