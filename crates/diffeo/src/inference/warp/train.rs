//! How a warp is learned from points and the gradients there.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::Warp;
use super::coupling::{Coupling, Weights};
use crate::error::Result;
use crate::host::linalg::host_values;
use crate::host::random::{Purpose, Streams, permutation};
use crate::parameter::{Trainable, Visitor, visit_part};
use crate::train::{Learner, LearnerOptions, Snapshot};

/// The least number of couplings, and hidden units of each.
const LAYERS_MIN: u64 = 8;
const HIDDEN: usize = 48;
/// Points of a step, and the last ones, which judge and are not learned from.
const BATCH: usize = 128;
const JUDGES: usize = 256;
/// The points that are learned from are the last of them, but for the very first, which are on the way to the target. Spread over the later half, they are fitted sooner and not as well:
/// a funnel took 38 to 99 s instead of 125, for effective sizes of 1,145 to 1,562 instead of 1,706 to 2,003.
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
    /// The identity of so many numbers.
    fn start(d: usize) -> Self {
        let layers = 0..Weights::layers(d, LAYERS_MIN);
        Self(layers.map(|k| Weights::start(d, HIDDEN, k, DTYPE)).collect())
    }

    /// `ln mean (z + d ln p(z) / dz)^2`: the Fisher divergence of the density in the base from a standard normal, of which the gradient is `-z`.
    fn loss(&self, x: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
        let last = [x, gradient];
        let [z, gradient] = self.0.iter().rev().fold(last, |[x, g], layer| layer.to_base(x, g));
        (z + gradient).square().mean().log()
    }
}

/// The warp of a chain as far as it was learned.
#[derive(Clone)]
pub(in crate::inference) struct Tuned {
    pub(in crate::inference) warp: Warp,
    /// Counts the warps.
    pub(in crate::inference) version: i64,
    /// The divergence on points that it was not learned from.
    pub(in crate::inference) divergence: f64,
    /// The weights of its couplings, once it has any.
    layers: Option<Layers>,
}

/// What is said of a warp beside its numbers, in a checkpoint.
#[derive(Serialize, Deserialize)]
struct Said {
    version: i64,
    has_layers: bool,
}

impl Tuned {
    /// Scales from points and the gradients there.
    pub(in crate::inference) fn new(points: &[&[f64]], gradients: &[&[f64]]) -> Self {
        let warp = Warp::of_scales(points, gradients);
        Self { warp, version: 0, divergence: f64::NAN, layers: None }
    }

    fn set_layers(&mut self, layers: Layers) -> Result<()> {
        self.warp.layers = layers.0.iter().map(Coupling::new).collect::<Result<_>>()?;
        self.layers = Some(layers);
        Ok(())
    }

    /// Writes it under a name.
    ///
    /// # Errors
    /// Those of [`Snapshot::set`] and [`Snapshot::set_module`].
    pub(in crate::inference) fn write(&self, name: &str, into: &mut Snapshot) -> Result<()> {
        into.set(name, &Said { version: self.version, has_layers: self.layers.is_some() })?;
        into.set_numbers(&format!("{name}.divergence"), &[1], &[self.divergence]);
        for (part, values) in [("shift", &self.warp.shift), ("scale", &self.warp.scale)] {
            into.set_numbers(&format!("{name}.{part}"), &[values.len()], values);
        }
        match &self.layers {
            Some(layers) => into.set_module(&format!("{name}.layers"), layers),
            None => Ok(()),
        }
    }

    /// The warp of so many numbers that was written under a name.
    ///
    /// # Errors
    /// Those of [`Snapshot::get`] and [`Snapshot::numbers`].
    pub(in crate::inference) fn read(name: &str, from: &Snapshot, d: usize) -> Result<Self> {
        let said: Said = from.get(name)?;
        let [shift, scale] =
            ["shift", "scale"].map(|part| from.numbers(&format!("{name}.{part}"), d));
        let warp = Warp { shift: shift?, scale: scale?, layers: Vec::new() };
        let divergence = from.numbers(&format!("{name}.divergence"), 1)?[0];
        let mut tuned = Self { warp, version: said.version, divergence, layers: None };
        if said.has_layers {
            tuned.set_layers(from.module(&format!("{name}.layers"), &Layers::start(d))?)?;
        }
        Ok(tuned)
    }
}

/// Learns warps while a chain runs.
pub(in crate::inference) struct Tuner {
    learner: Option<Learner<Layers>>,
    streams: Streams,
}

/// The learner, in a checkpoint.
const LEARNER: &str = "learner";

impl Tuner {
    pub(in crate::inference) fn new(seed: u64) -> Self {
        Self { learner: None, streams: Streams::new(seed) }
    }

    /// Writes the learner, once there is one.
    ///
    /// # Errors
    /// Those of [`Snapshot::set_learner`].
    pub(in crate::inference) fn write(&self, into: &mut Snapshot) -> Result<()> {
        into.set(LEARNER, &self.learner.is_some())?;
        self.learner.as_ref().map_or(Ok(()), |learner| into.set_learner(LEARNER, learner))
    }

    /// The tuner of so many numbers that was written.
    ///
    /// # Errors
    /// Those of [`Snapshot::restore_learner`].
    pub(in crate::inference) fn read(seed: u64, from: &Snapshot, d: usize) -> Result<Self> {
        let mut tuner = Self::new(seed);
        if from.get::<bool>(LEARNER)? {
            let mut learner = Self::learner_of(d)?;
            from.restore_learner(LEARNER, &mut learner)?;
            tuner.learner = Some(learner);
        }
        Ok(tuner)
    }

    fn learner_of(d: usize) -> Result<Learner<Layers>> {
        let options = LearnerOptions {
            learning_rate: LEARNING_RATE,
            clip_norm: 1.0,
            ..LearnerOptions::default()
        };
        Learner::new(Layers::start(d), options)
    }

    /// A better warp from all points of the chain so far and the gradients there.
    ///
    /// # Errors
    /// Those of the optimiser.
    pub(in crate::inference) fn update(
        &mut self,
        tuned: &mut Tuned,
        points: &[&[f64]],
        gradients: &[&[f64]],
    ) -> Result<()> {
        let n = points.len();
        if n < 3 {
            return Ok(());
        }
        let first = SKIPPED.min(n / 2).max(n.saturating_sub(POINTS_MAX));
        let (points, gradients) = (&points[first..], &gradients[first..]);
        if n >= POINTS_MIN && self.learner.is_some() {
            return self.learn(tuned, points, gradients);
        }
        *tuned = Tuned { version: tuned.version + 1, ..Tuned::new(points, gradients) };
        if n < POINTS_MIN {
            return Ok(());
        }
        self.learner = Some(Self::learner_of(tuned.warp.scale.len())?);
        self.learn(tuned, points, gradients)
    }

    fn learn(&mut self, tuned: &mut Tuned, points: &[&[f64]], gradients: &[&[f64]]) -> Result<()> {
        let Some(learner) = &mut self.learner else { return Ok(()) };
        let (shift, scale) = (&tuned.warp.shift, &tuned.warp.scale);
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
            let mut rng = self.streams.rng(Purpose::Shuffle, tuned.version as u64, epoch);
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
        tuned.divergence = best.0;
        if best.0 < before || tuned.layers.is_none() {
            tuned.set_layers(best.1)?;
            tuned.version += 1;
        }
        Ok(())
    }
}
