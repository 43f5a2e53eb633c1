//! Splits delimited text into records and fields (RFC 4180), strictly and without allocating per cell.
//!
//! Lines end in LF or CR LF. A field may be quoted; quotes inside are doubled; line breaks inside are kept. A carriage return
//! alone, a NUL byte, text after a closing quote and a quote that never closes are errors, each with its physical line. Where blanks
//! are the delimiter, a run of them is one. Lines that start with the comment mark are passed over and counted.

use diffeo::{Error, ErrorKind, Result};

use crate::options::Delimiter;
use crate::source::Stream;

const BUFFER_START: usize = 1 << 18;
/// Longest record; an unclosed quote would otherwise swallow the rest of the file.
const RECORD_BYTES: usize = 1 << 24;

const PLAIN: u8 = 0;
const DELIMITER: u8 = 1;
const LINE_FEED: u8 = 2;
const CARRIAGE_RETURN: u8 = 3;
const QUOTE: u8 = 4;
const NUL: u8 = 5;

/// The records of a text, one at a time.
pub(crate) struct Records {
    stream: Stream,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    at_end: bool,
    class: [u8; 256],
    /// Whether runs of delimiters are one, and those at the ends of a line none.
    runs: bool,
    comment: Option<u8>,
    /// Comment lines so far, and the text of the last one before the first record.
    comments: u64,
    remark: Vec<u8>,
    /// Physical line of `start`, from 1, and its distance from the start of the text.
    line: u64,
    byte: u64,
    current: Record,
    again: bool,
}

/// Where the fields of the current record lie.
#[derive(Default)]
struct Record {
    fields: Vec<(usize, usize)>,
    /// Holds the fields of a record that has quotes; others lie in the buffer.
    unquoted: Vec<u8>,
    has_quotes: bool,
    first_is_quoted: bool,
    line: u64,
    byte: u64,
}

impl Record {
    /// Adds a field; an empty one between delimiters that count as one is none.
    fn push(&mut self, from: usize, to: usize, may_be_none: bool) {
        if from < to || !may_be_none {
            self.fields.push((from, to));
        }
    }
}

enum Scan {
    /// A record of so many bytes and line ends.
    Found {
        bytes: usize,
        lines: u64,
    },
    /// The bytes at hand end inside a record.
    More,
    Fault(&'static str),
}

impl Records {
    /// Reads records of `stream` after skipping a UTF-8 byte order mark.
    pub(crate) fn new(stream: Stream, delimiter: Delimiter, comment: Option<u8>) -> Result<Self> {
        let mut class = [PLAIN; 256];
        class[0] = NUL;
        class[b'\n' as usize] = LINE_FEED;
        class[b'\r' as usize] = CARRIAGE_RETURN;
        class[b'"' as usize] = QUOTE;
        match delimiter {
            Delimiter::Byte(byte) => class[byte as usize] = DELIMITER,
            Delimiter::Blanks => {
                class[b' ' as usize] = DELIMITER;
                class[b'\t' as usize] = DELIMITER;
            }
        }
        let mut records = Self {
            stream,
            buffer: vec![0; BUFFER_START],
            start: 0,
            end: 0,
            at_end: false,
            class,
            runs: delimiter == Delimiter::Blanks,
            comment,
            comments: 0,
            remark: Vec::new(),
            line: 1,
            byte: 0,
            current: Record::default(),
            again: false,
        };
        records.refill()?;
        if records.buffer[..records.end].starts_with(b"\xef\xbb\xbf") {
            records.start = 3;
            records.byte = 3;
        }
        Ok(records)
    }

    /// Goes to the next record; false at the end.
    pub(crate) fn next(&mut self) -> Result<bool> {
        if std::mem::take(&mut self.again) {
            return Ok(true);
        }
        loop {
            if self.start == self.end && self.at_end {
                return Ok(false);
            }
            if self.passed_comment()? {
                continue;
            }
            match self.scan() {
                Scan::Found { bytes, lines } => {
                    self.current.line = self.line;
                    self.current.byte = self.byte;
                    self.start += bytes;
                    self.byte += bytes as u64;
                    self.line += lines;
                    return Ok(true);
                }
                Scan::More => self.refill()?,
                Scan::Fault(what) => return Err(self.fault(what)),
            }
        }
    }

