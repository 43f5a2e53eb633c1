//! Arguments of `diffeo control`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use diffeo_control::{PolicyKind, Task};

use super::exit_codes;
use crate::columns::CountList;
use crate::duration::Span;

/// Learn policies by soft actor-critic, and let them act.
///
/// A policy is the density of an action given what is observed: a model file that score, sample --context and inspect understand.
#[derive(Args, Clone, Debug)]
pub(crate) struct ControlArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ControlCommand,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ControlCommand {
    Train(Box<ControlTrainArgs>),
    Run(ControlRunArgs),
}

fn env_help() -> String {
    let list: Vec<String> =
        Task::ALL.iter().map(|task| format!("{task}: {}", task.summary())).collect();
    format!("Environment. {}", list.join("; "))
}

fn policy_help() -> String {
    format!(
        "Family of the policy: {} (tanh of a normal number), or tanh of any model that takes a context [default: nsf-coupling]",
        PolicyKind::Gaussian
    )
}

/// Learn a policy and write it.
///
/// Takes steps in an environment and learns from what it has experienced: a policy that earns as much as it can and stays as undecided as it can. The file
/// holds the policy of the last validation that no other beat by more than its error: from time to time it plays episodes that start the same each time.
/// Learning rates fall over the second half of the steps, or of the time. Training can be stopped at any time (Ctrl-C, or a crash) and goes on with --resume
/// to the very same bits, if it plans as many steps.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo control train --env pendulum --policy nsf-coupling --steps 20000 --out policy.safetensors\n  \
     diffeo control train --env multi-goal --out goals.safetensors --plot returns.png\n  \
     diffeo control train --env pendulum --algorithm meow --temperature 0.1 --out energy.safetensors\n  \
     diffeo control train --env reacher --max-time 5m --out arm.safetensors --log arm.jsonl\n\n\
     Where nothing else is said, settings are those that suit the environment.\n\n\
     JSON keys: environment, policy, algorithm, parameters, steps, updates, episodes, seconds, stop_reason, seed, validated: {steps, mean, terminated}, \
     temperature, entropy, refused, out, log, plot\n\n",
    exit_codes!()
))]
pub(crate) struct ControlTrainArgs {
    #[arg(long, value_name = "NAME", help = env_help())]
    pub(crate) env: Option<String>,
    /// Policy file to write
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace an existing policy or checkpoint
    #[arg(long)]
    pub(crate) force: bool,
    /// Draw what episodes earned when training is done: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    #[arg(long, value_name = "NAME", help_heading = "Policy", help = policy_help())]
    pub(crate) policy: Option<String>,
    /// Number of transforms of the policy's flow
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Policy")]
    pub(crate) transforms: Option<i128>,
    /// Widths of the hidden layers, of the policy and of the networks that value, such as 64,64
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, help_heading = "Policy")]
    pub(crate) hidden: Option<CountList>,
    /// Bins of each spline, components of each mixture
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Policy")]
    pub(crate) bins: Option<i128>,
    /// Let a network make N numbers of what is observed, which the policy's transforms see in its place
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Policy")]
    pub(crate) embed: Option<i128>,

    /// sac: soft actor-critic; meow: one flow that is policy and critic, trained by the soft Bellman error alone [default: sac]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    pub(crate) algorithm: Option<String>,
    /// Weight of entropy, in units of reward per nat, fixed; without it sac follows --entropy
    #[arg(long, value_name = "T", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) temperature: Option<f64>,
    /// Entropy that the temperature is tuned for, in nats of actions scaled to (-1, 1) [default: minus the number of an action's numbers]
    #[arg(long, value_name = "NATS", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) entropy: Option<f64>,
    /// What a reward is worth a step earlier [default: 0.99, or what suits the environment]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) discount: Option<f64>,
    /// Learning rate of policy and values
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) lr: Option<f64>,
    /// Transitions of an update [default: 256]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) batch: Option<i128>,
    /// Steps with random actions before anything is learned
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) warmup: Option<i128>,
    /// Environments that are stepped side by side, with as many updates as steps [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) envs: Option<i128>,
    /// Seed of weights, actions and environments [default: drawn, and said]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Training")]
    pub(crate) seed: Option<i128>,

    /// Steps in the environment
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Stopping and going on"
    )]
    pub(crate) steps: Option<i128>,
    /// Stop after this time, such as 10m or 1h30m, with a policy and a checkpoint
    #[arg(
        long,
        value_name = "TIME",
        allow_hyphen_values = true,
        help_heading = "Stopping and going on"
    )]
    pub(crate) max_time: Option<Span>,
    /// Go on from OUT.checkpoint
    #[arg(long, help_heading = "Stopping and going on")]
    pub(crate) resume: bool,
    /// Write what happens, one JSON object a line: episodes and validations
    #[arg(long, value_name = "FILE", help_heading = "Stopping and going on")]
    pub(crate) log: Option<PathBuf>,
}

/// Let a policy act and say what it earns.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = concat!(
    "Examples:\n  diffeo control run policy.safetensors\n  \
     diffeo control run policy.safetensors --episodes 1000 --json\n  \
     diffeo control run policy.safetensors --plot moments.png --film roll.png\n  \
     diffeo control run policy.safetensors --best 16 --out steps.parquet\n\n\
     JSON keys: environment, episodes, return_mean, return_stderr, return_min, return_max, terminated, steps_mean, out, plot, film\n\n",
    exit_codes!()
))]
pub(crate) struct ControlRunArgs {
    /// Policy file
    #[arg(value_name = "POLICY")]
    pub(crate) model: Option<PathBuf>,
    #[arg(long, value_name = "NAME", help = concat!("Environment [default: the one that the policy was learned in]"))]
    pub(crate) env: Option<String>,
    /// Episodes [default: 100]
    #[arg(long, short = 'n', value_name = "N", allow_negative_numbers = true)]
    pub(crate) episodes: Option<i128>,
    /// Take the action of the highest density of N draws, in place of a draw
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) best: Option<i128>,
    /// Seed of starts and draws [default: 0, so that it repeats]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<i128>,
    /// Table to write, a row for each step: episode, step, observation, action, reward; its name decides the format
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Draw moments of the first episode: .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Write up to four episodes side by side as an animation: .png
    #[arg(long, value_name = "FILE")]
    pub(crate) film: Option<PathBuf>,
    /// Replace existing outputs
    #[arg(long)]
    pub(crate) force: bool,
}
