//! From the units of the data to numbers of order one, and back: on the host, in `f64`.

use diffeo_kernels::sum_rows;
use serde::{Deserialize, Serialize};

use super::cells::Cell;
use super::image::ImageShape;
use super::infer::SKEWED;
use super::outcomes::Case;
use super::runs;
use super::schema::{Column, Schema};
use super::support::Support;
use crate::error::{Error, Result, quoted};
use crate::host::rows::Rows;

/// The unit of a column: `z = (s(x) - center) / scale` with `s` the map of its support, and constants taken from the training data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// The map of the support to the real line.
    #[serde(default)]
    pub support: Support,
    /// Subtracted.
    pub center: f64,
    /// Divided by.
    pub scale: f64,
}

impl Default for Unit {
    /// The column as it is.
    fn default() -> Self {
        Self { support: Support::Identity, center: 0.0, scale: 1.0 }
    }
}

/// The units of all columns of a model: what lies between a table and a flow.
///
/// Their log-determinants are part of the model's densities. They run in `f64`, so that a column like `1e9 ± 1` keeps its digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// Of the columns whose density is modelled.
    #[serde(with = "runs")]
    pub columns: Vec<Unit>,
    /// Of those it is conditional on.
    #[serde(default, with = "runs")]
    pub context: Vec<Unit>,
}

impl Units {
    /// All columns as they are.
    pub fn none(dims: usize, context: usize) -> Self {
        Self { columns: vec![Unit::default(); dims], context: vec![Unit::default(); context] }
    }

    /// Units of the columns' kinds with these centres and scales; contexts as they are.
    pub fn of(schema: &Schema, center: &[f64], scale: &[f64]) -> Self {
        let constants = center.iter().zip(scale);
        let unit = |(column, (&center, &scale)): (&Column, (&f64, &f64))| Unit {
            support: column.kind.support(column.masses.len()),
            center,
            scale,
        };
        Self {
            columns: schema.numbers().zip(constants).map(unit).collect(),
            context: vec![Unit::default(); schema.context_width()],
        }
    }

    /// The units of images without context.
    pub fn of_images(image: &ImageShape) -> Self {
        Self { columns: vec![image.unit(); image.numbers()], context: Vec::new() }
    }

    /// The units of images with noise ([`Schema::noised`]) without context: the levels are as real as the noise.
    pub fn of_noised_images(image: &ImageShape) -> Self {
        Self { columns: vec![image.given_unit(); image.numbers()], context: Vec::new() }
    }

    /// Gives the members of a context, whose order says nothing, one unit where they are of one kind: mean 0 and deviation 1 over all of them.
    pub(crate) fn share_among(&mut self, members: usize) {
        let width = self.context.len() / members;
        for i in 0..width {
            let of: Vec<Unit> = (0..members).map(|k| self.context[k * width + i]).collect();
            if of.iter().any(|unit| unit.support != of[0].support) {
                continue;
            }
            let mean =
                |value: &dyn Fn(&Unit) -> f64| of.iter().map(value).sum::<f64>() / members as f64;
            let center = mean(&|unit| unit.center);
            let square = mean(&|unit| unit.scale.powi(2) + (unit.center - center).powi(2));
            for k in 0..members {
                self.context[k * width + i] = Unit { center, scale: square.sqrt(), ..of[0] };
            }
        }
    }

    /// Units in which every column of these rows has mean 0 and deviation 1, row `i` counting `weight(i)` times.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Data`] if a modelled column is constant: its density would be infinite.
    pub(crate) fn fit(
        schema: &Schema,
        x: &Rows,
        context: Option<&Rows>,
        weight: impl Fn(usize) -> f64,
    ) -> Result<Self> {
        let columns = schema.columns.iter().enumerate().filter(|(_, column)| column.has_number());
        let columns = match (&schema.image, schema.noise) {
            (Some(image), None) => Self::of_images(image).columns,
            (Some(image), Some(_)) => Self::of_noised_images(image).columns,
            (None, _) => columns
                .map(|(j, column)| {
                    modelled_unit(column, x, j, &weight)?.ok_or_else(|| constant(column, x, j))
                })
                .collect::<Result<_>>()?,
        };
        let of_image = schema
            .given_image
            .map_or((0, Unit::default()), |given| (given.numbers(), given.given_unit()));
        let mut units = vec![of_image.1; of_image.0];
        let of_context = (0..schema.context.len()).map(|j| (context, j));
        let optional = (0..schema.columns.len()).filter(|j| schema.columns[*j].optional);
        let places = of_context.chain(optional.map(|j| (Some(x), j)));
        for (column, (rows, j)) in schema.conditions().zip(places).skip(units.len()) {
            let mut unit = Unit::default();
            if let (Some(rows), true) = (rows, column.is_scaled_context()) {
                let support = column.kind.context_support();
                let is_number = |x: f64| match column.masses.contains(&column.kind.nearest(x)) {
                    true => column.numbered && column.kind.contains(x),
                    false => true,
                };
                let there = |x: f64| !x.is_nan() && is_number(x);
                let image = |x: f64| support.image(x);
                let (center, scale) = spread(&column, &image, rows, j, (&weight, &there))?;
                let scale = if is_constant(center, scale) { 1.0 } else { scale };
                unit = Unit { support, center, scale };
            }
            units.push(unit);
            units.resize(units.len() + column.context_width() - 1, Unit::default());
        }
        Ok(Self { columns, context: units })
    }

