//! Networks with derivatives against plain loops and differences.

use super::*;
use crate::dispatch::tests::at_each_level;

const ALL: [Smooth; 4] = [Smooth::Tanh, Smooth::Softplus, Smooth::Swish, Smooth::Elu];

fn plain(activation: Smooth, a: f64) -> f64 {
    match activation {
        Smooth::Tanh => a.tanh(),
        Smooth::Softplus => a.exp().ln_1p(),
        Smooth::Swish => a / (1.0 + (-a).exp()) / Smooth::SWISH_SLOPE,
        Smooth::Elu => {
            if a > 0.0 {
                a
            } else {
                a.exp_m1()
            }
        }
    }
}

/// A network with weights of a formula, a point, a time, a context and two directions; each row of a tile has the same.
struct Example {
    network: Dual,
    flat: Vec<f64>,
    x: Vec<f64>,
    t: f64,
    context: Vec<f64>,
    directions: Vec<f64>,
}

fn numbers(n: usize, phase: f64, size: f64) -> Vec<f64> {
    (0..n).map(|i| size * (i as f64 * 1.7 + phase).sin()).collect()
}

fn spread<T: Real>(values: &[f64]) -> Vec<T> {
    values.iter().flat_map(|v| [T::from_f64(*v); TILE_ROWS]).collect()
}

/// What an output and its gradients are looked at in.
struct Passed<T> {
    /// Values and derivatives, one row's.
    output: Vec<T>,
    by_x: Vec<T>,
    by_context: Vec<T>,
    by_weights: Vec<T>,
}

impl Example {
    fn new(activation: Smooth, timed: bool, context: usize) -> Self {
        let network = Dual::new(&[3, 7, 5, 2], context, timed, activation);
        let flat = numbers(network.places().1.end, 0.3, 0.9);
        let (x, context) = (numbers(3, 1.0, 1.1), numbers(context, 2.0, 1.0));
        Self {
            network,
            flat,
            x,
            t: if timed { 0.4 } else { 0.0 },
            context,
            directions: numbers(6, 0.7, 1.0),
        }
    }

    /// The network by plain loops.
    fn values(&self, x: &[f64]) -> Vec<f64> {
        let (places, context) = self.network.places();
        let mut h = x.to_vec();
        for (l, place) in places.iter().enumerate() {
            let outputs = place.bias.len();
            let mut a: Vec<f64> = self.flat[place.bias.clone()].to_vec();
            for (u, a) in a.iter_mut().enumerate() {
                let column = |start: usize, i: usize| self.flat[start + i * outputs + u];
                *a += h
                    .iter()
                    .enumerate()
                    .map(|(i, h)| h * column(place.weight.start, i))
                    .sum::<f64>();
                *a += place.rate.as_ref().map_or(0.0, |rate| self.t * self.flat[rate.start + u]);
                if l == 0 {
                    let c = self.context.iter().enumerate();
                    *a += c.map(|(i, c)| c * column(context.start, i)).sum::<f64>();
                }
            }
            let is_last = l + 1 == places.len();
            h = a
                .iter()
                .map(|a| if is_last { *a } else { plain(self.network.activation, *a) })
                .collect();
        }
        h
    }

    /// One pass there and back, of a loss whose gradient by each output is given.
    fn pass<T: Real>(&self, by_output: &[f64]) -> Passed<T> {
        let flat: Vec<T> = self.flat.iter().map(|v| T::from_f64(*v)).collect();
        let mut packed = vec![Aligned::default(); self.network.packed()];
        self.network.pack(&flat, &mut packed);
        let weights = DualWeights { flat: &flat, packed: &packed };
        let (network, context) = (&self.network, spread::<T>(&self.context));
        let (mut work, slot) = (DualWork::default(), Slot { directions: 2, number: 1 });
        network.prepare(weights, &context, [2, 2], &mut work);
        let both = [&self.x[..], &self.directions].concat();
        work.input(network, slot).copy_from_slice(&spread::<T>(&both));
        let t = [T::from_f64(self.t); TILE_ROWS];
        let t = network.places[0].rate.as_ref().map(|_| &t);
        network.values(weights, t, slot, &mut work);
        network.tangents(weights, slot, &mut work);
        let first = |v: &[T]| v.iter().step_by(TILE_ROWS).copied().collect::<Vec<_>>();
        let output = first(work.output(network, slot));
        // Only the first row counts.
        let grad = work.output_and_gradient(network, slot).1;
        grad.fill(T::ZERO);
        grad.iter_mut().step_by(TILE_ROWS).zip(by_output).for_each(|(g, v)| *g = T::from_f64(*v));
        let mut sums = DualSums::new(network);
        network.backward(weights, t, slot, (&mut work, &mut sums));
        let by_x = first(work.input_and_gradient(network, slot)[1]);
        let mut by_addend = Aligned::zeros(network.first() * TILE_ROWS);
        by_addend.copy_from_slice(work.addend_gradient(network, slot));
        let mut by_weights = vec![T::ZERO; flat.len()];
        // Slot 0 was never used: its nodes and gradients are zero.
        network.add_products(weights, [2, 2], &mut work, &mut by_weights);
        network.add_sums(&sums, &mut by_weights);
        let mut by_context = vec![T::ZERO; context.len()];
        let (from, to) =
            ((&context[..], &mut by_addend), (&mut by_context[..], &mut by_weights[..]));
        network.context_backward(weights, from, to, &mut work);
        Passed { output, by_x, by_context: first(&by_context), by_weights }
    }

