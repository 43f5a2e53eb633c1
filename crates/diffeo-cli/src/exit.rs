//! Exit codes, and the last line of defence: a panic becomes code 70 and a request to report it.

use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe};

use diffeo::{Error, ErrorKind, printable};

/// The task was done (also when the reader of stdout went away early).
pub(crate) const DONE: u8 = 0;
/// The task failed: training diverged, a check did not pass.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;
/// The data cannot be used.
pub(crate) const DATA: u8 = 3;
/// The model file cannot be used.
pub(crate) const MODEL: u8 = 4;
/// Input, output, space, memory or a device was refused.
pub(crate) const IO: u8 = 5;
/// A bug in diffeo.
pub(crate) const BUG: u8 = 70;

/// The exit code of an error.
pub(crate) fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Config => USAGE,
        ErrorKind::Data | ErrorKind::Shape | ErrorKind::Domain => DATA,
        ErrorKind::ModelFile | ErrorKind::Version => MODEL,
        ErrorKind::Io | ErrorKind::Limit | ErrorKind::Device => IO,
        ErrorKind::Interrupted => crate::signals::exit_code(),
        ErrorKind::Internal => BUG,
        _ => FAILED, // NotConverged, Diverged, CheckFailed
    }
}

/// Whether the cause of `error` is a pipe whose reader has gone: `diffeo sample ... | head` has done its task.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<std::io::Error>().is_some_and(broken) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Runs the whole program so that a panic, in any thread that is joined, ends with code 70 and a short message.
pub(crate) fn guard(program: impl FnOnce() -> u8) -> u8 {
    panic::set_hook(Box::new(report_panic));
    let code = panic::catch_unwind(AssertUnwindSafe(|| {
        panic_if_asked("start");
        program()
    }));
    code.unwrap_or(BUG)
}

fn report_panic(info: &panic::PanicHookInfo<'_>) {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let place =
        info.location().map(|l| format!(" ({}:{})", l.file(), l.line())).unwrap_or_default();
    let _ = writeln!(
        std::io::stderr().lock(),
        "diffeo: internal error: {}{place}\n\
         This is a bug in diffeo {}. No output was published. Please report it with the command that you ran.",
        printable(message),
        env!("CARGO_PKG_VERSION"),
    );
}

/// Lets a test see what a panic in a worker thread does at the place that `DIFFEO_TEST_PANIC` names, in the program as it is shipped.
pub(crate) fn panic_if_asked(place: &str) {
    if std::env::var_os("DIFFEO_TEST_PANIC").is_some_and(|asked| asked == place) {
        let worker = std::thread::spawn(|| -> () { panic!("asked for by DIFFEO_TEST_PANIC") });
        if let Err(payload) = worker.join() {
            panic::resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f6_a_broken_pipe_is_found_below_other_causes() {
        let pipe = || std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&Error::io("-", "write", pipe())));
        assert!(is_broken_pipe(&Error::data("x").caused_by(Error::io("-", "write", pipe()))));
        assert!(!is_broken_pipe(&Error::data("x")));
    }

    #[test]
    fn every_kind_has_its_code() {
        assert_eq!(code(ErrorKind::Config), 2);
        assert_eq!(code(ErrorKind::Shape), 3);
        assert_eq!(code(ErrorKind::Version), 4);
        assert_eq!(code(ErrorKind::Limit), 5);
        assert_eq!(code(ErrorKind::Diverged), 1);
        assert_eq!(code(ErrorKind::Internal), 70);
    }
}
