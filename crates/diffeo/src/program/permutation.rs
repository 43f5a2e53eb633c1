//! Reordering of the columns.

use diffeo_kernels::Real;

use super::step::{Pass, Scratch, Step, Tape, gather, scatter};

/// Column `i` of `z` is column `order[i]` of `x`.
#[derive(Debug)]
pub(super) struct Permute {
    pub(super) order: Vec<usize>,
}

impl<T: Real> Step<T> for Permute {
    fn forward(
        &self,
        _pass: &Pass<'_, T>,
        x: &[T],
        z: &mut [T],
        _log_det: &mut [f64],
        _tape: &mut Tape<T>,
    ) {
        gather(x, self.order.len(), &self.order, z);
    }

    fn backward(
        &self,
        _pass: &Pass<'_, T>,
        _x: &[T],
        grad: &mut [T],
        _wanted: bool,
        (_, scratch): (&mut Tape<T>, &mut Scratch<T>),
        _gradient: &mut [T],
    ) {
        let copy = scratch.moved.sized(grad.len());
        copy.copy_from_slice(grad);
        scatter(copy, &self.order, grad, self.order.len());
    }
}
