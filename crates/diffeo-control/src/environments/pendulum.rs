//! The pendulum with a weak motor.

use std::f64::consts::{PI, TAU};

use diffeo::{ChaCha8Rng, Result};

use super::{between, space};
use crate::environment::{Environment, Progress, Step, numbers_of};
use crate::sketch::{Shape, Sketch, Tone};
use crate::space::{Axis, Space};

/// Gymnasium's `Pendulum-v1`: a rod of mass 1 kg and length 1 m, held at one end, whose motor is too weak to lift it at once.
///
/// * `theta'' = 3 g / (2 l) sin theta + 3 / (m l^2) torque` with `g = 10`, by steps of 0.05 s, the speed first (semi-implicit Euler) and within 8 rad/s; `theta = 0` is upright.
/// * Observation: `cos theta`, `sin theta`, speed in rad/s. Action: torque within 2 N m.
/// * Reward: `-(theta^2 + 0.1 speed^2 + 0.001 torque^2)` before the step, `theta` within a half turn. Start: any angle, speed within 1 rad/s. 200 steps.
#[derive(Clone, Debug)]
pub struct Pendulum {
    observation: Space,
    action: Space,
    theta: f64,
    speed: f64,
    torque: f64,
}

const GRAVITY: f64 = 10.0;
const SPEED_MAX: f64 = 8.0;
const TORQUE_MAX: f64 = 2.0;
const SECONDS: f64 = 0.05;

impl Default for Pendulum {
    /// Hanging down.
    fn default() -> Self {
        Self {
            observation: space(vec![
                Axis::bounded("cos", -1.0, 1.0),
                Axis::bounded("sin", -1.0, 1.0),
                Axis::bounded("speed", -SPEED_MAX, SPEED_MAX),
            ]),
            action: space(vec![Axis::bounded("torque", -TORQUE_MAX, TORQUE_MAX)]),
            theta: PI,
            speed: 0.0,
            torque: 0.0,
        }
    }
}

impl Pendulum {
    fn seen(&self) -> Vec<f64> {
        vec![self.theta.cos(), self.theta.sin(), self.speed]
    }
}

impl Environment for Pendulum {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        Some(200)
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        self.theta = between(rng, -PI, PI);
        self.speed = between(rng, -1.0, 1.0);
        self.torque = 0.0;
        Ok(self.seen())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        self.torque = action[0].clamp(-TORQUE_MAX, TORQUE_MAX);
        let angle = (self.theta + PI).rem_euclid(TAU) - PI;
        let cost = angle.powi(2) + 0.1 * self.speed.powi(2) + 0.001 * self.torque.powi(2);
        let acceleration = 1.5 * GRAVITY * self.theta.sin() + 3.0 * self.torque;
        self.speed = (self.speed + acceleration * SECONDS).clamp(-SPEED_MAX, SPEED_MAX);
        self.theta += self.speed * SECONDS;
        Ok(Step { observation: self.seen(), reward: -cost, progress: Progress::Goes })
    }

    fn state(&self) -> Vec<f64> {
        vec![self.theta, self.speed]
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        [self.theta, self.speed] = numbers_of(state)?;
        self.torque = 0.0;
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        let tip = [-self.theta.sin(), self.theta.cos()];
        let end = [0.35 * self.torque, -1.35];
        Sketch {
            across: [-1.5, 1.5],
            up: [-1.5, 1.5],
            shapes: vec![
                Shape::disc([0.0, 1.0], 0.16, Tone::Goal),
                Shape::line([0.0, 0.0], tip, 0.2, Tone::Body),
                Shape::disc([0.0, 0.0], 0.06, Tone::Ground),
                Shape::line([0.0, -1.35], end, 0.08, Tone::Force),
            ],
        }
    }
}
