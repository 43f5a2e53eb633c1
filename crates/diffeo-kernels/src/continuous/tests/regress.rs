//! Fields held to velocities, against plain loops and differences of these.

use super::*;

/// More tiles than are taken at once, each row with numbers of its own.
const TILES: usize = 9;

struct Task {
    example: Example,
    x: Vec<f64>,
    times: Vec<f64>,
    targets: Vec<f64>,
    context: Vec<f64>,
    row_weights: Vec<f64>,
}

impl Task {
    fn new(activation: Smooth, context: usize) -> Self {
        let rows = TILES * TILE_ROWS;
        let mut row_weights = numbers(rows, 0.8, 1.0);
        row_weights[40] = 0.0;
        Self {
            example: example(3, context, activation),
            x: numbers(3 * rows, 0.4, 1.5),
            times: numbers(rows, 0.1, 0.5).iter().map(|t| 0.5 + t).collect(),
            targets: numbers(3 * rows, 2.5, 2.0),
            context: numbers(context * rows, 0.7, 1.0),
            row_weights,
        }
    }

    /// A row of tiles.
    fn row(values: &[f64], width: usize, row: usize) -> Vec<f64> {
        let (tile, lane) = (row / TILE_ROWS, row % TILE_ROWS);
        (0..width).map(|i| values[(tile * width + i) * TILE_ROWS + lane]).collect()
    }

    fn plain_losses(&mut self) -> Vec<f64> {
        let of_row = |row| {
            let context = self.example.field.network.context();
            self.example.context = Self::row(&self.context, context, row);
            let x = Self::row(&self.x, 3, row);
            let v = plain_field(&self.example, &x, self.times[row]);
            let off = v.iter().zip(Self::row(&self.targets, 3, row)).map(|(v, u)| v - u);
            off.map(|off| off * off).sum()
        };
        (0..self.times.len()).map(of_row).collect()
    }

    /// The difference of the weighted losses by one number.
    fn slope(&mut self, number: impl Fn(&mut Self) -> &mut f64) -> f64 {
        let (step, before, row_weights) = (1e-5, *number(self), self.row_weights.clone());
        let mut moved = |by: f64| -> f64 {
            *number(self) = before + by;
            self.plain_losses().iter().zip(&row_weights).map(|(loss, w)| loss * w).sum()
        };
        let slope = (moved(step) - moved(-step)) / (2.0 * step);
        *number(self) = before;
        slope
    }

    /// Losses, and the gradients by weights and context.
    fn regress<T: Real>(&self) -> (Vec<f64>, [Vec<T>; 2]) {
        let (flat, packed) = self.example.packed::<T>();
        let narrow =
            |values: &[f64]| -> Vec<T> { values.iter().map(|v| T::from_f64(*v)).collect() };
        let (x, times, targets) = (narrow(&self.x), narrow(&self.times), narrow(&self.targets));
        let (context, row_weights) = (narrow(&self.context), narrow(&self.row_weights));
        let at = Regression {
            x: &x,
            times: &times,
            targets: &targets,
            context: &context,
            row_weights: &row_weights,
        };
        let mut losses = vec![0.0; times.len()];
        let mut gradients = [vec![T::ZERO; flat.len()], vec![T::INFINITY; context.len()]];
        let [gradient, by_context] = &mut gradients;
        let weights = DualWeights { flat: &flat, packed: &packed };
        let work = &mut FieldWork::default();
        self.example.field.regress(weights, at, &mut losses, (by_context, gradient), work);
        (losses, gradients)
    }
}

#[test]
fn losses_are_those_of_plain_loops_and_gradients_those_of_differences() {
    for (activation, context) in [(Smooth::Tanh, 2), (Smooth::Softplus, 0)] {
        let mut task = Task::new(activation, context);
        let (losses, [gradient, by_context]) = task.regress::<f64>();
        for (found, expected) in losses.iter().zip(task.plain_losses()) {
            assert!((found - expected).abs() < 1e-12 * (1.0 + expected), "{found} {expected}");
        }
        for i in (0..gradient.len()).step_by(3) {
            let expected = task.slope(|task| &mut task.example.flat[i]);
            let error = (gradient[i] - expected).abs() / (1.0 + expected.abs());
            assert!(error < 1e-7, "{activation:?} {i}: {} {expected}", gradient[i]);
        }
        for i in (0..by_context.len()).step_by(101) {
            let expected = task.slope(|task| &mut task.context[i]);
            let error = (by_context[i] - expected).abs() / (1.0 + expected.abs());
            assert!(error < 1e-7, "{activation:?} context {i}: {} {expected}", by_context[i]);
        }
        let (_, [single, _]) = task.regress::<f32>();
        let largest = gradient.iter().fold(0.0f64, |most, g| most.max(g.abs()));
        for (a, b) in single.iter().zip(&gradient) {
            assert!((f64::from(*a) - b).abs() < 1e-5 * largest, "{a} {b}");
        }
    }
}

#[test]
fn losses_and_gradients_have_the_same_bits_at_every_instruction_set() {
    let task = Task::new(Smooth::Softplus, 2);
    let all = at_each_level(|| format!("{:?}", task.regress::<f32>()));
    assert!(all.iter().all(|other| *other == all[0]));
}
