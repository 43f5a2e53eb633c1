//! Functions of all columns, with a gate for each pair, and what is minimised.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{GraphSearch, NoiseScale};
use crate::error::Result;
use crate::host::linalg::{SquareMatrix, product};
use crate::parameter::{Init, Parameter, Trainable, Visitor};

/// A residual that is zero has a logarithm all the same.
const RESIDUAL_MIN: f64 = 1e-6;
/// A gate is smooth at zero.
const GATE_MIN: f64 = 1e-6;
/// What weights of units cost, or those of a closed gate would go anywhere.
const DECAY: f64 = 1e-3;

/// The functions of [`GraphSearch`].
#[derive(Clone, Debug)]
pub(super) struct Gates {
    /// `l`, `[d, d]`.
    linear: Parameter,
    /// `c`, `[1, d]`.
    shift: Parameter,
    network: Option<Units>,
}

#[derive(Clone, Debug)]
struct Units {
    /// `a`, `[d, d m]`.
    input: Parameter,
    /// `b` and `v`, `[1, d m]`.
    bias: Parameter,
    output: Parameter,
    each: usize,
}

impl Trainable for Gates {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("linear", &mut self.linear);
        visitor("shift", &mut self.shift);
        if let Some(units) = &mut self.network {
            visitor("input", &mut units.input);
            visitor("bias", &mut units.bias);
            visitor("output", &mut units.output);
        }
    }
}

impl Units {
    fn new(d: usize, each: usize, init: &mut Init) -> Self {
        let others = |at: usize| f64::from(u8::from(at / (d * each) != at % (d * each) / each));
        let mask = init.values([d, d * each], (0..d * d * each).map(others).collect());
        let value = init.uniform([d, d * each], 0.2) * mask.clone();
        Self {
            input: Parameter { value, mask: Some(mask), decay: false },
            bias: Parameter::new(init.uniform([1, d * each], 2.0)),
            output: Parameter::new(init.uniform([1, d * each], 0.2)),
            each,
        }
    }
}

impl Gates {
    /// Nearly closed.
    pub(super) fn new(search: &GraphSearch, d: usize) -> Self {
        let mut init = Init::new(search.seed, DType::F64, Device::flex());
        Self {
            linear: Parameter::masked_zeros(&init, [d, d], |i, j| i != j),
            shift: Parameter::new(init.full([1, d], 0.0)),
            network: (search.units > 0).then(|| Units::new(d, search.units, &mut init)),
        }
    }

    /// `f(x)`, `[n, d]`.
    fn at(&self, x: &Tensor<2>) -> Tensor<2> {
        let [n, d] = x.dims();
        let line = product(x.clone(), self.linear.masked()) + self.shift.value.clone();
        let Some(units) = &self.network else { return line };
        let before = product(x.clone(), units.input.masked()) + units.bias.value.clone();
        let bent = before.tanh() * units.output.value.clone();
        line + bent.reshape([n, d, units.each]).sum_dim(2).reshape([n, d])
    }

    /// Squares of the gates from row to column, `[d, d]`.
    fn squares(&self) -> Tensor<2> {
        let line = self.linear.masked().square();
        let Some(units) = &self.network else { return line };
        let [d, _] = line.dims();
        let paths = (units.input.masked() * units.output.value.clone()).square();
        let paths = paths.reshape([d, d, units.each]).sum_dim(2).reshape([d, d]);
        // (|l| + |p|)^2 <= 2 (l^2 + p^2): else a slope that is shared between the line and the units would pass a smaller gate.
        (line + paths.mul_scalar(units.each as f64)).mul_scalar(2.0)
    }

    /// The gates from row to column.
    pub(super) fn strengths(&self) -> Result<SquareMatrix> {
        SquareMatrix::from_tensor(self.squares().sqrt())
    }

    /// What is minimised, with a weight of acyclicity.
    pub(super) fn loss(
        &self,
        x: &Tensor<2>,
        search: &GraphSearch,
        weight: f64,
    ) -> Result<Tensor<1>> {
        let d = x.dims()[1];
        let residuals = (x.clone() - self.at(x)).square().mean_dim(0);
        let fit = match search.noise {
            NoiseScale::Own => residuals.add_scalar(RESIDUAL_MIN).log().sum().mul_scalar(0.5),
            NoiseScale::Equal => {
                residuals.mean().add_scalar(RESIDUAL_MIN).log().mul_scalar(0.5 * d as f64)
            }
        };
        let squares = self.squares();
        let sparse = squares.clone().add_scalar(GATE_MIN).sqrt().sum();
        let slopes = cyclic_slopes(&SquareMatrix::from_tensor(squares.clone().detach())?);
        let slopes = Tensor::from_data(TensorData::new(slopes, [d, d]), (&x.device(), x.dtype()));
        // The value is another than that of h, the gradient is that of h.
        let cycles = (squares * slopes).sum().mul_scalar(weight);
        let loss = fit + sparse.mul_scalar(search.sparsity) + cycles;
        Ok(match &self.network {
            None => loss,
            Some(units) => {
                let sizes = [&units.input, &units.output].map(|p| p.value.clone().square().sum());
                let [input, output] = sizes;
                loss + (input + output).mul_scalar(DECAY)
            }
        })
    }
}

/// The derivative of `-ln det(s I - G)`, which is `(s I - G)^-T`. `s` is 1, doubled until it is above the spectral radius of `G`: only there has the inverse, `(I + G / s + ...) / s`, no negative
/// element.
pub(super) fn cyclic_slopes(squares: &SquareMatrix) -> Vec<f64> {
    let d = squares.size();
    let pairs = || (0..d).flat_map(|i| (0..d).map(move |j| (i, j)));
    let mut s = 1.0;
    while s < f64::MAX {
        let rest = pairs().map(|(i, j)| s * f64::from(u8::from(i == j)) - squares.at(i, j));
        match SquareMatrix::new(rest.collect(), d).inverse() {
            Ok(inverse) if inverse.values().iter().all(|v| *v >= 0.0) => {
                return pairs().map(|(i, j)| inverse.at(j, i)).collect();
            }
            _ => s *= 2.0,
        }
    }
    vec![f64::NAN; d * d]
}
