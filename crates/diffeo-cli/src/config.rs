//! From the command line and the configuration file to [`Cli`].
//!
//! The keys of a file are the long names of the flags, so nothing can be said in one place only: the file is turned into
//! arguments that stand before those of the user, and clap reads both. Flags win, because the later argument wins; a
//! switch is on if either turns it on.

mod file;

use std::ffi::OsString;
use std::io::Write as _;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use diffeo::{Error, Result};

use crate::args::Cli;
use crate::exit;
use crate::faults::Faults;
use crate::output;
use file::Item;

/// Why there is nothing to run.
pub(crate) enum Early {
    /// Help, version, or arguments that clap refuses.
    Clap(Box<clap::Error>, bool),
    /// A configuration file that cannot be used.
    Config(Error, bool),
}

impl Early {
    /// Says so and gives the exit code.
    pub(crate) fn finish(self) -> u8 {
        match self {
            Self::Config(error, json) => output::fail(&error, json),
            Self::Clap(error, _) if !error.use_stderr() => {
                let _ = error.print(); // help for a reader that has gone is no error
                exit::DONE
            }
            Self::Clap(error, json) => {
                let _ = error.print();
                if json {
                    output::print_error_json("Config", &first_line(&error), exit::USAGE);
                }
                exit::USAGE
            }
        }
    }
}

/// Reads the arguments, and the file that `--config` names.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, Early> {
    let user: Vec<OsString> = arguments.collect();
    let json = user.iter().any(|a| a == "--json");
    let read = |arguments: &[OsString]| -> Result<(Cli, ArgMatches), Early> {
        let early = |e: clap::Error| Early::Clap(Box::new(e), json);
        let matches = Cli::command().try_get_matches_from(arguments).map_err(early)?;
        let cli = Cli::from_arg_matches(&matches).map_err(early)?;
        Ok((cli, matches))
    };
    let (cli, matches) = read(&user)?;
    let (Some(path), Some((command, given))) = (&cli.common.config, matches.subcommand()) else {
        return Ok(cli);
    };
    let (mut words, mut given) = (vec![command], given);
    while let Some((inner, of_inner)) = given.subcommand() {
        words.push(inner);
        given = of_inner;
    }
    let items = file::read(path, &words.join("-"))
        .and_then(|(items, faults)| check_values(&words, &items, faults).map(|()| items))
        .map_err(|error| Early::Config(error.at(path), json))?;
    Ok(read(&merge(&user, &words, given, &items))?.0)
}

/// Reads each value by itself, so that every fault of the file is reported, with its line.
fn check_values(command: &[&str], items: &[Item], mut faults: Faults) -> Result<()> {
    for item in items {
        let mut arguments: Vec<OsString> = vec!["diffeo".into()];
        arguments.extend(command.iter().map(OsString::from));
        arguments.extend(item.arguments());
        if let Err(error) = Cli::command().try_get_matches_from(arguments) {
            faults.add(format!("line {}: key \"{}\": {}", item.line, item.key, reason(&error)));
        }
    }
    faults.finish()
}

/// The user's arguments behind those of the file; positional ones of the file fill up what the user left out.
fn merge(user: &[OsString], command: &[&str], given: &ArgMatches, items: &[Item]) -> Vec<OsString> {
    const TAKES_VALUE: [&str; 3] = ["--config", "--device", "--threads"];
    let (mut positions, mut words) = (Vec::new(), command.iter().peekable());
    for i in 1..user.len() {
        let is_value = TAKES_VALUE.iter().any(|flag| user[i - 1] == *flag);
        if words.peek().is_some_and(|word| user[i] == **word) && !is_value {
            positions.push(i);
            words.next();
        }
    }
    let own = user.iter().enumerate().skip(1).filter(|(i, _)| !positions.contains(i));
    let own = own.map(|(_, argument)| argument);
    let own: Vec<OsString> = own.cloned().collect();
    let (flags, positional): (Vec<&Item>, Vec<&Item>) = items.iter().partition(|item| item.is_flag);
    let mut merged: Vec<OsString> = vec!["diffeo".into()];
    merged.extend(command.iter().map(OsString::from));
    merged.extend(flags.iter().flat_map(|item| item.arguments()));
    let ended = own.iter().any(|a| a == "--");
    merged.extend(own);
    if !ended {
        merged.push("--".into());
    }
    let missing = |item: &&&Item| !given.try_contains_id(&item.key).unwrap_or(false);
    merged.extend(positional.iter().filter(missing).map(|item| OsString::from(&item.value)));
    merged
}

/// What clap has against a value, without the layout around it.
fn reason(error: &clap::Error) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        _ => None,
    };
    match (text(ContextKind::InvalidValue), text(ContextKind::ValidValue)) {
        (Some(found), Some(valid)) if !valid.is_empty() => {
            format!("expected one of {valid}, found {}", diffeo::quoted(&found))
        }
        (Some(found), _) if found.is_empty() => "expected a value, found true".to_string(),
        _ => first_line(error),
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    diffeo::printable(line.strip_prefix("error: ").unwrap_or(line))
}

/// Writes the completion script of `shell` to stdout.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "diffeo", &mut script);
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&script)
        .and_then(|()| stdout.flush())
        .map_err(|e| Error::io("standard output", "write", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn merged(user: &[&str], text: &str) -> Result<Cli, Early> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run.toml");
        std::fs::write(&path, text).expect("written");
        let config = ["--config".to_string(), path.display().to_string()];
        let user = user.iter().map(|s| (*s).to_string());
        parse(["diffeo".to_string()].into_iter().chain(user).chain(config).map(OsString::from))
    }

    #[test]
    fn flags_win_over_the_file_and_positionals_fill_up() {
        let text = "threads = 3\njson = true\n[read]\nmissing = 'drop'\n[fit]\ndata = 'a.csv'\nlr = 0.5\nbatch = 1_0\n\
                    hidden = [64, 32]\nvalid = 0.25\n[fit.columns]\nzeta = 'positive'\n'a,b' = [0, 1.5]\n";
        let cli = merged(&["fit", "--lr", "0.25"], text).ok().expect("parses");
        assert!(cli.common.json);
        assert_eq!(cli.common.threads, Some(3));
        let crate::args::Command::Fit(fit) = cli.command else { panic!("fit") };
        assert_eq!((fit.lr, fit.batch), (Some(0.25), Some(10)));
        assert_eq!(fit.hidden.expect("given").0, [64, 32]);
        assert_eq!(fit.data.expect("given").to_string_lossy(), "a.csv");
        let names: Vec<_> =
            fit.columns.expect("given").0.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["zeta", "a,b"], "the file's order is the order of the dimensions");
        let cli = merged(&["fit", "b.csv"], text).ok().expect("parses");
        let crate::args::Command::Fit(fit) = cli.command else { panic!("fit") };
        assert_eq!(fit.data.expect("given").to_string_lossy(), "b.csv");
    }
}
