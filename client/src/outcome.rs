//! What a call came to: done, or one of three kinds of "no".
//!
//! * *Refused*: it is decided, and the answer is no.
//! * *Unavailable*: surely not done; trying again is safe and may help.
//! * *Unknown*: it may have happened, or may yet. It is never rounded to no: whoever gets it repeats the call,
//!   releases, or looks.

use std::fmt;
use std::time::Duration;

use api::Problem;

/// What a call came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a call may have been refused, or its outcome may be unknown"]
pub enum Outcome<T> {
    /// Granted, released, read: what was asked for.
    Done(T),
    /// No; or the call itself is wrong, where the problem's kind is usage.
    Refused(Problem),
    /// Surely not done.
    Unavailable(Unavailable),
    /// It may have happened, or may yet.
    Unknown(Unknown),
}

impl<T> Outcome<T> {
    /// The outcome as a result, for `?`.
    ///
    /// # Errors
    /// Whatever is not [`Outcome::Done`].
    pub fn into_result(self) -> Result<T, Failure> {
        match self {
            Outcome::Done(value) => Ok(value),
            Outcome::Refused(problem) => Err(Failure::Refused(problem)),
            Outcome::Unavailable(cause) => Err(Failure::Unavailable(cause)),
            Outcome::Unknown(doubt) => Err(Failure::Unknown(doubt)),
        }
    }

    /// The same outcome of another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        self.into_result().map(change).into()
    }
}

impl<T> From<Result<T, Failure>> for Outcome<T> {
    fn from(result: Result<T, Failure>) -> Outcome<T> {
        match result {
            Ok(value) => Outcome::Done(value),
            Err(Failure::Refused(problem)) => Outcome::Refused(problem),
            Err(Failure::Unavailable(cause)) => Outcome::Unavailable(cause),
            Err(Failure::Unknown(doubt)) => Outcome::Unknown(doubt),
        }
    }
}

/// Every outcome but done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No; or the call itself is wrong, where the problem's kind is usage.
    Refused(Problem),
    /// Surely not done.
    Unavailable(Unavailable),
    /// It may have happened, or may yet.
    Unknown(Unknown),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Refused(problem) => problem.fmt(f),
            Failure::Unavailable(cause) => cause.fmt(f),
            Failure::Unknown(doubt) => doubt.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a call was surely not done, though nobody refused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// A member answered that it, or the cluster, could not.
    Answered(Problem),
    /// No member could be reached: each that was tried, with its own cause.
    Unreachable(Vec<Try>),
    /// The call only reads, and no answer came in time.
    Unanswered {
        /// Who was asked last.
        endpoint: String,
        /// For how long the call waited in all.
        waited: Duration,
    },
    /// The lease is still under a token that this session has let go and whose release is not yet answered.
    LetGo {
        /// That token.
        token: u64,
    },
    /// The session was closed before the call left.
    Closed,
    /// This machine has no clock to hold leases by, so that no session was opened.
    NoClock {
        /// What reading it said.
        cause: String,
    },
    /// So many events waited unread that the watch was ended: watch again after the last revision that was read.
    Unread {
        /// How many may wait.
        limit: usize,
    },
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::Answered(problem) => problem.fmt(f),
            Unavailable::Unreachable(tries) => {
                write!(
                    f,
                    "no endpoint could be reached: {}; start a member, or correct the endpoints",
                    Tries(tries)
                )
            }
            Unavailable::Unanswered { endpoint, waited } => write!(
                f,
                "{endpoint} did not answer within {}; try again, or allow more time",
                api::Span(waited.as_millis() as u64)
            ),
            Unavailable::LetGo { token } => {
                write!(f, "token {token} was released, and the release is not answered yet; try again")
            }
            Unavailable::Unread { limit } => write!(
                f,
                "{limit} events waited unread, so that the watch was ended; read faster, and watch again after the last revision that was read"
            ),
            Unavailable::Closed => f.write_str("the session is closed; open another"),
            Unavailable::NoClock { cause } => write!(
                f,
                "this machine has no clock to hold leases by: CLOCK_BOOTTIME and CLOCK_MONOTONIC_RAW are wanted, and reading \
                 them said: {cause}; run it where they may be read"
            ),
        }
    }
}

/// One endpoint that could not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// Which.
    pub endpoint: String,
    /// Why, in a few words.
    pub cause: String,
}

struct Tries<'a>(&'a [Try]);

impl fmt::Display for Tries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Try { endpoint, cause }) in self.0.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{endpoint} ({cause})")?;
        }
        Ok(())
    }
}

/// What is known of a call that may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// How many of its attempts left, or may have, and were never answered: at least one.
    pub unanswered: u32,
    /// What the last answer said, where one came: a refusal of a repeat, which does not tell about the attempts before.
    pub last: Option<Problem>,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown: {} of the call's attempts left and ", self.unanswered)?;
        f.write_str(if self.unanswered == 1 { "was not answered" } else { "were not answered" })?;
        if let Some(problem) = &self.last {
            write!(f, " (a later answer said {problem})")?;
        }
        f.write_str("; it may have happened or may yet: repeat it, or look with get")
    }
}
