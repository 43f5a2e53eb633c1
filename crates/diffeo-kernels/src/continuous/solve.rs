//! The solution of a tile of rows, step by step.

use super::control::{Lanes, power};
use super::lanes::{add_errors, combine};
use super::tableau::Control;
use super::{Field, FieldWork, Solver, Stalled, Tape, Tile};
use crate::Real;
use crate::dual::DualWeights;
use crate::ops::Direction;
use crate::tiles::TILE_ROWS;

/// A step of every row, as it was tried.
struct Tried<'a, T> {
    /// Where the rows are.
    x: &'a [T],
    log_det: &'a [f64; TILE_ROWS],
    /// Their log-determinants at the end of the step.
    next_log_det: &'a [f64; TILE_ROWS],
    h: [T; TILE_ROWS],
}

/// The rows of a tile on their way.
pub(super) struct Way<'a, T> {
    field: &'a Field,
    weights: DualWeights<'a, T>,
    solver: &'a Solver,
    pub(super) lanes: Lanes,
    pub(super) log_det: [f64; TILE_ROWS],
    /// How often the field was evaluated.
    pub(super) evaluations: u64,
}

impl<'a, T: Real> Way<'a, T> {
    /// A way that no row has set out on.
    pub(super) fn new(
        field: &'a Field,
        weights: DualWeights<'a, T>,
        (direction, solver): (Direction, &'a Solver),
    ) -> Self {
        let lanes = Lanes::new(direction);
        Self { field, weights, solver, lanes, log_det: [0.0; TILE_ROWS], evaluations: 0 }
    }

    /// Puts another row at the start of a lane.
    pub(super) fn enter(&mut self, lane: usize) {
        self.lanes.restart(lane);
        self.log_det[lane] = 0.0;
    }

    /// Makes room for a tile, and finds what its context adds.
    pub(super) fn prepare(&self, tile: Tile<'_, T>, work: &mut FieldWork<T>) {
        let stages = self.solver.tableau().result.len();
        let size = self.field.dims() * TILE_ROWS;
        self.field.prepare(self.weights, tile, 1, work);
        work.fields.sized((stages + 1) * size);
        work.divergences.sized((stages + 1) * TILE_ROWS);
        work.stage.sized(size);
    }

    /// Sets the first step of those lanes. The field of the others is evaluated where they are, as it was before.
    pub(super) fn set_out(
        &mut self,
        tile: Tile<'_, T>,
        x: &[T],
        lanes: &[bool; TILE_ROWS],
        work: &mut FieldWork<T>,
    ) {
        self.field.evaluate(self.weights, tile, (x, &self.lanes.times(0.0)), [0, 0], work);
        let how = (x, self.solver);
        self.field.set_first_steps(self.weights, tile, how, (&mut self.lanes, lanes), work);
        self.evaluations += 1 + u64::from(self.solver.tableau().control.is_some());
    }

    /// One step of each row that has not arrived.
    ///
    /// # Errors
    /// [`Stalled`] for the first lane whose steps become too small or too many.
    pub(super) fn step(
        &mut self,
        tile: Tile<'_, T>,
        x: &mut [T],
        tape: Option<&mut Tape<'_, T>>,
        work: &mut FieldWork<T>,
    ) -> Result<(), Stalled> {
        let (tableau, size) = (self.solver.tableau(), x.len());
        let (field, weights, stages) = (self.field, self.weights, tableau.result.len());
        let h = self.lanes.steps::<T>();
        for s in 1..stages {
            combine(x, &h, tableau.stages[s], &work.fields[..s * size], &mut work.stage[..size]);
            field.evaluate_stage(weights, tile, &self.lanes.times(tableau.nodes[s]), s, work);
        }
        let fields = &work.fields[..stages * size];
        combine(x, &h, tableau.result, fields, &mut work.stage[..size]);
        field.evaluate_stage(weights, tile, &self.lanes.times(1.0), stages, work);
        self.evaluations += stages as u64;
        let next_log_det = advanced(&self.log_det, &h, tableau.result, &work.divergences);
        let before = (self.lanes.time, self.lanes.accepted);
        let mut moved = self.lanes.step.map(|step| step != 0.0);
        match (self.solver, &tableau.control) {
            (Solver::Adaptive { steps_max, .. }, Some(control)) => {
                let tried = Tried { x, log_det: &self.log_det, next_log_det: &next_log_det, h };
                let errors = errors(tried, (control, self.solver, field.numbers(tile)), work);
                for lane in (0..TILE_ROWS).filter(|lane| h[*lane] != T::ZERO) {
                    moved[lane] =
                        self.lanes.decide::<T>(lane, errors[lane], control, *steps_max)?;
                }
            }
            (Solver::Fixed(steps), _) => self.lanes.go_on::<T>((*steps as f64).recip(), *steps),
            _ => unreachable!("an adaptive method estimates its error"),
        }
        if let Some(tape) = tape {
            record(tape, x, &h, before, &moved);
        }
        go((x, &mut self.log_det), &next_log_det, &moved, stages, work);
        Ok(())
    }
}

impl Field {
    /// Brings rows, `x: [d, TILE_ROWS]`, to the other side, in place, and writes the log-determinant of that map, `[TILE_ROWS]`. The steps are added to a tape that
    /// is cleared before. Returns how often the field was evaluated.
    ///
    /// A row with NaN becomes NaN, and no other does.
    ///
    /// # Errors
    /// [`Stalled`] for the first row whose steps become too small or too many.
    ///
    /// # Panics
    /// If a slice has the wrong length.
    pub fn solve<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        how: (Direction, &Solver),
        (x, log_det): (&mut [T], &mut [f64; TILE_ROWS]),
        mut tape: Option<Tape<'_, T>>,
        work: &mut FieldWork<T>,
    ) -> Result<u64, Stalled> {
        assert_eq!(x.len(), self.dims() * TILE_ROWS, "rows of another width");
        if let Some(tape) = &mut tape {
            tape.starts.resize(0);
            tape.times.resize(0);
            tape.sizes.resize(0);
        }
        let mut way = Way::new(self, weights, how);
        way.prepare(tile, work);
        let good: [bool; TILE_ROWS] = std::array::from_fn(|lane| is_good(x, lane));
        way.set_out(tile, x, &good, work);
        while !way.lanes.is_done() {
            way.step(tile, x, tape.as_mut(), work)?;
        }
        *log_det = way.log_det;
        for lane in (0..TILE_ROWS).filter(|lane| !good[*lane]) {
            x.iter_mut().skip(lane).step_by(TILE_ROWS).for_each(|x| *x = T::from_f64(f64::NAN));
            log_det[lane] = f64::NAN;
        }
        Ok(way.evaluations)
    }

