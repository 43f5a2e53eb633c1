//! The configuration file: TOML with the common options at the top and one table for each command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;

use clap::{Args as _, CommandFactory as _};
use diffeo::{Error, Result, quoted};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::{Cli, Common, ReadArgs};
use crate::columns::list_item;
use crate::faults::Faults;

/// Far more than all options take; a larger file is not a configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// One slip often makes the parser trip over all that follows.
const SYNTAX_ERRORS_SHOWN: usize = 3;
/// Where the common options stand.
const TOP: &str = "";

/// One option of the file, as an argument.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) line: usize,
    /// Otherwise it is a positional argument.
    pub(super) is_flag: bool,
    /// `true`: a flag that stands alone.
    alone: bool,
}

impl Item {
    pub(super) fn arguments(&self) -> Vec<OsString> {
        match (self.is_flag, self.alone) {
            (true, true) => vec![format!("--{}", self.key).into()],
            (true, false) => vec![format!("--{}={}", self.key, self.value).into()],
            (false, _) => vec!["--".into(), OsString::from(&self.value)],
        }
    }
}

/// The options that the file at `path` holds for `command`, and the faults of its keys: all unknown or misplaced ones of the
/// whole file, each with its line and a suggestion.
///
/// # Errors
/// [`diffeo::ErrorKind::Config`] if the file is not TOML, [`diffeo::ErrorKind::Io`] if it cannot be read.
pub(super) fn read(path: &Path, command: &str) -> Result<(Vec<Item>, Faults)> {
    let text = read_text(path)?;
    let line = |span: std::ops::Range<usize>| line_of(&text, span.start);
    let (table, errors) = DeTable::parse_recoverable(&text);
    let mut faults = Faults::default();
    for error in errors.iter().take(SYNTAX_ERRORS_SHOWN) {
        let place = error.span().map(|span| format!("line {}: ", line(span))).unwrap_or_default();
        faults.add(format!("{place}{}", diffeo::printable(error.message())));
    }
    faults.finish()?;

    let mut reader = FileReader {
        sections: sections(),
        text: &text,
        faults: Faults::default(),
        items: Vec::new(),
    };
    for (key, value) in by_place(table.get_ref()) {
        match (reader.sections.contains_key(name(key).as_str()), value.get_ref()) {
            (true, DeValue::Table(inner)) => {
                let section = name(key);
                for (key, value) in by_place(inner) {
                    reader.option(&section, key, value, section == command || section == "read");
                }
            }
            _ => reader.option(TOP, key, value, true),
        }
    }
    let takes_tables =
        reader.sections.get(command).is_some_and(|keys| keys.contains_key("missing"));
    let read_keys = reader.sections.remove("read").unwrap_or_default();
    reader.items.retain(|item| takes_tables || !read_keys.contains_key(&item.key));
    Ok((reader.items, reader.faults))
}

fn read_text(path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| Error::io(path, "read the configuration", e))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message =
            format!("a configuration file has at most {FILE_BYTES_MAX} bytes, this one has more");
        return Err(Error::config(message));
    }
    String::from_utf8(bytes)
        .map_err(|_| Error::config("a configuration file is UTF-8 text, this one is not"))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|&b| b == b'\n').count() + 1
}

/// The entries in the order of the file: the order of columns is that of the model's dimensions.
fn by_place<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<toml::de::DeString<'i>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The key with dashes, as flags have it.
fn name(key: &Spanned<toml::de::DeString<'_>>) -> String {
    key.get_ref().replace('_', "-")
}

/// For each table of the file its keys, and whether the key is a flag.
fn sections() -> BTreeMap<String, BTreeMap<String, bool>> {
    let keys = |command: &clap::Command| {
        let mut keys = BTreeMap::new();
        for argument in command.get_arguments() {
            match argument.get_long() {
                Some(long) => {
                    let aliases = argument.get_all_aliases().unwrap_or_default();
                    keys.extend(
                        aliases.into_iter().chain([long]).map(|key| (key.to_string(), true)),
                    );
                }
                None => {
                    keys.insert(argument.get_id().to_string(), false);
                }
            }
        }
        keys
    };
    let mut common = keys(&Common::augment_args(clap::Command::new(TOP)));
    common.remove("config");
    let mut sections = BTreeMap::from([
        (TOP.to_string(), common),
        ("read".to_string(), keys(&ReadArgs::augment_args(clap::Command::new(TOP)))),
    ]);
    for command in Cli::command().get_subcommands().filter(|c| c.get_name() != "completions") {
        sections.insert(command.get_name().to_string(), keys(command));
        for inner in command.get_subcommands() {
            let name = format!("{}-{}", command.get_name(), inner.get_name());
            sections.insert(name, keys(inner));
        }
    }
    sections
}

