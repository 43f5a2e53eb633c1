//! Random numbers for estimators inside layers.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand_chacha::ChaCha8Rng;

use super::random::{Purpose, Streams, fill_normal};

/// The random numbers of one layer in one training step: a function of seed, step, layer and row.
///
/// A row of a batch has the same numbers whichever thread works on it and however the batch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    streams: Streams,
    /// Of the step and, after [`Draws::part`], of the layer.
    key: u64,
    first_row: u64,
}

impl Draws {
    /// Draws of a step for rows of which the first is number `first_row` of the batch.
    pub fn new(streams: Streams, step: u64, first_row: u64) -> Self {
        Self { streams, key: mixed(step), first_row }
    }

    /// Draws of the `i`-th layer of several, independent of those of the others.
    #[must_use]
    pub fn part(&self, i: usize) -> Self {
        Self { key: mixed(self.key ^ mixed(i as u64 + 1)), ..*self }
    }

    /// Draws of the rows from row `row` of these on.
    #[must_use]
    pub(crate) fn after(&self, row: usize) -> Self {
        Self { first_row: self.first_row + row as u64, ..*self }
    }

    /// The generator of a row, counted from the first of this batch or part of a batch.
    pub fn rng(&self, row: usize) -> ChaCha8Rng {
        self.streams.rng(Purpose::Estimate, self.key, self.first_row + row as u64)
    }

    /// Standard normal numbers, `[rows, width]`.
    pub fn normal(&self, [rows, width]: [usize; 2], to: (&Device, DType)) -> Tensor<2> {
        let mut values = vec![0.0; rows * width];
        for (row, values) in values.chunks_mut(width.max(1)).enumerate() {
            fill_normal(&mut self.rng(row), values);
        }
        Tensor::from_data(TensorData::new(values, [rows, width]), to)
    }
}

/// Spreads a number over all 64 bits, one to one (Steele, Lea, Flood. *Fast splittable pseudorandom number generators*. OOPSLA 2014).
fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_numbers_in_any_cut_and_layers_and_steps_have_their_own() {
        let to = (&Device::flex(), DType::F64);
        let of = |draws: Draws, n| -> Vec<f64> {
            draws.normal([n, 2], to).into_data().try_into_vec().unwrap()
        };
        let (streams, layer) = (Streams::new(3), 4);
        let whole = of(Draws::new(streams, 7, 0).part(layer), 5);
        assert_eq!(whole[6..], of(Draws::new(streams, 7, 3).part(layer), 2));
        let others = [
            Draws::new(streams, 8, 0).part(layer),
            Draws::new(streams, 7, 0).part(5),
            Draws::new(streams, 7, 0).part(layer).part(0),
            Draws::new(Streams::new(4), 7, 0).part(layer),
        ];
        assert!(others.iter().all(|draws| of(*draws, 5)[0] != whole[0]));
    }
}
