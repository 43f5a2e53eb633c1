//! Time and step size of each row.

use super::lanes::raise;
use super::tableau::Control;
use super::{Solver, Stalled};
use crate::Real;
use crate::ops::Direction;
use crate::tiles::TILE_ROWS;

/// Time and step size of each row of a tile, in `f64`.
#[derive(Debug)]
pub(super) struct Lanes {
    /// Where each row is.
    pub(super) time: [f64; TILE_ROWS],
    /// Its next step; zero once it has arrived.
    pub(super) step: [f64; TILE_ROWS],
    /// Steps that it has taken.
    pub(super) accepted: [usize; TILE_ROWS],
    /// When all are there.
    end: f64,
    tried: [usize; TILE_ROWS],
    /// Whether the step leads to the end.
    is_last: [bool; TILE_ROWS],
    was_rejected: [bool; TILE_ROWS],
    error_before: [f64; TILE_ROWS],
}

/// What the error of the step before the first is taken for.
const ERROR_BEFORE: f64 = 1e-4;

/// Part of the step that would just meet the tolerance which is taken.
const SAFETY: f64 = 0.9;

impl Lanes {
    /// At the start, without a step yet.
    pub(super) fn new(direction: Direction) -> Self {
        let [start, end] = match direction {
            Direction::Forward => [0.0, 1.0],
            Direction::Inverse => [1.0, 0.0],
        };
        Self {
            time: [start; TILE_ROWS],
            step: [0.0; TILE_ROWS],
            accepted: [0; TILE_ROWS],
            end,
            tried: [0; TILE_ROWS],
            is_last: [false; TILE_ROWS],
            was_rejected: [false; TILE_ROWS],
            error_before: [ERROR_BEFORE; TILE_ROWS],
        }
    }

    /// Puts another row at the start of a lane, without a step yet.
    pub(super) fn restart(&mut self, lane: usize) {
        (self.time[lane], self.step[lane]) = (1.0 - self.end, 0.0);
        (self.accepted[lane], self.tried[lane]) = (0, 0);
        (self.is_last[lane], self.was_rejected[lane]) = (false, false);
        self.error_before[lane] = ERROR_BEFORE;
    }

    /// Which way time goes.
    pub(super) fn sign(&self) -> f64 {
        if self.end > 0.5 { 1.0 } else { -1.0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.step == [0.0; TILE_ROWS]
    }

    /// The steps in the precision that is computed with.
    pub(super) fn steps<T: Real>(&self) -> [T; TILE_ROWS] {
        self.step.map(T::from_f64)
    }

    /// The times at a part of the steps.
    pub(super) fn times<T: Real>(&self, part: f64) -> [T; TILE_ROWS] {
        std::array::from_fn(|lane| T::from_f64(self.time[lane] + part * self.step[lane]))
    }

    /// Sets the next step of a row, as the precision can hold it; it does not go beyond the end.
    pub(super) fn set<T: Real>(&mut self, lane: usize, size: f64) {
        let rest = (self.end - self.time[lane]).abs();
        self.is_last[lane] = size >= rest;
        self.step[lane] = T::from_f64(self.sign() * size.min(rest)).to_f64();
    }

    /// Moves a row to the end of its step; `size` is that of the next.
    fn accept<T: Real>(&mut self, lane: usize, size: f64) {
        self.accepted[lane] += 1;
        if self.is_last[lane] {
            (self.time[lane], self.step[lane]) = (self.end, 0.0);
        } else {
            self.time[lane] += self.step[lane];
            self.set::<T>(lane, size);
        }
    }

    /// All steps are taken as they are. Says which rows moved.
    pub(super) fn go_on<T: Real>(&mut self, size: f64, steps: usize) -> [bool; TILE_ROWS] {
        let moved = self.step.map(|step| step != 0.0);
        for lane in (0..TILE_ROWS).filter(|lane| moved[*lane]) {
            // The last one ends at the end, whatever the sum of the others was rounded to.
            let size = if self.accepted[lane] + 2 >= steps { 1.0 } else { size };
            self.accept::<T>(lane, size);
        }
        moved
    }

    /// Decides on each row's step by its error in units of what is allowed, and on the size of the next: a controller with a proportional and an integral part. Says which rows moved.
    ///
    /// Reference: Hairer, Norsett, Wanner. *Solving Ordinary Differential Equations I*. 2nd edition, 1993, II.4; IV.2 for the integral part.
    ///
    /// # Errors
    /// [`Stalled`] for the first row whose steps become too small or too many.
    pub(super) fn decide<T: Real>(
        &mut self,
        errors: &[f64; TILE_ROWS],
        control: &Control,
        steps_max: usize,
    ) -> Result<[bool; TILE_ROWS], Stalled> {
        let (mut demanded, mut damping) = (*errors, self.error_before);
        raise(&mut demanded, control.power);
        raise(&mut damping, control.damping);
        let mut moved = [false; TILE_ROWS];
        let steps = self.step;
        for lane in (0..TILE_ROWS).filter(|lane| steps[*lane] != 0.0) {
            let demanded = [demanded[lane], damping[lane]];
            moved[lane] = self.decide_on::<T>(lane, errors[lane], demanded, control, steps_max)?;
        }
        Ok(moved)
    }

    /// The same of one row, given the powers of its error and of that of the step before.
    fn decide_on<T: Real>(
        &mut self,
        lane: usize,
        error: f64,
        [demanded, damping]: [f64; 2],
        control: &Control,
        steps_max: usize,
    ) -> Result<bool, Stalled> {
        let stalled = |lanes: &Self, too_small| Stalled {
            row: lane,
            time: lanes.time[lane],
            steps: lanes.tried[lane],
            too_small,
        };
        self.tried[lane] += 1;
        let [least, most] = control.change;
        let size = self.step[lane].abs();
        let is_accepted = error <= 1.0;
        if is_accepted {
            let mut change = (SAFETY * damping / demanded).clamp(least, most);
            if self.was_rejected[lane] {
                change = change.min(1.0);
            }
            self.error_before[lane] = error.max(ERROR_BEFORE);
            self.accept::<T>(lane, size * change);
        } else {
            // An error that is no number, too, asks for a smaller step.
            let change = if demanded.is_finite() { (SAFETY / demanded).max(least) } else { least };
            self.set::<T>(lane, size * change);
            if self.step[lane].abs() <= 4.0 * T::EPSILON.to_f64() {
                return Err(stalled(self, true));
            }
        }
        self.was_rejected[lane] = !is_accepted;
        if self.step[lane] != 0.0 && self.tried[lane] >= steps_max {
            return Err(stalled(self, false));
        }
        Ok(is_accepted)
    }
}

impl Solver {
    /// The tolerance, relative and absolute.
    pub(super) fn tolerance(&self) -> [f64; 2] {
        match self {
            Self::Fixed(_) => [0.0, 1.0],
            Self::Adaptive { relative, absolute, .. } => [*relative, *absolute],
        }
    }
}
