//! The network of blocks, its slopes as explicit operations, and its inverse.

use std::sync::Arc;

use burn::tensor::Tensor;
use diffeo_kernels::{Activation, Staircase, ops};

use super::BlockAutoregressive;
use super::search::Blocks;
use crate::error::Result;
use crate::host::linalg::product;
use crate::monotone::{Scalarwise, root};
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::place::Place;
use crate::transforms::planar::tanh;

/// The largest number that enters the network.
pub(super) const REACH: f64 = 1e18;
/// Where the units of the first hidden layer start to bend, on both sides of 0; those of later ones, whose input is smaller, within 1.
const SPREAD: f64 = 2.0;

/// `g(x, c)`.
#[derive(Clone, Debug)]
pub(super) struct Network {
    layers: Vec<Layer>,
    /// `V`, `[c, d b]`.
    context: Option<Parameter>,
}

/// A layer of `d` columns that goes from `a` units of each to `b`.
#[derive(Clone, Debug)]
struct Layer {
    /// Raw logarithms of the blocks on the diagonal, side by side, `[a, d b]`.
    own: Parameter,
    /// The blocks of earlier columns, `[d a, d b]`; none of a single column.
    free: Option<Parameter>,
    /// `[1, d b]`.
    bias: Parameter,
    /// Ones in the blocks on the diagonal, `[d a, d b]`.
    diagonal: Tensor<2>,
    staircase: Arc<Staircase>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) columns: usize,
    pub(super) below: usize,
    pub(super) above: usize,
}

/// The network with the weights that are used.
#[derive(Clone, Debug)]
pub(super) struct Held(Vec<HeldLayer>);

/// A layer of all columns, or of one.
#[derive(Clone, Debug)]
struct HeldLayer {
    /// All blocks.
    weight: Tensor<2>,
    /// Those on the diagonal, and zeros.
    own: Tensor<2>,
    /// Those alone, side by side.
    blocks: Tensor<2>,
    bias: Tensor<2>,
    staircase: Arc<Staircase>,
    shape: Shape,
}

/// What the network is at some points.
#[derive(Debug)]
pub(super) struct Trace {
    /// `g(x, c)`, `[n, d]`.
    pub(super) value: Tensor<2>,
    /// `d g_i / d x_i`, `[n, d]`.
    pub(super) slope: Tensor<2>,
    /// What each layer takes in.
    inputs: Vec<Tensor<2>>,
}

impl Shape {
    /// Values of a matrix over the units of all columns, from the columns of its rows and of its columns.
    fn values(&self, of: impl Fn(usize, usize) -> f64) -> ([usize; 2], Vec<f64>) {
        let [rows, width] = [self.columns * self.below, self.columns * self.above];
        let at = |at: usize| of(at / width / self.below, at % width / self.above);
        ([rows, width], (0..rows * width).map(at).collect())
    }

    /// The units of a column see those of it and of the ones before.
    fn staircase(&self) -> Staircase {
        let prefix = (0..self.columns * self.above).map(|j| (j / self.above + 1) * self.below);
        Staircase::new(self.columns * self.below, prefix.collect())
    }
}

impl Layer {
    /// Units that bend at different places and, but in the last layer, see what is before them.
    fn new(shape: Shape, is_first: bool, is_last: bool, init: &mut Init) -> Self {
        let Shape { columns, below, above } = shape;
        let is_between = !is_first && !is_last;
        let outputs = columns * above;
        let own = match is_between {
            true => init.uniform([below, outputs], 1.0),
            false => init.full([below, outputs], 0.0),
        };
        let free = (columns > 1).then(|| free(shape, is_last, init));
        let spread = match (is_first, is_last) {
            (_, true) => 0.0,
            (true, _) => SPREAD,
            (false, _) => 1.0,
        };
        let place = |j: usize| ((j % above) as f64 + 0.5) / above as f64;
        let bias = (0..outputs).map(|j| spread * (2.0 * place(j) - 1.0)).collect();
        let (size, ones) = shape.values(|i, j| f64::from(u8::from(i == j)));
        Self {
            own: Parameter::new(own),
            free,
            bias: Parameter::new(init.values([1, outputs], bias)),
            diagonal: init.values(size, ones),
            staircase: Arc::new(shape.staircase()),
            shape,
        }
    }

