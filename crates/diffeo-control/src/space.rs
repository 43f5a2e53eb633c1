//! What observations and actions are: named numbers with their bounds.

use diffeo::{Column, ColumnKind, Error, Result, Unit, quoted};

/// A number of an observation or of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its name, which becomes a column's.
    pub name: String,
    /// The smallest value; `-inf` if there is none.
    pub low: f64,
    /// The largest value; `inf` if there is none.
    pub high: f64,
    /// A usual distance from its middle: half the distance between bounds, where there are two.
    pub scale: f64,
}

impl Axis {
    /// A number between bounds.
    pub fn bounded(name: impl Into<String>, low: f64, high: f64) -> Self {
        Self { name: name.into(), low, high, scale: 0.5 * (high - low) }
    }

    /// A number without bounds and of about this size.
    pub fn unbounded(name: impl Into<String>, scale: f64) -> Self {
        Self { name: name.into(), low: f64::NEG_INFINITY, high: f64::INFINITY, scale }
    }

    /// Between the bounds, or 0.
    pub fn middle(&self) -> f64 {
        if self.is_bounded() { self.low + 0.5 * (self.high - self.low) } else { 0.0 }
    }

    /// Whether it has both bounds.
    pub fn is_bounded(&self) -> bool {
        self.low.is_finite() && self.high.is_finite()
    }
}

/// The numbers of an observation or of an action, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Space(Vec<Axis>);

impl Space {
    /// A space of these numbers.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] if there are none, if two have one name, if bounds leave no room, or if a scale is not positive.
    pub fn new(axes: Vec<Axis>) -> Result<Self> {
        if axes.is_empty() {
            return Err(Error::config("a space needs a number at least, found none"));
        }
        for (i, axis) in axes.iter().enumerate() {
            let name = quoted(&axis.name);
            if axes[..i].iter().any(|other| other.name == axis.name) {
                return Err(Error::config(format!("two numbers of a space have the name {name}")));
            }
            if axis.low.is_nan() || axis.high.is_nan() || axis.low >= axis.high {
                let (low, high) = (axis.low, axis.high);
                return Err(Error::config(format!(
                    "{name}: expected bounds with low < high, found {low} and {high}"
                )));
            }
            if !(axis.scale.is_normal() && axis.scale > 0.0) {
                let scale = axis.scale;
                return Err(Error::config(format!(
                    "{name}: expected a positive finite scale, found {scale}"
                )));
            }
        }
        Ok(Self(axes))
    }

    /// Its numbers.
    pub fn axes(&self) -> &[Axis] {
        &self.0
    }

    /// How many there are.
    pub fn width(&self) -> usize {
        self.0.len()
    }

    /// The first number that is not one of the space, in words; bounds are exceeded by rounding of single precision at most.
    pub(crate) fn fault(&self, values: &[f64]) -> Option<String> {
        if values.len() != self.width() {
            return Some(format!("expected {} numbers, found {}", self.width(), values.len()));
        }
        let outside = |(axis, x): &(&Axis, &f64)| {
            let slack = axis.scale * f64::from(f32::EPSILON);
            !(x.is_finite() && **x >= axis.low - slack && **x <= axis.high + slack)
        };
        let (axis, x) = self.0.iter().zip(values).find(outside)?;
        let name = quoted(&axis.name);
        Some(format!("{name} is {x}, expected a number in [{}, {}]", axis.low, axis.high))
    }

    /// A column for each number, between its bounds if `bounded`.
    pub(crate) fn columns(&self, bounded: bool) -> Vec<Column> {
        let column = |axis: &Axis| {
            let (low, high) = (axis.low, axis.high);
            let kind = if bounded { ColumnKind::Interval { low, high } } else { ColumnKind::Real };
            Column::new(axis.name.clone(), kind)
        };
        self.0.iter().map(column).collect()
    }

    /// What brings an observation to numbers of order one.
    pub(crate) fn units(&self) -> Vec<Unit> {
        let unit =
            |axis: &Axis| Unit { center: axis.middle(), scale: axis.scale, ..Unit::default() };
        self.0.iter().map(unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_say_what_is_wrong_with_them_and_with_values() {
        let message = |axes| Space::new(axes).unwrap_err().message().to_owned();
        assert!(message(vec![]).contains("found none"));
        assert!(message(vec![Axis::bounded("a", 1.0, 1.0)]).contains("low < high"));
        assert!(message(vec![Axis::unbounded("a", 0.0)]).contains("scale"));
        let twice = vec![Axis::unbounded("a", 1.0), Axis::bounded("a", 0.0, 1.0)];
        assert!(message(twice).contains("two numbers"));
        let axes = vec![Axis::bounded("a", -2.0, 4.0), Axis::unbounded("b", 5.0)];
        let space = Space::new(axes).unwrap();
        assert_eq!(space.fault(&[4.0, 1e9]), None);
        assert_eq!(space.fault(&[4.0 + 1e-7, 0.0]), None, "single precision rounds");
        for (values, word) in [
            (vec![0.0], "expected 2 numbers, found 1"),
            (vec![4.1, 0.0], "4.1"),
            (vec![0.0, f64::NAN], "NaN"),
            (vec![0.0, f64::INFINITY], "inf"),
        ] {
            let fault = space.fault(&values).unwrap();
            assert!(fault.contains(word), "{fault}");
        }
        assert_eq!(space.axes()[0].middle(), 1.0);
    }
}