    /// The modelled columns that are constant in the rows that count, for which [`Units::fit`] has no unit.
    pub(crate) fn constant_columns(
        schema: &Schema,
        x: &Rows,
        weight: impl Fn(usize) -> f64,
    ) -> Vec<usize> {
        let numbers = schema.columns.iter().enumerate().filter(|(_, column)| column.has_number());
        let is_constant = |(j, column): &(usize, &Column)| {
            matches!(modelled_unit(column, x, *j, &weight), Ok(None))
        };
        numbers.filter(is_constant).map(|(j, _)| j).collect()
    }

    /// Checks widths and constants.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] unless there is a unit for each column, every centre is finite and every scale finite and positive.
    pub fn validate(&self, dims: usize, context: usize) -> Result<()> {
        if (self.columns.len(), self.context.len()) != (dims, context) {
            return Err(Error::config(format!(
                "units: expected {dims} columns and {context} context columns, found {} and {}",
                self.columns.len(),
                self.context.len()
            )));
        }
        for unit in self.columns.iter().chain(&self.context) {
            unit.support.validate()?;
            // Normal, not merely above 0: the reciprocal of a subnormal scale overflows.
            if !(unit.center.is_finite() && unit.scale.is_normal() && unit.scale > 0.0) {
                return Err(Error::config(format!(
                    "units: expected a finite centre and a positive finite scale, found {} and {}",
                    unit.center, unit.scale
                )));
            }
        }
        Ok(())
    }

    /// Brings rows from the units of the data to real numbers of order one, and returns `log|det|` of that for each row: `-inf` outside
    /// the support.
    pub(crate) fn to_real(&self, x: &mut Rows) -> Vec<f64> {
        let mut log_det = vec![0.0; x.len()];
        let width = self.columns.len();
        if self.columns.iter().any(|unit| unit.support != Support::Identity) {
            let mut slopes = vec![0.0; x.values().len()];
            let values = x.values_mut().chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width));
            for (row, slopes) in values {
                for ((x, slope), unit) in row.iter_mut().zip(slopes).zip(&self.columns) {
                    (*x, *slope) = unit.support.to_real(*x);
                }
            }
            sum_rows(&slopes, &mut log_det);
        }
        standardise(&self.columns, x);
        let constant = self.log_det();
        log_det.iter_mut().for_each(|sum| *sum += constant);
        log_det
    }

    /// Brings rows back to the units of the data, and adds `log|det|` of that to each row's.
    pub(crate) fn to_data(&self, z: &mut Rows, log_det: &mut [f64]) {
        restore(&self.columns, z);
        let constant = self.log_det();
        log_det.iter_mut().for_each(|sum| *sum -= constant);
        if self.columns.iter().all(|unit| unit.support == Support::Identity) {
            return;
        }
        let width = self.columns.len();
        let (mut slopes, mut sums) = (vec![0.0; z.values().len()], vec![0.0; z.len()]);
        let values = z.values_mut().chunks_exact_mut(width).zip(slopes.chunks_exact_mut(width));
        for (row, slopes) in values {
            for ((z, slope), unit) in row.iter_mut().zip(slopes).zip(&self.columns) {
                (*z, *slope) = unit.support.to_data(*z);
            }
        }
        sum_rows(&slopes, &mut sums);
        log_det.iter_mut().zip(sums).for_each(|(log_det, sum)| *log_det += sum);
    }

    /// The values of a column that are numbers as the flow sees them, of at most `most` rows, in equal steps: column `j` of the table, number
    /// `number` of the flow.
    pub(crate) fn column_to_real(
        &self,
        column: &Column,
        number: usize,
        x: &Rows,
        j: usize,
        most: usize,
    ) -> Vec<f64> {
        let (unit, outcomes) = (self.columns[number], column.outcomes());
        let cell = Cell::of(column);
        let step = x.len().div_ceil(most.max(1)).max(1);
        let values = x.values().iter().skip(j).step_by(x.width() * step);
        let there = values.filter(|x| column.case(**x, &outcomes) == Case::Number);
        let image = |x: f64| unit.support.image(on_line(cell.as_ref(), x));
        there.map(|&x| (image(x) - unit.center) / unit.scale).collect()
    }

    /// A number in the units of the data as the flow sees it, and the log-slope of that.
    pub(super) fn number_to_real(&self, j: usize, x: f64) -> (f64, f64) {
        let unit = &self.columns[j];
        let (z, log_slope) = unit.support.to_real(x);
        ((z - unit.center) / unit.scale, log_slope - unit.scale.ln())
    }

    /// A number of the flow in the units of the data, and the log-slope of that.
    pub(super) fn number_to_data(&self, j: usize, z: f64) -> (f64, f64) {
        let unit = &self.columns[j];
        let (x, log_slope) = unit.support.to_data(z * unit.scale + unit.center);
        (x, log_slope + unit.scale.ln())
    }

    /// Of the standardisation, the same for each row.
    fn log_det(&self) -> f64 {
        -self.columns.iter().map(|unit| unit.scale.ln()).sum::<f64>()
    }
}

