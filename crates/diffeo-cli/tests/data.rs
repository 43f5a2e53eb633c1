//! Tables as a process meets them: cases A1 to A17, and D1 where no row can be learned from.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Ran, TINY, at, folder, names, npy, run_in, weights};

/// A table, the arguments after `fit FILE --out m.safetensors`, the exit code, and what stderr must hold.
struct Case<'a> {
    file: &'a str,
    bytes: &'a [u8],
    arguments: &'a str,
    code: i32,
    texts: &'a [&'a str],
}

/// Fits the table of each case in a folder of its own. A fit that fails leaves nothing behind, and stderr names the file.
#[track_caller]
fn check(cases: &[Case<'_>]) {
    for case in cases {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(case.file), case.bytes).expect("written");
        let ran = fit(folder.path(), case.file, case.arguments);
        eprintln!("{} {}: {}", case.file, case.arguments, ran.stderr);
        let ran = ran.expect(case.code, case.texts);
        if case.code != 0 {
            assert!(ran.stderr.contains(case.file), "{ran:?}");
            assert_eq!(names(folder.path()), [case.file], "{ran:?}");
        }
    }
}

fn fit(folder: &Path, file: &str, arguments: &str) -> Ran {
    run_in(folder, &format!("fit {file} --out m.safetensors --seed 1 {TINY} {arguments}"))
}

fn case<'a>(
    file: &'a str,
    bytes: &'a [u8],
    arguments: &'a str,
    code: i32,
    texts: &'a [&'a str],
) -> Case<'a> {
    Case { file, bytes, arguments, code, texts }
}

/// A table of two columns of distinct numbers with a third that `third` gives for each row.
fn table(head: &str, rows: usize, third: impl Fn(usize) -> String) -> Vec<u8> {
    let row = |i: usize| {
        let (a, b) = ((i * 7919 % 997) as f64 / 99.7, (i * 104_729 % 991) as f64 / 40.0);
        format!("{a:.4},{b:.4}{}\n", third(i))
    };
    (format!("{head}\n") + &(0..rows).map(row).collect::<String>()).into_bytes()
}

#[test]
fn a1_a_table_without_rows_is_refused() {
    check(&[
        case("t.csv", b"", "", 3, &["empty"]),
        case("t.csv", b"a,b\n", "", 3, &["no rows"]),
        case("t.csv", b"a,b\n", "--columns a,b", 3, &["no rows"]),
        case("t.npy", &npy("'<f8'", "(0, 2)", b""), "", 3, &["no rows"]),
    ]);
}

#[test]
fn a2_too_few_rows_for_a_split_are_refused_with_the_minimum() {
    check(&[
        case("t.csv", b"a,b\n1.5,2.5\n2.5,1\n", "", 3, &["2 rows", "at least 2"]),
        case("t.csv", b"a,b\n1.5,2.5\n", "", 3, &["1 rows", "at least 2"]),
        case("t.csv", b"a,b\n1.5,2.5\n", "--valid 0", 0, &["warning", "one row"]),
        case("t.csv", b"a,b\n1.5,2.5\n2.5,1\n4,3.5\n", "", 0, &[]),
    ]);
}

#[test]
fn a3_a_ragged_row_is_refused_with_its_line_and_counts() {
    check(&[
        case("t.csv", b"a,b\n1,2\n3,4,5\n6,7\n", "", 3, &["line 3", "2", "3"]),
        case("t.csv", b"a,b\n1,2\n3,4\n6\n", "", 3, &["line 4", "2", "1"]),
    ]);
}

#[test]
fn a4_text_in_a_numeric_column_is_quoted() {
    let cell =
        |text: &str| table("a,b,c", 40, |i| format!(",{}", if i == 25 { text } else { "1" }));
    // As some spreadsheets write: semicolons between the cells, decimal commas in them.
    let swapped = |c: u8| match c {
        b',' => b';',
        b'.' => b',',
        c => c,
    };
    let semicolons: Vec<u8> = cell("1.5").into_iter().map(swapped).collect();
    check(&[
        case("t.csv", &semicolons, "", 0, &["commas for points"]),
        case("t.csv", &semicolons, "--delimiter ;", 0, &["commas for points"]),
        case(
            "t.csv",
            b"a,b\n\"1,5\",2\n3,4\n",
            "--columns a,b",
            3,
            &["is not a number", "decimal point"],
        ),
        case("t.csv", &cell("1e"), "--columns a,c", 3, &["line 27", "\"c\"", "\"1e\""]),
        case("t.csv", &cell("0x10"), "--columns a,c", 3, &["line 27", "\"0x10\""]),
        case("t.csv", &cell("1_000"), "--columns a,c", 3, &["line 27", "\"1_000\""]),
    ]);
}

