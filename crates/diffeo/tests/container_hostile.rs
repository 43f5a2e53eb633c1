//! Files that should never be offered as models: each gets its own message, none gets further.

use diffeo::file::container::{Container, MAX_HEADER_BYTES, MAX_TENSORS, NamedTensor};
use diffeo::{Error, ErrorKind};

/// A file with that header, whatever it is.
fn file(header: &[u8], data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// A file whose header ends in `entries` and whose checksum is right: only the structure can give it away.
fn sealed(entries: &str, data: &[u8]) -> Vec<u8> {
    let zeros = "0".repeat(64);
    let start = "{\"__metadata__\":{\"diffeo.checksum\":\"";
    let mut bytes = file(format!("{start}{zeros}\"}}{entries}}}").as_bytes(), data);
    let digits = blake3::hash(&bytes).to_hex();
    bytes[8 + start.len()..][..64].copy_from_slice(digits.as_bytes());
    bytes
}

fn tensor(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
    format!(
        ",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}"
    )
}

fn refused(bytes: &[u8]) -> Error {
    let error = Container::decode(bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelFile, "{error}");
    error
}

fn assert_refused(bytes: &[u8], message: &str) {
    let error = refused(bytes).to_string();
    assert!(error.contains(message), "expected {message:?} in {error:?}");
    assert!(error.len() < 800 && !error.contains('\u{1b}'), "{error:?}");
}

fn small() -> Vec<u8> {
    let mut container = Container::default();
    container.metadata.insert("note".to_owned(), "text".to_owned());
    container.tensors = vec![
        NamedTensor::from_f64("a", [1, 2], &[0.5, -3.0]),
        NamedTensor::from_f32("b", [3], &[1.0, 0.0, -0.0]),
    ];
    container.encode().unwrap()
}

#[test]
fn the_harness_can_build_a_file_that_is_accepted() {
    let bytes = sealed(&tensor("a", "F32", "[1,2]", 0, 8), &[0; 8]);
    let container = Container::decode(&bytes).unwrap();
    assert_eq!(container.tensor("a").unwrap().to_f32().unwrap(), [0.0, 0.0]);
    assert!(Container::decode(&sealed("", b"")).is_ok());
}

#[test]
fn c1_look_alikes_are_named_and_never_loaded() {
    let filler = [7_u8; 300];
    let zip = |name: &str| {
        let length = [name.len() as u8, 0, 0, 0];
        [b"PK\x03\x04".as_slice(), &[0; 22], &length, name.as_bytes(), &filler].concat()
    };
    let cases: [(Vec<u8>, &str); 18] = [
        (b"".to_vec(), "the file is empty"),
        ([b"\x80\x04\x95".as_slice(), &filler].concat(), "a pickle"),
        ([b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".as_slice(), &filler].concat(), "a pickle"),
        (zip("archive/data.pkl"), "PyTorch model"),
        (zip("weights.npy"), "NumPy archive"),
        (zip("word/document.xml"), "a zip archive"),
        ([b"\x08\x07\x12\x07pytorch".as_slice(), &filler].concat(), "ONNX"),
        ([b"\x7fELF\x02\x01\x01\0".as_slice(), &filler].concat(), "a program"),
        (b"<!DOCTYPE html><html><body>404</body></html>".to_vec(), "HTML"),
        (b"\n  <html>".to_vec(), "HTML"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec(),
            "git-LFS pointer",
        ),
        ([b"\x1f\x8b\x08\0".as_slice(), &filler].concat(), "gzip"),
        ([b"\x28\xb5\x2f\xfd".as_slice(), &filler].concat(), "zstd"),
        ([b"\x93NUMPY\x01\0\x76\0".as_slice(), &filler].concat(), "NumPy array"),
        ([b"\x89HDF\r\n\x1a\n".as_slice(), &filler].concat(), "HDF5"),
        ([b"GGUF\x03\0\0\0".as_slice(), &filler].concat(), "GGUF"),
        (b"a,b\n1.5,2.5\n".to_vec(), "text"),
        (b"{\"spec\":{}}".to_vec(), "JSON"),
    ];
    for (bytes, what) in cases {
        assert_refused(&bytes, what);
    }
}

#[test]
fn c2_header_lengths_that_lie() {
    let with_length = |length: u64| [&length.to_le_bytes(), &small()[8..]].concat();
    let total = small().len() as u64;
    assert_refused(&with_length(0), "length 0");
    assert_refused(&with_length(1), "does not end in one");
    for length in [1 << 63, u64::MAX, u64::MAX - 7, MAX_HEADER_BYTES + 1] {
        assert_refused(&with_length(length), "more than the limit of 16777216");
    }
    for length in [total - 7, total, total + 1, MAX_HEADER_BYTES] {
        assert_refused(&with_length(length), "bytes but only");
    }
    for length in 0..total + 9 {
        let intact = with_length(length) == small();
        assert_eq!(Container::decode(&with_length(length)).is_ok(), intact, "{length}");
    }
}

#[test]
fn c2_headers_that_are_not_what_they_should_be() {
    assert_refused(&file(b"{\"a\xff\":1}", b""), "not UTF-8: byte 3");
    assert_refused(&file(b"\x01\x02\x03", b""), "does not begin with \"{\"");
    assert_refused(&file(b"{\"a\":", b""), "does not end");
    assert_refused(&file(b"{not json}", b""), "cannot be read");
    assert_refused(&file(b"{}\0\0}", b""), "cannot be read");
    assert_refused(&file(b"{} {}", b""), "trailing");
    assert_refused(&file(b"{}", b""), "not one of diffeo's");
    for open in ["[", "{\"a\":"] {
        let deep = format!("{{\"a\":{}}}", open.repeat(100_000));
        assert_refused(&file(deep.as_bytes(), b""), "cannot be read");
        let deep = format!("{{\"__metadata__\":{{\"a\":{}}}}}", open.repeat(100_000));
        assert_refused(&file(deep.as_bytes(), b""), "cannot be read");
    }
    assert_refused(&file(b"{\"__metadata__\":{\"a\":1}}", b""), "expected a string");
    let escape = file(b"{\"a\":{\"\\u001b[31m\":1}}", b"");
    assert_refused(&escape, "unknown field");
}

#[test]
fn c2_doubled_keys_are_refused() {
    let twice = tensor("a", "U8", "[1]", 0, 1);
    assert_refused(&sealed(&format!("{twice}{twice}"), &[0]), "\"a\" is there twice");
    assert_refused(&sealed(",\"__metadata__\":{}", b""), "is there twice");
    let texts = b"{\"__metadata__\":{\"x\":\"1\",\"x\":\"2\"}}";
    assert_refused(&file(texts, b""), "is there twice in __metadata__");
    let field = ",\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"shape\":[1],\"data_offsets\":[0,1]}";
    assert_refused(&sealed(field, &[0]), "duplicate field");
}

#[test]
fn c3_data_must_be_covered_exactly_once() {
    let two = |a: (u64, u64), b: (u64, u64)| {
        let shape = |(from, to): (u64, u64)| format!("[{}]", to.saturating_sub(from));
        let entry = |name, r: (u64, u64)| tensor(name, "U8", &shape(r), r.0, r.1);
        sealed(&format!("{}{}", entry("a", a), entry("b", b)), &[0; 8])
    };
    assert!(Container::decode(&two((4, 8), (0, 4))).is_ok());
    assert_refused(&two((0, 5), (4, 8)), "overlap");
    assert_refused(&two((0, 8), (0, 8)), "overlap");
    assert_refused(&two((0, 3), (4, 8)), "leave a hole");
    assert_refused(&two((1, 4), (4, 8)), "leave a hole");
    assert_refused(&two((0, 4), (4, 9)), "its data end at 9");
    assert_refused(&two((0, 4), (4, 7)), "belong to no tensor");
    assert_refused(&sealed(&tensor("a", "U8", "[0]", 4, 0), b"abcd"), "end before they begin");
    assert_refused(
        &sealed(&tensor("a", "U8", "[4]", 0, u64::MAX), b"abcd"),
        "but the file holds 4",
    );
    assert_refused(&sealed("", b"trailing"), "8 bytes at the end");
    let negative = ",\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}";
    assert_refused(&sealed(negative, b"a"), "cannot be read");
    let three = ",\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}";
    assert_refused(&sealed(three, b"a"), "cannot be read");
}

#[test]
fn c4_shapes_types_and_names() {
    let one = |dtype: &str, shape: &str, bytes: u64| {
        sealed(&tensor("a", dtype, shape, 0, bytes), &vec![0; bytes as usize])
    };
    assert_refused(&one("F32", "[4611686018427387904]", 0), "overflows");
    assert_refused(&one("U8", "[4294967296,4294967296]", 0), "overflows");
    assert_refused(&one("F32", "[18446744073709551616]", 0), "cannot be read");
    assert_refused(&one("F32", "[-1]", 4), "cannot be read");
    assert_refused(&one("F32", "[1.0]", 4), "cannot be read");
    assert_refused(&one("F32", "[3]", 8), "take 12 bytes, found 8");
    assert_refused(&one("F32", "[1,1,1,1,1,1,1,1,1]", 4), "more than 8 axes");
    for dtype in ["F16", "f32", "BOOL", "", "F32\\u0000"] {
        assert_refused(&one(dtype, "[1]", 4), "is not one of F64, I64, F32, U8");
    }
    for name in ["a/../../b", "..", "/abs", "nul\\u0000", "esc\\u001b[31m", "", "a\\\\b"] {
        assert_refused(&sealed(&tensor(name, "U8", "[1]", 0, 1), &[0]), "the tensor name");
    }
    let long = tensor(&"n".repeat(1 << 20), "U8", "[1]", 0, 1);
    assert_refused(&sealed(&long, &[0]), "has 1048576 bytes (at most 512)");
}

#[test]
fn c4_more_tensors_than_the_limit() {
    let entries: String =
        (0..=MAX_TENSORS).map(|i| tensor(&format!("t{i}"), "U8", "[0]", 0, 0)).collect();
    assert_refused(&sealed(&entries, b""), "more than 100000 tensors");
}

#[test]
fn c7_every_changed_byte_is_found() {
    let intact = small();
    for place in 0..intact.len() {
        for change in [1, 0x80, 0xff, 0x20] {
            let mut bytes = intact.clone();
            bytes[place] ^= change;
            refused(&bytes);
        }
    }
    let mut data = intact.clone();
    *data.last_mut().unwrap() ^= 1;
    assert_refused(&data, "the checksum does not match");
}

#[test]
fn c7_two_swapped_tensors_are_found() {
    let mut container = Container::decode(&small()).unwrap();
    container.tensors[1] = NamedTensor::from_f64("b", [1, 2], &[7.0, 8.0]);
    let bytes = container.encode().unwrap();
    let half = bytes.len() - 16;
    let swapped = [&bytes[..half - 16], &bytes[half..], &bytes[half - 16..half]].concat();
    assert_refused(&swapped, "the checksum does not match");
}

#[test]
fn c8_every_truncation_is_found() {
    let intact = small();
    for length in 0..intact.len() {
        refused(&intact[..length]);
    }
    let mut longer = intact.clone();
    longer.push(0);
    assert_refused(&longer, "1 bytes at the end");
    assert!(Container::decode(&intact).is_ok());
}

#[test]
fn c8_a_file_that_is_cut_off_on_disk_names_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.safetensors");
    std::fs::write(&path, &small()[..100]).unwrap();
    let error = Container::read(&path).unwrap_err();
    assert_eq!(error.path(), Some(path.as_path()));
    assert!(error.to_string().contains("cut off"), "{error}");
}

#[test]
fn c4_a_huge_sparse_file_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    for size in [10_u64 << 30, 1 << 40] {
        let file = std::fs::File::create(&path).unwrap();
        if file.set_len(size).is_err() {
            return; // This file system has no sparse files.
        }
        assert_eq!(Container::read(&path).unwrap_err().kind(), ErrorKind::ModelFile);
    }
}
