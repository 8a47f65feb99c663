//! Histories as text: one JSON object a line, so that several processes can each write while they run, and a process that is
//! killed spoils at most the line that it was writing.

use std::fmt;
use std::io::{self, BufRead, Write};

use super::Record;

/// So many characters of a line that is no record are shown.
const SHOWN: usize = 120;

/// Appends one record as a line, in one write.
///
/// # Errors
/// What the writer says.
pub fn write(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    out.write_all(&line)
}

/// Reads records until the end. A last line without its end is what a killed process left, and is left out.
///
/// # Errors
/// A line that is no record, with its number; or what the reader says.
pub fn read(mut input: impl BufRead) -> Result<Vec<Record>, BadLine> {
    let mut records = Vec::new();
    let mut line = String::new();
    for number in 1.. {
        line.clear();
        let unread = |error: io::Error| BadLine { number, cause: error.to_string() };
        if input.read_line(&mut line).map_err(unread)? == 0 || !line.ends_with('\n') {
            break;
        }
        let no_record = |error| {
            let start: String = line.trim_end().chars().take(SHOWN).collect();
            BadLine { number, cause: format!("{error}: {start}") }
        };
        let record = serde_json::from_str(&line).map_err(no_record)?;
        records.push(record);
    }
    Ok(records)
}

/// A line that is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Which, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub cause: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the history is no record: {}", self.number, self.cause)
    }
}

impl std::error::Error for BadLine {}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Believe, Call, Change, Event, Fault, Invoke, Return, What};
    use super::*;

    fn samples() -> Vec<Record> {
        let (client, lease) = ("h1".to_owned(), "a".to_owned());
        let call = Call::Wait { after: None, timeout_ms: 3_000 };
        let invoke =
            Invoke { op: u64::MAX, client: client.clone(), lease: lease.clone(), through: None, call };
        let answer = Answer::Refused { code: "held".to_owned(), token: Some(u64::MAX) };
        let believe = Believe { client, lease: lease.clone(), token: 7, until: 9, ttl_ms: 1_000, kept: true };
        let change = Change::Ended { token: 7, why: "expired".to_owned() };
        let (kind, target) = ("kill".to_owned(), "member 2".to_owned());
        let whats = [
            What::Invoke(invoke),
            What::Return(Return { op: u64::MAX, answer }),
            What::Believe(believe),
            What::Event(Event { member: 1, watch: 1, revision: 3, lease, change }),
            What::Fault(Fault { fault: 1, kind, target, on: true, beyond_rho: false }),
        ];
        whats.into_iter().zip(1..).map(|(what, at)| Record { at, what }).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut text = Vec::new();
        samples().iter().for_each(|record| write(&mut text, record).unwrap());
        assert_eq!(read(&text[..]).unwrap(), samples());
    }

    #[test]
    fn the_line_that_a_killed_process_left_is_left_out() {
        let mut text = Vec::new();
        samples().iter().for_each(|record| write(&mut text, record).unwrap());
        for cut in 1..20 {
            let read = read(&text[..text.len() - cut]).unwrap();
            assert_eq!(read, samples()[..samples().len() - 1], "{cut} bytes are missing");
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let text = "{\"at\":1,\"gone\":{\"client\":\"h1\"}}\n{\"at\":2,\"gune\":{}}\n";
        let error = read(text.as_bytes()).unwrap_err();
        assert_eq!(error.number, 2);
        assert!(error.to_string().contains("gune"), "{error}");
    }
}
