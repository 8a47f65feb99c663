//! What Juju's clients are told that did not work: each text and code that they know, once.

use api::{Code, Problem};
use lease::JUJU_ITEMS_MAX;
use serde_json::{Value, json};

/// Why a call, or one item of it, failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    /// For people; some clients compare it.
    pub(super) message: String,
    /// For programs; empty where Juju has none.
    pub(super) code: &'static str,
}

/// What a facade's call comes to.
pub(super) type Answer = Result<Value, Error>;

pub(super) const UNAUTHORIZED: &str = "unauthorized access";
pub(super) const NOT_IMPLEMENTED: &str = "not implemented";

impl Error {
    pub(super) fn new(message: impl Into<String>, code: &'static str) -> Error {
        Error { message: message.into(), code }
    }

    /// One that Juju has no code for.
    pub(super) fn plain(message: impl Into<String>) -> Error {
        Error::new(message, "")
    }

    pub(super) fn permission_denied() -> Error {
        Error::new("permission denied", UNAUTHORIZED)
    }

    /// The one answer to whoever is not known, whatever the cause.
    pub(super) fn unknown_entity() -> Error {
        Error::new("invalid entity name or password", UNAUTHORIZED)
    }

    /// Surely not done, and worth another try soon.
    pub(super) fn try_again() -> Error {
        Error::new("try again", "try again")
    }

    pub(super) fn timed_out() -> Error {
        Error::plain("lease operation timed out")
    }

    pub(super) fn stopped() -> Error {
        Error::plain("lease manager stopped")
    }

    /// A problem of ours, as Juju would have said it where it would have said anything.
    pub(super) fn of(problem: &Problem) -> Error {
        match problem.code {
            Code::Unauthenticated | Code::Forbidden => Error::permission_denied(),
            Code::Overloaded => Error::try_again(),
            Code::Stopping => Error::stopped(),
            // Juju's own manager tries for ten times five seconds where there is no leader, and says this in the end.
            Code::NoLeader | Code::Behind | Code::Unknown | Code::Late => Error::timed_out(),
            Code::BadTtl => Error::plain("invalid duration"),
            _ => Error::plain(problem.message.clone()),
        }
    }

    /// As it stands in an item of a result: with its code also where that is empty.
    pub(super) fn item(&self) -> Value {
        json!({"message": self.message, "code": self.code})
    }
}

/// The items of a bulk call.
///
/// # Errors
/// There are too many.
pub(super) fn items<T>(items: Option<Vec<T>>) -> Result<Vec<T>, Error> {
    let items = items.unwrap_or_default();
    match items.len() <= JUJU_ITEMS_MAX {
        true => Ok(items),
        false => {
            let count = items.len();
            Err(Error::plain(format!(
                "the call has {count} items, and the limit is {JUJU_ITEMS_MAX}: split it"
            )))
        }
    }
}

/// An item of a bulk call's result.
pub(super) fn item(outcome: Result<(), Error>) -> Value {
    match outcome {
        Ok(()) => json!({}),
        Err(error) => json!({"error": error.item()}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_too_many_items_is_refused_as_a_whole_and_says_how_many_there_may_be() {
        assert_eq!(items(Some(vec![(); JUJU_ITEMS_MAX])).map(|items| items.len()), Ok(JUJU_ITEMS_MAX));
        let error = items(Some(vec![(); JUJU_ITEMS_MAX + 1])).map(drop);
        assert_eq!(error, Err(Error::plain("the call has 501 items, and the limit is 500: split it")));
        assert_eq!(items::<()>(None), Ok(Vec::new()));
    }
}
