//! How the program ends: five codes that scripts branch on, and what is said of a failure.
//!
//! | code | word | meaning |
//! |---|---|---|
//! | 0 | done | what was asked for has happened |
//! | 1 | refused | the cluster says no: trying the same again gives the same |
//! | 2 | usage | the command itself is wrong |
//! | 3 | unavailable | surely not done; worth another try |
//! | 4 | unknown | it may have happened |
//!
//! `tenure run` ends as its command did, with any code; what it says itself on stderr tells the two apart.
//!
//! A sixth end is by a signal, and then the shell says so: 130 is Ctrl-C, 143 SIGTERM.

use std::fmt;
use std::process::ExitCode;

use api::Kind;
use api::rules::{Quoted, Shown};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::output::json_line;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for has happened.
    Done,
    /// The cluster says no.
    Refused,
    /// The command itself is wrong.
    Usage,
    /// Surely not done; worth another try.
    Unavailable,
    /// It may have happened. Never to be rounded to no.
    Unknown,
    /// As the command that was run: a code of its own.
    Command(u8),
    /// A signal wants the process to end, and it has said what it leaves behind.
    Signal(Signal),
}

impl Exit {
    /// Ends the process so: by this code, or of the signal itself.
    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Refused => 1,
            Exit::Usage => 2,
            Exit::Unavailable => 3,
            Exit::Unknown => 4,
            Exit::Command(code) => code,
            Exit::Signal(signal) => crate::signals::end_of(signal),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl From<Kind> for Exit {
    fn from(kind: Kind) -> Exit {
        match kind {
            Kind::Refused => Exit::Refused,
            Kind::Usage => Exit::Usage,
            Kind::Unavailable => Exit::Unavailable,
            Kind::Unknown => Exit::Unknown,
        }
    }
}

/// Why a verb did not do what was asked: `error[CODE]: what is wrong; what to do`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What programs branch on, beyond the exit code.
    pub(crate) code: String,
    /// What is wrong, with the value, and what to do.
    pub(crate) message: String,
    /// The server's problem with its details, for `--json`.
    pub(crate) problem: Option<Box<api::Problem>>,
}

impl Failure {
    /// The command is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, code: "usage".to_owned(), message: message.into(), problem: None }
    }

    /// A signal ended it before its time.
    pub(crate) fn interrupted(signal: Signal, message: String) -> Failure {
        Failure { exit: Exit::Signal(signal), code: "interrupted".to_owned(), message, problem: None }
    }

    /// The cluster could not be asked, or the machine could not do its part.
    pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
        Failure {
            exit: Exit::Unavailable,
            code: "unavailable".to_owned(),
            message: message.into(),
            problem: None,
        }
    }
}

impl Failure {
    /// The same failure in other words, for people and for programs.
    pub(crate) fn saying(mut self, message: impl Into<String>) -> Failure {
        self.message = message.into();
        if let Some(problem) = &mut self.problem {
            problem.message.clone_from(&self.message);
        }
        self
    }

    /// The failure for programs: the same body as over HTTP, where a server gave one; else its code and message.
    pub(crate) fn body(&self) -> std::io::Result<String> {
        match &self.problem {
            Some(problem) => json_line(&api::ErrorBody { error: api::Problem::clone(problem) }),
            None => json_line(&json!({ "error": { "code": self.code, "message": self.message } })),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.code, escaped(&self.message))
    }
}

impl From<api::Problem> for Failure {
    fn from(problem: api::Problem) -> Failure {
        Failure {
            exit: problem.code.kind().into(),
            code: problem.code.as_str().to_owned(),
            message: problem.message.clone(),
            problem: Some(Box::new(problem)),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::unavailable(format!("the result cannot be written: {error}"))
    }
}

/// A value as a message shows it: in quotes, escaped and cut.
pub(crate) fn quoted(value: &str) -> String {
    Quoted(value).to_string()
}

/// A text that cannot move the reader's cursor; line ends stay.
pub(crate) fn escaped(text: &str) -> String {
    text.split('\n').map(|line| Shown(line).to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure, escaped};

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let codes =
            [Exit::Done, Exit::Refused, Exit::Usage, Exit::Unavailable, Exit::Unknown].map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn every_problem_has_the_exit_code_of_its_kind() {
        for code in api::Code::ALL {
            let failure = Failure::from(api::Problem::new(*code, "why"));
            assert_eq!(failure.exit, Exit::from(code.kind()));
            assert_eq!(failure.to_string(), format!("error[{code}]: why"));
        }
    }

    #[test]
    fn a_message_is_escaped_and_keeps_its_lines() {
        assert_eq!(escaped("a\u{1b}[2J\u{202e}\nb \"c\""), "a\\u{1b}[2J\\u{202e}\nb \"c\"");
    }
}
