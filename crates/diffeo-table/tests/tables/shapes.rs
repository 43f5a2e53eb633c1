//! Rows, headers and names: A1, A3, A12, A18.

use diffeo::ErrorKind;
use diffeo_table::{Delimiter, Header, Input, ReadOptions, Reader};

use crate::files::{Folder, chunks, names, read, read_text, read_with, refusal, says};

#[test]
fn a1_empty_file_and_header_only_have_no_rows() {
    for text in ["", "a,b\n", "a,b", "\u{feff}a,b\r\n\n\n"] {
        let error = refusal(text);
        assert_eq!(error.kind(), ErrorKind::Data, "{text:?}");
        assert!(
            error.message().contains("no rows") || error.message().contains("empty"),
            "{error}"
        );
    }
}

#[test]
fn a3_ragged_row_names_the_line() {
    says(
        &refusal("a,b\n1,2\n\"3\",4,5\n"),
        &["data.csv", "line 3 (byte 8)", "expected 2 fields", "found 3"],
    );
    says(&refusal("a,b\n1\n"), &["line 2", "expected 2 fields", "found 1"]);
    says(&refusal("a,b\n1,2,\n"), &["line 2", "ends with a delimiter"]);
    says(&refusal("a,b\n1,5,2,5\n"), &["found 4", "decimal commas"]);
}

#[test]
fn a3_line_numbers_count_physical_lines() {
    let text = "name,x\n\"two\nlines\",1\n\"three\r\n\r\nlines\",2\nlast,bad\n";
    let folder = Folder::new();
    let path = folder.file("d.csv", text);
    let mut reader = Reader::open(&Input::Path(path), &ReadOptions::default()).unwrap();
    reader.require(&names(&["x"])).unwrap();
    says(&reader.next_chunk().unwrap_err(), &["line 7", "column \"x\"", "\"bad\""]);
}

#[test]
fn a12_names_must_be_there_and_differ() {
    says(&refusal("a,a\n1,2\n"), &["two columns are called \"a\""]);
    says(&refusal("a,\n1,2\n"), &["column 2 of 2 has no name"]);
    says(&refusal(",a\n0,2\n"), &["column 1 of 2 has no name", "pandas"]);
}

