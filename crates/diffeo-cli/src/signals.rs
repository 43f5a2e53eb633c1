//! Ctrl-C and SIGTERM: the first asks the work to stop cleanly, the second ends the process at once.
//!
//! A command that can stop cleanly says so with [`defer`]; before that (while a file is read, say) there is nothing to
//! save and the first signal ends the process.

use std::io;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use diffeo::{Error, ErrorKind, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// `true` while the next signal ends the process.
static AT_ONCE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));
/// The number of the signal that asked the work to stop, 0 when none did.
static RECEIVED: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(0)));

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Installs the handlers, once: from here on the caller polls [`received`] and stops cleanly when a signal has come.
pub(crate) fn defer() -> Result<()> {
    let install = || -> io::Result<()> {
        for signal in [SIGINT, SIGTERM] {
            // Order matters: on the first signal this does nothing, and the next line arms it for the second.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&AT_ONCE))?;
            flag::register(signal, Arc::clone(&AT_ONCE))?;
            let number = usize::try_from(signal).unwrap_or_default();
            flag::register_usize(signal, Arc::clone(&RECEIVED), number)?;
        }
        Ok(())
    };
    // A second set of handlers would take the first signal for the second.
    if INSTALLED.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    AT_ONCE.store(false, Ordering::SeqCst);
    install().map_err(|e| {
        Error::new(ErrorKind::Io, format!("cannot install the signal handlers: {e}")).caused_by(e)
    })
}

/// The signal that asked the work to stop, if one did.
pub(crate) fn received() -> Option<u8> {
    u8::try_from(RECEIVED.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
}

/// The exit code of work that a signal stopped: 128 + its number.
pub(crate) fn exit_code() -> u8 {
    128 + received().unwrap_or(2)
}

/// An error once a signal has come: for loops that have nothing to save.
pub(crate) fn check() -> Result<()> {
    match received() {
        None => Ok(()),
        Some(_) => {
            Err(Error::new(ErrorKind::Interrupted, "interrupted; no output file was written"))
        }
    }
}
