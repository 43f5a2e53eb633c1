//! The maps from the data's units to numbers of order one, fitted to the data: the first layers of every trained flow.

use super::data::TrainingData;
use crate::error::{Error, Result, quoted};
use crate::rows::Rows;
use crate::schema::{ColumnKind, Schema};
use crate::spec::{FlowSpec, LayerSpec};
use crate::transforms::SupportMap;

/// Puts the maps of the columns in front of a specification that expects columns of mean 0 and deviation 1.
///
/// # Errors
/// [`crate::ErrorKind::Data`] if a column is constant: its density would be infinite.
pub(crate) fn with_data_maps(
    spec: FlowSpec,
    schema: &Schema,
    data: &TrainingData,
) -> Result<FlowSpec> {
    let weight = |i: usize| data.weight(i);
    let maps = schema.columns.iter().map(|c| support(c.kind, true)).collect();
    let mut transforms = layers(maps, schema, &data.x, true, weight)?;
    transforms.extend(spec.transforms);
    let mut context_transforms = Vec::new();
    if let Some(context) = &data.context {
        let maps = schema.context.iter().map(|c| support(c.kind, false)).collect();
        context_transforms = layers(maps, schema, context, false, weight)?;
    }
    context_transforms.extend(spec.context_transforms);
    Ok(FlowSpec { transforms, context_transforms, ..spec })
}

/// A context column of an interval is bounded already, and may be on its bounds where it is used: it needs no logit.
fn support(kind: ColumnKind, modelled: bool) -> SupportMap {
    match kind {
        ColumnKind::Positive => SupportMap::Log,
        ColumnKind::Interval { low, high } if modelled => SupportMap::Logit { low, high },
        _ => SupportMap::Identity,
    }
}

fn layers(
    maps: Vec<SupportMap>,
    schema: &Schema,
    rows: &Rows,
    modelled: bool,
    weight: impl Fn(usize) -> f64,
) -> Result<Vec<LayerSpec>> {
    let (mut center, mut scale) = (Vec::new(), Vec::new());
    for (j, map) in maps.iter().enumerate() {
        let column = if modelled { &schema.columns[j] } else { &schema.context[j] };
        let values = rows.values().iter().skip(j).step_by(rows.width()).map(|&x| map_value(map, x));
        let (mean, deviation) = moments(values, &weight);
        let noise = modelled && column.kind == ColumnKind::Integer;
        // Noise uniform on [0, 1) has mean 1/2 and variance 1/12.
        let (mean, deviation) = match noise {
            true => (mean + 0.5, deviation.hypot((1.0f64 / 12.0).sqrt())),
            false => (mean, deviation),
        };
        if !(mean.is_finite() && deviation.is_finite()) {
            return Err(Error::data(format!(
                "column {}: its mean or spread is too large for a float; rescale it",
                quoted(&column.name)
            )));
        }
        // A deviation at the rounding error of the mean is that of a constant.
        let constant = deviation <= mean.abs() * 1e-14;
        if constant && modelled && rows.len() > 1 {
            return Err(Error::data(format!(
                "column {} is constant ({}): its density would be infinite; leave it out",
                quoted(&column.name),
                rows.row(0)[j]
            )));
        }
        center.push(mean);
        scale.push(if constant { 1.0 } else { deviation });
    }
    let mut layers = Vec::new();
    if maps.iter().any(|m| *m != SupportMap::Identity) {
        layers.push(LayerSpec::Support { maps });
    }
    layers.push(LayerSpec::Standardize { center, scale });
    Ok(layers)
}

