//! Text on its way out, compressed if the file's name says so.

use std::io::{BufWriter, Write};

use crate::format::Packing;
use crate::target::Sink;

const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// A buffered, maybe compressing writer that must be finished.
pub(crate) enum Packed {
    Plain(BufWriter<Sink>),
    Gzip(flate2::write::GzEncoder<BufWriter<Sink>>),
    Zstd(zstd::stream::write::Encoder<'static, BufWriter<Sink>>),
}

impl Packed {
    pub(crate) fn new(sink: Sink, packing: Packing) -> std::io::Result<Self> {
        let out = BufWriter::with_capacity(1 << 16, sink);
        Ok(match packing {
            Packing::Plain => Self::Plain(out),
            Packing::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(out, flate2::Compression::new(GZIP_LEVEL)))
            }
            Packing::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(out) => out.write_all(bytes),
            Self::Gzip(out) => out.write_all(bytes),
            Self::Zstd(out) => out.write_all(bytes),
        }
    }

    pub(crate) fn finish(self) -> std::io::Result<()> {
        let mut out = match self {
            Self::Plain(out) => out,
            Self::Gzip(out) => out.finish()?,
            Self::Zstd(out) => out.finish()?,
        };
        out.flush()
    }
}
