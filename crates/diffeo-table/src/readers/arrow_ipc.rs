//! Arrow IPC, as file (Feather version 2) and as stream, message by message.
//!
//! A file is a stream between two marks with a footer behind it; it is read front to back, so a pipe will do. Each message is
//! read whole and checked before the decoder sees it: the decoder trusts the lengths in it.

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, root_as_message};
use arrow_schema::SchemaRef;
use diffeo::{Error, ErrorKind, Result, printable};

use super::decode::{Decode, Decoded};
use super::image_column::numbers_in;
use crate::options::ReadOptions;
use crate::source::{Source, Stream};

/// Largest message header.
const HEADER_BYTES: u64 = 1 << 26;
/// Most bytes that a compressed record batch may unpack to.
const UNPACKED_BYTES: u64 = 1 << 32;
/// Any batch may unpack to so much, others to 256 times their size. Columns of equal values pack very well.
const UNPACKED_FREE: u64 = 1 << 28;
const UNPACKED_FACTOR: u64 = 256;
const FILE_MARK: &[u8] = b"ARROW1";
/// Writers align the stream to 8 or 64 bytes.
const PADDING_BYTES: u64 = 64;
/// Stands before each message since Arrow 0.15.
const CONTINUATION: [u8; 4] = [0xff; 4];

/// A message of the stream.
struct Message {
    length: u32,
    header: Vec<u8>,
    body: Vec<u8>,
}

/// Reads Arrow IPC.
pub(crate) struct IpcReader {
    stream: Stream,
    is_file: bool,
    decoder: StreamDecoder,
    started: bool,
    schema: SchemaRef,
    keep: Option<Vec<usize>>,
    /// A record batch that is given out slice by slice, and how far.
    batch: Option<(RecordBatch, usize)>,
    position: u64,
    /// The first length, if it was read while looking for the end of the padding.
    first_prefix: Option<u32>,
    chunk_rows: usize,
}

impl IpcReader {
    pub(crate) fn open(source: Source, options: &ReadOptions) -> Result<Self> {
        let is_file = source.head().starts_with(FILE_MARK);
        let mut stream = source.stream;
        let mut position = 0;
        if is_file {
            let mut mark = [0; 8];
            stream.read_full(&mut mark)?;
            position = 8;
        }
        let mut reader = Self {
            stream,
            is_file,
            decoder: StreamDecoder::new(),
            started: false,
            schema: SchemaRef::new(arrow_schema::Schema::empty()),
            keep: None,
            batch: None,
            position,
            first_prefix: None,
            chunk_rows: 1,
        };
        if is_file {
            reader.skip_padding()?;
        }
        let Some(first) = reader.next_message()? else {
            return Err(cut_short());
        };
        if reader.decode(first)?.is_some() {
            return Err(Error::data("the Arrow stream starts with data; expected a schema"));
        }
        reader.schema = reader
            .decoder
            .schema()
            .ok_or_else(|| Error::data("the Arrow stream starts without a schema"))?;
        reader.chunk_rows = options.rows_per_chunk(numbers_in(&reader.schema));
        Ok(reader)
    }

    /// The next message, whole. `None` at the end of the stream.
    fn next_message(&mut self) -> Result<Option<Message>> {
        let Some(mut length) = self.prefix()? else {
            return if self.is_file { Err(cut_short()) } else { Ok(None) };
        };
        if length == u32::MAX {
            length = self.prefix()?.ok_or_else(cut_short)?;
        }
        if length == 0 {
            self.check_trailer()?;
            return Ok(None);
        }
        if u64::from(length) > HEADER_BYTES {
            return Err(Error::data(format!(
                "the Arrow file is damaged: a message header claims {length} bytes, at most {HEADER_BYTES} are read"
            )));
        }
        let header = self.take(u64::from(length))?;
        let parsed = root_as_message(&header).map_err(|e| {
            Error::data(format!("the Arrow file is damaged: {}", short(&e.to_string())))
        })?;
        let body = u64::try_from(parsed.bodyLength()).map_err(|_| {
            Error::data("the Arrow file is damaged: a message has a negative length")
        })?;
        let packed = packed_buffers(&parsed)?;
        let body = self.take(body)?;
        check_unpacked(&packed, &body)?;
        Ok(Some(Message { length, header, body }))
    }

    /// Passes over the zeros with which some writers align the stream after the mark.
    fn skip_padding(&mut self) -> Result<()> {
        while self.first_prefix.is_none() {
            match self.prefix()? {
                Some(0) if self.position <= PADDING_BYTES => {}
                Some(length) if length > 0 => self.first_prefix = Some(length),
                _ => return Err(cut_short()),
            }
        }
        Ok(())
    }

    /// Four bytes that tell a length; `None` at the end of the file.
    fn prefix(&mut self) -> Result<Option<u32>> {
        if let Some(length) = self.first_prefix.take() {
            return Ok(Some(length));
        }
        let mut bytes = [0; 4];
        match self.stream.read_full(&mut bytes)? {
            0 => Ok(None),
            4 => {
                self.position += 4;
                Ok(Some(u32::from_le_bytes(bytes)))
            }
            _ => Err(cut_short()),
        }
    }

    /// Reads `n` bytes, after a look at whether the file has them.
    fn take(&mut self, n: u64) -> Result<Vec<u8>> {
        let end = self.position.checked_add(n);
        if let Some(size) = self.stream.size()
            && end.is_none_or(|end| end > size)
        {
            return Err(Error::data(format!(
                "the Arrow file is damaged or cut short: a message claims {n} bytes, {} are left",
                size.saturating_sub(self.position)
            )));
        }
        let mut bytes = Vec::new();
        if !self.stream.read_exactly(n, &mut bytes)? {
            return Err(cut_short());
        }
        self.position = end.ok_or_else(cut_short)?;
        Ok(bytes)
    }

