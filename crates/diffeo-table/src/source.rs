//! Opens an input, undoes compression, and shows its first bytes: everything that happens before a format is known.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use diffeo::{Error, ErrorKind, Result};

use crate::detect;
use crate::format::Packing;
use crate::gzip::Members;
use crate::options::Input;

/// Bytes shown to format detection.
const HEAD_BYTES: usize = 4096;
/// Limit on unpacked bytes where the caller sets none: this, plus [`PACKED_FACTOR`] times the packed bytes read so far.
const UNPACKED_FREE: u64 = 1 << 30;
const PACKED_FACTOR: u64 = 256;
/// A zstd frame may ask for a window of at most 2^27 bytes (128 MiB).
const ZSTD_WINDOW_LOG: u32 = 27;

/// An opened input whose first bytes are known.
pub(crate) struct Source {
    /// What messages call it.
    pub(crate) label: PathBuf,
    /// The bytes after decompression.
    pub(crate) stream: Stream,
    /// The same bytes as a file that can be sought in, if it is a regular, uncompressed one.
    file: Option<File>,
    /// To notice changes while it is being read.
    watch: Option<Watch>,
}

/// Size and time of a regular file when it was opened.
pub(crate) struct Watch {
    file: File,
    size: u64,
    modified: Option<SystemTime>,
}

/// Sequential bytes with errors in diffeo's terms.
pub(crate) struct Stream {
    label: PathBuf,
    head: Vec<u8>,
    position: usize,
    rest: Box<dyn Read + Send>,
    packing: Packing,
    /// Bytes of the regular, uncompressed file behind it.
    size: Option<u64>,
}

impl Source {
    /// Opens `input`; at most `max_bytes` unpacked bytes will be read.
    pub(crate) fn open(input: &Input, max_bytes: Option<u64>) -> Result<Self> {
        let label = input.label().to_path_buf();
        let (raw, file): (Box<dyn Read + Send>, Option<File>) = match input {
            Input::Stdin => (Box::new(std::io::stdin()), None),
            Input::Path(path) => {
                let file = open_file(path)?;
                let again = if is_regular(&file) { file.try_clone().ok() } else { None };
                (Box::new(file), again)
            }
            Input::Bytes { bytes, .. } => (Box::new(Cursor::new(bytes.clone())), None),
            Input::Batches(_) => {
                let text = "a table in memory has no bytes to read";
                return Err(Error::new(diffeo::ErrorKind::Internal, text));
            }
        };
        let watch = match &file {
            Some(file) => {
                Some(Watch::new(file).map_err(|e| Error::io(&label, "look at the file", e))?)
            }
            None => None,
        };
        let size = watch.as_ref().map(|w| w.size);
        let mut raw = Stream {
            label,
            head: Vec::new(),
            position: 0,
            rest: raw,
            packing: Packing::Plain,
            size,
        };
        raw.fill_head()?;
        let packing = detect::packing(&raw.head);
        let label = raw.label.clone();
        if packing == Packing::Plain {
            if let Some(limit) = max_bytes {
                if size.is_some_and(|size| size > limit) {
                    return Err(limit_error(limit).at(&label));
                }
                let head = std::mem::take(&mut raw.head);
                let limit = Cap::fixed(limit.saturating_sub(head.len() as u64));
                raw.rest = Box::new(Capped { inner: raw.rest, cap: limit });
                raw.head = head;
            }
            return Ok(Self { label, stream: raw, file, watch });
        }
        let mut stream = unpack(raw, packing, max_bytes)?;
        stream.fill_head()?;
        Ok(Self { label, stream, file: None, watch })
    }

    /// Bytes that are in memory.
    pub(crate) fn of_bytes(label: &Path, bytes: Vec<u8>) -> Self {
        let (size, head) = (bytes.len() as u64, bytes[..bytes.len().min(HEAD_BYTES)].to_vec());
        let mut rest = Cursor::new(bytes);
        rest.set_position(head.len() as u64);
        let stream = Stream {
            label: label.to_owned(),
            head,
            position: 0,
            rest: Box::new(rest),
            packing: Packing::Plain,
            size: Some(size),
        };
        Self { label: label.to_owned(), stream, file: None, watch: None }
    }

