//! Tables that are larger than the memory they may take: A16.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, RecordBatch};
use diffeo_table::{Format, Input, Output, ReadOptions, Reader, Writer};

use crate::files::Folder;

const MARK: &str = "DIFFEO_TABLE_BIG_FILE";
const COLUMNS: usize = 10;

/// Writes rows that do not compress.
fn make(path: &Path, rows: usize) {
    const BLOCK: usize = 100_000;
    let mut state = 1u64;
    let mut block = || {
        RecordBatch::try_from_iter((0..COLUMNS).map(|j| {
            let numbers = (0..BLOCK).map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32
            });
            (format!("x{j}"), Arc::new(Float32Array::from_iter_values(numbers)) as ArrayRef)
        }))
        .unwrap()
    };
    let first = block();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, first.schema(), None).unwrap();
    writer.write(&first).unwrap();
    for _ in 1..rows / BLOCK {
        writer.write(&block()).unwrap();
    }
    writer.close().unwrap();
}

/// Reads all, adds a column, writes; as `score` does. Returns the rows.
fn pass_through(path: &Path, out: &Path) -> u64 {
    let mut reader =
        Reader::open(&Input::Path(path.to_path_buf()), &ReadOptions::default()).unwrap();
    let columns = reader.columns().to_vec();
    reader.require(&columns).unwrap();
    let mut writer =
        Writer::create(&Output::Path(out.to_path_buf()), Some(Format::Parquet), true).unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        let rows = chunk.numbers(&columns).unwrap();
        let sums = (0..rows.len()).map(|i| rows.row(i).iter().sum()).collect();
        writer.write(&chunk.with_column("sum", sums).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    reader.report().rows_read
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// Streams a file of so many rows in a process of its own and looks at its peak memory.
fn check_peak(test: &str, rows: usize, most_mib: u64) {
    if let Some(path) = std::env::var_os(MARK) {
        let path = Path::new(&path);
        assert_eq!(pass_through(path, &path.with_extension("out")), rows as u64);
        let peak = peak_mib();
        println!("{rows} rows: peak {peak} MiB");
        assert!(peak < most_mib, "peak of {peak} MiB, at most {most_mib} expected");
        return;
    }
    let folder = Folder::new();
    let path = folder.path("big.parquet");
    make(&path, rows);
    let outcome = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--include-ignored", "--nocapture", &format!("big::{test}")])
        .env(MARK, &path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{text}{}", String::from_utf8_lossy(&outcome.stderr));
    println!("{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn a16_a_file_streams_in_less_memory_than_it_has_bytes() {
    check_peak("a16_a_file_streams_in_less_memory_than_it_has_bytes", 4_000_000, 150);
}

/// Takes about a minute and a gigabyte of disk.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "large"]
fn a16_ten_million_rows_stream_in_constant_memory() {
    check_peak("a16_ten_million_rows_stream_in_constant_memory", 10_000_000, 250);
}
