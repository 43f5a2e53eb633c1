//! The incremental inverse against `d` full passes of the network.

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::{Affine, MaskedLinear, Node, RationalQuadratic, Staircase, activate};

/// Numbers in `(-1, 1)` that depend on the seed only.
fn noise<T: Real>(n: usize, seed: u64) -> Vec<T> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::from_f64((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
    };
    (0..n).map(step).collect()
}

struct Net<T> {
    dims: usize,
    map: Arc<dyn MapKernel<T>>,
    graph: Graph,
    layers: Vec<(Vec<T>, Vec<T>, Arc<Staircase>)>,
    residual: bool,
}

/// Two hidden layers, or one residual block.
fn graph(dims: usize, stairs: &[Arc<Staircase>], residual: bool) -> Graph {
    let linear = |i: usize, activation, input, skip| Node::Linear {
        staircase: Arc::clone(&stairs[i]),
        activation,
        input,
        skip,
    };
    let nodes = if residual {
        vec![
            linear(0, Activation::None, 0, None),
            Node::Activate { activation: Activation::Elu, input: 1 },
            linear(1, Activation::Elu, 2, None),
            linear(2, Activation::None, 3, Some(1)),
            Node::Activate { activation: Activation::Relu, input: 4 },
            linear(3, Activation::None, 5, None),
        ]
    } else {
        vec![
            linear(0, Activation::Relu, 0, None),
            linear(1, Activation::Tanh, 1, None),
            linear(2, Activation::None, 2, None),
        ]
    };
    Graph::new(dims, nodes)
}

/// A MADE with two hidden layers, or one residual block; degrees sorted, dimension `i` sees degrees below `i`.
fn net<T: Real>(dims: usize, hidden: usize, map: Arc<dyn MapKernel<T>>, residual: bool) -> Net<T> {
    let input: Vec<usize> = (0..dims).collect();
    let middle: Vec<usize> = (0..hidden).map(|h| h * (dims.max(2) - 1) / hidden).collect();
    let params = map.params_per_dim();
    // Output for dimension i may see hidden degrees up to i - 1: shift by one.
    let shifted: Vec<usize> = middle.iter().map(|d| d + 1).collect();
    let output: Vec<usize> = (0..dims * params).map(|o| o / params).collect();
    let mut stairs = vec![Staircase::from_degrees(&input, &middle)];
    stairs.push(Staircase::from_degrees(&middle, &middle));
    if residual {
        stairs.push(Staircase::from_degrees(&middle, &middle));
    }
    stairs.push(Staircase::from_degrees(&shifted, &output));
    let stairs: Vec<Arc<Staircase>> = stairs.into_iter().map(Arc::new).collect();
    let graph = graph(dims, &stairs, residual);
    let make = |(i, stairs): (usize, Arc<Staircase>)| {
        let scale = 1.5 / (stairs.inputs() as f64).sqrt();
        let mut weight: Vec<T> = noise(stairs.inputs() * stairs.outputs(), i as u64 + 40);
        weight.iter_mut().for_each(|w| *w = *w * T::from_f64(scale));
        stairs.clear_masked(&mut weight);
        (weight, noise(stairs.outputs(), i as u64 + 50), stairs)
    };
    let layers = stairs.into_iter().enumerate().map(make).collect();
    Net { dims, map, graph, layers, residual }
}

impl<T: Real> Net<T> {
    fn layer(&self, i: usize, activation: Activation) -> MaskedLinear<'_, T> {
        let (weight, bias, staircase) = &self.layers[i];
        MaskedLinear { weight, bias, staircase, activation }
    }

    fn weights(&self) -> Vec<[&[T]; 2]> {
        self.layers.iter().map(|(weight, bias, _)| [&weight[..], &bias[..]]).collect()
    }

    fn prepared(&self) -> MadeInverse<T> {
        MadeInverse::new(&self.graph, &self.weights(), Arc::clone(&self.map), self.dims)
    }

    /// Parameters by a full pass.
    fn params(&self, x: &[T], addend: Option<&[T]>) -> Vec<T> {
        let rows = x.len() / self.dims;
        let run = |i: usize, activation, input: &[T], addend: Option<&[T]>| {
            let mut out = vec![T::ZERO; rows * self.layers[i].2.outputs()];
            self.layer(i, activation).forward(input, addend, &mut out);
            out
        };
        if self.residual {
            let h = run(0, Activation::None, x, addend);
            let mut a = h.clone();
            activate(Activation::Elu, &mut a);
            let u = run(1, Activation::Elu, &a, None);
            let mut h = run(2, Activation::None, &u, Some(&h));
            activate(Activation::Relu, &mut h);
            run(3, Activation::None, &h, None)
        } else {
            let h = run(0, Activation::Relu, x, addend);
            let h = run(1, Activation::Tanh, &h, None);
            run(2, Activation::None, &h, None)
        }
    }

    fn invert(&self, z: &[T], params: &[T]) -> (Vec<T>, Vec<T>) {
        let (mut x, mut log) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
        self.map.inverse(z, params, &mut x, &mut log);
        (x, log)
    }
}

mod backward;

fn affine<T: Real>() -> Arc<dyn MapKernel<T>> {
    Arc::new(Affine { log_scale_max: 7.0 })
}