#[test]
fn a5_missing_values_are_counted_and_dropped_only_when_asked() {
    let missing = table("a,b,c", 40, |i| match i {
        3 => ",".to_string(),
        8 => ",NA".to_string(),
        11 => ",nan".to_string(),
        _ => format!(",{}", (i * 31 % 37) as f64 / 7.0),
    });
    check(&[
        case("t.csv", &missing, "", 3, &["\"c\" 3", "--missing drop"]),
        case("t.csv", &missing, "--missing drop", 0, &["3 of 40 rows", "\"c\" 3"]),
        case("t.csv", &missing, "--columns a,b", 0, &[]),
    ]);
}

#[test]
fn a6_infinities_and_overflow_are_refused_and_underflow_is_counted() {
    let cell = |text: &str| {
        table("a,b,c", 40, |i| match i {
            25 => format!(",{text}"),
            _ => format!(",{}", (i * 31 % 37) as f64 / 7.0),
        })
    };
    check(&[
        case("t.csv", &cell("inf"), "", 3, &["line 27", "\"c\""]),
        case("t.csv", &cell("-inf"), "", 3, &["line 27", "\"c\""]),
        case("t.csv", &cell("1e400"), "", 3, &["line 27", "1e400"]),
        case("t.csv", &cell("1e39"), "", 3, &["line 27", "1e39"]),
        case("t.csv", &cell("1e-400"), "", 0, &["warning: 1 numbers", "became 0"]),
    ]);
}

#[test]
fn a8_a_constant_column_is_refused_by_name_or_left_out() {
    let flat = table("a,b,flat", 60, |_| ",0.3".to_string());
    check(&[
        case("t.csv", &flat, "", 3, &["\"flat\"", "0.3", "--drop-constant"]),
        case("t.csv", &flat, "--drop-constant", 0, &["\"flat\"", "left out"]),
        case("t.csv", b"flat\n2\n2\n2\n2\n", "--drop-constant", 3, &["no columns"]),
    ]);
}

#[test]
fn a11_encodings_are_accepted_or_named() {
    let plain = table("a,b", 40, |_| String::new());
    let bom = [b"\xef\xbb\xbf", &plain[..]].concat();
    let crlf = String::from_utf8(plain.clone()).expect("text").replace('\n', "\r\n");
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(plain.iter().flat_map(|&byte| [byte, 0])).collect();
    let latin = [b"a,gr\xf6\xdfe\n", &plain[4..]].concat();
    let mut nul = plain.clone();
    nul[30] = 0;
    check(&[
        case("t.csv", &bom, "--columns a,b", 0, &[]),
        case("t.csv", crlf.as_bytes(), "--columns a,b", 0, &[]),
        case("t.csv", &utf16, "", 3, &["UTF-16"]),
        case("t.csv", &latin, "", 3, &["UTF-8"]),
        case("t.csv", &nul, "", 3, &["NUL"]),
    ]);
}

#[test]
fn a13_files_that_are_something_else_or_too_long_are_refused() {
    let long = table("a,b", 2000, |_| String::new());
    let html = b"<!DOCTYPE html><html><body>not found</body></html>";
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    check(&[
        case("t.csv", &long, "--max-bytes 10k", 5, &["10000 bytes", "--max-bytes"]),
        case("t.csv", &long, "--max-bytes 1M", 0, &[]),
        case("t.csv", html, "", 3, &["HTML"]),
        case("t.csv", pointer, "", 3, &["LFS"]),
        case("t.csv", b"PK\x03\x04rest of an archive", "", 3, &["zip"]),
    ]);
}

#[test]
fn a14_npy_files_of_objects_or_of_another_length_are_refused() {
    check(&[
        case("t.npy", &npy("'|O'", "(2, 2)", &[0x80, 4, 0x2e]), "", 3, &["object"]),
        case("t.npy", &npy("'<f8'", "(3, 2)", &[0; 40]), "", 3, &["from the shape", "cut short"]),
        case("t.npy", &npy("'<f8'", "(9999999999999, 9999999999999)", &[]), "", 3, &["shape"]),
    ]);
}

