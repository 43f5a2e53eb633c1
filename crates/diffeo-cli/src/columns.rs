//! Lists on the command line: column names with optional kinds, plain names, whole numbers.
//!
//! Items are separated by commas; commas inside `[..]`, `(..)`, `{..}` or `".."` belong to the item, so `'"a,b",age=[0,120]'` has two.

use std::str::FromStr;

use diffeo::{KindWish, quoted};

/// `price=positive,rooms=integer,age=[0,120],x`: columns in the order of the dimensions, some with their kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ColumnList(pub(crate) Vec<(String, Option<KindWish>)>);

/// `a,b,"c,d"`: column names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct NameList(pub(crate) Vec<String>);

/// `128,128`: whole numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CountList(pub(crate) Vec<i128>);

/// `age>=18,town=Paris`: conditions on columns, all of which hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ConditionList(pub(crate) Vec<Condition>);

/// A comparison of a column with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Condition {
    pub(crate) column: String,
    pub(crate) comparison: Comparison,
    pub(crate) value: String,
}

/// How a column compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

impl Comparison {
    /// The longer signs first: each begins with a shorter one.
    const SIGNS: [(&'static str, Self); 5] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        (">", Self::Above),
        ("<", Self::Below),
        ("=", Self::Equal),
    ];

    /// Never for NaN.
    pub(crate) fn holds(self, x: f64, value: f64) -> bool {
        match self {
            Self::AtLeast => x >= value,
            Self::AtMost => x <= value,
            Self::Above => x > value,
            Self::Below => x < value,
            Self::Equal => x == value,
        }
    }
}

impl FromStr for ConditionList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let condition = |item: &str| {
            let quoted_name = item.trim_start().starts_with('"');
            let start = if quoted_name { item.rfind('"').map_or(0, |at| at + 1) } else { 0 };
            let at = item[start..].find(['<', '>', '=']).map(|at| start + at);
            let at = at.ok_or_else(|| {
                format!(
                    "expected a comparison such as age>=18 or town=Paris, found {}",
                    quoted(item)
                )
            })?;
            let (name, rest) = item.split_at(at);
            let (sign, comparison) = Comparison::SIGNS
                .into_iter()
                .find(|(sign, _)| rest.starts_with(sign))
                .ok_or_else(|| format!("expected <, <=, =, >= or >, found {}", quoted(rest)))?;
            let value = rest[sign.len()..].trim().to_string();
            if value.is_empty() {
                return Err(format!("expected a value after {sign} in {}", quoted(item)));
            }
            Ok(Condition { column: unquote(name.trim())?, comparison, value })
        };
        Ok(Self(
            split_outside(text, ',').into_iter().map(condition).collect::<Result<_, String>>()?,
        ))
    }
}

/// How to write odd names.
const QUOTE_NAMES: &str =
    "; a name with a comma, = or a bracket stands in double quotes, as in '\"a, b\"=positive,c'";

impl FromStr for ColumnList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let column = |item: &str| {
            // The kind may hold another `=`, as in `x=>=0`.
            let Some(name) = split_outside(item, '=').first().copied().filter(|n| *n != item)
            else {
                return Ok((unquote(item)?, None));
            };
            let kind = item[name.len() + 1..].parse::<KindWish>();
            let kind = kind.map_err(|e| format!("{}{QUOTE_NAMES}", e.message()))?;
            Ok((unquote(name)?, Some(kind)))
        };
        let columns: Vec<_> =
            split_outside(text, ',').into_iter().map(column).collect::<Result<_, String>>()?;
        refuse_doubles(columns.iter().map(|(name, _)| name))?;
        Ok(Self(columns))
    }
}

impl FromStr for NameList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> =
            split_outside(text, ',').into_iter().map(unquote).collect::<Result<_, String>>()?;
        refuse_doubles(names.iter())?;
        Ok(Self(names))
    }
}