    /// Goes past one line that starts with the comment mark.
    fn passed_comment(&mut self) -> Result<bool> {
        let Some(mark) = self.comment else { return Ok(false) };
        let is_blank = |b: &u8| self.runs && self.class[*b as usize] == DELIMITER;
        let bytes = &self.buffer[self.start..self.end];
        match bytes.iter().find(|b| !is_blank(b)) {
            Some(&first) if first == mark => {}
            None if !self.at_end => {
                self.refill()?;
                return Ok(true);
            }
            _ => return Ok(false),
        }
        let end = match bytes.iter().position(|&b| b == b'\n') {
            Some(end) => end,
            None if self.at_end => bytes.len(),
            None => {
                self.refill()?;
                return Ok(true);
            }
        };
        if self.current.line == 0 {
            self.remark = bytes[..end].trim_ascii().strip_prefix(&[mark]).unwrap_or(&[]).to_vec();
        }
        let taken = (end + 1).min(bytes.len());
        self.start += taken;
        self.byte += taken as u64;
        self.line += 1;
        self.comments += 1;
        Ok(true)
    }

    /// Number of comment lines passed over so far.
    pub(crate) fn comments(&self) -> u64 {
        self.comments
    }

    /// The last comment before the first record, without its mark.
    pub(crate) fn remark(&self) -> &[u8] {
        &self.remark
    }

    /// Whether the first field of the current record stands in quotes.
    pub(crate) fn first_is_quoted(&self) -> bool {
        self.current.has_quotes && self.current.first_is_quoted
    }

    /// Makes the next call of [`Records::next`] give the current record once more.
    pub(crate) fn rewind_one(&mut self) {
        self.again = true;
    }

    /// Number of fields of the current record.
    pub(crate) fn len(&self) -> usize {
        self.current.fields.len()
    }

    /// Field `i` of the current record, empty if there is none.
    pub(crate) fn field(&self, i: usize) -> &[u8] {
        let home = if self.current.has_quotes { &self.current.unquoted } else { &self.buffer };
        self.current.fields.get(i).and_then(|&(from, to)| home.get(from..to)).unwrap_or(&[])
    }

    /// Whether the current record is an empty line.
    pub(crate) fn is_blank(&self) -> bool {
        self.len() == 0 || self.len() == 1 && !self.current.has_quotes && self.field(0).is_empty()
    }

    /// Physical line on which the current record starts, from 1.
    pub(crate) fn line(&self) -> u64 {
        self.current.line
    }

    /// Distance of the current record from the start of the text.
    pub(crate) fn byte(&self) -> u64 {
        self.current.byte
    }

    /// Bytes of text read so far, and of the whole file where that is known.
    pub(crate) fn progress(&self) -> (u64, Option<u64>) {
        (self.byte, self.stream.size())
    }

    fn fault(&self, what: &str) -> Error {
        Error::data(format!("line {} (byte {}): {what}", self.line, self.byte))
    }

    /// Moves the unread bytes to the front and reads more behind them.
    fn refill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.buffer.len() >= RECORD_BYTES {
                return Err(Error::new(
                    ErrorKind::Limit,
                    format!(
                        "line {}: a record has more than {RECORD_BYTES} bytes; is a quote not closed?",
                        self.line
                    ),
                ));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let n = self.stream.read(&mut self.buffer[self.end..])?;
        self.end += n;
        self.at_end = n == 0;
        Ok(())
    }

    /// Finds the record that starts at `start`, in one pass if it has no quotes.
    fn scan(&mut self) -> Scan {
        let record = &mut self.current;
        record.fields.clear();
        record.has_quotes = false;
        let bytes = &self.buffer[..self.end];
        let mut from = self.start;
        let mut at = from;
        loop {
            while at < bytes.len() && self.class[bytes[at] as usize] == PLAIN {
                at += 1;
            }
            let Some(&byte) = bytes.get(at) else {
                if !self.at_end {
                    return Scan::More;
                }
                record.push(from, at, self.runs);
                return Scan::Found { bytes: at - self.start, lines: 0 };
            };
            match self.class[byte as usize] {
                DELIMITER => {
                    record.push(from, at, self.runs);
                    from = at + 1;
                }
                LINE_FEED => {
                    record.push(from, at, self.runs);
                    return Scan::Found { bytes: at + 1 - self.start, lines: 1 };
                }
                CARRIAGE_RETURN => match after_return(bytes, at, self.at_end) {
                    Ok(next) => {
                        record.push(from, at, self.runs);
                        return Scan::Found { bytes: next - self.start, lines: 1 };
                    }
                    Err(outcome) => return outcome,
                },
                QUOTE if at == from => return self.scan_quoted(),
                QUOTE => {}
                _ => return Scan::Fault(NUL_FOUND),
            }
            at += 1;
        }
    }

