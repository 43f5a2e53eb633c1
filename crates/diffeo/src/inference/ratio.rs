//! The ratio of the densities of two populations, by one flow that knows which population a row is of.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::populations::{Calibration, LogRatios, Populations};
use super::verdict::Verdict;
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::host::rows::Rows;
use crate::model::Model;
use crate::presets::{Preset, PresetOptions};
use crate::train::{CHECKPOINT_EVERY, Event, FitOptions, Loss, Trainer};

/// How a ratio is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct RatioOptions {
    /// The named model, which must take a context.
    pub preset: Preset,
    /// Its settings; without them, what suits the number of rows.
    pub preset_options: Option<PresetOptions>,
    /// How to train; seed and threads serve all else as well.
    pub fit: FitOptions,
    /// Where the fits are kept as they go, in files whose names begin so ([`RatioOptions::checkpoint`]): what is there is gone on from, with the same result as without an
    /// interruption.
    pub checkpoints: Option<PathBuf>,
}

impl Default for RatioOptions {
    fn default() -> Self {
        Self {
            preset: Preset::Nsf,
            preset_options: None,
            fit: FitOptions::default(),
            checkpoints: None,
        }
    }
}

impl RatioOptions {
    /// The file that the fit of a fold is kept in, if any.
    pub fn checkpoint(&self, fold: usize) -> Option<PathBuf> {
        let mut path = self.checkpoints.clone()?.into_os_string();
        path.push(format!(".flow-{}.checkpoint", fold + 1));
        Some(path.into())
    }
}

/// `r(x) = p2(x) / p1(x)`.
///
/// One flow `p(x | population)` is fitted to the rows of both, so that what it gets wrong in both alike cancels, and once for each fold, to all other
/// folds: a row's ratio is by a flow that has not seen it. These ratios are then held to which population the rows are of, by `ln r = a + b s` of the flow's
/// `s`: of two samples of one population nothing remains but `b` near 0.
#[derive(Clone, Debug)]
pub struct DensityRatio {
    /// A flow for each fold.
    models: Vec<Model>,
    calibration: Calibration,
    held_out: LogRatios,
}

impl DensityRatio {
    /// Fits a flow for each fold. `watch` is called after each step with the number of the fold: it may stop the trainer early, or all by an error. With
    /// [`RatioOptions::checkpoints`] each fit is kept about once a minute, before an error of `watch` ends it, and when it is done.
    ///
    /// # Errors
    /// Those of [`Trainer`] and of `watch`.
    pub fn fit(
        populations: &Populations,
        options: &RatioOptions,
        mut watch: impl FnMut(usize, &mut Trainer, &Event) -> Result<()>,
    ) -> Result<Self> {
        let threads = options.fit.threads;
        let mut models = Vec::with_capacity(populations.folds());
        let mut ratios = populations.gather(|fold, held_out| {
            let kept = options.checkpoint(fold);
            let trainer = trainer(populations, options, fold, kept.as_deref())?;
            let watch = |trainer: &mut Trainer, event: &Event| watch(fold, trainer, event);
            let model = train(trainer, kept.as_deref(), watch)?;
            let [first, second] = held_out.map(|rows| log_ratio(&model, rows, threads));
            models.push(model);
            Ok([first?, second?])
        })?;
        let calibration = Calibration::of(&ratios, threads)?;
        ratios.iter_mut().flatten().for_each(|s| *s = calibration.apply(*s));
        Ok(Self { models, calibration, held_out: ratios })
    }

    /// `ln r` at the rows of both populations, each by the flow that has not seen it.
    pub fn log_ratios(&self) -> &LogRatios {
        &self.held_out
    }

    /// What the weights of the rows of the first population, ratios or something made of them, say of averages in the second, whose rows tell what the first has missed.
    pub fn verdict(&self, weights: &Weights) -> Verdict {
        let there = self.held_out[1].iter().copied();
        Verdict { unseen: unseen(there, weights.len()), ..weights.verdict() }
    }

    /// `b`: 1 where the flows' ratios can be taken as they are, less where they are too far from 1, and near 0 where they are noise.
    pub fn slope(&self) -> f64 {
        self.calibration.slope
    }

    /// `ln r` at other rows: the mean over all flows.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Shape`] for rows of another width.
    pub fn log_ratio(&self, x: &Rows, threads: usize) -> Result<Vec<f64>> {
        let mut mean = vec![0.0; x.len()];
        let share = 1.0 / self.models.len() as f64;
        for model in &self.models {
            let found = log_ratio(model, x, threads)?;
            mean.iter_mut().zip(found).for_each(|(m, s)| *m += share * s);
        }
        Ok(mean.into_iter().map(|s| self.calibration.apply(s)).collect())
    }
}

/// Trains to the end, and keeps the trainer on the way.
fn train(
    mut trainer: Trainer,
    kept: Option<&Path>,
    mut watch: impl FnMut(&mut Trainer, &Event) -> Result<()>,
) -> Result<Model> {
    let keep = |trainer: &Trainer| kept.map_or(Ok(()), |path| trainer.save_checkpoint(path));
    let mut saved = Instant::now();
    loop {
        let event = trainer.advance()?;
        if let Err(error) = watch(&mut trainer, &event) {
            keep(&trainer)?;
            return Err(error);
        }
        if matches!(event, Event::Finished { .. }) {
            keep(&trainer)?;
            return trainer.finish();
        }
        if saved.elapsed() >= CHECKPOINT_EVERY {
            keep(&trainer)?;
            saved = Instant::now();
        }
    }
}

