//! Which inputs each output of a masked layer may see, and how to cut its products.
//!
//! In a masked autoregressive network (MADE: Germain, Gregor, Murray, Larochelle, ICML 2015,
//! arXiv:1502.03509) whose units are sorted by degree, output `j` sees a leading run of the inputs and
//! the runs grow with `j`: the mask is a staircase. A product with such a matrix needs, for a panel of
//! neighbouring outputs, the leading inputs of the last of them only.

mod groups;

use std::ops::Range;

pub(crate) use groups::{InputGroup, OutputGroup};

/// Inputs whose gradient is computed together. This product reads the weights transposed; in panels as narrow as this they need no
/// packing, which was measured to run at 0.95 of the peak against 0.55 for wide ones.
const INPUT_PANEL: usize = 16;

/// A staircase mask of a weight matrix `[inputs, outputs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staircase {
    inputs: usize,
    prefix: Vec<usize>,
    /// For input `i`, the first output that sees it (`outputs` if none does).
    first: Vec<usize>,
    output_panels: Vec<Range<usize>>,
    input_panels: Vec<Range<usize>>,
    output_groups: Vec<OutputGroup>,
    input_groups: Vec<InputGroup>,
}

impl Staircase {
    /// Output `j` sees the inputs `0..prefix[j]`.
    ///
    /// # Panics
    /// If `prefix` decreases anywhere or reaches beyond `inputs`.
    pub fn new(inputs: usize, prefix: Vec<usize>) -> Self {
        assert!(prefix.is_sorted(), "the prefixes of a staircase must not decrease");
        assert!(
            prefix.last().is_none_or(|&last| last <= inputs),
            "a prefix is longer than the inputs"
        );
        let first: Vec<usize> = (0..inputs).map(|i| prefix.partition_point(|&p| p <= i)).collect();
        let output_panels = cut(&prefix, |panel| prefix[panel.end - 1]);
        let starts = (0..inputs).step_by(INPUT_PANEL);
        let input_panels = starts.map(|at| at..inputs.min(at + INPUT_PANEL)).collect();
        let (output_groups, input_groups) = groups::of_both_products(&prefix, &first);
        Self { inputs, prefix, first, output_panels, input_panels, output_groups, input_groups }
    }

    /// The mask of a layer without a mask: every output sees every input, in one product.
    pub fn dense(inputs: usize, outputs: usize) -> Self {
        Self::new(inputs, vec![inputs; outputs])
    }

    /// The mask between units of sorted degrees: output `j` sees input `i` if `in_degrees[i] <= out_degrees[j]`.
    ///
    /// # Panics
    /// If either list is not sorted.
    pub fn from_degrees(in_degrees: &[usize], out_degrees: &[usize]) -> Self {
        assert!(in_degrees.is_sorted(), "degrees must be sorted");
        let prefix = out_degrees.iter().map(|&d| in_degrees.partition_point(|&i| i <= d)).collect();
        Self::new(in_degrees.len(), prefix)
    }

    /// Number of inputs (rows of the weight matrix).
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of outputs (columns of the weight matrix).
    pub fn outputs(&self) -> usize {
        self.prefix.len()
    }

    /// How many leading inputs each output sees.
    pub fn prefix(&self) -> &[usize] {
        &self.prefix
    }

    /// The prefixes of the mirror image: the matrix transposed, with the orders of inputs and outputs reversed.
    pub(crate) fn mirrored_prefix(&self) -> Vec<usize> {
        self.first.iter().rev().map(|first| self.outputs() - first).collect()
    }

    /// Number of weights that are not masked: the multiply-adds that one row needs.
    pub fn weights(&self) -> usize {
        self.prefix.iter().sum()
    }

    /// Sets the masked entries of a weight matrix to zero.
    ///
    /// # Panics
    /// If the matrix is not `inputs * outputs` long.
    pub fn clear_masked<T: crate::Real>(&self, weight: &mut [T]) {
        assert_eq!(weight.len(), self.inputs * self.outputs(), "weight has the wrong length");
        if self.outputs() > 0 {
            for (row, &first) in weight.chunks_exact_mut(self.outputs()).zip(&self.first) {
                row[..first].fill(T::ZERO);
            }
        }
    }