fn standardise(units: &[Unit], rows: &mut Rows) {
    for row in rows.values_mut().chunks_exact_mut(units.len().max(1)) {
        row.iter_mut().zip(units).for_each(|(v, unit)| *v = (*v - unit.center) / unit.scale);
    }
}

fn restore(units: &[Unit], rows: &mut Rows) {
    for row in rows.values_mut().chunks_exact_mut(units.len().max(1)) {
        row.iter_mut().zip(units).for_each(|(v, unit)| *v = *v * unit.scale + unit.center);
    }
}

/// What lies between a column and the flow; `None` for a column that is constant in the rows that count.
fn modelled_unit(
    column: &Column,
    x: &Rows,
    j: usize,
    weight: &impl Fn(usize) -> f64,
) -> Result<Option<Unit>> {
    let support = column.kind.support(column.masses.len());
    let outcomes = column.outcomes();
    let there = |x: f64| column.case(x, &outcomes) == Case::Number;
    let cell = Cell::of(column);
    let line = |x: f64| on_line(cell.as_ref(), x);
    let (mean, deviation) = spread(column, &line, x, j, (weight, &there))?;
    let counted = x.values().iter().skip(j).step_by(x.width()).enumerate();
    let counted = counted.filter(|(i, x)| there(**x) && weight(*i) > 0.0);
    let (mut skewed, mut total) = (0.0, 0.0);
    for (i, x) in counted.clone() {
        skewed += weight(i) * ((line(*x) - mean) / deviation).powi(3);
        total += weight(i);
    }
    let is_skewed = skewed > SKEWED * total;
    let support = match !is_skewed && deviation.is_normal() {
        true => support.unskewed(deviation),
        false => support,
    };
    let image = |x: f64| support.image(line(x));
    let (center, deviation) = spread(column, &image, x, j, (weight, &there))?;
    // On a line that is as it is, noise uniform on [0, 1) has variance 1/12.
    let scale = match &cell {
        Some(cell) if support == Support::Identity => {
            deviation.hypot(cell.width() * (1.0f64 / 12.0).sqrt())
        }
        _ => deviation,
    };
    let is_constant = is_constant(center, scale);
    if is_constant && counted.count() > 1 {
        return Ok(None);
    }
    Ok(Some(Unit { support, center, scale: if is_constant { 1.0 } else { scale } }))
}

fn constant(column: &Column, x: &Rows, j: usize) -> Error {
    let value = x.column(j).into_iter().find(|x| !x.is_nan()).unwrap_or_default();
    Error::data(format!(
        "column {} is constant ({value}), but for rounding errors at most: its density would be infinite; leave it out",
        quoted(&column.name)
    ))
}