/// A column as the layers behind those maps see it, of mean 0 and deviation 1; at most `most` of its values, in equal steps.
pub(crate) fn standardised(
    full: &FlowSpec,
    schema: &Schema,
    x: &Rows,
    column: usize,
    most: usize,
) -> Vec<f64> {
    let (map, center, scale) = match full.transforms.as_slice() {
        [LayerSpec::Support { maps }, LayerSpec::Standardize { center, scale }, ..] => {
            (maps[column], center[column], scale[column])
        }
        [LayerSpec::Standardize { center, scale }, ..] => {
            (SupportMap::Identity, center[column], scale[column])
        }
        _ => (SupportMap::Identity, 0.0, 1.0),
    };
    let middle = if schema.columns[column].kind == ColumnKind::Integer { 0.5 } else { 0.0 };
    let step = x.len().div_ceil(most.max(1)).max(1);
    let values = x.values().iter().skip(column).step_by(x.width() * step);
    values.map(|&v| (map_value(&map, v) + middle - center) / scale).collect()
}

fn map_value(map: &SupportMap, x: f64) -> f64 {
    match *map {
        SupportMap::Identity => x,
        SupportMap::Log => x.ln(),
        SupportMap::Logit { low, high } => ((x - low) / (high - x)).ln(),
    }
}

/// Weighted mean and deviation (dividing by the sum of weights) in two passes.
///
/// Values are shifted by the first and scaled by the largest shift, so neither an offset (`1e9 ± 1`) nor a scale whose square leaves
/// the floats (`1e200`) costs digits. Chan, Golub, LeVeque. *Algorithms for computing the sample variance*. Am. Stat. 37, 1983.
fn moments(values: impl Iterator<Item = f64> + Clone, weight: impl Fn(usize) -> f64) -> (f64, f64) {
    let shift = values.clone().next().unwrap_or(0.0);
    let size = values.clone().fold(0.0, |a: f64, v| a.max((v - shift).abs()));
    if size == 0.0 {
        return (shift, 0.0);
    }
    let (mut sum, mut total) = (0.0, 0.0);
    for (i, v) in values.clone().enumerate() {
        sum += weight(i) * ((v - shift) / size);
        total += weight(i);
    }
    let mean = sum / total;
    let squares: f64 =
        values.enumerate().map(|(i, v)| weight(i) * ((v - shift) / size - mean).powi(2)).sum();
    (shift + mean * size, size * (squares / total).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Column;

    fn of(values: &[f64]) -> (f64, f64) {
        moments(values.iter().copied(), |_| 1.0)
    }

    #[test]
    fn a10_offsets_and_scales_cost_no_digits() {
        let (mean, deviation) = of(&[1e9 - 1.0, 1e9 + 1.0, 1e9 - 1.0, 1e9 + 1.0]);
        assert!((mean - 1e9).abs() < 1e-6 && (deviation - 1.0).abs() < 1e-12);
        for scale in [1e-300, 1e-30, 1.0, 1e30, 1e200] {
            let (mean, deviation) = of(&[1.0 * scale, 2.0 * scale, 3.0 * scale]);
            assert!((mean / scale - 2.0).abs() < 1e-12, "{scale}: {mean}");
            assert!(
                (deviation / scale - (2.0f64 / 3.0).sqrt()).abs() < 1e-12,
                "{scale}: {deviation}"
            );
        }
        let weighted = moments([1.0, 5.0].into_iter(), |i| if i == 0 { 3.0 } else { 1.0 });
        assert!((weighted.0 - 2.0).abs() < 1e-15 && (weighted.1 - 3.0f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn a8_a_constant_column_is_refused_by_name() {
        let column = |name: &str| Column { name: name.into(), kind: ColumnKind::Real };
        let schema = Schema { columns: vec![column("a"), column("flat")], context: vec![] };
        let x = Rows::new(vec![1.0, 0.3, 2.0, 0.3, 3.0, 0.3], 2).unwrap();
        let data = TrainingData { x, context: None, weights: None };
        let spec: FlowSpec =
            serde_json::from_str(r#"{"dims":2,"transforms":[],"base":{"type":"normal"}}"#).unwrap();
        let error = with_data_maps(spec.clone(), &schema, &data).unwrap_err();
        assert!(error.message().contains("\"flat\"") && error.message().contains("0.3"), "{error}");
        let one = TrainingData { x: data.x.slice(0..1), ..data };
        with_data_maps(spec, &schema, &one).unwrap();
    }
}
