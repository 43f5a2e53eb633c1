//! Model selection: which of a few flows suits a table, by short runs.

use std::fmt;

use super::data::{TrainingData, ValidationChoice};
use super::loss::Loss;
use super::options::FitOptions;
use super::recipe::steps_by_rows;
use super::trainer::Trainer;
use crate::bases::StudentTSpec;
use crate::columns::{ImageShape, Schema, Shape};
use crate::error::{Error, Result};
use crate::presets::{Preset, PresetOptions};
use crate::spec::FlowSpec;

/// A trial is so much shorter than a fit.
const SHORTER: u64 = 5;

/// A flow that may suit a table: a named model and its settings.
///
/// [`Selection::of`](super::Selection::of) runs a [`Candidate::trial`] of each of several, such as those of [`Candidate::for_table`], and takes the one whose [`Trainer::best`] has the lowest loss. All trials
/// of one seed have the same validation rows. The loss of the best of several is lower than it would be on other rows, by chance
/// alone: judge the model that is chosen by rows that had no part in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The named model.
    pub preset: Preset,
    /// Its settings.
    pub options: PresetOptions,
    /// What of them is another choice than the caller's, as the command line has it.
    varied: &'static str,
}

impl Candidate {
    /// A named model with these settings.
    pub fn new(preset: Preset, options: PresetOptions) -> Self {
        Self { preset, options, varied: "" }
    }

    /// What is worth a trial for a table of this shape: of the usual models those that can be had, best first as a rule, and variants of the
    /// first in what `settings` leaves as it is by default (base, widths of the networks).
    ///
    /// The list is short, and made of what came first or near it on the tables of `docs/flows.md`: each entry costs a fifth of a fit.
    pub fn for_table(shape: &Shape, settings: &PresetOptions) -> Vec<Self> {
        let usual = PresetOptions::default();
        let of = |preset| Self::new(preset, settings.clone());
        let mut list = vec![of(Preset::Nsf)];
        if settings.hidden == usual.hidden {
            let options = PresetOptions { hidden: vec![256, 256], ..settings.clone() };
            list.push(Self { options, varied: " --hidden 256,256", ..of(Preset::Nsf) });
        }
        if settings.base == usual.base {
            let base = StudentTSpec { dof: 5.0 }.into();
            let options = PresetOptions { base, ..settings.clone() };
            list.push(Self { options, varied: " --base student-t", ..of(Preset::Nsf) });
        }
        list.extend([Preset::Naf, Preset::Flowpp, Preset::NsfCoupling, Preset::Gaussian].map(of));
        list.retain(|candidate| candidate.spec(shape).is_ok());
        list
    }

    /// The model of images that is named, else the usual one: that of patches where their size is given. Where the caller did not choose how deep it is, it is as deep as suits images.
    pub fn for_images(
        image: ImageShape,
        preset: Option<Preset>,
        mut options: PresetOptions,
        is_depth_chosen: bool,
    ) -> Self {
        let usual = match options.patch {
            Some(_) => Preset::TarFlow,
            None => Preset::usual_of(image),
        };
        let preset = preset.unwrap_or(usual);
        if !is_depth_chosen && preset.is_of_images() {
            options.transforms = PresetOptions::for_images().transforms;
        }
        Self::new(preset, options)
    }

    /// Describes the flow for a table of this shape.
    ///
    /// # Errors
    /// As [`Preset::spec_for`].
    pub fn spec(&self, shape: &Shape) -> Result<FlowSpec> {
        self.preset.spec_for(shape, &self.options)
    }