    /// Gives a message to the decoder, which acts on it only when it sees the mark that starts the next one.
    fn decode(&mut self, message: Message) -> Result<Option<RecordBatch>> {
        if !self.started {
            self.started = true;
            self.feed(CONTINUATION.to_vec())?;
        }
        let mut found = None;
        for part in [
            message.length.to_le_bytes().to_vec(),
            message.header,
            message.body,
            CONTINUATION.to_vec(),
        ] {
            found = found.or(self.feed(part)?);
        }
        Ok(found)
    }

    fn feed(&mut self, bytes: Vec<u8>) -> Result<Option<RecordBatch>> {
        let mut buffer = Buffer::from_vec(bytes);
        let mut found = None;
        while !buffer.is_empty() {
            let batch = self.decoder.decode(&mut buffer).map_err(|e| {
                let reason = short(&e.to_string());
                Error::data(format!(
                    "cannot decode the Arrow file, it is damaged or of an unknown kind: {reason}"
                ))
                .caused_by(e)
            })?;
            found = found.or(batch);
        }
        Ok(found)
    }

    /// Behind the stream in a file there are a footer, its length and the mark.
    fn check_trailer(&mut self) -> Result<()> {
        if !self.is_file {
            return Ok(());
        }
        let mut tail = Vec::new();
        let mut block = vec![0; 1 << 16];
        loop {
            let n = self.stream.read(&mut block)?;
            if n == 0 {
                break;
            }
            tail.extend_from_slice(block.get(..n).unwrap_or(&[]));
            let surplus = tail.len().saturating_sub(FILE_MARK.len());
            tail.drain(..surplus);
        }
        if tail == FILE_MARK { Ok(()) } else { Err(cut_short()) }
    }
}

impl Decode for IpcReader {
    fn schema(&self) -> SchemaRef {
        match &self.keep {
            Some(keep) => {
                self.schema.project(keep).map_or_else(|_| self.schema.clone(), SchemaRef::new)
            }
            None => self.schema.clone(),
        }
    }

    fn rows_hint(&self) -> Option<u64> {
        None
    }

    fn progress(&self) -> Option<f64> {
        self.stream.size().filter(|&size| size > 0).map(|size| self.position as f64 / size as f64)
    }

    fn project(&mut self, keep: &[usize]) -> Result<()> {
        self.keep = Some(keep.to_vec());
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Option<Decoded>> {
        loop {
            if let Some((batch, from)) = self.batch.take()
                && from < batch.num_rows()
            {
                let n = self.chunk_rows.min(batch.num_rows() - from);
                let slice = batch.slice(from, n);
                self.batch = Some((batch, from + n));
                return Ok(Some(Decoded { batch: slice, lines: None }));
            }
            let Some(message) = self.next_message()? else {
                return Ok(None);
            };
            if let Some(mut batch) = self.decode(message)? {
                if let Some(keep) = &self.keep {
                    batch = batch.project(keep).map_err(|e| Error::data(e.to_string()))?;
                }
                self.batch = Some((batch, 0));
            }
        }
    }
}

/// Places of the compressed buffers in the body of a message, if there are any.
fn packed_buffers(message: &arrow_ipc::Message<'_>) -> Result<Vec<(i64, i64)>> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => {
            message.header_as_dictionary_batch().and_then(|d| d.data())
        }
        MessageHeader::Schema => None,
        other => {
            return Err(Error::data(format!(
                "the Arrow file holds a message of kind {other:?}; expected a schema, dictionaries and record batches"
            )));
        }
    };
    let Some(batch) = batch.filter(|b| b.compression().is_some()) else {
        return Ok(Vec::new());
    };
    Ok(batch
        .buffers()
        .map(|list| list.iter().map(|b| (b.offset(), b.length())).collect())
        .unwrap_or_default())
}

/// Compressed buffers start with the length they claim to unpack to, or -1 where they are not compressed after all.
fn check_unpacked(buffers: &[(i64, i64)], body: &[u8]) -> Result<()> {
    let mut total: u64 = 0;
    for &(offset, length) in buffers {
        let (Ok(offset), Ok(length)) = (usize::try_from(offset), usize::try_from(length)) else {
            return Err(Error::data("the Arrow file is damaged: a buffer has a negative place"));
        };
        if length == 0 {
            continue;
        }
        let claim = offset
            .checked_add(8)
            .and_then(|end| body.get(offset..end))
            .and_then(|b| b.try_into().ok());
        let Some(claim) = claim.map(i64::from_le_bytes) else {
            return Err(Error::data(
                "the Arrow file is damaged: a buffer lies outside its message",
            ));
        };
        total = total.saturating_add(u64::try_from(claim).unwrap_or(0));
    }
    let limit =
        UNPACKED_BYTES.min(UNPACKED_FREE.max((body.len() as u64).saturating_mul(UNPACKED_FACTOR)));
    if total > limit {
        return Err(Error::new(
            ErrorKind::Limit,
            format!(
                "a compressed Arrow batch claims {total} bytes, at most {limit} are unpacked; write smaller batches"
            ),
        ));
    }
    Ok(())
}

fn cut_short() -> Error {
    Error::data("the Arrow file is cut short or was not finished by its writer")
}

fn short(text: &str) -> String {
    printable(text).chars().take(300).collect()
}
