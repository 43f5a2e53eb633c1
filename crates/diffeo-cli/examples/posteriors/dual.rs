//! Numbers that carry their derivatives along, so that a model is written once.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// What a model is computed with.
pub(crate) trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    fn constant(value: f64) -> Self;
    fn value(self) -> f64;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;

    fn scale(self, by: f64) -> Self {
        self * Self::constant(by)
    }

    fn square(self) -> Self {
        self * self
    }
}

impl Number for f64 {
    fn constant(value: f64) -> Self {
        value
    }

    fn value(self) -> f64 {
        self
    }

    fn exp(self) -> Self {
        f64::exp(self)
    }

    fn ln(self) -> Self {
        f64::ln(self)
    }

    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
}

/// A number and its derivatives by `D` others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dual<const D: usize> {
    value: f64,
    slopes: [f64; D],
}

impl<const D: usize> Dual<D> {
    /// The number that is number `place` of those that derivatives are taken by.
    pub(crate) fn variable(value: f64, place: usize) -> Self {
        let mut slopes = [0.0; D];
        slopes[place] = 1.0;
        Self { value, slopes }
    }

    pub(crate) fn slopes(&self) -> &[f64; D] {
        &self.slopes
    }

    /// A function of one number, by its value and slope there.
    fn mapped(self, value: f64, slope: f64) -> Self {
        Self { value, slopes: self.slopes.map(|s| slope * s) }
    }

    fn joined(self, other: Self, value: f64, [a, b]: [f64; 2]) -> Self {
        let mut slopes = [0.0; D];
        for (to, (x, y)) in slopes.iter_mut().zip(self.slopes.iter().zip(&other.slopes)) {
            *to = a * x + b * y;
        }
        Self { value, slopes }
    }
}

impl<const D: usize> Add for Dual<D> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.joined(other, self.value + other.value, [1.0, 1.0])
    }
}

impl<const D: usize> Sub for Dual<D> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.joined(other, self.value - other.value, [1.0, -1.0])
    }
}

impl<const D: usize> Mul for Dual<D> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.joined(other, self.value * other.value, [other.value, self.value])
    }
}

impl<const D: usize> Div for Dual<D> {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        let ratio = self.value / other.value;
        self.joined(other, ratio, [1.0 / other.value, -ratio / other.value])
    }
}

impl<const D: usize> Neg for Dual<D> {
    type Output = Self;

    fn neg(self) -> Self {
        self.mapped(-self.value, -1.0)
    }
}

impl<const D: usize> Number for Dual<D> {
    fn constant(value: f64) -> Self {
        Self { value, slopes: [0.0; D] }
    }

    fn value(self) -> f64 {
        self.value
    }

    fn exp(self) -> Self {
        let value = self.value.exp();
        self.mapped(value, value)
    }

    fn ln(self) -> Self {
        self.mapped(self.value.ln(), 1.0 / self.value)
    }

    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        self.mapped(value, 0.5 / value)
    }
}
