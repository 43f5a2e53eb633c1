//! The layer on tiles against [`MaskedLinear`], which is tested against plain loops.

use super::*;
use crate::dispatch::tests::at_each_level;
use crate::tiles::{tile_count, to_tiles};
use crate::{MaskedLinear, Staircase};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 4] =
    [Activation::None, Activation::Relu, Activation::Tanh, Activation::Elu];

fn noise(n: usize, seed: u64) -> Vec<f64> {
    (0..n).map(|i| ((i as f64 + 0.5) * (1.7 + seed as f64 * 0.013)).sin()).collect()
}

fn tiled(rows: &[f64], width: usize) -> Vec<f64> {
    let n = rows.len().checked_div(width).unwrap_or(0);
    let mut tiles = vec![0.0; tile_count(n) * width * TILE_ROWS];
    to_tiles(rows, width, &mut tiles);
    tiles
}

/// As [`tiled`], but the rows that fill up the last tile are zero.
fn tiled_gradient(rows: &[f64], width: usize) -> Vec<f64> {
    let mut tiles = tiled(rows, width);
    let n = rows.len().checked_div(width).unwrap_or(0);
    for (at, v) in tiles.iter_mut().enumerate() {
        if at / (width * TILE_ROWS) * TILE_ROWS + at % TILE_ROWS >= n {
            *v = 0.0;
        }
    }
    tiles
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f - e).abs() <= 1e-12 * (1.0 + e.abs()), "entry {i}: found {f}, expected {e}");
    }
}

struct Case {
    stairs: Staircase,
    weight: Vec<f64>,
    packed: Aligned<f64>,
    bias: Vec<f64>,
    activation: Activation,
    input: Activation,
}

impl Case {
    fn new(inputs: usize, prefix: Vec<usize>, activation: Activation) -> Self {
        let stairs = Staircase::new(inputs, prefix);
        let mut weight = noise(inputs * stairs.outputs(), 1);
        stairs.clear_masked(&mut weight);
        let (mut packed, bias) = (Aligned::default(), noise(stairs.outputs(), 2));
        pack_weight(&weight, &stairs, &mut packed);
        Self { weight, packed, bias, stairs, activation, input: Activation::None }
    }

    fn layer(&self) -> TiledLinear<'_, f64> {
        TiledLinear {
            packed: &self.packed,
            bias: &self.bias,
            staircase: &self.stairs,
            activation: self.activation,
            input: self.input,
        }
    }

    fn forward(&self, x: &[f64], addend: Option<&[f64]>) -> Vec<f64> {
        let (inputs, outputs) = (self.stairs.inputs(), self.stairs.outputs());
        let mut out = vec![f64::NAN; x.len() / inputs * outputs];
        self.layer().forward(x, addend, &mut out);
        out
    }

    fn rowwise(&self) -> MaskedLinear<'_, f64> {
        MaskedLinear {
            weight: &self.weight,
            bias: &self.bias,
            staircase: &self.stairs,
            activation: self.activation,
        }
    }
}