#[test]
fn a12_columns_are_matched_by_name() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "c,b,a\nx,2,1\ny,4,3\n");
    let wanted = names(&["a", "b"]);
    let mut reader = Reader::open(&Input::Path(path.clone()), &ReadOptions::default()).unwrap();
    reader.require(&wanted).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert_eq!(chunk.numbers(&wanted).unwrap().values(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(chunk.columns(), ["c", "b", "a"]);

    let mut reader = Reader::open(&Input::Path(path.clone()), &ReadOptions::default()).unwrap();
    reader.select(&wanted).unwrap();
    assert_eq!(reader.columns(), ["b", "a"]);
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert_eq!(chunk.numbers(&wanted).unwrap().values(), [1.0, 2.0, 3.0, 4.0]);

    let mut reader = Reader::open(&Input::Path(path), &ReadOptions::default()).unwrap();
    let error = reader.require(&names(&["a", "z", "q"])).unwrap_err();
    says(
        &error,
        &["d.csv", "expected the columns \"z\", \"q\"", "the table has \"c\", \"b\", \"a\""],
    );
}

#[test]
fn a12_text_among_numbers_says_so_and_how_to_go_on() {
    says(
        &refusal("a,kind\n1,7\n1,good\n"),
        &["line 3", "column \"kind\"", "\"good\" is not a number", "--columns", "category"],
    );
    says(
        &refusal("a,kind\n1,good\n1,7\n"),
        &["line 3", "column \"kind\"", "\"7\"", "begins with the text \"good\"", "category"],
    );
}

#[test]
fn a18_odd_paths_are_handled_and_escaped() {
    let folder = Folder::new();
    for name in ["with space.csv", "-x.csv", "new\nline.csv", "ü.csv"] {
        assert_eq!(read(&folder.file(name, "a\n1\n")).unwrap().rows.values(), [1.0], "{name:?}");
    }
    let error = read(&folder.file("bad\nname\u{1b}.csv", "a\n1\nx\n")).unwrap_err();
    says(&error, &["bad\\nname\\u{1b}.csv"]);
}

#[cfg(unix)]
#[test]
fn a18_paths_that_are_not_unicode_and_symlink_loops() {
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let path = folder.path("x").with_file_name(std::ffi::OsStr::from_bytes(b"\xff\xfe.csv"));
    std::fs::write(&path, "a\n1\n").unwrap();
    assert_eq!(read(&path).unwrap().rows.len(), 1);
    let around = folder.path("loop.csv");
    std::os::unix::fs::symlink(&around, &around).unwrap();
    assert_eq!(read(&around).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_file_of_numbers_needs_no_header() {
    let table = read_text("1,2\n3,4\n").unwrap();
    assert_eq!((table.names, table.rows.len()), (names(&["x1", "x2"]), 2));
    assert!(
        table.report.warnings()[0].contains("first line holds only numbers"),
        "{:?}",
        table.report
    );

    let folder = Folder::new();
    let path = folder.file("d.csv", "2019,2020\n3,4\n");
    let yes =
        read_with(&path, &ReadOptions { header: Header::Yes, ..ReadOptions::default() }).unwrap();
    assert_eq!((yes.names, yes.rows.len()), (names(&["2019", "2020"]), 1));
    let no =
        read_with(&path, &ReadOptions { header: Header::No, ..ReadOptions::default() }).unwrap();
    assert_eq!((no.rows.len(), no.report.warnings().len()), (2, 0));
}

#[test]
fn delimiters() {
    let folder = Folder::new();
    assert_eq!(read(&folder.file("d.tsv", "a\tb\n1\t2\n")).unwrap().rows.values(), [1.0, 2.0]);
    assert_eq!(read(&folder.file("data", "a\tb\n1\t2\n")).unwrap().rows.values(), [1.0, 2.0]);
    for text in ["a;b\n1;2\n", "a|b\n1|2\n", "a\tb\n1\t2\n", "a;b\n1,0;2,00\n"] {
        assert_eq!(read(&folder.file("d.csv", text)).unwrap().rows.values(), [1.0, 2.0], "{text}");
    }
    says(&read(&folder.file("d.csv", "a;b\n1\n")).unwrap_err(), &["\";\"", "--delimiter"]);
    let path = folder.file("d.csv", "a;b\n1;2\n");
    let options = ReadOptions { delimiter: Some(Delimiter::Byte(b';')), ..ReadOptions::default() };
    assert_eq!(read_with(&path, &options).unwrap().rows.values(), [1.0, 2.0]);
    let options = ReadOptions { delimiter: Some(Delimiter::Byte(b'"')), ..ReadOptions::default() };
    assert_eq!(read_with(&path, &options).unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn chunks_of_any_size_give_the_same_rows() {
    let folder = Folder::new();
    let text: String = std::iter::once("a,b\n".to_owned())
        .chain((0..100).map(|i| format!("{i},\"{}\"\n", i * i)))
        .collect();
    let path = folder.file("d.csv", text);
    for chunk_rows in [1, 7, 100, 1000] {
        let options = ReadOptions { chunk_rows, ..ReadOptions::default() };
        let chunks = chunks(&path, &options).unwrap();
        assert!(chunks.iter().all(|c| c.rows() <= chunk_rows));
        let mut next = 0;
        for chunk in &chunks {
            assert_eq!(chunk.first_row(), next);
            let rows = chunk.numbers(&names(&["b", "a"])).unwrap();
            for i in 0..rows.len() {
                let x = next as f64;
                assert_eq!(rows.row(i), [x * x, x]);
                next += 1;
            }
        }
        assert_eq!(next, 100);
    }
}

#[test]
fn a_reader_can_stop_after_some_rows() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a\n1\n2\n3\n");
    let options = ReadOptions { max_rows: Some(2), ..ReadOptions::default() };
    let table = read_with(&path, &options).unwrap();
    assert_eq!(table.rows.values(), [1.0, 2.0]);
    assert!(table.report.warnings()[0].contains("first 2 rows"));
}
