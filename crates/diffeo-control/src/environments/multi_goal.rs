//! Four goals around a point.

use diffeo::{ChaCha8Rng, Result, normal};

use super::space;
use crate::environment::{Environment, Progress, Step, numbers_of};
use crate::play::Played;
use crate::sketch::{Shape, Sketch, Tone};
use crate::space::{Axis, Space};

/// A point that may reach any of four goals, at (±5, 0) and (0, ±5): what a policy with one mode cannot do justice to.
///
/// * `position += velocity`, within [-7, 7] each way. Observation: the position. Action: the velocity, within 1 each way.
/// * Reward: `-30 |velocity|^2 - distance^2` to the nearest goal after the step, and 10 within 1 of it, which ends the episode. Start: `N(0, 0.1^2)` each way. 30 steps.
///
/// Reference: Haarnoja, Tang, Abbeel, Levine. *Reinforcement Learning with Deep Energy-Based Policies*. ICML 2017, section 5.1, arXiv:1702.08165 (costs as in its code's successor).
#[derive(Clone, Debug)]
pub struct MultiGoal {
    observation: Space,
    action: Space,
    position: [f64; 2],
    trail: Vec<[f64; 2]>,
    start_deviation: f64,
}

const BOUND: f64 = 7.0;
const NEAR: f64 = 1.0;
/// Deviation of the start in each direction.
const START_DEVIATION: f64 = 0.1;

/// Which goals some episodes reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GoalTally {
    /// How often each goal was reached, in the order of [`MultiGoal::GOALS`].
    pub counts: [u32; 4],
    /// Entropy of the goals that were reached, in bits: 2 where all are reached alike.
    pub entropy: f64,
    /// Share of the episodes that reached a goal.
    pub success: f64,
}

impl MultiGoal {
    /// The goals.
    pub const GOALS: [[f64; 2]; 4] = [[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]];

    /// The nearest goal, and how far it is.
    pub fn nearest(position: [f64; 2]) -> (usize, f64) {
        let distance = |goal: &[f64; 2]| (goal[0] - position[0]).hypot(goal[1] - position[1]);
        let all = Self::GOALS.iter().map(distance).enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default()
    }

    /// The environment where each episode starts in the very middle: from elsewhere the nearest goal is as good as a choice.
    pub fn from_middle() -> Self {
        Self { start_deviation: 0.0, ..Self::default() }
    }

    /// Which goals some episodes reached.
    pub fn tally(played: &[Played]) -> GoalTally {
        let mut counts = [0; 4];
        for episode in played.iter().filter(|p| p.ended.terminated) {
            if let Some(&[x, y]) = episode.observations.last().map(Vec::as_slice) {
                counts[Self::nearest([x, y]).0] += 1;
            }
        }
        let reached = f64::from(counts.iter().sum::<u32>());
        let shares = counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / reached);
        let entropy = shares.map(|share| -share * share.log2()).sum();
        GoalTally { counts, entropy, success: reached / played.len().max(1) as f64 }
    }
}

impl Default for MultiGoal {
    /// In the middle.
    fn default() -> Self {
        let at = |name| Axis::bounded(name, -BOUND, BOUND);
        let velocity = |name| Axis::bounded(name, -1.0, 1.0);
        Self {
            observation: space(vec![at("x"), at("y")]),
            action: space(vec![velocity("velocity_x"), velocity("velocity_y")]),
            position: [0.0; 2],
            trail: vec![],
            start_deviation: START_DEVIATION,
        }
    }
}

impl Environment for MultiGoal {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        Some(30)
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        self.position = [(); 2].map(|()| self.start_deviation * normal(rng));
        self.trail = vec![self.position];
        Ok(self.position.to_vec())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        for (at, velocity) in self.position.iter_mut().zip(action) {
            *at = (*at + velocity.clamp(-1.0, 1.0)).clamp(-BOUND, BOUND);
        }
        self.trail.push(self.position);
        let (_, distance) = Self::nearest(self.position);
        let effort: f64 = action.iter().map(|v| v * v).sum();
        let mut reward = -30.0 * effort - distance.powi(2);
        let mut progress = Progress::Goes;
        if distance < NEAR {
            reward += 10.0;
            progress = Progress::Terminated;
        }
        Ok(Step { observation: self.position.to_vec(), reward, progress })
    }

    fn state(&self) -> Vec<f64> {
        self.position.to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.position = numbers_of(state)?;
        self.trail = vec![self.position];
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        let goals = Self::GOALS.iter().map(|&goal| Shape::disc(goal, NEAR, Tone::Goal));
        let trail = Shape::Line { points: self.trail.clone(), width: 0.08, tone: Tone::Force };
        let body = Shape::disc(self.position, 0.2, Tone::Body);
        Sketch {
            across: [-BOUND, BOUND],
            up: [-BOUND, BOUND],
            shapes: goals.chain([trail, body]).collect(),
        }
    }
}
