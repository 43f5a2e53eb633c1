//! `diffeo audio`: waveforms.

mod clips;
mod distill;
mod evaluate;
mod fit;
mod inspect;
mod learn;
mod plot;
mod sample;
mod score;

use diffeo::Result;
pub(super) use inspect::inspected;

use crate::args::{AudioArgs, AudioCommand, Common};
use crate::output::{Console, Report};

/// Runs the command of `diffeo audio` that was asked for.
pub(super) fn run(args: &AudioArgs, common: &Common, console: &Console) -> Result<Report> {
    match &args.command {
        AudioCommand::Fit(args) => fit::run(args, common, console),
        AudioCommand::Distill(args) => distill::run(args, common, console),
        AudioCommand::Score(args) => score::run(args, common, console),
        AudioCommand::Evaluate(args) => evaluate::run(args, common, console),
        AudioCommand::Sample(args) => sample::run(args, common, console),
        AudioCommand::Plot(args) => plot::run(args, common, console),
    }
}
