//! A network that contracts, and its derivative along directions as explicit operations.

use std::sync::{Arc, OnceLock};

use burn::tensor::{DType, Device, Int, Tensor};
use diffeo_kernels::{Activation, Real, Staircase, ops};

use super::plain::{AnyPlain, Plain, Raw, Scaled, dual};
use super::{ContractiveActivation, ResidualSpec};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::network::{Linear, Mask};
use crate::parameter::{Init, Parameter, Visitor, visit_part};
use crate::place::Place;

/// `g(x, c)`: linear layers with an activation between, each of a norm that is at most the same root of the layer's constant.
///
/// A context is added in the first layer; its weights are free, as they do not count in how `g` stretches `x`.
#[derive(Clone, Debug)]
pub(super) struct Network {
    layers: Vec<Linear>,
    context: Option<Linear>,
    /// Of each hidden layer, `[1, k]`.
    log_beta: Option<Parameter>,
    spec: ResidualSpec,
    at: Place,
    /// The weights as they are used, as long as they stay and carry no gradient.
    held: OnceLock<Held>,
    /// The network on plain slices, as long as the weights stay.
    plain: OnceLock<AnyPlain>,
}

/// The network with its weights scaled: what is evaluated.
#[derive(Clone, Debug)]
pub(super) struct Held {
    layers: Vec<HeldLayer>,
    activation: ContractiveActivation,
}

#[derive(Clone, Debug)]
struct HeldLayer {
    weight: Tensor<2>,
    bias: Tensor<2>,
    /// Of the activation after it.
    beta: Option<Tensor<2>>,
    shape: Arc<Staircase>,
}

/// What the network is at some points.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    /// `g(x, c)`, `[n, d]`.
    pub(super) value: Tensor<2>,
    /// The slopes of the units of each hidden layer.
    pub(super) slopes: Slopes,
}

/// Slopes of the units of each hidden layer, `[n, width]`: with them the network's derivative is a product of matrices.
#[derive(Clone, Debug)]
pub(super) struct Slopes(Vec<Tensor<2>>);

impl Network {
    /// The zero function, with hidden layers that are not zero.
    pub(super) fn new(spec: &ResidualSpec, at: Place, init: &mut Init) -> Self {
        let mut layers = Vec::new();
        let mut below = at.dims;
        for &width in &spec.hidden {
            layers.push(Linear::new(below, width, &Mask::Dense, init));
            below = width;
        }
        layers.push(Linear::zeros(below, at.dims, &Mask::Dense, init));
        let first = spec.hidden.first().copied().unwrap_or(at.dims);
        let context = (at.context > 0).then(|| Linear::new(at.context, first, &Mask::Dense, init));
        let log_beta = (spec.activation == ContractiveActivation::LipSwish)
            .then(|| Parameter::new(init.full([1, spec.hidden.len()], 0.0)));
        let (held, plain) = (OnceLock::new(), OnceLock::new());
        Self { layers, context, log_beta, spec: spec.clone(), at, held, plain }
    }

    /// The network as it is evaluated.
    pub(super) fn held(&self) -> Held {
        let held = match self.held.get() {
            Some(held) => return held.clone(),
            None => self.scaled(),
        };
        if held.is_tracked() { held } else { self.held.get_or_init(|| held).clone() }
    }

    fn scaled(&self) -> Held {
        let limit = self.spec.lipschitz.powf(1.0 / self.layers.len() as f64);
        let log_beta = self.log_beta.as_ref();
        let betas = log_beta.map(|beta| beta.bounded(ContractiveActivation::LOG_BETA_MAX).exp());
        let layer = |(i, layer): (usize, &Linear)| {
            let [weight, bias] = layer.weights();
            let betas = betas.as_ref().filter(|betas| i < betas.dims()[1]);
            HeldLayer {
                weight: self.spec.norm.held(weight, limit),
                bias,
                beta: betas.map(|betas| betas.clone().narrow(1, i, 1)),
                shape: Arc::clone(layer.staircase()),
            }
        };
        let layers = self.layers.iter().enumerate().map(layer).collect();
        Held { layers, activation: self.spec.activation }
    }

    /// The network on plain slices.
    pub(super) fn plain(&self) -> Result<&AnyPlain> {
        if let Some(plain) = self.plain.get() {
            return Ok(plain);
        }
        let plain = match self.layers[0].weights()[0].dtype() {
            DType::F64 => AnyPlain::F64(self.plain_as()?),
            _ => AnyPlain::F32(self.plain_as()?),
        };
        Ok(self.plain.get_or_init(|| plain))
    }

