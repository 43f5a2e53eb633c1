//! The network on plain slices: the weights as they are used, and the gradient through what scales them.

use std::ops::Range;

use burn::tensor::{DType, Device, Tensor, TensorData};
use diffeo_kernels::{Aligned, Dual, DualWeights, Real, Smooth};

use super::{ContractiveActivation, LipschitzNorm, ResidualSpec};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::place::Place;

/// The network of a layer in a place, with the activation of the kernels.
///
/// LipSwish's `b` has no place there: as `a s(b a) = t s(t) / b` with `t = b a`, the weights before the activation are multiplied by it, and those behind divided.
pub(super) fn dual(spec: &ResidualSpec, at: Place) -> Dual {
    let widths = [&[at.dims], &spec.hidden[..], &[at.dims]].concat();
    let activation = match spec.activation {
        ContractiveActivation::LipSwish => Smooth::Swish,
        ContractiveActivation::Elu => Smooth::Elu,
        ContractiveActivation::Tanh => Smooth::Tanh,
    };
    Dual::new(&widths, at.context, false, activation)
}

/// The weights as they are trained, in the order in which a layer shows them: slices of all of a flow's, or arrays of their own.
#[derive(Clone, Debug)]
pub(super) struct Raw<W> {
    /// Weight and bias of each layer.
    pub(super) layers: Vec<[W; 2]>,
    pub(super) context: Option<W>,
    pub(super) log_beta: Option<W>,
}

impl<W> Raw<W> {
    pub(super) fn map<'a, V>(&'a self, of: impl Fn(&'a W) -> V) -> Raw<V> {
        let layers = self.layers.iter().map(|[weight, bias]| [of(weight), of(bias)]).collect();
        let (context, log_beta) = (self.context.as_ref().map(&of), self.log_beta.as_ref().map(of));
        Raw { layers, context, log_beta }
    }
}

/// What is made of the weights.
#[derive(Debug, Default)]
pub(super) struct Scaled<T> {
    /// In the order of [`Dual::places`].
    pub(super) flat: Vec<T>,
    /// The gradient of each matrix's norm, or of those of its outputs, one matrix after the other.
    steepest: Vec<T>,
    /// Of each output of each matrix what its weights are multiplied by to be held.
    factors: Vec<T>,
    /// And the reciprocal of the norm where it is above its bound, else zero.
    shares: Vec<T>,
    /// Of each layer, one behind the last.
    betas: Vec<T>,
}

/// Arrays of [`Scaled`].
pub(super) const PARTS: usize = 5;

impl<T: Real> Scaled<T> {
    /// Of a network's weights.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn new(raw: &Raw<&[T]>, network: &Dual, spec: &ResidualSpec) -> Result<Self> {
        let (places, _) = network.places();
        let limit = spec.lipschitz.powf(1.0 / places.len() as f64);
        let (mut scaled, mut before) = (Self::default(), 1.0);
        for (i, [weight, bias]) in raw.layers.iter().enumerate() {
            let beta = raw.log_beta.filter(|log_beta| i < log_beta.len());
            let beta = beta.map_or(1.0, |log_beta| bounded(log_beta[i]).0.exp());
            let shape = [weight.len() / bias.len(), bias.len()];
            let held = scaled.hold(weight, shape, (limit, spec))?;
            scaled.flat.extend(held.into_iter().map(|w| T::from_f64(w * beta / before)));
            scaled.flat.extend(bias.iter().map(|b| T::from_f64(b.to_f64() * beta)));
            scaled.betas.push(T::from_f64(beta));
            before = beta;
        }
        let first = scaled.betas[0];
        scaled
            .flat
            .extend(raw.context.iter().flat_map(|context| context.iter().map(|w| *w * first)));
        Ok(scaled)
    }

    /// A matrix held to its bound, and notes on how.
    fn hold(
        &mut self,
        weight: &[T],
        [inputs, outputs]: [usize; 2],
        (limit, spec): (f64, &ResidualSpec),
    ) -> Result<Vec<f64>> {
        let values = weight.iter().map(|w| w.to_f64()).collect();
        let values = TensorData::new::<f64, _>(values, [inputs, outputs]);
        let weight: Tensor<2> = Tensor::from_data(values, (&Device::flex(), DType::F64));
        let hold = spec.norm.hold(weight, limit);
        let norms = host_values(hold.norm)?;
        for output in 0..outputs {
            let norm = norms[output % norms.len()];
            let is_held = norm > limit;
            self.factors.push(T::from_f64(if is_held { limit / norm } else { 1.0 }));
            self.shares.push(T::from_f64(if is_held { 1.0 / norm } else { 0.0 }));
        }
        self.steepest.extend(host_values(hold.steepest)?.into_iter().map(T::from_f64));
        host_values(hold.held)
    }

    /// All arrays, to be kept elsewhere.
    pub(super) fn parts(&self) -> [&[T]; PARTS] {
        [&self.flat, &self.steepest, &self.factors, &self.shares, &self.betas]
    }
}