/// Where a number is seen: in the middle of its cell, if it stands for one.
fn on_line(cell: Option<&Cell>, x: f64) -> f64 {
    cell.map_or(x, |cell| cell.onto_line(cell.point(x, 0.5)))
}

/// A deviation at the rounding error of the mean is that of a constant.
fn is_constant(mean: f64, deviation: f64) -> bool {
    deviation <= mean.abs() * 1e-14
}

/// Mean and deviation of a column on the real line, in the rows that count: others must not even set the scale of the arithmetic.
fn spread(
    column: &Column,
    image: &impl Fn(f64) -> f64,
    rows: &Rows,
    j: usize,
    (weight, there): (&impl Fn(usize) -> f64, &impl Fn(f64) -> bool),
) -> Result<(f64, f64)> {
    let values = rows.values().iter().skip(j).step_by(rows.width()).enumerate();
    let values = values.filter(|(i, x)| there(**x) && weight(*i) > 0.0);
    let (mean, deviation) = moments(values.map(|(i, &x)| (image(x), weight(i))));
    if !(mean.is_finite() && deviation.is_finite()) {
        return Err(Error::data(format!(
            "column {}: its mean or spread is too large for a float; rescale it",
            quoted(&column.name)
        )));
    }
    Ok((mean, deviation))
}

