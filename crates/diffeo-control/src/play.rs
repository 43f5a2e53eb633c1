//! A policy at work.

use diffeo::burn::tensor::Tensor;
use diffeo::{Error, ErrorKind, Flow, Purpose, Result, Streams};

use crate::environment::{Ended, Environment, Episode};
use crate::interface::{Interface, rows};
use crate::policy::{base_draws, draw};
use crate::sketch::Sketch;
use crate::trainer::numbers;

/// How a policy acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// By a draw.
    Drawn,
    /// By the one of so many draws that has the highest density: where a policy is `exp((Q - V) / T)`, the one of the highest `Q`.
    Best(usize),
}

/// An episode that was played.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// What it came to.
    pub ended: Ended,
    /// What was seen, from start to end: one more than actions.
    pub observations: Vec<Vec<f64>>,
    /// What was done.
    pub actions: Vec<Vec<f64>>,
    /// `ln pi(a | s)` of each action in nats, of actions scaled to (-1, 1): minus its mean is the entropy of the policy where it was.
    pub log_probs: Vec<f64>,
    /// What it earned.
    pub rewards: Vec<f64>,
    /// What it looked like, if that was asked for: as many as observations.
    pub sketches: Vec<Sketch>,
}

/// Steps after which an episode without an end and without a limit of time is given up.
const STEPS_MAX: u64 = 1_000_000;

/// Plays episodes number `first .. first + n` of a seed, side by side. Episode `i` is the same however many there are.
///
/// # Errors
/// Those of environment and flow; [`diffeo::ErrorKind::Limit`] for an episode that has not ended after a million steps.
pub fn play(
    flow: &Flow,
    make: &dyn Fn() -> Box<dyn Environment>,
    (first, n): (u64, usize),
    conduct: Conduct,
    (seed, sketched): (u64, bool),
) -> Result<Vec<Played>> {
    let streams = Streams::new(seed);
    let mut episodes = Vec::with_capacity(n);
    let mut played = Vec::with_capacity(n);
    for i in 0..n as u64 {
        let episode = Episode::start(make(), &mut streams.rng(Purpose::Check, first + i, 0))?;
        played.push(Played {
            ended: Ended { earned: 0.0, steps: 0, terminated: false },
            observations: vec![episode.observation().to_vec()],
            actions: vec![],
            log_probs: vec![],
            rewards: vec![],
            sketches: if sketched { vec![episode.environment().sketch()] } else { vec![] },
        });
        episodes.push(Some(episode));
    }
    let Some(Some(any)) = episodes.first() else { return Ok(played) };
    let interface = Interface::of(any.environment());
    for time in 0..STEPS_MAX {
        let going: Vec<usize> = (0..n).filter(|&i| episodes[i].is_some()).collect();
        if going.is_empty() {
            return Ok(played);
        }
        let seen = going.iter().flat_map(|&i| episodes[i].as_ref());
        let states: Vec<f32> = seen.flat_map(|e| interface.context(e.observation())).collect();
        let states = rows(states, interface.observed(), flow);
        let numbers_of = |i: &usize| first + *i as u64;
        let going_numbers: Vec<u64> = going.iter().map(numbers_of).collect();
        let (actions, log_probs) = act(flow, &states, conduct, (streams, time, &going_numbers))?;
        let acted = actions.chunks(interface.acted()).zip(log_probs);
        for (&i, (u, log_prob)) in going.iter().zip(acted) {
            let Some(episode) = &mut episodes[i] else { continue };
            let action = interface.action(u);
            let (step, ended) = episode.step(&action)?;
            let record = &mut played[i];
            record.observations.push(step.observation);
            record.actions.push(action);
            record.log_probs.push(log_prob.into());
            record.rewards.push(step.reward);
            if sketched {
                record.sketches.push(episode.environment().sketch());
            }
            if let Some(ended) = ended {
                record.ended = ended;
                episodes[i] = None;
            }
        }
    }
    Err(Error::new(
        ErrorKind::Limit,
        format!(
            "an episode has not ended after {STEPS_MAX} steps; give its environment a limit of time"
        ),
    ))
}

/// An action for each state, before `tanh`, and its log-density.
fn act(
    flow: &Flow,
    states: &Tensor<2>,
    conduct: Conduct,
    (streams, time, episodes): (Streams, u64, &[u64]),
) -> Result<(Vec<f32>, Vec<f32>)> {
    let each = match conduct {
        Conduct::Drawn => 1,
        Conduct::Best(draws) => draws.max(1),
    };
    let (d, width) = (flow.dims(), states.dims()[1]);
    let mut z = Vec::with_capacity(episodes.len());
    for episode in episodes {
        // Each episode has a stream of its own: what it does depends on no other.
        let own = Streams::new(streams.seed() ^ (episode + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z.push(base_draws(flow, own, (Purpose::Sample, time), each)?);
    }
    let n = episodes.len();
    let repeated = states.clone().reshape([n, 1, width]).expand([n, each, width]);
    let drawn = draw(flow, &repeated.reshape([n * each, width]), Tensor::cat(z, 0))?;
    let u = numbers(drawn.u)?;
    let log_prob = numbers(drawn.log_prob.reshape([n, each]))?;
    if each == 1 {
        return Ok((u, log_prob));
    }
    let highest = |(i, densities): (usize, &[f32])| {
        let highest = (0..each).max_by(|&a, &b| densities[a].total_cmp(&densities[b]));
        i * each + highest.unwrap_or(0)
    };
    let best: Vec<usize> = log_prob.chunks(each).enumerate().map(highest).collect();
    let actions = best.iter().flat_map(|&at| u[at * d..(at + 1) * d].to_vec()).collect();
    Ok((actions, best.iter().map(|&at| log_prob[at]).collect()))
}
