//! The file formats and how their names and extensions are spelt.

use std::path::Path;

use diffeo::{Error, Result, quoted};

/// A file format. Compression (`.gz`, `.zst`) is not part of it: readers see it in the bytes, writers in the file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Text, separated by commas.
    Csv,
    /// Text, separated by tabs.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC file, also called Feather version 2.
    Arrow,
    /// Arrow IPC stream.
    ArrowStream,
    /// An array of NumPy.
    Npy,
    /// An archive of arrays of NumPy; for reading only.
    Npz,
    /// An array in the format of the MNIST files; for reading only.
    Idx,
    /// A folder of PNG and JPEG files; for reading only.
    Images,
    /// A GIF or APNG file, or a folder of such or of frames; for reading only.
    Clip,
    /// One JSON object a line; for writing only.
    JsonLines,
}

/// How the bytes of a text file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Format {
    /// The format that a file name stands for, whether compressed or not; `None` if its extension says nothing.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "tsv" | "tab" => Some(Self::Tsv),
            "parquet" | "pq" => Some(Self::Parquet),
            "arrow" | "feather" | "ipc" => Some(Self::Arrow),
            "arrows" => Some(Self::ArrowStream),
            "npy" => Some(Self::Npy),
            "npz" => Some(Self::Npz),
            "gif" | "apng" => Some(Self::Clip),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    /// Whether it can be written.
    pub fn is_written(self) -> bool {
        !matches!(self, Self::Npz | Self::Idx | Self::Images | Self::Clip)
    }

    /// Whether this is text in rows and columns.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }
}

impl Packing {
    pub(crate) fn from_path(path: &Path) -> Self {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Idx => "idx",
            Self::Images => "images",
            Self::Clip => "clip",
            Self::JsonLines => "jsonl",
        })
    }
}

/// Parses `csv`, `tsv`, `parquet`, `arrow` (or `feather`), `arrows`, `npy` or `jsonl`.
impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::from_path(Path::new(&format!("x.{text}"))).filter(|_| !text.contains('.')).ok_or_else(
            || {
                Error::config(format!(
                    "a table format is csv, tsv, parquet, arrow, arrows, npy or jsonl, not {}",
                    quoted(text)
                ))
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions() {
        for text in ["csv", "tsv", "parquet", "arrow", "arrows", "npy", "jsonl"] {
            assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
        }
        for text in ["", "cs", "a.csv", "csv.gz"] {
            assert!(text.parse::<Format>().is_err(), "{text}");
        }
        assert_eq!(Format::from_path(Path::new("d/A.CSV.GZ")), Some(Format::Csv));
        assert_eq!(Format::from_path(Path::new("csv")), None);
        assert_eq!(Packing::from_path(Path::new("a.tsv.zst")), Packing::Zstd);
    }
}