fn shapes() -> impl Strategy<Value = (usize, usize, Vec<usize>)> {
    (1usize..80, 1usize..70, prop::collection::vec(0usize..70, 1..90)).prop_map(
        |(n, inputs, mut prefix)| {
            prefix.iter_mut().for_each(|p| *p = (*p).min(inputs));
            prefix.sort_unstable();
            (n, inputs, prefix)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn both_passes_equal_those_of_rows((n, inputs, prefix) in shapes(), which in 0usize..4, before in 0usize..4, with_addend in any::<bool>()) {
        let mut case = Case::new(inputs, prefix, ACTIVATIONS[which]);
        case.input = ACTIVATIONS[before];
        let outputs = case.stairs.outputs();
        let (mut x, addend) = (noise(n * inputs, 3), noise(n * outputs, 4));
        activate(case.input, &mut x);
        let mut expected = vec![0.0; n * outputs];
        case.rowwise().forward(&x, with_addend.then_some(&addend[..]), &mut expected);
        let (x_tiles, addend_tiles) = (tiled(&x, inputs), tiled(&addend, outputs));
        let out = case.forward(&x_tiles, with_addend.then_some(&addend_tiles[..]));
        close(&out, &tiled(&expected, outputs));

        let upstream = noise(n * outputs, 5);
        let mut grad = upstream.clone();
        let (mut by_x, mut by_weight, mut by_bias) =
            (vec![f64::NAN; n * inputs], vec![0.0; inputs * outputs], vec![f64::NAN; outputs]);
        let to = LinearGradients { x: Some(&mut by_x), weight: &mut by_weight, bias: &mut by_bias };
        case.rowwise().backward(&x, &expected, &mut grad, to);
        activate_backward(case.input, &x, &mut by_x);

        let mut grad_tiles = tiled_gradient(&upstream, outputs);
        let (mut x_found, mut weight_found, mut bias_found) =
            (vec![f64::NAN; x_tiles.len()], vec![0.0; inputs * outputs], vec![f64::NAN; outputs]);
        let to = LinearGradients {
            x: Some(&mut x_found), weight: &mut weight_found, bias: &mut bias_found,
        };
        case.layer().backward(&x_tiles, &out, &mut grad_tiles, to, &mut LinearScratch::default());
        close(&grad_tiles, &tiled_gradient(&grad, outputs));
        close(&weight_found, &by_weight);
        close(&bias_found, &by_bias);
        close(&x_found, &tiled_gradient(&by_x, inputs));
        let mut masked = weight_found.clone();
        case.stairs.clear_masked(&mut masked);
        prop_assert_eq!(masked, weight_found);
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_is_beside_it((n, inputs, prefix) in shapes()) {
        let case = Case::new(inputs, prefix, Activation::Tanh);
        let outputs = case.stairs.outputs();
        let x = noise(n * inputs, 3);
        let all = case.forward(&tiled(&x, inputs), None);
        let last = case.forward(&tiled(&x[(n - 1) * inputs..], inputs), None);
        for j in 0..outputs {
            let at = ((n - 1) / TILE_ROWS * outputs + j) * TILE_ROWS + (n - 1) % TILE_ROWS;
            prop_assert_eq!(all[at].to_bits(), last[j * TILE_ROWS].to_bits());
        }
    }
}

#[test]
fn d9_bits_do_not_depend_on_the_instruction_set() {
    let case = Case::new(50, (0..70).map(|j| j * 50 / 70).collect(), Activation::Elu);
    let x = tiled(&noise(40 * 50, 3), 50);
    let all = at_each_level(|| {
        let out = case.forward(&x, None);
        let mut grad = tiled_gradient(&noise(40 * 70, 6), 70);
        let (mut by_x, mut weight, mut bias) =
            (vec![0.0; x.len()], vec![0.0; 50 * 70], vec![0.0; 70]);
        let to = LinearGradients { x: Some(&mut by_x), weight: &mut weight, bias: &mut bias };
        case.layer().backward(&x, &out, &mut grad, to, &mut LinearScratch::default());
        (out, by_x, weight, bias)
    });
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn layers_without_rows_inputs_or_outputs() {
    let case = Case::new(3, vec![0, 2], Activation::Relu);
    assert!(case.forward(&[], None).is_empty());
    let none = Case::new(3, vec![], Activation::None);
    none.layer().forward(&[0.0; 3 * TILE_ROWS], None, &mut []);
    let wide = Case::new(13, vec![13; 2], Activation::None);
    let (mut weight, mut bias) = (vec![f64::NAN; 26], vec![f64::NAN; 2]);
    let to = LinearGradients { x: Some(&mut []), weight: &mut weight, bias: &mut bias };
    wide.layer().backward(&[], &[], &mut [], to, &mut LinearScratch::default());
    assert!(weight.iter().chain(&bias).all(|v| *v == 0.0));
}
