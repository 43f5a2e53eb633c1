//! How far rounding may move the result of a map and of the way back, from the map's own derivatives.

use super::case::{host, tensor};
use crate::flow::Flow;
use crate::spec::Precision;
use crate::transform::Mapped;
use burn::tensor::Tensor;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// Data to base.
    ToBase,
    /// Base to data.
    ToData,
}

/// Both directions.
pub const WAYS: [Way; 2] = [Way::ToBase, Way::ToData];

impl Way {
    /// The flow's map in this direction.
    ///
    /// # Panics
    /// If it fails.
    pub fn apply(self, flow: &Flow, input: Tensor<2>, context: Option<Tensor<2>>) -> Mapped {
        match self {
            Self::ToBase => flow.to_base(input, context).unwrap_or_else(|e| panic!("{e}")),
            Self::ToData => flow.to_data(input, context).unwrap_or_else(|e| panic!("{e}")),
        }
    }

    /// The other direction.
    #[must_use]
    pub fn back(self) -> Self {
        match self {
            Self::ToBase => Self::ToData,
            Self::ToData => Self::ToBase,
        }
    }

    /// `[r][i][j] = d value_i / d input_j` of row `r`, by autodiff.
    ///
    /// # Panics
    /// If the value does not depend on the input.
    pub fn jacobians(
        self,
        flow: &Flow,
        input: &Tensor<2>,
        context: &Option<Tensor<2>>,
    ) -> Vec<Vec<Vec<f64>>> {
        let [n, d] = input.dims();
        let mut rows = vec![vec![vec![0.0; d]; d]; n];
        for i in 0..d {
            let leaf = input.clone().autodiff().require_grad();
            let value = self.apply(flow, leaf.clone(), context.clone()).value;
            let grads = value.narrow(1, i, 1).sum().backward();
            let g = host(leaf.grad(&grads).expect("the value depends on the input"));
            for (r, row) in rows.iter_mut().enumerate() {
                row[i].copy_from_slice(&g[r * d..(r + 1) * d]);
            }
        }
        rows
    }

    /// `d log_det / d input`, by autodiff; zero where the log-determinant is a constant.
    pub(super) fn log_det_slopes(
        self,
        flow: &Flow,
        input: &Tensor<2>,
        context: &Option<Tensor<2>>,
    ) -> Vec<f64> {
        let leaf = input.clone().autodiff().require_grad();
        let mapped = self.apply(flow, leaf.clone(), context.clone());
        // The value is added with weight zero, so that there is a path to the input in every map.
        let grads = (mapped.log_det.sum() + mapped.value.sum().mul_scalar(0.0)).backward();
        host(leaf.grad(&grads).expect("the value depends on the input"))
    }
}

/// What rounding errors of one unit in each operation's last place do to a round trip, to first order.
///
/// A map of `u` to `v` is as good as its own arithmetic: `v_j` is off by `e (1 + |v_j| + sum_k |dv_j/du_k| |u_k|)`, the rounding of
/// a result of that size and of the products that it is the sum of. The way back stretches this by its Jacobian and adds its own
/// rounding; the sum of the two log-determinants moves by the slope of the second there, or of the first where it came back to: these
/// are the same but beside the end of a scalar map.
pub(super) struct RoundTrip {
    /// One unit for each element of the value itself.
    pub(super) there: Vec<f64>,
    /// One unit for each element that has come back.
    pub(super) value: Vec<f64>,
    /// One unit for each row's sum of log-determinants.
    pub(super) log_det: Vec<f64>,
}

impl RoundTrip {
    /// Beside the end of a scalar map a value may round to the other side, where slopes are others: neighbours share the largest unit.
    pub(super) fn share_across_edges(&mut self, points: &[Vec<f64>], precision: Precision) {
        let reach = 4.0 * precision.spacing(1.0);
        let near =
            |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= reach * a.abs());
        let own = self.log_det.clone();
        for (unit, point) in self.log_det.iter_mut().zip(points) {
            let neighbours = points.iter().zip(&own).filter(|(other, _)| near(point, other));
            *unit = neighbours.fold(*unit, |unit, (_, other)| unit.max(*other));
        }
    }

    /// `flow` in double precision, as the reference for both precisions.
    pub(super) fn new(
        way: Way,
        flow: &Flow,
        input: &Tensor<2>,
        context: &Option<Tensor<2>>,
        precision: Precision,
    ) -> Self {
        let unit = precision.spacing(1.0);
        let [n, d] = input.dims();
        let mapped = way.apply(flow, input.clone(), context.clone());
        let there = way.jacobians(flow, input, context);
        let output = tensor(host(mapped.value.clone()), [n, d]);
        let back = way.back().jacobians(flow, &output, context);
        let slopes_there = way.log_det_slopes(flow, input, context);
        let slopes_back = way.back().log_det_slopes(flow, &output, context);
        let (u, v, log_det) = (host(input.clone()), host(output), host(mapped.log_det));
        let mut trip = Self { there: vec![], value: vec![], log_det: vec![] };
        for r in 0..n {
            let at = |i: usize| r * d + i;
            let off: Vec<f64> = (0..d)
                .map(|j| {
                    let products: f64 = (0..d).map(|k| (there[r][j][k] * u[at(k)]).abs()).sum();
                    unit * (1.0 + v[at(j)].abs() + products)
                })
                .collect();
            let moved = |slopes: &[f64], off: &[f64]| -> f64 {
                slopes[at(0)..].iter().zip(off).map(|(slope, off)| slope.abs() * off).sum()
            };
            for i in 0..d {
                let stretched: f64 = (0..d).map(|j| back[r][i][j].abs() * off[j]).sum();
                trip.value.push(unit * (1.0 + u[at(i)].abs()) + stretched);
            }
            let moved = moved(&slopes_back, &off).max(moved(&slopes_there, &trip.value[at(0)..]));
            trip.log_det.push(unit * (d as f64 + log_det[r].abs()) + moved);
            trip.there.extend(off);
        }
        trip
    }
}
