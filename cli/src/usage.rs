//! The command line's own errors: clap finds them, and this file words them as every other error of ours.
//!
//! `error[CODE]: what is wrong, with the value; why; what to do`, on stderr, with exit code 2. A flag that is given
//! twice with the same value is taken once; with different values it is refused, and both are named.

use std::error::Error as _;
use std::ffi::OsString;

use api::rules::{SHOWN_CHARS_MAX, Shown};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Error, Parser};

use crate::exit::{Failure, escaped, quoted};
use crate::parse::BadValue;

/// What came of reading the command line.
pub(crate) enum Parsed<T> {
    /// It can be run.
    Run(T),
    /// Help or the version was asked for: print it on stdout and end well.
    Show(String),
    /// There is nothing to do: print the help on stderr and end with a usage error.
    Help(String),
    /// It is wrong.
    Wrong(Failure),
}

/// Reads the command line.
pub(crate) fn read<T: Parser>(mut args: Vec<OsString>) -> Parsed<T> {
    loop {
        let mut error = match T::try_parse_from(&args) {
            Ok(parsed) => return Parsed::Run(parsed),
            Err(error) => error,
        };
        nearest_first(&mut error);
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return Parsed::Show(error.to_string()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => return Parsed::Help(error.to_string()),
            _ => {}
        }
        match repeated(&error, &args) {
            Some(Repeated::Same(fewer)) => args = fewer,
            Some(Repeated::Different(failure)) => return Parsed::Wrong(failure),
            None => return Parsed::Wrong(worded(&error, &args)),
        }
    }
}

/// Whether a flag with a value stands on this process's command line, and not only in its environment.
pub(crate) fn is_given(flag: &str) -> bool {
    !occurrences(flag, true, &std::env::args_os().collect::<Vec<_>>()).is_empty()
}

/// Whether a command line that may be wrong asks for JSON. Of the load tools, `--json` names a file.
pub(crate) fn wants_json(args: &[OsString]) -> bool {
    let of_load_tool = args.get(1).is_some_and(|verb| verb == "claimer" || verb == "bench");
    !of_load_tool && !occurrences("--json", false, args).is_empty()
}

/// clap lists the nearest of several suggestions last.
fn nearest_first(error: &mut Error) {
    if let Some(ContextValue::Strings(near)) = error.get(ContextKind::SuggestedSubcommand) {
        let near = near.iter().rev().cloned().collect();
        error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(near));
    }
}

/// A clap error in our form.
fn worded(error: &Error, args: &[OsString]) -> Failure {
    let invalid_arg = context(error, ContextKind::InvalidArg);
    let invalid_value = context(error, ContextKind::InvalidValue);
    match error.source().and_then(|source| source.downcast_ref::<BadValue>()) {
        Some(bad) => {
            // What another flag can stand for is in brackets of its own.
            let arg = invalid_arg.unwrap_or_default().replace('[', "<").replace(']', ">");
            let value = quoted(&invalid_value.unwrap_or_default());
            let message = format!("{} is {value}: {}", origin(plain(&arg), args), bad.message);
            Failure { code: bad.code.to_owned(), ..Failure::usage(message) }
        }
        None => {
            let unknown = invalid_arg.filter(|_| error.kind() == ErrorKind::UnknownArgument);
            let meant = unknown.and_then(|arg| meant(&arg, args));
            Failure::usage(meant.unwrap_or_else(|| claps_words(error, args)))
        }
    }
}

/// What is wrong with an argument of which clap would only say that it is unknown, or name a flag that is spelt like it.
fn meant(arg: &str, args: &[OsString]) -> Option<String> {
    let verb = args.get(1)?.to_str()?;
    match (verb, plain(arg)) {
        ("revoke" | "pin", "--reason") => {
            Some("unknown flag --reason; give the reason with --why".to_owned())
        }
        ("run", word) if !word.starts_with('-') => Some(format!(
            "{} stands where no more is expected; give the command after --, as in `tenure run NAME -- COMMAND`",
            quoted(arg)
        )),
        _ => None,
    }
}