/// The trainer of a fold, or the one that was kept.
fn trainer(
    populations: &Populations,
    options: &RatioOptions,
    fold: usize,
    kept: Option<&Path>,
) -> Result<Trainer> {
    let (schema, data) = (populations.schema(), populations.others(fold)?);
    let usual = || PresetOptions::for_rows(data.x.len());
    let mut preset = options.preset_options.clone().unwrap_or_else(usual);
    preset.seed = options.fit.seed;
    let spec = options.preset.spec_for(&schema.shape(), &preset)?;
    let loss = options.fit.loss.or(Some(Loss::of(options.preset)));
    let fit = FitOptions { loss, ..options.fit.clone() };
    match kept.filter(|path| Trainer::has_checkpoint(path)) {
        None => Trainer::new(spec, schema, data, fit),
        Some(path) => {
            let trainer = Trainer::resume(path, data, fit).map_err(|error| match error.kind() {
                ErrorKind::Shape => Error::config(
                    "cannot resume: the checkpoint is of a fit to other columns; start anew",
                )
                .at(path),
                _ => error,
            })?;
            trainer.expect(&spec, &schema)?;
            Ok(trainer)
        }
    }
}

/// `ln p(x | second) - ln p(x | first)`; a row that neither has density for says nothing.
fn log_ratio(model: &Model, x: &Rows, threads: usize) -> Result<Vec<f64>> {
    let of = |population: f64| {
        let context = Rows::new(vec![population; x.len()], 1)?;
        model.log_prob(x, Some(&context), threads)
    };
    let (first, second) = (of(0.0)?, of(1.0)?);
    let ratio = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { b - a };
    Ok(first.iter().zip(&second).map(ratio).collect())
}

/// `ln` of the relative ratio `p2 / (share p2 + (1 - share) p1)`, which is at most `1 / share`: draws of the first then stand for the second only where the
/// first has density enough, and where it has little for the first.
///
/// Reference: Yamada, Suzuki, Kanamori, Hachiya, Sugiyama. *Relative Density-Ratio Estimation for Robust Distribution Comparison*. Neural Computation 25, 2013.
///
/// # Errors
/// [`crate::ErrorKind::Config`] unless the share is at least 0 and below 1.
pub fn relative(log_ratio: f64, share: f64) -> Result<f64> {
    if !(0.0..1.0).contains(&share) {
        return Err(Error::config(format!(
            "the share of a relative ratio is at least 0 and below 1, found {share}"
        )));
    }
    // Whichever of the two is larger comes out of the logarithm.
    Ok(if share == 0.0 {
        log_ratio
    } else if log_ratio > 0.0 {
        -(share + (1.0 - share) * (-log_ratio).exp()).ln()
    } else {
        log_ratio - (share * log_ratio.exp() + 1.0 - share).ln()
    })
}

/// The share of a target's mass that `n` draws of a proposal are likely to miss, from `ln p / q` at draws of the target.
///
/// Where `p / q > n / 10`, a region of mass `m` is hit by less than `10 m` draws. What the draws do not hit, neither an estimate nor its standard error
/// knows; only draws of the target itself tell (compare Chatterjee and Diaconis. Ann. Appl. Probab. 28, 2018).
pub fn unseen(log_ratio_at_target: impl IntoIterator<Item = f64>, n: usize) -> f64 {
    let most = (SHARE_OF_SUM * n as f64).ln();
    let (mut missed, mut all) = (0_usize, 0_usize);
    for ratio in log_ratio_at_target {
        all += 1;
        missed += usize::from(ratio > most);
    }
    missed as f64 / all.max(1) as f64
}

/// A draw of more weight than this share of the sum counts as one that is likely to be missed.
const SHARE_OF_SUM: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_ratios_are_bounded_and_those_of_share_0_as_they_were() {
        for log_ratio in [-900.0, -1.0, 0.0, 2.0, 900.0] {
            assert!((relative(log_ratio, 0.0).unwrap() - log_ratio).abs() < 1e-12);
            let bounded = relative(log_ratio, 0.1).unwrap();
            assert!(bounded <= 10f64.ln() + 1e-12 && bounded.is_finite());
            let plain = log_ratio.exp() / (0.1 * log_ratio.exp() + 0.9);
            if plain.is_finite() && plain > 0.0 {
                assert!((bounded - plain.ln()).abs() < 1e-12);
            }
        }
        assert!(relative(0.0, 1.0).is_err() && relative(0.0, f64::NAN).is_err());
    }

    #[test]
    fn mass_too_narrow_to_hit_is_known_to_be_missing() {
        assert_eq!(unseen([1.0; 10], 1000), 0.0);
        assert_eq!(unseen([[0.0; 5], [9.0; 5]].concat(), 1000), 0.5);
    }
}
