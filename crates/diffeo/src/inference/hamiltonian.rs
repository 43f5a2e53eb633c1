//! Hamiltonian moves of many points at once.

use crate::error::Result;
use crate::host::random::{Purpose, Streams, fill_normal, uniform_open};
use crate::host::rows::Rows;

/// Points with the log-density that they move by, and its slope.
pub(super) trait Points: Clone {
    /// The same density at other points.
    fn at(&self, rows: Rows) -> Result<Self>;

    fn rows(&self) -> &Rows;

    /// At point `i`.
    fn log_density(&self, i: usize) -> f64;

    /// Number `at` of all points' slopes, one after another.
    fn slope(&self, at: usize) -> f64;

    /// Takes point `i` of others.
    fn take(&mut self, i: usize, from: &Self);
}

/// A move by so many leapfrog steps of this size, the momentum drawn from a standard normal; how many points were moved, each with the probability that keeps the density as it is.
///
/// Reference: Neal. *MCMC using Hamiltonian dynamics*. Handbook of Markov Chain Monte Carlo, 2011, arXiv:1206.1901.
pub(super) fn move_points<P: Points>(
    points: &mut P,
    leapfrogs: usize,
    step_size: f64,
    streams: Streams,
    key: u64,
) -> Result<usize> {
    let (n, d) = (points.rows().len(), points.rows().width());
    let mut momenta = vec![0.0; n * d];
    let mut choices = vec![0.0; n];
    for (i, momentum) in momenta.chunks_exact_mut(d).enumerate() {
        let mut rng = streams.rng(Purpose::Move, key, i as u64);
        fill_normal(&mut rng, momentum);
        choices[i] = uniform_open(&mut rng).ln();
    }
    let energy = |points: &P, momenta: &[f64], i: usize| {
        let square: f64 = momenta[i * d..(i + 1) * d].iter().map(|v| v * v).sum();
        points.log_density(i) - 0.5 * square
    };
    let before: Vec<f64> = (0..n).map(|i| energy(points, &momenta, i)).collect();
    let push = |points: &P, momenta: &mut [f64], by: f64| {
        momenta.iter_mut().enumerate().for_each(|(at, v)| *v += by * points.slope(at));
    };
    let mut there = points.clone();
    push(&there, &mut momenta, 0.5 * step_size);
    for leap in 1..=leapfrogs {
        let moved = there.rows().values().iter().zip(&momenta).map(|(x, v)| x + step_size * v);
        there = points.at(Rows::new(moved.collect(), d)?)?;
        let share = if leap == leapfrogs { 0.5 } else { 1.0 };
        push(&there, &mut momenta, share * step_size);
    }
    let mut accepted = 0;
    for i in 0..n {
        // Never where it is NaN.
        if choices[i] < energy(&there, &momenta, i) - before[i] {
            points.take(i, &there);
            accepted += 1;
        }
    }
    Ok(accepted)
}
