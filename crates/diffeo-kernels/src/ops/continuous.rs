//! The solution of a differential equation as one operation, with its backward pass.

use std::sync::{Arc, OnceLock};

use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::extension::{DenseOp, apply2, apply3};
use super::flex::{Scalar, elements, extents, tensor};
use super::{Direction, is_fused};
use crate::tiles::TILE_ROWS;
use crate::{
    Aligned, Directions, DualWeights, Field, FieldGradients, FieldWork, Penalty, RowsGiven, Solver,
    Stalled, Taken, Tape, Tile, tile_count, unit_probes,
};

/// How rows are brought from one side to the other.
#[derive(Clone, Debug)]
pub struct Course {
    /// The equation.
    pub field: Arc<Field>,
    /// Which way.
    pub direction: Direction,
    /// How it is solved.
    pub solver: Solver,
    /// What the divergence is found by.
    pub divergence: Divergence,
    /// What is taken off the log-determinant, in either direction.
    pub penalty: Penalty,
}

/// What a log-determinant is the integral of.
#[derive(Clone, Debug)]
pub enum Divergence {
    /// The divergence, by a derivative along each axis.
    Exact,
    /// An estimate, by a derivative along the direction of each row, `[n, d]`.
    Along(Arc<Vec<f64>>),
    /// Nothing: only the rows are asked for, and log-determinants are zero.
    None,
}

/// Inputs: `x: [n, d]`, all weights as `[1, total]`, and optionally the context `[n, c]`. The output is `[n, d + 1]`: where the rows came to, and their log-determinants.
#[derive(Debug)]
struct ContinuousOp {
    course: Course,
    stalled: OnceLock<Stalled>,
}

/// `[n, d]` and log-determinants `[n, 1]`, with gradients by `x`, the flat weights `[1, total]` in the order of [`crate::Dual::places`], and the context. `None` where there is no
/// kernel: on other devices, or without rows.
///
/// The gradient takes some four evaluations of the field and its divergence for each of the forward pass, whose steps it takes again.
///
/// # Errors
/// [`Stalled`] for a row whose equation was not solved.
///
/// # Panics
/// If the inputs do not fit the field.
pub fn continuous(
    course: &Course,
    x: &Tensor<2>,
    weights: &Tensor<2>,
    context: Option<&Tensor<2>>,
) -> Option<Result<[Tensor<2>; 2], Stalled>> {
    let [n, d] = x.dims();
    let fits = |t: &Tensor<2>| is_fused(t) && t.dtype() == x.dtype();
    if n == 0 || !fits(x) || !fits(weights) || !context.is_none_or(fits) {
        return None;
    }
    let op = Arc::new(ContinuousOp { course: course.clone(), stalled: OnceLock::new() });
    let both: Tensor<2> = match context {
        Some(context) => apply3([x.clone(), weights.clone(), context.clone()], op.clone()),
        None => apply2([x.clone(), weights.clone()], op.clone()),
    };
    Some(match op.stalled.get() {
        Some(stalled) => Err(*stalled),
        None => Ok([both.clone().narrow(1, 0, d), both.narrow(1, d, 1)]),
    })
}

/// Some columns of the rows of a tile; rows that fill it up are copies of the last, or zero.
pub(super) fn tile_of<T: Scalar>(
    rows: &[T],
    (width, columns): (usize, std::ops::Range<usize>),
    tile: usize,
    is_copied: bool,
) -> Vec<T> {
    let n = rows.len().checked_div(width).unwrap_or(0);
    let mut to = vec![T::ZERO; columns.len() * TILE_ROWS];
    for lane in 0..TILE_ROWS {
        let row = tile * TILE_ROWS + lane;
        if row < n || is_copied {
            let row = &rows[row.min(n - 1) * width..][columns.clone()];
            row.iter().enumerate().for_each(|(column, v)| to[column * TILE_ROWS + lane] = *v);
        }
    }
    to
}

/// Columns of a tile back to rows, of which there may be fewer.
pub(super) fn rows_of<T: Scalar>(
    from: &[T],
    rows: &mut [T],
    (width, first): (usize, usize),
    tile: usize,
) {
    let rows = rows.chunks_exact_mut(width).skip(tile * TILE_ROWS).take(TILE_ROWS);
    for (lane, row) in rows.enumerate() {
        let values = from.iter().skip(lane).step_by(TILE_ROWS);
        row[first..].iter_mut().zip(values).for_each(|(to, v)| *to = *v);
    }
}

/// What a tile is given beside its rows.
struct GivenTile<T> {
    context: Vec<T>,
    probes: Vec<T>,
    penalty: Penalty,
}

impl<T: Scalar> GivenTile<T> {
    fn tile(&self) -> Tile<'_, T> {
        Tile { context: &self.context, probes: &self.probes, penalty: self.penalty }
    }
}

