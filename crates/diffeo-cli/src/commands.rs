//! The commands: each checks its options, calls the library, and reports.

mod audio;
mod check;
mod classify;
mod control;
mod evaluate;
mod fit;
mod inspect;
mod journal;
mod model;
mod plot;
mod reweight;
mod sample;
mod score;
mod truncate;
mod turn;

use std::path::Path;

use diffeo::{Result, printable};

use crate::args::{Cli, Command};
use crate::output::{Console, Report};
use crate::{config, signals};

/// Runs the command that `cli` names.
pub(crate) fn run(cli: &Cli, console: &Console) -> Result<Report> {
    match &cli.command {
        Command::Fit(args) => fit::run(args, &cli.common, console),
        Command::Score(args) => score::run(args, &cli.common, console),
        Command::Classify(args) => classify::run(args, &cli.common, console),
        Command::Evaluate(args) => evaluate::run(args, &cli.common, console),
        Command::Sample(args) => sample::run(args, &cli.common, console),
        Command::Truncate(args) => truncate::run(args, &cli.common, console),
        Command::Reweight(args) => reweight::run(args, &cli.common, console),
        Command::Check(args) => check::run(args, &cli.common, console),
        Command::Inspect(args) => inspect::run(args, &cli.common, console),
        Command::Plot(args) => plot::run(args, &cli.common, console),
        Command::Control(args) => control::run(args, &cli.common, console),
        Command::Audio(args) => audio::run(args, &cli.common, console),
        Command::Completions(args) => config::completions(args.shell).map(|()| Report::default()),
    }
}

/// What is told of a training that a signal ended, and that goes on from its checkpoint.
fn interrupted(checkpoint: &Path, steps: u64, console: &Console) -> Report {
    let checkpoint = checkpoint.to_string_lossy();
    console.note(format!(
        "interrupted; {} holds all that is needed: go on with --resume",
        printable(&checkpoint)
    ));
    let mut report = Report::default();
    report.code = signals::exit_code();
    report.key("checkpoint", checkpoint);
    report.key("steps", steps);
    report.key("stop_reason", "interrupted");
    report
}
