//! The container as a format: round trips, other readers, and what its bytes look like.

use std::collections::BTreeMap;
use std::ops::Range;

use diffeo::file::container::{
    CHECKSUM_KEY, Container, Dtype, MAX_JSON_DEPTH, MAX_JSON_VALUES, MAX_NAME_BYTES, NamedTensor,
    finite_or_text, parse_json,
};
use diffeo::file::storage::Disk;
use proptest::char::range;
use proptest::prelude::*;
use proptest::sample::select;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use serde_json::Value;

fn example() -> Container {
    Container {
        metadata: BTreeMap::from([
            ("name".to_owned(), "a \"quoted\" \u{1f30a}\n\0 text".to_owned()),
            ("empty".to_owned(), String::new()),
        ]),
        tensors: vec![
            NamedTensor::from_f64("wide", [2, 1], &[f64::NAN, -0.0]),
            NamedTensor::from_i64("steps", [1], &[i64::MIN]),
            NamedTensor::from_f32("layers.0.weight", [1, 3], &[1.0, f32::INFINITY, 1e-45]),
            NamedTensor::from_f32("nothing", [0, 7], &[]),
            NamedTensor::from_u8("bytes", vec![1, 2, 3]),
        ],
    }
}

/// Equal bit for bit: the data are bytes, so NaN compares equal to itself.
fn assert_round_trip(container: &Container) {
    let bytes = container.encode().unwrap();
    let read = Container::decode(&bytes).unwrap();
    assert_eq!(&read, container);
    assert_eq!(read.encode().unwrap(), bytes);
}

#[test]
fn everything_comes_back() {
    assert_round_trip(&example());
    assert_round_trip(&Container::default());
    let read = Container::decode(&example().encode().unwrap()).unwrap();
    assert_eq!(read.tensor("steps").unwrap().to_i64().unwrap(), [i64::MIN]);
    let wide = read.tensor("wide").unwrap();
    assert_eq!(wide.to_f64().unwrap()[1].to_bits(), (-0.0_f64).to_bits());
    assert_eq!(wide.non_finite(), 1);
    assert!(wide.to_f32().unwrap_err().to_string().contains("should hold F32, found F64"));
    assert!(read.tensor("absent").is_none());
    assert!(!read.metadata.contains_key(CHECKSUM_KEY));
}

#[test]
fn file_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    example().write(&path, &Disk).unwrap();
    assert_eq!(Container::read(&path).unwrap(), example());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_reader_agrees() {
    let container = example();
    let bytes = container.encode().unwrap();
    let (header_bytes, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header_bytes % 8, 0);
    let texts = header.metadata().as_ref().unwrap();
    assert_eq!(texts.len(), container.metadata.len() + 1);
    assert_eq!(texts["name"], container.metadata["name"]);
    assert_eq!(texts[CHECKSUM_KEY].len(), 64);
    let other = SafeTensors::deserialize(&bytes).unwrap();
    for tensor in &container.tensors {
        let view = other.tensor(&tensor.name).unwrap();
        assert_eq!(view.shape(), tensor.shape);
        assert_eq!(view.data(), tensor.data);
        assert_eq!(format!("{:?}", view.dtype()), tensor.dtype.name());
        let place = view.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(place % tensor.dtype.size(), 0, "{} is aligned", tensor.name);
    }
}

