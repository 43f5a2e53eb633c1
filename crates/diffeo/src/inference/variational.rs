//! Variational inference: flows that are fitted to a density without rows of it.

use burn::tensor::{DType, Tensor, activation};

use super::proposal::{FlowProposal, Proposal};
use super::target::{Annealed, LogDensity, expect_slopes, log_density_of};
use super::weights::Weights;
use crate::error::{Error, ErrorKind, Result};
use crate::flow::Flow;
use crate::host::draws::Draws;
use crate::host::linalg::tensor_of;
use crate::host::random::{Purpose, Streams};
use crate::host::rows::Rows;
use crate::train::{Batch, Event, Learner, LearnerOptions, Objective, Source};

/// Rows that are drawn and weighed at a time.
const BLOCK: usize = 4096;

/// `KL(q || p)` up to the constant of `p`, from draws of the base that the batch holds: `mean of log q(x) - log p~(x)`, `x = f^-1(z)`.
///
/// One pass of the flow, towards the data: for flows that draw fast and score slowly (`iaf`). Reference: Rezende, Mohamed. *Variational Inference with Normalizing Flows*. ICML 2015,
/// eq. 15, arXiv:1505.05770.
#[derive(Clone, Copy, Debug)]
pub struct ReverseKl<D>(
    /// The target.
    pub D,
);

impl<D: LogDensity> Objective for ReverseKl<D> {
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>> {
        let (_, log_q, log_p) = drawn(flow, batch, &self.0)?;
        Ok((log_q - log_p).mean())
    }
}

/// The alpha-divergence of `p` from `q`, `1 / (a (a - 1)) ln E_q[w^a]` with `w = p / q`, by its path derivative: `- sum of w^a d ln w / d x  dx / d theta` over self-normalised
/// `w^a`, without the score of `q`, whose mean is 0. Its variance vanishes where `q` is `p`.
///
/// * `a = 0`: reverse KL, which keeps to the modes that it finds (Roeder, Wu, Duvenaud. *Sticking the Landing*. NeurIPS 2017, arXiv:1703.09194);
/// * `a = 1`: forward KL, which covers what draws of `q` reach;
/// * `a = 2`: the variance of importance weights (chi-square).
///
/// For all `a` at once: with `f(w) = w^a / (a (a - 1))` the gradient of `E_q[f(w)]` is `-E_q[f''(w) w^2 d ln w]` along the path (Tucker, Lawson, Gu, Maddison. *Doubly Reparameterized
/// Gradient Estimators*. ICLR 2019, arXiv:1810.04152, appendix). The loss that is reported is the divergence itself, up to the target's constant.
#[derive(Clone, Copy, Debug)]
pub struct AlphaDivergence<D> {
    /// The target.
    pub target: D,
    /// `a`, at least 0.
    pub alpha: f64,
}

impl<D: LogDensity> Objective for AlphaDivergence<D> {
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>> {
        if !(self.alpha >= 0.0 && self.alpha.is_finite()) {
            let found = self.alpha;
            return Err(Error::config(format!(
                "alpha must be a number of at least 0, found {found}"
            )));
        }
        let log_w = log_weights_by_path(flow, batch, &self.target)?;
        let a = self.alpha;
        let powers = log_w.clone().detach().mul_scalar(a);
        let value = match a {
            0.0 => log_w.clone().detach().mean().neg(),
            // The limit at 1 is `E[w ln w]`.
            1.0 => (activation::softmax(powers.clone(), 0) * log_w.clone().detach()).sum(),
            _ => log_mean_exp(powers.clone()).div_scalar(a * (a - 1.0)),
        };
        let gradient = (activation::softmax(powers, 0) * log_w).sum().neg();
        Ok(gradient.clone() - gradient.detach() + value)
    }
}

/// The importance-weighted bound `-E ln mean of k weights`, by its doubly-reparameterised gradient: a bound on the evidence that is nearer the more draws there are, and a
/// flow whose draws are to be weighed.
///
/// Reference: Burda, Grosse, Salakhutdinov. ICLR 2016, arXiv:1509.00519; Tucker et al., ICLR 2019, eq. 8.
#[derive(Clone, Copy, Debug)]
pub struct ImportanceWeighted<D> {
    /// The target.
    pub target: D,
    /// `k`, which divides the draws of a step.
    pub draws: usize,
}

