//! A map that makes a density look like a standard normal to a sampler that moves by its gradient.

mod coupling;
mod train;

pub(super) use train::{Tuned, Tuner};

use coupling::{Coupling, Passed};

/// Maps of couplings about a scale for each number: `x = shift + scale u`, `u = c_k(... c_1(z))`.
///
/// Each carries a point and the gradient of a log-density there at once, which is what a Hamiltonian move asks for at every step.
#[derive(Clone, Debug, Default)]
pub(super) struct Warp {
    shift: Vec<f64>,
    scale: Vec<f64>,
    layers: Vec<Coupling>,
}

impl Warp {
    /// A scale for each number, from points and gradients there: the one that makes the two, standardised, as large as each other.
    ///
    /// For a normal density that is its mean and deviation, whatever the points are (nutpie; Seyboldt, Carlson, Carpenter. *Preconditioning Hamiltonian Monte Carlo by
    /// minimizing Fisher divergence*. arXiv:2603.18845, 2026).
    pub(super) fn of_scales(points: &[&[f64]], gradients: &[&[f64]]) -> Self {
        /// Beyond these factors numbers are not rescaled: one point says little.
        const SCALE: [f64; 2] = [1e-10, 1e10];
        let d = points.first().map_or(0, |point| point.len());
        let (mut shift, mut scale) = (vec![0.0; d], vec![1.0; d]);
        for j in 0..d {
            let [x, g] = [points, gradients].map(|rows| moments(rows, j));
            // One point has no spread; its gradient has a size.
            let ratio =
                if points.len() > 1 { x.deviation / g.deviation } else { 1.0 / g.mean.abs() };
            if ratio.is_finite() && ratio > 0.0 {
                scale[j] = ratio.sqrt().clamp(SCALE[0], SCALE[1]);
            }
            shift[j] = x.mean + if points.len() > 1 { g.mean * scale[j] * scale[j] } else { 0.0 };
        }
        Self { shift, scale, layers: Vec::new() }
    }

    /// The point of `z`, and `ln |det dx/dz|`; `passed` takes what [`Warp::pull_back`] needs.
    pub(super) fn to_target(&self, z: &[f64], x: &mut [f64], passed: &mut Vec<Passed>) -> f64 {
        x.copy_from_slice(z);
        passed.clear();
        let mut log_det = 0.0;
        for layer in &self.layers {
            let (one, by) = layer.forward(x);
            passed.push(one);
            log_det += by;
        }
        for ((v, shift), scale) in x.iter_mut().zip(&self.shift).zip(&self.scale) {
            *v = shift + scale * *v;
            log_det += scale.ln();
        }
        log_det
    }

    /// The gradient by `z` of `ln p(x(z)) + ln |det dx/dz|`, from that of `ln p` by `x`, after [`Warp::to_target`].
    pub(super) fn pull_back(&self, gradient: &[f64], passed: &[Passed], out: &mut [f64]) {
        out.iter_mut().zip(gradient).zip(&self.scale).for_each(|((o, g), s)| *o = g * s);
        for (layer, one) in self.layers.iter().zip(passed).rev() {
            layer.pull_back(one, out);
        }
    }

    /// The place of a point `x` with its gradient, both by `z`, and `ln |det dx/dz|`.
    pub(super) fn to_base(
        &self,
        x: &[f64],
        gradient: &[f64],
        z: &mut [f64],
        out: &mut [f64],
    ) -> f64 {
        let mut log_det = 0.0;
        for j in 0..x.len() {
            z[j] = (x[j] - self.shift[j]) / self.scale[j];
            out[j] = gradient[j] * self.scale[j];
            log_det += self.scale[j].ln();
        }
        for layer in self.layers.iter().rev() {
            let (one, by) = layer.inverse(z);
            layer.pull_back(&one, out);
            log_det += by;
        }
        log_det
    }
}

struct Moments {
    mean: f64,
    deviation: f64,
}

