//! Columns that are absent in some rows, on tensors.

use burn::tensor::{Int, Tensor};

use super::super::permutation::indices;
use crate::monotone::Scalarwise;

/// Which number of the context says of each column whether it is there.
#[derive(Clone, Debug)]
pub(super) struct Gating {
    pub(super) gates: Vec<Option<usize>>,
}

/// 1 where a column of a row is there, 0 where it is absent, `[n, columns]`.
pub(super) struct There(Tensor<2>);

impl Gating {
    pub(super) fn there(&self, x: &Tensor<2>, context: &Tensor<2>) -> There {
        let [n, width] = context.dims();
        let always = Tensor::ones([n, 1], (&x.device(), x.dtype()));
        let all = Tensor::cat(vec![context.clone().cast(x.dtype()), always], 1);
        let gates: Vec<usize> = self.gates.iter().map(|gate| gate.unwrap_or(width)).collect();
        let chosen = all.select(1, indices(&gates, &x.device()));
        let open = chosen.greater_elem(0.5);
        There(x.zeros_like().detach().mask_fill(open, 1.0))
    }
}

impl There {
    /// `x` with zeros where it is absent.
    pub(super) fn of(&self, x: &Tensor<2>) -> Tensor<2> {
        x.zeros_like().mask_where(self.0.clone().greater_elem(0.5), x.clone())
    }

    /// Ones and zeros.
    pub(super) fn mask(&self) -> &Tensor<2> {
        &self.0
    }

    /// The same of some columns.
    pub(super) fn columns(&self, columns: Option<&Tensor<1, Int>>) -> Self {
        Self(match columns {
            Some(columns) => self.0.clone().select(1, columns.clone()),
            None => self.0.clone(),
        })
    }

    /// The same of some columns that lie together.
    pub(super) fn part(&self, first: usize, count: usize) -> Self {
        Self(self.0.clone().narrow(1, first, count))
    }

    /// What was mapped, and what is absent as it was.
    pub(super) fn keep(&self, mapped: Scalarwise, as_was: Tensor<2>) -> Scalarwise {
        let there = self.0.clone().greater_elem(0.5);
        let log_slope = mapped.log_slope.zeros_like().mask_where(there.clone(), mapped.log_slope);
        Scalarwise { value: as_was.mask_where(there, mapped.value), log_slope }
    }
}
