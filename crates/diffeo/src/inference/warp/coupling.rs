//! An affine coupling that carries gradients of log-densities along.

use burn::tensor::{DType, Device, Tensor};

use crate::error::Result;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, permutation};
use crate::parameter::{Init, Parameter, Trainable, Visitor};

/// No log-scale of a layer is larger.
const LOG_SCALE_MAX: f64 = 16.0;
/// The share of the hidden units that are linear, so that what grows with a number goes on growing where no point has been: the neck of a funnel, a tail.
const LINEAR: usize = 4;

/// The weights of a coupling, for training: `t` and `s` of the half of the numbers that moves are a network with one hidden layer of the other half.
///
/// `x = z e^s + t` with `s = 16 bound(r / 16)`, `r = h S + b_s`, `t = h T + b_t`, where `h` is `z W + b`, or its `tanh`; masks keep halves apart. `bound(u) = u / (1 + u^4)^(1/4)` stays below 1 and is
/// `u` itself, to a thousandth, up to a quarter: a log-scale that is linear in a number remains so in the neck of a funnel.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    /// `[1, d]`: 1 for the numbers that move.
    moves: Tensor<2>,
    /// `[1, hidden]`: 1 for the units that bend, 0 for those that are linear.
    bends: Tensor<2>,
    parameters: [Parameter; 6],
}

const NAMES: [&str; 6] = ["hidden", "hidden_bias", "scale", "scale_bias", "shift", "shift_bias"];

impl Trainable for Weights {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        NAMES.iter().zip(&mut self.parameters).for_each(|(name, p)| visitor(name, p));
    }
}

impl Weights {
    /// How many couplings a warp of so many numbers has: at least so many, and so that each number moves once while any other one stays.
    pub(super) fn layers(d: usize, least: u64) -> u64 {
        least.next_multiple_of(2 * digits(d))
    }

    /// The identity, with a random hidden layer. Numbers are put in a random order; of each two layers one moves those whose place has a binary digit that is 1, the other those
    /// where it is 0. Each two layers take another digit, and after the last one another order.
    pub(super) fn start(d: usize, hidden: usize, layer: u64, dtype: DType) -> Self {
        let mut init = Init::new(layer, dtype, Device::flex());
        let (round, digit) = (layer / 2 / digits(d), layer / 2 % digits(d));
        let order = permutation(&mut Streams::new(round).rng(Purpose::Permutation, 1, 0), d as u32);
        let mut moves = vec![0.0; d];
        for (place, column) in order.into_iter().enumerate() {
            let moves_now = (place >> digit & 1 == 1) == layer.is_multiple_of(2);
            moves[column as usize] = f64::from(u8::from(moves_now));
        }
        let stays: Vec<f64> = moves.iter().map(|m| 1.0 - m).collect();
        let bound = (6.0 / (d + hidden) as f64).sqrt();
        let spread = |row: &[f64], columns: usize, by_row: bool| -> Vec<f64> {
            match by_row {
                true => row.iter().flat_map(|v| vec![*v; columns]).collect(),
                false => row.repeat(columns),
            }
        };
        let masked = |value: Tensor<2>, mask: Vec<f64>, decay| {
            let shape = value.dims();
            let mask = Init::new(0, dtype, Device::flex()).values(shape, mask);
            Parameter { value: value * mask.clone(), mask: Some(mask), decay }
        };
        let first = init.uniform([d, hidden], bound);
        let zeros = |rows| init.full([rows, d], 0.0);
        let parameters = [
            masked(first, spread(&stays, hidden, true), true),
            Parameter::new(init.full([1, hidden], 0.0)),
            masked(zeros(hidden), spread(&moves, hidden, false), true),
            masked(zeros(1), moves.clone(), false),
            masked(zeros(hidden), spread(&moves, hidden, false), true),
            masked(zeros(1), moves.clone(), false),
        ];
        let bends = (0..hidden).map(|unit| f64::from(u8::from(bends(unit, hidden)))).collect();
        Self {
            moves: init.values([1, d], moves),
            bends: init.values([1, hidden], bends),
            parameters,
        }
    }

    /// Points and gradients a layer nearer to the base.
    pub(super) fn to_base(&self, x: Tensor<2>, gradient: Tensor<2>) -> [Tensor<2>; 2] {
        let [hidden, hidden_bias, scale, scale_bias, shift, shift_bias] = &self.parameters;
        let w = hidden.masked();
        let h = x.clone().matmul(w.clone()) + hidden_bias.value.clone();
        let bent = h.clone().tanh();
        let h = h.clone() + (bent.clone() - h) * self.bends.clone();
        let slope = (bent.square() * self.bends.clone()).neg().add_scalar(1.0);
        let free = (h.clone().matmul(scale.masked()) + scale_bias.masked())
            .mul_scalar(1.0 / LOG_SCALE_MAX);
        let over = free.clone().square().square().add_scalar(1.0);
        let bounded = free * over.clone().powf_scalar(-0.25);
        let size = bounded.clone().mul_scalar(LOG_SCALE_MAX).exp();
        let away = x - (h.clone().matmul(shift.masked()) + shift_bias.masked());
        let z = away.clone() / size.clone();
        // By r the derivative of ln p + s is (g (x - t) + 1) ds/dr.
        let by_scale = (gradient.clone() * away).add_scalar(1.0)
            * over.powf_scalar(-1.25)
            * self.moves.clone();
        let by_shift = gradient.clone() * self.moves.clone();
        let by_hidden = by_scale.matmul(scale.masked().transpose())
            + by_shift.matmul(shift.masked().transpose());
        let by_input = (by_hidden * slope).matmul(w.transpose());
        [z, gradient * size + by_input]
    }

