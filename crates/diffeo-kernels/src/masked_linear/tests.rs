//! The layer against plain loops in `f64`.

use super::*;
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 4] =
    [Activation::None, Activation::Relu, Activation::Tanh, Activation::Elu];

/// Numbers in `(-1, 1)` that depend on the seed only.
fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..n).map(step).collect()
}

struct Case {
    n: usize,
    stairs: Staircase,
    x: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    addend: Vec<f64>,
}

fn case(n: usize, inputs: usize, prefix: Vec<usize>, seed: u64) -> Case {
    let outputs = prefix.len();
    let stairs = Staircase::new(inputs, prefix);
    let mut weight = noise(inputs * outputs, seed + 1);
    stairs.clear_masked(&mut weight);
    Case {
        n,
        x: noise(n * inputs, seed),
        weight,
        bias: noise(outputs, seed + 2),
        addend: noise(n * outputs, seed + 3),
        stairs,
    }
}

impl Case {
    fn twin(&self, activation: Activation) -> Vec<f64> {
        let (inputs, outputs) = (self.stairs.inputs(), self.stairs.outputs());
        let entry = |i: usize, j: usize| {
            let sum = (0..self.stairs.prefix()[j])
                .map(|k| self.x[i * inputs + k] * self.weight[k * outputs + j])
                .sum::<f64>();
            activation.apply(sum + self.bias[j] + self.addend[i * outputs + j])
        };
        (0..self.n * outputs).map(|at| entry(at / outputs, at % outputs)).collect()
    }

    fn layer(&self, activation: Activation) -> MaskedLinear<'_, f64> {
        MaskedLinear { weight: &self.weight, bias: &self.bias, staircase: &self.stairs, activation }
    }

    fn loss(&self, activation: Activation, seed: u64) -> f64 {
        let out = self.twin(activation);
        out.iter().zip(noise(out.len(), seed)).map(|(o, g)| o * g).sum()
    }
}

