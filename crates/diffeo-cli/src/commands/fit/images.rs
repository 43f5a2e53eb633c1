//! Reads the images of a fit, and says which model fits them.

use diffeo::train::{Candidate, ValidationChoice};
use diffeo::{Error, ImageShape, Preset, PresetOptions, Result, Schema};
use diffeo_table::hold_out_clips;

use super::tables::{Prepared, announce, read_known, roles, validation};
use crate::memory;
use crate::options::fit::{Choice, FitPlan, Valid};
use crate::output::Console;

/// Share of the clips that decide when to stop, where none is asked for.
const USUAL_SHARE: f64 = 0.1;

/// The shape of the images, if the data are such and no columns of them are named.
pub(super) fn shape(plan: &FitPlan) -> Result<Option<ImageShape>> {
    roles(plan).image_shape(&plan.data, &plan.read, plan.levels)
}

/// Reads the images, and what they are conditioned on.
pub(super) fn prepare(image: ImageShape, plan: &FitPlan, console: &Console) -> Result<Prepared> {
    if plan.args.graph.is_some() {
        return Err(Error::config("--graph is about the columns of a table; images have none"));
    }
    let (limit, warn) = (memory::limit(plan.max_memory), &mut |warning| console.warn(warning));
    let schema = roles(plan).image_schema(image, &plan.data, (&plan.read, limit), warn)?;
    announce(&schema, console);
    with_held_out(schema, plan, console)
}

/// Reads rows of columns that are known, and holds some out: of clips a share of whole ones.
pub(super) fn with_held_out(schema: Schema, plan: &FitPlan, console: &Console) -> Result<Prepared> {
    let data = read_known(&plan.data, &schema, plan, console)?;
    let validation = validation(&schema, plan, console)?;
    let share = match plan.valid {
        Valid::Default => USUAL_SHARE,
        Valid::Share(share) => share,
        Valid::Table(_) => 0.0,
    };
    if schema.earlier_frames() == 0 || share == 0.0 {
        return Ok(Prepared { schema, data, validation, start: None });
    }
    let [data, held_out] = hold_out_clips(&data, share);
    let validation = Some(ValidationChoice::Given(held_out));
    Ok(Prepared { schema, data, validation, start: None })
}

/// The model that was asked for.
pub(super) fn candidates(image: ImageShape, plan: &FitPlan, seed: u64) -> Result<Vec<Candidate>> {
    let preset = match (plan.choice, &plan.args.model) {
        (Choice::Auto, _) => {
            let usual = Preset::usual_of(image);
            return Err(Error::config(format!(
                "--model auto tries models of tables; for images name one, such as {usual}"
            )));
        }
        (Choice::Named(_), None) => None,
        (Choice::Named(preset), Some(_)) => Some(preset),
    };
    let dequantise = roles(plan).learns_noise();
    let options = PresetOptions { seed, dequantise, ..plan.shape.clone() };
    Ok(vec![Candidate::for_images(image, preset, options, plan.args.transforms.is_some())])
}