    /// Numbers of a row that have an error: its coordinates, and its log-determinant if that is asked for.
    fn numbers<T>(&self, tile: Tile<'_, T>) -> usize {
        self.dims() + usize::from(!tile.probes.is_empty())
    }

    /// The field at `work.stage` as stage `s`.
    fn evaluate_stage<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        t: &[T; TILE_ROWS],
        s: usize,
        work: &mut FieldWork<T>,
    ) {
        let stage = std::mem::take(&mut work.stage);
        self.evaluate(weights, tile, (&stage[..self.dims() * TILE_ROWS], t), [s, 0], work);
        work.stage = stage;
    }

    /// The first step of the chosen rows, by what an explicit step of Euler's method shows of the second derivative (Hairer, Norsett, Wanner, II.4).
    fn set_first_steps<T: Real>(
        &self,
        weights: DualWeights<'_, T>,
        tile: Tile<'_, T>,
        (x, solver): (&[T], &Solver),
        (lanes, chosen): (&mut Lanes, &[bool; TILE_ROWS]),
        work: &mut FieldWork<T>,
    ) {
        let chosen = (0..TILE_ROWS).filter(|lane| chosen[*lane]);
        let Some(control) = &solver.tableau().control else {
            let Solver::Fixed(steps) = solver else { unreachable!("only these have no control") };
            return chosen.for_each(|lane| {
                let size = if *steps == 1 { 1.0 } else { (*steps as f64).recip() };
                lanes.set::<T>(lane, size);
            });
        };
        let (tolerance, size, none) = (solver.tolerance(), x.len(), [T::ZERO; TILE_ROWS]);
        let ones = [T::ONE; TILE_ROWS];
        let norm =
            |sums: [f64; TILE_ROWS]| sums.map(|sum| (sum / self.numbers(tile) as f64).sqrt());
        let (mut of_x, mut of_field) = ([0.0; TILE_ROWS], [0.0; TILE_ROWS]);
        add_errors((&ones, &[1.0], x), [x, x], tolerance, &mut of_x);
        let (field, divergence) = (&work.fields[..size], &work.divergences[..TILE_ROWS]);
        add_errors((&ones, &[1.0], field), [x, x], tolerance, &mut of_field);
        add_errors((&ones, &[1.0], divergence), [&none, &none], tolerance, &mut of_field);
        let (of_x, of_field) = (norm(of_x), norm(of_field));
        let guess: [f64; TILE_ROWS] = std::array::from_fn(|lane| {
            let is_small = of_x[lane] < 1e-5 || of_field[lane] < 1e-5;
            let guess = if is_small { 1e-6 } else { 0.01 * of_x[lane] / of_field[lane] };
            guess.min(1.0)
        });
        let h = guess.map(|guess| T::from_f64(lanes.sign() * guess));
        let t: [T; TILE_ROWS] = std::array::from_fn(|i| T::from_f64(lanes.time[i]) + h[i]);
        combine(x, &h, &[1.0], &work.fields[..size], &mut work.stage[..size]);
        self.evaluate_stage(weights, tile, &t, 1, work);
        let mut bent = [0.0; TILE_ROWS];
        let (fields, divergences) = (&work.fields[..2 * size], &work.divergences[..2 * TILE_ROWS]);
        add_errors((&ones, &[-1.0, 1.0], fields), [x, x], tolerance, &mut bent);
        add_errors((&ones, &[-1.0, 1.0], divergences), [&none, &none], tolerance, &mut bent);
        let bent = norm(bent);
        for lane in chosen {
            let steepest = of_field[lane].max(bent[lane] / guess[lane]);
            let by_slope = match steepest <= 1e-15 {
                true => (1e-3 * guess[lane]).max(1e-6),
                false => power(0.01 / steepest, control.order.recip()),
            };
            // No shorter than what single precision can add to the time.
            lanes.set::<T>(
                lane,
                (100.0 * guess[lane]).min(by_slope).max(16.0 * T::EPSILON.to_f64()),
            );
        }
    }
}

