//! The root of each column, on the host.

use burn::tensor::{Tensor, TensorData};
use diffeo_kernels::roots;

use super::network::{REACH, Shape};
use crate::error::Result;
use crate::host::linalg::host_values;

/// Rows that are solved side by side.
const LANES: usize = 8;

type Lanes = [f64; LANES];

/// The blocks on the diagonal.
pub(super) struct Blocks(Vec<Block>);

/// Those of a layer, side by side, `[a, d b]`.
struct Block {
    values: Vec<f64>,
    shape: Shape,
}

/// Values of the units of a layer and their slopes by the column's number, before and after one.
#[derive(Default)]
struct Room {
    below: [Vec<Lanes>; 2],
    above: [Vec<Lanes>; 2],
}

impl Blocks {
    /// Takes the blocks of each layer from tensors.
    pub(super) fn read<'a>(layers: impl Iterator<Item = (&'a Tensor<2>, Shape)>) -> Result<Self> {
        let read = |(blocks, shape): (&Tensor<2>, Shape)| {
            Ok(Block { values: host_values(blocks.clone().detach())?, shape })
        };
        Ok(Self(layers.map(read).collect::<Result<_>>()?))
    }

    /// The roots of column `i`, `[n, 1]`, given what its units get from elsewhere and then `e^s`, `[n, k + 1]`.
    pub(super) fn roots(&self, i: usize, z: Tensor<2>, params: Tensor<2>) -> Result<Tensor<2>> {
        let [n, width] = params.dims();
        let to = (&z.device(), z.dtype());
        let (target, params) = (host_values(z)?, host_values(params)?);
        let mut room = Room::default();
        let mut found = Vec::with_capacity(n.next_multiple_of(LANES));
        for start in (0..n).step_by(LANES) {
            // Rows that fill the block up are those of its last one.
            let row = |l: usize| (start + l).min(n - 1);
            let z: Lanes = std::array::from_fn(|l| target[row(l)]);
            let of = |k: usize| std::array::from_fn(|l| params[row(l) * width + k]);
            let params: Vec<Lanes> = (0..width).map(of).collect();
            found.extend(roots(&z, |x| self.curve(i, x, &params, &mut room)));
        }
        found.truncate(n);
        Ok(Tensor::from_data(TensorData::new(found, [n, 1]), to))
    }

    /// `x e^s + g` of column `i` and the logarithm of its slope.
    fn curve(&self, i: usize, x: &Lanes, params: &[Lanes], room: &mut Room) -> (Lanes, Lanes) {
        let held = x.map(|x| x.clamp(-REACH, REACH));
        let inside = std::array::from_fn(|l| f64::from(u8::from(held[l] == x[l])));
        for (below, first) in room.below.iter_mut().zip([held, inside]) {
            below.clear();
            below.push(first);
        }
        let mut params = params.iter();
        for (l, block) in self.0.iter().enumerate() {
            let [values, slopes] = &mut room.above;
            values.clear();
            values.extend(params.by_ref().take(block.shape.above));
            slopes.clear();
            slopes.resize(values.len(), [0.0; LANES]);
            block.add(i, &room.below, &mut room.above);
            if l + 1 < self.0.len() {
                bend(&mut room.above);
            }
            std::mem::swap(&mut room.below, &mut room.above);
        }
        let (value, slope) = (room.below[0][0], room.below[1][0]);
        let skip = params.next().copied().unwrap_or_default();
        let value = std::array::from_fn(|l| x[l] * skip[l] + value[l]);
        (value, std::array::from_fn(|l| (skip[l] + slope[l]).ln()))
    }
}

impl Block {
    /// What the units below give to those above.
    fn add(&self, i: usize, below: &[Vec<Lanes>; 2], above: &mut [Vec<Lanes>; 2]) {
        let Shape { columns, above: width, .. } = self.shape;
        for (below, above) in below.iter().zip(above) {
            for (k, from) in below.iter().enumerate() {
                let weights = &self.values[(k * columns + i) * width..][..width];
                for (to, weight) in above.iter_mut().zip(weights) {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += weight * from;
                    }
                }
            }
        }
    }
}

/// The hyperbolic tangents of sums, and their slopes by the column's number.
fn bend([values, slopes]: &mut [Vec<Lanes>; 2]) {
    for (value, slope) in values.iter_mut().zip(slopes) {
        for (value, slope) in value.iter_mut().zip(slope) {
            *value = value.tanh();
            *slope *= 1.0 - *value * *value;
        }
    }
}
