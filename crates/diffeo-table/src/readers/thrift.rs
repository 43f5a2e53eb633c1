//! Walks Thrift's compact protocol without building anything: only far enough to check what a Parquet file claims.
//!
//! Format: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

/// Deepest nesting in Parquet metadata is about ten.
const DEPTH_MAX: u32 = 32;
/// Most elements of a list. The widest and longest files stay far below.
const LIST_MAX: u64 = 1 << 20;

pub(crate) const BOOL_TRUE: u8 = 1;
pub(crate) const BOOL_FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
pub(crate) const STRUCT: u8 = 12;

/// Unread bytes.
pub(crate) struct Thrift<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Why a walk stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The bytes end inside a value.
    Short,
    /// They are not Thrift.
    Bad,
}

type Walk<T> = Result<T, Stop>;
/// Sees a field: its number, its type and, for integers, its value.
type Field<'f, 'a> = dyn FnMut(&mut Thrift<'a>, i64, u8, Option<i64>) -> Walk<bool> + 'f;

impl<'a> Thrift<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Reads a struct and shows each field's number and, if it is an integer, its value to `field`, which returns true for a
    /// struct that it has read itself.
    pub(crate) fn fields(&mut self, field: &mut Field<'_, 'a>) -> Walk<()> {
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let kind = head & 0x0f;
            id = match head >> 4 {
                0 => self.zigzag()?,
                delta => i64::checked_add(id, i64::from(delta)).ok_or(Stop::Bad)?,
            };
            // The decoder keeps the last 16 bits, which may be those of a field that it knows.
            if i16::try_from(id).is_err() {
                return Err(Stop::Bad);
            }
            let value = if matches!(kind, I16 | I32 | I64) { Some(self.zigzag()?) } else { None };
            if !field(self, id, kind, value)? && value.is_none() {
                self.skip(kind, true, 0)?;
            }
        }
    }

    /// Passes over a struct.
    pub(crate) fn skip_struct(&mut self) -> Walk<()> {
        self.skip(STRUCT, true, 0)
    }

    fn byte(&mut self) -> Walk<u8> {
        let byte = self.bytes.get(self.position).copied().ok_or(Stop::Short)?;
        self.position += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Walk<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(Stop::Bad);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Stop::Bad)
    }

    fn zigzag(&mut self) -> Walk<i64> {
        let n = self.varint()?;
        Ok((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    fn advance(&mut self, n: u64) -> Walk<()> {
        let left = (self.bytes.len() - self.position) as u64;
        if n > left {
            return Err(Stop::Short);
        }
        self.position += n as usize;
        Ok(())
    }

    fn skip(&mut self, kind: u8, in_struct: bool, depth: u32) -> Walk<()> {
        if depth > DEPTH_MAX {
            return Err(Stop::Bad);
        }
        match kind {
            // The value of a boolean field is its type. In a list it is a byte, for which the parquet crate takes none, so that it would read on
            // elsewhere, beyond the end even, where it skips 2^31 doubles one by one. Neither footers nor page headers have such a list.
            BOOL_TRUE | BOOL_FALSE if in_struct => Ok(()),
            BOOL_TRUE | BOOL_FALSE => Err(Stop::Bad),
            BYTE => self.advance(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            DOUBLE => self.advance(8),
            BINARY => {
                let n = self.varint()?;
                self.advance(n)
            }
            LIST | SET => {
                let head = self.byte()?;
                let size = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.repeat(size, &[head & 0x0f], depth)
            }
            MAP => {
                let size = self.varint()?;
                if size == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                self.repeat(size, &[kinds >> 4, kinds & 0x0f], depth)
            }
            STRUCT => loop {
                let head = self.byte()?;
                if head == 0 {
                    return Ok(());
                }
                if head >> 4 == 0 {
                    self.varint()?;
                }
                self.skip(head & 0x0f, true, depth + 1)?;
            },
            _ => Err(Stop::Bad),
        }
    }

    fn repeat(&mut self, size: u64, kinds: &[u8], depth: u32) -> Walk<()> {
        // Every element has at least one byte.
        if size > LIST_MAX || size > (self.bytes.len() - self.position) as u64 {
            return Err(if size > LIST_MAX { Stop::Bad } else { Stop::Short });
        }
        for _ in 0..size {
            for &kind in kinds {
                self.skip(kind, false, depth + 1)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_fields_and_refuses_lies() {
        // Field 1: i32 = 3; field 2: list of 2 i32; field 4: binary "ab"; stop.
        let bytes = [0x15, 6, 0x19, 0x25, 2, 4, 0x28, 2, b'a', b'b', 0];
        let mut seen = Vec::new();
        let mut walk = Thrift::new(&bytes);
        walk.fields(&mut |_, id, _, value| {
            seen.push((id, value));
            Ok(false)
        })
        .unwrap();
        assert_eq!(seen, [(1, Some(3)), (2, None), (4, None)]);
        assert_eq!(walk.position(), bytes.len());
        for n in 0..bytes.len() {
            assert!(Thrift::new(&bytes[..n]).skip_struct().is_err());
        }
        // A list that claims 2^31 structs.
        let lie = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        assert_eq!(Thrift::new(&lie).skip_struct(), Err(Stop::Bad));
        // A field after the last number that there is.
        let last = [&[0x05, 0xfe][..], &[0xff; 8], &[0x01, 2, 0x15, 2, 0]].concat();
        assert_eq!(Thrift::new(&last).fields(&mut |_, _, _, _| Ok(false)), Err(Stop::Bad));
        // Field 65,537, whose last 16 bits are those of field 1.
        let far = [0x05, 0x82, 0x80, 0x08, 2, 0];
        assert_eq!(Thrift::new(&far).fields(&mut |_, _, _, _| Ok(false)), Err(Stop::Bad));
        // Nested without end.
        assert!(Thrift::new(&[0x1c; 100]).skip_struct().is_err());
    }
}
