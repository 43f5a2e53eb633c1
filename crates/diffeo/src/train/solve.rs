//! Where a fit starts: layers that are set from data, and flows that are solved without a step.

use super::batches::Noise;
use super::data::Part;
use crate::columns::Encoding;
use crate::error::Result;
use crate::flow::Flow;
use crate::host::linalg::{host_values, tensor_of};
use crate::host::random::{Purpose, Streams, permutation};
use crate::host::rows::Rows;

/// Rows that layers are set from: enough for means and deviations to a few per cent.
const START_ROWS: usize = 2048;
/// Rows that are mapped at once.
const BLOCK_ROWS: usize = 1 << 15;

/// Noise of the rows that a fit starts from.
fn noise(streams: Streams) -> Noise {
    Noise { streams, purpose: Purpose::Dequantise, step: 0, hidden: 0.0 }
}

/// Sets the layers that start from data.
pub(crate) fn initialise(
    flow: &mut Flow,
    train: &Part,
    encoding: &Encoding,
    streams: Streams,
) -> Result<()> {
    let mut order = permutation(&mut streams.rng(Purpose::Start, 0, 0), train.len() as u32);
    order.truncate(START_ROWS);
    let batch = train.batch(&order, encoding, noise(streams));
    let context = batch.context.as_ref().map(tensor_of);
    flow.initialize(tensor_of(&batch.x), context)
}

/// Sets the parameters of a flow that has none but those of its base, which may have the maximum of the likelihood in closed form; says whether the fit is then complete.
pub(crate) fn solve(
    flow: &mut Flow,
    train: &Part,
    encoding: &Encoding,
    streams: Streams,
) -> Result<bool> {
    let parameters = flow.parameters();
    if flow.marks().is_some()
        || parameters.is_empty()
        || parameters.iter().any(|(name, _)| !name.starts_with("base."))
    {
        return Ok(false);
    }
    let (mut values, mut weights) = (Vec::new(), Vec::new());
    for first in (0..train.len()).step_by(BLOCK_ROWS) {
        let positions: Vec<u32> =
            (first..train.len().min(first + BLOCK_ROWS)).map(|p| p as u32).collect();
        let batch = train.batch(&positions, encoding, noise(streams));
        let context = batch.context.as_ref().map(tensor_of);
        values.extend(host_values(flow.to_base(tensor_of(&batch.x), context)?.value)?);
        weights.extend(batch.weights);
    }
    let rows = Rows::new(values, flow.dims())?;
    flow.base_mut().fit(&rows, Some(&weights))
}
