//! Model files of format 1, whose units were the first transforms of the spec.

use serde::Deserialize;
use serde_json::Value;

use crate::columns::{Schema, Support, Unit, Units};
use crate::error::{Error, Result};
use crate::file::container::{NamedTensor, from_json};

/// A transform of units, as format 1 had it.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Layer {
    Support { maps: Vec<Support> },
    Standardize { center: Vec<f64>, scale: Vec<f64> },
}

/// Takes the units out of a spec and counts the transforms that the tensors belong to anew.
///
/// # Errors
/// [`crate::ErrorKind::ModelFile`] for transforms of units of other widths, or in an order that no release wrote.
pub(super) fn take_units(
    spec: &mut Value,
    tensors: &mut [NamedTensor],
    schema: &Schema,
) -> Result<Units> {
    let context = match spec.as_object_mut().and_then(|spec| spec.remove("context_transforms")) {
        Some(Value::Array(mut layers)) => {
            let units = units_of(&mut layers, schema.context_width())?;
            if !layers.is_empty() {
                return Err(Error::model_file("context maps must be support or standardize"));
            }
            units
        }
        _ => vec![Unit::default(); schema.context_width()],
    };
    let Some(Value::Array(layers)) = spec.get_mut("transforms") else {
        return Err(Error::model_file("the spec in the file has no list of transforms"));
    };
    let before = layers.len();
    let columns = units_of(layers, schema.width())?;
    let taken = before - layers.len();
    for tensor in tensors {
        if let Some((number, rest)) =
            tensor.name.strip_prefix("transform.").and_then(|name| name.split_once('.'))
            && let Some(number) = number.parse::<usize>().ok().and_then(|n| n.checked_sub(taken))
        {
            tensor.name = format!("transform.{number}.{rest}");
        }
    }
    Ok(Units { columns, context })
}

/// Takes the transforms of units off the front of a list: one of supports, then one that standardises, each of which may be missing.
fn units_of(layers: &mut Vec<Value>, width: usize) -> Result<Vec<Unit>> {
    let mut units = vec![Unit::default(); width];
    let wrong = || Error::model_file("the spec in the file has units of another width or order");
    let mut standardised = false;
    while let Some(first) = layers.first() {
        if !matches!(first["type"].as_str(), Some("support" | "standardize")) {
            break;
        }
        match from_json("spec", first)? {
            Layer::Support { maps } if maps.len() == width && !standardised => {
                units.iter_mut().zip(maps).for_each(|(unit, support)| unit.support = support);
            }
            Layer::Standardize { center, scale }
                if center.len() == width && scale.len() == width && !standardised =>
            {
                standardised = true;
                for ((unit, center), scale) in units.iter_mut().zip(center).zip(scale) {
                    (unit.center, unit.scale) = (center, scale);
                }
            }
            _ => return Err(wrong()),
        }
        layers.remove(0);
    }
    Ok(units)
}
