//! Continuous normalizing flows: a bijection as the solution of a differential equation whose field is a network.
//!
//! `dx/dt = v(t, x, c)` from `t = 0`, data, to `t = 1`, base; `d ln|det| / dt = div v`. Rows lie in tiles; each has its own time and step size, so its bits depend
//! on no other, and one that has arrived rests. The divergence is found by derivatives along given directions, which go through the products beside the
//! values as further tiles: all of the unit vectors for the exact one, a vector of random signs for an unbiased estimate.
//!
//! The backward pass differentiates the steps that were taken, their sizes taken as constants: the gradient is that of the numbers that the solver
//! gave, at any tolerance. Of each step its start is kept; the stages are computed anew.
//!
//! References: Chen, Rubanova, Bettencourt, Duvenaud. *Neural ordinary differential equations*. NeurIPS 2018, theorem 1, arXiv:1806.07366; Grathwohl, Chen,
//! Bettencourt, Sutskever, Duvenaud. *FFJORD*. ICLR 2019, arXiv:1810.01367.

mod backward;
mod control;
mod field;
mod lanes;
mod path;
mod regress;
mod rows;
mod solve;
mod start;
mod tableau;

use std::fmt;

use crate::dual::{Dual, DualWork, Smooth};
use crate::tiles::TILE_ROWS;
use crate::{Aligned, Real};
pub use backward::Taken;
pub use regress::Regression;
pub use rows::{Directions, RowsGiven};
use tableau::{DORMAND_PRINCE_5, DORMAND_PRINCE_8, RUNGE_KUTTA_4, Tableau};

/// How far out a field still tells places from each other: beyond, it is that of the nearest place within.
pub const REACH: f64 = 1e8;

/// A vector field `v(t, x, c) = L tanh(o / L)`, where `o` is a multi-layer perceptron of `x`: in each layer `a = h W + b + t w`, in the first `+ c C`.
///
/// `|v| <= L` in each coordinate, so no weights move a row further than `L`, and however far out a row is, its way ends.
#[derive(Clone, Debug)]
pub struct Field {
    network: Dual,
    speed: f64,
}

impl Field {
    /// A field of `dims` coordinates with hidden layers of these widths, the bound `speed`, and a context of so many numbers.
    ///
    /// # Panics
    /// If there is no hidden layer, or a width of 0.
    pub fn new(
        [dims, context]: [usize; 2],
        hidden: &[usize],
        activation: Smooth,
        speed: f64,
    ) -> Self {
        let widths = [&[dims], hidden, &[dims]].concat();
        Self { network: Dual::new(&widths, context, true, activation), speed }
    }

    /// Coordinates.
    pub fn dims(&self) -> usize {
        self.network.inputs()
    }

    /// The network `o`.
    pub fn network(&self) -> &Dual {
        &self.network
    }
}

/// How the equation is solved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Solver {
    /// The classical Runge-Kutta method of order 4 with so many equal steps.
    Fixed(usize),
    /// Steps of the size that keeps the estimated error of each within the tolerance, by the method of Dormand and Prince of order 5, or of order 8 where the
    /// tolerance is below [`Solver::ORDER_8_BELOW`].
    Adaptive {
        /// Error allowed in a step, relative to each coordinate and to the log-determinant.
        relative: f64,
        /// Error allowed in a step beside that.
        absolute: f64,
        /// Most steps of a row, rejected ones included.
        steps_max: usize,
    },
}

impl Solver {
    /// Tolerances below this are met by fewer evaluations of a method of order 8.
    pub const ORDER_8_BELOW: f64 = 1e-8;

    fn tableau(&self) -> &'static Tableau {
        match self {
            Self::Fixed(_) => &RUNGE_KUTTA_4,
            Self::Adaptive { relative, absolute, .. }
                if relative.min(*absolute) < Self::ORDER_8_BELOW =>
            {
                &DORMAND_PRINCE_8
            }
            Self::Adaptive { .. } => &DORMAND_PRINCE_5,
        }
    }
}

/// A row whose equation was not solved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stalled {
    /// Which row.
    pub row: usize,
    /// How far it came.
    pub time: f64,
    /// Steps that it took, rejected ones included.
    pub steps: usize,
    /// Whether steps became too small to move time; else there were too many.
    pub too_small: bool,
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { row, time, steps, too_small } = self;
        let what = if *too_small { "steps became too small" } else { "there were too many steps" };
        write!(
            f,
            "the equation of row {row} was not solved beyond t = {time:.6}: {what} ({steps}); the field is too steep there, so train it with a lower rate, allow \
             a larger error, or take a solver of a fixed number of steps"
        )
    }
}

impl std::error::Error for Stalled {}

/// A tile of rows that are brought from one side to the other.
#[derive(Clone, Copy, Debug)]
pub struct Tile<'a, T> {
    /// The context, `[c, TILE_ROWS]`; empty without.
    pub context: &'a [T],
    /// The directions that the divergence is found by, `[p, d, TILE_ROWS]`.
    pub probes: &'a [T],
    /// What is taken off the divergence.
    pub penalty: Penalty,
}

/// A price of a field, `kinetic |v|^2 + jacobian sum_e |J e|^2` for the directions `e` of a [`Tile`]: for the unit vectors the squared Frobenius norm of its Jacobian, for a vector of random signs
/// an estimate of that without bias. Taken off the divergence, its integral is taken off the log-determinant.
///
/// Reference: Finlay, Jacobsen, Nurbekyan, Oberman. *How to train your neural ODE: the world of Jacobian and kinetic regularization*. ICML 2020, arXiv:2002.02798.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Penalty {
    /// Of the squared speed.
    pub kinetic: f64,
    /// Of the squared Jacobian.
    pub jacobian: f64,
}

impl Penalty {
    /// Whether anything is taken off.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The steps that were taken, for the backward pass: `k` accepted ones of the row with the most, the others' filled up with steps of size zero.
#[derive(Debug)]
pub struct Tape<'a, T> {
    /// Where each step started, `[k, d, TILE_ROWS]`.
    pub starts: &'a mut Aligned<T>,
    /// When, `[k, TILE_ROWS]`.
    pub times: &'a mut Aligned<T>,
    /// The steps' sizes, `[k, TILE_ROWS]`.
    pub sizes: &'a mut Aligned<T>,
}

/// The gradient by what a solution depends on.
#[derive(Debug)]
pub struct FieldGradients<'a, T> {
    /// By where it started, given that by where it ended in the same place, `[d, TILE_ROWS]`.
    pub x: &'a mut [T],
    /// By the context, written, `[c, TILE_ROWS]`; empty without.
    pub context: &'a mut [T],
    /// By the flat weights, added to.
    pub weights: &'a mut [T],
}

/// Arrays that solutions and their backward passes need while they run.
#[derive(Debug, Default)]
pub struct FieldWork<T> {
    network: DualWork<T>,
    /// The field and its divergence at each stage.
    fields: Aligned<T>,
    divergences: Aligned<T>,
    stage: Aligned<T>,
}

/// The unit vectors as directions of a tile, `[d, d, TILE_ROWS]`: with them the divergence is exact.
pub fn unit_probes<T: Real>(dims: usize) -> Vec<T> {
    let mut probes = vec![T::ZERO; dims * dims * TILE_ROWS];
    for i in 0..dims {
        probes[(i * dims + i) * TILE_ROWS..][..TILE_ROWS].fill(T::ONE);
    }
    probes
}

#[cfg(test)]
mod tests;
