//! Gradients of solutions against central differences.

use super::*;

/// A tile of rows, contexts and directions, each with numbers of its own.
struct Task {
    example: Example,
    x: Vec<f64>,
    context: Vec<f64>,
    probes: Vec<f64>,
    direction: Direction,
    solver: Solver,
    penalty: Penalty,
}

/// A smooth number that depends on all of the result, each row with a weight of its own.
const ROW_WEIGHT: fn(usize) -> f64 = |row| ((row * 3) as f64 * 0.7).cos();

impl Task {
    fn new(activation: Smooth, direction: Direction, solver: Solver, exact: bool) -> Self {
        let example = example(3, 2, activation);
        let probes = match exact {
            true => unit_probes(3),
            false => numbers(3 * TILE_ROWS, 0.2, 1.0).iter().map(|v| v.signum()).collect(),
        };
        let (x, context) = (numbers(3 * TILE_ROWS, 0.9, 1.5), numbers(2 * TILE_ROWS, 0.1, 1.0));
        Self { example, x, context, probes, direction, solver, penalty: Penalty::default() }
    }

    fn loss(&self) -> f64 {
        let (flat, packed) = self.example.packed::<f64>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let tile = Tile { context: &self.context, probes: &self.probes, penalty: self.penalty };
        let (mut x, mut log_det) = (self.x.clone(), [0.0; TILE_ROWS]);
        let how = (self.direction, &self.solver);
        let mut work = FieldWork::default();
        let to = (&mut x[..], &mut log_det);
        self.example.field.solve(weights, tile, how, to, None, &mut work).unwrap();
        let by_x: f64 = x.iter().enumerate().map(|(i, x)| ROW_WEIGHT(i) * x).sum();
        by_x + (0..TILE_ROWS).map(|row| ROW_WEIGHT(row + 40) * log_det[row]).sum::<f64>()
    }

    /// By rows, contexts and weights.
    fn gradient(&self) -> [Vec<f64>; 3] {
        let (flat, packed) = self.example.packed::<f64>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let tile = Tile { context: &self.context, probes: &self.probes, penalty: self.penalty };
        let (mut x, mut log_det) = (self.x.clone(), [0.0; TILE_ROWS]);
        let how = (self.direction, &self.solver);
        let mut work = FieldWork::default();
        let (mut starts, mut times, mut sizes) = Default::default();
        let tape = Tape { starts: &mut starts, times: &mut times, sizes: &mut sizes };
        let to = (&mut x[..], &mut log_det);
        self.example.field.solve(weights, tile, how, to, Some(tape), &mut work).unwrap();
        let mut by_x: Vec<f64> = (0..x.len()).map(ROW_WEIGHT).collect();
        let by_log_det: Vec<f64> = (0..TILE_ROWS).map(|row| ROW_WEIGHT(row + 40)).collect();
        let (mut by_context, mut by_weights) =
            (vec![f64::NAN; self.context.len()], vec![0.0; flat.len()]);
        let to =
            FieldGradients { x: &mut by_x, context: &mut by_context, weights: &mut by_weights };
        let taken = Taken { starts: &starts, times: &times, sizes: &sizes };
        let given = (taken, &self.solver);
        self.example.field.backward(weights, tile, given, &by_log_det, to, &mut work);
        [by_x, by_context, by_weights]
    }

    /// Holds every number of the gradient to a difference.
    fn hold(mut self, limit: f64) {
        let [by_x, by_context, by_weights] = self.gradient();
        let parts: [fn(&mut Self) -> &mut Vec<f64>; 3] =
            [|task| &mut task.x, |task| &mut task.context, |task| &mut task.example.flat];
        for (part, gradient) in parts.into_iter().zip([by_x, by_context, by_weights]) {
            for (i, found) in gradient.iter().enumerate() {
                let step = 1e-5;
                let mut moved = |by: f64| {
                    let before = part(&mut self)[i];
                    part(&mut self)[i] = before + by;
                    let loss = self.loss();
                    part(&mut self)[i] = before;
                    loss
                };
                let expected = (moved(step) - moved(-step)) / (2.0 * step);
                let error = (found - expected).abs() / (1.0 + expected.abs());
                assert!(error < limit, "{:?} {i}: {found} {expected}", self.direction);
            }
        }
    }
}

