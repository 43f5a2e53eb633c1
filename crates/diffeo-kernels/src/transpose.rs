//! Exchange of rows and columns between a tile and rows.

use crate::Real;
#[cfg(target_arch = "x86_64")]
use crate::dispatch::{Level, level};
use crate::tiles::TILE_ROWS;

/// Columns of a tile as rows: `rows[lane, column] = tile[column, lane]`, both with [`TILE_ROWS`] numbers a line. What the tile lacks of
/// [`TILE_ROWS`] columns is zero.
///
/// # Panics
/// If the tile has more columns, or `rows` is not a full square.
pub(crate) fn transpose<T: Real>(tile: &[T], rows: &mut [T]) {
    let columns = tile.len() / TILE_ROWS;
    assert!(columns <= TILE_ROWS && tile.len() == columns * TILE_ROWS, "not columns of a tile");
    assert_eq!(rows.len(), TILE_ROWS * TILE_ROWS, "rows are not a square");
    if columns < TILE_ROWS {
        rows.fill(T::ZERO);
    }
    #[cfg(target_arch = "x86_64")]
    if columns == TILE_ROWS && size_of::<T>() == 4 && level() != Level::Baseline {
        // SAFETY: `Real` is `f32` or `f64`, so the size tells that this is `f32`, and the casts change no type. Both slices hold a full
        // square (asserted above), and `level` reports only what the machine has.
        unsafe { x86::square(tile.as_ptr().cast(), rows.as_mut_ptr().cast()) };
        return;
    }
    for (column, lanes) in tile.chunks_exact(TILE_ROWS).enumerate() {
        for lane in 0..TILE_ROWS {
            rows[lane * TILE_ROWS + column] = lanes[lane];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::TILE_ROWS;

    /// The transpose of a square of [`TILE_ROWS`], in blocks of 8 x 8.
    ///
    /// # Safety
    /// The machine has AVX; `from` is valid for as many reads and `to` for as many writes as the square has numbers.
    #[target_feature(enable = "avx")]
    pub(super) unsafe fn square(from: *const f32, to: *mut f32) {
        for row in (0..TILE_ROWS).step_by(8) {
            for column in (0..TILE_ROWS).step_by(8) {
                let mut lines = [_mm256_setzero_ps(); 8];
                for (i, line) in lines.iter_mut().enumerate() {
                    // SAFETY: inside the square.
                    *line = unsafe { _mm256_loadu_ps(from.add((row + i) * TILE_ROWS + column)) };
                }
                for (i, line) in block(lines).into_iter().enumerate() {
                    // SAFETY: inside the square.
                    unsafe { _mm256_storeu_ps(to.add((column + i) * TILE_ROWS + row), line) };
                }
            }
        }
    }

    /// Pairs, then pairs of pairs, then halves change places.
    #[target_feature(enable = "avx")]
    fn block(a: [__m256; 8]) -> [__m256; 8] {
        let low = |i: usize| _mm256_unpacklo_ps(a[i], a[i + 1]);
        let high = |i: usize| _mm256_unpackhi_ps(a[i], a[i + 1]);
        let pairs = [low(0), high(0), low(2), high(2), low(4), high(4), low(6), high(6)];
        let front = |i: usize| _mm256_shuffle_ps::<0x44>(pairs[i], pairs[i + 2]);
        let back = |i: usize| _mm256_shuffle_ps::<0xee>(pairs[i], pairs[i + 2]);
        let fours = [front(0), back(0), front(1), back(1), front(4), back(4), front(5), back(5)];
        let left = |i: usize| _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
        let right = |i: usize| _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        [left(0), left(1), left(2), left(3), right(0), right(1), right(2), right(3)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;

    fn columns_become_rows<T: Real>() {
        for columns in [0, 1, 7, TILE_ROWS - 1, TILE_ROWS] {
            let tile: Vec<T> = (1..=columns * TILE_ROWS).map(|v| T::from_f64(v as f64)).collect();
            for rows in at_each_level(|| {
                let mut rows = vec![T::ONE; TILE_ROWS * TILE_ROWS];
                transpose(&tile, &mut rows);
                rows
            }) {
                for (at, &v) in rows.iter().enumerate() {
                    let (lane, column) = (at / TILE_ROWS, at % TILE_ROWS);
                    let expected = tile.get(column * TILE_ROWS + lane).copied();
                    assert_eq!(v, expected.filter(|_| column < columns).unwrap_or(T::ZERO));
                }
            }
        }
    }

    #[test]
    fn columns_of_a_tile_become_rows() {
        columns_become_rows::<f32>();
        columns_become_rows::<f64>();
    }
}
