//! The first step of rows that set out.

use super::control::Lanes;
use super::lanes::{add_errors, raise};
use super::{FieldWork, Solver};
use crate::Real;
use crate::tiles::TILE_ROWS;

/// Rows that set out: their first step follows from the field where they start, and where an explicit step of Euler's method of a guessed size leads, which shows the second derivative.
///
/// Reference: Hairer, Norsett, Wanner. *Solving Ordinary Differential Equations I*. 2nd edition, 1993, II.4.
#[derive(Debug)]
pub(super) struct Newcomers {
    lanes: [bool; TILE_ROWS],
    /// At which stage the field is found where the guess leads; that of the start is the first.
    stage: usize,
    guess: [f64; TILE_ROWS],
    of_field: [f64; TILE_ROWS],
}

impl Newcomers {
    pub(super) fn new(lanes: [bool; TILE_ROWS], stage: usize) -> Self {
        Self { lanes, stage, guess: [0.0; TILE_ROWS], of_field: [0.0; TILE_ROWS] }
    }

    fn lanes(&self) -> impl Iterator<Item = usize> + use<> {
        let lanes = self.lanes;
        (0..TILE_ROWS).filter(move |lane| lanes[*lane])
    }

    /// What was found at a stage is where they start.
    pub(super) fn start_from<T: Real>(&self, stage: usize, size: usize, work: &mut FieldWork<T>) {
        for lane in self.lanes() {
            work.divergences[lane] = work.divergences[stage * TILE_ROWS + lane];
            for i in (lane..size).step_by(TILE_ROWS) {
                work.fields[i] = work.fields[stage * size + i];
            }
        }
    }

    /// Guesses a step by the field where they start.
    pub(super) fn guess<T: Real>(
        &mut self,
        x: &[T],
        (solver, numbers): (&Solver, usize),
        work: &FieldWork<T>,
    ) {
        let (tolerance, ones) = (solver.tolerance(), [T::ONE; TILE_ROWS]);
        let mut of_x = [0.0; TILE_ROWS];
        add_errors((&ones, &[1.0], x), [x, x], tolerance, &mut of_x);
        let of_x = norm(of_x, numbers);
        self.of_field = sizes(&[1.0], x, (solver, numbers), work);
        for lane in 0..TILE_ROWS {
            let (of_x, of_field) = (of_x[lane], self.of_field[lane]);
            let is_small = of_x < 1e-5 || of_field < 1e-5;
            let guess: f64 = if is_small { 1e-6 } else { 0.01 * of_x / of_field };
            self.guess[lane] = guess.min(1.0);
        }
    }

    /// Where and when the guess leads, in place of what those lanes hold.
    pub(super) fn try_out<T: Real>(
        &self,
        x: &[T],
        sign: f64,
        (to, times): (&mut [T], &mut [T; TILE_ROWS]),
        fields: &[T],
    ) {
        let start = if sign > 0.0 { T::ZERO } else { T::ONE };
        for lane in self.lanes() {
            let h = T::from_f64(sign * self.guess[lane]);
            times[lane] = start + h;
            for i in (lane..x.len()).step_by(TILE_ROWS) {
                to[i] = h.fma(fields[i], x[i]);
            }
        }
    }

    /// Sets their first steps.
    pub(super) fn set_steps<T: Real>(
        &self,
        x: &[T],
        how: (&Solver, usize),
        lanes: &mut Lanes,
        work: &FieldWork<T>,
    ) {
        let Some(control) = &how.0.tableau().control else {
            let Solver::Fixed(steps) = how.0 else { unreachable!("only these have no control") };
            let size = if *steps == 1 { 1.0 } else { (*steps as f64).recip() };
            return self.lanes().for_each(|lane| lanes.set::<T>(lane, size));
        };
        let factors = [-1.0, 0.0, 1.0];
        let factors = if self.stage == 1 { &[-1.0, 1.0][..] } else { &factors };
        let bent = sizes(factors, x, how, work);
        let steepest: [f64; TILE_ROWS] =
            std::array::from_fn(|lane| self.of_field[lane].max(bent[lane] / self.guess[lane]));
        let mut by_slope = steepest.map(|steepest| 0.01 / steepest);
        raise(&mut by_slope, control.order.recip());
        for lane in self.lanes() {
            let guess = self.guess[lane];
            let by_slope = match steepest[lane] <= 1e-15 {
                true => (1e-3 * guess).max(1e-6),
                false => by_slope[lane],
            };
            // No shorter than what single precision can add to the time.
            let size = (100.0 * guess).min(by_slope).max(16.0 * T::EPSILON.to_f64());
            lanes.set::<T>(lane, size);
        }
    }
}

/// The sizes of a combination of the fields and divergences of the first stages, in units of the tolerance.
fn sizes<T: Real>(
    factors: &[f64],
    x: &[T],
    (solver, numbers): (&Solver, usize),
    work: &FieldWork<T>,
) -> [f64; TILE_ROWS] {
    let (ones, none) = ([T::ONE; TILE_ROWS], [T::ZERO; TILE_ROWS]);
    let (tolerance, mut sums) = (solver.tolerance(), [0.0; TILE_ROWS]);
    let fields = &work.fields[..factors.len() * x.len()];
    let divergences = &work.divergences[..factors.len() * TILE_ROWS];
    add_errors((&ones, factors, fields), [x, x], tolerance, &mut sums);
    add_errors((&ones, factors, divergences), [&none, &none], tolerance, &mut sums);
    norm(sums, numbers)
}

fn norm(sums: [f64; TILE_ROWS], numbers: usize) -> [f64; TILE_ROWS] {
    sums.map(|sum| (sum / numbers as f64).sqrt())
}
