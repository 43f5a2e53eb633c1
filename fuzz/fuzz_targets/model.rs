//! Model files and checkpoints. Changes are made inside the header or the data, and length and checksum are set right again in
//! most cases: otherwise no change would get beyond them.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

const LENGTH_BYTES: usize = 8;
const CHECKSUM_START: &[u8] = b"{\"__metadata__\":{\"diffeo.checksum\":\"";
const CHECKSUM_DIGITS: usize = 64;

fuzz_target!(|bytes: &[u8]| drop(diffeo_fuzz::models::model(bytes)));

fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let header_end = match bytes.get(..size).and_then(|b| b.split_at_checked(LENGTH_BYTES)) {
        Some((length, rest)) => {
            let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
            usize::try_from(length).ok().filter(|&n| n <= rest.len()).map(|n| n + LENGTH_BYTES)
        }
        None => None,
    };
    let Some(header_end) = header_end.filter(|_| !seed.is_multiple_of(16)) else {
        return fuzzer_mutate(bytes, size, max_size);
    };
    let (header, data) = (&bytes[LENGTH_BYTES..header_end], &bytes[header_end..size]);
    let (header, data) = match (seed / 16).is_multiple_of(4) && !data.is_empty() {
        true => (header.to_vec(), mutated(data, max_size - header_end)),
        false => (mutated(header, max_size - LENGTH_BYTES - data.len()), data.to_vec()),
    };
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    seal(&mut file);
    file.truncate(max_size);
    bytes[..file.len()].copy_from_slice(&file);
    file.len()
});

/// The part after a change, at most `most` bytes.
fn mutated(part: &[u8], most: usize) -> Vec<u8> {
    let mut part = part.to_vec();
    let size = part.len();
    part.resize(most.max(size), 0);
    let size = fuzzer_mutate(&mut part, size, most.max(size));
    part.truncate(size);
    part
}

/// Writes the checksum, if its place is there.
fn seal(file: &mut [u8]) {
    let at = LENGTH_BYTES + CHECKSUM_START.len();
    if file.get(LENGTH_BYTES..at) != Some(CHECKSUM_START) || file.len() < at + CHECKSUM_DIGITS {
        return;
    }
    file[at..at + CHECKSUM_DIGITS].fill(b'0');
    let digits = blake3::hash(file).to_hex();
    file[at..at + CHECKSUM_DIGITS].copy_from_slice(digits.as_bytes());
}