    /// Changes every weight, for tests.
    #[cfg(test)]
    pub(super) fn for_each(&mut self, mut change: impl FnMut(usize, &mut f64)) {
        let mut at = 0;
        self.visit(&mut |_, p| {
            let mut values = host_values(p.value.clone()).unwrap();
            values.iter_mut().for_each(|v| {
                change(at, v);
                at += 1;
            });
            let init = Init::new(0, DType::F64, Device::flex());
            p.value = init.values(p.value.dims(), values);
            p.value = p.masked();
        });
    }
}

/// `u / (1 + u^4)^(1/4)`.
fn bound(u: f64) -> f64 {
    u / (1.0 + u.powi(4)).sqrt().sqrt()
}

/// Its slope where it has a value.
fn slope_of_bound(value: f64) -> f64 {
    (1.0 - value.powi(4)).max(0.0).powf(1.25)
}

/// Whether a hidden unit is bent by `tanh`.
fn bends(unit: usize, hidden: usize) -> bool {
    unit >= hidden / LINEAR
}

/// Binary digits of the places of so many numbers.
fn digits(d: usize) -> u64 {
    u64::from(d.max(2).next_power_of_two().ilog2())
}

/// The same on plain numbers, point by point.
#[derive(Clone, Debug)]
pub(super) struct Coupling {
    /// Numbers that stay, and that move.
    stays: Vec<usize>,
    moves: Vec<usize>,
    /// Row after row a hidden unit: its weights of the numbers that stay, and its bias.
    hidden: Vec<f64>,
    bias: Vec<f64>,
    /// Row after row a number that moves: its weights of the hidden units.
    scale: Vec<f64>,
    scale_bias: Vec<f64>,
    shift: Vec<f64>,
    shift_bias: Vec<f64>,
}

/// What a layer found at a point.
#[derive(Clone, Debug)]
pub(in crate::inference) struct Passed {
    hidden: Vec<f64>,
    /// `s / 16`.
    bounded: Vec<f64>,
    /// `z e^s` of the numbers that move.
    away: Vec<f64>,
}

impl Coupling {
    /// The weights of now.
    ///
    /// # Errors
    /// If they cannot be read from the device.
    pub(super) fn new(weights: &Weights) -> Result<Self> {
        let is_moving = host_values(weights.moves.clone())?;
        let d = is_moving.len();
        let (stays, moves): (Vec<usize>, Vec<usize>) = (0..d).partition(|j| is_moving[*j] == 0.0);
        let [hidden, bias, scale, scale_bias, shift, shift_bias] = &weights.parameters;
        let of = |parameter: &Parameter| host_values(parameter.masked());
        let (hidden, bias) = (of(hidden)?, of(bias)?);
        let n = bias.len();
        let columns = |of: &[f64], which: &[usize]| -> Vec<f64> {
            which
                .iter()
                .flat_map(|j| (0..n).map(move |k| (k, *j)))
                .map(|(k, j)| of[k * d + j])
                .collect()
        };
        let pick = |of: &[f64]| moves.iter().map(|j| of[*j]).collect::<Vec<f64>>();
        let rows = (0..n).flat_map(|k| stays.iter().map(move |j| (k, *j)));
        Ok(Self {
            hidden: rows.map(|(k, j)| hidden[j * n + k]).collect(),
            scale: columns(&of(scale)?, &moves),
            shift: columns(&of(shift)?, &moves),
            scale_bias: pick(&of(scale_bias)?),
            shift_bias: pick(&of(shift_bias)?),
            bias,
            stays,
            moves,
        })
    }