impl FromStr for CountList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |item: &str| {
            item.trim().parse::<i128>().map_err(|_| {
                format!("expected whole numbers such as 128,128, found {}", quoted(item))
            })
        };
        Ok(Self(text.split(',').map(number).collect::<Result<_, String>>()?))
    }
}

/// A name as an item of a list: quoted if it would be read as something else.
pub(crate) fn list_item(name: &str) -> String {
    let plain = !name.is_empty()
        && name.trim() == name
        && !name.contains([',', '=', '"', '[', ']', '(', ')', '{', '}']);
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Cuts `text` at every `separator` that is not inside brackets or double quotes.
fn split_outside(text: &str, separator: char) -> Vec<&str> {
    let (mut items, mut start, mut depth, mut in_quotes) = (Vec::new(), 0, 0_u32, false);
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '[' | '(' | '{' if !in_quotes => depth = depth.saturating_add(1),
            ']' | ')' | '}' if !in_quotes => depth = depth.saturating_sub(1),
            _ if c == separator && depth == 0 && !in_quotes => {
                items.extend(text.get(start..at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    items.extend(text.get(start..));
    items
}

/// The name that an item of a list is.
pub(crate) fn unquote(item: &str) -> Result<String, String> {
    let item = item.trim();
    let inner = item.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let name = inner.map_or_else(|| item.to_string(), |inner| inner.replace("\"\"", "\""));
    if name.is_empty() { Err("a column name is empty".to_string()) } else { Ok(name) }
}

fn refuse_doubles<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    match names.into_iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(format!("column {} is named twice", quoted(name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_with_the_longest_sign() {
        let list: ConditionList =
            "age>=18, b<2,town=Paris,\"a, >b\" <= -1e3".parse().expect("parses");
        let found: Vec<_> =
            list.0.iter().map(|c| (c.column.as_str(), c.comparison, c.value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("age", Comparison::AtLeast, "18"),
                ("b", Comparison::Below, "2"),
                ("town", Comparison::Equal, "Paris"),
                ("a, >b", Comparison::AtMost, "-1e3"),
            ]
        );
        for text in ["age", "age>", "=3", ""] {
            assert!(text.parse::<ConditionList>().is_err(), "{text}");
        }
        assert!(!Comparison::AtLeast.holds(f64::NAN, 0.0));
    }

    #[test]
    fn columns_with_kinds_parse() {
        let list: ColumnList =
            "price=positive+{0, 1}, rooms=integer>=0,age=(0, 120],x=>=2,y".parse().unwrap();
        let kinds: Vec<_> =
            list.0.iter().map(|(_, kind)| kind.as_ref().map(KindWish::to_string)).collect();
        assert_eq!(
            list.0.iter().map(|(n, _)| n.as_str()).collect::<Vec<_>>(),
            ["price", "rooms", "age", "x", "y"]
        );
        let expected = ["positive+{0, 1}", "integer>=0", "(0, 120]", "[2, inf)"];
        assert!(kinds.iter().flatten().eq(expected.iter()), "{kinds:?}");
        assert_eq!(kinds[4], None);
    }

    #[test]
    fn a18_odd_names_survive_a_round_trip() {
        let names = ["a,b", "c=d", "say \"hi\"", "x[0]", " spaced ", "plain", "naïve"];
        let text = names.map(list_item).join(",");
        assert_eq!(text.parse::<NameList>().unwrap().0, names);
        let columns: ColumnList = text.parse().unwrap();
        assert!(columns.0.iter().map(|(name, _)| name.as_str()).eq(names));
    }

    #[test]
    fn faulty_lists_are_refused() {
        for text in ["", "a,,b", "a,a", "a=", "a=reel", "a=[1,0]", "a=b=c"] {
            assert!(text.parse::<ColumnList>().is_err(), "{text}");
        }
        assert!("1,x".parse::<CountList>().is_err());
    }
}