    fn plain_as<T: Real>(&self) -> Result<Plain<T>> {
        let of = |t: Tensor<2>| -> Result<Vec<T>> {
            Ok(host_values(t)?.into_iter().map(T::from_f64).collect())
        };
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let [weight, bias] = layer.weights();
            layers.push([of(weight)?, of(bias)?]);
        }
        let context =
            self.context.as_ref().map(|layer| of(layer.weights()[0].clone())).transpose()?;
        let log_beta = self.log_beta.as_ref().map(|beta| of(beta.value.clone())).transpose()?;
        let (raw, network) = (Raw { layers, context, log_beta }, dual(&self.spec, self.at));
        Ok(Plain::new(Scaled::new(&raw.map(|values| &values[..]), &network, &self.spec)?, &network))
    }

    /// What the context adds to the first layer.
    pub(super) fn addend(&self, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (layer, context) = (self.context.as_ref()?, context?);
        Some(layer.forward_without_bias(context.clone()))
    }

    pub(super) fn visit(&mut self, visitor: &mut Visitor<'_>) {
        (self.held, self.plain) = (OnceLock::new(), OnceLock::new());
        for (i, layer) in self.layers.iter_mut().enumerate() {
            visit_part(&format!("layers.{i}"), visitor, |v| layer.visit(v));
        }
        if let Some(context) = &mut self.context {
            visit_part("context", visitor, |v| context.visit_weight(v));
        }
        if let Some(log_beta) = &mut self.log_beta {
            visitor("log_beta", log_beta);
        }
    }
}

impl Held {
    /// `g(x, c)` and what its derivative needs.
    pub(super) fn at(&self, x: Tensor<2>, addend: Option<Tensor<2>>) -> Trace {
        let (mut value, mut addend, mut slopes) = (x, addend, Vec::new());
        let last = self.layers.len() - 1;
        for (i, layer) in self.layers.iter().enumerate() {
            let (weight, bias) = (layer.weight.clone(), layer.bias.clone());
            let sum =
                ops::linear(value, weight, bias, addend.take(), &layer.shape, Activation::None);
            if i == last {
                value = sum;
                break;
            }
            let [bent, slope] = self.activation.with_slope(sum, layer.beta.as_ref());
            slopes.push(slope);
            value = bent;
        }
        Trace { value, slopes: Slopes(slopes) }
    }

    /// `J u` of each row, `[n, d]`: the derivative of `g` along `u`.
    pub(super) fn along(&self, slopes: &Slopes, direction: Tensor<2>) -> Tensor<2> {
        let mut moved = direction;
        for (i, layer) in self.layers.iter().enumerate() {
            moved = layer.turned(moved);
            if let Some(slope) = slopes.0.get(i) {
                moved = moved * slope.clone();
            }
        }
        moved
    }

    /// `[r][i][j] = d g_j / d x_i` of row `r`, `[n, d, d]`.
    pub(super) fn jacobian(&self, slopes: &Slopes) -> Tensor<3> {
        let n = slopes.rows();
        // Along the axes the first product is the matrix itself.
        let first = self.layers[0].weight.clone();
        let [d, width] = first.dims();
        let mut moved: Tensor<3> = first.reshape([1, d, width]);
        for (layer, slope) in self.layers[1..].iter().zip(&slopes.0) {
            let [_, width] = slope.dims();
            moved = moved * slope.clone().reshape([n, 1, width]);
            let [_, above] = layer.weight.dims();
            moved = layer.turned(moved.reshape([n * d, width])).reshape([n, d, above]);
        }
        moved
    }

    /// Numbers in a row.
    pub(super) fn dims(&self) -> usize {
        self.layers[0].weight.dims()[0]
    }

    /// The same network without autodiff: what is computed with it leaves no graph.
    pub(super) fn detached(&self) -> Self {
        let detached = |layer: &HeldLayer| HeldLayer {
            weight: layer.weight.clone().inner(),
            bias: layer.bias.clone().inner(),
            beta: layer.beta.clone().map(Tensor::inner),
            shape: Arc::clone(&layer.shape),
        };
        Self { layers: self.layers.iter().map(detached).collect(), activation: self.activation }
    }

    /// Whether a weight carries a gradient.
    pub(super) fn is_tracked(&self) -> bool {
        let tracked = |layer: &HeldLayer| {
            let beta = layer.beta.as_ref().is_some_and(Tensor::is_tracked);
            layer.weight.is_tracked() || layer.bias.is_tracked() || beta
        };
        self.layers.iter().any(tracked)
    }
}

impl HeldLayer {
    /// `t W`.
    fn turned(&self, t: Tensor<2>) -> Tensor<2> {
        let zero = self.bias.clone().detach().zeros_like();
        ops::linear(t, self.weight.clone(), zero, None, &self.shape, Activation::None)
    }
}

impl Slopes {
    /// Number of points.
    pub(super) fn rows(&self) -> usize {
        self.0[0].dims()[0]
    }

    /// Where they are.
    pub(super) fn device(&self) -> Device {
        self.0[0].device()
    }

    /// Their precision.
    pub(super) fn dtype(&self) -> DType {
        self.0[0].dtype()
    }

    /// Whether they carry a gradient.
    pub(super) fn is_tracked(&self) -> bool {
        self.0.iter().any(Tensor::is_tracked)
    }

    /// The same without autodiff.
    pub(super) fn detached(&self) -> Self {
        Self(self.0.iter().map(|slope| slope.clone().inner()).collect())
    }

    /// Those of some points.
    pub(super) fn select(&self, rows: &Tensor<1, Int>) -> Self {
        Self(self.0.iter().map(|slope| slope.clone().select(0, rows.clone())).collect())
    }

    /// Those of `len` points from one on.
    pub(super) fn narrow(&self, start: usize, len: usize) -> Self {
        Self(self.0.iter().map(|slope| slope.clone().narrow(0, start, len)).collect())
    }
}
