//! The network of a conditioner as a list of nodes.

use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::product::{Matrix, multiply, multiply_rowwise};
use diffeo_kernels::{
    Activation, LinearGradients, MaskedLinear, Real, Staircase, activate, activate_backward,
};

use super::step::{Pass, Scratch, sized};

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
    /// `[context width, outputs of the first node]`.
    pub(crate) context: Option<Range<usize>>,
}

/// What a forward pass left: what the network saw, its result, and the nodes between.
type Kept<'a, T> = (&'a [T], &'a [T], &'a [Vec<T>]);

impl NetworkProgram {
    /// `x: [n, inputs]` to `out: [n, outputs]`.
    pub(super) fn forward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        x: &[T],
        out: &mut [T],
        nodes: &mut Vec<Vec<T>>,
        addend: &mut Vec<T>,
    ) {
        let n = pass.rows;
        nodes.resize_with(self.nodes.len() - 1, Vec::new);
        let addend = self.context.as_ref().map(|range| {
            let width = self.nodes[0].width();
            let addend = sized(addend, n * width);
            let depth = range.len() / width;
            let weight = Matrix::row_major(&pass.weights[range.clone()], depth, width, width);
            let context = Matrix::row_major(pass.context, n, depth, depth);
            multiply_rowwise(addend, width, context, weight);
            &*addend
        });
        for (i, node) in self.nodes.iter().enumerate() {
            let is_last = i + 1 == self.nodes.len();
            let mut own = if is_last { Vec::new() } else { std::mem::take(&mut nodes[i]) };
            let to = if is_last { &mut *out } else { sized(&mut own, n * node.width()) };
            let of = |input: usize| if input == 0 { x } else { nodes[input - 1].as_slice() };
            match node {
                NetworkNode::Linear { input, skip, staircase, .. } => {
                    let len = n * staircase.outputs();
                    let addend = if i == 0 { addend } else { skip.map(|s| &of(s)[..len]) };
                    let input = &of(*input)[..n * staircase.inputs()];
                    node.layer(pass.weights, staircase).forward(input, addend, to);
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
        let n = pass.rows;
        let (x, out, values) = kept;
        let Scratch { nodes: grads, written, more, .. } = scratch;
        grads.resize_with(self.nodes.len().max(grads.len()), Vec::new);
        written.clear();
        written.resize(self.nodes.len() + 1, false);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            let is_last = i + 1 == self.nodes.len();
            let len = n * node.width();
            let mut own = if is_last { Vec::new() } else { std::mem::take(&mut grads[i]) };
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
                        input => Some(sized(&mut grads[input - 1], input_len)),
                    };
                    let again = target.is_some() && written[*input];
                    let x =
                        if again { Some(sized(more, input_len)) } else { target.as_deref_mut() };
                    let to = LinearGradients { x, weight: weights, bias: biases };
                    node.layer(pass.weights, staircase).backward(seen, output, grad, to);
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
            if let (0, Some(range)) = (i, &self.context) {
                let (width, depth) = (node.width(), range.len() / node.width());
                let context = Matrix::row_major(pass.context, n, depth, depth).transposed();
                let rows = Matrix::row_major(&*grad, n, width, width);
                multiply(&mut gradient[range.clone()], width, context, rows, false);
            }
            if !is_last {
                grads[i] = own;
            }
        }
    }
}

impl NetworkNode {
    /// The layer of a linear node.
    fn layer<'a, T: Real>(
        &self,
        weights: &'a [T],
        staircase: &'a Staircase,
    ) -> MaskedLinear<'a, T> {
        let (weight, bias, activation) = match self {
            Self::Linear { weight, bias, activation, .. } => (weight, bias, *activation),
            Self::Activate { .. } => unreachable!("only linear nodes have a layer"),
        };
        MaskedLinear {
            weight: &weights[weight.clone()],
            bias: &weights[bias.clone()],
            staircase,
            activation,
        }
    }
}

/// Adds a gradient to that of a node that another node may have written to already.
fn pass_on<T: Real>(grad: &[T], to: &mut Vec<T>, written: &mut bool) {
    let to = sized(to, grad.len());
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
