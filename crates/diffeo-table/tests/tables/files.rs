//! Small files to read, and what reading them gives.

use std::io::Write;
use std::path::{Path, PathBuf};

use diffeo::{Error, Result, Rows};
use diffeo_table::{
    Chunk, Input, MemoryLimit, Output, ReadOptions, Reader, Table, Writer, read_table,
};
use tempfile::TempDir;

/// A folder that goes away with the test.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

/// Reads a whole file with default options.
pub(crate) fn read(path: &Path) -> Result<Table> {
    read_with(path, &ReadOptions::default())
}

pub(crate) fn read_with(path: &Path, options: &ReadOptions) -> Result<Table> {
    read_table(&Input::Path(path.to_path_buf()), None, options, MemoryLimit::unlimited())
}

/// Reads text as a CSV file.
pub(crate) fn read_text(text: impl AsRef<[u8]>) -> Result<Table> {
    let folder = Folder::new();
    read(&folder.file("data.csv", text))
}

pub(crate) fn refusal(text: impl AsRef<[u8]>) -> Error {
    read_text(text).expect_err("this table should be refused")
}

/// All chunks of a file with every column passed through.
pub(crate) fn chunks(path: &Path, options: &ReadOptions) -> Result<Vec<Chunk>> {
    let mut reader = Reader::open(&Input::Path(path.to_path_buf()), options)?;
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk()? {
        all.push(chunk);
    }
    Ok(all)
}

/// Writes one chunk.
pub(crate) fn write(path: &Path, chunk: &Chunk) -> Result<()> {
    let mut writer = Writer::create(&Output::Path(path.to_path_buf()), None, true)?;
    writer.write(chunk)?;
    writer.finish()
}

/// `rows` rows of columns `a` (real), `b` (integer).
pub(crate) fn sample_chunk(rows: usize) -> Chunk {
    let values = (0..rows).flat_map(|i| [i as f64 * 0.5 - 1.0 / 3.0, (i % 7) as f64]).collect();
    Chunk::from_rows(&names(&["a", "b"]), &Rows::new(values, 2).unwrap(), &[false, true]).unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Asserts that an error says all of these.
#[track_caller]
pub(crate) fn says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
}
