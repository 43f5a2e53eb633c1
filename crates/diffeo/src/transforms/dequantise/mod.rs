//! Learned dequantisation: where in the cell of its level each number of an image is.

mod step;

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use diffeo_kernels::ops::sum_rows;
use serde::{Deserialize, Serialize};

use super::cells::{self, Cells};
use super::chain::{count_all, work_of_all};
use super::{Chain, ConditionalSpec, Describe, LayerSpec, Place};
use crate::catalog::Cases;
use crate::columns::ImageShape;
use crate::conditioner::{ConditionerSpec, ConvolutionalSpec};
use crate::error::{Error, Result};
use crate::host::linalg::host_values;
use crate::monotone::{MonotoneSpec, RationalQuadratic};
use crate::parameter::{Init, Visitor};
use crate::step::{InnerStep, Steps, Weights};
use crate::transform::{Given, Mapped, Scales, Transform};

/// Share of the first and of the last cell in which numbers stay as they are.
const BEYOND: f64 = 0.01;

/// A [`Dequantise`] layer, described.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DequantiseSpec {
    /// Numbers of a pixel.
    pub channels: usize,
    /// How many values each may have.
    pub levels: u32,
    /// What happens to the offsets: couplings of pixels of twice as many channels by splines on -1 to 1, which keep the first half of the channels.
    pub transforms: Vec<LayerSpec>,
}

impl DequantiseSpec {
    /// The spline of the couplings.
    pub fn spline(bins: usize) -> RationalQuadratic {
        RationalQuadratic { bins, bound: 1.0 }
    }

    /// Where the layers inside stand.
    fn inside(&self, at: Place) -> Result<Place> {
        if self.channels == 0 || !at.dims.is_multiple_of(self.channels) {
            return Err(Error::config(format!(
                "dequantise: expected a number of channels that divides a row of {}, found {}",
                at.dims, self.channels
            )));
        }
        Ok(Place { dims: 2 * at.dims, ..at.inside()? })
    }

    /// Whether a layer maps offsets from -1 to 1 and nothing else.
    fn is_of_offsets(&self, layer: &LayerSpec) -> bool {
        let LayerSpec::Conditional(ConditionalSpec { conditioner, monotone, gates }) = layer else {
            return false;
        };
        let keeps_cells = match conditioner {
            ConditionerSpec::Convolutional(ConvolutionalSpec { kept, .. }) => {
                kept.len() == 2 * self.channels && kept[..self.channels].iter().all(|kept| *kept)
            }
            _ => false,
        };
        let is_spline = match monotone {
            MonotoneSpec::RationalQuadratic(spline) => spline.bound == 1.0,
            _ => false,
        };
        keeps_cells && is_spline && gates.is_empty()
    }
}

impl Describe for DequantiseSpec {
    fn validate(&self, at: Place) -> Result<()> {
        let inside = self.inside(at)?;
        if !(2..=ImageShape::LEVELS_MAX).contains(&self.levels) {
            return Err(Error::config(format!(
                "dequantise: expected 2 to {} levels, found {}",
                ImageShape::LEVELS_MAX,
                self.levels
            )));
        }
        if let Some(layer) = self.transforms.iter().find(|layer| !self.is_of_offsets(layer)) {
            return Err(Error::config(format!(
                "dequantise: expected couplings by convolutional networks and rational-quadratic splines on -1 to 1, which keep the first {} channels, found {}",
                self.channels,
                layer.name()
            )));
        }
        self.transforms.iter().try_for_each(|layer| layer.validate(inside))
    }

    fn count(&self, at: Place) -> Option<u64> {
        count_all(&self.transforms, self.inside(at).ok()?)
    }

    fn work(&self, at: Place) -> Option<u64> {
        work_of_all(&self.transforms, self.inside(at).ok()?)
    }

    fn build(&self, at: Place, init: &mut Init) -> Result<Box<dyn Transform>> {
        self.validate(at)?;
        let chain = Chain::build(&self.transforms, self.inside(at)?, init)?;
        let (cells, channels) = (Arc::new(Cells::new(self.levels, BEYOND)), self.channels);
        Ok(Box::new(Dequantise { chain, cells, channels }))
    }

    fn bound(&self) -> f64 {
        Cells::reach(self.levels, BEYOND)
    }

    fn inner(&self) -> &[LayerSpec] {
        &self.transforms
    }

    fn inner_mut(&mut self) -> &mut [LayerSpec] {
        &mut self.transforms
    }
}

impl Cases for DequantiseSpec {
    /// Two couplings, of one half of the offsets given the other, then the other way round.
    fn cases(at: Place) -> Vec<Self> {
        if at.depth > 0 || !at.dims.is_multiple_of(8) {
            return vec![];
        }
        let coupling = |first: bool| {
            let conditioner = ConvolutionalSpec {
                height: at.dims / 4,
                across: 2,
                kept: vec![true, true, first, !first],
                width: 4,
                blocks: 1,
                heads: 0,
                given: None,
            };
            ConditionalSpec::new(conditioner, &Self::spline(4).into()).into()
        };
        vec![Self { channels: 2, levels: 5, transforms: vec![coupling(true), coupling(false)] }]
    }
}

