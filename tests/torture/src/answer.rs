//! What the client's outcomes are in a history.

use client::Outcome;

use torture::history::Answer;

/// A history's answer; `done` says what a success is.
pub(crate) fn of<T>(outcome: &Outcome<T>, done: impl FnOnce(&T) -> Answer) -> Answer {
    match outcome {
        Outcome::Done(value) => done(value),
        Outcome::Refused(problem) => refused(problem),
        Outcome::Unavailable(why) => Answer::Unavailable { why: why.to_string() },
        Outcome::Unknown(_) => Answer::Unknown,
    }
}

fn refused(problem: &api::Problem) -> Answer {
    // Of other refusals the token is no living grant's in the way.
    let token = problem.token.filter(|_| problem.code == api::Code::Held);
    Answer::Refused { code: problem.code.as_str().to_owned(), token }
}
