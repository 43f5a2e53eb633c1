//! Reads bytes as sound.

use diffeo::{ErrorKind, Result};
use diffeo_audio::Recording;

/// A WAV file; gives the number of samples. It must be refused, or be sound that is written and read again alike.
pub fn wav(bytes: &[u8]) -> Result<usize> {
    let sound = Recording::decode(bytes).inspect_err(|error| {
        let fit = !error.message().contains(char::is_control) && error.message().len() < 1000;
        assert!(fit && matches!(error.kind(), ErrorKind::Data | ErrorKind::Limit), "{error:?}");
    })?;
    assert!(sound.samples.iter().all(|v| v.is_finite()), "samples are numbers");
    assert!(sound.samples.len() <= bytes.len(), "more samples than bytes");
    Ok(sound.samples.len())
}
