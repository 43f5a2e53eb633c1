//! The frequencies of levels.

mod shares;
mod step;

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData, activation};
use diffeo_kernels::ops::{sum_dtype, sum_rows};
use serde::{Deserialize, Serialize};

use self::shares::{Number, Shares};
use super::cells::{Cells, LITTLE_BEYOND};
use super::{Describe, Place, indices};
use crate::catalog::Cases;
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::parameter::{Init, Parameter, Visitor};
use crate::step::{Steps, Weights};
use crate::transform::{Given, Mapped, Transform};

/// A [`Histogram`] layer, described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistogramSpec {
    /// How many values each number may have.
    pub levels: u32,
}

impl HistogramSpec {
    /// Most levels that have shares of their own.
    pub const LEVELS_MAX: u32 = 1 << 12;
}

impl Describe for HistogramSpec {
    fn validate(&self, _at: Place) -> Result<()> {
        if (2..=Self::LEVELS_MAX).contains(&self.levels) {
            return Ok(());
        }
        Err(Error::config(format!(
            "histogram: expected 2 to {} levels, found {}",
            Self::LEVELS_MAX,
            self.levels
        )))
    }

    fn count(&self, _at: Place) -> Option<u64> {
        Some(self.levels.into())
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        let logits = Parameter::new(init.full([1, self.levels as usize], 0.0));
        let cells = Arc::new(Cells::new(self.levels, LITTLE_BEYOND));
        Ok(Box::new(Histogram { logits, cells, dims: at.dims }))
    }
}

impl Cases for HistogramSpec {
    /// Odd numbers of levels, of which none begins at zero: slopes jump where levels end.
    fn cases(at: Place) -> Vec<Self> {
        match at.context {
            0 => [3, 7].map(|levels| Self { levels }).to_vec(),
            _ => vec![],
        }
    }
}

/// Each level gets as much room as its share of all numbers: the cells of levels become those of a histogram, and what is frequent is no longer narrow.
///
/// A number `y` is `Phi^-1((k + v) / L)` with its level `k`, a place `v` from 0 to 1 in the cell of that, and `L` levels.
///
/// * forward: `z = Phi^-1(F_k + p_k v)`, `F_k = sum_{j < k} p_j`; inverse: `k` is the level with `F_k <= Phi(z) < F_k + p_k`. `log|det| = sum ln(L p_k) + (z^2 - y^2) / 2`.
/// * `p = (1 - e) softmax(l) + e / L` with a weight `l` for each level and `e = 1e-3`, so that none is impossible. It starts from the shares of the first data seen; a flow that does nothing else then
///   has the entropy of these, in bits for a number.
/// * In the outermost ten-thousandth of the first and of the last cell, which reach to infinity, numbers stay as they are; what is said above is of what is between them.
///
/// The marginal step of Gaussianization, of levels: Chen, Gopinath. *Gaussianization*. NeurIPS 2000; the piecewise-linear map is that of Müller et al. *Neural importance sampling*. ACM ToG 2019,
/// section 4.2, arXiv:1808.03856.
#[derive(Clone, Debug)]
pub struct Histogram {
    logits: Parameter,
    cells: Arc<Cells>,
    dims: usize,
}

/// Where the numbers of a batch are and where they go.
#[derive(Default)]
struct Moved {
    values: Vec<f64>,
    slopes: Vec<f64>,
    /// Slopes in the share that lies on the side of each number that is counted from, with the sign of that.
    by_share: Vec<f64>,
    cells: Vec<usize>,
    /// Which part of its level's share lies on that side.
    part: Vec<f64>,
    is_low: Vec<bool>,
    /// For each share, what its logarithm's slope is; 0 of numbers that stay as they are.
    per_share: Vec<f64>,
    rooms: Vec<f64>,
}

/// Which way a map goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Forward,
    Inverse,
}

impl Histogram {
    fn shares(&self) -> Result<Shares> {
        Ok(Shares::new(host_values(self.logits.value.clone().detach())?.into_iter()))
    }

