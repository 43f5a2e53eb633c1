//! Micro-benchmarks of the kernels: `cargo bench -p diffeo-kernels`, or with a filter, `cargo bench -p diffeo-kernels -- spline`.
//!
//! Shapes are those of `docs/performance.md`: 512 rows, hidden layers of 512 units, 8 bins. All in `f32` on one thread.

use std::sync::Arc;

use diffeo_kernels::{
    Activation, AdamW, Affine, Aligned, ArgumentGradients, Graph, LinearGradients, LinearScratch,
    MadeInverse, MadeInverseBackward, MapGradients, MapKernel, MaskedLinear, Moments, Node,
    RationalQuadratic, Staircase, TILE_ROWS, TiledLinear, normal_log_prob, pack_weight, vecmath,
};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const ROWS: usize = 512;
const HIDDEN: usize = 512;
const DIMS: usize = 43;

fn main() {
    divan::main();
}

/// Numbers between -1 and 1 without a pattern that a branch predictor would learn.
fn numbers(n: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(next).collect()
}

/// The hidden layer of a MADE for [`DIMS`] dimensions, or the same without a mask.
fn staircase(masked: bool) -> Staircase {
    let degrees: Vec<usize> = (0..HIDDEN).map(|i| i * (DIMS - 1) / HIDDEN).collect();
    if masked {
        Staircase::from_degrees(&degrees, &degrees)
    } else {
        Staircase::dense(HIDDEN, HIDDEN)
    }
}

fn weights(staircase: &Staircase) -> Vec<f32> {
    let mut weight = numbers(staircase.inputs() * staircase.outputs());
    staircase.clear_masked(&mut weight);
    weight
}

#[divan::bench(args = [true, false])]
fn masked_linear_forward(bencher: Bencher, masked: bool) {
    let staircase = staircase(masked);
    let (weight, bias, x) = (weights(&staircase), numbers(HIDDEN), numbers(ROWS * HIDDEN));
    let layer = MaskedLinear {
        weight: &weight,
        bias: &bias,
        staircase: &staircase,
        activation: Activation::Relu,
    };
    let mut out = vec![0.0; ROWS * HIDDEN];
    bencher
        .counter(ItemsCount::new(2 * ROWS * staircase.weights()))
        .bench_local(|| layer.forward(black_box(&x), None, &mut out));
}

/// An array at the beginning of a cache line, as tiles are kept.
fn aligned(values: Vec<f32>) -> Aligned<f32> {
    let mut array = Aligned::zeros(values.len());
    array.copy_from_slice(&values);
    array
}

/// Rows of a shard of a training step.
const SHARD: usize = 256;

#[divan::bench(args = [true, false])]
fn tiled_linear_forward(bencher: Bencher, masked: bool) {
    let staircase = staircase(masked);
    let (weight, bias) = (weights(&staircase), numbers(HIDDEN));
    let x = aligned(numbers(SHARD * HIDDEN));
    let activation = Activation::Relu;
    let (mut packed, mut out) = (Aligned::default(), Aligned::zeros(SHARD * HIDDEN));
    pack_weight(&weight, &staircase, &mut packed);
    let input = Activation::Relu;
    let layer =
        TiledLinear { packed: &packed, bias: &bias, staircase: &staircase, activation, input };
    bencher
        .counter(ItemsCount::new(2 * SHARD * staircase.weights()))
        .bench_local(|| layer.forward(black_box(&x), None, &mut out));
}

/// Gradients of weights and bias, and if `of_input` also that of the input.
#[divan::bench(args = [(true, true), (true, false), (false, true), (false, false)])]
fn tiled_linear_backward(bencher: Bencher, (masked, of_input): (bool, bool)) {
    let staircase = staircase(masked);
    let (weight, bias) = (weights(&staircase), numbers(HIDDEN));
    let x = aligned(numbers(SHARD * HIDDEN));
    let activation = Activation::Relu;
    let mut packed = Aligned::default();
    pack_weight(&weight, &staircase, &mut packed);
    let input = Activation::Relu;
    let layer =
        TiledLinear { packed: &packed, bias: &bias, staircase: &staircase, activation, input };
    let (output, mut grad) = (x.clone(), x.clone());
    let (mut to_x, mut to_weight, mut to_bias) =
        (x.clone(), aligned(weight.clone()), vec![0.0; HIDDEN]);
    let mut scratch = LinearScratch::default();
    let products = if of_input { 4 } else { 2 };
    bencher.counter(ItemsCount::new(products * SHARD * staircase.weights())).bench_local(|| {
        let to_x = of_input.then_some(&mut to_x[..]);
        let to = LinearGradients { x: to_x, weight: &mut to_weight, bias: &mut to_bias };
        layer.backward(black_box(&x), &output, &mut grad, to, &mut scratch);
    });
}

