//! The solution of a tile of rows, step by step.

use super::control::Lanes;
use super::lanes::{add_errors, combine};
use super::start::Newcomers;
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
    /// Rows whose first step is not known yet.
    newcomers: Option<Newcomers>,
}

impl<'a, T: Real> Way<'a, T> {
    /// A way that no row has set out on.
    pub(super) fn new(
        field: &'a Field,
        weights: DualWeights<'a, T>,
        (direction, solver): (Direction, &'a Solver),
    ) -> Self {
        let lanes = Lanes::new(direction);
        let (log_det, evaluations, newcomers) = ([0.0; TILE_ROWS], 0, None);
        Self { field, weights, solver, lanes, log_det, evaluations, newcomers }
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

    /// Sets out with all rows of a tile, or those of these lanes.
    pub(super) fn set_out(
        &mut self,
        tile: Tile<'_, T>,
        x: &[T],
        lanes: [bool; TILE_ROWS],
        work: &mut FieldWork<T>,
    ) {
        let (field, weights) = (self.field, self.weights);
        let how = (self.solver, field.numbers(tile));
        let (mut newcomers, mut times) = (Newcomers::new(lanes, 1), self.lanes.times(0.0));
        self.newcomers = None;
        field.evaluate(weights, tile, (x, &times), [0, 0], work);
        self.evaluations += 1;
        if self.solver.tableau().control.is_some() {
            newcomers.guess(x, how, work);
            work.stage[..x.len()].copy_from_slice(x);
            let to = (&mut work.stage[..], &mut times);
            newcomers.try_out(x, self.lanes.sign(), to, &work.fields);
            field.evaluate_stage(weights, tile, &times, 1, work);
            self.evaluations += 1;
        }
        newcomers.set_steps(x, how, &mut self.lanes, work);
    }

    /// Puts rows at the start of these lanes, to set out on their way while the others take their next step.
    pub(super) fn let_in(&mut self, lanes: [bool; TILE_ROWS], work: &mut FieldWork<T>) {
        for lane in (0..TILE_ROWS).filter(|lane| lanes[*lane]) {
            self.lanes.restart(lane);
            self.log_det[lane] = 0.0;
            // What a row left here must not meet another, were it NaN.
            for values in [&mut work.fields, &mut work.divergences] {
                values.iter_mut().skip(lane).step_by(TILE_ROWS).for_each(|v| *v = T::ZERO);
            }
        }
        self.newcomers = Some(Newcomers::new(lanes, 2));
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
        let how = (self.solver, field.numbers(tile));
        let h = self.lanes.steps::<T>();
        let mut newcomers = self.newcomers.take();
        for s in 1..stages {
            combine(x, &h, tableau.stages[s], &work.fields[..s * size], &mut work.stage[..size]);
            let mut times = self.lanes.times(tableau.nodes[s]);
            if let Some(newcomers) = newcomers.as_ref().filter(|_| s == 2) {
                let to = (&mut work.stage[..], &mut times);
                newcomers.try_out(x, self.lanes.sign(), to, &work.fields);
            }
            field.evaluate_stage(weights, tile, &times, s, work);
            if let Some(newcomers) = newcomers.as_mut().filter(|_| s == 1) {
                newcomers.start_from(1, size, work);
                newcomers.guess(x, how, work);
            }
        }
        let fields = &work.fields[..stages * size];
        combine(x, &h, tableau.result, fields, &mut work.stage[..size]);
        field.evaluate_stage(weights, tile, &self.lanes.times(1.0), stages, work);
        self.evaluations += stages as u64;
        let next_log_det = advanced(&self.log_det, &h, tableau.result, &work.divergences);
        let before = (self.lanes.time, self.lanes.accepted);
        let moved = match (self.solver, &tableau.control) {
            (Solver::Adaptive { steps_max, .. }, Some(control)) => {
                let tried = Tried { x, log_det: &self.log_det, next_log_det: &next_log_det, h };
                let errors = errors(tried, control, how, work);
                self.lanes.decide::<T>(&errors, control, *steps_max)?
            }
            (Solver::Fixed(steps), _) => self.lanes.go_on::<T>((*steps as f64).recip(), *steps),
            _ => unreachable!("an adaptive method estimates its error"),
        };
        if let Some(tape) = tape {
            record(tape, x, &h, before, &moved);
        }
        if let Some(newcomers) = newcomers {
            newcomers.set_steps(x, how, &mut self.lanes, work);
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
        way.set_out(tile, x, good, work);
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
    pub(super) fn numbers<T>(&self, tile: Tile<'_, T>) -> usize {
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
    control: &Control,
    (solver, numbers): (&Solver, usize),
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