    fn held(&self) -> HeldLayer {
        let Shape { columns, below, .. } = self.shape;
        let logs = self.own.bounded(BlockAutoregressive::LOG_SLOPE_MAX);
        let blocks = logs.exp().mul_scalar(1.0 / below as f64);
        let own = blocks.clone().repeat_dim(0, columns) * self.diagonal.clone();
        let weight = match &self.free {
            Some(free) => own.clone() + free.masked(),
            None => own.clone(),
        };
        let (bias, shape) = (self.bias.value.clone(), self.shape);
        HeldLayer { weight, own, blocks, bias, staircase: Arc::clone(&self.staircase), shape }
    }
}

/// Uniform weights on `±1/sqrt(units seen)`, or zeros.
fn free(shape: Shape, is_zero: bool, init: &mut Init) -> Parameter {
    let (size, mask) = shape.values(|i, j| f64::from(u8::from(i < j)));
    let mask = init.values(size, mask);
    let value = match is_zero {
        true => init.full(size, 0.0),
        false => {
            let bound = |_, j: usize| 1.0 / ((shape.below * j.max(1)) as f64).sqrt();
            let bounds = init.values(size, shape.values(bound).1);
            init.uniform(size, 1.0) * bounds * mask.clone()
        }
    };
    Parameter { value, mask: Some(mask), decay: true }
}

impl Network {
    /// `widths` are those of the blocks of a column, from its input to its output.
    pub(super) fn new(widths: &[usize], at: Place, init: &mut Init) -> Self {
        let last = widths.len() - 2;
        let pairs = widths.windows(2).enumerate();
        let layers = pairs.map(|(l, pair)| {
            let shape = Shape { columns: at.dims, below: pair[0], above: pair[1] };
            Layer::new(shape, l == 0, l == last, init)
        });
        let layers: Vec<Layer> = layers.collect();
        let context = (at.context > 0).then(|| {
            let bound = 1.0 / (at.context as f64).sqrt();
            let value = init.uniform([at.context, at.dims * widths[1]], bound);
            Parameter { value, mask: None, decay: true }
        });
        Self { layers, context }
    }

    /// What the context adds to the first layer.
    pub(super) fn addend(&self, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (weight, context) = (self.context.as_ref()?, context?);
        Some(product(context.clone(), weight.value.clone()))
    }

    pub(super) fn held(&self) -> Held {
        Held(self.layers.iter().map(Layer::held).collect())
    }

    pub(super) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (l, layer) in self.layers.iter_mut().enumerate() {
            visit_part(&format!("layers.{l}"), visitor, |v| {
                v("own", &mut layer.own);
                if let Some(free) = &mut layer.free {
                    v("free", free);
                }
                v("bias", &mut layer.bias);
            });
        }
        if let Some(context) = &mut self.context {
            visitor("context", context);
        }
    }
}

impl HeldLayer {
    /// `h W + b`, and what is added.
    fn apply(&self, h: Tensor<2>, addend: Option<Tensor<2>>) -> Tensor<2> {
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        ops::linear(h, weight, bias, addend, &self.staircase, Activation::None)
    }

    /// Slopes by each unit's own column, one layer on.
    fn along(&self, slopes: Tensor<2>) -> Tensor<2> {
        let zero = self.bias.clone().detach().zeros_like();
        ops::linear(slopes, self.own.clone(), zero, None, &self.staircase, Activation::None)
    }

    /// The layer of one column by itself, without what it sees of others.
    fn column(&self, i: usize) -> Self {
        let Shape { below, above, .. } = self.shape;
        let own = self.blocks.clone().narrow(1, i * above, above);
        Self {
            weight: own.clone(),
            own: own.clone(),
            blocks: own,
            bias: self.bias.clone().detach().narrow(1, i * above, above).zeros_like(),
            staircase: Arc::new(Staircase::dense(below, above)),
            shape: Shape { columns: 1, below, above },
        }
    }

    /// What the units of column `i` get from elsewhere: their bias and the columns before, whose units are `known`.
    fn offset(&self, i: usize, known: Option<&Tensor<2>>, rows: usize) -> Tensor<2> {
        let Shape { below, above, .. } = self.shape;
        let bias = self.bias.clone().narrow(1, i * above, above);
        match known {
            None => bias.expand([rows, above]),
            Some(known) => {
                let seen = self.weight.clone().narrow(0, 0, i * below);
                product(known.clone(), seen.narrow(1, i * above, above)) + bias
            }
        }
    }
}

