//! What a checkpoint is about, before a fit goes on from it.

use std::path::Path;

use super::checkpoint;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::file::storage::{has_generation, remove_generations};

/// What [`Trainer::look_at_checkpoint`] found.
#[derive(Debug)]
pub struct Checkpoint {
    /// The seed of the fit, which is needed to go on.
    pub seed: u64,
    /// Why the newest generation cannot be used, if so: going on would use the one before it.
    pub refused: Option<Error>,
}

impl Trainer {
    /// What the checkpoint at `path` is about.
    ///
    /// # Errors
    /// As [`Trainer::resume`] for a checkpoint that cannot be used.
    pub fn look_at_checkpoint(path: &Path) -> Result<Checkpoint> {
        let saved = checkpoint::read(path)?;
        Ok(Checkpoint { seed: saved.identity.plan.seed, refused: saved.refused })
    }

    /// Whether a fit left a checkpoint at `path`, if only the one before the newest.
    pub fn has_checkpoint(path: &Path) -> bool {
        has_generation(path)
    }

    /// Removes both generations of a checkpoint, of a fit that is finished.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Io`] if one is there and cannot be removed.
    pub fn remove_checkpoint(path: &Path) -> Result<()> {
        remove_generations(path)
    }
}