impl ContinuousOp {
    fn given<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        (directions, are_own): (&[T], bool),
        tile: usize,
    ) -> GivenTile<T> {
        let (c, d) = (self.course.field.network().context(), self.course.field.dims());
        let context = inputs.get(2).map_or(&[][..], elements::<T>);
        let context = if c == 0 { vec![] } else { tile_of(context, (c, 0..c), tile, true) };
        let probes = match are_own {
            true => tile_of(directions, (d, 0..d), tile, true),
            false => directions.to_vec(),
        };
        GivenTile { context, probes, penalty: self.penalty() }
    }

    /// The directions that divergences are found by, and whether each row has one of its own.
    fn directions<T: Scalar>(&self, d: usize) -> (Vec<T>, bool) {
        match &self.course.divergence {
            Divergence::None => (vec![], false),
            Divergence::Exact => (unit_probes(d), false),
            Divergence::Along(directions) => {
                (directions.iter().map(|v| <T as crate::Real>::from_f64(*v)).collect(), true)
            }
        }
    }

    /// What is taken off the divergence, so that the log-determinant is less by it either way.
    fn penalty(&self) -> Penalty {
        let Penalty { kinetic, jacobian } = self.course.penalty;
        match self.course.direction {
            Direction::Forward => self.course.penalty,
            Direction::Inverse => Penalty { kinetic: -kinetic, jacobian: -jacobian },
        }
    }

    fn packed<T: Scalar>(&self, flat: &[T]) -> Vec<Aligned<T>> {
        let mut packed = vec![Aligned::default(); self.course.field.network().packed()];
        self.course.field.network().pack(flat, &mut packed);
        packed
    }
}

impl DenseOp for ContinuousOp {
    fn run<T: Scalar>(&self, inputs: &[FlexTensor]) -> FlexTensor {
        let Course { field, direction, solver, .. } = &self.course;
        let [n, d] = extents(&inputs[0]);
        let (mut x, flat) = (elements::<T>(&inputs[0]).to_vec(), elements::<T>(&inputs[1]));
        let packed = self.packed(flat);
        let weights = DualWeights { flat, packed: &packed };
        let (directions, are_own) = self.directions::<T>(d);
        let directions = match are_own {
            true => Directions::Own(&directions),
            false => Directions::Same(&directions),
        };
        let context = inputs.get(2).map_or(&[][..], elements::<T>);
        let given = RowsGiven { context, directions, penalty: self.penalty() };
        let (mut log_det, mut work) = (vec![0.0; n], FieldWork::default());
        let (how, to) = ((*direction, solver), (&mut x[..], &mut log_det[..]));
        if let Err(stalled) = field.solve_rows(weights, given, how, to, &mut work) {
            self.stalled.get_or_init(|| stalled);
        }
        let rows = x.chunks_exact(d).zip(log_det);
        let both = rows.flat_map(|(x, log_det)| {
            x.iter().copied().chain([<T as crate::Real>::from_f64(log_det)])
        });
        tensor(both.collect::<Vec<T>>(), [n, d + 1])
    }

    fn run_backward<T: Scalar>(
        &self,
        inputs: &[FlexTensor],
        _output: &FlexTensor,
        grad: &FlexTensor,
        _needed: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let Course { field, direction, solver, .. } = &self.course;
        let [n, d] = extents(&inputs[0]);
        let (flat, grad) = (elements::<T>(&inputs[1]), elements::<T>(grad));
        let packed = self.packed(flat);
        let weights = DualWeights { flat, packed: &packed };
        let (rows, (directions, are_own)) = (elements::<T>(&inputs[0]), self.directions::<T>(d));
        let mut by_weights = vec![T::ZERO; flat.len()];
        let (mut by_x, c) = (vec![T::ZERO; n * d], field.network().context());
        let mut by_context = vec![T::ZERO; n * c];
        let mut work = FieldWork::default();
        let [mut starts, mut times, mut sizes] = std::array::from_fn(|_| Aligned::default());
        for tile in 0..tile_count(n) {
            let given = self.given(inputs, (&directions, are_own), tile);
            // The steps again, instead of keeping those of all tiles.
            let tape = Tape { starts: &mut starts, times: &mut times, sizes: &mut sizes };
            let (mut x, mut log_det) = (tile_of(rows, (d, 0..d), tile, true), [0.0; TILE_ROWS]);
            let (how, to) = ((*direction, solver), (&mut x[..], &mut log_det));
            let solved = field.solve(weights, given.tile(), how, to, Some(tape), &mut work);
            solved.expect("what was solved in the forward pass is solved again");
            let mut x = tile_of(grad, (d + 1, 0..d), tile, false);
            let by_log_det = tile_of(grad, (d + 1, d..d + 1), tile, false);
            let mut context = vec![T::ZERO; c * TILE_ROWS];
            let weights_gradient = &mut by_weights;
            let to = FieldGradients { x: &mut x, context: &mut context, weights: weights_gradient };
            let taken = Taken { starts: &starts, times: &times, sizes: &sizes };
            field.backward(weights, given.tile(), (taken, solver), &by_log_det, to, &mut work);
            rows_of(&x, &mut by_x, (d, 0), tile);
            if c > 0 {
                rows_of(&context, &mut by_context, (c, 0), tile);
            }
        }
        let mut gradients = vec![Some(tensor(by_x, [n, d]))];
        gradients.push(Some(tensor(by_weights, extents(&inputs[1]))));
        if inputs.len() > 2 {
            gradients.push(Some(tensor(by_context, [n, c])));
        }
        gradients
    }
}