/// Weighted mean and deviation (dividing by the sum of weights) in two passes.
///
/// Values are shifted by the first and scaled by the largest shift, so neither an offset (`1e9 ± 1`) nor a scale whose square leaves
/// the floats (`1e200`) costs digits. Chan, Golub, LeVeque. *Algorithms for computing the sample variance*. Am. Stat. 37, 1983.
fn moments(values: impl Iterator<Item = (f64, f64)> + Clone) -> (f64, f64) {
    let shift = values.clone().next().map_or(0.0, |(v, _)| v);
    let size = values.clone().fold(0.0, |a: f64, (v, _)| a.max((v - shift).abs()));
    if size == 0.0 {
        return (shift, 0.0);
    }
    let (mut sum, mut total) = (0.0, 0.0);
    for (v, weight) in values.clone() {
        sum += weight * ((v - shift) / size);
        total += weight;
    }
    let mean = sum / total;
    let squares: f64 = values.map(|(v, weight)| weight * ((v - shift) / size - mean).powi(2)).sum();
    (shift + mean * size, size * (squares / total).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> (f64, f64) {
        moments(values.iter().map(|v| (*v, 1.0)))
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
        let weighted = moments([(1.0, 3.0), (5.0, 1.0)].into_iter());
        assert!((weighted.0 - 2.0).abs() < 1e-15 && (weighted.1 - 3.0f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn a8_a_constant_column_is_refused_by_name() {
        let schema = Schema::real(["a", "flat"]);
        let x = Rows::new(vec![1.0, 0.3, 2.0, 0.3, 3.0, 0.3], 2).unwrap();
        let error = Units::fit(&schema, &x, None, |_| 1.0).unwrap_err();
        assert!(error.message().contains("\"flat\"") && error.message().contains("0.3"), "{error}");
        Units::fit(&schema, &x.slice(0..1), None, |_| 1.0).unwrap();
    }

    #[test]
    fn rows_of_no_weight_decide_nothing() {
        let schema = Schema::real(["a"]);
        let x = |first: f64| Rows::new(vec![first, -1.0, 0.5, 2.0], 1).unwrap();
        let without_first = |i: usize| f64::from(u8::from(i > 0));
        let expected = Units::fit(&schema, &x(0.0), None, without_first).unwrap();
        for far in [1e20, 1e300, -1e12] {
            assert_eq!(Units::fit(&schema, &x(far), None, without_first).unwrap(), expected);
            assert!(Units::constant_columns(&schema, &x(far), without_first).is_empty());
        }
        let only_first = |i: usize| f64::from(u8::from(i == 0));
        let one = Units::fit(&schema, &x(7.0), None, only_first).unwrap();
        assert_eq!((one.columns[0].center, one.columns[0].scale), (7.0, 1.0));
    }

    fn mixed() -> (Units, Rows) {
        let unit = |support, center, scale| Unit { support, center, scale };
        let columns = vec![
            unit(Support::Log, 0.3, 2.0),
            unit(Support::Identity, -4.0, 0.1),
            unit(Support::Logit { low: -1.0, high: 3.0 }, 0.2, 1.5),
        ];
        let x = vec![0.5, 7.0, 0.0, 1e-8, -4.0, 2.999, 1e6, 1e3, -0.5];
        (Units { columns, context: vec![] }, Rows::new(x, 3).unwrap())
    }

    #[test]
    fn rows_come_back_and_log_determinants_cancel_and_are_those_of_differences() {
        let (units, x) = mixed();
        let mut z = x.clone();
        let log_det = units.to_real(&mut z);
        for (row, log_det) in log_det.iter().enumerate() {
            let slope = |j: usize| {
                let at = x.row(row)[j].abs();
                let h = if at > 0.0 { 1e-6 * at } else { 1e-6 };
                let moved = |by: f64| {
                    let mut moved = x.slice(row..row + 1);
                    moved.values_mut()[j] += by;
                    units.to_real(&mut moved);
                    moved.values()[j]
                };
                (moved(h) - moved(-h)) / (2.0 * h)
            };
            let expected: f64 = (0..3).map(|j| slope(j).ln()).sum();
            assert!((log_det - expected).abs() < 1e-4, "row {row}: {log_det}, {expected}");
        }
        let (mut back, mut sum) = (z, log_det);
        units.to_data(&mut back, &mut sum);
        for (a, b) in back.values().iter().zip(x.values()) {
            assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-3), "{a} {b}");
        }
        assert!(sum.iter().all(|v| v.abs() < 1e-11), "{sum:?}");
    }

    #[test]
    fn e3_a_support_ends_exactly_at_its_bounds() {
        let (units, _) = mixed();
        let log_det = |column: usize, value: f64| {
            let mut row = vec![0.5; 3];
            row[column] = value;
            units.to_real(&mut Rows::new(row, 3).unwrap())[0]
        };
        for outside in [0.0, -0.0, 0f64.next_down(), -1e-8, -1e6] {
            assert_eq!(log_det(0, outside), f64::NEG_INFINITY, "ln {outside}");
        }
        for inside in [0f64.next_up(), f64::MIN_POSITIVE, 1e-8, 1e6, f64::MAX] {
            assert!(log_det(0, inside).is_finite(), "ln {inside}");
        }
        for outside in [-1.0, -1f64.next_up(), 3.0, 3f64.next_up(), 1e6, -1e6] {
            assert_eq!(log_det(2, outside), f64::NEG_INFINITY, "logit {outside}");
        }
        for inside in [(-1f64).next_up(), 3f64.next_down(), 0.0, -0.0, 1e-8, -1e-8] {
            assert!(log_det(2, inside).is_finite(), "logit {inside}");
        }
        // However far out on the real line, a sample lies strictly inside.
        for far in [1e3, 1e6, -1e3, -1e6] {
            let mut x = Rows::new(vec![far; 3], 3).unwrap();
            units.to_data(&mut x, &mut [0.0]);
            let x = x.values();
            assert!(x[0] > 0.0 && x[2] > -1.0 && x[2] < 3.0, "{x:?}");
            assert!(log_det(0, x[0]).is_finite() && log_det(2, x[2]).is_finite(), "{x:?}");
        }
    }

    #[test]
    fn units_that_are_no_units_are_refused() {
        let (units, _) = mixed();
        units.validate(3, 0).unwrap();
        assert!(units.validate(2, 0).is_err() && units.validate(3, 1).is_err());
        let bad = [
            Unit { scale: 0.0, ..Unit::default() },
            Unit { scale: f64::from_bits(1), ..Unit::default() },
            Unit { center: f64::NAN, ..Unit::default() },
            Unit { support: Support::Logit { low: 1.0, high: 1.0 }, ..Unit::default() },
        ];
        for unit in bad {
            assert!(Units { columns: vec![unit], context: vec![] }.validate(1, 0).is_err());
        }
    }

    #[test]
    fn members_of_a_context_of_one_kind_have_one_unit() {
        let unit = |center, scale| Unit { center, scale, ..Unit::default() };
        let positive = |center| Unit { support: Support::Log, ..unit(center, 1.0) };
        let context = vec![unit(1.0, 2.0), positive(3.0), unit(3.0, 2.0), unit(4.0, 1.0)];
        let mut units = Units { columns: vec![], context: context.clone() };
        units.share_among(2);
        assert_eq!(units.context[0], unit(2.0, 5f64.sqrt()));
        assert_eq!(units.context[2], units.context[0]);
        assert_eq!([units.context[1], units.context[3]], [context[1], context[3]]);
    }
}
