//! The file of `--graph`: who influences whom, by the names of columns.
//!
//! Text has an edge a line, `parent -> child`; a name with `->`, `#`, quotes or blanks at its ends stands in double quotes, comments begin with `#`. A file whose name ends in
//! `.json` has the parents of each child, `{"child": ["parent", ...]}`.

mod learned;

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use diffeo::conditioner::depths;
use diffeo::file::container::parse_json;
use diffeo::{Column, Error, Result, Schema, quoted};
use serde_json::Value;

use crate::columns::unquote;
use crate::faults::Faults;
use crate::progress::grouped;
pub use learned::Wanted;
pub(crate) use learned::file;

/// Far more than the edges of any table that can be fitted.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Names that a message lists.
const NAMES_SHOWN: usize = 20;

/// What there is to say of a graph: what was found, and what may be wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// For whoever watches.
    Note(String),
    /// For everybody.
    Warning(String),
}

/// The edges of a file.
#[derive(Debug)]
pub(crate) struct Graph {
    path: PathBuf,
    edges: Vec<Edge>,
}

/// `parent -> child`, and the line that says so; none in JSON.
#[derive(Clone, Debug, PartialEq)]
struct Edge {
    parent: String,
    child: String,
    line: Option<usize>,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{} -> {}", quoted(&self.parent), quoted(&self.child))
    }
}

impl Graph {
    /// Reads a file.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Io`] if it cannot be read, [`diffeo::ErrorKind::Config`] with all that is wrong in it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|e| Error::io(path, "read the graph", e))?;
        let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let edges = match String::from_utf8(bytes) {
            Ok(text) if text.len() as u64 <= FILE_BYTES_MAX => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
                if is_json { json_edges(text) } else { text_edges(text) }
            }
            Ok(_) => {
                Err(Error::config(format!("a graph has at most {FILE_BYTES_MAX} bytes of text")))
            }
            Err(_) => Err(Error::config("a graph is UTF-8 text, this file is not")),
        };
        Ok(Self { edges: edges.map_err(|e| e.at(path))?, path: path.to_owned() })
    }

    /// Edges that are not in a file, as the text that a file of JSON would have.
    ///
    /// # Errors
    /// As [`Graph::read`].
    pub(crate) fn of_json(text: &str) -> Result<Self> {
        Ok(Self { edges: json_edges(text)?, path: "graph".into() })
    }

    /// The parents of each number of a flow of these columns, by their places.
    ///
    /// # Errors
    /// [`diffeo::ErrorKind::Config`] with all names that are no columns of numbers, or a cycle.
    pub(crate) fn parents(
        &self,
        schema: &Schema,
        tell: &mut dyn FnMut(Remark),
    ) -> Result<Vec<Vec<usize>>> {
        let numbers: Vec<&Column> =
            schema.columns.iter().filter(|column| column.has_number()).collect();
        let places: HashMap<&str, usize> =
            numbers.iter().enumerate().map(|(i, column)| (column.name.as_str(), i)).collect();
        let mut faults = Faults::default();
        let mut refused: Vec<&str> = Vec::new();
        for edge in &self.edges {
            for name in [&edge.parent, &edge.child] {
                if !places.contains_key(name.as_str()) && !refused.contains(&name.as_str()) {
                    refused.push(name);
                    faults.add(format!("{edge}: {}", no_number(name, schema, &numbers)));
                }
            }
        }
        faults.finish().map_err(|e| e.at(&self.path))?;
        let mut parents = vec![Vec::new(); numbers.len()];
        for edge in &self.edges {
            parents[places[edge.child.as_str()]].push(places[edge.parent.as_str()]);
        }
        parents.iter_mut().for_each(|parents| parents.sort_unstable());
        let levels = depths(&parents).map_err(|cycle| {
            let around = cycle.iter().chain(cycle.first()).map(|&i| quoted(&numbers[i].name));
            Error::config(format!(
                "expected a graph without cycles, found {}; take one of these edges out",
                around.collect::<Vec<_>>().join(" -> ")
            ))
            .at(&self.path)
        })?;
        self.announce(&numbers, &parents, &levels, tell);
        Ok(parents)
    }

    /// Says what the graph is, and what a slip in it would look like.
    fn announce(
        &self,
        numbers: &[&Column],
        parents: &[Vec<usize>],
        levels: &[usize],
        tell: &mut dyn FnMut(Remark),
    ) {
        let deep = levels.iter().max().map_or(0, |deepest| deepest + 1);
        tell(Remark::Note(format!(
            "graph of {} edges between {} columns, {deep} deep",
            grouped(self.edges.len() as u64),
            numbers.len()
        )));
        let is_alone = |i: &usize| {
            parents[*i].is_empty() && !parents.iter().any(|parents| parents.contains(i))
        };
        let alone: Vec<&str> =
            (0..numbers.len()).filter(is_alone).map(|i| numbers[i].name.as_str()).collect();
        if !alone.is_empty() {
            let names = listed(&alone);
            tell(Remark::Warning(format!(
                "no edge of the graph leads to or from these columns, so they are fitted as independent of the others: {names}"
            )));
        }
        let partly = numbers.iter().filter(|column| column.holes || !column.masses.is_empty());
        let partly: Vec<&str> = partly.map(|column| column.name.as_str()).collect();
        if !partly.is_empty() {
            let names = listed(&partly);
            tell(Remark::Warning(format!(
                "whether these columns have a point mass or are missing is not in the graph, and may depend on and influence every column: {names}"
            )));
        }
    }
}

