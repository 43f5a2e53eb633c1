//! What a file is, from its first bytes.

use crate::format::{Format, Packing};
use crate::readers::{clip_files, idx, npz};

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// One of the binary formats that are read.
    Known(Format),
    /// Something that is not a table, with its name and what to do.
    Foreign(&'static str, &'static str),
    /// Nothing speaks against text.
    Text,
}

/// Compression, from the first bytes.
pub(crate) fn packing(head: &[u8]) -> Packing {
    if head.starts_with(&[0x1f, 0x8b]) {
        Packing::Gzip
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18])
    {
        Packing::Zstd
    } else {
        Packing::Plain
    }
}

const RE_EXPORT: &str = "export the table as CSV or Parquet";
const NAME_FOLDER: &str = "to read images, name the folder that they are in";
const ICONV: &str = "convert it to UTF-8: iconv -f UTF-16 -t UTF-8";

/// Magic bytes of what people offer by mistake.
const FOREIGN: &[(&[u8], &str, &str)] = &[
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
    (b"PK\x03\x04", "a zip archive (.zip or .xlsx)", "unpack it or export the table as CSV"),
    (b"%PDF", "a PDF document", RE_EXPORT),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", RE_EXPORT),
    (b"BZh91AY&SY", "a bzip2 archive", "unpack it first: bunzip2"),
    (b"\xfd7zXZ\0", "an xz archive", "unpack it first: unxz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-zip archive", "unpack it first"),
    (b"SQLite format 3\0", "an SQLite database", RE_EXPORT),
    (b"Obj\x01", "an Avro file", RE_EXPORT),
    (b"\x7fELF", "a program (ELF)", RE_EXPORT),
    (b"\x89PNG", "a PNG image", NAME_FOLDER),
    (b"\xff\xd8\xff", "a JPEG image", NAME_FOLDER),
    (b"\xff\xfe", "UTF-16 text", ICONV),
    (b"\xfe\xff", "UTF-16 text", ICONV),
];

/// Sorts the first bytes (after decompression) into a known format, a foreign one, or text.
pub(crate) fn look(head: &[u8]) -> Look {
    if head.starts_with(b"PAR1") {
        return Look::Known(Format::Parquet);
    }
    if head.starts_with(b"ARROW1") {
        return Look::Known(Format::Arrow);
    }
    if head.starts_with(b"\x93NUMPY") {
        return Look::Known(Format::Npy);
    }
    if npz::is_npz(head) {
        return Look::Known(Format::Npz);
    }
    if idx::is_idx(head) {
        return Look::Known(Format::Idx);
    }
    if clip_files::is_film(head) {
        return Look::Known(Format::Clip);
    }
    if head.starts_with(&[0xff, 0xff, 0xff, 0xff]) {
        return Look::Known(Format::ArrowStream);
    }
    if packing(head) != Packing::Plain {
        return Look::Foreign("a file that is compressed twice", "unpack it once");
    }
    for (magic, name, advice) in FOREIGN {
        if head.starts_with(magic) {
            return Look::Foreign(name, advice);
        }
    }
    // Pickle protocol 2 to 5: PROTO opcode, version.
    if matches!(head, [0x80, 2..=5, ..]) {
        return Look::Foreign(
            "a Python pickle",
            "a pickle can run code and is never loaded; save as npy, CSV or Parquet",
        );
    }
    if utf16_without_mark(head) {
        return Look::Foreign("UTF-16 text", ICONV);
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let start: Vec<u8> = text.iter().take(16).map(u8::to_ascii_lowercase).collect();
    if [&b"<!doctype"[..], b"<html", b"<?xml", b"<head", b"<body"]
        .iter()
        .any(|tag| start.starts_with(tag))
    {
        return Look::Foreign(
            "a web page (HTML or XML)",
            "was it a download link? fetch the file behind it",
        );
    }
    if start.starts_with(b"{\"") || start.starts_with(b"[{") || start.starts_with(b"[[") {
        return Look::Foreign("JSON", RE_EXPORT);
    }
    Look::Text
}

/// Latin letters in UTF-16 have every second byte zero.
fn utf16_without_mark(head: &[u8]) -> bool {
    let zeros = |from: usize| head.iter().skip(from).step_by(2).filter(|&&b| b == 0).count();
    let pairs = head.len() / 2;
    pairs >= 4
        && (zeros(0) * 10 > pairs * 8 && zeros(1) * 10 < pairs
            || zeros(1) * 10 > pairs * 8 && zeros(0) * 10 < pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_foreign_files_are_named() {
        let named = |head: &[u8]| match look(head) {
            Look::Foreign(name, _) => name,
            other => panic!("{other:?}"),
        };
        assert!(named(b"version https://git-lfs.github.com/spec/v1\n").contains("LFS"));
        assert!(named(b"\n <!DOCTYPE html>").contains("web page"));
        assert!(named(b"PK\x03\x04....").contains("zip"));
        assert!(named(b"\x80\x04\x95\0\0").contains("pickle"));
        assert!(named(b"\xff\xfea\0,\0").contains("UTF-16"));
        assert!(named(b"a\0,\0b\0\n\x001\0,\0").contains("UTF-16"));
        assert!(named(b"[{\"a\": 1}]").contains("JSON"));
    }

    #[test]
    fn formats_are_known_by_their_bytes() {
        assert_eq!(look(b"PAR1\x15"), Look::Known(Format::Parquet));
        assert_eq!(look(b"\x93NUMPY\x01\0"), Look::Known(Format::Npy));
        assert_eq!(look(b"\0\0\x08\x03\0\0\0\x02"), Look::Known(Format::Idx));
        assert_eq!(look(b"GIF89a"), Look::Known(Format::Clip));
        assert!(matches!(look(b"\x89PNG\r\n\x1a\n"), Look::Foreign(..)));
        assert_eq!(look(b"a,b\n1,2\n"), Look::Text);
        assert_eq!(look(b""), Look::Text);
        assert_eq!(packing(&[0x1f, 0x8b, 8]), Packing::Gzip);
    }
}
