//! Fields and their solutions against plain loops, mathematics and another library.

mod gradients;
mod path;
mod regress;
mod rows;

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::dual::{DualPlaces, DualWeights};
use crate::ops::Direction::{self, Forward, Inverse};
use crate::to_tiles;

/// A field with weights of a formula, so that other programs can make the same.
pub(super) struct Example {
    pub(super) field: Field,
    pub(super) flat: Vec<f64>,
    pub(super) context: Vec<f64>,
}

/// Numbers in `(-1, 1)` times a size.
pub(super) fn numbers(n: usize, phase: f64, size: f64) -> Vec<f64> {
    (0..n).map(|i| size * (i as f64 * 1.7 + phase).sin()).collect()
}

pub(super) fn example(dims: usize, context: usize, activation: Smooth) -> Example {
    let field = Field::new([dims, context], &[7, 13], activation, 10.0);
    let len = field.network().places().1.end;
    Example { field, flat: numbers(len, 0.3, 0.6), context: numbers(context, 2.0, 1.0) }
}

/// Where rows came to, their log-determinants, and how often the field was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Solved<T> {
    pub(super) x: Vec<T>,
    pub(super) log_det: Vec<f64>,
    pub(super) evaluations: u64,
}

impl Example {
    pub(super) fn packed<T: Real>(&self) -> (Vec<T>, Vec<Aligned<T>>) {
        let flat: Vec<T> = self.flat.iter().map(|v| T::from_f64(*v)).collect();
        let mut packed = vec![Aligned::default(); self.field.network().packed()];
        self.field.network().pack(&flat, &mut packed);
        (flat, packed)
    }

    /// At most a tile of rows, all with the context; the directions are the same for all rows.
    pub(super) fn solve<T: Real>(
        &self,
        rows: &[f64],
        directions: &[f64],
        how: (Direction, &Solver),
    ) -> Result<Solved<T>, Stalled> {
        let (flat, packed) = self.packed::<T>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let d = self.field.dims();
        let rows: Vec<T> = rows.iter().map(|v| T::from_f64(*v)).collect();
        let mut x = vec![T::ZERO; d * TILE_ROWS];
        to_tiles(&rows, d, &mut x);
        let spread = |values: &[f64]| -> Vec<T> {
            values.iter().flat_map(|v| [T::from_f64(*v); TILE_ROWS]).collect()
        };
        let (context, probes) = (spread(&self.context), spread(directions));
        let tile = Tile { context: &context, probes: &probes, penalty: Penalty::default() };
        let (mut log_det, mut work) = ([0.0; TILE_ROWS], FieldWork::default());
        let to = (&mut x[..], &mut log_det);
        let evaluations = self.field.solve(weights, tile, how, to, None, &mut work)?;
        let n = rows.len() / d;
        let x = (0..n * d).map(|i| x[i % d * TILE_ROWS + i / d]).collect();
        Ok(Solved { x, log_det: log_det[..n].to_vec(), evaluations })
    }
}

pub(super) fn units(d: usize) -> Vec<f64> {
    (0..d * d).map(|i| f64::from(u8::from(i / d == i % d))).collect()
}

pub(super) fn adaptive(tolerance: f64) -> Solver {
    Solver::Adaptive { relative: tolerance, absolute: tolerance, steps_max: 100_000 }
}

/// The field by plain loops.
fn plain_field(example: &Example, x: &[f64], t: f64) -> Vec<f64> {
    let Example { field, flat, context } = example;
    let (places, place) = field.network().places();
    let mut h = x.to_vec();
    for (l, DualPlaces { weight, bias, rate }) in places.iter().enumerate() {
        let (outputs, rate) = (bias.len(), rate.clone().unwrap());
        let mut a: Vec<f64> =
            (0..outputs).map(|u| flat[bias.start + u] + t * flat[rate.start + u]).collect();
        for u in 0..outputs {
            a[u] += (0..h.len()).map(|i| h[i] * flat[weight.start + i * outputs + u]).sum::<f64>();
            if l == 0 {
                let c = context.iter().enumerate();
                a[u] += c.map(|(i, c)| c * flat[place.start + i * outputs + u]).sum::<f64>();
            }
        }
        h = match (l + 1 < places.len(), field.network.activation()) {
            (false, _) => a.iter().map(|a| field.speed * (a / field.speed).tanh()).collect(),
            (true, Smooth::Tanh) => a.iter().map(|a| a.tanh()).collect(),
            (true, Smooth::Softplus) => a.iter().map(|a| a.exp().ln_1p()).collect(),
            (true, other) => unreachable!("no field of {other:?}"),
        };
    }
    h
}