fn moments(rows: &[&[f64]], j: usize) -> Moments {
    let n = rows.len() as f64;
    let mean = rows.iter().map(|row| row[j]).sum::<f64>() / n;
    let square = rows.iter().map(|row| (row[j] - mean).powi(2)).sum::<f64>();
    Moments { mean, deviation: (square / n).sqrt() }
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;

    use super::coupling::Weights;
    use super::*;
    use crate::host::random::{Purpose, Streams, fill_normal};

    fn normals(n: usize, seed: u64) -> Vec<f64> {
        let mut out = vec![0.0; n];
        fill_normal(&mut Streams::new(seed).rng(Purpose::Check, 0, 0), &mut out);
        out
    }

    fn warp(d: usize) -> Warp {
        let layers = (0..3).map(|k| {
            let mut weights = Weights::start(d, 5, k, DType::F64);
            weights.for_each(|at, w| *w += 0.3 * normals(at + 1, k + 7)[at]);
            Coupling::new(&weights).unwrap()
        });
        Warp {
            shift: normals(d, 1),
            scale: normals(d, 2).iter().map(|s| s.exp()).collect(),
            layers: layers.collect(),
        }
    }

    /// `ln p = -sum cosh(x_i - x_(i-1))`.
    fn density(x: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut sum = 0.0;
        for i in 0..x.len() {
            let before = if i == 0 { 0.0 } else { x[i - 1] };
            let v = x[i] - before;
            sum -= v.cosh();
            gradient[i] -= v.sinh();
            if i > 0 {
                gradient[i - 1] += v.sinh();
            }
        }
        sum
    }

    #[test]
    fn points_come_back_and_gradients_are_those_of_the_density_by_base_numbers() {
        let d = 4;
        let (warp, z) = (warp(d), normals(d, 5));
        let (mut x, mut gradient, mut passed) = (vec![0.0; d], vec![0.0; d], Vec::new());
        let mut at = |z: &[f64]| {
            let log_det = warp.to_target(z, &mut x, &mut passed);
            let log_p = density(&x, &mut gradient);
            let mut pulled = vec![0.0; d];
            warp.pull_back(&gradient, &passed, &mut pulled);
            (log_p + log_det, pulled, x.clone(), gradient.clone(), log_det)
        };
        let (_, pulled, x, gradient, log_det) = at(&z);
        let (mut back, mut of_base) = (vec![0.0; d], vec![0.0; d]);
        let again = warp.to_base(&x, &gradient, &mut back, &mut of_base);
        assert!((again - log_det).abs() < 1e-12);
        for j in 0..d {
            assert!((back[j] - z[j]).abs() < 1e-12 && (of_base[j] - pulled[j]).abs() < 1e-12);
            let step = 1e-5;
            let moved = |by: f64| {
                let mut z = z.clone();
                z[j] += by;
                z
            };
            let slope = (at(&moved(step)).0 - at(&moved(-step)).0) / (2.0 * step);
            assert!(
                (slope - pulled[j]).abs() < 1e-7 * (1.0 + slope.abs()),
                "{j}: {slope} {}",
                pulled[j]
            );
        }
    }

    #[test]
    fn scales_of_a_normal_density_are_exact_from_a_few_points() {
        let points: Vec<Vec<f64>> = (0..5).map(|i| normals(3, i)).collect();
        let of = [[2.0, 3.0, 0.5], [1.0, -4.0, 0.0]];
        let slope = |x: &Vec<f64>| -> Vec<f64> {
            (0..3).map(|j| (of[1][j] - x[j]) / (of[0][j] * of[0][j])).collect()
        };
        let gradients: Vec<Vec<f64>> = points.iter().map(slope).collect();
        let slices = |rows: &'static [Vec<f64>]| rows.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let warp = Warp::of_scales(&slices(points.leak()), &slices(gradients.leak()));
        for j in 0..3 {
            assert!(
                (warp.scale[j] - of[0][j]).abs() < 1e-12
                    && (warp.shift[j] - of[1][j]).abs() < 1e-12
            );
        }
    }
}
