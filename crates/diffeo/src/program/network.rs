//! The network of a conditioner as a list of nodes.

use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::{
    Activation, Aligned, LinearGradients, Real, Staircase, TILE_ROWS, TiledLinear, activate,
    activate_backward, pack_weight,
};

use super::step::{Pass, Scratch};

/// One node. Node 0 is what the network sees, node `i + 1` the result of entry `i`.
#[derive(Debug)]
pub(crate) enum NetworkNode {
    /// `activation(input W + b + skip)`.
    Linear {
        weight: Range<usize>,
        bias: Range<usize>,
        staircase: Arc<Staircase>,
        activation: Activation,
        input: usize,
        skip: Option<usize>,
    },
    /// `activation(input)`.
    Activate { activation: Activation, input: usize, width: usize },
}

impl NetworkNode {
    fn width(&self) -> usize {
        match self {
            Self::Linear { staircase, .. } => staircase.outputs(),
            Self::Activate { width, .. } => *width,
        }
    }
}

/// A network; the context's contribution is added in the first node.
#[derive(Debug)]
pub(crate) struct NetworkProgram {
    pub(crate) nodes: Vec<NetworkNode>,
    /// Weights from the context to the first node.
    pub(crate) context: Option<ContextLayer>,
}

/// The layer without bias that a context goes through.
#[derive(Debug)]
pub(crate) struct ContextLayer {
    /// `[context width, outputs of the first node]`.
    pub(crate) weight: Range<usize>,
    pub(crate) staircase: Staircase,
}

/// The weights of a network in the order in which products read them.
#[derive(Debug, Default)]
pub(super) struct Packed<T> {
    nodes: Vec<Aligned<T>>,
    context: Aligned<T>,
    /// The bias of the context's layer.
    zeros: Aligned<T>,
}

impl ContextLayer {
    fn layer<'a, T: Real>(&'a self, packed: &'a Packed<T>) -> TiledLinear<'a, T> {
        TiledLinear {
            packed: &packed.context,
            bias: &packed.zeros,
            staircase: &self.staircase,
            activation: Activation::None,
            input: Activation::None,
        }
    }
}

/// What a forward pass used and left.
pub(super) struct Kept<'a, T> {
    pub(super) packed: &'a Packed<T>,
    /// What the network saw.
    pub(super) x: &'a [T],
    /// Its result.
    pub(super) out: &'a [T],
    /// Results of the nodes between.
    pub(super) nodes: &'a [Aligned<T>],
}

impl NetworkProgram {
    /// Takes up weights.
    pub(super) fn pack<T: Real>(&self, weights: &[T], packed: &mut Packed<T>) {
        packed.nodes.resize_with(self.nodes.len(), Aligned::default);
        for (node, packed) in self.nodes.iter().zip(&mut packed.nodes) {
            if let NetworkNode::Linear { weight, staircase, .. } = node {
                pack_weight(&weights[weight.clone()], staircase, packed);
            }
        }
        if let Some(context) = &self.context {
            packed.zeros.sized(context.staircase.outputs()).fill(T::ZERO);
            let weight = &weights[context.weight.clone()];
            pack_weight(weight, &context.staircase, &mut packed.context);
        }
    }