    /// Sets those masked entries to zero that lie in an output panel: all that products by panels write to.
    pub(crate) fn clear_overhang<T: crate::Real>(&self, weight: &mut [T]) {
        self.output_panels.iter().for_each(|panel| self.clear_beside(panel, weight));
    }

    /// The same for strips of `width` outputs.
    pub(crate) fn clear_overhang_of_strips<T: crate::Real>(&self, weight: &mut [T], width: usize) {
        for first in (0..self.outputs()).step_by(width) {
            self.clear_beside(&(first..self.outputs().min(first + width)), weight);
        }
    }

    /// Sets the masked entries of some columns to zero in the rows that any of these columns sees.
    fn clear_beside<T: crate::Real>(&self, columns: &Range<usize>, weight: &mut [T]) {
        for row in self.prefix[columns.start]..self.prefix[columns.end - 1] {
            let start = row * self.outputs();
            weight[start + columns.start..start + self.first[row].min(columns.end)].fill(T::ZERO);
        }
    }

    /// Runs of outputs to be computed together, each with the number of inputs that it needs.
    pub(crate) fn output_panels(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        self.output_panels.iter().map(|panel| (panel.clone(), self.prefix[panel.end - 1]))
    }

    /// The outputs in groups that are computed together on tiles.
    pub(crate) fn output_groups(&self) -> &[OutputGroup] {
        &self.output_groups
    }

    /// The inputs in groups whose gradient is computed together on tiles.
    pub(crate) fn input_groups(&self) -> &[InputGroup] {
        &self.input_groups
    }

    /// Runs of inputs whose gradient is computed together, each with the first output that it needs.
    pub(crate) fn input_panels(&self) -> impl Iterator<Item = (Range<usize>, usize)> {
        self.input_panels.iter().map(|panel| (panel.clone(), self.first[panel.start]))
    }
}

/// The ranges whose starts the table of a search names, from the last one back.
fn backwards(best: &[(usize, usize)]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut end = best.len() - 1;
    while end > 0 {
        let start = best[end].1;
        ranges.push(start..end);
        end = start;
    }
    ranges.reverse();
    ranges
}

