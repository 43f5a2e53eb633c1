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

impl Node {
    /// The node that is multiplied or activated.
    pub fn input(&self) -> usize {
        match self {
            Self::Linear { input, .. } | Self::Activate { input, .. } => *input,
        }
    }

    /// The node that goes into the activation as it is: a linear node's skip, or what a node without weights activates.
    pub fn added(&self) -> Option<usize> {
        match self {
            Self::Linear { skip, .. } => *skip,
            Self::Activate { input, .. } => Some(*input),
        }
    }

    /// What is applied last.
    pub fn activation(&self) -> Activation {
        match self {
            Self::Linear { activation, .. } | Self::Activate { activation, .. } => *activation,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(inputs: usize, outputs: usize, input: usize, skip: Option<usize>) -> Node {
        let staircase = Arc::new(Staircase::dense(inputs, outputs));
        Node::Linear { staircase, activation: Activation::None, input, skip }
    }

    fn activate(input: usize) -> Node {
        Node::Activate { activation: Activation::Relu, input }
    }

    #[test]
    fn widths_follow_from_the_nodes() {
        let nodes = vec![linear(3, 5, 0, None), activate(1), linear(5, 5, 2, Some(1))];
        let graph = Graph::new(3, nodes);
        assert_eq!(graph.widths(), [3, 5, 5, 5]);
        assert_eq!([graph.width(0), graph.width(1), graph.outputs()], [3, 5, 5]);
        let sizes = graph.staircases().map(|stairs| [stairs.inputs(), stairs.outputs()]);
        assert_eq!(sizes.collect::<Vec<_>>(), [[3, 5], [5, 5]]);
        assert_eq!(graph.nodes().iter().map(Node::input).collect::<Vec<_>>(), [0, 1, 2]);
        let added: Vec<_> = graph.nodes().iter().map(Node::added).collect();
        assert_eq!(added, [None, Some(1), Some(1)]);
        assert_eq!(Graph::new(4, Vec::new()).outputs(), 4);
    }

    #[test]
    #[should_panic(expected = "a layer does not fit its input")]
    fn a_layer_of_another_width_than_its_input_is_refused() {
        Graph::new(3, vec![linear(4, 5, 0, None)]);
    }

    #[test]
    #[should_panic(expected = "a skip differs in width")]
    fn a_skip_of_another_width_is_refused() {
        Graph::new(3, vec![linear(3, 5, 0, Some(0))]);
    }

    #[test]
    #[should_panic(expected = "node 2 is used before it is computed")]
    fn a_node_that_reads_a_later_one_is_refused() {
        Graph::new(3, vec![activate(2), activate(0)]);
    }

    #[test]
    #[should_panic(expected = "node 1 is used before it is computed")]
    fn a_node_that_reads_itself_is_refused() {
        Graph::new(3, vec![linear(3, 3, 0, Some(1))]);
    }
}
