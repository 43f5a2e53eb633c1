//! The network of a conditioner over flat weights.

use std::ops::Range;
use std::sync::Arc;

use diffeo_kernels::{
    Activation, Aligned, Graph, LinearGradients, LinearScratch, Node, Real, Staircase, TILE_ROWS,
    TiledLinear, activate, activate_backward, pack_weight,
};

use crate::step::{Arena, ContextGradient, Pass, Weights};

/// A network whose weights lie in one slice; the context's contribution is added in the first node.
#[derive(Debug)]
pub(crate) struct NetworkProgram {
    graph: Arc<Graph>,
    /// Weight and bias of each linear node; they lie one after the other.
    weights: Vec<Option<[Range<usize>; 2]>>,
    /// Runs of each node's weights that are masked though its staircase has them.
    holes: Vec<Arc<[Range<usize>]>>,
    context: Option<ContextLayer>,
}

/// The layer without bias that a context goes through.
#[derive(Debug)]
struct ContextLayer {
    /// `[context width, outputs of the first node]`.
    weight: Range<usize>,
    staircase: Arc<Staircase>,
}

impl ContextLayer {
    fn layer<'a, T: Real>(
        &'a self,
        network: &NetworkProgram,
        packed: &'a Arena<T>,
    ) -> TiledLinear<'a, T> {
        let at = network.weights.len();
        TiledLinear {
            packed: packed.array(at),
            // It has no bias.
            bias: &packed.array(at + 1)[..self.staircase.outputs()],
            staircase: &self.staircase,
            activation: Activation::None,
            input: Activation::None,
        }
    }
}

/// What a forward pass used and left.
pub(crate) struct Seen<'a, T> {
    pub(crate) packed: &'a Arena<T>,
    /// What the network saw.
    pub(crate) x: &'a [T],
    /// Its result.
    pub(crate) out: &'a [T],
    /// Results of the nodes between.
    pub(crate) nodes: &'a [Aligned<T>],
}

/// Where a backward pass works.
pub(crate) struct Work<'a, T> {
    /// Gradients of the nodes but the last.
    pub(crate) nodes: &'a mut [Aligned<T>],
    pub(crate) more: &'a mut Aligned<T>,
    pub(crate) linear: &'a mut LinearScratch<T>,
    /// Where the gradient by the context is added, if it is wanted.
    pub(crate) context: Option<&'a mut ContextGradient<T>>,
}

impl NetworkProgram {
    /// A network whose linear nodes have these names, and these runs of weights that are masked though their staircases have them.
    pub(crate) fn new(
        graph: Arc<Graph>,
        mut layers: impl Iterator<Item = (String, Arc<[Range<usize>]>)>,
        context: Option<&Arc<Staircase>>,
        weights: &Weights<'_>,
    ) -> Option<Self> {
        let mut ranges = Vec::with_capacity(graph.nodes().len());
        let mut all_holes = Vec::with_capacity(graph.nodes().len());
        for node in graph.nodes() {
            let (range, holes) = match node {
                Node::Activate { .. } => (None, Arc::default()),
                Node::Linear { .. } => {
                    let (name, holes) = layers.next()?;
                    let layer = weights.part(&name);
                    (Some([layer.range("weight")?, layer.range("bias")?]), holes)
                }
            };
            ranges.push(range);
            all_holes.push(holes);
        }
        let context = match context {
            None => None,
            Some(staircase) => {
                let weight = weights.part("context").range("weight")?;
                Some(ContextLayer { weight, staircase: Arc::clone(staircase) })
            }
        };
        Some(Self { graph, weights: ranges, holes: all_holes, context })
    }

    /// Number of nodes between the input and the result: those whose results are kept.
    pub(crate) fn inner_nodes(&self) -> usize {
        self.graph.nodes().len() - 1
    }

    /// Takes up weights, in the order in which products read them: those of each node, then the context's.
    pub(crate) fn pack<T: Real>(&self, weights: &[T], packed: &mut Arena<T>) {
        let ([], arrays) = packed.arrays(self.weights.len() + 2);
        let nodes = self.graph.nodes().iter().zip(&self.weights).zip(&mut *arrays);
        for ((node, ranges), packed) in nodes {
            if let (Node::Linear { staircase, .. }, Some([weight, _])) = (node, ranges) {
                pack_weight(&weights[weight.clone()], staircase, packed);
            }
        }
        if let (Some(context), [.., packed, zeros]) = (&self.context, arrays) {
            pack_weight(&weights[context.weight.clone()], &context.staircase, packed);
            zeros.sized(context.staircase.outputs()).fill(T::ZERO);
        }
    }