struct FileReader<'t> {
    sections: BTreeMap<String, BTreeMap<String, bool>>,
    text: &'t str,
    faults: Faults,
    items: Vec<Item>,
}

impl FileReader<'_> {
    /// Takes one key of `section`; keeps it if `wanted`.
    fn option(
        &mut self,
        section: &str,
        key: &Spanned<toml::de::DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
        wanted: bool,
    ) {
        let line = line_of(self.text, key.span().start);
        let name = name(key);
        let is_flag = self.sections.get(section).and_then(|keys| keys.get(&name)).copied();
        // Tables are read in one way for all commands.
        let misplaced = section != "read" && self.sections["read"].contains_key(&name);
        let Some(is_flag) = is_flag.filter(|_| !misplaced) else {
            let hint = self.hint(section, &name);
            self.faults.add(format!(
                "line {line}: unknown key {}{}{hint}",
                quoted(key.get_ref()),
                in_table(section)
            ));
            return;
        };
        match argument(&name, value.get_ref()) {
            Err(reason) => self.faults.add(format!("line {line}: key {}: {reason}", quoted(&name))),
            Ok(None) => {}
            Ok(Some((value, alone))) if wanted => {
                self.items.push(Item { key: name, value, line, is_flag, alone });
            }
            Ok(Some(_)) => {}
        }
    }

    fn hint(&self, section: &str, key: &str) -> String {
        let home = |(name, keys): &(&String, &BTreeMap<String, bool>)| {
            name.as_str() != section
                && keys.contains_key(key)
                && (*name == "read" || name.as_str() == TOP || section == TOP)
        };
        // `read` and the top first: their keys are also listed with the commands that take them.
        let order = |(name, _): &(&String, &BTreeMap<String, bool>)| {
            (*name != "read", !name.is_empty(), *name != "fit")
        };
        if let Some((home, _)) = self.sections.iter().filter(home).min_by_key(order) {
            return match home.as_str() {
                TOP => "; it stands at the top of the file, before the first table".to_string(),
                "read" => "; it stands in the table [read]".to_string(),
                home => format!("; it stands in the table of a command, such as [{home}]"),
            };
        }
        let known = self.sections.get(section).into_iter().flat_map(BTreeMap::keys);
        let tables = self.sections.keys().filter(|name| section == TOP && name.as_str() != TOP);
        let close = known
            .chain(tables)
            .map(|known| (strsim::damerau_levenshtein(known, key), known))
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(1))
            .min();
        match close {
            Some((_, close)) => format!("; did you mean \"{close}\"?"),
            None => "; see diffeo --help and the help of the command for all keys".to_string(),
        }
    }
}

fn in_table(section: &str) -> String {
    if section == TOP { String::new() } else { format!(" in [{section}]") }
}

/// The value as the text of an argument, and whether the flag stands alone; `None` for a switch that is off.
fn argument(key: &str, value: &DeValue<'_>) -> std::result::Result<Option<(String, bool)>, String> {
    if let DeValue::Boolean(on) = value {
        return Ok(on.then(|| (String::new(), true)));
    }
    let text = match value {
        DeValue::Array(items) => {
            let quote = key != "hidden";
            let items: Vec<String> = items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(name) if quote => Ok(list_item(name)),
                    other => scalar(other),
                })
                .collect::<std::result::Result<_, _>>()?;
            items.join(",")
        }
        DeValue::Table(columns) if key == "columns" || key == "context" => {
            let columns: Vec<String> = by_place(columns)
                .into_iter()
                .map(|(name, kind)| {
                    Ok(format!("{}={}", list_item(name.get_ref()), kind_text(kind.get_ref())?))
                })
                .collect::<std::result::Result<_, String>>()?;
            columns.join(",")
        }
        other => scalar(other)?,
    };
    Ok(Some((text, false)))
}

fn kind_text(kind: &DeValue<'_>) -> std::result::Result<String, String> {
    match kind {
        DeValue::Array(bounds) => {
            let bounds: Vec<String> = bounds
                .iter()
                .map(|b| scalar(b.get_ref()))
                .collect::<std::result::Result<_, _>>()?;
            Ok(format!("[{}]", bounds.join(",")))
        }
        other => scalar(other),
    }
}

fn scalar(value: &DeValue<'_>) -> std::result::Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| format!("the number {} is too large", quoted(number.as_str()))),
        DeValue::Float(number) => Ok(number.as_str().to_string()),
        other => Err(format!(
            "expected a string, a number, true, false or a list of these, found {}",
            other.type_str()
        )),
    }
}