#[divan::bench(args = [true, false])]
fn masked_linear_backward(bencher: Bencher, masked: bool) {
    let staircase = staircase(masked);
    let (weight, bias, x) = (weights(&staircase), numbers(HIDDEN), numbers(ROWS * HIDDEN));
    let layer = MaskedLinear {
        weight: &weight,
        bias: &bias,
        staircase: &staircase,
        activation: Activation::Relu,
    };
    let (output, mut grad) = (numbers(ROWS * HIDDEN), numbers(ROWS * HIDDEN));
    let (mut to_x, mut to_weight, mut to_bias) = (x.clone(), weight.clone(), vec![0.0; HIDDEN]);
    bencher.counter(ItemsCount::new(4 * ROWS * staircase.weights())).bench_local(|| {
        let to = LinearGradients { x: Some(&mut to_x), weight: &mut to_weight, bias: &mut to_bias };
        layer.backward(black_box(&x), &output, &mut grad, to);
    });
}

fn map_of(name: &str) -> Arc<dyn MapKernel<f32>> {
    match name {
        "spline" => Arc::new(RationalQuadratic::new(8, 5.0)),
        _ => Arc::new(Affine { log_scale_max: 7.0 }),
    }
}

#[divan::bench(args = ["affine", "spline"])]
fn map_forward(bencher: Bencher, name: &str) {
    let map = map_of(name);
    let n = ROWS * DIMS;
    let (x, params) = (numbers(n), numbers(n * map.params_per_dim()));
    let (mut value, mut log_slope) = (vec![0.0; n], vec![0.0; n]);
    bencher
        .counter(ItemsCount::new(n))
        .bench_local(|| map.forward(black_box(&x), &params, &mut value, &mut log_slope));
}

#[divan::bench(args = ["affine", "spline"])]
fn map_backward(bencher: Bencher, name: &str) {
    let map = map_of(name);
    let n = ROWS * DIMS;
    let (x, params, grad) = (numbers(n), numbers(n * map.params_per_dim()), numbers(n));
    let (mut to_x, mut to_params) = (vec![0.0; n], vec![0.0; params.len()]);
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        let from = MapGradients { value: &grad, log_slope: &grad };
        let to = ArgumentGradients { input: &mut to_x, params: &mut to_params };
        map.forward_backward(black_box(&x), &params, from, to);
    });
}

#[divan::bench(args = ["affine", "spline"])]
fn map_inverse(bencher: Bencher, name: &str) {
    let map = map_of(name);
    let n = ROWS * DIMS;
    let (z, params) = (numbers(n), numbers(n * map.params_per_dim()));
    let (mut value, mut log_slope) = (vec![0.0; n], vec![0.0; n]);
    bencher
        .counter(ItemsCount::new(n))
        .bench_local(|| map.inverse(black_box(&z), &params, &mut value, &mut log_slope));
}

/// The same in tile layout, a call for each tile of rows; so few that their parameters stay in the second
/// cache, where a network has just left them.
#[divan::bench(args = ["affine", "spline"])]
fn map_forward_tile(bencher: Bencher, name: &str) {
    let map = map_of(name);
    let (tile, width) = (TILE_ROWS * DIMS, map.params_per_dim());
    let n = 2 * tile;
    let (x, params) = (numbers(n), numbers(n * width));
    let (mut value, mut log_slope) = (vec![0.0; n], vec![0.0; n]);
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        let out = value.chunks_exact_mut(tile).zip(log_slope.chunks_exact_mut(tile));
        let at = x.chunks_exact(tile).zip(params.chunks_exact(tile * width));
        for ((x, params), (value, log_slope)) in at.zip(out) {
            map.forward_tile(black_box(x), params, value, log_slope);
        }
    });
}

#[divan::bench(args = ["affine", "spline"])]
fn map_backward_tile(bencher: Bencher, name: &str) {
    let map = map_of(name);
    let (tile, width) = (TILE_ROWS * DIMS, map.params_per_dim());
    let n = 2 * tile;
    let (x, params, grad) = (numbers(n), numbers(n * width), numbers(n));
    let (mut to_x, mut to_params) = (vec![0.0; n], vec![0.0; params.len()]);
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        let to = to_x.chunks_exact_mut(tile).zip(to_params.chunks_exact_mut(tile * width));
        let at = x.chunks_exact(tile).zip(params.chunks_exact(tile * width));
        for (((x, params), grad), (input, params_grad)) in at.zip(grad.chunks_exact(tile)).zip(to) {
            let from = MapGradients { value: grad, log_slope: grad };
            let to = ArgumentGradients { input, params: params_grad };
            map.forward_backward_tile(black_box(x), params, from, to);
        }
    });
}

