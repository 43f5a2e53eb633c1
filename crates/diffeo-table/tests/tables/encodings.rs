//! Text in all its encodings and line ends: A11; and things that are not tables: A13.

use diffeo::ErrorKind;
use diffeo_table::ReadOptions;

use crate::files::{Folder, chunks, read, read_text, refusal, says};

#[test]
fn a11_byte_order_mark_crlf_and_quotes_are_accepted() {
    let table = read_text("\u{feff}\"a\",b\r\n1,\"2\"\r\n3,4").unwrap();
    assert_eq!(table.names, ["a", "b"]);
    assert_eq!(table.rows.values(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(read_text("a,b\n1,2\n\n\n").unwrap().rows.len(), 1);
}

#[test]
fn a11_other_encodings_are_named() {
    let utf16: Vec<u8> = "a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let with_mark = [b"\xff\xfe".as_slice(), &utf16].concat();
    for bytes in [utf16, with_mark] {
        says(&refusal(bytes), &["UTF-16", "iconv"]);
    }
    says(&refusal(b"a,caf\xe9\n1,2\n"), &["line 1", "0xE9", "Latin-1", "iconv"]);
    let folder = Folder::new();
    let path = folder.file("d.csv", b"a,b\n1,x\n2,caf\xe9\n");
    says(
        &chunks(&path, &ReadOptions::default()).unwrap_err(),
        &["line 3, column \"b\"", "0xE9", "Latin-1"],
    );
    // A character that the delimiter splits: valid as a whole line of bytes, not as two cells.
    assert!(
        chunks(&folder.file("e.csv", b"a,b\n1,\xc3\n2,\xa9\n"), &ReadOptions::default()).is_err()
    );
}

#[test]
fn a11_nul_bare_returns_blank_lines_and_bad_quotes_are_refused() {
    says(&refusal(b"a,b\n1,2\n3,\x004\n"), &["line 3", "NUL"]);
    says(&refusal("a,b\r1,2\r3,4\r"), &["line 1", "carriage return", "tr "]);
    says(&refusal("a,b\n1,2\n\n3,4\n"), &["line 3 is blank"]);
    says(&refusal("a,b\n1,\"2\n3,4\n"), &["line 2", "quote opens here and never closes"]);
    says(&refusal("a,b\n1,\"2\"x\n"), &["line 2", "closing quote"]);
    says(&refusal("a,b,\n1,2,\n"), &["column 3 of 3 has no name", "end with a delimiter"]);
}

#[test]
fn a11_quoted_cells_keep_line_breaks_and_quotes() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "t,x\n\"a\nb \"\"c\"\", d\",1\n");
    let chunk = &chunks(&path, &ReadOptions::default()).unwrap()[0];
    let copy = folder.path("copy.csv");
    crate::files::write(&copy, chunk).unwrap();
    assert_eq!(std::fs::read_to_string(copy).unwrap(), "t,x\n\"a\nb \"\"c\"\", d\",1\n");
}

#[test]
fn a11_an_endless_quote_or_line_meets_a_limit() {
    let mut text = b"a,b\n1,\"".to_vec();
    text.resize(20 << 20, b'7');
    let error = refusal(text);
    assert_eq!(error.kind(), ErrorKind::Limit);
    says(&error, &["line 2", "quote"]);
}

#[test]
fn a13_what_is_not_a_table_is_named() {
    let folder = Folder::new();
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "d.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "git lfs pull",
        ),
        ("d.csv", b"<!DOCTYPE html><html></html>", "web page"),
        ("d.csv", b"PK\x03\x04\x14\0\0\0", "zip"),
        ("d.npy", b"\x80\x04\x95\x10\0\0\0\0\0\0\0]q", "never loaded"),
        ("d.csv", b"{\"a\": 1}\n", "JSON"),
        ("d.parquet", b"a,b\n1,2\n", "the name says parquet"),
    ];
    for (name, bytes, part) in cases {
        let error = read(&folder.file(name, bytes)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{name}");
        says(&error, &[part]);
    }
}

#[test]
fn a13_the_bytes_decide_not_the_name() {
    let folder = Folder::new();
    let parquet = folder.path("d.parquet");
    crate::files::write(&parquet, &crate::files::sample_chunk(5)).unwrap();
    let path = folder.file("d.csv", std::fs::read(parquet).unwrap());
    let table = read(&path).unwrap();
    assert_eq!(table.rows.len(), 5);
    assert!(table.report.warnings()[0].contains("the bytes say parquet"));
    let wanted = ReadOptions { format: Some(diffeo_table::Format::Csv), ..ReadOptions::default() };
    says(&crate::files::read_with(&path, &wanted).unwrap_err(), &["expected csv", "parquet"]);
}
