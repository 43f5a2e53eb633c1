//! Which units become computable when, and the weights in the order in which they will be read.

use std::ops::Range;

use super::buffers::Buffers;
use super::network::Network;
use crate::accumulate::UNITS_MAX;
use crate::{Idle, MaskedLinear, Node, Real, Staircase};

/// What makes one node from nodes before it: a product, and nodes that are added. Stage `i` makes node `i + 1`.
#[derive(Debug)]
pub(super) struct Stage<'a, T> {
    product: Option<Product<'a, T>>,
    adds: Vec<usize>,
}

/// A node times a staircase matrix, or times its mirror image: transposed, with the order of inputs and that of
/// outputs reversed, which is a staircase again.
#[derive(Debug)]
struct Product<'a, T> {
    input: usize,
    weight: &'a [T],
    staircase: &'a Staircase,
    prefix: Vec<usize>,
    mirrored: bool,
}

impl<'a, T: Real> Stage<'a, T> {
    /// A network as it is: from `x` to parameters.
    pub(super) fn forward(network: &Network<'a, T>) -> Vec<Self> {
        let stage = |(node, layer): (&Node, Option<MaskedLinear<'a, T>>)| Self {
            product: layer.map(|layer| Product::of(node.input(), layer)),
            adds: node.added().into_iter().collect(),
        };
        network.nodes().map(stage).collect()
    }

    /// Its backward pass, from gradients by parameters to gradients by `x`: the same network seen from the other end.
    /// Nodes are counted from the last to the first, and so are the units of each.
    ///
    /// # Panics
    /// If a node is multiplied by two layers.
    pub(super) fn mirrored(network: &Network<'a, T>) -> Vec<Self> {
        let count = network.nodes().len();
        let mut stages = Vec::with_capacity(count);
        for node in (0..count).rev() {
            let mut stage = Self { product: None, adds: Vec::new() };
            for (i, (reader, layer)) in network.nodes().enumerate().skip(node) {
                let from = count - (i + 1);
                if let Some(layer) = layer.filter(|_| reader.input() == node) {
                    assert!(stage.product.is_none(), "node {node} is multiplied twice");
                    stage.product = Some(Product::mirrored(from, layer));
                }
                stage.adds.extend((reader.added() == Some(node)).then_some(from));
            }
            stages.push(stage);
        }
        stages
    }

    /// How many leading units of the stage's node, which has `width`, are computable from the units known.
    fn reach(&self, width: usize, known: &[usize]) -> usize {
        let seen = self.product.as_ref().map_or(width, |product| {
            product.prefix.partition_point(|&prefix| prefix <= known[product.input])
        });
        self.adds.iter().fold(seen, |reach, &node| reach.min(known[node]))
    }
}

impl<'a, T: Real> Product<'a, T> {
    fn of(input: usize, layer: MaskedLinear<'a, T>) -> Self {
        let MaskedLinear { weight, staircase, .. } = layer;
        Self { input, weight, staircase, prefix: staircase.prefix().to_vec(), mirrored: false }
    }

    fn mirrored(input: usize, layer: MaskedLinear<'a, T>) -> Self {
        let MaskedLinear { weight, staircase, .. } = layer;
        Self { input, weight, staircase, prefix: staircase.mirrored_prefix(), mirrored: true }
    }

    /// Appends `[depth, units]`, the weights of the first `depth` inputs.
    fn extend(&self, weights: &mut Vec<T>, depth: usize, units: &Range<usize>) {
        let (inputs, outputs) = (self.staircase.inputs(), self.staircase.outputs());
        for k in 0..depth {
            if self.mirrored {
                let column = outputs - 1 - k;
                weights.extend(
                    units.clone().map(|unit| self.weight[(inputs - 1 - unit) * outputs + column]),
                );
            } else {
                weights.extend_from_slice(&self.weight[k * outputs..][units.clone()]);
            }
        }
    }
}

/// Units of one stage that are computed together, all of whose inputs are known.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) stage: usize,
    pub(super) units: Range<usize>,
    /// Into [`Plan::packs`].
    pub(super) packs: Range<usize>,
}