    /// Where each number goes.
    fn moved(&self, numbers: Vec<f64>, shares: &Shares, way: Way) -> Moved {
        let mut moved = Moved { rooms: vec![0.0; numbers.len() / self.dims], ..Moved::default() };
        for (i, x) in numbers.into_iter().enumerate() {
            let place = match way {
                Way::Forward => self.cells.locate(x),
                Way::Inverse => shares.locate(x),
            };
            let (cell, stays) = (place.cell, place.slope <= 0.0);
            let is_low = shares.is_low(cell, place.offset);
            let part = if is_low { 1.0 + place.offset } else { 1.0 - place.offset } / 2.0;
            let (value, slope, by_share) = match way {
                _ if stays => (x, 1.0, 0.0),
                Way::Forward => {
                    let Number { y, slope, by_share } = shares.number(cell, place.offset);
                    (y, place.slope * slope, by_share)
                }
                Way::Inverse => {
                    let (y, slope) = self.cells.number(cell, place.offset);
                    // The offset moves against what is below it, in units of its share.
                    (y, place.slope * slope, -2.0 / shares.share(cell) * slope)
                }
            };
            moved.values.push(value);
            moved.slopes.push(slope);
            moved.by_share.push(if is_low { by_share } else { -by_share });
            moved.cells.push(cell);
            moved.part.push(part);
            moved.is_low.push(is_low);
            moved.per_share.push(if stays { 0.0 } else { 1.0 / shares.share(cell) });
            let room = if stays { 0.0 } else { shares.room(&self.cells, cell) };
            moved.rooms[i / self.dims] += room;
        }
        moved
    }

    /// The share of each level, with a gradient by the weights and the value 0, `[L]`.
    fn carriers(&self) -> Tensor<1> {
        let levels = self.logits.value.dims()[1];
        let shares = activation::softmax(self.logits.value.clone(), 1);
        let shares = shares.mul_scalar(1.0 - Shares::LEAST).reshape([levels]);
        shares.clone() - shares.detach()
    }

    fn mapped(&self, x: Tensor<2>, way: Way) -> Result<Mapped> {
        let [n, d] = x.dims();
        if n == 0 {
            let log_det = super::no_log_det(&x);
            return Ok(Mapped { value: x, log_det });
        }
        let shares = self.shares()?;
        let moved = self.moved(host_values(x.clone().detach())?, &shares, way);
        let (device, dtype) = (x.device(), x.dtype());
        let like =
            |values: Vec<f64>| Tensor::from_data(TensorData::new(values, [n, d]), (&device, dtype));
        let own = self.carriers();
        // What lies below each level, and what lies above it.
        let up_to = own.clone().cumsum(0);
        let (below, above) = (up_to.clone() - own.clone(), up_to.neg() + own.clone().sum());
        let of_cells: Tensor<1, Int> = indices(&moved.cells, &device);
        let at = |of: Tensor<1>| of.select(0, of_cells.clone()).reshape([n, d]);
        let low = like(moved.is_low.iter().map(|is_low| f64::from(u8::from(*is_low))).collect());
        let high = low.clone().neg().add_scalar(1.0);
        let own = at(own);
        let near = at(below) * low + at(above) * high + own.clone() * like(moved.part);
        // Values are found on the host, their gradients are those of lines.
        let line = (x.clone() - x.clone().detach()) * like(moved.slopes);
        let value = like(moved.values) + line + near * like(moved.by_share);
        // Numbers that stay as they are may be too large for a square.
        let mean = value.clone().mul_scalar(0.5) + x.clone().mul_scalar(0.5);
        let sign = if way == Way::Forward { 1.0 } else { -1.0 };
        let squares = sum_rows((value.clone() - x) * mean);
        let rooms = TensorData::new(moved.rooms, [n]);
        let rooms: Tensor<1> = Tensor::from_data(rooms, (&device, sum_dtype(&device)));
        let rooms = rooms + sum_rows(own * like(moved.per_share));
        Ok(Mapped { value, log_det: squares + rooms.mul_scalar(sign) })
    }
}

impl Transform for Histogram {
    fn dims(&self) -> usize {
        self.dims
    }

    fn forward(&self, x: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        self.mapped(x, Way::Forward)
    }

    fn inverse(&self, z: Tensor<2>, _given: &Given<'_>) -> Result<Mapped> {
        self.mapped(z, Way::Inverse)
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor("logits", &mut self.logits);
    }

    fn start(&mut self, x: Tensor<2>, given: &Given<'_>) -> Result<Tensor<2>> {
        let mut counts = vec![0.0; self.logits.value.dims()[1]];
        for x in host_values(x.clone().detach())? {
            counts[self.cells.locate(x).cell] += 1.0;
        }
        let logits = TensorData::new(Shares::logits(&counts), [1, counts.len()]);
        let like = &self.logits.value;
        self.logits.value = Tensor::from_data(logits, (&like.device(), like.dtype()));
        Ok(self.forward(x, given)?.value)
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let (logits, cells) = (weights.range("logits")?, Arc::clone(&self.cells));
        Some(vec![Box::new(step::HistogramStep { logits, cells, dims: self.dims })])
    }
}
