//! Texts as other programs and people write them: comments, blanks between cells, names of rows, words for true and false.

use std::io::Write;

use diffeo_table::{Delimiter, Header, Input, Missing, ReadOptions, Reader, Table};

use crate::files::{Folder, read, read_text, read_with, refusal, says};

fn warned(table: &Table, text: &str) {
    let warnings = table.report.warnings();
    assert!(warnings.iter().any(|line| line.contains(text)), "{text:?} is not in {warnings:?}");
}

#[test]
fn comments_are_passed_over_and_counted() {
    let text = "# model = m\nmu,tau\n# Step size = 0.8\n1,2\n\"3\",4\n#5,6\n7,8\n# end";
    let table = read_text(text).unwrap();
    assert_eq!(table.names, ["mu", "tau"]);
    assert_eq!(table.rows.values(), [1.0, 2.0, 3.0, 4.0, 7.0, 8.0]);
    warned(&table, "4 lines are comments");
    says(&refusal("# only\n# comments\n"), &["nothing but comments", "2 lines", "--comment"]);
    assert_eq!(read_text("# one\n\na,b\n1,2\n").unwrap().rows.values(), [1.0, 2.0]);
    // Errors still name the line of the file.
    says(&refusal("a,b\n1,2\n# one\n1,x\n"), &["line 4"]);
    let folder = Folder::new();
    let path = folder.file("d.csv", "%a,b\na,b\n1,2\n");
    let options = ReadOptions { comment: Some(b'%'), ..ReadOptions::default() };
    assert_eq!(read_with(&path, &options).unwrap().names, ["a", "b"]);
    // Comments are counted also where reading stops early.
    let path = folder.file("f.csv", "a\n# one\n1\n2\n3\n");
    let first = ReadOptions { max_rows: Some(2), ..ReadOptions::default() };
    warned(&read_with(&path, &first).unwrap(), "1 line is a comment");
    // A mark inside a row is none, and without a mark there are no comments.
    let path = folder.file("e.csv", "#a,b\n1,2\n3,4\n");
    let none = ReadOptions { comment: None, ..ReadOptions::default() };
    assert_eq!(read_with(&path, &none).unwrap().names, ["#a", "b"]);
    says(&refusal("a,b\n1,2\n1,2#3\n"), &["2#3"]);
}

#[test]
fn a_comment_before_the_first_row_may_hold_the_names() {
    let table = read_text("# made by a program\n# omega, sigma8\n1,2\n3,4\n").unwrap();
    assert_eq!(table.names, ["omega", "sigma8"]);
    warned(&table, "those of the comment");
    assert_eq!(read_text("# a b\n1 2\n3 4\n").unwrap().names, ["a", "b"]);
    assert_eq!(read_text("#x\n1\n3\n").unwrap().names, ["x"]);
    // Not where it is a sentence, or where a header follows, or is said to.
    assert_eq!(read_text("# some words\n1\n3\n").unwrap().names, ["x1"]);
    assert_eq!(read_text("# a remark, by me\nmu,tau\n1,2\n").unwrap().names, ["mu", "tau"]);
    let folder = Folder::new();
    let path = folder.file("d.csv", "#a,b\n1,2\n3,4\n");
    let yes = ReadOptions { header: Header::Yes, ..ReadOptions::default() };
    assert_eq!(read_with(&path, &yes).unwrap().names, ["1", "2"]);
}

#[test]
fn blanks_separate_cells() {
    for text in ["a    b\n 0.5  -1\n  2   3 \n", "a\tb\n0.5\t -1\n2\t3\n", "a b\r\n0.5 -1\r\n2 3"] {
        let folder = Folder::new();
        let blanks = ReadOptions { delimiter: Some(Delimiter::Blanks), ..ReadOptions::default() };
        let table = read_with(&folder.file("d.txt", text), &blanks).unwrap();
        assert_eq!((table.names.len(), table.rows.values()), (2, &[0.5, -1.0, 2.0, 3.0][..]));
    }
    let table = read_text("a b\n1  2\n3\t4\n").unwrap();
    assert_eq!(
        (table.names.as_slice(), table.rows.row(1)),
        (&["a", "b"].map(String::from)[..], &[3.0, 4.0][..])
    );
    says(&refusal("a b\n1 2\n3\n"), &["line 3", "expected 2 fields"]);
    // Quotes keep blanks, and an empty cell in quotes is a cell.
    let folder = Folder::new();
    let options = ReadOptions { missing: Missing::Drop, ..ReadOptions::default() };
    let table =
        read_with(&folder.file("d.txt", "\"the big\" b\n1 2\n\"\" 4\n5 6\n"), &options).unwrap();
    assert_eq!(
        (table.names[0].as_str(), table.rows.values()),
        ("the big", &[1.0, 2.0, 5.0, 6.0][..])
    );
    // A single column whose name has a blank stays one.
    assert_eq!(read_text("net income\n1\n2\n").unwrap().names, ["net income"]);
}

