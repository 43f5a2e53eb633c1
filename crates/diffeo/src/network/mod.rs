//! The network inside a conditioner: dense for couplings, masked by degrees for autoregressive flows (MADE), by sets of inputs for graphs.

mod linear;
mod mask;
mod program;
mod sets;
mod tiled;

use burn::tensor::Tensor;
use std::sync::Arc;

use diffeo_kernels as kernels;
use diffeo_kernels::{Graph, Node};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::parameter::{Init, Visitor, visit_part};
use crate::step::Weights;
use crate::{catalog::Cases, place::Place};
pub use linear::Linear;
pub use mask::Mask;
pub(crate) use program::{NetworkProgram, Seen, Work};
pub(crate) use sets::InputSets;
pub use tiled::TiledWeights;

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
    /// Widest hidden layer.
    pub const WIDTH_MAX: usize = 1 << 16;
    /// Most hidden layers.
    pub const DEPTH_MAX: usize = 64;

    /// Checks widths and depth.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Config`] with the range that was expected.
    pub fn validate(&self) -> Result<()> {
        let (width_max, depth_max) = (Self::WIDTH_MAX, Self::DEPTH_MAX);
        if self.hidden.is_empty() || self.hidden.len() > depth_max {
            return Err(Error::config(format!(
                "network: expected 1 to {depth_max} hidden layers, found {}",
                self.hidden.len()
            )));
        }
        if let Some(width) = self.hidden.iter().find(|w| !(1..=width_max).contains(*w)) {
            return Err(Error::config(format!(
                "network: hidden widths must be in 1..={width_max}, found {width}"
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

impl Cases for NetworkSpec {
    /// Every activation, plain and residual.
    fn cases(_at: Place) -> Vec<Self> {
        use Activation::{Elu, Relu, Tanh};
        let shapes =
            [(false, Tanh), (true, Relu), (false, Elu), (true, Tanh), (false, Relu), (true, Elu)];
        let of = |(residual, activation)| Self { hidden: vec![12, 12], residual, activation };
        shapes.map(of).to_vec()
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

/// Two layers of units, by their widths.
#[derive(Clone, Copy)]
enum Between {
    InputsAndHidden(usize),
    Hidden(usize, usize),
    HiddenAndOutputs(usize),
}

/// A multi-layer perceptron or residual network from `inputs` (and context) to `outputs` values per input dimension.
#[derive(Clone, Debug)]
pub struct Network {
    input: Linear,
    context: Option<Linear>,
    hidden: Vec<Linear>,
    output: Linear,
    /// What is computed from what.
    graph: Arc<Graph>,
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
        let of_outputs: Vec<usize> =
            (0..outputs).map(|j| j * inputs.max(1) / outputs.max(1)).collect();
        match degrees {
            Degrees::Dense => Self::of(spec, false, [&vec![0; inputs], &of_outputs], context, init),
            Degrees::Sequential => {
                let of_inputs: Vec<usize> = (0..inputs).collect();
                Self::of(spec, true, [&of_inputs, &of_outputs], context, init)
            }
        }
    }

    /// Builds a network of groups: output `j`, of group `outputs[j]`, sees the inputs `i` of which the group `inputs[i]` is a lower one.
    /// Both lists ascend.
    pub(crate) fn grouped(
        spec: &NetworkSpec,
        [inputs, outputs]: [&[usize]; 2],
        context: usize,
        init: &mut Init,
    ) -> Self {
        Self::of(spec, true, [inputs, outputs], context, init)
    }

    fn of(
        spec: &NetworkSpec,
        is_masked: bool,
        [inputs, of_outputs]: [&[usize]; 2],
        context: usize,
        init: &mut Init,
    ) -> Self {
        let staircase = |below: &[usize], above: &[usize]| match is_masked {
            false => Mask::Dense,
            true => Mask::Leading(
                above.iter().map(|&m| below.partition_point(|&degree| degree <= m)).collect(),
            ),
        };
        let groups =
            if is_masked { inputs.last().map_or(0, |last| last + 1) } else { inputs.len() };
        let of_inputs: Vec<usize> = inputs.iter().map(|group| group + 1).collect();
        let lowest = usize::from(context == 0).min(groups.saturating_sub(1));
        let spread = (groups.saturating_sub(lowest)).max(1);
        let of_hidden =
            |width: usize| (0..width).map(|j| lowest + j * spread / width).collect::<Vec<_>>();
        let masks = |between: Between| match between {
            Between::InputsAndHidden(width) => staircase(&of_inputs, &of_hidden(width)),
            Between::Hidden(below, above) => staircase(&of_hidden(below), &of_hidden(above)),
            Between::HiddenAndOutputs(width) => staircase(&of_hidden(width), of_outputs),
        };
        Self::assembled(spec, masks, [inputs.len(), context, of_outputs.len()], init)
    }

    /// Builds a network of sets, with `each` outputs for a group; every hidden layer must have a unit for each set at least.
    pub(crate) fn of_sets(
        spec: &NetworkSpec,
        sets: &InputSets,
        each: usize,
        context: usize,
        init: &mut Init,
    ) -> Self {
        let masks = |between: Between| match between {
            Between::InputsAndHidden(width) => sets.of_inputs(width),
            Between::Hidden(below, above) => sets.between(below, above),
            Between::HiddenAndOutputs(width) => sets.of_outputs(width, each),
        };
        let [inputs, groups] = sets.shape();
        Self::assembled(spec, masks, [inputs, context, groups * each], init)
    }

    fn assembled(
        spec: &NetworkSpec,
        masks: impl Fn(Between) -> Mask,
        [inputs, context, outputs]: [usize; 3],
        init: &mut Init,
    ) -> Self {
        let mut below = spec.hidden[0];
        let input = Linear::new(inputs, below, &masks(Between::InputsAndHidden(below)), init);
        let context = (context > 0).then(|| Linear::new(context, below, &Mask::Dense, init));
        let mut hidden = Vec::new();
        for &width in &spec.hidden[1..] {
            let mask = masks(Between::Hidden(below, width));
            hidden.push(Linear::new(below, width, &mask, init));
            if spec.residual {
                // The second product of a block starts at zero: each block starts as the identity.
                hidden.push(Linear::zeros(width, width, &mask, init));
            }
            below = width;
        }
        let output = Linear::zeros(below, outputs, &masks(Between::HiddenAndOutputs(below)), init);
        let graph = Arc::new(graph_of(spec, &input, &hidden, &output));
        Self { input, context, hidden, output, graph }
    }

    /// `x: [n, inputs]`, `context: [n, c]` to `[n, outputs]`.
    pub fn forward(&self, x: Tensor<2>, context: Option<&Tensor<2>>) -> Tensor<2> {
        let mut addend = self.context_addend(context);
        let (mut results, mut layers) = (vec![x], self.linear());
        for node in self.graph.nodes() {
            results.push(match (node, addend.take()) {
                (Node::Activate { activation, input }, _) => {
                    kernels::ops::activate(results[*input].clone(), *activation)
                }
                (Node::Linear { activation, input, skip, .. }, addend) => {
                    let addend = addend.or_else(|| skip.map(|skip| results[skip].clone()));
                    let layer = layers.next().expect("a layer for each linear node");
                    layer.forward(results[*input].clone(), addend, *activation)
                }
            });
        }
        results.pop().expect("a network has an input")
    }

    /// The linear layers but the context's, in the order of the graph.
    fn linear(&self) -> impl Iterator<Item = &Linear> {
        std::iter::once(&self.input).chain(&self.hidden).chain([&self.output])
    }

    /// What is computed from what; a context's contribution is added in the first node.
    pub(crate) fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Weight and bias of each linear node.
    pub(crate) fn weights(&self) -> Vec<[Tensor<2>; 2]> {
        self.linear().map(Linear::weights).collect()
    }

    /// The network over flat weights.
    pub(crate) fn program(&self, weights: &Weights<'_>) -> Option<NetworkProgram> {
        let hidden = (0..self.hidden.len()).map(|i| format!("hidden.{i}"));
        let names = std::iter::once("input".to_owned()).chain(hidden).chain(["output".to_owned()]);
        let layers = names.zip(self.linear().map(|layer| Arc::clone(layer.holes())));
        let context = self.context.as_ref().map(|layer| layer.staircase());
        NetworkProgram::new(Arc::clone(&self.graph), layers, context, weights)
    }

    /// Sets what the result starts from.
    pub(crate) fn set_output_bias(&mut self, bias: Tensor<2>) {
        self.output.set_bias(bias);
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

/// The topology of plain layers, or of residual blocks: activation, layer, layer with the block's input added.
fn graph_of(spec: &NetworkSpec, input: &Linear, hidden: &[Linear], output: &Linear) -> Graph {
    let (act, none) = (spec.activation.kernel(), kernels::Activation::None);
    let linear = |layer: &Linear, activation, input, skip| Node::Linear {
        staircase: Arc::clone(layer.staircase()),
        activation,
        input,
        skip,
    };
    let mut nodes = vec![linear(input, if spec.residual { none } else { act }, 0, None)];
    if spec.residual {
        for block in hidden.chunks_exact(2) {
            let trunk = nodes.len();
            nodes.push(Node::Activate { activation: act, input: trunk });
            nodes.push(linear(&block[0], act, trunk + 1, None));
            nodes.push(linear(&block[1], none, trunk + 2, Some(trunk)));
        }
        nodes.push(Node::Activate { activation: act, input: nodes.len() });
    } else {
        for layer in hidden {
            nodes.push(linear(layer, act, nodes.len(), None));
        }
    }
    nodes.push(linear(output, none, nodes.len(), None));
    Graph::new(input.staircase().inputs(), nodes)
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