impl<D: LogDensity> Objective for ImportanceWeighted<D> {
    fn loss(&self, flow: &Flow, batch: &Batch) -> Result<Tensor<1>> {
        let (n, k) = (batch.x.len(), self.draws);
        if k == 0 || !n.is_multiple_of(k) {
            return Err(Error::config(format!(
                "importance weighting takes {k} draws at a time, which must divide the {n} of a step"
            )));
        }
        let log_w = log_weights_by_path(flow, batch, &self.target)?.reshape([n / k, k]);
        let constant = log_w.clone().detach();
        let shares = activation::softmax(constant.clone(), 1);
        let highest = constant.clone().max_dim(1);
        let sums = (constant - highest.clone()).exp().sum_dim(1);
        let value = (sums.log() + highest).sub_scalar((k as f64).ln()).mean().neg();
        // By a product: the engine divides gradients by a number in single precision.
        let gradient = (shares.square() * log_w).sum().mul_scalar(-(k as f64) / n as f64);
        Ok(gradient.clone() - gradient.detach() + value)
    }
}

/// Rows, `ln q` and `ln p~` of them, all of which follow the flow's parameters.
fn drawn(
    flow: &Flow,
    batch: &Batch,
    target: &dyn LogDensity,
) -> Result<(Tensor<2>, Tensor<1>, Tensor<1>)> {
    if flow.spec().marks.is_some() {
        return Err(Error::config(
            "variational inference needs gradients through draws, which outcomes do not have: give a flow of numbers alone",
        ));
    }
    if flow.dims() != target.dims() {
        return Err(Error::shape(format!(
            "the target has {} numbers in a row, the flow {}",
            target.dims(),
            flow.dims()
        )));
    }
    let z = tensor_of(&batch.x).cast(flow.spec().precision.dtype());
    let context = batch.context.as_ref().map(tensor_of);
    let log_base = flow.base().log_prob(z.clone());
    let mapped = flow.to_data_given(z, context, batch.draws)?;
    // A target may be narrow and far away; its numbers are those of the draws in double precision.
    let log_p = target.log_density(mapped.value.clone().cast(DType::F64))?.cast(log_base.dtype());
    Ok((mapped.value, log_base - mapped.log_det, log_p))
}

/// `ln p~(x) - ln q(x)`, in which `q` follows the parameters by way of `x` alone.
fn log_weights_by_path(flow: &Flow, batch: &Batch, target: &dyn LogDensity) -> Result<Tensor<1>> {
    let (x, _, log_p) = drawn(flow, batch, target)?;
    let context = batch.context.as_ref().map(tensor_of);
    let log_q = flow.with_constant_parameters().log_prob(x, context)?;
    let log_p = log_p.cast(log_q.dtype());
    Ok(log_p - log_q)
}

fn log_mean_exp(values: Tensor<1>) -> Tensor<1> {
    let n = values.dims()[0] as f64;
    let highest = values.clone().max();
    (values - highest.clone()).exp().sum().log() + highest - n.ln()
}

/// Draws of a flow's base: the source of variational inference and of distillation.
#[derive(Clone, Debug)]
pub struct BaseDraws {
    flow: Flow,
    rows: usize,
    streams: Streams,
}

impl BaseDraws {
    /// So many draws a step of the base that the flow has now.
    pub fn new(flow: &Flow, rows: usize, seed: u64) -> Self {
        Self { flow: flow.clone(), rows, streams: Streams::new(seed) }
    }
}

impl Source for BaseDraws {
    fn batch(&mut self, step: u64) -> Result<Batch> {
        let width = self.flow.dims();
        let mut rows = Rows::zeros(self.rows, width);
        let sampler = self.flow.base().sampler()?;
        for (i, row) in rows.values_mut().chunks_exact_mut(width).enumerate() {
            sampler(&mut self.streams.rng(Purpose::Draws, step, i as u64), 1.0, row);
        }
        Ok(Batch { draws: Some(Draws::new(self.streams, step, 0)), ..Batch::of(rows) })
    }
}

