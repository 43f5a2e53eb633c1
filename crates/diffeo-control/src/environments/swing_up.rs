//! The pole on a cart.

use std::f64::consts::PI;

use diffeo::{ChaCha8Rng, Result};

use super::{between, space};
use crate::environment::{Environment, Progress, Step, numbers_of};
use crate::sketch::{Shape, Sketch, Tone};
use crate::space::{Axis, Space};

/// A pole that hangs from a cart, to be swung up and balanced by pushing the cart along a track.
///
/// * Cart of 1 kg, pole of 0.1 kg and 1 m, no friction, by the equations of Barto, Sutton, Anderson (1983) with Florian's correction (2005) and steps of 0.02 s, speeds first;
///   `theta = 0` is upright. Beyond 2.4 m the episode is over.
/// * Observation: position (m), velocity, `cos theta`, `sin theta`, speed (rad/s). Action: force within 10 N.
/// * Reward: `(1 + cos theta) / 2 (1 - (position / 2.4)^2)`, at most 1. Start: hanging within 0.1 rad at rest near the middle. 500 steps.
#[derive(Clone, Debug)]
pub struct SwingUp {
    observation: Space,
    action: Space,
    /// Position, velocity, angle, speed.
    state: [f64; 4],
    force: f64,
}

const TRACK: f64 = 2.4;
const FORCE_MAX: f64 = 10.0;
const SECONDS: f64 = 0.02;
const GRAVITY: f64 = 9.8;
const POLE: f64 = 0.1;
const TOTAL: f64 = 1.1;
const HALF_LENGTH: f64 = 0.5;

impl Default for SwingUp {
    /// Hanging at rest.
    fn default() -> Self {
        Self {
            observation: space(vec![
                Axis { scale: TRACK, ..Axis::unbounded("position", 1.0) },
                Axis::unbounded("velocity", 3.0),
                Axis::bounded("cos", -1.0, 1.0),
                Axis::bounded("sin", -1.0, 1.0),
                Axis::unbounded("speed", 6.0),
            ]),
            action: space(vec![Axis::bounded("force", -FORCE_MAX, FORCE_MAX)]),
            state: [0.0, 0.0, PI, 0.0],
            force: 0.0,
        }
    }
}

impl SwingUp {
    fn seen(&self) -> Vec<f64> {
        let [position, velocity, theta, speed] = self.state;
        vec![position, velocity, theta.cos(), theta.sin(), speed]
    }
}

impl Environment for SwingUp {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        Some(500)
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let position = between(rng, -0.1, 0.1);
        self.state = [position, 0.0, PI + between(rng, -0.1, 0.1), 0.0];
        self.force = 0.0;
        Ok(self.seen())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.force = action[0].clamp(-FORCE_MAX, FORCE_MAX);
        let [position, velocity, theta, speed] = self.state;
        let (sin, cos) = theta.sin_cos();
        let push = (self.force + POLE * HALF_LENGTH * speed.powi(2) * sin) / TOTAL;
        let turned =
            (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4.0 / 3.0 - POLE * cos.powi(2) / TOTAL));
        let driven = push - POLE * HALF_LENGTH * turned * cos / TOTAL;
        let (velocity, speed) = (velocity + SECONDS * driven, speed + SECONDS * turned);
        let (position, theta) = (position + SECONDS * velocity, theta + SECONDS * speed);
        self.state = [position, velocity, theta, speed];
        let share = position / TRACK;
        let is_off = share.abs() > 1.0;
        let reward = 0.5 * (1.0 + theta.cos()) * (1.0 - share.powi(2)).max(0.0);
        let progress = if is_off { Progress::Terminated } else { Progress::Goes };
        Ok(Step { observation: self.seen(), reward, progress })
    }

    fn state(&self) -> Vec<f64> {
        self.state.to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.state = numbers_of(state)?;
        self.force = 0.0;
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        let [x, _, theta, _] = self.state;
        let tip = [x + 2.0 * HALF_LENGTH * theta.sin(), 2.0 * HALF_LENGTH * theta.cos()];
        let half = 0.2;
        let end = [x + 0.1 * self.force, -0.3];
        Sketch {
            across: [-TRACK - 0.2, TRACK + 0.2],
            up: [-1.4, 1.4],
            shapes: vec![
                Shape::line([-TRACK, 0.0], [TRACK, 0.0], 0.02, Tone::Ground),
                Shape::line([x - half, 0.0], [x + half, 0.0], 0.2, Tone::Ground),
                Shape::line([x, 0.0], tip, 0.09, Tone::Body),
                Shape::line([x, -0.3], end, 0.06, Tone::Force),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of cart and pole, the pole a rod about its middle.
    fn energy([_, velocity, theta, speed]: [f64; 4]) -> f64 {
        let across = velocity + HALF_LENGTH * speed * theta.cos();
        let up = -HALF_LENGTH * speed * theta.sin();
        let inertia = POLE * HALF_LENGTH.powi(2) / 3.0;
        0.5 * (TOTAL - POLE) * velocity.powi(2)
            + 0.5 * POLE * (across.powi(2) + up.powi(2))
            + 0.5 * inertia * speed.powi(2)
            + POLE * GRAVITY * HALF_LENGTH * theta.cos()
    }

    #[test]
    fn energy_changes_by_what_the_force_does() -> Result<()> {
        for (theta, speed, force) in [(0.3, 1.2, 0.0), (2.0, -3.0, 7.0), (-1.0, 0.5, -10.0)] {
            let mut world = SwingUp::default();
            let before = [0.2, -0.7, theta, speed];
            world.set_state(&before)?;
            world.step(&[force])?;
            let by = |i: usize| (world.state[i] - before[i]) / SECONDS;
            let (a, b) = (by(1), by(3));
            let after =
                |t: f64| energy([0.2 - 0.7 * t, -0.7 + a * t, theta + speed * t, speed + b * t]);
            let change = (after(1e-5) - after(-1e-5)) / 2e-5;
            assert!((change + 0.7 * force).abs() < 1e-6, "{change} {force}");
        }
        Ok(())
    }

    #[test]
    fn the_track_ends() -> Result<()> {
        let mut world = SwingUp::default();
        world.set_state(&[2.39, 3.0, 0.0, 0.0])?;
        let step = world.step(&[10.0])?;
        assert_eq!((step.progress, step.reward), (Progress::Terminated, 0.0));
        assert!(world.set_state(&[0.0; 3]).is_err() && world.set_state(&[f64::NAN; 4]).is_err());
        Ok(())
    }
}