/// Why a name is none of a column of numbers.
fn no_number(name: &str, schema: &Schema, numbers: &[&Column]) -> String {
    if let Some(column) = schema.columns.iter().find(|column| column.name == name) {
        return format!(
            "{} is {}, and a graph is about columns of numbers, each of which may depend on all others that are none; take its edges out, leave the column \
             out with --exclude, or make it one of numbers with --columns",
            quoted(name),
            column.describe()
        );
    }
    if schema.context.iter().any(|column| column.name == name) {
        return format!(
            "{} is a column of the context, which all columns may depend on; take its edges out",
            quoted(name)
        );
    }
    let distance = |column: &&&Column| strsim::damerau_levenshtein(&column.name, name);
    let close = numbers.iter().min_by_key(distance).filter(|column| {
        strsim::damerau_levenshtein(&column.name, name) <= (name.chars().count() / 3).max(1)
    });
    let hint = match close {
        Some(close) => format!("did you mean {}?", quoted(&close.name)),
        None => {
            let names: Vec<&str> = numbers.iter().map(|column| column.name.as_str()).collect();
            format!("columns of numbers are {}", listed(&names))
        }
    };
    format!("no column {} is modelled; {hint}", quoted(name))
}

/// Names, not too many of them.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(NAMES_SHOWN).map(|name| quoted(name)).collect();
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn text_edges(text: &str) -> Result<Vec<Edge>> {
    let mut faults = Faults::default();
    let mut edges = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let line_number = Some(i + 1);
        match text_edge(line) {
            Ok(Some((parent, child))) => edges.push(Edge { parent, child, line: line_number }),
            Ok(None) => {}
            Err(reason) => faults.add(format!("line {}: {reason}", i + 1)),
        }
    }
    checked(edges, faults)
}

/// The parent and the child of a line; `None` if it says nothing.
fn text_edge(line: &str) -> std::result::Result<Option<(String, String)>, String> {
    let (mut in_quotes, mut arrows, mut end) = (false, Vec::new(), line.len());
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '#' if !in_quotes && before.is_whitespace() => {
                end = at;
                break;
            }
            '>' if !in_quotes && before == '-' => arrows.push(at - 1),
            _ => {}
        }
        before = c;
    }
    let text = &line[..end];
    match arrows.as_slice() {
        _ if text.trim().is_empty() => Ok(None),
        [at] if !in_quotes => Ok(Some((unquote(&text[..*at])?, unquote(&text[at + 2..])?))),
        _ => Err(format!(
            "expected an edge such as parent -> child, with odd names in double quotes, found {}",
            quoted(text.trim())
        )),
    }
}

