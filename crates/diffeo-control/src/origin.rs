//! Where a policy comes from, noted in its file.

use diffeo::{Error, Model, Result};
use serde::{Deserialize, Serialize};

use crate::trainer::Algorithm;

/// What a policy was learned in and by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The name of the environment.
    pub environment: String,
    /// What learned it.
    pub algorithm: Algorithm,
    /// The family of the policy.
    pub policy: String,
    /// Steps before it was as it is.
    pub steps: u64,
    /// The seed of all.
    pub seed: u64,
}

/// The name of the note.
const NOTE: &str = "control";

impl Origin {
    /// Notes it in a policy.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Internal`] if it has no JSON form.
    pub fn write_into(&self, policy: &mut Model) -> Result<()> {
        let text = serde_json::to_string(self).map_err(|e| {
            Error::new(diffeo::ErrorKind::Internal, format!("cannot describe the policy: {e}"))
        })?;
        policy.set_note(NOTE, text)
    }

    /// What is noted in a model; nothing if it is no policy.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::ModelFile`] for a note that cannot be read.
    pub fn of(model: &Model) -> Result<Option<Self>> {
        let Some(text) = model.note(NOTE) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|e| {
            Error::model_file(format!(
                "the note on where the policy comes from cannot be read: {e}"
            ))
        })
    }
}