    /// A fit of a fifth of the steps, with the schedule of a whole one: as far as it goes, it ends well.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] without validation rows; others as [`Trainer::new`].
    pub fn trial(
        &self,
        schema: &Schema,
        data: TrainingData,
        options: &FitOptions,
    ) -> Result<Trainer> {
        if matches!(options.validation, ValidationChoice::None | ValidationChoice::Fraction(0.0)) {
            return Err(Error::config(
                "models are compared by validation rows, and there are none; give some",
            ));
        }
        let mut options = options.clone();
        let loss = *options.loss.get_or_insert(Loss::of(self.preset));
        options.epochs = options.epochs.map(|epochs| epochs / SHORTER as f64);
        if options.epochs.is_none() {
            let whole = options.steps.unwrap_or_else(|| steps_by_rows(data.x.len(), loss));
            options.steps = Some(whole.div_ceil(SHORTER));
        }
        Trainer::new(self.spec(&schema.shape())?, schema.clone(), data, options)
    }
}

/// The name of the model and what of its settings was varied, as the command line has them.
impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.preset, self.varied)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::{Purpose, Streams};
    use crate::host::rows::Rows;
    use crate::train::Event;

    fn names(list: &[Candidate]) -> Vec<String> {
        list.iter().map(Candidate::to_string).collect()
    }

    #[test]
    fn what_is_asked_for_is_not_varied_and_what_cannot_be_had_is_left_out() {
        let shape = |dims, context| Shape { gates: vec![None; dims], context, ..Shape::default() };
        let all = names(&Candidate::for_table(&shape(3, 0), &PresetOptions::default()));
        assert!(all[0] == "nsf" && all.contains(&"gaussian".to_owned()), "{all:?}");
        assert!(all.contains(&"nsf --hidden 256,256".to_owned()), "{all:?}");
        assert!(all.contains(&"nsf --base student-t".to_owned()), "{all:?}");
        let one = names(&Candidate::for_table(&shape(1, 2), &PresetOptions::default()));
        for absent in ["gaussian", "nsf-coupling"] {
            assert!(!one.contains(&absent.to_owned()), "{one:?}");
        }
        let narrow = PresetOptions {
            hidden: vec![8],
            graph: Some(vec![vec![], vec![0], vec![]]),
            ..PresetOptions::default()
        };
        let list = Candidate::for_table(&shape(3, 0), &narrow);
        assert!(list.iter().all(|candidate| candidate.options.hidden == [8]));
        assert!(list.iter().all(|candidate| candidate.preset.expect_graph().is_ok()));
        assert!(!list.is_empty());
    }

    #[test]
    fn short_runs_tell_a_gaussian_from_a_ring() -> Result<()> {
        let mut noise = vec![0.0; 2 * 600];
        Streams::new(1).fill_normal(Purpose::Check, 0, 0, 2, &mut noise);
        let ring = noise.chunks_exact(2).flat_map(|row| {
            let (angle, radius) = (3.0 * row[0], 2.0 + 0.1 * row[1]);
            [radius * angle.cos(), radius * angle.sin()]
        });
        let ring = TrainingData::rows(Rows::new(ring.collect(), 2)?);
        let schema = Schema::real(["x", "y"]);
        let options = FitOptions { steps: Some(500), ..FitOptions::default() };
        let settings =
            PresetOptions { hidden: vec![16], transforms: 2, ..PresetOptions::default() };
        let mut losses = Vec::new();
        for preset in [Preset::Gaussian, Preset::Nsf] {
            let candidate = Candidate::new(preset, settings.clone());
            let mut trial = candidate.trial(&schema, ring.clone(), &options)?;
            assert!(trial.plan().steps_total <= 100);
            while !matches!(trial.advance()?, Event::Finished { .. }) {}
            losses.push(trial.best().expect("a validation").1);
        }
        assert!(losses[1] < losses[0] - 0.1, "{losses:?}");
        let none = FitOptions { validation: ValidationChoice::None, ..options };
        let candidate = Candidate::new(Preset::Maf, settings);
        let error = candidate.trial(&schema, ring, &none).err().expect("no rows to compare by");
        assert!(error.message().contains("validation"), "{error}");
        Ok(())
    }
}
