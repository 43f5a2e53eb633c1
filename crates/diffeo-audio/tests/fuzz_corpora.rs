//! Replays what the fuzz target of sound starts from and what it has found: see `fuzz/` and CONTRIBUTING.md.

#[path = "../../../fuzz/src/sounds.rs"]
mod sounds;

use std::fs;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};

fn seeds(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/wav").join(folder)
}

/// The files of a folder of seeds, none if it is not there.
fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(seeds(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).map(|p| (p.clone(), fs::read(p).unwrap())).collect()
}

#[test]
fn wav() {
    let (valid, damaged) = (files("valid"), files("damaged"));
    assert!(!valid.is_empty() && !damaged.is_empty(), "no seeds");
    for (path, bytes) in valid {
        let count = sounds::wav(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(count > 0, "{}", path.display());
    }
    for (path, bytes) in damaged {
        assert!(sounds::wav(&bytes).is_err(), "{} was read", path.display());
    }
    for (path, bytes) in files("found") {
        let outcome = std::panic::catch_unwind(|| sounds::wav(&bytes));
        assert!(outcome.is_ok(), "{}", path.display());
    }
}

fn file(channels: u16, bits: u16, format: SampleFormat) -> Vec<u8> {
    let spec =
        WavSpec { channels, sample_rate: 8000, bits_per_sample: bits, sample_format: format };
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
    for i in 0..6 {
        match format {
            SampleFormat::Float => writer.write_sample(0.1 * i as f32).unwrap(),
            SampleFormat::Int => writer.write_sample(i * 20 - 60).unwrap(),
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// `cargo test -p diffeo-audio --test fuzz_corpora -- --ignored` writes the seeds anew.
#[test]
#[ignore = "writes the seeds anew"]
fn write_seeds() {
    let save = |folder: &str, name: &str, bytes: &[u8]| {
        fs::create_dir_all(seeds(folder)).unwrap();
        fs::write(seeds(folder).join(name), bytes).unwrap();
    };
    for bits in [8, 16, 24, 32] {
        save("valid", &format!("int_{bits}"), &file(1, bits, SampleFormat::Int));
    }
    save("valid", "stereo", &file(2, 16, SampleFormat::Int));
    let float = file(1, 32, SampleFormat::Float);
    save("valid", "float", &float);
    save("damaged", "header_cut", &float[..20]);
    save("damaged", "none", b"none");
    let mut infinite = float.clone();
    let end = infinite.len();
    infinite[end - 4..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    save("damaged", "infinite", &infinite);
    let mut slow = float.clone();
    slow[24..28].copy_from_slice(&1u32.to_le_bytes());
    save("damaged", "slow", &slow);
    let mut channels = float;
    channels[22..24].copy_from_slice(&0u16.to_le_bytes());
    save("damaged", "no_channel", &channels);
}
