//! The command `diffeo`: from a table to a density and back.
//!
//! This crate holds arguments, progress and output; every number comes from the library. `main` turns the command line
//! into arguments ([`config::parse`]), runs one command ([`commands::run`]) and ends with an exit code ([`exit::guard`]).

#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)] // they panic when the reader of a pipe has gone

mod args;
mod columns;
mod commands;
mod config;
mod duration;
mod exit;
mod faults;
mod graph;
mod memory;
mod options;
mod output;
mod preflight;
mod progress;
mod signals;

fn main() -> std::process::ExitCode {
    exit::guard(|| {
        let cli = match config::parse(std::env::args_os()) {
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
