//! The command `diffeo`: from a table to a density and back.
//!
//! This crate holds arguments, progress and output; every number comes from the library. [`run`] turns the command line
//! into arguments (`config::parse`), runs one command (`commands::run`) and ends with an exit code (`exit::guard`). It is a library so that the package for
//! Python brings the same command along.

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when the reader of a pipe has gone

use std::ffi::OsString;

mod args;
mod columns;
mod commands;
mod config;
mod duration;
mod exit;
mod faults;
pub mod figures;
pub mod graph;
pub mod memory;
mod options;
mod output;
mod preflight;
mod progress;
mod signals;

/// Runs the program with these arguments, the first of which is its name, and gives its exit code: 0 done, 1 the task failed, 2 usage, 3 data, 4 model file,
/// 5 input or output, 70 a bug, 130 and 143 interrupted. It takes the process for its own: the hook of panics and, for work that can stop cleanly,
/// the handlers of signals.
pub fn run(arguments: impl Iterator<Item = OsString>) -> u8 {
    exit::guard(|| {
        let cli = match config::parse(arguments) {
            Ok(cli) => cli,
            Err(early) => return early.finish(),
        };
        let console = output::Console::new(&cli.common);
        match commands::run(&cli, &console) {
            Ok(report) => console.finish(&report),
            Err(error) => console.fail(&error),
        }
    })
}