impl Held {
    /// `g` and its slopes, with a context's part of the first layer.
    pub(super) fn at(&self, x: Tensor<2>, addend: Option<Tensor<2>>) -> Trace {
        let first = std::iter::once(addend);
        self.with(x, first.chain(std::iter::repeat(None)))
    }

    /// The same with something that is added in each layer.
    fn with(&self, x: Tensor<2>, addends: impl Iterator<Item = Option<Tensor<2>>>) -> Trace {
        let mut h = x.clone().clamp(-REACH, REACH);
        // Where x is held, its slope is nothing.
        let mut slope = x.zeros_like().detach().mask_fill(x.equal(h.clone()), 1.0);
        let mut inputs = Vec::new();
        for (layer, addend) in self.0.iter().zip(addends) {
            inputs.push(h.clone());
            let sum = layer.apply(h, addend);
            slope = layer.along(slope);
            if inputs.len() == self.0.len() {
                return Trace { value: sum, slope, inputs };
            }
            let bend;
            (h, bend) = tanh(sum);
            slope = slope * bend;
        }
        unreachable!("a network has a last layer")
    }

    /// The network of one column, given what its units get from others.
    fn column(&self, i: usize) -> Self {
        Self(self.0.iter().map(|layer| layer.column(i)).collect())
    }

    /// `x e^s + g` of one column, with offsets of all its units side by side and then `e^s`, `[n, k + 1]`.
    fn curve(&self, x: Tensor<2>, params: Tensor<2>) -> Scalarwise {
        let mut start = 0;
        let mut part = |width: usize| {
            let part = params.clone().narrow(1, start, width);
            start += width;
            part
        };
        let offsets: Vec<_> = self.0.iter().map(|layer| Some(part(layer.shape.above))).collect();
        let skip = part(1);
        let trace = self.with(x.clone(), offsets.into_iter());
        Scalarwise { value: x * skip.clone() + trace.value, log_slope: (trace.slope + skip).log() }
    }

    /// `x` with `x e^s + g(x) = z`, and the log-slopes of the inverse, `[n, d]` each.
    ///
    /// # Errors
    /// As [`root::inverse`].
    pub(super) fn solve(
        &self,
        z: Tensor<2>,
        slope: &Tensor<2>,
        addend: Option<Tensor<2>>,
    ) -> Result<[Tensor<2>; 2]> {
        let [n, d] = z.dims();
        let blocks = Blocks::read(self.0.iter().map(|layer| (&layer.blocks, layer.shape)))?;
        let (mut x, mut log_slopes) = (Vec::new(), Vec::new());
        // What the layers take in, of the columns so far.
        let mut known: Vec<Tensor<2>> = Vec::new();
        for i in 0..d {
            let mut offsets: Vec<Tensor<2>> = Vec::new();
            for (l, layer) in self.0.iter().enumerate() {
                let offset = layer.offset(i, known.get(l), n);
                let above = layer.shape.above;
                offsets.push(match (&addend, l) {
                    (Some(addend), 0) => offset + addend.clone().narrow(1, i * above, above),
                    _ => offset,
                });
            }
            let skip = slope.clone().narrow(1, i, 1).expand([n, 1]);
            let params = Tensor::cat([offsets.clone(), vec![skip]].concat(), 1);
            let column = self.column(i);
            let search = |z, params| blocks.roots(i, z, params);
            let curve = |x, params| Ok(column.curve(x, params));
            let found = root::inverse_by(search, &curve, z.clone().narrow(1, i, 1), params)?;
            if i + 1 < d {
                let inputs = column.with(found.value.clone(), offsets.into_iter().map(Some)).inputs;
                known = match known.is_empty() {
                    true => inputs,
                    false => {
                        let both = known.into_iter().zip(inputs);
                        both.map(|(known, new)| Tensor::cat(vec![known, new], 1)).collect()
                    }
                };
            }
            x.push(found.value);
            log_slopes.push(found.log_slope);
        }
        Ok([Tensor::cat(x, 1), Tensor::cat(log_slopes, 1)])
    }
}
