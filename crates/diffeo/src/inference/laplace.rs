//! The mode of a density and the spread about it: where a variational fit starts.

use burn::tensor::{Tensor, TensorData};

use super::target::{LogDensity, value_and_gradient};
use crate::error::{Error, ErrorKind, Result};
use crate::host::linalg::SquareMatrix;
use crate::host::random::{Purpose, Streams, normal};
use crate::host::rows::Rows;

/// Steps of the search for a mode.
const STEPS_MAX: usize = 500;
/// Halvings of a step.
const HALVINGS_MAX: usize = 40;
/// A step is taken if it gains this share of what the slope promises (Armijo).
const GAIN_MIN: f64 = 1e-4;
/// The search ends where a step of Newton's would gain less.
const GAIN_LAST: f64 = 1e-9;
/// Starts of the search: the origin, and draws about it.
const STARTS: u64 = 4;
/// Distance of the points whose gradients give the curvature, in deviations as far as the search knows them.
const APART: f64 = 1e-2;
/// Smallest curvature, over the largest: a flat direction is as wide as that.
const CURVATURE_MIN: f64 = 1e-12;

/// A target in coordinates `u` in which its mode is the origin and its curvature there that of a standard normal: `x = mode + L u`. Far from normal it is still
/// of order one, which a flow needs to start.
#[derive(Clone, Debug)]
pub struct Whitened<D> {
    target: D,
    mode: Vec<f64>,
    /// Row after row, lower triangular.
    factor: SquareMatrix,
}

impl<D: LogDensity> Whitened<D> {
    /// Searches for the mode from the origin and a few draws about it, takes the highest, and the curvature there.
    ///
    /// # Errors
    /// [`ErrorKind::NotConverged`] if the density is not finite at any start, or rises without end; those of the density.
    pub fn at_mode(target: D, seed: u64) -> Result<Self> {
        let streams = Streams::new(seed);
        let mut best: Option<Top> = None;
        for start in 0..STARTS {
            let mut rng = streams.rng(Purpose::Start, 1, start);
            let scale = if start == 0 { 0.0 } else { 1.0 };
            let from = (0..target.dims()).map(|_| scale * normal(&mut rng)).collect();
            if let Some(top) = climb(&target, from)?
                && best.as_ref().is_none_or(|highest| top.value > highest.value)
            {
                best = Some(top);
            }
        }
        let top = best.ok_or_else(|| {
            Error::new(
                ErrorKind::NotConverged,
                "found no mode: the density is not finite near the origin, or rises without end; bring its numbers to order one, or give it a prior",
            )
        })?;
        let factor = spread(&target, &top)?;
        Ok(Self { target, mode: top.x, factor })
    }

    /// The mode.
    pub fn mode(&self) -> &[f64] {
        &self.mode
    }

    /// The target itself.
    pub fn target(&self) -> &D {
        &self.target
    }

    /// Rows in the target's own coordinates.
    pub fn unwhitened(&self, u: Tensor<2>) -> Tensor<2> {
        let (d, to) = (self.mode.len(), (&u.device(), u.dtype()));
        let mode = Tensor::<2>::from_data(TensorData::new(self.mode.clone(), [1, d]), to);
        let factor =
            Tensor::<2>::from_data(TensorData::new(self.factor.values().to_vec(), [d, d]), to);
        u.matmul(factor.transpose()) + mode
    }
}

impl<D: LogDensity> LogDensity for Whitened<D> {
    fn dims(&self) -> usize {
        self.mode.len()
    }

    /// With the determinant of the map, so that the evidence is that of the target.
    fn log_density(&self, u: Tensor<2>) -> Result<Tensor<1>> {
        let log_det: f64 = (0..self.mode.len()).map(|i| self.factor.at(i, i).ln()).sum();
        Ok(self.target.log_density(self.unwhitened(u))?.add_scalar(log_det))
    }
}

/// A top of a density.
struct Top {
    value: f64,
    x: Vec<f64>,
    /// The inverse curvature as far as the way up told, row after row.
    inverse: Vec<f64>,
}

/// The top that is reached from a point, by the inverse curvature that its gradients tell (BFGS; Nocedal, Wright. *Numerical Optimization*, 2006, algorithm 6.1); nothing if
/// the density is not finite there or has no top.
fn climb(target: &dyn LogDensity, from: Vec<f64>) -> Result<Option<Top>> {
    let d = from.len();
    let at = |x: &[f64]| -> Result<(f64, Vec<f64>)> {
        let (value, gradient) = value_and_gradient(target, &Rows::new(x.to_vec(), d)?)?;
        Ok((value[0], gradient.into_values()))
    };
    let mut x = from;
    let (mut value, mut gradient) = at(&x)?;
    if !value.is_finite() || !gradient.iter().all(|g| g.is_finite()) {
        return Ok(None);
    }
    let mut inverse = identity(d, 1.0 / norm(&gradient).max(1.0));
    for step in 0..STEPS_MAX {
        let direction: Vec<f64> = inverse.chunks_exact(d).map(|row| dot(row, &gradient)).collect();
        let slope = dot(&direction, &gradient);
        if slope <= GAIN_LAST {
            return Ok(Some(Top { value, x, inverse }));
        }
        let mut scale = 1.0;
        let mut next = None;
        for _ in 0..HALVINGS_MAX {
            let there: Vec<f64> = x.iter().zip(&direction).map(|(x, p)| x + scale * p).collect();
            let (found, its) = at(&there)?;
            if found.is_finite()
                && found >= value + GAIN_MIN * scale * slope
                && its.iter().all(|g| g.is_finite())
            {
                next = Some((there, found, its));
                break;
            }
            scale *= 0.5;
        }
        let Some((there, found, its)) = next else { return Ok(Some(Top { value, x, inverse })) };
        let moved: Vec<f64> = there.iter().zip(&x).map(|(a, b)| a - b).collect();
        // The gradient of what is gone down.
        let bent: Vec<f64> = gradient.iter().zip(&its).map(|(a, b)| a - b).collect();
        update(&mut inverse, &moved, &bent, step == 0);
        (x, value, gradient) = (there, found, its);
    }
    Ok(None)
}