#[test]
fn gradients_are_those_of_the_steps_that_were_taken() {
    // With steps of a fixed size a difference takes the same steps, however coarse they are.
    for direction in [Forward, Inverse] {
        Task::new(Smooth::Tanh, direction, Solver::Fixed(3), true).hold(2e-8);
        Task::new(Smooth::Tanh, direction, Solver::Fixed(2), false).hold(2e-8);
        Task::new(Smooth::Softplus, direction, Solver::Fixed(2), true).hold(2e-8);
    }
}

#[test]
fn gradients_of_a_penalty_are_those_of_the_steps_that_were_taken() {
    let penalty = Penalty { kinetic: 0.3, jacobian: 0.7 };
    for (direction, exact) in [(Forward, true), (Inverse, true), (Forward, false)] {
        let task = Task::new(Smooth::Tanh, direction, Solver::Fixed(2), exact);
        Task { penalty, ..task }.hold(2e-8);
    }
}

#[test]
fn gradients_of_adaptive_solutions_are_right() {
    for direction in [Forward, Inverse] {
        Task::new(Smooth::Tanh, direction, adaptive(1e-11), true).hold(1e-6);
        Task::new(Smooth::Softplus, direction, adaptive(1e-7), false).hold(1e-4);
    }
}

#[test]
fn rows_that_fill_up_a_tile_or_have_arrived_add_nothing() {
    // The gradient of a tile whose rows take different numbers of steps is the sum of those of its rows.
    let solver = adaptive(1e-6);
    let mut all = Task::new(Smooth::Tanh, Forward, solver, true);
    all.x.iter_mut().step_by(5).for_each(|x| *x *= 4.0);
    let [by_x, by_context, by_weights] = all.gradient();
    let mut sum = vec![0.0; by_weights.len()];
    for row in 0..TILE_ROWS {
        let one = |values: &[f64]| -> Vec<f64> {
            let columns = values.chunks(TILE_ROWS);
            columns.flat_map(|column| [column[row]; TILE_ROWS]).collect()
        };
        let alone = Task {
            x: one(&all.x),
            context: one(&all.context),
            probes: all.probes.clone(),
            example: example(3, 2, Smooth::Tanh),
            ..all
        };
        let (flat, packed) = alone.example.packed::<f64>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let tile = Tile { context: &alone.context, probes: &alone.probes, penalty: alone.penalty };
        let (mut x, mut log_det) = (alone.x.clone(), [0.0; TILE_ROWS]);
        let mut work = FieldWork::default();
        let (mut starts, mut times, mut sizes) = Default::default();
        let tape = Tape { starts: &mut starts, times: &mut times, sizes: &mut sizes };
        let to = (&mut x[..], &mut log_det);
        alone
            .example
            .field
            .solve(weights, tile, (Forward, &solver), to, Some(tape), &mut work)
            .unwrap();
        // Only the first of the copies counts.
        let first = |i: usize, weight: f64| if i.is_multiple_of(TILE_ROWS) { weight } else { 0.0 };
        let mut by_one: Vec<f64> =
            (0..x.len()).map(|i| first(i, ROW_WEIGHT(i / TILE_ROWS * TILE_ROWS + row))).collect();
        let by_log_det: Vec<f64> = (0..TILE_ROWS).map(|i| first(i, ROW_WEIGHT(row + 40))).collect();
        let mut by_one_context = vec![0.0; alone.context.len()];
        let to = FieldGradients { x: &mut by_one, context: &mut by_one_context, weights: &mut sum };
        let taken = Taken { starts: &starts, times: &times, sizes: &sizes };
        alone.example.field.backward(weights, tile, (taken, &solver), &by_log_det, to, &mut work);
        for (i, found) in by_one.chunks(TILE_ROWS).enumerate() {
            assert_eq!(found[0].to_bits(), by_x[i * TILE_ROWS + row].to_bits());
            assert!(found[1..].iter().all(|v| *v == 0.0));
        }
        for (i, found) in by_one_context.chunks(TILE_ROWS).enumerate() {
            assert_eq!(found[0].to_bits(), by_context[i * TILE_ROWS + row].to_bits());
        }
    }
    for (found, expected) in by_weights.iter().zip(&sum) {
        assert!((found - expected).abs() < 1e-11 * (1.0 + expected.abs()), "{found} {expected}");
    }
}