/// A few neighbouring units, whose weights lie together: `[depth, units]`.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) first: usize,
    pub(super) units: usize,
    pub(super) depth: usize,
    pub(super) at: usize,
}

/// Which nodes a stage reads.
#[derive(Debug)]
pub(super) struct Link {
    /// The node that is multiplied; any if none is.
    pub(super) input: usize,
    pub(super) adds: Vec<usize>,
}

/// The order of evaluation of a network whose input arrives one dimension at a time.
#[derive(Debug)]
pub(super) struct Plan<T> {
    pub(super) dims: usize,
    /// Units of the first node that a dimension brings, and units of the last that it needs before.
    pub(super) per_dim: [usize; 2],
    /// Width of each node.
    pub(super) widths: Vec<usize>,
    pub(super) links: Vec<Link>,
    pub(super) weights: Vec<T>,
    pub(super) packs: Vec<Pack>,
    tasks: Vec<Task>,
    /// Dimension `m` needs the tasks `task_ends[m]..task_ends[m + 1]`; the rest comes after the last.
    task_ends: Vec<usize>,
    /// Buffers that no sweep is using.
    pub(super) idle: Idle<Buffers<T>>,
}

impl<T: Real> Plan<T> {
    /// Units that no dimension needs are left out, unless `whole`: then they come at the end.
    ///
    /// # Panics
    /// If a dimension of the last node sees that dimension of the first, or one after it.
    pub(super) fn new(
        stages: &[Stage<'_, T>],
        widths: Vec<usize>,
        dims: usize,
        whole: bool,
    ) -> Self {
        let per_dim =
            [0, stages.len()].map(|node| widths[node].checked_div(dims).unwrap_or_default());
        let link = |stage: &Stage<'_, T>| Link {
            input: stage.product.as_ref().map_or(0, |product| product.input),
            adds: stage.adds.clone(),
        };
        let mut plan = Self {
            dims,
            per_dim,
            widths,
            links: stages.iter().map(link).collect(),
            weights: Vec::new(),
            packs: Vec::new(),
            tasks: Vec::new(),
            task_ends: vec![0],
            idle: Idle::default(),
        };
        // Units of each node that are known so far.
        let mut known = vec![0; stages.len() + 1];
        for dim in 0..dims + usize::from(whole) {
            known[0] = dim * per_dim[0];
            for (i, stage) in stages.iter().enumerate() {
                let reach = stage.reach(plan.widths[i + 1], &known);
                let end = if i + 1 < stages.len() || dim == dims {
                    reach
                } else {
                    let end = (dim + 1) * per_dim[1];
                    assert!(end <= reach, "the parameters of dimension {dim} see that dimension");
                    end
                };
                if end > known[i + 1] {
                    plan.add(i, stage, known[i + 1]..end);
                    known[i + 1] = end;
                }
            }
            plan.task_ends.push(plan.tasks.len());
        }
        plan.task_ends.resize(dims + 2, plan.tasks.len());
        plan
    }

    /// What must be computed before dimension `dim`, in order; what is left after the last, if that number is given.
    pub(super) fn tasks_before(&self, dim: usize) -> &[Task] {
        &self.tasks[self.task_ends[dim]..self.task_ends[dim + 1]]
    }

    fn add(&mut self, index: usize, stage: &Stage<'_, T>, units: Range<usize>) {
        let start = self.packs.len();
        let pieces = units.len().div_ceil(UNITS_MAX);
        let cut = |piece: usize| units.start + piece * units.len() / pieces;
        for (first, last) in (0..pieces).map(|piece| (cut(piece), cut(piece + 1))) {
            let at = self.weights.len();
            let depth = stage.product.as_ref().map_or(0, |product| {
                let depth = product.prefix[last - 1];
                product.extend(&mut self.weights, depth, &(first..last));
                depth
            });
            self.packs.push(Pack { first, units: last - first, depth, at });
        }
        self.tasks.push(Task { stage: index, units, packs: start..self.packs.len() });
    }
}