fn close(found: &[f64], expected: &[f64], limit: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= limit * (1.0 + e.abs()), "entry {i}: found {f}, expected {e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn forward_equals_a_plain_loop(
        n in 0usize..40, inputs in 1usize..70, mut prefix in prop::collection::vec(0usize..70, 1..90), seed in 0u64..1000,
    ) {
        prefix.iter_mut().for_each(|p| *p = (*p).min(inputs));
        prefix.sort_unstable();
        let case = case(n, inputs, prefix, seed);
        for activation in ACTIVATIONS {
            let mut out = vec![f64::NAN; n * case.stairs.outputs()];
            case.layer(activation).forward(&case.x, Some(&case.addend), &mut out);
            close(&out, &case.twin(activation), 1e-12);
        }
    }

    #[test]
    fn backward_equals_plain_sums(
        n in 0usize..30, inputs in 1usize..40, mut prefix in prop::collection::vec(0usize..40, 1..60), seed in 0u64..1000,
    ) {
        prefix.iter_mut().for_each(|p| *p = (*p).min(inputs));
        prefix.sort_unstable();
        let outputs = prefix.len();
        let case = case(n, inputs, prefix, seed);
        let output = case.twin(Activation::Tanh);
        let upstream = noise(n * outputs, seed + 9);
        let pre: Vec<f64> = upstream.iter().zip(&output).map(|(g, y)| g * (1.0 - y * y)).collect();
        let mut grad = upstream.clone();
        let (mut gx, mut gw, mut gb) =
            (vec![f64::NAN; n * inputs], vec![f64::NAN; inputs * outputs], vec![f64::NAN; outputs]);
        case.stairs.clear_masked(&mut gw);
        case.layer(Activation::Tanh).backward(
            &case.x, &output, &mut grad,
            LinearGradients { x: Some(&mut gx), weight: &mut gw, bias: &mut gb },
        );
        close(&grad, &pre, 1e-12);
        let bias: Vec<f64> = (0..outputs).map(|j| (0..n).map(|i| pre[i * outputs + j]).sum()).collect();
        close(&gb, &bias, 1e-12);
        let x: Vec<f64> = (0..n * inputs).map(|at| (0..outputs)
            .map(|j| pre[at / inputs * outputs + j] * case.weight[at % inputs * outputs + j]).sum()).collect();
        close(&gx, &x, 1e-12);
        for k in 0..inputs {
            for j in 0..outputs {
                let seen = k < case.stairs.prefix()[j];
                let sum: f64 = (0..n).map(|i| case.x[i * inputs + k] * pre[i * outputs + j]).sum();
                let found = gw[k * outputs + j];
                if seen { prop_assert!((found - sum).abs() < 1e-12) } else { prop_assert!(found == 0.0) }
            }
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let mut case = case(5, 4, vec![0, 1, 1, 3, 4], 5);
    for activation in [Activation::Tanh, Activation::Elu] {
        let output = case.twin(activation);
        let mut grad = noise(output.len(), 77);
        let (mut gx, mut gw, mut gb) = (vec![0.0; 20], vec![0.0; 20], vec![0.0; 5]);
        let to = LinearGradients { x: Some(&mut gx), weight: &mut gw, bias: &mut gb };
        case.layer(activation).backward(&case.x, &output, &mut grad, to);
        let h = 1e-6;
        for (at, &expected) in gx.iter().enumerate() {
            let kept = case.x[at];
            case.x[at] = kept + h;
            let up = case.loss(activation, 77);
            case.x[at] = kept - h;
            let down = case.loss(activation, 77);
            case.x[at] = kept;
            assert!(((up - down) / (2.0 * h) - expected).abs() < 1e-7);
        }
    }
}

/// The bits of a row must not change with the number of rows around it, nor its place among them.
fn rows_stand_alone<T: Real>(inputs: usize, prefix: Vec<usize>) {
    let outputs = prefix.len();
    let n = 300;
    let case = case(n, inputs, prefix, 3);
    let cast = |v: &[f64]| v.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>();
    let (x, weight, bias) = (cast(&case.x), cast(&case.weight), cast(&case.bias));
    let layer = MaskedLinear {
        weight: &weight,
        bias: &bias,
        staircase: &case.stairs,
        activation: Activation::Relu,
    };
    let mut whole = vec![T::ZERO; n * outputs];
    layer.forward(&x, None, &mut whole);
    for (start, length) in [(0, 1), (7, 1), (3, 2), (5, 3), (11, 7), (64, 64), (1, 65), (40, 200)] {
        let mut part = vec![T::ZERO; length * outputs];
        layer.forward(&x[start * inputs..(start + length) * inputs], None, &mut part);
        assert!(
            part == whole[start * outputs..(start + length) * outputs],
            "{inputs} inputs, {outputs} outputs: rows {start}..{} differ",
            start + length
        );
    }
}

#[test]
fn a_row_has_the_same_bits_in_any_chunk() {
    let stairs =
        |inputs: usize, outputs: usize| (0..outputs).map(|j| (j + 1) * inputs / outputs).collect();
    for (inputs, outputs) in [
        (1, 1),
        (1, 5),
        (2, 6),
        (3, 1),
        (3, 2),
        (6, 16),
        (9, 15),
        (40, 64),
        (64, 17),
        (130, 90),
        (700, 33),
        (1100, 65),
    ] {
        rows_stand_alone::<f32>(inputs, stairs(inputs, outputs));
        rows_stand_alone::<f64>(inputs, stairs(inputs, outputs));
        rows_stand_alone::<f32>(inputs, vec![inputs; outputs]);
        rows_stand_alone::<f64>(inputs, vec![inputs; outputs]);
    }
}

#[test]
fn a_bad_row_spoils_itself_only() {
    let case = case(9, 8, vec![1, 2, 3, 5, 8, 8], 1);
    let mut x = case.x.clone();
    let mut clean = vec![0.0; 54];
    case.layer(Activation::Relu).forward(&x, None, &mut clean);
    x[4 * 8 + 7] = f64::NAN;
    let mut out = vec![0.0; 54];
    case.layer(Activation::Relu).forward(&x, None, &mut out);
    for (i, (a, b)) in clean.chunks(6).zip(out.chunks(6)).enumerate() {
        if i == 4 { assert!(b[5].is_nan()) } else { assert_eq!(a, b) }
    }
}
