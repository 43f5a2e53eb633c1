//! What the turns of a training are told as, of sound and of policies.

use diffeo::train::{StopReason, Turn};

use crate::progress::Progress;

/// The step that was taken, or why there is none; `kept` is what is kept of a training that diverged.
pub(super) fn step_of<S>(turn: Turn<S>, kept: &str, progress: &Progress) -> Result<S, StopReason> {
    match turn {
        Turn::Step(step) => Ok(step),
        Turn::Ended(reason, fault) => {
            if let Some(fault) = fault {
                progress.warn(format!("{}; the best {kept} is kept", fault.message()));
            }
            Err(reason)
        }
    }
}
