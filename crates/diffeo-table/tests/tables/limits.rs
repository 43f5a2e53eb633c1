//! Bombs, memory and the operating system: A13, A16, A17.

use std::io::Write;

use diffeo::ErrorKind;
use diffeo_table::{Input, MemoryLimit, ReadOptions, Reader, read_table};

use crate::files::{Folder, gzip, names, read, read_with, sample_chunk, says, write};

#[test]
fn a13_decompression_bombs_meet_the_limit_on_the_output() {
    let line = b"1,2\n".repeat(1 << 20);
    let text = [b"a,b\n".as_slice(), &line].concat();
    let folder = Folder::new();
    let options = ReadOptions { max_bytes: Some(1 << 20), ..ReadOptions::default() };
    let gz = folder.file("d.csv.gz", gzip(&text));
    let zst = folder.file("d.csv.zst", zstd::encode_all(&text[..], 3).unwrap());
    let plain = folder.file("d.csv", &text);
    for path in [&gz, &zst, &plain] {
        let error = read_with(path, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        says(&error, &["more than 1048576 bytes", "--max-bytes"]);
        assert_eq!(read(path).unwrap().rows.len(), 1 << 20);
    }
}

#[test]
fn a13_a_bomb_of_one_endless_line_is_refused_without_any_option() {
    // One endless line meets the limit on records long before the cap on all bytes.
    let folder = Folder::new();
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(b"a,b\n").unwrap();
    for _ in 0..64 {
        encoder.write_all(&[b'1'; 1 << 20]).unwrap();
    }
    let path = folder.file("d.csv.zst", encoder.finish().unwrap());
    assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn a13_damaged_and_cut_archives_are_bad_data() {
    let folder = Folder::new();
    let packed = gzip(&b"a,b\n".iter().chain(&b"1,2\n".repeat(1000)).copied().collect::<Vec<_>>());
    let error = read(&folder.file("d.csv.gz", &packed[..packed.len() - 9])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    says(&error, &["gzip", "damaged or cut short"]);
    says(&read(&folder.file("d.csv.gz", gzip(&packed))).unwrap_err(), &["compressed twice"]);
}

#[test]
fn a16_a_table_above_the_memory_limit_is_refused_early() {
    let folder = Folder::new();
    let limit = MemoryLimit::bytes(100_000);
    let parquet = folder.path("d.parquet");
    write(&parquet, &sample_chunk(10_000)).unwrap();
    let csv = folder.path("d.csv");
    write(&csv, &sample_chunk(10_000)).unwrap();
    for path in [parquet, csv] {
        let input = Input::Path(path);
        let options = ReadOptions { chunk_rows: 100, ..ReadOptions::default() };
        let error = read_table(&input, None, &options, limit).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        says(&error, &["rows of 2 columns need", "MiB", "--max-rows"]);
        let some = ReadOptions { max_rows: Some(5000), ..options };
        assert_eq!(read_table(&input, None, &some, limit).unwrap().rows.len(), 5000);
        let one = names(&["a"]);
        assert_eq!(
            read_table(&input, Some(&one), &ReadOptions::default(), limit).unwrap().rows.len(),
            10_000
        );
    }
}

#[test]
fn a17_what_cannot_be_opened_is_an_io_error() {
    let folder = Folder::new();
    let error = read(&folder.path("absent.csv")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    says(&error, &["absent.csv", "cannot open"]);
    let error = read(folder.path("x").parent().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    says(&error, &["folder"]);
}

#[cfg(unix)]
#[test]
fn a17_no_permission_is_an_io_error() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("d.csv", "a\n1\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::File::open(&path).is_err() {
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::Io);
    } // else we are root, who may read everything
}

#[test]
fn a17_a_file_that_changes_while_it_is_read_is_noticed() {
    let folder = Folder::new();
    let text: String =
        std::iter::once("a\n".to_owned()).chain((0..1000).map(|i| format!("{i}\n"))).collect();
    let path = folder.file("d.csv", text);
    let options = ReadOptions { chunk_rows: 10, ..ReadOptions::default() };
    let mut reader = Reader::open(&Input::Path(path.clone()), &options).unwrap();
    reader.next_chunk().unwrap().unwrap();
    std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"7\n").unwrap();
    let outcome = std::iter::from_fn(|| reader.next_chunk().transpose()).find_map(Result::err);
    let error = outcome.expect("the change should be noticed");
    assert_eq!(error.kind(), ErrorKind::Io);
    says(&error, &["changed while it was being read"]);
}

#[cfg(unix)]
#[test]
fn a17_fifos_work_for_every_format() {
    let folder = Folder::new();
    for name in ["d.csv", "d.csv.gz", "d.parquet", "d.arrow", "d.npy"] {
        let path = folder.path(name);
        write(&path, &sample_chunk(100)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let feeder = std::thread::spawn({
            let path = path.clone();
            move || std::fs::write(path, bytes).unwrap()
        });
        assert_eq!(read(&path).unwrap().rows.len(), 100, "{name}");
        feeder.join().unwrap();
    }
}

#[test]
fn a17_standard_input_is_read_once() {
    const MARK: &str = "DIFFEO_TABLE_READ_STDIN";
    if std::env::var_os(MARK).is_some() {
        let table = read_table(
            &Input::from_arg("-"),
            None,
            &ReadOptions::default(),
            MemoryLimit::unlimited(),
        );
        match table {
            Ok(table) => assert_eq!(table.rows.values(), [1.0, 2.0]),
            Err(error) => says(&error, &["standard input", "line 3", "oops"]),
        }
        return;
    }
    for text in ["a,b\n1,2\n", "a\tb\n1\t2\n", "a,b\n1,2\n3,oops\n"] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "limits::a17_standard_input_is_read_once"])
            .env(MARK, "1")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let outcome = child.wait_with_output().unwrap();
        assert!(outcome.status.success(), "{}", String::from_utf8_lossy(&outcome.stdout));
    }
}
