//! stdout is data: a table for eyes on a terminal, tab-separated text without decoration in a pipe, JSON where asked.
//!
//! A reader that has seen enough closes the pipe: for what was only read, that is an ordinary end. What was done must be
//! told all the same: where stdout does not take it, stderr does, and the end is never "surely not done".

use std::io::{self, IsTerminal, Write};

use api::rules::Shown;
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Columns that line up, with their titles.
    Table,
    /// A line a row, a tab between columns.
    Plain,
    /// JSON: a document a result.
    Json,
}

/// Whether `--json` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct JsonFlag {
    /// Print JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

impl JsonFlag {
    /// How results are to be written on this stdout.
    pub(crate) fn format(self) -> Format {
        match (self.json, io::stdout().is_terminal()) {
            (true, _) => Format::Json,
            (false, true) => Format::Table,
            (false, false) => Format::Plain,
        }
    }
}

/// A reply with the lease that it is of, for `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct Of<'a, T> {
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    #[serde(flatten)]
    pub(crate) reply: &'a T,
}

/// Prints rows: as a table, as plain text, or `json` instead.
///
/// # Errors
/// Where stdout cannot be written; a closed pipe is no error.
pub(crate) fn print(
    format: Format,
    titles: &[&str],
    rows: &[Vec<String>],
    json: &impl Serialize,
) -> io::Result<()> {
    write_out(text(format, titles, rows, json)?.as_bytes())
}

/// Whether to go on printing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Somebody reads.
    More,
    /// The reader has seen enough.
    Enough,
}

/// Prints one row of a stream: as text with tabs, or `json` on a line. Columns cannot line up with what is yet to come.
///
/// # Errors
/// Where stdout cannot be written; a closed pipe is no error.
pub(crate) fn print_line(format: Format, row: &[String], json: &impl Serialize) -> io::Result<Next> {
    let line = match format {
        Format::Json => json_line(json)?,
        Format::Table | Format::Plain => plain(&[row.to_vec()]),
    };
    match try_write_out(line.as_bytes()) {
        Ok(()) => Ok(Next::More),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Next::Enough),
        Err(error) => Err(error),
    }
}

/// Prints rows as [`print()`] does, of something that was done: `deed` says what, such as `lease a was claimed, token 43`.
///
/// # Errors
/// Where stdout cannot be written: unknown, for whoever reads only stdout does not know of it.
pub(crate) fn print_done(
    format: Format,
    titles: &[&str],
    rows: &[Vec<String>],
    json: &impl Serialize,
    deed: &str,
) -> Result<(), Failure> {
    match try_write_out(text(format, titles, rows, json)?.as_bytes()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            say(format!("{}; nobody read its result", crate::exit::escaped(deed)));
            Ok(())
        }
        Err(error) => Err(Failure {
            exit: Exit::Unknown,
            code: "unknown".to_owned(),
            message: format!("{deed}; its result could not be written: {}", cause(&error)),
            problem: None,
        }),
    }
}

fn text(format: Format, titles: &[&str], rows: &[Vec<String>], json: &impl Serialize) -> io::Result<String> {
    Ok(match format {
        Format::Table => table(titles, rows),
        Format::Plain => plain(rows),
        Format::Json => json_line(json)?,
    })
}

/// What the system said, without its number.
fn cause(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(cause, _)| cause).to_owned()
}

/// One JSON document on a line.
pub(crate) fn json_line(json: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string(json)? + "\n")
}

/// Writes to stdout; a closed pipe is no error.
pub(crate) fn write_out(bytes: &[u8]) -> io::Result<()> {
    match try_write_out(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn try_write_out(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush())
}

/// Talk, on stderr. Nobody may be listening, and that is no failure.
pub(crate) fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A row a line; a tab or line end within a value would break the columns, and is escaped.
fn plain(rows: &[Vec<String>]) -> String {
    rows.iter()
        .map(|row| row.iter().map(|cell| Shown(cell).to_string()).collect::<Vec<_>>().join("\t") + "\n")
        .collect()
}

fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.iter().map(|cell| Shown(cell).to_string()).collect())
        .collect();
    let widths: Vec<usize> =
        (0..titles.len()).map(|n| all.iter().map(|row| row[n].chars().count()).max().unwrap_or(0)).collect();
    all.iter().map(|row| line(row, &widths) + "\n").collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{plain, table};

    fn rows() -> Vec<Vec<String>> {
        vec![vec!["db/primary".into(), "41".into()], vec!["q".into(), "a\tb\nc".into()]]
    }

    #[test]
    fn a_table_lines_up() {
        assert_eq!(
            table(&["NAME", "TOKEN"], &rows()),
            "NAME        TOKEN\ndb/primary  41\nq           a\\tb\\nc\n"
        );
    }

    #[test]
    fn plain_text_has_tabs_and_no_titles() {
        assert_eq!(plain(&rows()), "db/primary\t41\nq\ta\\tb\\nc\n");
    }
}
