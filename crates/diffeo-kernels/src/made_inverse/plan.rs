//! Which units become computable when, and the weights in the order in which they will be read.

use std::ops::Range;

use super::MadeStep;
use crate::{Activation, Real};

/// Units of one step that are computed together, all of whose inputs are known.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) step: usize,
    pub(super) units: Range<usize>,
    pub(super) input: usize,
    pub(super) skip: Option<usize>,
    pub(super) activation: Activation,
    /// Into [`Plan::packs`]; empty for a step without weights.
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

/// Units of a pack: with 64 bytes of rows each, their sums fill half of the registers of AVX2.
const PACK_UNITS: usize = 4;

/// The order of evaluation of a masked network whose input arrives one dimension at a time.
#[derive(Debug)]
pub(super) struct Plan<T> {
    pub(super) dims: usize,
    pub(super) params_per_dim: usize,
    /// Width of each node, node 0 being `x`.
    pub(super) widths: Vec<usize>,
    pub(super) biases: Vec<Vec<T>>,
    pub(super) weights: Vec<T>,
    pub(super) packs: Vec<Pack>,
    pub(super) tasks: Vec<Task>,
    /// Dimension `m` needs the tasks `task_ends[m]..task_ends[m + 1]`.
    pub(super) task_ends: Vec<usize>,
}

impl<T: Real> Plan<T> {
    pub(super) fn new(steps: &[MadeStep<'_, T>], dims: usize, params_per_dim: usize) -> Self {
        let mut plan = Self {
            dims,
            params_per_dim,
            widths: widths(steps, dims),
            biases: steps.iter().map(bias).collect(),
            weights: Vec::new(),
            packs: Vec::new(),
            tasks: Vec::new(),
            task_ends: vec![0],
        };
        let outputs = plan.widths.last().copied();
        assert_eq!(
            outputs,
            Some(dims * params_per_dim),
            "the network has the wrong number of outputs"
        );
        assert!(
            matches!(steps.last(), Some(MadeStep::Linear { .. })),
            "the last step must be linear"
        );
        // Units of each node that are known so far.
        let mut known = vec![0; steps.len() + 1];
        for dim in 0..dims {
            known[0] = dim;
            for (i, step) in steps.iter().enumerate() {
                let reach = reach(step, &known);
                let end = if i + 1 < steps.len() {
                    reach
                } else {
                    let end = (dim + 1) * params_per_dim;
                    assert!(end <= reach, "the parameters of dimension {dim} see that dimension");
                    end
                };
                if end > known[i + 1] {
                    plan.add(i, step, known[i + 1]..end);
                    known[i + 1] = end;
                }
            }
            plan.task_ends.push(plan.tasks.len());
        }
        plan
    }

    fn add(&mut self, index: usize, step: &MadeStep<'_, T>, units: Range<usize>) {
        let start = self.packs.len();
        let (input, skip, activation) = match step {
            MadeStep::Linear { layer, input, skip } => {
                for first in units.clone().step_by(PACK_UNITS) {
                    let last = units.end.min(first + PACK_UNITS);
                    let depth = layer.staircase.prefix()[last - 1];
                    let at = self.weights.len();
                    for k in 0..depth {
                        let row = &layer.weight[k * layer.staircase.outputs()..];
                        self.weights.extend_from_slice(&row[first..last]);
                    }
                    self.packs.push(Pack { first, units: last - first, depth, at });
                }
                (*input, *skip, layer.activation)
            }
            MadeStep::Activate { activation, input } => (*input, None, *activation),
        };
        let packs = start..self.packs.len();
        self.tasks.push(Task { step: index, units, input, skip, activation, packs });
    }
}

/// Width of each node; panics unless each step fits the nodes before it.
fn widths<T: Real>(steps: &[MadeStep<'_, T>], dims: usize) -> Vec<usize> {
    let mut widths = vec![dims];
    for step in steps {
        let width = |node: usize| {
            *widths.get(node).unwrap_or_else(|| panic!("node {node} is used before it is computed"))
        };
        let next = match step {
            MadeStep::Linear { layer, input, skip } => {
                let (inputs, outputs) = (layer.staircase.inputs(), layer.staircase.outputs());
                assert_eq!(width(*input), inputs, "a layer does not fit its input");
                assert_eq!(layer.weight.len(), inputs * outputs, "weight has the wrong length");
                assert_eq!(layer.bias.len(), outputs, "bias has the wrong length");
                assert!(skip.is_none_or(|skip| width(skip) == outputs), "a skip differs in width");
                outputs
            }
            MadeStep::Activate { input, .. } => width(*input),
        };
        widths.push(next);
    }
    widths
}

fn bias<T: Real>(step: &MadeStep<'_, T>) -> Vec<T> {
    match step {
        MadeStep::Linear { layer, .. } => layer.bias.to_vec(),
        MadeStep::Activate { .. } => Vec::new(),
    }
}

/// How many leading units of a step are computable from the units known.
fn reach<T: Real>(step: &MadeStep<'_, T>, known: &[usize]) -> usize {
    match step {
        MadeStep::Linear { layer, input, skip } => {
            let seen = layer.staircase.prefix().partition_point(|&p| p <= known[*input]);
            skip.map_or(seen, |skip| seen.min(known[skip]))
        }
        MadeStep::Activate { input, .. } => known[*input],
    }
}
