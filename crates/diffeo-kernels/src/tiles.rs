//! Tiles: a few rows side by side, so that the same column of all of them is a few whole vectors.
//!
//! A tiled matrix is `[tiles, width, TILE_ROWS]`: element `(row, column)` lies at `(row / TILE_ROWS, column, row % TILE_ROWS)`. Products
//! read and write such data without packing it, a permutation of columns copies vectors, and scalar maps find the same parameter of all rows together.
//! The rows that fill up the last tile are copies of the last row, so they meet no number that a row of the caller does not.

use crate::base::LN_2PI_HALF;
use crate::dispatch::dispatched;

/// Rows of a tile: two or more whole vectors on every instruction set.
pub const TILE_ROWS: usize = 32;

/// Stands in a loop over units around a short one over lanes. Without it the compiler writes the short one out and vectorises the other, with gathers and scatters, which takes ten times as long.
#[inline(always)]
pub(crate) fn unit_by_unit() {
    std::hint::black_box(());
}

/// How many tiles hold so many rows.
pub fn tile_count(rows: usize) -> usize {
    rows.div_ceil(TILE_ROWS)
}

dispatched! {
    /// `[n, width]`, row-major, to `[tiles, width, TILE_ROWS]`.
    ///
    /// # Panics
    /// If `tiles` does not have the length that the rows need.
    pub fn to_tiles<T: Real>(rows: &[T], width: usize, tiles: &mut [T]) {
        let n = rows.len().checked_div(width).unwrap_or(0);
        assert_eq!(rows.len(), n * width, "not a whole number of rows");
        assert_eq!(tiles.len(), tile_count(n) * width * TILE_ROWS, "tiles do not fit the rows");
        for (tile, to) in tiles.chunks_exact_mut((width * TILE_ROWS).max(1)).enumerate() {
            for lane in 0..TILE_ROWS {
                let row = (tile * TILE_ROWS + lane).min(n - 1);
                let row = &rows[row * width..][..width];
                for column in 0..width {
                    to[column * TILE_ROWS + lane] = row[column];
                }
            }
        }
    }
}

dispatched! {
    /// Adds to `sums: [tiles, TILE_ROWS]` the sum over the columns of each row, column by column.
    ///
    /// # Panics
    /// If the matrix does not have as many rows as there are sums.
    pub fn add_tiled_columns<T: Real>(tiles: &[T], sums: &mut [f64]) {
        let width = tiled_width(tiles.len(), sums.len());
        let tiles = tiles.chunks_exact((width * TILE_ROWS).max(1));
        for (tile, sums) in tiles.zip(sums.chunks_exact_mut(TILE_ROWS)) {
            for column in tile.chunks_exact(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    sums[lane] += column[lane].to_f64();
                }
            }
        }
    }
}

dispatched! {
    /// Adds to `sums: [tiles, TILE_ROWS]` the log-density of the standard normal at each row of `z`:
    /// `-|z|^2 / 2 - d ln(2 pi) / 2`, in `f64`, column by column.
    ///
    /// # Panics
    /// As [`add_tiled_columns`].
    pub fn add_tiled_normal<T: Real>(z: &[T], sums: &mut [f64]) {
        let width = tiled_width(z.len(), sums.len());
        let constant = width as f64 * LN_2PI_HALF;
        let tiles = z.chunks_exact((width * TILE_ROWS).max(1));
        for (tile, sums) in tiles.zip(sums.chunks_exact_mut(TILE_ROWS)) {
            let mut squares = [0.0f64; TILE_ROWS];
            for column in tile.chunks_exact(TILE_ROWS) {
                for lane in 0..TILE_ROWS {
                    let v = column[lane].to_f64();
                    squares[lane] = v.mul_add(v, squares[lane]);
                }
            }
            for lane in 0..TILE_ROWS {
                sums[lane] += -0.5 * squares[lane] - constant;
            }
        }
    }
}