    /// The first bytes after decompression.
    pub(crate) fn head(&self) -> &[u8] {
        &self.stream.head
    }

    /// Splits off what notices changes.
    pub(crate) fn take_watch(&mut self) -> Option<Watch> {
        self.watch.take()
    }

    /// A file to seek in, at its start, and its size. What cannot be sought in is first copied to an unnamed temporary file.
    pub(crate) fn into_file(mut self) -> Result<(File, u64)> {
        let label = self.label;
        let fail = |e| Error::io(&label, "read", e);
        if let Some(mut file) = self.file {
            file.seek(SeekFrom::Start(0)).map_err(fail)?;
            let size = file.metadata().map_err(fail)?.len();
            return Ok((file, size));
        }
        let spool = |e| Error::io(std::env::temp_dir(), "keep a temporary copy of the input", e);
        let mut copy = tempfile::tempfile().map_err(spool)?;
        let mut buffer = vec![0; 1 << 16];
        let mut size = 0;
        loop {
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            copy.write_all(&buffer[..n]).map_err(spool)?;
            size += n as u64;
        }
        copy.seek(SeekFrom::Start(0)).map_err(spool)?;
        Ok((copy, size))
    }
}

impl Stream {
    /// Reads some bytes; 0 at the end.
    pub(crate) fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let waiting = self.head.get(self.position..).unwrap_or(&[]);
        if !waiting.is_empty() {
            let n = waiting.len().min(out.len());
            out[..n].copy_from_slice(&waiting[..n]);
            self.position += n;
            return Ok(n);
        }
        loop {
            match self.rest.read(out) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.describe(e)),
            }
        }
    }

    /// Fills `out`, or as much of it as there is; returns how much.
    pub(crate) fn read_full(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.read(&mut out[done..])? {
                0 => break,
                n => done += n,
            }
        }
        Ok(done)
    }

    /// After an array nothing may follow.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Data`] if something does.
    pub(crate) fn expect_end(&mut self) -> Result<()> {
        match self.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(Error::data(
                "more data follows the array than its shape tells; the file is damaged",
            )),
        }
    }

    /// Appends exactly `n` bytes to `out`, whose memory grows with the bytes that are there, not with `n`.
    /// Returns false at a premature end.
    pub(crate) fn read_exactly(&mut self, n: u64, out: &mut Vec<u8>) -> Result<bool> {
        const STEP: u64 = 1 << 20;
        let mut left = n;
        while left > 0 {
            let step = left.min(STEP) as usize;
            let from = out.len();
            out.try_reserve(step).map_err(|_| out_of_memory(n))?;
            out.resize(from + step, 0);
            if self.read_full(&mut out[from..])? < step {
                return Ok(false);
            }
            left -= step as u64;
        }
        Ok(true)
    }

    /// Bytes in the file, where that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    fn fill_head(&mut self) -> Result<()> {
        let mut head = vec![0; HEAD_BYTES];
        let n = self.read_full(&mut head)?;
        head.truncate(n);
        self.head = head;
        self.position = 0;
        Ok(())
    }

    /// An error of the operating system stays one; anything else from a decompressor means damaged data.
    fn describe(&self, error: std::io::Error) -> Error {
        if let Some(hit) = error.get_ref().and_then(|e| e.downcast_ref::<LimitHit>()) {
            return limit_error(hit.0).at(&self.label);
        }
        if self.packing == Packing::Plain || error.raw_os_error().is_some() {
            return Error::io(&self.label, "read", error);
        }
        Error::data(format!(
            "the {} data is damaged or cut short: {error}; fetch or compress the file again",
            self.packing.name()
        ))
        .at(&self.label)
        .caused_by(error)
    }
}