fn spline<T: Real>() -> Arc<dyn MapKernel<T>> {
    Arc::new(RationalQuadratic::new(5, 3.0))
}

fn equals_full_passes<T: Real>(
    dims: usize,
    hidden: usize,
    map: Arc<dyn MapKernel<T>>,
    residual: bool,
    limit: f64,
) {
    let net = net::<T>(dims, hidden, map, residual);
    for rows in [0, 1, 63, 130] {
        let z = noise::<T>(rows * dims, 3);
        let context = noise::<T>(rows * hidden, 4);
        let absent = noise::<T>(rows * dims, 5);
        for (addend, there) in [
            (None, None),
            (Some(&context[..]), None),
            (None, Some(&absent[..])),
            (Some(&context[..]), Some(&absent[..])),
        ] {
            let is_there = |i: usize| there.is_none_or(|there| there[i].to_f64() > 0.5);
            let pass = |x: &[T]| {
                let seen: Vec<T> =
                    (0..x.len()).map(|i| if is_there(i) { x[i] } else { T::ZERO }).collect();
                let (mut x, mut log) = net.invert(&z, &net.params(&seen, addend));
                for i in (0..x.len()).filter(|&i| !is_there(i)) {
                    (x[i], log[i]) = (z[i], T::ZERO);
                }
                (x, log)
            };
            let (x, log) = (0..dims).fold(pass(&vec![T::ZERO; z.len()]), |(x, _), _| pass(&x));
            let made = net.prepared();
            let mut addends = vec![None; net.graph.nodes().len()];
            addends[0] = addend;
            let (mut found, mut found_log) = (vec![T::ZERO; z.len()], vec![T::ZERO; z.len()]);
            made.run(&z, there, &addends, &mut found, &mut found_log);
            for i in 0..z.len() {
                let error =
                    (found[i] - x[i]).to_f64().abs() + (found_log[i] - log[i]).to_f64().abs();
                assert!(
                    error < limit,
                    "dims {dims}, rows {rows}, entry {i}: {} {}",
                    found[i],
                    x[i]
                );
                assert!(is_there(i) || found[i] == z[i]);
            }
        }
    }
}

#[test]
fn incremental_equals_full_passes() {
    for residual in [false, true] {
        for (dims, hidden) in [(1, 8), (2, 7), (6, 40), (17, 16), (9, 100)] {
            equals_full_passes::<f64>(dims, hidden, affine(), residual, 1e-9);
            equals_full_passes::<f64>(dims, hidden, spline(), residual, 1e-7);
            equals_full_passes::<f32>(dims, hidden, spline(), residual, 2e-2);
        }
    }
}

#[test]
fn d9_a_row_has_the_same_bits_in_any_chunk_and_on_any_instruction_set() {
    let net = net::<f32>(6, 40, spline(), true);
    let made = net.prepared();
    let z = noise::<f32>(200 * 6, 8);
    let run = |z: &[f32]| {
        let (mut x, mut log) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        made.run(z, None, &[None; 6], &mut x, &mut log);
        (x, log)
    };
    let all = at_each_level(|| {
        let whole = run(&z);
        for (start, end) in [(0, 1), (3, 70), (100, 165), (199, 200)] {
            let part = run(&z[start * 6..end * 6]);
            assert!(part.0 == whole.0[start * 6..end * 6] && part.1 == whole.1[start * 6..end * 6]);
        }
        whole
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn a_bad_row_spoils_itself_only() {
    let net = net::<f64>(4, 20, affine(), false);
    let made = net.prepared();
    let mut z = noise::<f64>(70 * 4, 8);
    let run = |z: &[f64]| {
        let (mut x, mut log) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        made.run(z, None, &[None; 3], &mut x, &mut log);
        x
    };
    let clean = run(&z);
    z[33 * 4 + 1] = f64::NAN;
    let bad = run(&z);
    for row in 0..70 {
        let same = clean[row * 4..][..4] == bad[row * 4..][..4];
        assert_eq!(same, row != 33);
    }
}

#[test]
#[should_panic(expected = "see that dimension")]
fn a_network_that_is_not_autoregressive_is_refused() {
    let staircase = Arc::new(Staircase::dense(3, 6));
    let node = Node::Linear { staircase, activation: Activation::None, input: 0, skip: None };
    let _ = MadeInverse::new(&Graph::new(3, vec![node]), &[[&[0.0; 18], &[0.0; 6]]], affine(), 3);
}

#[test]
#[should_panic(expected = "one weight and bias for each linear node")]
fn a_missing_weight_is_refused() {
    let net = net::<f64>(4, 20, affine(), false);
    let _ = MadeInverse::new(&net.graph, &net.weights()[..2], affine(), 4);
}

#[test]
#[should_panic(expected = "bias has the wrong length")]
fn a_bias_of_another_length_is_refused() {
    let net = net::<f64>(4, 20, affine(), false);
    let mut weights = net.weights();
    weights[1][1] = &weights[1][1][1..];
    let _ = MadeInverse::new(&net.graph, &weights, affine(), 4);
}

#[test]
#[should_panic(expected = "the network has the wrong number of outputs")]
fn a_map_that_needs_other_parameters_is_refused() {
    let net = net::<f64>(4, 20, affine(), false);
    let _ = MadeInverse::new(&net.graph, &net.weights(), spline(), 4);
}