/// LipSwish's `ln b` and its slope by the raw weight.
fn bounded<T: Real>(raw: T) -> (f64, f64) {
    let limit = ContractiveActivation::LOG_BETA_MAX;
    let t = (raw.to_f64() / limit).tanh();
    (limit * t, 1.0 - t * t)
}

/// The gradient by the weights as they are trained, from `by`, that by those that are used, `parts` being those of [`Scaled`].
pub(super) fn unscale<T: Real>(
    (network, norm): (&Dual, LipschitzNorm),
    (raw, [flat, steepest, factors, shares, betas]): (&Raw<&[T]>, [&[T]; PARTS]),
    by: &[T],
    to: &Raw<Range<usize>>,
    gradient: &mut [T],
) {
    let (places, of_context) = network.places();
    let dot =
        |a: &[T], b: &[T]| -> f64 { a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum() };
    let in_use = |range: &Range<usize>| dot(&by[range.clone()], &flat[range.clone()]);
    let (mut matrix, mut unit, mut before) = (0, 0, T::ONE);
    for (i, place) in places.iter().enumerate() {
        let (outputs, beta) = (place.bias.len(), betas[i]);
        let steepest = &steepest[matrix..][..place.weight.len()];
        let (factors, shares) = (&factors[unit..][..outputs], &shares[unit..][..outputs]);
        let [to_weight, to_bias] = &to.layers[i];
        let (by_weight, by_bias) = (&by[place.weight.clone()], &by[place.bias.clone()]);
        let turned = beta / before;
        let to_weight = &mut gradient[to_weight.clone()];
        to_weight.iter_mut().zip(by_weight).for_each(|(to, by)| *to = *by * turned);
        release(to_weight, raw.layers[i][0], (steepest, factors, shares), norm);
        gradient[to_bias.clone()].iter_mut().zip(by_bias).for_each(|(to, by)| *to = *by * beta);
        if let (Some(to), Some(log_beta)) = (&to.log_beta, raw.log_beta.filter(|l| i < l.len())) {
            let mut sum = in_use(&place.weight) + in_use(&place.bias);
            sum -= in_use(&places[i + 1].weight);
            sum += if i == 0 { in_use(&of_context) } else { 0.0 };
            gradient[to.start + i] = T::from_f64(sum * bounded(log_beta[i]).1);
        }
        (matrix, unit, before) = (matrix + place.weight.len(), unit + outputs, beta);
    }
    if let Some(to) = &to.context {
        let by = &by[of_context];
        gradient[to.clone()].iter_mut().zip(by).for_each(|(to, by)| *to = *by * betas[0]);
    }
}

/// Turns the gradient by a held matrix into that by the matrix, `factor (G - S <G, W> / norm)`, in place; the product is that of each output, or of all.
fn release<T: Real>(
    grad: &mut [T],
    weight: &[T],
    (steepest, factors, shares): (&[T], &[T], &[T]),
    norm: LipschitzNorm,
) {
    let outputs = factors.len();
    let mut along = vec![0.0; outputs];
    for (grad, weight) in grad.chunks_exact(outputs).zip(weight.chunks_exact(outputs)) {
        for j in 0..outputs {
            along[j] += grad[j].to_f64() * weight[j].to_f64();
        }
    }
    if norm == LipschitzNorm::Spectral {
        let sum = along.iter().sum();
        along.fill(sum);
    }
    let lost: Vec<T> = along.iter().zip(shares).map(|(a, s)| T::from_f64(*a) * *s).collect();
    for (grad, steepest) in grad.chunks_exact_mut(outputs).zip(steepest.chunks_exact(outputs)) {
        for j in 0..outputs {
            grad[j] = factors[j] * (grad[j] - steepest[j] * lost[j]);
        }
    }
}

/// A network without tensors.
#[derive(Clone, Debug)]
pub(super) struct Plain<T> {
    pub(super) network: Dual,
    flat: Vec<T>,
    packed: Vec<Aligned<T>>,
}

impl<T: Real> Plain<T> {
    pub(super) fn new(scaled: Scaled<T>, network: &Dual) -> Self {
        let mut packed = vec![Aligned::default(); network.packed()];
        network.pack(&scaled.flat, &mut packed);
        Self { network: network.clone(), flat: scaled.flat, packed }
    }

    pub(super) fn weights(&self) -> DualWeights<'_, T> {
        DualWeights { flat: &self.flat, packed: &self.packed }
    }
}

/// The same in either precision.
#[derive(Clone, Debug)]
pub(super) enum AnyPlain {
    F32(Plain<f32>),
    F64(Plain<f64>),
}