/// One layer of the table's largest model.
struct Made {
    map: Arc<dyn MapKernel<f32>>,
    graph: Graph,
    weights: Vec<[Vec<f32>; 2]>,
}

impl Made {
    fn new(name: &str) -> Self {
        let map = map_of(name);
        let inputs: Vec<usize> = (1..=DIMS).collect();
        let hidden: Vec<usize> = (0..HIDDEN).map(|i| 1 + i * (DIMS - 1) / HIDDEN).collect();
        let outputs: Vec<usize> =
            (0..DIMS * map.params_per_dim()).map(|j| j / map.params_per_dim()).collect();
        let stairs = [
            Staircase::from_degrees(&inputs, &hidden),
            Staircase::from_degrees(&hidden, &hidden),
            Staircase::from_degrees(&hidden, &outputs),
        ];
        let node = |(input, stairs)| Node::Linear {
            staircase: Arc::new(stairs),
            activation: if input < 2 { Activation::Relu } else { Activation::None },
            input,
            skip: None,
        };
        let graph = Graph::new(DIMS, stairs.into_iter().enumerate().map(node).collect());
        let both = |stairs: &Arc<Staircase>| {
            [weights(stairs).iter().map(|w| 0.05 * w).collect(), vec![0.0; stairs.outputs()]]
        };
        let weights = graph.staircases().map(both).collect();
        Self { map, graph, weights }
    }

    fn weights(&self) -> Vec<[&[f32]; 2]> {
        self.weights.iter().map(|both| both.each_ref().map(Vec::as_slice)).collect()
    }

    /// Operations of one pass.
    fn work(&self) -> usize {
        2 * ROWS * self.graph.staircases().map(|stairs| stairs.weights()).sum::<usize>()
    }
}

/// From base to data.
#[divan::bench(args = ["affine", "spline"])]
fn made_inverse(bencher: Bencher, name: &str) {
    let made = Made::new(name);
    let inverse = MadeInverse::new(&made.graph, &made.weights(), made.map.clone(), DIMS);
    let z = numbers(ROWS * DIMS);
    let (mut x, mut log_slope) = (vec![0.0; z.len()], vec![0.0; z.len()]);
    bencher
        .counter(ItemsCount::new(made.work()))
        .bench_local(|| inverse.run(black_box(&z), None, &[None; 3], &mut x, &mut log_slope));
}

/// Back again: the values of the network, the reverse sweep and, if wanted, the gradients by weights.
#[divan::bench(args = [("affine", false), ("affine", true), ("spline", false), ("spline", true)])]
fn made_inverse_backward(bencher: Bencher, (name, by_weights): (&str, bool)) {
    let made = Made::new(name);
    let backward = MadeInverseBackward::new(&made.graph, &made.weights(), made.map.clone(), DIMS);
    let x = numbers(ROWS * DIMS);
    let total = made.weights.iter().flatten().map(Vec::len).sum();
    let mut weights = vec![0.0; total];
    let passes = if by_weights { 3 } else { 2 };
    bencher.counter(ItemsCount::new(passes * made.work())).bench_local(|| {
        let from = MapGradients { value: &x, log_slope: &x };
        let to = by_weights.then_some(&mut weights[..]);
        backward.run(black_box(&x), &[None; 3], from, to)
    });
}

#[divan::bench]
fn base_log_density(bencher: Bencher) {
    let z = numbers(ROWS * DIMS);
    let mut log_prob = vec![0.0; ROWS];
    bencher
        .counter(ItemsCount::new(z.len()))
        .bench_local(|| normal_log_prob(black_box(&z), &mut log_prob));
}

#[divan::bench]
fn optimizer_step(bencher: Bencher) {
    let n = 1 << 20;
    let (gradient, mut weights) = (numbers(n), numbers(n));
    let (mut first, mut second) = (vec![0.0f32; n], vec![0.0f32; n]);
    let rule =
        AdamW { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-4 };
    bencher.counter(ItemsCount::new(n)).bench_local(|| {
        let moments = Moments { first: &mut first, second: &mut second };
        rule.at(10, 1.0).apply(black_box(&gradient), &mut weights, moments);
    });
}

#[divan::bench(args = ["exp", "ln", "tanh", "softplus"])]
fn vector_functions(bencher: Bencher, name: &str) {
    let values: Vec<f32> = numbers(1 << 14).iter().map(|v| v.abs() + 0.1).collect();
    let function: fn(&mut [f32]) = match name {
        "exp" => vecmath::exp,
        "ln" => vecmath::ln,
        "tanh" => vecmath::tanh,
        _ => vecmath::softplus,
    };
    bencher
        .counter(ItemsCount::new(values.len()))
        .with_inputs(|| values.clone())
        .bench_local_values(|mut values| {
            function(&mut values);
            values
        });
}
