//! A network over whole recordings, in stretches that a tile holds side by side.

use diffeo::burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo::{Result, host_values};
use diffeo_kernels::TILE_ROWS;

use crate::affine;
use crate::network::Network;

/// A row: samples, and the frames of them side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    pub(crate) samples: &'a [f32],
    pub(crate) frames: &'a [f32],
}

/// How rows are cut: what comes out for a sample is as if its row were whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    hop: usize,
    /// Samples that a stretch starts and ends with for what is read of them alone.
    before: usize,
    after: usize,
    /// Samples that a stretch gives.
    used: usize,
}

/// A stretch of a row.
struct Piece {
    row: usize,
    start: usize,
    /// The first sample that is wanted, and the one behind the last.
    wanted: std::ops::Range<usize>,
}

/// Most tiles that are run together.
const TILES: usize = 2;

impl Cut {
    /// The cut that takes the least time for rows of such lengths: a stretch of `length` samples costs as much whether a tile holds one or [`TILE_ROWS`] of it.
    fn best(hop: usize, reach: [usize; 2], lengths: &[usize]) -> Self {
        // Between the middles of two frames both are seen: half a frame on either side is not as in the whole.
        let [before, after] = reach.map(|reach| (reach + hop / 2).next_multiple_of(hop));
        let longest = lengths.iter().copied().max().unwrap_or(0).next_multiple_of(hop).max(hop);
        let mut cuts: Vec<Self> = Vec::new();
        let mut used = hop;
        while used < longest {
            cuts.push(Self { hop, before, after, used });
            used = (used + used / 4).next_multiple_of(hop).max(used + hop);
        }
        // What sounds is seen from behind its end, where silence goes on.
        let after = if reach[1] > 0 { after } else { 0 };
        let whole = Self { hop, before: 0, after, used: longest };
        cuts.push(whole);
        let cost = |cut: &Self| {
            let pieces: usize = lengths.iter().map(|n| n.div_ceil(cut.used)).sum();
            pieces.div_ceil(TILE_ROWS) * cut.length()
        };
        cuts.into_iter().min_by_key(cost).unwrap_or(whole)
    }

    fn length(&self) -> usize {
        self.before + self.used + self.after
    }

    fn pieces(&self, row: usize, count: usize) -> impl Iterator<Item = Piece> {
        let Self { before, used, .. } = *self;
        (0..count).step_by(used).map(move |first| {
            let wanted = first..count.min(first + used);
            Piece { row, start: first.saturating_sub(before), wanted }
        })
    }
}

/// The parameters of every sample of some rows, sample after sample.
pub(crate) fn parameters(network: &Network, rows: &[Row<'_>], hop: usize) -> Result<Vec<Vec<f32>>> {
    let lengths: Vec<usize> = rows.iter().map(|row| row.samples.len()).collect();
    let cut = Cut::best(hop, network.reach(), &lengths);
    let outputs = network.outputs();
    let mut found: Vec<Vec<f32>> = lengths.iter().map(|n| vec![0.0; n * outputs]).collect();
    let pieces: Vec<Piece> =
        lengths.iter().enumerate().flat_map(|(row, &count)| cut.pieces(row, count)).collect();
    for pieces in pieces.chunks(TILES * TILE_ROWS) {
        let made = run(network, rows, pieces, &cut)?;
        let width = cut.length() * outputs;
        for (piece, made) in pieces.iter().zip(made.chunks_exact(width)) {
            let from = piece.wanted.start - piece.start;
            let made = &made[from * outputs..(from + piece.wanted.len()) * outputs];
            let to = &mut found[piece.row];
            let place = piece.wanted.start * outputs..piece.wanted.end * outputs;
            to[place].iter_mut().zip(made).for_each(|(to, v)| *to = *v as f32);
        }
    }
    Ok(found)
}

/// Changes rows in their place, each sample by its row, its number, and the two numbers that a network gives of it.
pub(crate) fn through(
    network: &Network,
    (rows, frames): (&mut [Vec<f32>], &[&[f32]]),
    hop: usize,
    mut change: impl FnMut((usize, usize), &mut f32, &[f32; affine::NUMBERS]),
) -> Result<()> {
    let given: Vec<Row<'_>> =
        rows.iter().zip(frames).map(|(samples, frames)| Row { samples, frames }).collect();
    let params = parameters(network, &given, hop)?;
    for (row, (samples, params)) in rows.iter_mut().zip(params).enumerate() {
        let params = params.as_chunks::<{ affine::NUMBERS }>().0;
        for (t, (sample, params)) in samples.iter_mut().zip(params).enumerate() {
            change((row, t), sample, params);
        }
    }
    Ok(())
}

/// So many frames of each row side by side; the last of a row goes on.
pub(crate) fn contexts<'a>(
    network: &Network,
    frames: impl Iterator<Item = &'a [f32]>,
    count: usize,
) -> Vec<Vec<f32>> {
    let numbers = network.frames().map_or(0, |frames| frames.numbers);
    let of = |frames: &[f32]| {
        let last = (frames.len() / numbers.max(1)).saturating_sub(1);
        let frame = |at: usize| &frames[at.min(last) * numbers..][..numbers];
        (0..count).flat_map(frame).copied().collect()
    };
    frames.map(of).collect()
}

