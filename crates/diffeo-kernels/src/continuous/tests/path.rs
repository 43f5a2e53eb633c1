//! Where rows are on their way, against other solutions of the same equation.

use super::*;

/// Where rows in one context are at each of these times on the way that a solver takes, `[time][row, d]`.
fn places<T: Real>(
    example: &Example,
    rows: &[f64],
    (direction, solver): (Direction, &Solver),
    times: &[f64],
) -> Vec<Vec<f64>> {
    let (flat, packed) = example.packed::<T>();
    let weights = DualWeights { flat: &flat, packed: &packed };
    let (d, n) = (example.field.dims(), rows.len() / example.field.dims());
    let rows: Vec<T> = rows.iter().map(|v| T::from_f64(*v)).collect();
    let mut x = vec![T::ZERO; d * TILE_ROWS];
    to_tiles(&rows, d, &mut x);
    let context: Vec<T> =
        example.context.iter().flat_map(|v| [T::from_f64(*v); TILE_ROWS]).collect();
    let tile = Tile { context: &context, probes: &[], penalty: Penalty::default() };
    let [mut starts, mut begun, mut sizes] = std::array::from_fn(|_| Aligned::default());
    let tape = Tape { starts: &mut starts, times: &mut begun, sizes: &mut sizes };
    let (how, to) = ((direction, solver), (&mut x[..], &mut [0.0; TILE_ROWS]));
    let mut work = FieldWork::default();
    example.field.solve(weights, tile, how, to, Some(tape), &mut work).unwrap();
    let taken = Taken { starts: &starts, times: &begun, sizes: &sizes };
    let at = |t: &f64| {
        let mut there = vec![T::ZERO; d * TILE_ROWS];
        example.field.place(weights, tile, (taken, solver), *t, &mut there, &mut work);
        (0..n * d).map(|i| there[i % d * TILE_ROWS + i / d].to_f64()).collect()
    };
    times.iter().map(at).collect()
}

#[test]
fn places_on_a_spiral_are_those_of_its_formula() {
    let (a, b) = (0.4f64, 2.0f64);
    // Near enough to 0 for the tangents of the example to be linear.
    let (example, x) = (linear([[a, -b], [b, a]]), [0.7, -1.1, 0.9, 0.2]);
    let times = [0.0, 0.13, 0.5, 0.5001, 0.99, 1.0];
    let solvers = [(adaptive(1e-12), 1e-9), (adaptive(1e-5), 1e-4), (Solver::Fixed(100), 1e-7)];
    for (direction, (solver, limit)) in
        solvers.iter().flat_map(|s| [Forward, Inverse].map(|to| (to, s)))
    {
        let found = places::<f64>(&example, &x, (direction, solver), &times);
        for (t, found) in times.iter().zip(found) {
            // Backwards, a way starts at t = 1.
            let gone = if direction == Forward { *t } else { t - 1.0 };
            let (grown, (sin, cos)) = ((a * gone).exp(), (b * gone).sin_cos());
            for (x, found) in x.chunks(2).zip(found.chunks(2)) {
                let expected = [cos * x[0] - sin * x[1], sin * x[0] + cos * x[1]];
                for (found, expected) in found.iter().zip(expected.map(|v| grown * v)) {
                    let message = format!("{direction:?} {solver:?} t = {t}: {found} {expected}");
                    assert!((found - expected).abs() < *limit, "{message}");
                }
            }
        }
    }
}

#[test]
fn places_between_steps_are_as_near_as_their_ends() {
    // Rows whose steps differ, in a context.
    let example = example(3, 2, Smooth::Tanh);
    let mut rows = numbers(3 * 20, 0.4, 2.0);
    rows[..3].fill(30.0);
    let times: Vec<f64> = (0..=40).map(|i| f64::from(i) / 40.0).collect();
    let exact = places::<f64>(&example, &rows, (Forward, &adaptive(1e-13)), &times);
    for tolerance in [1e-9, 1e-5] {
        let found = places::<f64>(&example, &rows, (Forward, &adaptive(tolerance)), &times);
        let errors = found.iter().zip(&exact).map(|(found, exact)| {
            let errors = found.iter().zip(exact).map(|(a, b)| (a - b).abs() / (1.0 + b.abs()));
            errors.fold(0.0, f64::max)
        });
        let errors: Vec<f64> = errors.collect();
        assert!(errors.iter().all(|e| *e < 10.0 * tolerance), "{tolerance:e}: {errors:?}");
    }
    let single = places::<f32>(&example, &rows, (Forward, &adaptive(1e-6)), &times);
    let off = single.iter().flatten().zip(exact.iter().flatten());
    assert!(off.clone().all(|(a, b)| (a - b).abs() < 2e-5 * (1.0 + b.abs())));
}

#[test]
fn a_lost_row_is_nan_all_the_way_and_no_other_is() {
    let example = example(3, 2, Smooth::Softplus);
    let mut rows = numbers(3 * 5, 0.4, 2.0);
    let alone = places::<f64>(&example, &rows, (Forward, &adaptive(1e-6)), &[0.4]);
    rows[7] = f64::NAN;
    let found = places::<f64>(&example, &rows, (Forward, &adaptive(1e-6)), &[0.4]);
    for (i, (found, alone)) in found[0].iter().zip(&alone[0]).enumerate() {
        assert_eq!(i / 3 == 2, found.is_nan(), "{i}");
        assert!(found.is_nan() || found.to_bits() == alone.to_bits(), "{i}");
    }
}