    /// Values and derivatives, the latter by differences.
    fn expected(&self) -> Vec<f64> {
        let mut all = self.values(&self.x);
        for direction in self.directions.chunks(3) {
            let at = |h: f64| {
                let x: Vec<f64> = self.x.iter().zip(direction).map(|(x, v)| x + h * v).collect();
                self.values(&x)
            };
            let h = 1e-3;
            let [far, near] = [2.0 * h, h].map(|h| {
                at(h).iter().zip(at(-h)).map(|(a, b)| (a - b) / (2.0 * h)).collect::<Vec<_>>()
            });
            all.extend(near.iter().zip(far).map(|(near, far)| (4.0 * near - far) / 3.0));
        }
        all
    }
}

#[test]
fn values_and_derivatives_are_those_of_plain_loops_and_differences() {
    for (activation, timed, context) in ALL.into_iter().flat_map(|a| [(a, false, 0), (a, true, 2)])
    {
        let example = Example::new(activation, timed, context);
        let expected = example.expected();
        for (i, (found, expected)) in
            example.pass::<f64>(&[0.0; 6]).output.iter().zip(&expected).enumerate()
        {
            let allowed = if i < 2 { 1e-14 } else { 1e-9 };
            assert!((found - expected).abs() < allowed, "{activation:?} {i}: {found} {expected}");
        }
        for (found, expected) in example.pass::<f32>(&[0.0; 6]).output.iter().zip(&expected) {
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{activation:?} {found} {expected}"
            );
        }
    }
}

#[test]
fn gradients_are_those_of_differences() {
    let by_output = numbers(6, 0.9, 1.0);
    let loss = |e: &Example| -> f64 {
        e.pass::<f64>(&by_output).output.iter().zip(&by_output).map(|(v, g)| v * g).sum()
    };
    let hold = |name: &str, found: f64, of: &dyn Fn(f64) -> f64| {
        let h = 1e-4;
        let [far, near] = [2.0 * h, h].map(|h| (of(h) - of(-h)) / (2.0 * h));
        let expected = (4.0 * near - far) / 3.0;
        assert!((found - expected).abs() < 1e-8, "{name}: {found} {expected}");
    };
    for (activation, timed, context) in ALL.into_iter().flat_map(|a| [(a, false, 0), (a, true, 2)])
    {
        let example = || Example::new(activation, timed, context);
        let found = example().pass::<f64>(&by_output);
        for (i, found) in found.by_x.iter().enumerate() {
            hold(&format!("{activation:?} x {i}"), *found, &|h| {
                let mut e = example();
                e.x[i] += h;
                loss(&e)
            });
        }
        for (i, found) in found.by_context.iter().enumerate() {
            hold(&format!("{activation:?} c {i}"), *found, &|h| {
                let mut e = example();
                e.context[i] += h;
                loss(&e)
            });
        }
        for (i, found) in found.by_weights.iter().enumerate() {
            hold(&format!("{activation:?} w {i}"), *found, &|h| {
                let mut e = example();
                e.flat[i] += h;
                loss(&e)
            });
        }
    }
}

#[test]
fn all_instruction_sets_give_the_same_bits_and_a_nan_stays_in_its_row() {
    for activation in ALL {
        let found = at_each_level(|| {
            let passed = Example::new(activation, true, 2).pass::<f32>(&numbers(6, 0.9, 1.0));
            let all = [passed.output, passed.by_x, passed.by_weights].concat();
            all.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        });
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]), "{activation:?}");
    }
    for activation in ALL {
        let mut values = vec![0.5f32; 2 * TILE_ROWS];
        (values[3], values[5], values[7]) = (f32::NAN, 1e30, -1e30);
        let mut bends = vec![0.0; 4 * TILE_ROWS];
        lanes::bend(activation, &mut values, &mut bends);
        let lost = values.iter().filter(|v| v.is_nan()).count();
        assert!(values[3].is_nan() && lost == 1, "{activation:?}: {values:?}");
        assert!(bends.iter().filter(|v| v.is_nan()).count() <= 2, "{activation:?}: {bends:?}");
    }
}

#[test]
fn what_a_swish_is_multiplied_by_can_be_had_back_where_its_slope_is_zero() {
    // The slope of x sigmoid(x) is zero at -1.2784645427610738.
    let mut values = [-1.278_464_542_761_073_8_f64, -1.278_464_542_761_07, -800.0, 800.0];
    let mut bends = [0.0; 8];
    lanes::bend(Smooth::Swish, &mut values, &mut bends);
    let (slopes, quotients) = bends.split_at(4);
    for i in 0..2 {
        assert!(slopes[i] != 0.0 && slopes[i].abs() < 1e-14, "{}", slopes[i]);
        // The second derivative there, s (1 - s) (2 + x (1 - 2 s)) / 1.1.
        let bend = slopes[i] * quotients[i];
        assert!((bend - 0.198_01).abs() < 1e-5, "{bend}");
    }
    assert_eq!((slopes[2] * quotients[2], slopes[3] * quotients[3]), (0.0, 0.0));
    assert_eq!(values[2], -0.0);
}