#[test]
fn a_file_of_another_writer_is_named_as_such() {
    let data = [0_u8; 4];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &data).unwrap();
    let bytes = safetensors::serialize([("w", view)], None).unwrap();
    let error = Container::decode(&bytes).unwrap_err();
    assert!(error.to_string().contains("not one of diffeo's"), "{error}");
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let with = |tensor: NamedTensor| Container { tensors: vec![tensor], ..Container::default() };
    let named = |name: &str| with(NamedTensor::from_u8(name, vec![1]));
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for name in ["", "__metadata__", "a/../b", "/etc", "a\\b", "a\0", "a b", "\u{e9}", &long] {
        assert!(named(name).encode().is_err(), "{name:?}");
    }
    assert!(named(&"x".repeat(MAX_NAME_BYTES)).encode().is_ok());
    let mut twice = named("a");
    twice.tensors.extend(named("a").tensors);
    assert!(twice.encode().is_err());
    assert!(with(NamedTensor::from_f32("a", [2, 2], &[1.0])).encode().is_err());
    assert!(with(NamedTensor::from_f32("a", [1; 9], &[1.0])).encode().is_err());
    let mut reserved = Container::default();
    reserved.metadata.insert(CHECKSUM_KEY.to_owned(), String::new());
    assert!(reserved.encode().is_err());
    reserved.metadata = BTreeMap::from([("a".to_owned(), "x".repeat(17 << 20))]);
    assert!(reserved.encode().unwrap_err().to_string().contains("limit"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Losses {
    #[serde(with = "finite_or_text")]
    one: f64,
    #[serde(with = "finite_or_text::option")]
    maybe: Option<f64>,
    #[serde(with = "finite_or_text::vec")]
    many: Vec<f64>,
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

fn through_container(one: f64) -> f64 {
    let mut container = Container::default();
    container.set_json("losses", &Losses { one, maybe: Some(one), many: vec![one, 0.5] }).unwrap();
    let read = Container::decode(&container.encode().unwrap()).unwrap();
    let losses: Losses = read.json("losses").unwrap();
    assert!(same(losses.maybe.unwrap(), one) && same(losses.many[0], one));
    losses.one
}

#[test]
fn c15_floats_in_metadata_come_back_bit_for_bit() {
    let edges = [f64::NAN, f64::INFINITY, 0.0, 5e-324, f64::MIN_POSITIVE / 3.0, f64::MIN_POSITIVE];
    let more =
        [f64::MAX, 1.0, 0.1, 1e23, 1.0 / 3.0, 9007199254740994.0, 2.225_073_858_507_201e-308];
    for x in edges.into_iter().chain(more) {
        assert!(same(through_container(x), x), "{x:e}");
        assert!(same(through_container(-x), -x), "{:e}", -x);
    }
    let text = |x| serde_json::to_string(&finite_or_text::Exact(x)).unwrap();
    assert_eq!([text(f64::NAN), text(f64::NEG_INFINITY)], ["\"NaN\"", "\"-inf\""]);
    assert_eq!([text(-0.0), text(0.25)], ["-0.0", "0.25"]);
    assert!(serde_json::from_str::<finite_or_text::Exact>("\"nothing\"").is_err());
    assert!(serde_json::from_str::<finite_or_text::Exact>("null").is_err());
}

#[test]
fn c2_doubled_keys_and_endless_nesting_in_json_texts_are_refused() {
    let fault = |text: &str| parse_json::<Value>(text).unwrap_err().to_string();
    assert!(fault("{\"a\":{\"b\":1,\"b\":1}}").contains("\"b\" is there twice"));
    assert!(fault("{\"a\":1,\"\\u0061\":1}").contains("\"a\" is there twice"));
    assert!(fault(&"[".repeat(100_000)).contains("nested deeper than 64"));
    assert!(fault(&"{\"a\":".repeat(100_000)).contains("nested deeper than 64"));
    assert!(fault("1 2").contains("byte 2: the text should end here"));
    assert!(fault(&format!("[{}0]", "0,".repeat(MAX_JSON_VALUES))).contains("values"));
    let nested = format!("{}{}", "[".repeat(MAX_JSON_DEPTH), "]".repeat(MAX_JSON_DEPTH));
    assert!(parse_json::<Value>(&nested).is_ok());
}

#[test]
fn c2_json_texts_are_read_as_serde_json_reads_them() {
    let texts = [
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "-1",
        "1.5",
        "1e5",
        "1E+5",
        "-0.0",
        "18446744073709551615",
        "-9223372036854775808",
        "18446744073709551616",
        "\"\"",
        "\"a\\\"b\\\\\"",
        "\"\\ud83c\\udf0a\u{1f30a}\"",
        "[]",
        "[ ]",
        "{}",
        "[1 , [2],{ \"a\" : {} , \"b\":null}]\n",
    ];
    for text in texts {
        let expected: Value = serde_json::from_str(text).unwrap();
        assert_eq!(parse_json::<Value>(text).unwrap(), expected, "{text}");
    }
}

#[test]
fn c2_texts_that_serde_json_refuses_are_refused() {
    let texts = [
        "",
        " ",
        "nul",
        "nullx",
        "True",
        "NaN",
        "inf",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e999",
        "-1e999",
        "0x10",
        "1_000",
        "\"",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\ud83c\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[1 2]",
        "[,]",
        "]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "{,}",
        "\u{feff}1",
        "'a'",
        "[1]]",
        "// x",
        "\u{a0}1",
    ];
    for text in texts {
        assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
        assert!(parse_json::<Value>(text).is_err(), "{text}");
    }
}

fn text(
    characters: impl Strategy<Value = char>,
    lengths: Range<usize>,
) -> impl Strategy<Value = String> {
    proptest::collection::vec(characters, lengths).prop_map(String::from_iter)
}

fn any_text() -> impl Strategy<Value = String> {
    text(any::<char>(), 0..32)
}

fn tensors() -> impl Strategy<Value = Vec<NamedTensor>> {
    let tensor = (0..4_usize, proptest::collection::vec(0..4_usize, 0..4), any::<u64>()).prop_map(
        |(dtype, shape, seed)| {
            let dtype = Dtype::ALL[dtype];
            let bytes = shape.iter().product::<usize>() * dtype.size();
            let data = (0..bytes as u64).map(|i| (seed.wrapping_mul(i + 1) >> 32) as u8).collect();
            NamedTensor { name: String::new(), dtype, shape, data }
        },
    );
    proptest::collection::btree_map(text(range('!', '~'), 1..13), tensor, 0..6).prop_map(
        |by_name| {
            let harmless = |name: &str| !name.contains("..") && !name.contains(['\\', '/']);
            let named = by_name.into_iter().filter(|(name, _)| harmless(name));
            let mut tensors: Vec<_> =
                named.map(|(name, tensor)| NamedTensor { name, ..tensor }).collect();
            tensors.sort_by_key(|t| std::cmp::Reverse(t.dtype.size()));
            tensors
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_container_comes_back(metadata in proptest::collection::btree_map(any_text(), any_text(), 0..4),
                                tensors in tensors()) {
        let container = Container { metadata, tensors };
        let bytes = container.encode().unwrap();
        prop_assert_eq!(&Container::decode(&bytes).unwrap(), &container);
        prop_assert_eq!(Container::decode(&bytes).unwrap().encode().unwrap(), bytes.clone());
        prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
    }

    #[test]
    fn any_bytes_give_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Container::decode(&bytes).is_err());
    }

    #[test]
    fn c2_any_text_is_read_or_refused_as_serde_json_does(text in text(select("[]{}:,\"a0123456789.eE+ -".chars().collect::<Vec<_>>()), 0..13)) {
        let expected = serde_json::from_str::<Value>(&text);
        match parse_json::<Value>(&text) {
            Ok(value) => prop_assert_eq!(value, expected.unwrap()),
            Err(error) => prop_assert!(expected.is_err() || error.to_string().contains("twice"), "{}", error),
        }
    }

    #[test]
    fn c15_any_plain_float_comes_back(bits in any::<u64>()) {
        let x = f64::from_bits(bits);
        prop_assume!(x.is_finite());
        let read: f64 = parse_json(&serde_json::to_string(&x).unwrap()).unwrap();
        prop_assert_eq!(read.to_bits(), bits);
    }

    #[test]
    fn c15_any_float_comes_back(bits in any::<u64>()) {
        let x = f64::from_bits(bits);
        prop_assert!(same(through_container(x), x));
    }
}
