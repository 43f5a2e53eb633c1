//! What the shell-out tests share: running the binary, small tables, a small model.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the binary gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Checks the exit code and that stderr holds each of the texts, and no sign of a panic.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is not in {self:#?}");
        }
        assert!(code == 70 || !self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Checks that the exit code is one of these, and that there is no sign of a panic.
    #[track_caller]
    pub(crate) fn expect_one_of(self, codes: &[i32]) -> Self {
        assert!(codes.contains(&self.code) && !self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Stdout as one JSON object.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// The binary, ready for arguments.
pub(crate) fn diffeo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_diffeo"));
    command.stdin(Stdio::null());
    command
}

/// Runs the binary.
pub(crate) fn run(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ran {
    Ran::from(diffeo().args(arguments).output().expect("the binary runs"))
}

/// Runs the binary with the arguments of a line; `{}` is the folder.
pub(crate) fn run_in(folder: &Path, line: &str) -> Ran {
    Ran::from(
        diffeo()
            .args(line.split_whitespace())
            .current_dir(folder)
            .output()
            .expect("the binary runs"),
    )
}

/// A folder with `train.csv`: two dependent columns, and `c`, which shifts the first.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_table(&folder.path().join("train.csv"), 400, 1);
    folder
}

/// Writes a table with the columns a, b, c.
pub(crate) fn write_table(path: &Path, rows: usize, seed: u64) {
    let mut text = String::from("a,b,c\n");
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // The sum of four uniform numbers is bell-shaped enough.
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f64 / (1_u64 << 24) as f64 - 0.5;
        }
        sum
    };
    for _ in 0..rows {
        let (c, u, v) = (next(), next(), next());
        text.push_str(&format!("{},{},{}\n", c + 0.5 * u, u * u + 0.3 * v, c));
    }
    std::fs::write(path, text).expect("written");
}

/// Bytes of an npy file of version 1.
pub(crate) fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Options of a fit that takes a second.
pub(crate) const TINY: &str =
    "--model maf --transforms 2 --hidden 8 --steps 30 --batch 64 --threads 1 --quiet";

/// A folder with a model `m.safetensors` of the columns a and b.
pub(crate) fn folder_with_model() -> TempDir {
    let folder = folder();
    run_in(
        folder.path(),
        &format!("fit train.csv --columns a,b --seed 1 --out m.safetensors {TINY}"),
    )
    .expect(0, &[]);
    folder
}

/// A folder with a model `m.safetensors` of a and b given c.
pub(crate) fn folder_with_conditional_model() -> TempDir {
    let folder = folder();
    let line =
        format!("fit train.csv --columns a,b --context c --seed 1 --out m.safetensors {TINY}");
    run_in(folder.path(), &line).expect(0, &[]);
    folder
}

/// The column of a CSV text.
pub(crate) fn column(csv: &str, name: &str) -> Vec<String> {
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let place =
        head.iter().position(|h| *h == name).unwrap_or_else(|| panic!("no {name} in {head:?}"));
    lines.map(|line| line.split(',').nth(place).expect("a cell").to_string()).collect()
}

/// The bytes of a model's weights: all that follows the header of the file.
pub(crate) fn weights(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("a model");
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    bytes[8 + header..].to_vec()
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A path in a folder.
pub(crate) fn at(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}