#[test]
fn fields_and_divergences_are_those_of_plain_loops_and_differences() {
    for (activation, context) in [(Smooth::Tanh, 2), (Smooth::Softplus, 0)] {
        let example = example(3, context, activation);
        let x = numbers(3, 0.4, 1.2);
        let (step, t) = (1e-5, 0.0);
        // One step of size 1e-6 shows the field at the start.
        let divergence: f64 = (0..3)
            .map(|i| {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[i] += by;
                    plain_field(&example, &x, t)[i]
                };
                (moved(step) - moved(-step)) / (2.0 * step)
            })
            .sum();
        let (flat, packed) = example.packed::<f64>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let spread = |v: &[f64]| -> Vec<f64> { v.iter().flat_map(|v| [*v; TILE_ROWS]).collect() };
        let (c, probes) = (spread(&example.context), unit_probes(3));
        let tile = Tile { context: &c, probes: &probes, penalty: Penalty::default() };
        let mut work = FieldWork::default();
        example.field.prepare(weights, tile, 1, &mut work);
        work.fields.sized(3 * TILE_ROWS);
        work.divergences.sized(TILE_ROWS);
        for t in [0.0, 0.7] {
            let at = (&spread(&x)[..], &[t; TILE_ROWS]);
            example.field.evaluate(weights, tile, at, [0, 0], &mut work);
            let expected = plain_field(&example, &x, t);
            for (i, expected) in expected.iter().enumerate() {
                let found = work.fields[i * TILE_ROWS + 5];
                assert!((found - expected).abs() < 1e-13, "{activation:?}: {found} {expected}");
            }
            if t == 0.0 {
                let found = work.divergences[7];
                assert!((found - divergence).abs() < 1e-8, "{activation:?}: {found} {divergence}");
            }
        }
    }
}

/// `x' = A x` as nearly as hyperbolic tangents are linear.
fn linear(matrix: [[f64; 2]; 2]) -> Example {
    let field = Field::new([2, 0], &[2], Smooth::Tanh, 1e7);
    let small = 1e-5;
    let mut flat = vec![0.0; field.network().places().1.end];
    (flat[0], flat[3]) = (small, small);
    let output = field.network().places().0[1].weight.clone();
    for i in 0..2 {
        for j in 0..2 {
            flat[output.start + i * 2 + j] = matrix[j][i] / small;
        }
    }
    Example { field, flat, context: vec![] }
}

#[test]
fn a_linear_equation_is_solved_by_the_exponential_of_its_matrix() {
    // A rotation by an angle that grows: exp [[a, -b], [b, a]] = e^a [[cos b, -sin b], [sin b, cos b]].
    let (a, b) = (0.4, 2.0f64);
    let example = linear([[a, -b], [b, a]]);
    let (x, grown) = ([0.7, -1.1], a.exp());
    let expected =
        [grown * (b.cos() * x[0] - b.sin() * x[1]), grown * (b.sin() * x[0] + b.cos() * x[1])];
    for (solver, limit) in
        [(adaptive(1e-12), 1e-9), (adaptive(1e-7), 1e-6), (Solver::Fixed(200), 1e-8)]
    {
        let there = example.solve::<f64>(&x, &units(2), (Forward, &solver)).unwrap();
        for (found, expected) in there.x.iter().zip(expected) {
            assert!((found - expected).abs() < limit, "{solver:?}: {found} {expected}");
        }
        assert!((there.log_det[0] - 2.0 * a).abs() < limit, "{there:?}");
        let back = example.solve::<f64>(&there.x, &units(2), (Inverse, &solver)).unwrap();
        assert!(back.x.iter().zip(x).all(|(found, x)| (found - x).abs() < limit));
        assert!((back.log_det[0] + 2.0 * a).abs() < limit, "{back:?}");
    }
}

