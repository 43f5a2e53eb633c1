//! The arm with two links.

use std::f64::consts::PI;

use diffeo::{ChaCha8Rng, Result, normal};

use super::{between, space};
use crate::environment::{Environment, Progress, Step, numbers_of};
use crate::sketch::{Shape, Sketch, Tone};
use crate::space::{Axis, Space};

/// An arm of two links in a level plane, whose tip is to be brought to a point and held there. The elbow may bend either way: an arm that starts stretched out towards its
/// target has two ways that are as good as each other.
///
/// * Two uniform rods of 1 m and 1 kg with motors at shoulder and elbow and a friction of 0.5 N m s, `M(q) q'' + C(q, q') q' + 0.5 q' = torque`, by steps of 0.05 s,
///   of two parts each, speeds first and within 10 rad/s.
/// * Observation: `cos` and `sin` of both angles, the elbow's from the upper arm on, their speeds (rad/s), the target, and the way from the tip to it (m). Action: torques within 4 and 2 N m.
/// * Reward: `-distance - 0.01 |torque / its bound|^2`. Start: at rest, within about 0.05 rad of stretched out towards the target, which is 0.6 to 1.6 m away in any direction. 100 steps.
#[derive(Clone, Debug)]
pub struct Reacher {
    observation: Space,
    action: Space,
    /// Both angles, both speeds, the target.
    state: [f64; 6],
}

const TORQUE_MAX: [f64; 2] = [4.0, 2.0];
const SPEED_MAX: f64 = 10.0;
const SECONDS: f64 = 0.05;
const PARTS: u32 = 2;
const FRICTION: f64 = 0.5;
/// Of a rod of 1 kg and 1 m about its middle, and the square of half its length.
const INERTIA: f64 = 1.0 / 12.0;
const QUARTER: f64 = 0.25;

impl Default for Reacher {
    /// Stretched out to the right.
    fn default() -> Self {
        let unit = |name| Axis::bounded(name, -1.0, 1.0);
        let speed = |name| Axis { scale: 3.0, ..Axis::bounded(name, -SPEED_MAX, SPEED_MAX) };
        let target = |name| Axis::bounded(name, -2.0, 2.0);
        let way = |name| Axis { scale: 1.0, ..Axis::bounded(name, -4.0, 4.0) };
        let torque = |name, most: f64| Axis::bounded(name, -most, most);
        Self {
            observation: space(vec![
                unit("cos_shoulder"),
                unit("sin_shoulder"),
                unit("cos_elbow"),
                unit("sin_elbow"),
                speed("speed_shoulder"),
                speed("speed_elbow"),
                target("target_x"),
                target("target_y"),
                way("way_x"),
                way("way_y"),
            ]),
            action: space(vec![
                torque("torque_shoulder", TORQUE_MAX[0]),
                torque("torque_elbow", TORQUE_MAX[1]),
            ]),
            state: [0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        }
    }
}

impl Reacher {
    fn seen(&self) -> Vec<f64> {
        let [shoulder, elbow, v, w, x, y] = self.state;
        let [way_x, way_y] = self.way();
        let angles = [shoulder.cos(), shoulder.sin(), elbow.cos(), elbow.sin()];
        [&angles[..], &[v, w, x, y, way_x, way_y]].concat()
    }

    /// From the tip to the target, in metres each way.
    fn way(&self) -> [f64; 2] {
        let [_, tip] = self.joints();
        [self.state[4] - tip[0], self.state[5] - tip[1]]
    }

    /// Elbow and tip.
    fn joints(&self) -> [[f64; 2]; 2] {
        let [shoulder, elbow, ..] = self.state;
        let joint = [shoulder.cos(), shoulder.sin()];
        let reach = shoulder + elbow;
        [joint, [joint[0] + reach.cos(), joint[1] + reach.sin()]]
    }

    /// From the tip to the target, in metres.
    pub fn distance(&self) -> f64 {
        let [x, y] = self.way();
        x.hypot(y)
    }

    /// The accelerations of both joints.
    fn accelerations(&self, torque: [f64; 2]) -> [f64; 2] {
        let [_, elbow, v, w, ..] = self.state;
        let (sin, cos) = elbow.sin_cos();
        let lower = INERTIA + QUARTER;
        let both = lower + 0.5 * cos;
        let whole = 2.0 * lower + 1.0 + cos;
        let coriolis = 0.5 * sin;
        let by_shoulder = torque[0] + coriolis * (2.0 * v + w) * w - FRICTION * v;
        let by_elbow = torque[1] - coriolis * v * v - FRICTION * w;
        let determinant = whole * lower - both * both;
        [
            (lower * by_shoulder - both * by_elbow) / determinant,
            (whole * by_elbow - both * by_shoulder) / determinant,
        ]
    }
}

impl Environment for Reacher {
    fn observation_space(&self) -> &Space {
        &self.observation
    }