#[test]
fn a15_corrupt_parquet_is_an_error_without_a_panic() {
    let folder = folder();
    let line = "sample m.safetensors -n 500 --seed 1 --out s.parquet --quiet";
    run_in(folder.path(), &format!("fit train.csv --out m.safetensors {TINY}")).expect(0, &[]);
    run_in(folder.path(), line).expect(0, &[]);
    let sound = fs::read(at(&folder, "s.parquet")).expect("there");
    check(&[case("t.parquet", &sound, "", 0, &[])]);
    let at_page = {
        let mut bytes = sound.clone();
        bytes[4..40].fill(0xff);
        bytes
    };
    let at_footer = {
        let mut bytes = sound.clone();
        let end = bytes.len();
        bytes[end - 60..end - 12].fill(0xff);
        bytes
    };
    check(&[
        case("t.parquet", &at_page, "", 3, &[]),
        case("t.parquet", &at_footer, "", 3, &[]),
        case("t.parquet", &sound[..sound.len() / 2], "", 3, &[]),
        case("t.parquet", b"PAR1", "", 3, &[]),
    ]);
}

#[test]
fn a17_a_folder_or_a_missing_file_is_an_error_of_input() {
    let folder = folder();
    for (file, text) in [(".", "folder"), ("gone.csv", "gone.csv")] {
        let ran = fit(folder.path(), file, "").expect(5, &[text]);
        assert_eq!(names(folder.path()), ["train.csv"], "{ran:?}");
    }
}

#[cfg(unix)]
#[test]
fn a17_a_fifo_is_read_by_commands_that_need_one_pass() {
    let folder = support::folder_with_model();
    let fifo = at(&folder, "pipe.csv");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let feed = |times: usize| {
        let (fifo, text) = (fifo.clone(), fs::read(at(&folder, "train.csv")).expect("there"));
        std::thread::spawn(move || (0..times).for_each(|_| fs::write(&fifo, &text).expect("fed")))
    };
    // To look at the columns first reads it twice: from memory.
    let feeder = feed(1);
    let [line, of_file] = ["pipe.csv", "train.csv"]
        .map(|file| format!("fit {file} --out w.safetensors --force --seed 1 {TINY}"));
    run_in(folder.path(), &line).expect(0, &[]);
    feeder.join().expect("fed");
    let of_pipe = weights(&at(&folder, "w.safetensors"));
    run_in(folder.path(), &of_file).expect(0, &[]);
    assert!(of_pipe == weights(&at(&folder, "w.safetensors")), "the bits of the file");
    let feeder = feed(1);
    run_in(folder.path(), &format!("{line} --max-memory 1K")).expect_one_of(&[3, 5]);
    drop(feeder);
    let feeder = feed(1);
    let line = "score m.safetensors pipe.csv --out s.csv --quiet";
    run_in(folder.path(), line).expect(0, &[]);
    feeder.join().expect("fed");
    let feeder = feed(1);
    let line =
        format!("fit pipe.csv --columns a,b --out p.safetensors --plot p.svg --seed 1 {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    feeder.join().expect("fed");
    let line = "score m.safetensors train.csv --out t.csv --quiet";
    run_in(folder.path(), line).expect(0, &[]);
    let read = |name| fs::read(at(&folder, name)).expect("there");
    assert!(read("s.csv") == read("t.csv"), "a pipe is read as a file is");
    assert_eq!(
        support::weights(&at(&folder, "p.safetensors")),
        support::weights(&at(&folder, "m.safetensors"))
    );
}

#[test]
fn d1_a_fit_that_cannot_score_its_rows_ends_with_code_1_and_no_model() {
    let folder = folder();
    for validation in ["", "--valid 0"] {
        // A base that is zero outside [-1, 1]: a third of the rows have no density at all.
        let line = format!(
            "fit train.csv --out m.safetensors --base uniform:1 --model maf --hidden 8 --steps 60 --seed 1 {validation}"
        );
        let ran = run_in(folder.path(), &line).expect(1, &["not finite", "learning rate"]);
        assert_eq!(names(folder.path()), ["train.csv"], "{ran:?}");
        assert!(!ran.stdout.contains("best step"), "{ran:?}");
    }
}