/// `n` draws of a proposal, weighed to stand for a target: [`Weights::mean`] of them are means of the target, [`Weights::log_mean`] is its log-evidence,
/// [`Weights::verdict`] says how far both can be relied on.
///
/// A draw at which proposal or target is not a number weighs nothing.
///
/// # Errors
/// Those of proposal and target; as [`Weights::new`].
pub fn weigh(
    proposal: &dyn Proposal,
    target: &dyn LogDensity,
    n: usize,
) -> Result<(Rows, Weights)> {
    let (mut values, mut log) = (Vec::with_capacity(n * proposal.dims()), Vec::with_capacity(n));
    for first in (0..n).step_by(BLOCK) {
        let (rows, log_q) = proposal.draw(first as u64, BLOCK.min(n - first))?;
        let log_p = log_density_of(target, &rows)?;
        log.extend(log_p.iter().zip(&log_q).map(|(p, q)| {
            let log_weight = p - q;
            if log_weight.is_nan() { f64::NEG_INFINITY } else { log_weight }
        }));
        values.extend(rows.into_values());
    }
    Ok((Rows::new(values, proposal.dims())?, Weights::new(log)?))
}

/// How a flow is fitted to a density.
#[derive(Clone, Debug, PartialEq)]
pub struct VariationalOptions {
    /// `a` of the [`AlphaDivergence`].
    pub alpha: f64,
    /// Steps of the optimiser.
    pub steps: u64,
    /// Draws in a step.
    pub draws: usize,
    /// Share of the steps in which the target is [`Annealed`] from a standard normal.
    pub annealed: f64,
    /// Seed of the draws.
    pub seed: u64,
    /// How steps are taken; the rate falls to 0 by half a cosine.
    pub learner: LearnerOptions,
}

impl Default for VariationalOptions {
    fn default() -> Self {
        let learner = LearnerOptions { average: 0.99, ..LearnerOptions::default() };
        Self { alpha: 0.0, steps: 2000, draws: 256, annealed: 0.2, seed: 0, learner }
    }
}