fn json_edges(text: &str) -> Result<Vec<Edge>> {
    const EXPECTED: &str = "expected the parents of each child, such as {\"child\": [\"parent\"]}";
    let value: Value = parse_json(text)
        .map_err(|e| Error::config(format!("{EXPECTED}, found other text: {}", e.message())))?;
    let Value::Object(families) = value else { return Err(Error::config(EXPECTED)) };
    let mut faults = Faults::default();
    let mut edges = Vec::new();
    for (child, parents) in families {
        let names = parents.as_array().map(|list| list.iter().map(Value::as_str));
        let names: Option<Vec<&str>> = names.and_then(Iterator::collect);
        match names {
            Some(names) => edges.extend(names.into_iter().map(|parent| Edge {
                parent: parent.to_owned(),
                child: child.clone(),
                line: None,
            })),
            None => faults.add(format!(
                "{EXPECTED}, found {} for {}",
                quoted(&parents.to_string()),
                quoted(&child)
            )),
        }
    }
    checked(edges, faults)
}

/// Refuses edges that are there twice, and columns that are their own parents.
fn checked(edges: Vec<Edge>, mut faults: Faults) -> Result<Vec<Edge>> {
    let mut first = HashMap::new();
    for edge in &edges {
        if edge.parent == edge.child {
            faults.add(format!("{edge}: a column cannot be its own parent; take this edge out"));
        }
        if let Some(other) = first.insert((&edge.parent, &edge.child), edge) {
            let place = other.line.map_or(String::new(), |line| format!(", first in line {line}"));
            faults.add(format!("{edge}: this edge is there twice{place}; take one of the two out"));
        }
    }
    faults.finish()?;
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(edges: &[Edge]) -> Vec<(&str, &str)> {
        edges.iter().map(|edge| (edge.parent.as_str(), edge.child.as_str())).collect()
    }

    #[test]
    fn edges_are_read_with_comments_blanks_and_quotes() {
        let text = "# who -> whom\n\na -> b\n  a->c # more\n\"x -> y # z\" -> \"say \"\"hi\"\"\"\nage at visit -> item#2\n\" b \"->c\n";
        let edges = text_edges(text).unwrap();
        let expected = [
            ("a", "b"),
            ("a", "c"),
            ("x -> y # z", "say \"hi\""),
            ("age at visit", "item#2"),
            (" b ", "c"),
        ];
        assert_eq!(pairs(&edges), expected);
        assert_eq!(edges[1].line, Some(4));
        assert!(text_edges("# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn all_faults_of_a_text_are_told_with_their_lines() {
        let error = text_edges("a -> b\na b\na -> b -> c\n-> c\nd -> d\na -> b\n\"e -> f\n");
        let message = error.unwrap_err().to_string();
        for text in [
            "line 2: expected an edge such as parent -> child",
            "line 3: expected an edge",
            "line 4: a column name is empty",
            "line 5: \"d\" -> \"d\": a column cannot be its own parent",
            "line 6: \"a\" -> \"b\": this edge is there twice, first in line 1",
            "line 7: expected an edge",
        ] {
            assert!(message.contains(text), "{text}: {message}");
        }
    }

    #[test]
    fn json_has_the_parents_of_each_child() {
        let edges = json_edges("{\"b\": [\"a\"], \"c\": [\"a\", \"b\"], \"a\": []}").unwrap();
        assert_eq!(pairs(&edges), [("a", "b"), ("a", "c"), ("b", "c")]);
        for (text, reason) in [
            ("{\"b\": \"a\"}", "for \"b\""),
            ("{\"b\": [1]}", "for \"b\""),
            ("[]", "expected the parents of each child"),
            ("{\"b\": [", "found other text"),
            ("{\"b\": [\"a\"], \"b\": []}", "found other text"),
            ("{\"b\": [\"a\", \"a\"]}", "twice"),
            ("{\"b\": [\"b\"]}", "own parent"),
        ] {
            let message = json_edges(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
        }
    }
}