fn run(network: &Network, rows: &[Row<'_>], pieces: &[Piece], cut: &Cut) -> Result<Vec<f64>> {
    let (n, length) = (pieces.len(), cut.length());
    let numbers = network.frames().map_or(0, |frames| frames.numbers);
    let count = length.div_ceil(cut.hop);
    let mut x = vec![0.0f32; n * length];
    let mut context = Vec::with_capacity(n * count * numbers);
    for (piece, x) in pieces.iter().zip(x.chunks_exact_mut(length)) {
        let Row { samples, frames } = rows[piece.row];
        let end = samples.len().min(piece.start + length);
        x[..end - piece.start].copy_from_slice(&samples[piece.start..end]);
        let last = (frames.len() / numbers.max(1)).saturating_sub(1);
        for frame in 0..count {
            let at = (piece.start / cut.hop + frame).min(last);
            context.extend_from_slice(&frames[at * numbers..(at + 1) * numbers]);
        }
    }
    let of = |values: Vec<f32>, width: usize| {
        Tensor::from_data(TensorData::new(values, [n, width]), (&Device::flex(), DType::F32))
    };
    let context = (numbers > 0).then(|| of(context, count * numbers));
    host_values(network.parameters(of(x, length), context.as_ref())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{FrameSize, LinesSpec, NetworkSpec};
    use diffeo::Init;

    #[test]
    fn stretches_give_what_whole_rows_do() {
        let frames = Some(FrameSize { numbers: 3, samples: 10 });
        for frames in [frames, None] {
            let mut init = Init::new(1, DType::F32, Device::flex());
            let spec = NetworkSpec::cycles(4, 3, [4, 3]);
            agree(Network::new(&spec, frames, 2, &mut init).unwrap(), &mut init);
            for is_flipped in [false, true] {
                let spec = LinesSpec::cycles(4, 5, [3, 2]);
                let lines = Network::of_lines(&spec, is_flipped, (frames, 2), &mut init);
                agree(lines.unwrap(), &mut init);
            }
        }
    }

    fn agree(mut network: Network, init: &mut Init) {
        diffeo::Trainable::visit(&mut network, &mut |_, p| {
            p.value = init.uniform(p.value.dims(), 0.7);
        });
        let lengths = [1, 10, 37, 400, 1203];
        let noise = |n: usize, by: f32| -> Vec<f32> {
            (0..n).map(|i| (by * (i * i) as f32).sin()).collect()
        };
        let samples = lengths.map(|n| noise(n, 0.37));
        let contexts = lengths.map(|n| noise(3 * n.div_ceil(10), 0.7));
        let rows: Vec<Row<'_>> = samples
            .iter()
            .zip(&contexts)
            .map(|(samples, frames)| Row { samples, frames })
            .collect();
        let cut = Cut::best(10, network.reach(), &lengths);
        assert!(cut.before > 0, "rows are cut");
        let found = parameters(&network, &rows, 10).unwrap();
        for (row, found) in rows.iter().zip(found) {
            let used = row.samples.len().next_multiple_of(10);
            let after = if network.reach()[1] > 0 { 60 } else { 0 };
            let whole = Cut { hop: 10, before: 0, after, used };
            let pieces: Vec<Piece> = whole.pieces(0, row.samples.len()).collect();
            let expected = run(&network, &[*row], &pieces, &whole).unwrap();
            for (a, b) in found.iter().zip(&expected) {
                assert_eq!(f64::from(*a), *b, "{} samples", row.samples.len());
            }
        }
    }
}
