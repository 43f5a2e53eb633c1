//! Runs a decoder that is not trusted to be free of panics, and turns a panic into an error.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use diffeo::{Error, ErrorKind, Result, printable};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Whether the last panic under a guard came from this crate.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Where the sources of this crate lie, as panics name them.
fn own_sources() -> &'static str {
    file!().strip_suffix("guard.rs").unwrap_or(file!())
}

/// Puts a filter before the process's panic hook, once: it is silent for threads that are inside [`guarded`] and calls the
/// hook that was there before for all others.
fn install_filter() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.try_with(Cell::get).unwrap_or(false) {
                OURS.set(info.location().is_some_and(|at| at.file().starts_with(own_sources())));
            } else {
                before(info);
            }
        }));
    });
}

/// Calls `decode`. A panic inside becomes a data error: on damaged files the Parquet and Arrow crates still panic now and then.
/// One in this crate is a bug of ours, and is called that.
pub(crate) fn guarded<T>(what: &str, decode: impl FnOnce() -> Result<T>) -> Result<T> {
    install_filter();
    let outer = QUIET.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(decode));
    QUIET.set(outer);
    outcome.unwrap_or_else(|payload| {
        let reason = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        let reason: String = printable(reason).chars().take(200).collect();
        if OURS.get() {
            return Err(Error::new(
                ErrorKind::Internal,
                format!("the {what} decoder failed: {reason}; this is a bug in diffeo, please report it with the file"),
            ));
        }
        Err(Error::data(format!(
            "the {what} decoder gave up: {reason}; the file is damaged or of a kind that is not understood, write it anew"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a15_panic_of_a_decoder_is_a_data_error() {
        let cut = || drop(arrow_buffer::ScalarBuffer::<i64>::from(vec![1]).slice(0, 7));
        let result = guarded("test", || {
            cut();
            Ok(())
        });
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(!QUIET.get());
        assert_eq!(guarded("test", || Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a15_panic_of_our_own_is_called_a_bug() {
        let result: Result<()> = guarded("test", || panic!("index {} out of range", 7));
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.message().contains("index 7 out of range"), "{error}");
    }
}