/// Fits a flow to a density by its alpha-divergence, and gives it with the average of its last weights. `watch` sees every step and ends the fit by an error.
///
/// # Errors
/// [`crate::ErrorKind::Config`] for options out of range, [`crate::ErrorKind::Shape`] if flow and target differ in width, [`crate::ErrorKind::Domain`] if the target's
/// slope by a number is never finite, [`crate::ErrorKind::Diverged`] as [`Learner::step`]; those of flow, target and `watch`.
pub fn fit(
    flow: Flow,
    target: &dyn LogDensity,
    options: &VariationalOptions,
    mut watch: impl FnMut(&Event) -> Result<()>,
) -> Result<Flow> {
    if options.steps == 0 || options.draws == 0 || !(0.0..=1.0).contains(&options.annealed) {
        return Err(Error::config(format!(
            "a variational fit needs steps, draws and a share of annealing from 0 to 1, found {}, {} and {}",
            options.steps, options.draws, options.annealed
        )));
    }
    let mut source = BaseDraws::new(&flow, options.draws, options.seed);
    let mut learner = Learner::new(flow, options.learner.clone())?;
    let annealed = (options.annealed * options.steps as f64).ceil();
    for step in 0..options.steps {
        let share = step as f64 / options.steps as f64;
        let rate = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        learner.set_learning_rate((options.learner.learning_rate * rate).max(f64::MIN_POSITIVE))?;
        let beta = if annealed == 0.0 { 1.0 } else { ((step + 1) as f64 / annealed).min(1.0) };
        let objective = AlphaDivergence { target: Annealed { target, beta }, alpha: options.alpha };
        let event = learner.learn(&objective, &mut source);
        if event.as_ref().is_err_and(|error| error.kind() == ErrorKind::Diverged) {
            // Where it is the target that has no slope, that is what to say.
            let proposal = FlowProposal { flow: learner.module(), seed: options.seed };
            expect_slopes(target, &proposal.draw(step, options.draws)?.0)?;
        }
        watch(&event?)?;
    }
    if options.learner.average > 0.0 { learner.averaged() } else { Ok(learner.module().clone()) }
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::super::target::{OwnGradient, PlainDensity};
    use super::*;
    use crate::engine::{flat_gradient, flat_weights, set_weights, tracked};
    use crate::host::linalg::host_values;
    use crate::monotone::Affine;
    use crate::presets::{Preset, PresetOptions};
    use crate::spec::{FlowSpec, Precision};
    use crate::transforms::ElementwiseSpec;

    /// `N(0, s^2)` in every column, without its constant.
    #[derive(Clone, Copy)]
    struct Normal {
        dims: usize,
        deviation: f64,
    }

    impl LogDensity for Normal {
        fn dims(&self) -> usize {
            self.dims
        }

        fn log_density(&self, x: Tensor<2>) -> Result<Tensor<1>> {
            let n = x.dims()[0];
            Ok(x.square().sum_dim(1).reshape([n]).mul_scalar(-0.5 / self.deviation.powi(2)))
        }
    }

    /// The same with a gradient of its own.
    struct Plain(Normal);

    impl PlainDensity for Plain {
        fn dims(&self) -> usize {
            self.0.dims
        }

        fn log_density(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
            let scale = self.0.deviation.powi(-2);
            gradient.iter_mut().zip(x).for_each(|(g, x)| *g = -scale * x);
            -0.5 * scale * x.iter().map(|x| x * x).sum::<f64>()
        }
    }

    fn flow(dims: usize) -> Flow {
        let options = PresetOptions {
            transforms: 2,
            hidden: vec![8],
            precision: Precision::F64,
            ..PresetOptions::default()
        };
        let spec = Preset::RealNvp.spec(dims, 0, &options).unwrap();
        let mut flow = spec.build(1).unwrap();
        // Away from the start, where networks give zeros.
        let (_, mut weights) = flat_weights::<f64>(&flow).unwrap();
        for (i, w) in weights.iter_mut().enumerate() {
            *w += 0.05 * (i as f64 * 1.7).sin();
        }
        set_weights(&mut flow, &weights).unwrap();
        flow
    }

    fn gradient(objective: &dyn Objective, flow: &Flow, batch: &Batch) -> (f64, Vec<f64>) {
        let (with_gradients, leaves) = tracked(flow);
        let loss = objective.loss(&with_gradients, batch).unwrap();
        let mut gradient = vec![0.0; flat_weights::<f64>(flow).unwrap().1.len()];
        let value = host_values(loss.clone()).unwrap()[0];
        flat_gradient::<f64>(&loss, leaves, &mut gradient).unwrap();
        (value, gradient)
    }

    #[test]
    fn the_gradient_of_reverse_kl_is_that_of_finite_differences() {
        let flow = flow(2);
        let batch = BaseDraws::new(&flow, 16, 3).batch(0).unwrap();
        let target = Normal { dims: 2, deviation: 1.5 };
        let (_, found) = gradient(&ReverseKl(target), &flow, &batch);
        let own = OwnGradient { density: Plain(target), threads: 2 };
        let (_, own) = gradient(&ReverseKl(own), &flow, &batch);
        assert!(found.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-12));
        let (_, weights) = flat_weights::<f64>(&flow).unwrap();
        for i in (0..weights.len()).step_by(7) {
            let at = |step: f64| {
                let (mut moved, mut weights) = (flow.clone(), weights.clone());
                weights[i] += step;
                set_weights(&mut moved, &weights).unwrap();
                host_values(ReverseKl(target).loss(&moved, &batch).unwrap()).unwrap()[0]
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((found[i] - numeric).abs() < 1e-7, "{i}: {} {numeric}", found[i]);
        }
    }

    /// Path and total gradients have one mean; the path's has no noise where the flow is the target.
    #[test]
    fn the_path_derivative_agrees_with_the_total_one_and_vanishes_at_the_target() {
        let (flow, target) = (flow(2), Normal { dims: 2, deviation: 1.2 });
        let draws = |flow: &Flow, rows| BaseDraws::new(flow, rows, 5).batch(0).unwrap();
        let batch = draws(&flow, 40_000);
        let (value, path) = gradient(&AlphaDivergence { target, alpha: 0.0 }, &flow, &batch);
        let (total_value, total) = gradient(&ReverseKl(target), &flow, &batch);
        assert!((value - total_value).abs() < 1e-9);
        let size = total.iter().map(|g| g * g).sum::<f64>().sqrt();
        let off = path.iter().zip(&total).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(off < 0.05 * size, "{off} {size}");
    }

    /// `x = z - t` of a standard normal `z` for a standard normal target: with mean `m = -t` the divergence is `m^2 / 2` for every `a`, and its gradient by `t` is `t`, from
    /// any draws.
    #[test]
    fn every_alpha_has_the_gradient_of_two_normals_without_noise() {
        let spec = ElementwiseSpec { monotone: Affine::default().into() };
        let spec = FlowSpec::new(1, vec![spec.into()]).in_precision(Precision::F64);
        let mut flow = spec.build(0).unwrap();
        flow.visit(&mut |_, p| {
            let values = TensorData::new(vec![0.7, 0.0], p.value.dims());
            p.value = Tensor::from_data(values, (&p.value.device(), p.value.dtype()));
        });
        let target = Normal { dims: 1, deviation: 1.0 };
        let batch = BaseDraws::new(&flow, 20_000, 2).batch(0).unwrap();
        for alpha in [0.0, 0.5, 1.0, 2.0] {
            let (value, found) = gradient(&AlphaDivergence { target, alpha }, &flow, &batch);
            assert!((found[0].abs() - 0.7).abs() < 1e-9, "{alpha}: {found:?}");
            // The target lacks the constant of the normal.
            let constant = if alpha == 1.0 {
                1.0
            } else if alpha == 0.0 {
                -1.0
            } else {
                1.0 / (alpha - 1.0)
            };
            let value = value - constant * crate::host::normal::LN_2PI_HALF;
            assert!((value - 0.245).abs() < 0.03, "{alpha}: {value}");
        }
        let bound = ImportanceWeighted { target, draws: 5 };
        let (five, _) = gradient(&bound, &flow, &batch);
        let (one, found) = gradient(&ImportanceWeighted { draws: 1, ..bound }, &flow, &batch);
        assert!((found[0].abs() - 0.7).abs() < 1e-9, "{found:?}");
        let exact = -crate::host::normal::LN_2PI_HALF;
        assert!(exact < five && five < one, "more draws bound it nearer: {exact} {five} {one}");
        assert!(ImportanceWeighted { draws: 3, ..bound }.loss(&flow, &batch).is_err());
    }

    #[test]
    fn a_fit_finds_the_target_its_evidence_and_says_so() -> Result<()> {
        let target = Normal { dims: 2, deviation: 3.0 };
        let options = VariationalOptions {
            steps: 300,
            draws: 64,
            learner: LearnerOptions { learning_rate: 0.01, average: 0.95, ..Default::default() },
            ..VariationalOptions::default()
        };
        let fitted = fit(flow(2), &target, &options, |_| Ok(()))?;
        let (rows, weights) = weigh(&FlowProposal { flow: &fitted, seed: 1 }, &target, 10_000)?;
        let squares: Vec<f64> = rows.column(0).iter().map(|x| x * x).collect();
        let mean = weights.mean(&squares)?;
        assert!((mean.mean - 9.0).abs() < 5.0 * mean.standard_error, "{mean:?}");
        let evidence = weights.log_mean();
        let exact = (std::f64::consts::TAU * 9.0).ln();
        assert!((evidence.mean - exact).abs() < 5.0 * evidence.standard_error + 1e-6);
        assert!(weights.verdict().is_good(), "{}", weights.verdict());
        let wide = VariationalOptions { draws: 0, ..options };
        assert!(fit(flow(2), &target, &wide, |_| Ok(())).is_err());
        let other = Normal { dims: 3, deviation: 1.0 };
        assert!(fit(flow(2), &other, &VariationalOptions::default(), |_| Ok(())).is_err());
        Ok(())
    }
}