/// Flags that the environment may set, and by which variable.
const VARIABLES: [(&str, &str); 6] = [
    ("--endpoints", "TENURE_ENDPOINTS"),
    ("--namespace", "TENURE_NAMESPACE"),
    ("--holder", "TENURE_HOLDER"),
    ("--ca", "TENURE_CA"),
    ("--cert", "TENURE_CERT"),
    ("--key", "TENURE_KEY"),
];

/// Where a flag's value came from: the flag itself, or the variable where the flag is not on the command line.
fn origin<'a>(flag: &'a str, args: &[OsString]) -> &'a str {
    let variable = VARIABLES.iter().find(|(of, _)| *of == flag);
    match variable {
        Some((_, variable)) if occurrences(flag, true, args).is_empty() => variable,
        _ => flag,
    }
}

/// The words of clap, without its `error: ` and with every value of the user's escaped and cut.
fn claps_words(error: &Error, args: &[OsString]) -> String {
    let mut text = error.to_string();
    // What the environment sets stands there as if it were required.
    for (flag, _) in VARIABLES.iter().filter(|(flag, _)| occurrences(flag, true, args).is_empty()) {
        let value = flag.trim_start_matches('-').to_uppercase();
        text = text.replace(&format!(" {flag} <{value}>"), "");
    }
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        let Some(value) = context(error, kind) else { continue };
        let mut shown = Shown(&value.chars().take(SHOWN_CHARS_MAX).collect::<String>()).to_string();
        if value.chars().count() > SHOWN_CHARS_MAX {
            shown.push('…');
        }
        if shown != value {
            text = text.replace(&value, &shown);
        }
    }
    if error.kind() == ErrorKind::UnknownArgument {
        // An argument may be a value too; what begins so was meant as a flag.
        text = text.replacen("unexpected argument '-", "unknown flag '-", 1).replacen("' found\n", "'\n", 1);
    }
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    escaped(text.trim_end())
}

fn context(error: &Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(value) => Some(value.clone()),
        _ => None,
    }
}

/// `--ttl <TTL>` as a sentence names it: `--ttl`.
fn plain(arg: &str) -> &str {
    arg.split([' ', '=']).next().unwrap_or(arg)
}

enum Repeated {
    /// The same value each time: the command line with all but the first left out.
    Same(Vec<OsString>),
    /// Different values: which one is meant, nobody can tell.
    Different(Failure),
}

fn repeated(error: &Error, args: &[OsString]) -> Option<Repeated> {
    let arg = context(error, ContextKind::InvalidArg)?;
    let prior = context(error, ContextKind::PriorArg)?;
    if error.kind() != ErrorKind::ArgumentConflict || arg != prior || !arg.starts_with("--") {
        return None;
    }
    let flag = plain(&arg);
    let found = occurrences(flag, arg.contains('<'), args);
    let ((_, first), others) = found.split_first()?;
    if others.is_empty() {
        return None;
    }
    if let Some((_, other)) = others.iter().find(|(_, value)| value != first) {
        let (first, other) = (quoted(&first.to_string_lossy()), quoted(&other.to_string_lossy()));
        return Some(Repeated::Different(Failure::usage(format!(
            "{flag} is given twice, as {first} and as {other}; give it once"
        ))));
    }
    let extra: Vec<usize> = others.iter().flat_map(|(places, _)| places.clone()).collect();
    let kept = args.iter().enumerate().filter(|(place, _)| !extra.contains(place));
    Some(Repeated::Same(kept.map(|(_, arg)| arg.clone()).collect()))
}

/// Where `flag` stands, and its value there.
fn occurrences(flag: &str, takes_value: bool, args: &[OsString]) -> Vec<(std::ops::Range<usize>, OsString)> {
    let mut found = Vec::new();
    let mut place = 1;
    while place < args.len() && args[place] != "--" {
        let joined = args[place].to_str().and_then(|arg| arg.strip_prefix(flag)?.strip_prefix('='));
        if let Some(value) = joined {
            found.push((place..place + 1, value.into()));
        } else if args[place] == flag && takes_value {
            found
                .push((place..(place + 2).min(args.len()), args.get(place + 1).cloned().unwrap_or_default()));
            place += 1;
        } else if args[place] == flag {
            found.push((place..place + 1, OsString::new()));
        }
        place += 1;
    }
    found
}
