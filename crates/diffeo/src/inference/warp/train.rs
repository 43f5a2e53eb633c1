//! How a warp is learned from points and the gradients there.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::Warp;
use super::coupling::{Coupling, Weights};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, permutation};
use crate::parameter::{Trainable, Visitor, visit_part};
use crate::train::{Learner, LearnerOptions};

/// The least number of couplings, and hidden units of each.
const LAYERS_MIN: u64 = 8;
const HIDDEN: usize = 48;
/// Points of a step, and the last ones, which judge and are not learned from.
const BATCH: usize = 128;
const JUDGES: usize = 256;
/// The points that are learned from are the last of them, but for the very first, which are on the way to the target.
const POINTS_MAX: usize = 4000;
const SKIPPED: usize = 100;
/// Points from which on there are couplings and not only scales.
const POINTS_MIN: usize = 800;
const EPOCHS_MAX: u64 = 20;
const PATIENCE: u32 = 4;
/// A divergence below which nothing is left to learn.
const GOOD: f64 = -4.0;
const LEARNING_RATE: f64 = 1e-3;
/// In single precision the warp of one chain of four got stuck on a funnel, at a divergence 3.5 above that of the others.
const DTYPE: DType = DType::F64;

/// All couplings, the one next to the base first.
#[derive(Clone, Debug)]
struct Layers(Vec<Weights>);

impl Trainable for Layers {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (k, layer) in self.0.iter_mut().enumerate() {
            visit_part(&k.to_string(), visitor, |visitor| layer.visit(visitor));
        }
    }
}

impl Layers {
    /// `ln mean (z + d ln p(z) / dz)^2`: the Fisher divergence of the density in the base from a standard normal, of which the gradient is `-z`.
    fn loss(&self, x: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
        let last = [x, gradient];
        let [z, gradient] = self.0.iter().rev().fold(last, |[x, g], layer| layer.to_base(x, g));
        (z + gradient).square().mean().log()
    }
}

/// A warp that is learned while a chain runs.
pub(in crate::inference) struct Tuner {
    pub(in crate::inference) warp: Warp,
    /// Counts the warps.
    pub(in crate::inference) version: i64,
    /// The divergence of the last one on points that it was not learned from.
    pub(in crate::inference) divergence: f64,
    learner: Option<Learner<Layers>>,
    streams: Streams,
}

impl Tuner {
    /// Scales from one point and the gradient there.
    pub(in crate::inference) fn new(point: &[f64], gradient: &[f64], seed: u64) -> Self {
        let warp = Warp::of_scales(&[point], &[gradient]);
        let streams = Streams::new(seed);
        Self { warp, version: 0, divergence: f64::NAN, learner: None, streams }
    }

    /// A better warp from all points of the chain so far and the gradients there.
    ///
    /// # Errors
    /// Those of the optimiser.
    pub(in crate::inference) fn update(
        &mut self,
        points: &[&[f64]],
        gradients: &[&[f64]],
    ) -> Result<()> {
        let n = points.len();
        if n < 3 {
            return Ok(());
        }
        let first = SKIPPED.min(n / 2).max(n.saturating_sub(POINTS_MAX));
        let (points, gradients) = (&points[first..], &gradients[first..]);
        if n < POINTS_MIN {
            self.warp = Warp::of_scales(points, gradients);
            self.version += 1;
            return Ok(());
        }
        if self.learner.is_none() {
            self.warp = Warp::of_scales(points, gradients);
            let d = self.warp.scale.len();
            let layers = 0..Weights::layers(d, LAYERS_MIN);
            let layers = layers.map(|k| Weights::start(d, HIDDEN, k, DTYPE)).collect();
            let options = LearnerOptions {
                learning_rate: LEARNING_RATE,
                clip_norm: 1.0,
                ..LearnerOptions::default()
            };
            self.learner = Some(Learner::new(Layers(layers), options)?);
            self.version += 1;
        }
        self.learn(points, gradients)
    }

    fn learn(&mut self, points: &[&[f64]], gradients: &[&[f64]]) -> Result<()> {
        let Some(learner) = &mut self.learner else { return Ok(()) };
        let (shift, scale) = (&self.warp.shift, &self.warp.scale);
        let tensor = |rows: &[usize], of: &[&[f64]], by: &dyn Fn(usize, f64) -> f64| {
            let values =
                rows.iter().flat_map(|i| of[*i].iter().enumerate().map(|(j, v)| by(j, *v)));
            let data = TensorData::new(values.collect::<Vec<f64>>(), [rows.len(), scale.len()]);
            Tensor::<2>::from_data(data, (&Device::flex(), DTYPE))
        };
        let rows_of = |rows: &[usize]| {
            let x = tensor(rows, points, &|j, v| (v - shift[j]) / scale[j]);
            [x, tensor(rows, gradients, &|j, v| v * scale[j])]
        };
        let learned: Vec<usize> = (0..points.len() - JUDGES).collect();
        let [x, g] = rows_of(&(points.len() - JUDGES..points.len()).collect::<Vec<_>>());
        let judge = |layers: &Layers| -> Result<f64> {
            Ok(host_values(layers.loss(x.clone(), g.clone()))?[0])
        };
        let mut best = (judge(learner.module())?, learner.module().clone());
        let before = best.0;
        let mut waited = 0;
        for epoch in 0..EPOCHS_MAX {
            if best.0 < GOOD || waited == PATIENCE {
                break;
            }
            let mut rng = self.streams.rng(Purpose::Shuffle, self.version as u64, epoch);
            let order = permutation(&mut rng, learned.len() as u32);
            let order: Vec<usize> = order.into_iter().map(|i| learned[i as usize]).collect();
            for batch in order.chunks(BATCH) {
                let [x, g] = rows_of(batch);
                learner.step(|layers| Ok(layers.loss(x, g)))?;
            }
            let found = judge(learner.module())?;
            waited += 1;
            if found < best.0 {
                best = (found, learner.module().clone());
                waited = 0;
            }
        }
        self.divergence = best.0;
        if best.0 < before || self.warp.layers.is_empty() {
            self.warp.layers = best.1.0.iter().map(Coupling::new).collect::<Result<_>>()?;
            self.version += 1;
        }
        Ok(())
    }
}
