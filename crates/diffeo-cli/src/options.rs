//! From arguments to checked options: ranges, sizes, defaults. Everything here reports into [`Faults`], so that a user
//! mends all mistakes of a command line at once.

pub(crate) mod fit;
pub(crate) mod reweight;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::num::NonZero;
use std::path::PathBuf;

use diffeo::{Error, ErrorKind, Result, quoted};
use diffeo_table::{Delimiter, Format, ReadOptions};

use crate::args::{Common, Header, Missing, ReadArgs};
use crate::faults::Faults;
use crate::output::Console;

/// More threads than any machine has cores; a guard against a slip of the finger.
const THREADS_MAX: u64 = 1024;
/// What the name of a table that is written may be.
pub(crate) const TABLE_NAME: &str =
    "expected a name that ends in .csv, .tsv, .parquet, .arrow or .npy (text also .gz, .zst)";
/// The device of this build: the processor.
const DEVICE: &str = "flex";
/// Names that people give to devices that this build does not have.
const ABSENT: [&str; 6] = ["auto", "gpu", "cuda", "metal", "vulkan", "wgpu"];

/// The number of threads to use.
pub(crate) fn threads(common: &Common, faults: &mut Faults) -> usize {
    let chosen = faults.count("--threads", common.threads, 1, THREADS_MAX);
    let chosen = chosen.and_then(|n| usize::try_from(n).ok());
    chosen.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get))
}

/// Checks that the device exists in this build.
///
/// # Errors
/// [`ErrorKind::Device`] for a device that this build lacks; for another name, a fault.
pub(crate) fn device(common: &Common, faults: &mut Faults) -> Result<()> {
    let Some(name) = common.device.as_deref() else { return Ok(()) };
    if ABSENT.contains(&name) {
        let message = format!(
            "--device: this build computes on the processor only ({DEVICE}), not on {name}"
        );
        return Err(Error::new(ErrorKind::Device, message));
    }
    if name != DEVICE {
        faults.add(format!("--device: expected {DEVICE}, found {}", quoted(name)));
    }
    Ok(())
}

/// The seed that was given, checked.
pub(crate) fn seed(given: Option<i128>, faults: &mut Faults) -> Option<u64> {
    let range = "a whole number from 0 to 18446744073709551615 (2^64 - 1)";
    faults.check("--seed", given, range, |seed| u64::try_from(seed).is_ok());
    given.and_then(|seed| u64::try_from(seed).ok())
}

/// The seed to use: the one that was given, or one drawn now and said.
pub(crate) fn seed_or_drawn(given: Option<u64>, console: &Console) -> u64 {
    given.unwrap_or_else(|| {
        // The standard library keys its hash maps from the operating system's randomness; 32 bits are easy to retype.
        let seed = RandomState::new().build_hasher().finish() >> 32;
        console.note(format!("seed {seed} (drawn; --seed {seed} repeats this)"));
        seed
    })
}

/// A positional argument that must be given, on the command line or in the file.
pub(crate) fn required(name: &str, given: Option<&PathBuf>, faults: &mut Faults) -> PathBuf {
    if given.is_none() {
        faults.add(format!(
            "{name} is missing: give it on the command line or in the configuration file"
        ));
    }
    given.cloned().unwrap_or_default()
}

/// How to read tables.
pub(crate) fn read_options(args: &ReadArgs, faults: &mut Faults) -> ReadOptions {
    let defaults = ReadOptions::default();
    let format =
        args.format.as_deref().and_then(|name| faults.take("--format", name.parse::<Format>()));
    let delimiter =
        args.delimiter.as_deref().and_then(|text| faults.take("--delimiter", delimiter(text)));
    let comment = match args.comment.as_deref() {
        None => defaults.comment,
        Some("none") => None,
        Some(text) => faults.take("--comment", one_byte(text)),
    };
    let missing_marks = args.missing_as.as_ref().map(|list| list.0.clone()).unwrap_or_default();
    let max_bytes =
        args.max_bytes.as_deref().and_then(|text| faults.take("--max-bytes", bytes(text)));
    let missing = match args.missing.unwrap_or_default() {
        Missing::Refuse => diffeo_table::Missing::Refuse,
        Missing::Drop => diffeo_table::Missing::Drop,
        Missing::Model => diffeo_table::Missing::Model,
    };
    let header = match args.header.unwrap_or_default() {
        Header::Auto => diffeo_table::Header::Auto,
        Header::Yes => diffeo_table::Header::Yes,
        Header::No => diffeo_table::Header::No,
    };
    let max_rows = faults.count("--max-rows", args.max_rows, 1, u64::MAX);
    ReadOptions {
        format,
        delimiter,
        missing,
        header,
        max_rows,
        max_bytes,
        comment,
        missing_marks,
        ..defaults
    }
}

fn delimiter(text: &str) -> Result<Delimiter, String> {
    match text {
        "blanks" | " " => Ok(Delimiter::Blanks),
        "tab" | "\\t" => Ok(Delimiter::Byte(b'\t')),
        _ => one_byte(text).map(Delimiter::Byte),
    }
}

fn one_byte(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [one]
            if one.is_ascii()
                && !one.is_ascii_alphanumeric()
                && !matches!(one, b'"' | b'\n' | b'\r') =>
        {
            Ok(*one)
        }
        _ => Err(format!(
            "expected one character such as ; or a word for it (see --help), found {}",
            quoted(text)
        )),
    }
}

/// A number of bytes: `512`, `64k`, `500M`, `4G`, `1.5T`, in powers of 1000; `KiB` and so on in powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("expected a size such as 500M or 4G, found {}", quoted(text));
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let step = if unit.ends_with("ib") { 1024.0_f64 } else { 1000.0 };
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let bytes = number * step.powi(power);
    if (1.0..=1e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse() {
        for (text, size) in [
            ("512", 512),
            ("64k", 64_000),
            ("1.5G", 1_500_000_000),
            ("4GiB", 4 << 30),
            ("2 MB", 2_000_000),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "0", "G", "-1G", "nan", "1X", "1e99"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn b7_seeds_outside_64_bits_are_refused() {
        for (seed, good) in
            [(0, true), (i128::from(u64::MAX), true), (-1, false), (1_i128 << 64, false)]
        {
            let mut faults = Faults::default();
            super::seed(Some(seed), &mut faults);
            assert_eq!(faults.finish().is_ok(), good, "{seed}");
        }
    }

    #[test]
    fn delimiters_are_one_byte() {
        assert_eq!(delimiter("tab"), Ok(Delimiter::Byte(b'\t')));
        assert_eq!(delimiter(";"), Ok(Delimiter::Byte(b';')));
        assert_eq!(delimiter("blanks"), Ok(Delimiter::Blanks));
        for text in ["", ";;", "a", "\"", "ü"] {
            assert!(delimiter(text).is_err(), "{text}");
        }
    }
}
