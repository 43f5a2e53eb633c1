//! Members of a gzip file one after another, and the zeros that may pad the last.

use std::io::{BufRead, BufReader, Read, Result};

use flate2::bufread::GzDecoder;

/// Reads all members; zeros behind one are passed over, as gzip does, and anything else is a fault.
pub(crate) struct Members<R> {
    /// Absent after the last.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(packed: R) -> Self {
        Self { member: Some(GzDecoder::new(BufReader::new(packed))) }
    }
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let mut packed = match self.member.take() {
                Some(member) => member.into_inner(),
                None => break,
            };
            loop {
                let waiting = packed.fill_buf()?;
                let (zeros, len) = (waiting.iter().take_while(|b| **b == 0).count(), waiting.len());
                packed.consume(zeros);
                if len == 0 {
                    return Ok(0);
                }
                if zeros < len {
                    break;
                }
            }
            self.member = Some(GzDecoder::new(packed));
        }
        Ok(0)
    }
}