#[test]
fn a_penalty_takes_its_integral_off_the_log_determinant() {
    // Of x' = A x the Jacobian is A, and the speed |A x|; by an even rotation it stays what it was.
    let b = 2.0f64;
    let example = linear([[0.0, -b], [b, 0.0]]);
    let x: [f64; 2] = [0.7, -1.1];
    let speed = b * b * (x[0] * x[0] + x[1] * x[1]);
    let penalty = Penalty { kinetic: 0.3, jacobian: 0.05 };
    let solve = |penalty| {
        let (flat, packed) = example.packed::<f64>();
        let weights = DualWeights { flat: &flat, packed: &packed };
        let mut rows: Vec<f64> = x.iter().flat_map(|x| [*x; TILE_ROWS]).collect();
        let (mut log_det, mut work) = ([0.0; TILE_ROWS], FieldWork::default());
        let tile = Tile { context: &[], probes: &unit_probes(2), penalty };
        let (how, to) = ((Forward, &adaptive(1e-12)), (&mut rows[..], &mut log_det));
        example.field.solve(weights, tile, how, to, None, &mut work).unwrap();
        (log_det[3], rows)
    };
    let (free, there) = solve(Penalty::default());
    let (found, same) = solve(penalty);
    let expected = -(0.3 * speed + 0.05 * 2.0 * b * b);
    assert!(free.abs() < 1e-9 && (found - expected).abs() < 1e-8, "{free} {found} {expected}");
    assert!(there.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn errors_fall_with_the_order_of_the_method() {
    let example = example(3, 0, Smooth::Tanh);
    let x = numbers(3, 0.4, 1.2);
    let solve = |solver| example.solve::<f64>(&x, &units(3), (Forward, &solver)).unwrap();
    let exact = solve(adaptive(1e-13));
    let error = |solver| {
        let found = solve(solver);
        let by_x = found.x.iter().zip(&exact.x).map(|(a, b)| (a - b).abs());
        by_x.fold((found.log_det[0] - exact.log_det[0]).abs(), f64::max)
    };
    let [coarse, fine] = [16, 32].map(|n| error(Solver::Fixed(n)));
    let order = (coarse / fine).log2();
    assert!((3.6..4.6).contains(&order), "order {order}: {coarse:e} {fine:e}");
    let mut before = u64::MAX;
    for tolerance in [1e-11, 1e-9, 1e-7, 1e-5, 1e-3] {
        let solver = adaptive(tolerance);
        let evaluations = solve(solver).evaluations;
        assert!(error(solver) < 10.0 * tolerance, "{tolerance:e}: {:e}", error(solver));
        assert!(evaluations <= before || tolerance == 1e-7, "{tolerance:e}: {evaluations}");
        before = evaluations;
    }
    assert!(before < 60, "{before} evaluations for three digits");
}

/// Where `scipy.integrate.solve_ivp` with `DOP853`, `rtol = 1e-13`, `atol = 1e-14` brings the rows (0.3, -0.8, 1.2) and (-2, 0.1, 0.5), and their log-determinants.
const BY_SCIPY: [[[f64; 4]; 2]; 2] = include!("tests/scipy.in");

#[test]
fn solutions_are_those_of_scipy() {
    for (activation, expected) in [Smooth::Tanh, Smooth::Softplus].into_iter().zip(BY_SCIPY) {
        let example = example(3, 2, activation);
        let rows = [0.3, -0.8, 1.2, -2.0, 0.1, 0.5];
        let found = example.solve::<f64>(&rows, &units(3), (Forward, &adaptive(1e-12))).unwrap();
        for (row, expected) in expected.iter().enumerate() {
            for i in 0..3 {
                let found = found.x[row * 3 + i];
                assert!((found - expected[i]).abs() < 1e-10, "{found} {expected:?}");
            }
            assert!((found.log_det[row] - expected[3]).abs() < 1e-10, "{found:?} {expected:?}");
        }
        let back = example.solve::<f64>(&found.x, &units(3), (Inverse, &adaptive(1e-12))).unwrap();
        assert!(back.x.iter().zip(rows).all(|(a, b)| (a - b).abs() < 1e-10), "{back:?}");
    }
}

#[test]
fn single_precision_agrees_with_double() {
    let example = example(3, 2, Smooth::Tanh);
    let rows = numbers(3 * TILE_ROWS, 0.4, 2.0);
    for direction in [Forward, Inverse] {
        let exact = example.solve::<f64>(&rows, &units(3), (direction, &adaptive(1e-10))).unwrap();
        let single = example.solve::<f32>(&rows, &units(3), (direction, &adaptive(1e-6))).unwrap();
        for (a, b) in single.x.iter().zip(&exact.x) {
            assert!((f64::from(*a) - b).abs() < 2e-5, "{a} {b}");
        }
        for (a, b) in single.log_det.iter().zip(&exact.log_det) {
            assert!((a - b).abs() < 2e-5, "{a} {b}");
        }
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_company_and_at_every_instruction_set() {
    fn holds<T: Real>(tolerance: f64) {
        let example = example(3, 2, Smooth::Softplus);
        let mut rows = numbers(3 * 20, 0.4, 2.0);
        // Some have a longer way than others.
        rows[..3].fill(30.0);
        (rows[30], rows[45]) = (f64::NAN, 1e30);
        for solver in [adaptive(tolerance), Solver::Fixed(7)] {
            for direction in [Forward, Inverse] {
                let how = (direction, &solver);
                let solve = |rows: &[f64]| example.solve::<T>(rows, &units(3), how).unwrap();
                let all = at_each_level(|| format!("{:?}", solve(&rows)));
                assert!(all.iter().all(|other| *other == all[0]));
                let together = solve(&rows);
                for (row, x) in rows.chunks(3).enumerate() {
                    let alone = solve(x);
                    let of_row = &together.x[row * 3..][..3];
                    assert_eq!(format!("{:?}", alone.x), format!("{of_row:?}"), "row {row}");
                    assert_eq!(alone.log_det[0].to_bits(), together.log_det[row].to_bits());
                    assert_eq!(row == 10, alone.x[0].is_nan() && alone.log_det[0].is_nan());
                }
            }
        }
    }
    holds::<f64>(1e-9);
    holds::<f64>(1e-5);
    holds::<f32>(1e-5);
}

#[test]
fn a_random_direction_estimates_the_log_determinant_without_bias() {
    let example = example(3, 0, Smooth::Tanh);
    let x = numbers(3, 0.4, 1.2);
    let solver = Solver::Fixed(12);
    let exact = example.solve::<f64>(&x, &units(3), (Forward, &solver)).unwrap();
    // All vectors of signs: their mean is the estimate's expectation, exactly; a few of them are too far off to be the exact one.
    let mut found = Vec::new();
    for signs in 0..8 {
        let probe: Vec<f64> = (0..3).map(|i| f64::from(signs >> i & 1) * 2.0 - 1.0).collect();
        let one = example.solve::<f64>(&x, &probe, (Forward, &solver)).unwrap();
        assert_eq!(one.x, exact.x);
        found.push(one.log_det[0]);
    }
    let mean = found.iter().sum::<f64>() / 8.0;
    assert!((mean - exact.log_det[0]).abs() < 1e-12, "{mean} {exact:?}");
    assert!(found.iter().any(|v| (v - mean).abs() > 0.01), "{found:?}");
}

#[test]
fn a_field_that_is_too_steep_is_an_error_that_says_where() {
    // A field that pushes to a surface from both sides, the harder the nearer.
    let field = Field::new([1, 0], &[1], Smooth::Tanh, 10.0);
    let steep = |slope: f64| Example {
        field: field.clone(),
        flat: vec![slope, 0.0, 0.0, -1e4, 0.0, 0.0],
        context: vec![],
    };
    let few = Solver::Adaptive { relative: 1e-6, absolute: 1e-6, steps_max: 500 };
    let found = steep(1e3).solve::<f64>(&[0.5], &[1.0], (Forward, &few)).unwrap_err();
    assert!(!found.too_small && found.steps == 500 && found.row == 0, "{found}");
    assert!((0.04..1.0).contains(&found.time), "{found}");
    let found = steep(1e30).solve::<f32>(&[0.5], &[1.0], (Forward, &adaptive(1e-9))).unwrap_err();
    assert!(found.too_small && (found.time - 0.05).abs() < 1e-3, "{found}");
    assert!(found.to_string().contains("t = 0.0"), "{found}");
}

#[test]
fn far_points_move_little_and_absurd_weights_give_numbers() {
    for activation in [Smooth::Tanh, Smooth::Softplus] {
        for size in [1.0, 1e4] {
            let mut example = example(2, 0, activation);
            example.flat.iter_mut().for_each(|v| *v *= size);
            for x in [1e9, -1e30, f64::from(f32::MAX)] {
                let solver = Solver::Fixed(9);
                let found = example.solve::<f32>(&[x, -x], &units(2), (Forward, &solver)).unwrap();
                assert!(found.log_det[0].is_finite() && found.x[0].is_finite(), "{found:?}");
                assert!((f64::from(found.x[0]) - x).abs() <= 10.0 + 1e-6 * x.abs(), "{found:?}");
            }
        }
    }
}
