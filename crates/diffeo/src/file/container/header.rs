//! The JSON header of a safetensors file, read strictly: no doubled names, no unknown fields, no more than the limits.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Dtype, MAX_NAME_BYTES, MAX_RANK, MAX_TENSORS, MAX_TEXTS, byte_count, check_name};
use crate::error::{Error, Result, printable, quoted};

pub(super) const METADATA: &str = "__metadata__";

/// What the header says: nothing of it has been compared with the data yet, except that it is consistent in itself.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// In the order of the data, without gaps or overlaps, from 0 to `data_bytes`.
    pub(super) tensors: Vec<Described>,
}

/// A tensor as the header describes it.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: usize,
}

/// Reads a header whose data section has `data_bytes` bytes.
pub(super) fn parse(text: &[u8], data_bytes: u64) -> Result<Header> {
    let text = std::str::from_utf8(text).map_err(|e| {
        Error::model_file(format!("the header is not UTF-8: byte {} is wrong", e.valid_up_to()))
    })?;
    if !text.trim_end_matches(' ').ends_with('}') {
        return Err(Error::model_file(
            "the header should be a JSON object padded with spaces; it does not end in one",
        ));
    }
    let raw: Raw = serde_json::from_str(text).map_err(|e| {
        let reason: String = printable(&e.to_string()).chars().take(300).collect();
        Error::model_file(format!("the header cannot be read: {reason}"))
    })?;
    Ok(Header { metadata: raw.metadata, tensors: arrange(raw.tensors, data_bytes)? })
}

/// Puts the tensors into the order of their data and checks that they fill it exactly.
fn arrange(mut entries: Vec<(String, Entry)>, data_bytes: u64) -> Result<Vec<Described>> {
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0_u64;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let [from, to] = entry.data_offsets;
        let fault = |what: String| Error::model_file(format!("tensor {}: {what}", quoted(&name)));
        check_name(&name)?;
        let dtype = Dtype::from_name(&entry.dtype).ok_or_else(|| {
            fault(format!("the type {} is not one of F64, I64, F32, U8", quoted(&entry.dtype)))
        })?;
        let bytes = byte_count(dtype, &entry.shape.0).ok_or_else(|| {
            fault(format!("the shape {:?} overflows the size of memory", entry.shape.0))
        })?;
        if from > to {
            return Err(fault(format!("its data end before they begin ({from}, {to})")));
        }
        if to > data_bytes {
            return Err(fault(format!(
                "its data end at {to}, but the file holds {data_bytes} bytes of data"
            )));
        }
        if from != end {
            let what = if from < end {
                "overlap with those of another"
            } else {
                "leave a hole before them"
            };
            return Err(fault(format!(
                "its data {what} (expected to begin at {end}, found {from})"
            )));
        }
        if bytes as u64 != to - from {
            let shape = &entry.shape.0;
            return Err(fault(format!(
                "{} of shape {shape:?} take {bytes} bytes, found {}",
                dtype.name(),
                to - from
            )));
        }
        end = to;
        tensors.push(Described { name, dtype, shape: entry.shape.0, bytes });
    }
    if end != data_bytes {
        let extra = data_bytes - end;
        return Err(Error::model_file(format!(
            "{extra} bytes at the end of the file belong to no tensor"
        )));
    }
    Ok(tensors)
}

struct Raw {
    metadata: BTreeMap<String, String>,
    tensors: Vec<(String, Entry)>,
}

/// A tensor's entry, as safetensors writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: [u64; 2],
}

struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut metadata = None;
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{} is there twice", quoted(&name))));
            }
            if name == METADATA {
                metadata = Some(map.next_value::<Texts>()?.0);
            } else if tensors.len() == MAX_TENSORS {
                return Err(A::Error::custom(format!("more than {MAX_TENSORS} tensors")));
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Raw { metadata: metadata.unwrap_or_default(), tensors })
    }
}

struct Texts(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TextsVisitor)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut texts = BTreeMap::new();
        while let Some(name) = map.next_key_seed(Name)? {
            let text = map.next_value()?;
            if texts.len() == MAX_TEXTS {
                return Err(A::Error::custom(format!("more than {MAX_TEXTS} texts in {METADATA}")));
            }
            if texts.insert(name.clone(), text).is_some() {
                return Err(A::Error::custom(format!(
                    "{} is there twice in {METADATA}",
                    quoted(&name)
                )));
            }
        }
        Ok(Texts(texts))
    }
}

/// A key of at most [`MAX_NAME_BYTES`].
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
        if name.len() > MAX_NAME_BYTES {
            let start = quoted(name);
            return Err(E::custom(format!(
                "the name {start} has {} bytes (at most {MAX_NAME_BYTES})",
                name.len()
            )));
        }
        Ok(name.to_owned())
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_RANK} axis lengths")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut axes = Vec::new();
        while let Some(axis) = seq.next_element()? {
            if axes.len() == MAX_RANK {
                return Err(A::Error::custom(format!("a shape with more than {MAX_RANK} axes")));
            }
            axes.push(axis);
        }
        Ok(Shape(axes))
    }
}
