//! Rows that take turns in the lanes of a tile, against each on its own.

use super::{Example, Solved, adaptive, example, numbers, units};
use crate::continuous::{Directions, FieldWork, Penalty, RowsGiven, Solver, Stalled};
use crate::dual::{DualWeights, Smooth};
use crate::ops::Direction::{self, Forward, Inverse};
use crate::{Real, TILE_ROWS};

/// Rows with a context each, and with directions for all (`d` of them) or one for each.
fn solve_rows<T: Real>(
    example: &Example,
    [rows, contexts, directions]: [&[f64]; 3],
    how: (Direction, &Solver),
) -> Result<Solved<T>, Stalled> {
    let (flat, packed) = example.packed::<T>();
    let weights = DualWeights { flat: &flat, packed: &packed };
    let own = directions.len() == rows.len();
    let as_real = |values: &[f64]| -> Vec<T> { values.iter().map(|v| T::from_f64(*v)).collect() };
    let (mut x, context) = (as_real(rows), as_real(contexts));
    let directions: Vec<T> = match own {
        true => as_real(directions),
        false => directions.iter().flat_map(|v| [T::from_f64(*v); TILE_ROWS]).collect(),
    };
    let directions = match own {
        true => Directions::Own(&directions),
        false => Directions::Same(&directions),
    };
    let given = RowsGiven { context: &context, directions, penalty: Penalty::default() };
    let mut log_det = vec![0.0; rows.len() / example.field.dims()];
    let (to, mut work) = ((&mut x[..], &mut log_det[..]), FieldWork::default());
    let evaluations = example.field.solve_rows(weights, given, how, to, &mut work)?;
    Ok(Solved { x, log_det, evaluations })
}

/// Rows far out, where the field hardly changes.
fn far(n: usize) -> Vec<f64> {
    (0..3 * n).map(|i| 30.0 + (i as f64 * 1.7).sin()).collect()
}

/// Where it does.
const NEAR: [f64; 3] = [0.3, -0.2, 0.1];

/// Rows of which some have a longer way than others, and some are none.
fn crowd(n: usize) -> Vec<f64> {
    let mut rows = numbers(3 * n, 0.4, 2.0);
    for row in (0..n).step_by(7) {
        rows[3 * row] = 30.0;
    }
    for row in (3..n).step_by(19) {
        rows[3 * row + 1] = f64::NAN;
    }
    rows
}

#[test]
fn rows_in_turn_have_the_bits_of_each_alone() {
    fn holds<T: Real>(tolerance: f64) {
        let mut example = example(3, 2, Smooth::Tanh);
        for n in [0, 1, 5, 150] {
            let (rows, contexts) = (crowd(n), numbers(2 * n, 0.1, 1.0));
            let signs: Vec<f64> = numbers(3 * n, 0.9, 1.0).iter().map(|v| v.signum()).collect();
            for (solver, direction) in [
                (adaptive(tolerance), Forward),
                (adaptive(tolerance), Inverse),
                (Solver::Fixed(5), Forward),
            ] {
                for directions in [units(3), signs.clone(), vec![]] {
                    let how = (direction, &solver);
                    let given = [&rows[..], &contexts, &directions];
                    let found = solve_rows::<T>(&example, given, how).unwrap();
                    for (row, x) in rows.chunks(3).enumerate() {
                        example.context = contexts[2 * row..][..2].to_vec();
                        let own = directions.len() == rows.len();
                        let directions =
                            if own { &directions[3 * row..][..3] } else { &directions };
                        let alone = example.solve::<T>(x, directions, how).unwrap();
                        let of_row = &found.x[3 * row..][..3];
                        assert_eq!(
                            format!("{:?}", alone.x),
                            format!("{of_row:?}"),
                            "row {row} of {n}"
                        );
                        assert_eq!(alone.log_det[0].to_bits(), found.log_det[row].to_bits());
                        assert_eq!(x[1].is_nan(), found.x[3 * row].is_nan());
                    }
                }
            }
        }
    }
    holds::<f64>(1e-9);
    holds::<f32>(1e-5);
}

#[test]
fn a_row_that_is_not_solved_is_named() {
    let example = example(3, 0, Smooth::Tanh);
    let mut rows = far(100);
    let most = |rows: &[f64]| {
        let few = |steps_max| Solver::Adaptive { relative: 1e-9, absolute: 1e-9, steps_max };
        let solves = |steps: &usize| {
            solve_rows::<f64>(&example, [rows, &[], &[]], (Forward, &few(*steps))).is_ok()
        };
        (1..200).find(solves).unwrap()
    };
    let enough = most(&rows);
    rows[3 * 77..][..3].copy_from_slice(&NEAR);
    assert!(most(&rows) > enough);
    let few = Solver::Adaptive { relative: 1e-9, absolute: 1e-9, steps_max: enough };
    let found = solve_rows::<f64>(&example, [&rows, &[], &[]], (Forward, &few)).unwrap_err();
    assert_eq!((found.row, found.steps), (77, enough));
}

#[test]
fn free_lanes_are_filled_before_all_others_have_arrived() {
    let example = example(3, 0, Smooth::Tanh);
    let mut rows = far(4 * TILE_ROWS);
    // One row of each tile has a longer way.
    rows.chunks_mut(3 * TILE_ROWS).for_each(|tile| tile[..3].copy_from_slice(&NEAR));
    let how = (Forward, &adaptive(1e-9));
    let together = solve_rows::<f64>(&example, [&rows, &[], &[]], how).unwrap();
    let tiles =
        rows.chunks(3 * TILE_ROWS).map(|rows| example.solve::<f64>(rows, &[], how).unwrap());
    let apart: u64 = tiles.map(|solved| solved.evaluations).sum();
    assert!(together.evaluations < apart, "{} {apart}", together.evaluations);
}