    /// `x: [tiles, inputs, TILE_ROWS]` to `out: [tiles, outputs, TILE_ROWS]`.
    pub(super) fn forward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        packed: &Packed<T>,
        x: &[T],
        out: &mut [T],
        (nodes, addend): (&mut Vec<Aligned<T>>, &mut Aligned<T>),
    ) {
        let n = pass.tiles * TILE_ROWS;
        nodes.resize_with(self.nodes.len() - 1, Aligned::default);
        let addend = self.context.as_ref().map(|context| {
            let addend = addend.sized(n * context.staircase.outputs());
            context.layer(packed).forward(pass.context, None, addend);
            &*addend
        });
        for (i, node) in self.nodes.iter().enumerate() {
            let is_last = i + 1 == self.nodes.len();
            let mut own = if is_last { Aligned::default() } else { std::mem::take(&mut nodes[i]) };
            let to = if is_last { &mut *out } else { own.sized(n * node.width()) };
            let of = |input: usize| if input == 0 { x } else { &*nodes[input - 1] };
            match node {
                NetworkNode::Linear { input, skip, staircase, .. } => {
                    let len = n * staircase.outputs();
                    let addend = if i == 0 { addend } else { skip.map(|s| &of(s)[..len]) };
                    let input = &of(*input)[..n * staircase.inputs()];
                    let layer = node.layer(pass.weights, &packed.nodes[i], staircase);
                    layer.forward(input, addend, to);
                }
                NetworkNode::Activate { activation, input, .. } => {
                    let len = to.len();
                    to.copy_from_slice(&of(*input)[..len]);
                    activate(*activation, to);
                }
            }
            if !is_last {
                nodes[i] = own;
            }
        }
    }

    /// Writes the gradients of the weights, and if wanted that of `x`; `grad`, that of the result, is used up.
    pub(super) fn backward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        kept: Kept<'_, T>,
        grad: &mut [T],
        mut to_x: Option<&mut [T]>,
        scratch: &mut Scratch<T>,
        gradient: &mut [T],
    ) {
        let n = pass.tiles * TILE_ROWS;
        let Kept { packed, x, out, nodes: values } = kept;
        let Scratch { nodes: grads, written, more, linear, .. } = scratch;
        grads.resize_with(self.nodes.len().max(grads.len()), Aligned::default);
        written.clear();
        written.resize(self.nodes.len() + 1, false);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let is_last = i + 1 == self.nodes.len();
            let len = n * node.width();
            let mut own = if is_last { Aligned::default() } else { std::mem::take(&mut grads[i]) };
            let grad: &mut [T] = if is_last { &mut *grad } else { &mut own[..len] };
            let output = if is_last { out } else { &values[i][..len] };
            match node {
                NetworkNode::Linear { weight, bias, staircase, input, skip, .. } => {
                    let input_len = n * staircase.inputs();
                    let seen = if *input == 0 { x } else { &values[*input - 1][..input_len] };
                    let (weights, biases) =
                        gradient[weight.start..bias.end].split_at_mut(weight.len());
                    let mut target = match *input {
                        0 => to_x.as_deref_mut(),
                        input => Some(grads[input - 1].sized(input_len)),
                    };
                    let again = target.is_some() && written[*input];
                    let x = if again { Some(more.sized(input_len)) } else { target.as_deref_mut() };
                    let to = LinearGradients { x, weight: weights, bias: biases };
                    let done = self.deferred(i + 1).is_some();
                    let layer = TiledLinear {
                        activation: if done { Activation::None } else { node.activation() },
                        input: self.deferred(*input).unwrap_or_default(),
                        ..node.layer(pass.weights, &packed.nodes[i], staircase)
                    };
                    layer.backward(seen, output, grad, to, linear);
                    if let (true, Some(target)) = (again, target) {
                        add(target, &more[..input_len]);
                    }
                    written[*input] = true;
                    if let Some(skip) = *skip {
                        pass_on(grad, &mut grads[skip - 1], &mut written[skip]);
                    }
                }
                NetworkNode::Activate { activation, input, .. } => {
                    activate_backward(*activation, output, grad);
                    pass_on(grad, &mut grads[*input - 1], &mut written[*input]);
                }
            }
            if let (0, Some(context)) = (i, &self.context) {
                let to = LinearGradients {
                    x: None,
                    weight: &mut gradient[context.weight.clone()],
                    bias: more.sized(node.width()),
                };
                let (layer, no_output) = (context.layer(packed), &values[0][..len]);
                layer.backward(pass.context, no_output, grad, to, linear);
            }
            if !is_last {
                grads[i] = own;
            }
        }
    }

    /// The activation of a linear node that only one other linear node reads, as its input. In the backward pass that one applies
    /// the slope, as it writes the gradient.
    fn deferred(&self, node: usize) -> Option<Activation> {
        let NetworkNode::Linear { activation, .. } = self.nodes.get(node.checked_sub(1)?)? else {
            return None;
        };
        let uses = self.nodes.iter().flat_map(|reader| match reader {
            NetworkNode::Linear { input, skip, .. } => {
                [Some((*input, true)), skip.map(|s| (s, false))]
            }
            NetworkNode::Activate { input, .. } => [Some((*input, false)), None],
        });
        let mut of_node = uses.flatten().filter(|(read, _)| *read == node);
        let only = of_node.next().is_some_and(|(_, as_input)| as_input) && of_node.next().is_none();
        only.then_some(*activation)
    }
}

impl NetworkNode {
    fn activation(&self) -> Activation {
        match self {
            Self::Linear { activation, .. } | Self::Activate { activation, .. } => *activation,
        }
    }

    /// The layer of a linear node.
    fn layer<'a, T: Real>(
        &self,
        weights: &'a [T],
        packed: &'a [T],
        staircase: &'a Staircase,
    ) -> TiledLinear<'a, T> {
        let Self::Linear { bias, activation, .. } = self else {
            unreachable!("only linear nodes have a layer")
        };
        let (bias, activation) = (&weights[bias.clone()], *activation);
        TiledLinear { packed, bias, staircase, activation, input: Activation::None }
    }
}

/// Adds a gradient to that of a node that another node may have written to already.
fn pass_on<T: Real>(grad: &[T], to: &mut Aligned<T>, written: &mut bool) {
    let to = to.sized(grad.len());
    if *written {
        add(to, grad);
    } else {
        to.copy_from_slice(grad);
    }
    *written = true;
}

fn add<T: Real>(to: &mut [T], values: &[T]) {
    to.iter_mut().zip(values).for_each(|(to, &v)| *to += v);
}
