//! `diffeo control`: policies that are learned, and policies at work.

mod film;
mod run;
mod train;

use diffeo::Result;

pub(in crate::commands) use film::of_plot;

use crate::args::{Common, ControlArgs, ControlCommand};
use crate::output::{Console, Report};

/// Runs the command of `diffeo control` that was asked for.
pub(super) fn run(args: &ControlArgs, common: &Common, console: &Console) -> Result<Report> {
    match &args.command {
        ControlCommand::Train(args) => train::run(args, common, console),
        ControlCommand::Run(args) => run::run(args, common, console),
    }
}