dispatched! {
    /// Gradient by `z` of `sum_r by_row[r] log N(z_r)`: `-z` times the row's factor.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn tiled_normal_backward<T: Real>(z: &[T], by_row: &[T], by_z: &mut [T]) {
        let width = tiled_width(z.len(), by_row.len());
        assert_eq!(z.len(), by_z.len(), "z and its gradient differ in length");
        let size = (width * TILE_ROWS).max(1);
        let rows = z.chunks_exact(size).zip(by_z.chunks_exact_mut(size));
        for ((z, by_z), by_row) in rows.zip(by_row.chunks_exact(TILE_ROWS)) {
            for (z, by_z) in z.chunks_exact(TILE_ROWS).zip(by_z.chunks_exact_mut(TILE_ROWS)) {
                unit_by_unit();
                for lane in 0..TILE_ROWS {
                    by_z[lane] = -z[lane] * by_row[lane];
                }
            }
        }
    }
}

/// Columns of a tiled matrix.
#[inline(always)]
fn tiled_width(length: usize, rows: usize) -> usize {
    let width = length.checked_div(rows).unwrap_or(0);
    assert!(rows.is_multiple_of(TILE_ROWS), "not a whole number of tiles");
    assert_eq!(width * rows, length, "the matrix is not a whole number of rows");
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_side_by_side_and_the_last_fills_the_tile() {
        let rows: Vec<f32> = (0..3 * 40).map(|v| v as f32).collect();
        let mut tiles = vec![0.0; 2 * 3 * TILE_ROWS];
        to_tiles(&rows, 3, &mut tiles);
        for row in 0..2 * TILE_ROWS {
            for column in 0..3 {
                let at = (row / TILE_ROWS * 3 + column) * TILE_ROWS + row % TILE_ROWS;
                assert_eq!(tiles[at], rows[row.min(39) * 3 + column]);
            }
        }
        to_tiles::<f32>(&[], 3, &mut []);
    }

    #[test]
    fn sums_densities_and_their_gradients_are_those_of_rows() {
        let rows: Vec<f64> = (0..5 * 33).map(|v| (v as f64 * 0.7).sin() * 3.0).collect();
        let mut tiles = vec![0.0; 2 * 5 * TILE_ROWS];
        to_tiles(&rows, 5, &mut tiles);
        let (mut sums, mut density) = (vec![1.0; 2 * TILE_ROWS], vec![0.5; 2 * TILE_ROWS]);
        add_tiled_columns(&tiles, &mut sums);
        add_tiled_normal(&tiles, &mut density);
        let by_row: Vec<f64> = (0..2 * TILE_ROWS).map(|r| r as f64).collect();
        let mut by_z = vec![0.0; tiles.len()];
        tiled_normal_backward(&tiles, &by_row, &mut by_z);
        let ln_2pi = (2.0 * std::f64::consts::PI).ln();
        for (r, row) in rows.chunks_exact(5).enumerate() {
            assert!((sums[r] - 1.0 - row.iter().sum::<f64>()).abs() < 1e-14);
            let expected: f64 = row.iter().map(|v| -0.5 * (v * v + ln_2pi)).sum();
            assert!((density[r] - 0.5 - expected).abs() < 1e-13);
            for (column, v) in row.iter().enumerate() {
                let at = (r / TILE_ROWS * 5 + column) * TILE_ROWS + r % TILE_ROWS;
                assert_eq!(by_z[at], -v * r as f64);
            }
        }
    }

    #[test]
    fn a_bad_row_spoils_itself_only() {
        let mut tiles = vec![0.0f32; 2 * TILE_ROWS];
        (tiles[3], tiles[TILE_ROWS + 5]) = (f32::NAN, f32::INFINITY);
        let mut density = vec![0.0; TILE_ROWS];
        add_tiled_normal(&tiles, &mut density);
        for (row, density) in density.iter().enumerate() {
            match row {
                3 => assert!(density.is_nan()),
                5 => assert_eq!(*density, f64::NEG_INFINITY),
                _ => assert!(density.is_finite()),
            }
        }
    }
}
