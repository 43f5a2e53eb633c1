//! Regions of highest density of a model.

use crate::error::{Error, ErrorKind, Result};
use crate::host::rows::Rows;
use crate::model::{Model, SampleOptions};

/// The smallest region that holds a share of a model's mass, at one context: the points that are no less likely than a threshold, the quantile of the log-density of draws
/// (Hyndman. *Computing and graphing highest density regions*. Am. Stat. 50, 1996).
pub struct HighestDensityRegion<'a> {
    model: &'a Model,
    context: Option<Vec<f64>>,
    threshold: f64,
}

impl<'a> HighestDensityRegion<'a> {
    /// The region of this mass, by so many draws. The share that draws beyond the threshold have is known to about `sqrt(mass (1 - mass) / draws)`; with fewer than
    /// `1 / (1 - mass)` of them the region ends at the least likely draw.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a mass that is not between 0 and 1 and for no draws; those of [`Model::sample`] and [`Model::log_prob`].
    pub fn new(
        model: &'a Model,
        context: Option<&[f64]>,
        mass: f64,
        draws: usize,
        options: &SampleOptions,
    ) -> Result<Self> {
        if !(mass > 0.0 && mass < 1.0) || draws == 0 {
            return Err(Error::config(format!(
                "a region needs a mass between 0 and 1 and at least one draw, found {mass} and {draws}"
            )));
        }
        let mut region =
            Self { model, context: context.map(<[f64]>::to_vec), threshold: f64::NEG_INFINITY };
        let given = region.given(draws)?;
        let rows = model.sample(draws, given.as_ref(), options)?;
        let mut log_prob = model.log_prob(&rows, given.as_ref(), options.threads)?;
        log_prob.sort_by(f64::total_cmp);
        region.threshold = log_prob[((1.0 - mass) * draws as f64) as usize];
        if region.threshold.is_finite() {
            return Ok(region);
        }
        Err(Error::new(
            ErrorKind::Domain,
            "draws of the model have no finite log-density there; is the context one that it was fitted for?",
        ))
    }

    /// The least log-density of a point in the region.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Which rows lie in it.
    ///
    /// # Errors
    /// Those of [`Model::log_prob`].
    pub fn contains(&self, rows: &Rows, threads: usize) -> Result<Vec<bool>> {
        let given = self.given(rows.len())?;
        let log_prob = self.model.log_prob(rows, given.as_ref(), threads)?;
        Ok(log_prob.into_iter().map(|p| p >= self.threshold).collect())
    }

    fn given(&self, n: usize) -> Result<Option<Rows>> {
        let repeat = |context: &Vec<f64>| Rows::new(context.repeat(n), context.len());
        self.context.as_ref().map(repeat).transpose()
    }
}
