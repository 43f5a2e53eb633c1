//! How products over tiles cut a masked matrix, and the order in which they read its packed copy.

use std::ops::Range;

use crate::accumulate::{Run, Runs, UNITS_MAX};
use crate::tiles::TILE_ROWS;

/// Outputs that are computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputGroup {
    pub(crate) units: Range<usize>,
    /// Number of inputs that they need.
    pub(crate) depth: usize,
    /// Their rows in the packed matrix, which is [`UNITS_MAX`] wide: one for each input that they need, and for those of the same
    /// [`InputGroup`] as the last of them.
    pub(crate) rows: Range<usize>,
}

/// Inputs whose gradient is computed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputGroup {
    pub(crate) units: Range<usize>,
    /// The outputs that see any of them: where their weights are in the packed matrix, and their rows in a tile.
    pub(crate) runs: Runs<Vec<Run>>,
}

/// The groups of both products of a staircase, given its prefixes and for each input the first output that sees it.
pub(super) fn of_both_products(
    prefix: &[usize],
    first: &[usize],
) -> (Vec<OutputGroup>, Vec<InputGroup>) {
    let inputs = cut_units(first.len(), |units| prefix.len() - first[units.start]);
    let mut row = 0;
    let output_group = |units: Range<usize>| {
        let depth = prefix[units.end - 1];
        let whole = inputs.get(inputs.partition_point(|group| group.end < depth));
        let rows = row..row + if depth == 0 { 0 } else { whole.map_or(0, |group| group.end) };
        row = rows.end;
        OutputGroup { units, depth, rows }
    };
    let outputs = cut_units(prefix.len(), |units| prefix[units.end - 1]);
    let outputs: Vec<_> = outputs.into_iter().map(output_group).collect();
    let input_group = |units: Range<usize>| {
        let seeing = outputs.iter().filter(|group| group.depth > units.start);
        let runs = seeing.map(|group| {
            let start = first[units.start].max(group.units.start);
            Run {
                scalars: (group.rows.start + units.start) * UNITS_MAX + start - group.units.start,
                vectors: start * TILE_ROWS,
                terms: group.units.end - start,
            }
        });
        InputGroup { runs: Runs::new(runs.collect(), 1), units }
    };
    let inputs = inputs.iter().cloned().map(input_group).collect();
    (outputs, inputs)
}

/// Cuts `0..len` into groups of at most [`UNITS_MAX`] units so that the estimated time of all is smallest.
///
/// A step of a group keeps the multipliers busy for as many cycles as it has units, but not fewer than four, which is how long a sum
/// takes before it can go on; each group costs some thirty cycles more.
fn cut_units(len: usize, depth: impl Fn(&Range<usize>) -> usize) -> Vec<Range<usize>> {
    const LATENCY: usize = 4;
    const CALL: usize = 30;
    // best[e]: smallest cost of 0..e, and where its last group starts.
    let mut best = vec![(0, 0)];
    for end in 1..=len {
        let choice = (end.saturating_sub(UNITS_MAX)..end).map(|start| {
            let units = start..end;
            (best[start].0 + units.len().max(LATENCY) * (depth(&units) + 1) + CALL, start)
        });
        best.push(choice.min().unwrap_or((0, 0)));
    }
    super::backwards(&best)
}