    /// `x: [tiles, inputs, TILE_ROWS]` to `out: [tiles, outputs, TILE_ROWS]`.
    pub(crate) fn forward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        packed: &Arena<T>,
        x: &[T],
        out: &mut [T],
        (nodes, addend): (&mut [Aligned<T>], &mut Aligned<T>),
    ) {
        let n = pass.tiles * TILE_ROWS;
        let addend = self.context.as_ref().map(|context| {
            let addend = addend.sized(n * context.staircase.outputs());
            context.layer(self, packed).forward(pass.context, None, addend);
            &*addend
        });
        for (i, node) in self.graph.nodes().iter().enumerate() {
            let is_last = i == self.inner_nodes();
            let mut own = if is_last { Aligned::default() } else { std::mem::take(&mut nodes[i]) };
            let to = if is_last { &mut *out } else { own.sized(n * self.graph.width(i + 1)) };
            let of = |input: usize| if input == 0 { x } else { &*nodes[input - 1] };
            match node {
                Node::Linear { input, skip, staircase, .. } => {
                    let len = n * staircase.outputs();
                    let addend = if i == 0 { addend } else { skip.map(|s| &of(s)[..len]) };
                    let input = &of(*input)[..n * staircase.inputs()];
                    self.layer(i, pass.weights, packed).forward(input, addend, to);
                }
                Node::Activate { activation, input, .. } => {
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
    pub(crate) fn backward<T: Real>(
        &self,
        pass: &Pass<'_, T>,
        seen: Seen<'_, T>,
        grad: &mut [T],
        mut to_x: Option<&mut [T]>,
        work: Work<'_, T>,
        gradient: &mut [T],
    ) {
        let n = pass.tiles * TILE_ROWS;
        let Seen { packed, x, out, nodes: values } = seen;
        let Work { nodes: grads, more, linear, context: mut to_context } = work;
        let mut written = vec![false; self.graph.nodes().len() + 1];
        for (i, node) in self.graph.nodes().iter().enumerate().rev() {
            let is_last = i == self.inner_nodes();
            let len = n * self.graph.width(i + 1);
            let mut own = if is_last { Aligned::default() } else { std::mem::take(&mut grads[i]) };
            let grad: &mut [T] = if is_last { &mut *grad } else { &mut own[..len] };
            let output = if is_last { out } else { &values[i][..len] };
            match node {
                Node::Linear { staircase, input, skip, .. } => {
                    let [weight, bias] = self.ranges(i);
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
                    let layer = self.layer_backward([i, *input], pass.weights, packed);
                    layer.backward(seen, output, grad, to, linear);
                    self.close(i, gradient);
                    if let (true, Some(target)) = (again, target) {
                        add(target, &more[..input_len]);
                    }
                    written[*input] = true;
                    if let Some(skip) = *skip {
                        pass_on(grad, &mut grads[skip - 1], &mut written[skip]);
                    }
                }
                Node::Activate { activation, input, .. } => {
                    activate_backward(*activation, output, grad);
                    pass_on(grad, &mut grads[*input - 1], &mut written[*input]);
                }
            }
            if let (0, Some(context)) = (i, &self.context) {
                let wanted = to_context.as_deref_mut().filter(|to| to.is_wanted());
                let mut by_context = Aligned::default();
                let to = LinearGradients {
                    x: wanted.as_ref().map(|_| by_context.sized(pass.context.len())),
                    weight: &mut gradient[context.weight.clone()],
                    bias: more.sized(self.graph.width(1)),
                };
                let (layer, no_output) = (context.layer(self, packed), &values[0][..len]);
                layer.backward(pass.context, no_output, grad, to, linear);
                if let Some(wanted) = wanted {
                    wanted.add(0, &by_context);
                }
            }
            if !is_last {
                grads[i] = own;
            }
        }
    }

    /// The activation of a linear node that only one other linear node reads, as its input. In the backward pass that one applies
    /// the slope, as it writes the gradient.
    fn deferred(&self, node: usize) -> Option<Activation> {
        let nodes = self.graph.nodes();
        let Node::Linear { activation, .. } = nodes.get(node.checked_sub(1)?)? else {
            return None;
        };
        let uses = nodes.iter().flat_map(|reader| match reader {
            Node::Linear { input, skip, .. } => [Some((*input, true)), skip.map(|s| (s, false))],
            Node::Activate { input, .. } => [Some((*input, false)), None],
        });
        let mut of_node = uses.flatten().filter(|(read, _)| *read == node);
        let only = of_node.next().is_some_and(|(_, as_input)| as_input) && of_node.next().is_none();
        only.then_some(*activation)
    }

    /// Makes the gradient of masked weights zero where a staircase has them.
    fn close<T: Real>(&self, node: usize, gradient: &mut [T]) {
        let start = self.ranges(node)[0].start;
        for hole in self.holes[node].iter() {
            gradient[start + hole.start..start + hole.end].fill(T::ZERO);
        }
    }

    /// Weight and bias of a linear node.
    fn ranges(&self, node: usize) -> &[Range<usize>; 2] {
        self.weights[node].as_ref().expect("only linear nodes have weights")
    }

    /// The layer of a node as its backward pass runs it, given the number of the one that it reads: activations that were put off are those of the reader's input.
    fn layer_backward<'a, T: Real>(
        &'a self,
        [node, input]: [usize; 2],
        weights: &'a [T],
        packed: &'a Arena<T>,
    ) -> TiledLinear<'a, T> {
        let layer = self.layer(node, weights, packed);
        let is_put_off = self.deferred(node + 1).is_some();
        let activation = if is_put_off { Activation::None } else { layer.activation };
        TiledLinear { activation, input: self.deferred(input).unwrap_or_default(), ..layer }
    }

    /// The layer of a linear node.
    fn layer<'a, T: Real>(
        &'a self,
        node: usize,
        weights: &'a [T],
        packed: &'a Arena<T>,
    ) -> TiledLinear<'a, T> {
        let Node::Linear { staircase, activation, .. } = &self.graph.nodes()[node] else {
            unreachable!("only linear nodes have a layer")
        };
        let (packed, bias) = (packed.array(node), &weights[self.ranges(node)[1].clone()]);
        TiledLinear { packed, bias, staircase, activation: *activation, input: Activation::None }
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
