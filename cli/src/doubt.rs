//! A claim or acquire that may have happened: how to see whether it did, and how to repeat it without taking a second place.

use server::shell_quoted as word;

use crate::connect::{Reach, UNKNOWN_REMEDY};
use crate::exit::{Exit, Failure, quoted};

/// What makes a claim the same claim again.
pub(crate) struct Signature {
    pub(crate) holder: String,
    pub(crate) instance: u64,
    pub(crate) seq: u64,
}

/// The same failure, with what to do where its outcome is unknown.
pub(crate) fn with_remedy(failure: Failure, reach: &Reach, name: &str, by: &Signature) -> Failure {
    if failure.exit != Exit::Unknown {
        return failure;
    }
    let Signature { holder, instance, seq } = by;
    let namespace = match reach.namespace.as_str() {
        api::NAMESPACE_DEFAULT => String::new(),
        namespace => format!(" --namespace {}", word(namespace)),
    };
    let message = format!(
        "lease {} at {}: {}: `tenure get {}{namespace}` shows it; to repeat it, add --holder {} --instance {instance} --seq {seq}",
        quoted(name),
        reach.endpoints(),
        failure.message.replace(UNKNOWN_REMEDY, ""),
        word(name),
        word(holder),
    );
    failure.saying(message)
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_shell_takes_each_value_for_one_word() {
        assert_eq!(word("db/a-1"), "db/a-1");
        assert_eq!(word("it's $HOME"), "'it'\\''s $HOME'");
    }
}