/// Cuts `0..key.len()` so that the estimated time of all panels is smallest; candidates are the places
/// where `key` changes and the multiples of the kernels' width (a panel may hold several keys).
///
/// Measured on the product kernels: time grows with the width rounded up to 16, times the depth plus
/// about 8 (reading and writing the result), plus a fixed cost a call (packing, dispatch).
fn cut(key: &[usize], depth: impl Fn(&Range<usize>) -> usize) -> Vec<Range<usize>> {
    const GRAIN: usize = 16;
    const DEPTH_EXTRA: usize = 8;
    const CALL: usize = 256;
    // Beyond this many steps the search, which is quadratic, looks at multiples of the grain only.
    const STEPS_MAX: usize = 1000;
    if key.is_empty() {
        return Vec::new();
    }
    let steps = key.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let at_steps = steps <= STEPS_MAX;
    let mut edges = vec![0];
    edges.extend((1..key.len()).filter(|&j| j % GRAIN == 0 || (at_steps && key[j] != key[j - 1])));
    edges.push(key.len());
    let cost = |panel: Range<usize>| {
        // A panel of one column would take another product kernel, with other rounding.
        let single = if panel.len() == 1 { 1 << 40 } else { 0 };
        panel.len().next_multiple_of(GRAIN) * (depth(&panel) + DEPTH_EXTRA) + CALL + single
    };
    // best[e]: smallest cost of 0..edges[e], and the edge where its last panel starts.
    let mut best = vec![(0, 0)];
    for end in 1..edges.len() {
        let choice = (0..end).map(|start| (best[start].0 + cost(edges[start]..edges[end]), start));
        best.push(choice.min().unwrap_or((0, 0)));
    }
    backwards(&best).into_iter().map(|panel| edges[panel.start]..edges[panel.end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TILE_ROWS;
    use crate::accumulate::{Run, UNITS_MAX};

    /// The outputs that a run goes over.
    fn outputs_of(run: &Run) -> std::ops::Range<usize> {
        run.vectors / TILE_ROWS..run.vectors / TILE_ROWS + run.terms
    }

    #[test]
    fn a_dense_layer_is_one_product_forward() {
        let dense = Staircase::dense(100, 300);
        assert_eq!(dense.output_panels().collect::<Vec<_>>(), [(0..300, 100)]);
        let panels: Vec<_> = dense.input_panels().collect();
        assert_eq!((panels.len(), &panels[0], &panels[6]), (7, &(0..16, 0), &(96..100, 0)));
        assert_eq!(dense.weights(), 30_000);
    }

    #[test]
    fn panels_cover_every_allowed_weight_and_skip_most_masked_ones() {
        let degrees: Vec<usize> = (0..512).map(|i| i * 42 / 512).collect();
        let stairs = Staircase::from_degrees(&degrees, &degrees);
        let mut done = 0;
        let mut work = 0;
        for (panel, depth) in stairs.output_panels() {
            assert_eq!(panel.start, done);
            assert!(panel.clone().all(|j| stairs.prefix()[j] <= depth));
            work += panel.len() * depth;
            done = panel.end;
        }
        assert_eq!(done, 512);
        assert!((work as f64) < 1.1 * stairs.weights() as f64, "{work} {}", stairs.weights());
        for (panel, first) in stairs.input_panels() {
            assert!(panel.clone().all(|i| stairs.prefix().partition_point(|&p| p <= i) >= first));
        }
    }

    #[test]
    fn groups_cover_every_allowed_weight_and_skip_nearly_all_masked_ones() {
        let degrees: Vec<usize> = (0..512).map(|i| i * 42 / 512).collect();
        let stairs = Staircase::from_degrees(&degrees, &degrees);
        let (mut done, mut work) = (0, 0);
        for OutputGroup { units, depth, rows } in stairs.output_groups() {
            assert_eq!(units.start, done);
            assert!((1..=UNITS_MAX).contains(&units.len()) && rows.len() >= *depth);
            assert!(units.clone().all(|j| stairs.prefix()[j] <= *depth));
            work += units.len() * depth;
            done = units.end;
        }
        assert_eq!(done, 512);
        assert!((work as f64) < 1.03 * stairs.weights() as f64, "{work} {}", stairs.weights());
        (done, work) = (0, 0);
        for InputGroup { units, runs } in stairs.input_groups() {
            assert_eq!(units.start, done);
            let seen: Vec<usize> = runs.list().iter().flat_map(outputs_of).collect();
            let first = stairs.prefix().partition_point(|&p| p <= units.start);
            assert_eq!(seen, (first..512).collect::<Vec<_>>());
            work += units.len() * seen.len();
            done = units.end;
        }
        assert_eq!(done, 512);
        assert!((work as f64) < 1.03 * stairs.weights() as f64, "{work} {}", stairs.weights());
    }

    #[test]
    fn the_mirror_image_of_a_staircase_is_one() {
        let prefix = vec![0, 0, 1, 3, 3];
        let seen = |i: usize, j: usize| i < prefix[j];
        let stairs = Staircase::new(4, prefix.clone());
        let mirrored = Staircase::new(5, stairs.mirrored_prefix());
        for (i, j) in (0..4).flat_map(|i| (0..5).map(move |j| (i, j))) {
            assert_eq!(4 - j < mirrored.prefix()[3 - i], seen(i, j), "{i} {j}");
        }
        assert_eq!(mirrored.mirrored_prefix(), prefix);
    }

    #[test]
    fn nothing_to_see_and_nothing_to_compute() {
        assert_eq!(Staircase::new(3, vec![]).output_panels().count(), 0);
        assert_eq!(Staircase::new(0, vec![0, 0]).output_panels().collect::<Vec<_>>(), [(0..2, 0)]);
        assert_eq!(Staircase::new(2, vec![0, 0]).input_panels().collect::<Vec<_>>(), [(0..2, 2)]);
    }

    #[test]
    #[should_panic(expected = "must not decrease")]
    fn a_decreasing_prefix_is_refused() {
        Staircase::new(3, vec![2, 1]);
    }
}
