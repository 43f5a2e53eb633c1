//! JSON read strictly: no doubled keys, bounded depth and size, every float exact.
//!
//! Readers disagree about which of two equal keys counts, so a text that has them means different things to different
//! programs: it is refused. And serde_json, unless a feature of it is on for the whole program, may miss a float by its
//! last bit, so that a saved model would not be the same model. Here serde_json reads only the texts and integers; the
//! structure is read below and floats by the standard library, which rounds correctly.

use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result, printable, quoted};

/// The largest number of values in one text: a parsed value takes far more memory than the two bytes it may come from.
pub const MAX_JSON_VALUES: usize = 1 << 20;
/// How deep lists and objects may be nested.
pub const MAX_JSON_DEPTH: usize = 64;

/// Reads a `T` from JSON text.
///
/// # Errors
/// [`crate::ErrorKind::ModelFile`] naming the place and the fault.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let mut reader = Reader { text, at: 0, values: 0, depth: 0 };
    let value = reader.value()?;
    reader.skip_space();
    if reader.at < text.len() {
        return Err(reader.fault("the text should end here"));
    }
    T::deserialize(value).map_err(|e| {
        let reason: String = printable(&e.to_string()).chars().take(300).collect();
        Error::model_file(format!("not the expected content: {reason}")).caused_by(e)
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Value> {
        self.skip_space();
        self.values += 1;
        if self.values > MAX_JSON_VALUES {
            return Err(self.fault(&format!("more than {MAX_JSON_VALUES} values")));
        }
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            _ => self.word(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value>) -> Result<Value> {
        self.depth += 1;
        if self.depth > MAX_JSON_DEPTH {
            return Err(self.fault(&format!("nested deeper than {MAX_JSON_DEPTH}")));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value> {
        let mut entries = Map::new();
        if self.accept(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            if entries.contains_key(&key) {
                return Err(self.fault(&format!("the key {} is there twice", quoted(&key))));
            }
            if !self.accept(b':') {
                return Err(self.fault("expected \":\""));
            }
            let value = self.value()?;
            entries.insert(key, value);
            if self.ends(b'}')? {
                return Ok(Value::Object(entries));
            }
        }
    }

    fn list(&mut self) -> Result<Value> {
        let mut values = Vec::new();
        if self.accept(b']') {
            return Ok(Value::Array(values));
        }
        loop {
            values.push(self.value()?);
            if self.ends(b']')? {
                return Ok(Value::Array(values));
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let token = self.token(|rest| {
            let mut escaped = false;
            let inside = rest.bytes().skip(1).position(|b| {
                let closes = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                closes
            });
            inside.filter(|_| rest.starts_with('"')).map(|n| n + 2)
        });
        serde_json::from_str(token).map_err(|_| self.fault("expected a text in quotes"))
    }

    fn number(&mut self) -> Result<Number> {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        let token = self.token(|rest| rest.bytes().position(|b| !is_part(b)).or(Some(rest.len())));
        // Integers, and whether this is a number by JSON's rules at all.
        let number: Option<Number> = serde_json::from_str(token).ok();
        let exact = match number {
            Some(number) if number.is_f64() => token.parse().ok().and_then(Number::from_f64),
            number => number,
        };
        exact.ok_or_else(|| self.fault(&format!("{} is not a number", quoted(token))))
    }

    fn word(&mut self) -> Result<Value> {
        let token = self
            .token(|rest| rest.bytes().position(|b| !b.is_ascii_lowercase()).or(Some(rest.len())));
        match token {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            _ => Err(self.fault("expected a value")),
        }
    }

    /// Takes as many bytes as `length` says, or nothing.
    fn token(&mut self, length: impl FnOnce(&'a str) -> Option<usize>) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let token = length(rest).and_then(|n| rest.get(..n)).unwrap_or_default();
        self.at += token.len();
        token
    }

    /// After an element: whether the list or object closes here, rather than going on.
    fn ends(&mut self, close: u8) -> Result<bool> {
        if self.accept(b',') {
            return Ok(false);
        }
        if self.accept(close) {
            return Ok(true);
        }
        Err(self.fault(&format!("expected \",\" or \"{}\"", char::from(close))))
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_space();
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, what: &str) -> Error {
        Error::model_file(format!("not the expected JSON: byte {}: {what}", self.at))
    }
}
