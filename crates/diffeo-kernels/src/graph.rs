//! What a network of staircase layers computes from what, without its weights.

use std::sync::Arc;

use crate::{Activation, Staircase};

/// One node of a network. Node 0 is the network's input, node `i + 1` the result of entry `i`.
#[derive(Clone, Debug)]
pub enum Node {
    /// `activation(input W + b + skip)`.
    Linear {
        /// Which inputs each output sees.
        staircase: Arc<Staircase>,
        /// Applied to the sum.
        activation: Activation,
        /// Node that is multiplied.
        input: usize,
        /// Node that is added, of the same width as the result (a residual connection).
        skip: Option<usize>,
    },
    /// `activation(input)`.
    Activate {
        /// What is applied.
        activation: Activation,
        /// Node it is applied to.
        input: usize,
    },
}

/// The topology of a network: the only description there is of it. Who runs it brings the weights, a matrix and a bias for each
/// linear node in their order.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    /// Of each node, the input first.
    widths: Vec<usize>,
}

impl Graph {
    /// A network with so many inputs.
    ///
    /// # Panics
    /// If a node reads one that comes after it, or one of another width than it needs.
    pub fn new(inputs: usize, nodes: Vec<Node>) -> Self {
        let mut widths = vec![inputs];
        for node in &nodes {
            let width = |node: usize| {
                *widths
                    .get(node)
                    .unwrap_or_else(|| panic!("node {node} is used before it is computed"))
            };
            widths.push(match node {
                Node::Linear { staircase, input, skip, .. } => {
                    let outputs = staircase.outputs();
                    assert_eq!(width(*input), staircase.inputs(), "a layer does not fit its input");
                    assert!(
                        skip.is_none_or(|skip| width(skip) == outputs),
                        "a skip differs in width"
                    );
                    outputs
                }
                Node::Activate { input, .. } => width(*input),
            });
        }
        Self { nodes, widths }
    }

    /// The nodes after the input.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Width of a node; node 0 is the input.
    pub fn width(&self, node: usize) -> usize {
        self.widths[node]
    }

    /// Width of each node, the input first.
    pub fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Width of the last node.
    pub fn outputs(&self) -> usize {
        self.widths[self.nodes.len()]
    }

    /// The linear nodes' staircases, in the order in which weights are given.
    pub fn staircases(&self) -> impl Iterator<Item = &Arc<Staircase>> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Linear { staircase, .. } => Some(staircase),
            Node::Activate { .. } => None,
        })
    }
}