/// Lets the standard library read from the raw stream that feeds a decompressor.
impl Read for Stream {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let waiting = self.head.get(self.position..).unwrap_or(&[]);
        if waiting.is_empty() {
            return self.rest.read(out);
        }
        let n = waiting.len().min(out.len());
        out[..n].copy_from_slice(&waiting[..n]);
        self.position += n;
        Ok(n)
    }
}

impl Watch {
    fn new(file: &File) -> std::io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { file: file.try_clone()?, size: found.len(), modified: found.modified().ok() })
    }

    /// An error if the file is not what it was when it was opened.
    pub(crate) fn check(&self, label: &Path) -> Result<()> {
        let now = self.file.metadata().map_err(|e| Error::io(label, "look at the file", e))?;
        if now.len() == self.size && now.modified().ok() == self.modified {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Io,
            format!(
                "the file changed while it was being read ({} bytes at first, {} now); run again when it is complete",
                self.size,
                now.len()
            ),
        )
        .at(label))
    }
}

fn open_file(path: &Path) -> Result<File> {
    let found = std::fs::metadata(path).map_err(|e| Error::io(path, "open", e))?;
    if found.is_dir() {
        return Err(Error::new(ErrorKind::Io, "expected a file, found a folder").at(path));
    }
    File::open(path).map_err(|e| Error::io(path, "open", e))
}

fn is_regular(file: &File) -> bool {
    file.metadata().is_ok_and(|m| m.is_file())
}

/// Wraps the packed stream in its decompressor and a cap on what may come out.
fn unpack(raw: Stream, packing: Packing, max_bytes: Option<u64>) -> Result<Stream> {
    let label = raw.label.clone();
    let packed = Arc::new(AtomicU64::new(0));
    let counted = Counted { inner: raw, total: packed.clone() };
    let unpacked: Box<dyn Read + Send> = match packing {
        Packing::Zstd => {
            let fail = |e| Error::io(&label, "start the zstd decoder", e);
            let mut decoder = zstd::stream::read::Decoder::new(counted).map_err(fail)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(fail)?;
            Box::new(decoder)
        }
        _ => Box::new(Members::new(counted)),
    };
    let cap = match max_bytes {
        Some(limit) => Cap::fixed(limit),
        None => Cap { free: UNPACKED_FREE, packed: Some(packed), given: 0 },
    };
    let rest = Box::new(Capped { inner: unpacked, cap });
    Ok(Stream { label, head: Vec::new(), position: 0, rest, packing, size: None })
}

struct Counted<R> {
    inner: R,
    total: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(out)?;
        self.total.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// How many bytes may come out.
struct Cap {
    free: u64,
    packed: Option<Arc<AtomicU64>>,
    given: u64,
}

impl Cap {
    fn fixed(limit: u64) -> Self {
        Self { free: limit, packed: None, given: 0 }
    }

    fn limit(&self) -> u64 {
        let packed = self.packed.as_ref().map_or(0, |p| p.load(Ordering::Relaxed));
        self.free.saturating_add(packed.saturating_mul(PACKED_FACTOR))
    }
}

struct Capped {
    inner: Box<dyn Read + Send>,
    cap: Cap,
}

impl Read for Capped {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(out)?;
        self.cap.given += n as u64;
        let limit = self.cap.limit();
        if self.cap.given > limit {
            return Err(std::io::Error::other(LimitHit(limit)));
        }
        Ok(n)
    }
}

#[derive(Debug)]
struct LimitHit(u64);

impl std::fmt::Display for LimitHit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "more than {} bytes", self.0)
    }
}

impl std::error::Error for LimitHit {}

fn limit_error(limit: u64) -> Error {
    Error::new(
        ErrorKind::Limit,
        format!(
            "the table has more than {limit} bytes after decompression; if that is right, raise --max-bytes"
        ),
    )
}

fn out_of_memory(bytes: u64) -> Error {
    Error::new(ErrorKind::Limit, format!("no memory for {bytes} bytes of the file"))
}
