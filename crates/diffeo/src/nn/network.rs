//! The network inside a conditioner: dense for couplings, masked by degrees for autoregressive flows (MADE).

use burn::tensor::Tensor;
use diffeo_kernels as kernels;
use diffeo_kernels::ops::MadeLayer;
use serde::{Deserialize, Serialize};

use super::Linear;
use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor, visit_part};
use crate::program::{ContextLayer, Cursor, NetworkNode, NetworkProgram};

/// The non-linearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `max(0, x)`.
    #[default]
    Relu,
    /// `tanh x`.
    Tanh,
    /// `x` if positive, else `e^x - 1`.
    Elu,
}

impl Activation {
    fn kernel(self) -> kernels::Activation {
        match self {
            Self::Relu => kernels::Activation::Relu,
            Self::Tanh => kernels::Activation::Tanh,
            Self::Elu => kernels::Activation::Elu,
        }
    }
}

/// Shape of a conditioner's network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Residual blocks instead of plain layers: `h + W2 act(W1 act(h))`, one block per hidden layer after the first.
    #[serde(default)]
    pub residual: bool,
    /// The non-linearity.
    #[serde(default)]
    pub activation: Activation,
}

impl NetworkSpec {
    /// Checks widths and depth.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the range that was expected.
    pub fn validate(&self) -> Result<()> {
        const WIDTH_MAX: usize = 1 << 16;
        const DEPTH_MAX: usize = 64;
        if self.hidden.is_empty() || self.hidden.len() > DEPTH_MAX {
            return Err(Error::config(format!(
                "network: expected 1 to {DEPTH_MAX} hidden layers, found {}",
                self.hidden.len()
            )));
        }
        if let Some(width) = self.hidden.iter().find(|w| !(1..=WIDTH_MAX).contains(*w)) {
            return Err(Error::config(format!(
                "network: hidden widths must be in 1..={WIDTH_MAX}, found {width}"
            )));
        }
        if self.residual && self.hidden.windows(2).any(|w| w[0] != w[1]) {
            return Err(Error::config(format!(
                "network: a residual network needs equal hidden widths, found {:?}",
                self.hidden
            )));
        }
        Ok(())
    }
}

/// Who may see whom. Units are sorted by degree, so every mask is a staircase.
///
/// Input `i` has degree `i + 1`; a hidden unit of degree `m` sees inputs and units of degree at most `m`; the parameters of
/// dimension `i` see hidden units of degree at most `i`. With context there are units of degree 0, which see the context alone.
///
/// Reference: Germain, Gregor, Murray, Larochelle. *MADE*. ICML 2015, eqs. 8-9, arXiv:1502.03509.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degrees {
    /// Everything sees everything.
    Dense,
    /// Parameters of dimension `i` see inputs before `i`.
    Sequential,
}

/// A multi-layer perceptron or residual network from `inputs` (and context) to `outputs` values per input dimension.
#[derive(Clone, Debug)]
pub struct Network {
    input: Linear,
    context: Option<Linear>,
    hidden: Vec<Linear>,
    output: Linear,
    residual: bool,
    activation: Activation,
}

impl Network {
    /// Builds the network; its last layer is zero, so all outputs start at zero.
    ///
    /// With [`Degrees::Sequential`] the output is `[n, inputs * per_input]`, sorted by dimension; with [`Degrees::Dense`] it
    /// is `[n, outputs]` and `outputs` need not relate to `inputs`.
    pub fn new(
        spec: &NetworkSpec,
        degrees: Degrees,
        [inputs, context, outputs]: [usize; 3],
        init: &mut Init,
    ) -> Self {
        let staircase = |below: &[usize], above: &[usize]| {
            (degrees == Degrees::Sequential).then(|| {
                above.iter().map(|&m| below.partition_point(|&degree| degree <= m)).collect()
            })
        };
        let of_inputs: Vec<usize> = (1..=inputs).collect();
        let lowest = usize::from(context == 0).min(inputs.saturating_sub(1));
        let spread = (inputs.saturating_sub(lowest)).max(1);
        let of_hidden =
            |width: usize| (0..width).map(|j| lowest + j * spread / width).collect::<Vec<_>>();
        let of_outputs: Vec<usize> =
            (0..outputs).map(|j| j * inputs.max(1) / outputs.max(1)).collect();
        let mut below = of_hidden(spec.hidden[0]);
        let input = Linear::new(inputs, spec.hidden[0], staircase(&of_inputs, &below), init);
        let context = (context > 0).then(|| Linear::new(context, spec.hidden[0], None, init));
        let mut hidden = Vec::new();
        for &width in &spec.hidden[1..] {
            let above = of_hidden(width);
            let mask = staircase(&below, &above);
            hidden.push(Linear::new(below.len(), width, mask.clone(), init));
            if spec.residual {
                // The second product of a block starts at zero: each block starts as the identity.
                hidden.push(Linear::zeros(width, width, mask, init));
            }
            below = above;
        }
        let output = Linear::zeros(below.len(), outputs, staircase(&below, &of_outputs), init);
        let (residual, activation) = (spec.residual, spec.activation);
        Self { input, context, hidden, output, residual, activation }
    }

