//! Lines out: data to stdout, trouble to stderr, and on a terminal a bar below them.
//!
//! When a server dies, each of ten thousand holders has something to say of it several times a second. So trouble is
//! told up to a number of lines a second, and beyond that counted.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::lines::Line;

/// Lines of trouble told in a second; the rest are counted.
const TROUBLE_PER_SECOND: u32 = 20;

/// Where the lines of a run go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinesTo {
    /// To stdout, as the article's tool did.
    Stdout,
    /// To stderr, since stdout carries JSON.
    Stderr,
}

pub(crate) struct Printer {
    to: LinesTo,
    bar: ProgressBar,
    out: String,
    err: String,
    told: u32,
    untold: u64,
    /// Whether whoever read our lines has gone.
    pub(crate) closed: bool,
}

impl Printer {
    /// A printer, with a bar of `leases` where stderr is a terminal.
    pub(crate) fn new(to: LinesTo, leases: usize) -> Printer {
        let bar = ProgressBar::new(u64::try_from(leases).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>6} [{wide_bar}] {pos}/{len} held{msg}") {
            bar.set_style(style);
        }
        Printer { to, bar, out: String::new(), err: String::new(), told: 0, untold: 0, closed: false }
    }

    /// Takes a line; it is written at the next [`Printer::flush`].
    pub(crate) fn take(&mut self, line: Line) {
        match (line, self.to) {
            (Line::Out(text), LinesTo::Stdout) => push(&mut self.out, &text),
            (Line::Out(text), LinesTo::Stderr) => push(&mut self.err, &text),
            (Line::Err(text), _) | (Line::Both(text), LinesTo::Stderr) => self.trouble(&text),
            (Line::Both(text), LinesTo::Stdout) => {
                push(&mut self.out, &text);
                self.trouble(&text);
            }
        }
    }

    fn trouble(&mut self, text: &str) {
        match self.told < TROUBLE_PER_SECOND {
            true => push(&mut self.err, text),
            false => self.untold += 1,
        }
        self.told = self.told.saturating_add(1);
    }

    /// Writes what was taken.
    pub(crate) fn flush(&mut self) {
        if self.out.is_empty() && self.err.is_empty() {
            return;
        }
        let (out, err) = (std::mem::take(&mut self.out), std::mem::take(&mut self.err));
        let written = self.bar.suspend(|| {
            let _ = io::stderr().lock().write_all(err.as_bytes());
            let mut stdout = io::stdout().lock();
            stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush())
        });
        self.closed |= written.is_err();
    }

    /// A second has passed: `held` leases are held, `lost` were lost so far, `errors` went wrong.
    pub(crate) fn second(&mut self, held: usize, lost: u64, errors: u64) {
        if self.untold > 0 {
            push(&mut self.err, &format!("… and {} more lines of trouble in this second", self.untold));
        }
        (self.told, self.untold) = (0, 0);
        self.flush();
        self.bar.set_message(format!(", {lost} lost, {errors} errors"));
        self.bar.set_position(u64::try_from(held).unwrap_or(u64::MAX));
    }

    /// The run is over: the bar goes.
    pub(crate) fn finish(&mut self) {
        self.flush();
        self.bar.finish_and_clear();
    }
}

/// How often the bar and the count of held leases move.
pub(crate) const SECOND: Duration = Duration::from_secs(1);

fn push(buffer: &mut String, text: &str) {
    buffer.push_str(text);
    buffer.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{LinesTo, Printer, TROUBLE_PER_SECOND};
    use crate::lines::Line;

    #[test]
    fn trouble_beyond_the_limit_is_counted() {
        let mut printer = Printer::new(LinesTo::Stdout, 1);
        for _ in 0..TROUBLE_PER_SECOND + 5 {
            printer.take(Line::Err("no".into()));
        }
        assert_eq!(printer.err.lines().count(), TROUBLE_PER_SECOND as usize);
        assert_eq!(printer.untold, 5);
    }

    #[test]
    fn with_json_on_stdout_no_line_goes_there() {
        let mut printer = Printer::new(LinesTo::Stderr, 1);
        printer.take(Line::Out("claimed".into()));
        printer.take(Line::Both("timed out".into()));
        assert_eq!((printer.out.as_str(), printer.err.as_str()), ("", "claimed\ntimed out\n"));
    }
}