/// A bijection of each cell of levels onto itself: the noise that fills the cells of an image is moved to where the layers behind have an easy time, given the image.
///
/// A number `y` of an image is `Phi^-1((k + v) / levels)`, with its level `k` and a place `v` from 0 to 1 in the cell of that.
///
/// * forward: `v' = (1 + t') / 2` with `t' = f(2 v - 1 | k, c)`, `y' = Phi^-1((k + v') / levels)`; the couplings `f` see the middles of the cells of all numbers. inverse: the same by `f^-1`.
///   `log|det| = log|det f| + sum (y'^2 - y^2) / 2`.
/// * If `v` is uniform, as the noise of images is, `v'` has the density `q(v' | k) = 1 / |det dv' / dv|`, and the log-density of a flow that starts with this layer is
///   `log p(k + v') - log q(v' | k)`: the bound of variational dequantisation; the mean over several draws is the importance-weighted one. The probability of an image, the integral over its
///   cell, is that of the layers behind.
/// * In the outermost hundredth of the first and of the last cell, which reach to infinity, numbers stay as they are.
///
/// Reference: Ho, Chen, Srinivas, Duan, Abbeel. *Flow++*. ICML 2019, section 3.1, eqs. 7-12, arXiv:1902.00275.
#[derive(Clone, Debug)]
pub struct Dequantise {
    chain: Chain,
    cells: Arc<Cells>,
    channels: usize,
}

/// Rows by their places.
struct Places {
    /// The middles of the cells and the offsets, pixel by pixel, `[n, 2 d]`.
    rows: Tensor<2>,
    /// The cell of each number.
    cells: Vec<usize>,
    /// Whether each number has a place.
    inside: Vec<bool>,
}

impl Dequantise {
    /// A tensor of numbers like those of `x`.
    fn like(x: &Tensor<2>, values: Vec<f64>) -> Tensor<2> {
        let [n, _] = x.dims();
        let width = values.len() / n.max(1);
        Tensor::from_data(TensorData::new(values, [n, width]), (&x.device(), x.dtype()))
    }

    fn places(&self, y: &Tensor<2>) -> Result<Places> {
        let ([n, d], c) = (y.dims(), self.channels);
        let found = host_values(y.clone().detach())?;
        let found: Vec<cells::Place> = found.into_iter().map(|y| self.cells.locate(y)).collect();
        let of = |value: fn(&Cells, &cells::Place) -> f64| {
            Self::like(y, found.iter().map(|place| value(&self.cells, place)).collect())
        };
        let middles = of(|cells, place| cells.middle(place.cell));
        let (offsets, slopes) = (of(|_, place| place.offset), of(|_, place| place.slope));
        // The value is found on the host, its gradient is that of a line.
        let offsets = offsets + (y.clone() - y.clone().detach()) * slopes;
        let pixels = |part: Tensor<2>| part.reshape([n, d / c, c]);
        let rows = Tensor::cat(vec![pixels(middles), pixels(offsets)], 2).reshape([n, 2 * d]);
        let cells = found.iter().map(|place| place.cell).collect();
        Ok(Places { rows, cells, inside: found.iter().map(|place| place.slope > 0.0).collect() })
    }

    /// The numbers `y` at other offsets of their cells.
    fn moved(&self, y: &Tensor<2>, places: &Places, rows: Tensor<2>) -> Result<Tensor<2>> {
        let ([n, d], c) = (y.dims(), self.channels);
        let offsets = rows.reshape([n, d / c, 2 * c]).narrow(2, c, c).reshape([n, d]);
        let (old, new) = (host_values(y.clone().detach())?, offsets.clone().detach());
        let new = host_values(new)?;
        let at = places.cells.iter().zip(&places.inside).zip(old.iter().zip(new));
        let found = at.map(|((cell, inside), (old, new))| match inside {
            true => self.cells.number(*cell, new),
            false => (*old, 0.0),
        });
        let (values, slopes): (Vec<f64>, Vec<f64>) = found.unzip();
        let by_itself = places.inside.iter().map(|inside| f64::from(u8::from(!inside)));
        let by_itself = Self::like(y, by_itself.collect());
        let line = (offsets.clone() - offsets.detach()) * Self::like(y, slopes);
        Ok(Self::like(y, values) + line + (y.clone() - y.clone().detach()) * by_itself)
    }

    fn mapped(
        &self,
        y: Tensor<2>,
        map: impl FnOnce(Tensor<2>) -> Result<Mapped>,
    ) -> Result<Mapped> {
        if y.dims()[0] == 0 {
            let log_det = super::no_log_det(&y);
            return Ok(Mapped { value: y, log_det });
        }
        let places = self.places(&y)?;
        let Mapped { value, log_det } = map(places.rows.clone())?;
        let value = self.moved(&y, &places, value)?;
        // Numbers that stay as they are may be too large for a square.
        let mean = value.clone().mul_scalar(0.5) + y.clone().mul_scalar(0.5);
        let squares = (value.clone() - y) * mean;
        Ok(Mapped { value, log_det: log_det + sum_rows(squares) })
    }
}

impl Transform for Dequantise {
    fn dims(&self) -> usize {
        self.chain.dims() / 2
    }

    fn forward(&self, x: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.mapped(x, |rows| self.chain.forward(rows, given))
    }

    fn inverse(&self, z: Tensor<2>, given: &Given<'_>) -> Result<Mapped> {
        self.mapped(z, |rows| self.chain.inverse(rows, given))
    }

    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.chain.visit(visitor);
    }

    fn scales(&self, x: &Tensor<2>, given: &Given<'_>) -> Result<Vec<Scales>> {
        self.chain.scales(&self.places(x)?.rows, given)
    }

    fn steps(&self, weights: &Weights<'_>) -> Option<Steps> {
        let steps = self.chain.steps(weights)?.into_iter().map(InnerStep::new).collect();
        let (cells, channels) = (Arc::clone(&self.cells), self.channels);
        Some(vec![Box::new(step::WithinCells { steps, cells, channels, dims: self.dims() })])
    }
}
