//! Determinants and inverses of small matrices near the identity, one for each row of a tile.

use crate::Real;
use crate::dispatch::dispatched;
use crate::tiles::{TILE_ROWS, unit_by_unit};

dispatched! {
    /// Turns `A` of each row, `[d, d, TILE_ROWS]`, into its inverse, and writes `ln det A`.
    ///
    /// No pivots are looked for: `A = I + J` with a `J` that shrinks every vector has leading minors that are positive, and needs none. Gauss and Jordan's elimination, `d^3` operations. A row that is
    /// not finite becomes NaN, and no other does.
    ///
    /// # Panics
    /// If the length is not that of matrices of `d` rows.
    pub fn invert_lanes<T: Real>(matrices: &mut [T], d: usize, log_det: &mut [T; TILE_ROWS]) {
        assert_eq!(matrices.len(), d * d * TILE_ROWS, "matrices of another size");
        let line = d * TILE_ROWS;
        let mut pivot_line = vec![T::ZERO; line];
        *log_det = [T::ZERO; TILE_ROWS];
        for k in 0..d {
            let (above, rest) = matrices.split_at_mut(k * line);
            let (row, below) = rest.split_at_mut(line);
            let mut reciprocal = [T::ZERO; TILE_ROWS];
            for lane in 0..TILE_ROWS {
                let pivot = row[k * TILE_ROWS + lane];
                log_det[lane] += pivot.ln();
                reciprocal[lane] = T::ONE / pivot;
                row[k * TILE_ROWS + lane] = T::ONE;
            }
            for part in row.chunks_exact_mut(TILE_ROWS) {
                unit_by_unit();
                for lane in 0..TILE_ROWS {
                    part[lane] = part[lane] * reciprocal[lane];
                }
            }
            pivot_line.copy_from_slice(row);
            for other in above.chunks_exact_mut(line).chain(below.chunks_exact_mut(line)) {
                let mut factors = [T::ZERO; TILE_ROWS];
                factors.copy_from_slice(&other[k * TILE_ROWS..][..TILE_ROWS]);
                other[k * TILE_ROWS..][..TILE_ROWS].fill(T::ZERO);
                subtract(&factors, &pivot_line, other);
            }
        }
    }
}

dispatched! {
    /// `ln det A` of each row's `A`, `[d, d, TILE_ROWS]`, which is lost; as [`invert_lanes`], in a third of the operations.
    ///
    /// # Panics
    /// If the length is not that of matrices of `d` rows.
    pub fn log_det_lanes<T: Real>(matrices: &mut [T], d: usize, log_det: &mut [T; TILE_ROWS]) {
        assert_eq!(matrices.len(), d * d * TILE_ROWS, "matrices of another size");
        let line = d * TILE_ROWS;
        *log_det = [T::ZERO; TILE_ROWS];
        for k in 0..d {
            let (row, below) = matrices[k * line..].split_at_mut(line);
            let row = &row[k * TILE_ROWS..];
            for lane in 0..TILE_ROWS {
                log_det[lane] += row[lane].ln();
            }
            for other in below.chunks_exact_mut(line) {
                let other = &mut other[k * TILE_ROWS..];
                let mut factors = [T::ZERO; TILE_ROWS];
                for lane in 0..TILE_ROWS {
                    factors[lane] = other[lane] / row[lane];
                }
                subtract(&factors, row, other);
            }
        }
    }
}

/// `to -= factors * line` of each lane.
#[inline(always)]
fn subtract<T: Real>(factors: &[T; TILE_ROWS], line: &[T], to: &mut [T]) {
    for (to, line) in to.chunks_exact_mut(TILE_ROWS).zip(line.chunks_exact(TILE_ROWS)) {
        unit_by_unit();
        for lane in 0..TILE_ROWS {
            to[lane] = (-factors[lane]).fma(line[lane], to[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::at_each_level;

    /// `I + J` of each row, with a `J` that shrinks; the last row has a NaN.
    fn matrices(d: usize) -> Vec<f64> {
        let mut matrices: Vec<f64> =
            (0..d * d * TILE_ROWS).map(|i| 0.9 / d as f64 * (i as f64 * 1.3 + 0.2).sin()).collect();
        for i in 0..d {
            let diagonal = (i * d + i) * TILE_ROWS;
            matrices[diagonal..diagonal + TILE_ROWS].iter_mut().for_each(|v| *v += 1.0);
        }
        matrices[TILE_ROWS - 1] = f64::NAN;
        matrices
    }

    #[test]
    fn inverses_times_matrices_are_the_identity_and_determinants_are_those_of_expansion() {
        let d = 3;
        let given = matrices(d);
        for lane in 0..TILE_ROWS - 1 {
            let a = |i: usize, j: usize| given[(i * d + j) * TILE_ROWS + lane];
            let minor = |i: usize, j: usize| a(1, i) * a(2, j) - a(1, j) * a(2, i);
            let det = a(0, 0) * minor(1, 2) - a(0, 1) * minor(0, 2) + a(0, 2) * minor(0, 1);
            let (mut inverse, mut log_det) = (given.clone(), [0.0; TILE_ROWS]);
            invert_lanes(&mut inverse, d, &mut log_det);
            assert!((log_det[lane] - det.ln()).abs() < 1e-13, "{} {}", log_det[lane], det.ln());
            let (mut lost, mut other) = (given.clone(), [0.0; TILE_ROWS]);
            log_det_lanes(&mut lost, d, &mut other);
            assert!((log_det[lane] - other[lane]).abs() < 1e-13 && other[TILE_ROWS - 1].is_nan());
            for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))) {
                let sum: f64 =
                    (0..d).map(|k| a(i, k) * inverse[(k * d + j) * TILE_ROWS + lane]).sum();
                assert!((sum - f64::from(u8::from(i == j))).abs() < 1e-13, "{i} {j}: {sum}");
            }
        }
    }

    #[test]
    fn all_instruction_sets_give_the_same_bits() {
        let found = at_each_level(|| {
            let (mut inverse, mut log_det) = (matrices(5), [0.0; TILE_ROWS]);
            invert_lanes(&mut inverse, 5, &mut log_det);
            // The bits of a NaN say nothing.
            let all = inverse.iter().chain(&log_det).filter(|v| !v.is_nan());
            all.map(|v| v.to_bits()).collect::<Vec<_>>()
        });
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
