//! Reads the images of a fit, and says which model fits them.

use diffeo::train::{Candidate, TrainingData, ValidationChoice};
use diffeo::{Error, ImageShape, Preset, PresetOptions, Result, Schema, quoted};
use diffeo_table::{IMAGE_LABEL, Reader, Roles, TrainingTable, Wish};

use super::tables::{Prepared, announce, read_known, validation};
use crate::memory;
use crate::options::fit::{Choice, FitPlan, Valid};
use crate::output::Console;

/// Share of the clips that decide when to stop, where none is asked for.
const USUAL_SHARE: f64 = 0.1;

/// What `--dequantize` says of images.
const LEARNED: &str = "learned";

/// The shape of the images, if the data are such and no columns of them are named.
pub(super) fn shape(plan: &FitPlan) -> Result<Option<ImageShape>> {
    if plan.args.columns.is_some() || plan.data.is_read_once() {
        return Ok(None);
    }
    let image = Reader::open(&plan.data, &plan.read)?.image();
    match (image, plan.levels) {
        (None, Some(_)) => {
            Err(plan.data.located(Error::data("--levels is about images, and this is a table")))
        }
        (None, None) => Ok(None),
        (Some(image), levels) => {
            Ok(Some(ImageShape { levels: levels.unwrap_or(image.levels), ..image }))
        }
    }
}

/// Reads the images, and what they are conditioned on.
pub(super) fn prepare(image: ImageShape, plan: &FitPlan, console: &Console) -> Result<Prepared> {
    let args = &plan.args;
    let of_columns = [
        ("--exclude", args.exclude.is_some()),
        ("--dequantize", args.dequantize.is_some() && !learns_noise(plan)),
        ("--any-subset", args.any_subset),
        ("--drop-constant", args.drop_constant),
        ("--graph", args.graph.is_some()),
    ];
    if let Some((name, _)) = of_columns.iter().find(|(_, is_given)| *is_given) {
        return Err(Error::config(format!(
            "{name} is about the columns of a table; images are modelled whole (of them there is --dequantize learned)"
        )));
    }
    let schema = match plan.read.earlier {
        Some(earlier @ 1..) => Schema::frames(image, earlier),
        _ => Schema::images(image).given(context(plan, console)?),
    };
    announce(&schema, console);
    let data = read_known(&plan.data, &schema, plan, console)?;
    let validation = validation(&schema, plan, console)?;
    let share = match plan.valid {
        Valid::Default => USUAL_SHARE,
        Valid::Share(share) => share,
        Valid::Table(_) => 0.0,
    };
    if schema.earlier_frames() == 0 || share == 0.0 {
        return Ok(Prepared { schema, data, validation });
    }
    let (data, held_out) = hold_out(&data, share);
    Ok(Prepared { schema, data, validation: Some(ValidationChoice::Given(held_out)) })
}

/// Holds out about a share of whole clips, in equal steps; of a single clip its last frames. Frames of one clip are too much alike to be on both sides.
fn hold_out(data: &TrainingData, share: f64) -> (TrainingData, TrainingData) {
    let last = |row: usize| data.context.as_ref().and_then(|context| context.row(row).last());
    let mut clip = 0;
    let clips: Vec<usize> = (0..data.x.len())
        .map(|row| {
            clip += usize::from(last(row) == Some(&0.0));
            clip.saturating_sub(1)
        })
        .collect();
    let frames = data.x.len();
    let is_held_out = |row: usize| match clip {
        0 | 1 => (frames - row) as f64 <= frames as f64 * share,
        _ => ((clips[row] + 1) as f64 * share).floor() > (clips[row] as f64 * share).floor(),
    };
    let (mut valid, mut train): (Vec<usize>, Vec<usize>) =
        (0..frames).partition(|&row| is_held_out(row));
    if valid.is_empty() {
        // So small a share of so few clips: the last of them.
        (valid, train) = (0..frames).partition(|&row| clips[row] + 1 == clip);
    }
    let part = |rows: &[usize]| TrainingData {
        x: data.x.select(rows),
        context: data.context.as_ref().map(|context| context.select(rows)),
        weights: data.weights.as_ref().map(|all| rows.iter().map(|&row| all[row]).collect()),
    };
    (part(&train), part(&valid))
}

/// Whether the noise in the cells of levels is to be learned.
fn learns_noise(plan: &FitPlan) -> bool {
    plan.args.dequantize.as_ref().is_some_and(|list| list.0 == [LEARNED])
}

/// What the columns beside the images hold that the model is given.
fn context(plan: &FitPlan, console: &Console) -> Result<Vec<diffeo::Column>> {
    let wish = |(name, wish): &Wish| match wish {
        None if name == IMAGE_LABEL => Ok((name.clone(), Some("category".parse()?))),
        wish => Ok((name.clone(), wish.clone())),
    };
    let wishes = plan.args.context.iter().flat_map(|list| &list.0).map(wish);
    let wishes: Vec<Wish> = wishes.collect::<Result<_>>()?;
    if wishes.is_empty() {
        return Ok(Vec::new());
    }
    let pixels = wishes.iter().find(|(name, _)| name.starts_with("y0x"));
    if let Some((name, _)) = pixels {
        return Err(Error::config(format!(
            "--context: {} is a pixel of the images that are modelled",
            quoted(name)
        )));
    }
    let roles = Roles { columns: wishes, ..Roles::default() };
    let limit = memory::limit(plan.max_memory);
    let warn = &mut |warning| console.warn(warning);
    let TrainingTable { schema, notes, .. } = roles.read(&plan.data, &plan.read, limit, warn)?;
    notes.iter().filter(|note| note.warning).for_each(|note| console.warn(note.to_string()));
    Ok(schema.columns)
}

/// The model that was asked for.
pub(super) fn candidates(image: ImageShape, plan: &FitPlan, seed: u64) -> Result<Vec<Candidate>> {
    // Patches are of one model only.
    let usual = match plan.shape.patch {
        Some(_) => Preset::TarFlow,
        None => Preset::usual_of(image),
    };
    let preset = match (plan.choice, &plan.args.model) {
        (Choice::Auto, _) => {
            return Err(Error::config(format!(
                "--model auto tries models of tables; for images name one, such as {usual}"
            )));
        }
        (Choice::Named(_), None) => usual,
        (Choice::Named(preset), Some(_)) => preset,
    };
    let transforms = match plan.args.transforms {
        None if preset.is_of_images() => PresetOptions::for_images().transforms,
        _ => plan.shape.transforms,
    };
    let dequantise = learns_noise(plan);
    let options = PresetOptions { seed, transforms, dequantise, ..plan.shape.clone() };
    Ok(vec![Candidate::new(preset, options)])
}
