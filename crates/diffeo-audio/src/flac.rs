//! What a codec makes of a recording: a length that a density can be held against.

use diffeo::{Error, ErrorKind, Result};
use flacenc::component::BitRepr;
use flacenc::config;
use flacenc::error::Verify;
use flacenc::source::MemSource;

use crate::recording::Recording;

/// Bits of a sample that files have.
const DEPTHS: [usize; 5] = [8, 12, 16, 20, 24];
/// The highest rate of the encoder, in samples a second.
const RATE_MAX: u32 = 96_000;

impl Recording {
    /// Bits of the frames of a FLAC stream that holds the recording; `None` if its samples are no whole numbers of 24 bits or fewer, or its rate is above 96 kHz.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the encoder fails.
    pub fn flac_bits(&self) -> Result<Option<u64>> {
        // Between -1 and 1 there are as many levels as these bits tell apart.
        let depth = DEPTHS.into_iter().find(|bits| 2.0 / self.step == (*bits as f64).exp2());
        let (Some(depth), true) = (depth, self.rate <= RATE_MAX) else { return Ok(None) };
        let top = f64::from(1 << (depth - 1));
        let whole: Vec<f64> = self.samples.iter().map(|v| v * top).collect();
        if whole.iter().any(|v| v.fract() != 0.0 || *v < -top || *v >= top) {
            return Ok(None);
        }
        let whole: Vec<i32> = whole.into_iter().map(|v| v as i32).collect();
        let failed = |what: String| {
            Error::new(ErrorKind::Internal, format!("the FLAC encoder failed: {what}"))
        };
        let config = config::Encoder::default().into_verified();
        let config = config.map_err(|(_, e)| failed(e.to_string()))?;
        let source = MemSource::from_samples(&whole, 1, depth, self.rate as usize);
        let stream = flacenc::encode_with_fixed_block_size(&config, source, config.block_size);
        let stream = stream.map_err(|e| failed(e.to_string()))?;
        let frames = (0..stream.frame_count()).filter_map(|i| stream.frame(i));
        Ok(Some(frames.map(|frame| frame.count_bits() as u64).sum()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(count: usize, of: impl Fn(usize) -> f64) -> Recording {
        Recording { samples: (0..count).map(of).collect(), rate: 8000, step: 1.0 / 32768.0 }
    }

    #[test]
    fn noise_takes_its_bits_and_silence_none() {
        let noise = recording(20_000, |t| {
            let turned = (t as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = (turned ^ (turned >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            // Eight bits of 16, evenly.
            f64::from((mixed >> 56) as u8) / 32768.0
        });
        let bits = noise.flac_bits().unwrap().unwrap() as f64 / 20_000.0;
        // Never below the entropy; Rice codes are made for other noise than this.
        assert!((8.0..9.0).contains(&bits), "{bits}");
        let silence = recording(20_000, |_| 0.0).flac_bits().unwrap().unwrap();
        assert!(silence < 2000, "{silence}");
    }

    #[test]
    fn every_length_is_encoded_and_other_sound_has_none() {
        for count in [1, 31, 40, 4096, 4097] {
            let tone = recording(count, |t| (3000.0 * (0.2 * t as f64).sin()).round() / 32768.0);
            assert!(tone.flac_bits().unwrap().is_some_and(|bits| bits > 0), "{count} samples");
        }
        let fine = recording(10, |t| 0.1 * t as f64);
        assert_eq!(fine.flac_bits().unwrap(), None);
        let float = Recording { step: 0.0, ..recording(10, |_| 0.5) };
        assert_eq!(float.flac_bits().unwrap(), None);
        let loud = recording(10, |_| 1.5);
        assert_eq!(loud.flac_bits().unwrap(), None);
    }
}