    /// `x: [n, inputs]`, `context: [n, c]` to `[n, outputs]`.
    pub fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let linear = kernels::Activation::None;
        let act = self.activation.kernel();
        let context_addend = self.context_addend(context);
        if !self.residual {
            let first = self.input.forward(x, context_addend, act);
            let last = self.hidden.iter().fold(first, |h, layer| layer.forward(h, None, act));
            return self.output.forward(last, None, linear);
        }
        let mut h = self.input.forward(x, context_addend, linear);
        for block in self.hidden.chunks_exact(2) {
            let inner = block[0].forward(kernels::ops::activate(h.clone(), act), None, act);
            h = block[1].forward(inner, Some(h), linear);
        }
        self.output.forward(kernels::ops::activate(h, act), None, linear)
    }

    /// Lists the network's layers; `input` and `skip` are numbers of nodes, 0 being the input and `i + 1` the result of entry `i`.
    fn list<N>(
        &self,
        mut linear: impl FnMut(&Linear, kernels::Activation, usize, Option<usize>) -> N,
        activate: impl Fn(kernels::Activation, usize) -> N,
    ) -> Vec<N> {
        let (act, none) = (self.activation.kernel(), kernels::Activation::None);
        let first = if self.residual { none } else { act };
        let mut nodes = vec![linear(&self.input, first, 0, None)];
        if self.residual {
            for block in self.hidden.chunks_exact(2) {
                let trunk = nodes.len();
                nodes.push(activate(act, trunk));
                nodes.push(linear(&block[0], act, trunk + 1, None));
                nodes.push(linear(&block[1], none, trunk + 2, Some(trunk)));
            }
            nodes.push(activate(act, nodes.len()));
        } else {
            for layer in &self.hidden {
                nodes.push(linear(layer, act, nodes.len(), None));
            }
        }
        nodes.push(linear(&self.output, none, nodes.len(), None));
        nodes
    }

    /// The network as steps of the fast inverse; a context's contribution is the addend of the first.
    pub(crate) fn steps(&self) -> Vec<MadeLayer> {
        self.list(Linear::step, |activation, input| MadeLayer::Activate { activation, input })
    }

    /// The network as nodes of a program, whose weights come next in the order of [`Network::visit`].
    pub(crate) fn program(&self, cursor: &mut Cursor) -> NetworkProgram {
        let width = self.input.staircase().outputs();
        let mut context = None;
        let linear = |layer: &Linear, activation, input, skip| {
            let node = layer.node(activation, input, skip, cursor);
            if let (0, Some(layer)) = (input, &self.context) {
                let weight = cursor.take(layer.staircase().inputs() * width);
                context = Some(ContextLayer { weight, staircase: layer.staircase().clone() });
            }
            node
        };
        let nodes = self.list(linear, |activation, input| NetworkNode::Activate {
            activation,
            input,
            width,
        });
        NetworkProgram { nodes, context }
    }

    /// What the context adds to the first layer.
    pub(crate) fn context_addend(&self, context: Option<&Tensor<2>>) -> Option<Tensor<2>> {
        let (layer, context) = (self.context.as_ref()?, context?);
        Some(layer.forward_without_bias(context.clone()))
    }

    /// Shows all weights and biases.
    pub fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visit_part("input", visitor, |v| self.input.visit(v));
        if let Some(context) = &mut self.context {
            visit_part("context", visitor, |v| context.visit_weight(v));
        }
        for (i, layer) in self.hidden.iter_mut().enumerate() {
            visit_part(&format!("hidden.{i}"), visitor, |v| layer.visit(v));
        }
        visit_part("output", visitor, |v| self.output.visit(v));
    }
}

impl NetworkSpec {
    /// Number of weights and biases of a network, masked ones included; `None` if it overflows.
    pub(crate) fn count(&self, inputs: u64, context: u64, outputs: u64) -> Option<u64> {
        let dense = |i: u64, o: u64| i.checked_mul(o)?.checked_add(o);
        let first = *self.hidden.first()? as u64;
        let mut count = dense(inputs, first)?.checked_add(context.checked_mul(first)?)?;
        let mut below = first;
        for &width in self.hidden.get(1..)? {
            let width = width as u64;
            count = count.checked_add(dense(below, width)?)?;
            if self.residual {
                count = count.checked_add(dense(width, width)?)?;
            }
            below = width;
        }
        count.checked_add(dense(below, outputs)?)
    }
}
