//! Jacobians of the network, for the rows of a tile.

use diffeo_kernels::{Dual, DualWeights, DualWork, Real, Slot, TILE_ROWS};

/// Most directions that go through the network at a time where no gradient is wanted.
const DIRECTIONS_MAX: usize = 64;

/// How many directions [`with_identity`] takes at a time.
pub(super) fn directions(dims: usize) -> usize {
    dims.min(DIRECTIONS_MAX)
}

/// Writes the unit vectors from number `first` on as directions of an input, `[p, d, TILE_ROWS]`; zeros behind the last.
pub(super) fn write_units<T: Real>(to: &mut [T], d: usize, first: usize) {
    to.fill(T::ZERO);
    for (k, to) in to.chunks_exact_mut(d * TILE_ROWS).enumerate().take(d - first) {
        to[(first + k) * TILE_ROWS..][..TILE_ROWS].fill(T::ONE);
    }
}

/// `I + J` of each row, `[i][j] = d z_j / d x_i`, `[d, d, TILE_ROWS]`, where [`Dual::values`] was last.
pub(super) fn with_identity<T: Real>(
    network: &Dual,
    weights: DualWeights<'_, T>,
    slot: Slot,
    work: &mut DualWork<T>,
    to: &mut [f64],
) {
    let size = network.inputs() * TILE_ROWS;
    for (part, to) in to.chunks_mut(slot.directions * size).enumerate() {
        let first = part * slot.directions;
        write_units(&mut work.input(network, slot)[size..], network.inputs(), first);
        network.tangents(weights, slot, work);
        add_identity(&work.output(network, slot)[size..], network.inputs(), first, to);
    }
}

/// Derivatives along the unit vectors from number `first` on, with the identity, in double precision.
pub(super) fn add_identity<T: Real>(tangents: &[T], d: usize, first: usize, to: &mut [f64]) {
    to.iter_mut().zip(tangents).for_each(|(to, from)| *to = from.to_f64());
    for (k, to) in to.chunks_exact_mut(d * TILE_ROWS).enumerate() {
        to[(first + k) * TILE_ROWS..][..TILE_ROWS].iter_mut().for_each(|v| *v += 1.0);
    }
}
