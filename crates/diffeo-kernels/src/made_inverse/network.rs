//! A graph with its weights, which gives the parameters of a scalar map.

use crate::{Graph, MaskedLinear, Node, Real};

#[derive(Debug)]
pub(super) struct Network<'a, T> {
    pub(super) graph: &'a Graph,
    /// Of each node after the input; none where it has no weights.
    pub(super) layers: Vec<Option<MaskedLinear<'a, T>>>,
}

impl<'a, T: Real> Network<'a, T> {
    /// Takes weight and bias of each linear node, in their order.
    ///
    /// # Panics
    /// If a weight is missing, left over or too long, or the graph does not go from `dims` inputs to a linear node of `outputs`.
    pub(super) fn new(
        graph: &'a Graph,
        weights: &[[&'a [T]; 2]],
        dims: usize,
        outputs: usize,
    ) -> Self {
        assert_eq!(graph.width(0), dims, "the network has the wrong number of inputs");
        assert_eq!(graph.outputs(), outputs, "the network has the wrong number of outputs");
        let last = graph.nodes().last();
        assert!(matches!(last, Some(Node::Linear { .. })), "the last node must be linear");
        let count = graph.staircases().count();
        assert_eq!(weights.len(), count, "one weight and bias for each linear node");
        let mut weights = weights.iter();
        let layer = |node: &'a Node| {
            let Node::Linear { staircase, activation, .. } = node else { return None };
            let &[weight, bias] = weights.next()?;
            let (inputs, outputs) = (staircase.inputs(), staircase.outputs());
            assert_eq!(weight.len(), inputs * outputs, "weight has the wrong length");
            assert_eq!(bias.len(), outputs, "bias has the wrong length");
            Some(MaskedLinear { weight, bias, staircase, activation: *activation })
        };
        Self { graph, layers: graph.nodes().iter().map(layer).collect() }
    }

    /// The nodes after the input, each with its layer if it has weights.
    pub(super) fn nodes(
        &self,
    ) -> impl DoubleEndedIterator<Item = (&'a Node, Option<MaskedLinear<'a, T>>)> + ExactSizeIterator
    {
        self.graph.nodes().iter().zip(self.layers.iter().copied())
    }
}

/// Number of rows of `[n, dims]`; panics unless the addends fit it.
pub(super) fn check_rows<T>(widths: &[usize], z: &[T], addends: &[Option<&[T]>]) -> usize {
    let rows = z.len().checked_div(widths[0]).unwrap_or(0);
    assert_eq!(z.len(), rows * widths[0], "z is not a whole number of rows");
    assert_eq!(addends.len(), widths.len() - 1, "one addend, or none, for each node");
    for (addend, width) in addends.iter().zip(&widths[1..]) {
        assert!(addend.is_none_or(|a| a.len() == rows * width), "addend has the wrong length");
    }
    rows
}