/// Whether all numbers of a row are some.
pub(super) fn is_good<T: Real>(x: &[T], lane: usize) -> bool {
    !x.iter().skip(lane).step_by(TILE_ROWS).any(|x| x.is_nan())
}

/// The log-determinants at the end of a step.
fn advanced<T: Real>(
    log_det: &[f64; TILE_ROWS],
    h: &[T; TILE_ROWS],
    result: &[f64],
    divergences: &[T],
) -> [f64; TILE_ROWS] {
    let mut next = *log_det;
    for (lane, next) in next.iter_mut().enumerate() {
        let stages = result.iter().zip(divergences.chunks_exact(TILE_ROWS));
        let sum: f64 = stages.map(|(factor, divergence)| factor * divergence[lane].to_f64()).sum();
        *next += h[lane].to_f64() * sum;
    }
    next
}

/// The error of a step of each row, in units of what is allowed: the mean square over coordinates and, if it is asked for, log-determinant.
fn errors<T: Real>(
    Tried { x, log_det, next_log_det, h }: Tried<'_, T>,
    (control, solver, numbers): (&Control, &Solver, usize),
    work: &FieldWork<T>,
) -> [f64; TILE_ROWS] {
    let tolerance = solver.tolerance();
    let count = control.error.len();
    let (fields, divergences) =
        (&work.fields[..count * x.len()], &work.divergences[..count * TILE_ROWS]);
    let [from, to] = [log_det, next_log_det].map(|v| v.map(T::from_f64));
    let sums_of = |factors: &[f64]| {
        let mut sums = [0.0; TILE_ROWS];
        add_errors((&h, factors, fields), [x, &work.stage[..x.len()]], tolerance, &mut sums);
        add_errors((&h, factors, divergences), [&from, &to], tolerance, &mut sums);
        sums.map(|sum| sum / numbers as f64)
    };
    let squares = sums_of(control.error);
    match control.lower {
        None => squares.map(f64::sqrt),
        Some(lower) => {
            let lower = sums_of(lower);
            std::array::from_fn(|lane| {
                let below = (0.01f64.mul_add(lower[lane], squares[lane])).sqrt();
                if below == 0.0 { 0.0 } else { squares[lane] / below }
            })
        }
    }
}

/// Notes down the steps of the rows that moved.
fn record<T: Real>(
    tape: &mut Tape<'_, T>,
    x: &[T],
    h: &[T; TILE_ROWS],
    (times, numbers): ([f64; TILE_ROWS], [usize; TILE_ROWS]),
    moved: &[bool; TILE_ROWS],
) {
    for lane in (0..TILE_ROWS).filter(|lane| moved[*lane]) {
        let at = numbers[lane];
        if tape.times.len() <= at * TILE_ROWS {
            // Of rows that never take so many steps a place on their way is kept, with a step of size zero.
            tape.starts.resize((at + 1) * x.len());
            tape.starts[at * x.len()..].copy_from_slice(x);
            tape.times.resize((at + 1) * TILE_ROWS);
            let there = times.map(T::from_f64);
            tape.times[at * TILE_ROWS..].copy_from_slice(&there);
            tape.sizes.resize((at + 1) * TILE_ROWS);
            tape.sizes[at * TILE_ROWS..].fill(T::ZERO);
        }
        for i in (lane..x.len()).step_by(TILE_ROWS) {
            tape.starts[at * x.len() + i] = x[i];
        }
        tape.times[at * TILE_ROWS + lane] = T::from_f64(times[lane]);
        tape.sizes[at * TILE_ROWS + lane] = h[lane];
    }
}

/// Moves rows to the end of their step; the field there is the first stage of the next.
fn go<T: Real>(
    (x, log_det): (&mut [T], &mut [f64; TILE_ROWS]),
    next_log_det: &[f64; TILE_ROWS],
    moved: &[bool; TILE_ROWS],
    stages: usize,
    work: &mut FieldWork<T>,
) {
    let size = x.len();
    let (fields, next_fields) = work.fields.split_at_mut(stages * size);
    let (divergences, next_divergences) = work.divergences.split_at_mut(stages * TILE_ROWS);
    for lane in (0..TILE_ROWS).filter(|lane| moved[*lane]) {
        log_det[lane] = next_log_det[lane];
        divergences[lane] = next_divergences[lane];
        for i in (lane..size).step_by(TILE_ROWS) {
            x[i] = work.stage[i];
            fields[i] = next_fields[i];
        }
    }
}