    fn action_space(&self) -> &Space {
        &self.action
    }

    fn time_limit(&self) -> Option<u32> {
        Some(100)
    }

    fn reset(&mut self, rng: &mut ChaCha8Rng) -> Result<Vec<f64>> {
        let (angle, radius) = (between(rng, -PI, PI), between(rng, 0.6, 1.6));
        let shoulder = angle + 0.05 * normal(rng);
        let elbow = 0.05 * normal(rng);
        self.state = [shoulder, elbow, 0.0, 0.0, radius * angle.cos(), radius * angle.sin()];
        Ok(self.seen())
    }

    fn step(&mut self, action: &[f64]) -> Result<Step> {
        let torque = [0, 1].map(|i| action[i].clamp(-TORQUE_MAX[i], TORQUE_MAX[i]));
        let seconds = SECONDS / f64::from(PARTS);
        for _ in 0..PARTS {
            let accelerations = self.accelerations(torque);
            for (i, acceleration) in accelerations.into_iter().enumerate() {
                let speed = self.state[2 + i] + seconds * acceleration;
                self.state[2 + i] = speed.clamp(-SPEED_MAX, SPEED_MAX);
                self.state[i] += seconds * self.state[2 + i];
            }
        }
        let effort: f64 = (0..2).map(|i| (torque[i] / TORQUE_MAX[i]).powi(2)).sum();
        let reward = -self.distance() - 0.01 * effort;
        Ok(Step { observation: self.seen(), reward, progress: Progress::Goes })
    }

    fn state(&self) -> Vec<f64> {
        self.state.to_vec()
    }

    fn set_state(&mut self, state: &[f64]) -> Result<()> {
        self.state = numbers_of(state)?;
        Ok(())
    }

    fn sketch(&self) -> Sketch {
        let [joint, tip] = self.joints();
        Sketch {
            across: [-2.2, 2.2],
            up: [-2.2, 2.2],
            shapes: vec![
                Shape::disc([self.state[4], self.state[5]], 0.12, Tone::Goal),
                Shape::line([0.0, 0.0], joint, 0.14, Tone::Body),
                Shape::line(joint, tip, 0.1, Tone::Body),
                Shape::disc([0.0, 0.0], 0.1, Tone::Ground),
                Shape::disc(joint, 0.07, Tone::Ground),
                Shape::disc(tip, 0.06, Tone::Force),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use diffeo::{Purpose, Streams};

    fn arm(state: [f64; 6]) -> Reacher {
        Reacher { state, ..Reacher::default() }
    }

    /// Of both rods, from the speeds of their middles.
    fn energy([shoulder, elbow, v, w]: [f64; 4]) -> f64 {
        let reach = shoulder + elbow;
        let middle = [
            -v * shoulder.sin() - 0.5 * (v + w) * reach.sin(),
            v * shoulder.cos() + 0.5 * (v + w) * reach.cos(),
        ];
        let upper = 0.5 * (QUARTER + INERTIA) * v * v;
        upper + 0.5 * (middle[0].powi(2) + middle[1].powi(2)) + 0.5 * INERTIA * (v + w).powi(2)
    }

    #[test]
    fn energy_changes_by_what_motors_and_friction_do() {
        for (i, torque) in [[0.0, 0.0], [1.5, -0.4], [-3.0, 2.0]].into_iter().enumerate() {
            let (shoulder, elbow, v, w) = (0.4 + i as f64, -1.1, 1.3, -2.1 + i as f64);
            let [a, b] = arm([shoulder, elbow, v, w, 0.0, 0.0]).accelerations(torque);
            let after = |t: f64| energy([shoulder + t * v, elbow + t * w, v + t * a, w + t * b]);
            let change = (after(1e-5) - after(-1e-5)) / 2e-5;
            let power = (torque[0] - FRICTION * v) * v + (torque[1] - FRICTION * w) * w;
            assert!((change - power).abs() < 1e-6, "{change} {power}");
        }
    }

    #[test]
    fn either_elbow_reaches_the_target_and_both_are_mirrored() -> Result<()> {
        let mut rng = Streams::new(4).rng(Purpose::Check, 0, 0);
        for _ in 0..20 {
            let mut arm = Reacher::default();
            arm.reset(&mut rng)?;
            let [_, _, _, _, x, y] = arm.state;
            let (angle, radius) = (y.atan2(x), x.hypot(y));
            let bend = (radius * radius / 2.0 - 1.0).acos();
            for side in [1.0, -1.0] {
                let state = [angle - side * 0.5 * bend, side * bend, 0.0, 0.0, x, y];
                assert!(self::tests::arm(state).distance() < 1e-9);
            }
            assert!((0.6..=1.6).contains(&radius));
        }
        Ok(())
    }
}
