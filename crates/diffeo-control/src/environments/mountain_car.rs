//! The car in the valley.

use diffeo::{ChaCha8Rng, Result};

use super::{between, space};
use crate::environment::{Environment, Progress, Step, numbers_of};
use crate::sketch::{Shape, Sketch, Tone};
use crate::space::{Axis, Space};

/// Gymnasium's `MountainCarContinuous-v0`: a car that has to swing to and fro to get out of a valley.
///
/// * `speed += 0.0015 force - 0.0025 cos(3 position)`, within 0.07; `position += speed`, within [-1.2, 0.6], where the left end stops the car.
/// * Observation: position, speed. Action: force within 1.
/// * Reward: `-0.1 force^2`, and 100 at the goal, position 0.45, which ends the episode. Start: at rest in [-0.6, -0.4]. 999 steps.
///
/// Doing nothing earns 0, which is more than any way that fails: what explores a little finds no goal, and learns to stand still.
#[derive(Clone, Debug)]
pub struct MountainCar {
    observation: Space,
    action: Space,
    position: f64,
    speed: f64,
    force: f64,
}

const LEFT: f64 = -1.2;
const RIGHT: f64 = 0.6;
const SPEED_MAX: f64 = 0.07;
const GOAL: f64 = 0.45;

impl Default for MountainCar {
    /// At rest at the lowest point.
    fn default() -> Self {
        Self {
            observation: space(vec![
                Axis::bounded("position", LEFT, RIGHT),
                Axis::bounded("speed", -SPEED_MAX, SPEED_MAX),
            ]),
            action: space(vec![Axis::bounded("force", -1.0, 1.0)]),
            position: -std::f64::consts::FRAC_PI_6,
            speed: 0.0,
            force: 0.0,
        }
    }
}

impl MountainCar {
    fn seen(&self) -> Vec<f64> {
        vec![self.position, self.speed]
    }
}

fn height(position: f64) -> f64 {
    0.45 * (3.0 * position).sin() + 0.55
}

impl Environment for MountainCar {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        Some(999)
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        (self.position, self.speed, self.force) = (between(rng, -0.6, -0.4), 0.0, 0.0);
        Ok(self.seen())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.force = action[0].clamp(-1.0, 1.0);
        let pull = 0.0015 * self.force - 0.0025 * (3.0 * self.position).cos();
        self.speed = (self.speed + pull).clamp(-SPEED_MAX, SPEED_MAX);
        self.position = (self.position + self.speed).clamp(LEFT, RIGHT);
        if self.position == LEFT && self.speed < 0.0 {
            self.speed = 0.0;
        }
        let reached = self.position >= GOAL && self.speed >= 0.0;
        let reward = if reached { 100.0 } else { 0.0 } - 0.1 * action[0].powi(2);
        let progress = if reached { Progress::Terminated } else { Progress::Goes };
        Ok(Step { observation: self.seen(), reward, progress })
    }

    fn state(&self) -> Vec<f64> {
        self.seen()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        [self.position, self.speed] = numbers_of(state)?;
        self.force = 0.0;
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        let hill = (0..=90).map(|i| LEFT + (RIGHT - LEFT) * f64::from(i) / 90.0);
        let points = hill.map(|x| [x, height(x)]).collect();
        let at = [self.position, height(self.position) + 0.05];
        let end = [at[0] + 0.15 * self.force, at[1] + 0.1];
        Sketch {
            across: [LEFT, RIGHT],
            up: [0.0, 1.3],
            shapes: vec![
                Shape::Line { points, width: 0.015, tone: Tone::Ground },
                Shape::line([GOAL, height(GOAL)], [GOAL, height(GOAL) + 0.2], 0.02, Tone::Goal),
                Shape::disc(at, 0.05, Tone::Body),
                Shape::line([at[0], at[1] + 0.1], end, 0.02, Tone::Force),
            ],
        }
    }
}