    /// Finds a record that has quoted fields; its fields are copied without their quotes.
    fn scan_quoted(&mut self) -> Scan {
        let record = &mut self.current;
        record.fields.clear();
        record.unquoted.clear();
        record.has_quotes = true;
        record.first_is_quoted = false;
        let bytes = &self.buffer[..self.end];
        let mut lines = 0;
        let mut at = self.start;
        loop {
            let from = record.unquoted.len();
            let quoted = bytes.get(at) == Some(&b'"');
            if quoted {
                record.first_is_quoted |= record.fields.is_empty();
                match quoted_field(bytes, at + 1, self.at_end, &mut record.unquoted) {
                    Ok((next, breaks)) => {
                        at = next;
                        lines += breaks;
                    }
                    Err(outcome) => return outcome,
                }
                if bytes.get(at).is_some_and(|&b| matches!(self.class[b as usize], PLAIN | QUOTE)) {
                    return Scan::Fault(
                        "text follows a closing quote; double the quotes inside a quoted cell",
                    );
                }
            } else {
                while let Some(&byte) = bytes.get(at)
                    && matches!(self.class[byte as usize], PLAIN | QUOTE)
                {
                    record.unquoted.push(byte);
                    at += 1;
                }
            }
            record.push(from, record.unquoted.len(), self.runs && !quoted);
            let Some(&byte) = bytes.get(at) else {
                return if self.at_end {
                    Scan::Found { bytes: at - self.start, lines }
                } else {
                    Scan::More
                };
            };
            match self.class[byte as usize] {
                DELIMITER => at += 1,
                LINE_FEED => return Scan::Found { bytes: at + 1 - self.start, lines: lines + 1 },
                CARRIAGE_RETURN => match after_return(bytes, at, self.at_end) {
                    Ok(next) => return Scan::Found { bytes: next - self.start, lines: lines + 1 },
                    Err(outcome) => return outcome,
                },
                _ => return Scan::Fault(NUL_FOUND),
            }
        }
    }
}

const NUL_FOUND: &str = "a NUL byte; expected text (is this a binary file, or UTF-16?)";

/// The place after CR LF, where `at` is that of CR.
fn after_return(bytes: &[u8], at: usize, at_end: bool) -> Result<usize, Scan> {
    match bytes.get(at + 1) {
        Some(b'\n') => Ok(at + 2),
        None if at_end => Ok(at + 1),
        None => Err(Scan::More),
        Some(_) => Err(Scan::Fault(
            "a carriage return without a line feed; end lines with LF or CR LF: tr '\\r' '\\n'",
        )),
    }
}

/// Copies a quoted field, from behind its opening quote; gives the place behind the closing one and the line breaks inside.
fn quoted_field(
    bytes: &[u8],
    mut at: usize,
    at_end: bool,
    out: &mut Vec<u8>,
) -> Result<(usize, u64), Scan> {
    let mut breaks = 0;
    loop {
        match bytes.get(at) {
            None if at_end => return Err(Scan::Fault("a quote opens here and never closes")),
            None => return Err(Scan::More),
            Some(b'"') => match bytes.get(at + 1) {
                Some(b'"') => {
                    out.push(b'"');
                    at += 2;
                }
                None if !at_end => return Err(Scan::More),
                _ => return Ok((at + 1, breaks)),
            },
            Some(0) => return Err(Scan::Fault(NUL_FOUND)),
            Some(&byte) => {
                breaks += u64::from(byte == b'\n');
                out.push(byte);
                at += 1;
            }
        }
    }
}