/// Takes up what a step told of the inverse curvature.
fn update(inverse: &mut Vec<f64>, moved: &[f64], bent: &[f64], is_first: bool) {
    let d = moved.len();
    let along = dot(moved, bent);
    if along <= 1e-12 * norm(moved) * norm(bent) {
        return;
    }
    if is_first {
        *inverse = identity(d, along / dot(bent, bent));
    }
    let carried: Vec<f64> = inverse.chunks_exact(d).map(|row| dot(row, bent)).collect();
    let scale = (1.0 + dot(&carried, bent) / along) / along;
    for i in 0..d {
        for j in 0..d {
            inverse[i * d + j] += scale * moved[i] * moved[j]
                - (carried[i] * moved[j] + moved[i] * carried[j]) / along;
        }
    }
}

/// `L` with `L L^T` the inverse of the curvature at the mode, where directions that do not fall count as wide as they may be.
fn spread(target: &dyn LogDensity, top: &Top) -> Result<SquareMatrix> {
    let d = top.x.len();
    let apart = |i: usize| APART * top.inverse[i * d + i].max(f64::MIN_POSITIVE).sqrt();
    let mut points = Vec::with_capacity(2 * d * d);
    for i in 0..d {
        for side in [1.0, -1.0] {
            let mut x = top.x.clone();
            x[i] += side * apart(i);
            points.extend(x);
        }
    }
    let (_, gradients) = value_and_gradient(target, &Rows::new(points, d)?)?;
    let mut curvature = vec![0.0; d * d];
    for i in 0..d {
        let step = 2.0 * apart(i);
        for j in 0..d {
            let bent = (gradients.row(2 * i + 1)[j] - gradients.row(2 * i)[j]) / step;
            curvature[i * d + j] += 0.5 * bent;
            curvature[j * d + i] += 0.5 * bent;
        }
    }
    if !curvature.iter().all(|c| c.is_finite()) {
        return Ok(SquareMatrix::new(identity(d, 1.0), d));
    }
    let largest = (0..d).map(|i| curvature[i * d + i].abs()).fold(0.0, f64::max).max(1e-300);
    let mut ridge = 0.0;
    loop {
        let mut held = curvature.clone();
        (0..d).for_each(|i| held[i * d + i] += ridge);
        if let Ok(covariance) = SquareMatrix::new(held, d).inverse()
            && let Ok(factor) = covariance.cholesky()
        {
            return Ok(factor);
        }
        ridge = if ridge == 0.0 { CURVATURE_MIN * largest } else { 10.0 * ridge };
    }
}

fn identity(d: usize, scale: f64) -> Vec<f64> {
    (0..d * d).map(|i| if i / d == i % d { scale } else { 0.0 }).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A normal about `(3, -200)` with deviations 0.01 and 50 and a correlation of 0.999, and a quartic that bends it.
    struct Narrow {
        quartic: f64,
    }

    impl LogDensity for Narrow {
        fn dims(&self) -> usize {
            2
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            let a = x.clone().narrow(1, 0, 1).sub_scalar(3.0).mul_scalar(100.0);
            let b = x.narrow(1, 1, 1).add_scalar(200.0).div_scalar(50.0);
            let c = (b - a.clone().mul_scalar(0.999)).div_scalar((1.0_f64 - 0.999 * 0.999).sqrt());
            let quartic = a.clone().square().square().mul_scalar(-self.quartic);
            let normal = (a.square() + c.square()).mul_scalar(-0.5);
            Ok((normal + quartic).reshape([n]))
        }
    }

    #[test]
    fn a_narrow_density_far_away_is_a_standard_normal_about_its_mode() -> Result<()> {
        for quartic in [0.0, 0.5] {
            let whitened = Whitened::at_mode(Narrow { quartic }, 0)?;
            assert!((whitened.mode()[0] - 3.0).abs() < 1e-3, "{:?}", whitened.mode());
            assert!((whitened.mode()[1] + 200.0).abs() < 1.0, "{:?}", whitened.mode());
            let points = Rows::new(vec![0.0, 0.0, 0.5, 0.0, 0.0, 0.5, 0.3, -0.4], 2)?;
            let (values, gradient) = value_and_gradient(&whitened, &points)?;
            if quartic == 0.0 {
                for i in 1..4 {
                    let square: f64 = points.row(i).iter().map(|u| u * u).sum();
                    assert!((values[0] - values[i] - 0.5 * square).abs() < 1e-2, "{values:?}");
                }
            }
            assert!(gradient.row(0).iter().all(|g| g.abs() < 1e-2), "{gradient:?}");
        }
        Ok(())
    }

    /// A density that rises without end.
    #[derive(Debug)]
    struct Rising;

    impl LogDensity for Rising {
        fn dims(&self) -> usize {
            1
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            Ok(x.reshape([n]))
        }
    }

    #[test]
    fn a_density_without_a_top_is_an_error() {
        let error = Whitened::at_mode(Rising, 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConverged, "{error}");
    }
}