    /// Hidden units, log-scales and shifts at a point.
    fn network(&self, x: &[f64]) -> (Passed, Vec<f64>) {
        let given: Vec<f64> = self.stays.iter().map(|j| x[*j]).collect();
        let (units, width) = (self.bias.len(), given.len());
        let unit = |(k, bias): (usize, &f64)| {
            let sum = bias + dot(&self.hidden[k * width..(k + 1) * width], &given);
            if bends(k, units) { sum.tanh() } else { sum }
        };
        let hidden: Vec<f64> = self.bias.iter().enumerate().map(unit).collect();
        let of = |weights: &[f64], bias: &[f64]| -> Vec<f64> {
            weights.chunks_exact(hidden.len()).zip(bias).map(|(w, b)| b + dot(w, &hidden)).collect()
        };
        let bounded = of(&self.scale, &self.scale_bias);
        let bounded = bounded.iter().map(|r| bound(r / LOG_SCALE_MAX)).collect();
        let shift = of(&self.shift, &self.shift_bias);
        (Passed { hidden, bounded, away: Vec::new() }, shift)
    }

    /// A layer nearer to the target, and `sum s`.
    pub(super) fn forward(&self, x: &mut [f64]) -> (Passed, f64) {
        let (mut passed, shift) = self.network(x);
        let mut log_det = 0.0;
        for (k, j) in self.moves.iter().enumerate() {
            let s = LOG_SCALE_MAX * passed.bounded[k];
            let away = x[*j] * s.exp();
            passed.away.push(away);
            x[*j] = away + shift[k];
            log_det += s;
        }
        (passed, log_det)
    }

    /// A layer nearer to the base, and `sum s`.
    pub(super) fn inverse(&self, x: &mut [f64]) -> (Passed, f64) {
        let (mut passed, shift) = self.network(x);
        let mut log_det = 0.0;
        for (k, j) in self.moves.iter().enumerate() {
            let s = LOG_SCALE_MAX * passed.bounded[k];
            let away = x[*j] - shift[k];
            passed.away.push(away);
            x[*j] = away * (-s).exp();
            log_det += s;
        }
        (passed, log_det)
    }

    /// The gradient of a log-density by the numbers before the layer, from that after it, and the slope of `sum s`.
    pub(super) fn pull_back(&self, passed: &Passed, gradient: &mut [f64]) {
        let units = passed.hidden.len();
        let mut by_hidden = vec![0.0; units];
        for (k, j) in self.moves.iter().enumerate() {
            let (g, bounded) = (gradient[*j], passed.bounded[k]);
            let by_scale = (g * passed.away[k] + 1.0) * slope_of_bound(bounded);
            let rows = [&self.scale, &self.shift].map(|w| &w[k * units..(k + 1) * units]);
            for (sum, (s, t)) in by_hidden.iter_mut().zip(rows[0].iter().zip(rows[1])) {
                *sum += by_scale * s + g * t;
            }
            gradient[*j] = g * (LOG_SCALE_MAX * bounded).exp();
        }
        let width = self.stays.len();
        for (k, (h, by)) in passed.hidden.iter().zip(&by_hidden).enumerate() {
            let by = if bends(k, units) { by * (1.0 - h * h) } else { *by };
            let weights = &self.hidden[k * width..(k + 1) * width];
            self.stays.iter().zip(weights).for_each(|(j, w)| gradient[*j] += by * w);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::random::fill_normal;

    #[test]
    fn each_number_moves_while_any_other_stays() -> Result<()> {
        for d in [1, 2, 3, 8, 101] {
            let layers = Weights::layers(d, 4);
            let moves = |layer| host_values(Weights::start(d, 1, layer, DType::F64).moves);
            let moves = (0..layers).map(moves).collect::<Result<Vec<_>>>()?;
            for (i, j) in (0..d).flat_map(|i| (0..d).map(move |j| (i, j))) {
                let alone = moves.iter().any(|m| m[i] == 1.0 && (m[j] == 0.0 || i == j));
                assert!(alone, "{i} and {j} of {d}");
            }
        }
        Ok(())
    }

    #[test]
    fn tensors_and_plain_numbers_agree() -> Result<()> {
        let d = 5;
        let mut weights = Weights::start(d, 7, 1, DType::F64);
        let mut rng = Streams::new(3).rng(Purpose::Check, 0, 0);
        let mut noise = vec![0.0; 4096];
        fill_normal(&mut rng, &mut noise);
        weights.for_each(|at, w| *w += 0.4 * noise[at]);
        let layer = Coupling::new(&weights)?;
        let (x, g) = (&noise[1000..1000 + d], &noise[2000..2000 + d]);
        let init = Init::new(0, DType::F64, Device::flex());
        let tensor = |v: &[f64]| init.values([1, d], v.to_vec());
        let [z, of_base] = weights.to_base(tensor(x), tensor(g));
        let (mut plain, mut gradient) = (x.to_vec(), g.to_vec());
        let (passed, log_det) = layer.inverse(&mut plain);
        layer.pull_back(&passed, &mut gradient);
        let pairs = [(host_values(z)?, &plain), (host_values(of_base)?, &gradient)];
        for (a, b) in pairs {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        }
        let (_, again) = layer.forward(&mut plain);
        assert!((again - log_det).abs() < 1e-12);
        assert!(plain.iter().zip(x).all(|(a, b)| (a - b).abs() < 1e-12));
        Ok(())
    }
}