#[test]
fn a_first_line_may_declare_the_separator() {
    let table = read_text("sep=;\r\na;b\r\n1;2\r\n").unwrap();
    assert_eq!((table.names.len(), table.rows.values()), (2, &[1.0, 2.0][..]));
}

#[test]
fn names_of_rows_as_r_writes_them_are_left_out() {
    for text in [
        "\"u\" \"v\"\n\"1\" 1.5 2\n\"2\" 3 4\n",
        "\"u\",\"v\"\n\"1\",1.5,2\n\"2\",3,4\n",
        "u v\nrow1 1.5 2\nrow2 3 4\n",
    ] {
        let table = read_text(text).unwrap();
        assert_eq!(
            (table.names.len(), table.rows.values()),
            (2, &[1.5, 2.0, 3.0, 4.0][..]),
            "{text}"
        );
        warned(&table, "names the row");
    }
    // One more field without quotes may be a decimal comma.
    says(&refusal("u,v\n1,5,2\n"), &["expected 2 fields", "decimal commas"]);
}

#[test]
fn words_for_true_and_false_are_one_and_zero() {
    for (text, expected) in
        [("True\nFalse\nNA\ntrue", [1.0, 0.0, 1.0]), ("n\ny\n\nY", [0.0, 1.0, 1.0])]
    {
        let folder = Folder::new();
        let drop = ReadOptions { missing: Missing::Drop, ..ReadOptions::default() };
        let table = read_with(&folder.file("d.csv", format!("flag\n{text}\n")), &drop).unwrap();
        assert_eq!(table.rows.values(), expected);
    }
    for text in ["flag\ntrue\n1\n", "flag\n0.5\nfalse\n", "flag\ntrue\nno\n"] {
        says(&refusal(text), &["line 3", "another kind"]);
    }
    // The same in any cut into chunks.
    let folder = Folder::new();
    let path = folder.file("d.csv", "flag\ntrue\nfalse\n1\n");
    let one = ReadOptions { chunk_rows: 1, ..ReadOptions::default() };
    says(&read_with(&path, &one).unwrap_err(), &["line 4", "true and false"]);
}

#[test]
fn missing_values_may_have_marks_of_their_own() {
    let folder = Folder::new();
    let path = folder.file("d.csv", "a,b\n1,-999\nunknown,2\n3,4\n");
    let missing_marks = ["-999", "unknown"].map(String::from).to_vec();
    let options = ReadOptions { missing: Missing::Drop, missing_marks, ..ReadOptions::default() };
    let table = read_with(&path, &options).unwrap();
    assert_eq!((table.rows.values(), table.report.rows_dropped), (&[3.0, 4.0][..], 2));
    says(&read(&path).unwrap_err(), &["\"unknown\""]);
    // A column of truth values with such a mark is one of truth values.
    let path = folder.file("e.csv", "flag\nyes\nunknown\nno\n");
    let survey = Reader::open(&Input::Path(path), &options).unwrap().survey().unwrap();
    assert_eq!(survey.numeric, ["flag"]);
}

#[test]
fn exponents_of_fortran_and_percentages() {
    assert_eq!(read_text("a\n1.5D+02\n-2d0\n").unwrap().rows.values(), [150.0, -2.0]);
    says(&refusal("a\n12%\n"), &["line 2", "percentage"]);
}

#[test]
fn zeros_behind_the_last_gzip_member_are_padding() {
    let packed = |text: &str| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    };
    let folder = Folder::new();
    let mut bytes = packed("a\n1\n");
    bytes.extend([0; 3]);
    bytes.extend(packed("2\n"));
    bytes.extend([0; 100_000]);
    assert_eq!(read(&folder.file("d.csv.gz", &bytes)).unwrap().rows.values(), [1.0, 2.0]);
    bytes.push(7);
    says(&read(&folder.file("e.csv.gz", &bytes)).unwrap_err(), &["damaged"]);
}

#[test]
fn a_survey_looks_until_it_has_seen_a_value_of_each_column() {
    let folder = Folder::new();
    let path =
        folder.file("d.csv", "x,word,slip,late,none,flag\n1,u,oops,,,t\n2,v,3,,NA,f\n3,w,4,5,,t\n");
    for chunk_rows in [1, 2, 10] {
        let options = ReadOptions { chunk_rows, ..ReadOptions::default() };
        let survey = Reader::open(&Input::Path(path.clone()), &options).unwrap().survey().unwrap();
        assert_eq!(survey.numeric, ["x", "slip", "late", "flag"], "{chunk_rows}");
        assert_eq!((survey.text, survey.empty), (vec!["word".to_owned()], vec!["none".to_owned()]));
    }
}
