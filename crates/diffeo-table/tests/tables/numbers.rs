//! Cells that are numbers, and those that are not: A4 to A7.

use diffeo::ErrorKind;
use diffeo_table::{Input, Missing, ReadOptions, Reader};

use crate::files::{Folder, chunks, names, read_text, read_with, refusal, says};

fn dropping() -> ReadOptions {
    ReadOptions { missing: Missing::Drop, ..ReadOptions::default() }
}

#[test]
fn a4_text_in_a_numeric_column_is_quoted() {
    for cell in ["n0", "\"1,5\"", "1e", "0x10", "1_000", "1 000", "--1"] {
        let error = refusal(format!("a,b\n1,2\n3,{cell}\n"));
        assert_eq!(error.kind(), ErrorKind::Data, "{cell}");
        says(
            &error,
            &["data.csv", "line 3, column \"b\"", cell.trim_matches('"'), "is not a number"],
        );
    }
    says(&refusal("a\n\"1,5\"\n"), &["decimal point"]);
    says(&refusal("a,b\n1,2;3\n"), &["--delimiter"]);
    let long = "x".repeat(10_000);
    assert!(refusal(format!("a\n1\n{long}\n")).to_string().len() < 400);
}

#[test]
fn a4_numbers_are_read_exactly() {
    let table = read_text("a,b,c,d\n0.1,1e-3,-17,  2.5 \n").unwrap();
    assert_eq!(table.rows.values(), [0.1, 1e-3, -17.0, 2.5]);
}

#[test]
fn a5_missing_values_are_counted_over_the_whole_file_and_refused() {
    let mut text = String::from("a,b,c\n");
    for i in 0..1000 {
        text += match i {
            10 => "1,NA,x\n",
            500 => ",?,x\n",
            _ => "1,2,\n",
        };
    }
    let folder = Folder::new();
    let path = folder.file("d.csv", text);
    let options = ReadOptions { chunk_rows: 64, ..ReadOptions::default() };
    let mut reader = Reader::open(&Input::Path(path), &options).unwrap();
    reader.require(&names(&["a", "b"])).unwrap();
    let error = reader.next_chunk().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    says(
        &error,
        &[
            "3 values are missing",
            "1000 rows",
            "\"b\" 2",
            "\"a\" 1",
            "line 12, column \"b\"",
            "--missing drop",
        ],
    );
    assert!(reader.next_chunk().unwrap().is_none(), "a reader that failed has ended");
}

#[test]
fn a5_dropped_rows_are_counted_and_only_needed_columns_matter() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,b,note\n1,2,\nNA,3,x\n4,null,y\n5,6,NA\n");
    let wanted = names(&["a", "b"]);
    let mut reader = Reader::open(&Input::Path(path.clone()), &dropping()).unwrap();
    reader.require(&wanted).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    assert_eq!(chunk.numbers(&wanted).unwrap().values(), [1.0, 2.0, 5.0, 6.0]);
    assert_eq!(chunk.rows(), 2);
    assert!(reader.next_chunk().unwrap().is_none());
    let report = reader.report();
    assert_eq!((report.rows_read, report.rows_dropped, report.rows_kept()), (4, 2, 2));
    assert!(report.warnings()[0].contains("2 of 4 rows"), "{:?}", report.warnings());

    let all = read_with(&folder.file("e.csv", "a\nNA\n?\n"), &dropping()).unwrap_err();
    says(&all, &["no rows are left", "all 2 have missing values"]);
}

#[test]
fn a5_line_numbers_survive_dropped_rows() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,b\nNA,1\n2,oops\n");
    let mut reader = Reader::open(&Input::Path(path), &dropping()).unwrap();
    reader.require(&names(&["a"])).unwrap();
    let chunk = reader.next_chunk().unwrap().unwrap();
    says(&chunk.numbers(&names(&["b"])).unwrap_err(), &["line 3", "oops"]);
}

#[test]
fn a5_a_missing_value_is_never_a_number() {
    for mark in ["", "NA", "nan", "NaN", "null", "?", "None", "N/A"] {
        let folder = Folder::new();
        let path = folder.file("d.csv", format!("a,b\n{mark},1\n"));
        let chunk = &chunks(&path, &ReadOptions::default()).unwrap()[0];
        says(&chunk.numbers(&names(&["a"])).unwrap_err(), &["line 2, column \"a\"", "missing"]);
    }
    // An empty line in a table of one column is an empty cell, unless it is at the end.
    says(&refusal("a\n1\n\n2\n\n"), &["1 value is missing", "line 3"]);
}

#[test]
fn a6_infinities_and_overflow_are_refused() {
    for cell in ["inf", "-inf", "Infinity", "1e400", "-1e999"] {
        says(&refusal(format!("a\n1\n{cell}\n")), &["line 3", cell, "infinite"]);
    }
}

#[test]
fn a6_underflow_is_counted_and_warned() {
    let table = read_text("a\n1e-400\n-1e-999\n0.0\n1\n").unwrap();
    assert_eq!(table.rows.values(), [0.0, 0.0, 0.0, 1.0]);
    assert_eq!(table.report.underflows, 2);
    assert!(table.report.warnings()[0].contains("too small"));
}

#[test]
fn a7_too_large_for_f32_is_refused_unless_asked_for() {
    says(&refusal("a\n1e39\n"), &["\"1e39\"", "3.40e38", "rescale"]);
    assert_eq!(read_text("a\n3.4e38\n").unwrap().rows.values(), [3.4e38]);
    let folder = Folder::new();
    let options = ReadOptions { max_magnitude: f64::MAX, ..ReadOptions::default() };
    let table = read_with(&folder.file("d.csv", "a\n1e39\n"), &options).unwrap();
    assert_eq!(table.rows.values(), [1e39]);
}

#[test]
fn a7_integers_beyond_two_to_53_are_warned_about() {
    let table = read_text("a\n9007199254740993\n1\n").unwrap();
    assert_eq!(table.report.inexact_integers, 1);
    assert!(table.report.warnings()[0].contains("2^53"));
}

#[test]
fn a5_kept_rows_hold_nan_and_infinities() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,b\n1,2\nNA,-inf\n3,inf\n");
    let options = ReadOptions { missing: Missing::Keep, ..ReadOptions::default() };
    let wanted = names(&["a", "b"]);
    let mut reader = Reader::open(&Input::Path(path), &options).unwrap();
    reader.require(&wanted).unwrap();
    let rows = reader.next_chunk().unwrap().unwrap().numbers(&wanted).unwrap();
    assert!(rows.row(1)[0].is_nan());
    assert_eq!((rows.row(1)[1], rows.row(2)[1]), (f64::NEG_INFINITY, f64::INFINITY));
    // A number that f32 cannot hold is no infinity.
    let error = read_with(&folder.file("e.csv", "a\n1e39\n"), &options).unwrap_err();
    says(&error, &["1e39", "rescale"]);
}

#[test]
fn columns_of_text_are_told_from_columns_with_a_slip() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "x,word,slip,none\n1,u,oops,\n2,v,3,NA\n");
    let reader = Reader::open(&Input::Path(path.clone()), &ReadOptions::default()).unwrap();
    assert_eq!(reader.survey().unwrap().numeric, ["x", "slip"]);
    let chunk = &chunks(&path, &ReadOptions::default()).unwrap()[0];
    assert_eq!(chunk.without_column("word").unwrap().columns(), ["x", "slip", "none"]);
    assert!(chunk.without_column("absent").is_err());
}
