//! What stands on the command line, read once: durations, names, tokens and addresses. What is wrong is said with the
//! value, the accepted forms and the limits, before anything is sent.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use api::rules::{
    DEADLINE_MAX, Holder, InvalidName, JOIN_TOKEN_LIFE_MAX, Name, Namespace, Reason, TTL_MAX, TTL_MIN,
    TTL_MIN_DEFAULT, Value, WAIT_MAX,
};
use claimer::duration::GoDuration;
use clap::builder::{OsStringValueParser, RangedU64ValueParser, TypedValueParser};
use client::Endpoint;
use server::{Host, InvalidHost, InvalidToken, JoinToken, parse_voters};

use crate::run::TTL_MIN as RUN_TTL_MIN;

/// Members of one cluster: what is asked waits for a majority of them.
const MEMBERS_MAX: u64 = 7;

/// Why a value cannot be used; clap names the flag and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadValue {
    /// What programs branch on.
    pub(crate) code: &'static str,
    /// What is wrong with it, and what to do.
    pub(crate) message: String,
}

impl fmt::Display for BadValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BadValue {}

fn bad(code: &'static str, message: impl Into<String>) -> BadValue {
    BadValue { code, message: message.into() }
}

/// A parser of texts: of any bytes, so that what is not UTF-8 is refused with its place and not with a shrug.
fn text<T, F>(parse: F) -> impl TypedValueParser<Value = T>
where
    T: Clone + Send + Sync + 'static,
    F: Fn(&str) -> Result<T, BadValue> + Clone + Send + Sync + 'static,
{
    OsStringValueParser::new().try_map(move |value: OsString| {
        match str::from_utf8(value.as_encoded_bytes()) {
            Ok(value) => parse(value),
            Err(error) => Err(bad(
                "bad_name",
                format!("it is not UTF-8 from byte {} on; write it in UTF-8", error.valid_up_to()),
            )),
        }
    })
}

/// An odd number of members.
pub(crate) fn members() -> impl TypedValueParser<Value = u64> {
    RangedU64ValueParser::<u64>::new().range(1..=MEMBERS_MAX).try_map(|count| match count % 2 {
        1 => Ok(count),
        _ => Err(format!(
            "an even number survives the loss of no more of them than {} do; give 1, 3, 5 or 7",
            count - 1
        )),
    })
}

/// A lease's name.
pub(crate) fn name() -> impl TypedValueParser<Value = String> {
    text(|value| checked(value, Name::parse(value).map(drop), "give the lease's name as 1 to 256 bytes"))
}

/// A namespace.
pub(crate) fn namespace() -> impl TypedValueParser<Value = String> {
    text(|value| checked(value, Namespace::parse(value).map(drop), "give a namespace of 1 to 64 bytes"))
}

/// Who would hold a lease.
pub(crate) fn holder() -> impl TypedValueParser<Value = String> {
    somebody(
        "give a holder of 1 to 256 bytes with --holder or TENURE_HOLDER, or leave both away for a unique one",
    )
}

/// A holder, or who pins a lease, by a flag of its own: the remedy names it.
pub(crate) fn somebody(remedy: &'static str) -> impl TypedValueParser<Value = String> {
    text(move |value| checked(value, Holder::parse(value).map(drop), remedy))
}

/// What readers of a lease shall see.
pub(crate) fn value() -> impl TypedValueParser<Value = String> {
    text(|value| free_text(value, Value::parse(value).map(drop), "give at most 1024 bytes"))
}

/// Why an operator does something.
pub(crate) fn reason() -> impl TypedValueParser<Value = String> {
    text(|value| free_text(value, Reason::parse(value).map(drop), "give at most 256 bytes"))
}

fn free_text(value: &str, result: Result<(), InvalidName>, limit: &str) -> Result<String, BadValue> {
    match result {
        Ok(()) => Ok(value.to_owned()),
        Err(error @ InvalidName::TooLong { .. }) => Err(bad("too_large", format!("{error}; {limit}"))),
        Err(error) => {
            Err(bad("bad_request", format!("{error}; write it on one line, of characters that can be seen")))
        }
    }
}

/// Any text, such as the start of names.
pub(crate) fn prefix() -> impl TypedValueParser<Value = String> {
    text(|value| Ok(value.to_owned()))
}

fn checked(value: &str, result: Result<(), InvalidName>, remedy: &str) -> Result<String, BadValue> {
    match result {
        Ok(()) => Ok(value.to_owned()),
        Err(error @ InvalidName::Forbidden { .. }) => Err(bad(
            "bad_name",
            format!("{error}; control and invisible characters are not allowed; leave them out"),
        )),
        Err(error) => Err(bad("bad_name", format!("{error}; {remedy}"))),
    }
}

/// A ttl: 200 ms to 24 h. A namespace may allow less; the server then names its limits.
pub(crate) fn ttl() -> impl TypedValueParser<Value = Duration> {
    let (min, max) = (Duration::from_nanos(TTL_MIN.as_nanos()), Duration::from_nanos(TTL_MAX.as_nanos()));
    text(move |value| duration(value, "bad_ttl", min, max, &ttl_note(min)))
}

/// A namespace's cooldown: none, up to the most that one may set.
pub(crate) fn cooldown() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::ZERO, Duration::from_nanos(api::rules::COOLDOWN_MAX.as_nanos()))
}

/// What the lower limit of ttls means.
fn ttl_note(min: Duration) -> String {
    format!(
        " ({} is the least that any namespace may allow, {} unless the namespace says otherwise)",
        GoDuration::from(min),
        GoDuration::from(Duration::from_nanos(TTL_MIN_DEFAULT.as_nanos()))
    )
}

/// A ttl under which a command can be ended in time, which is longer than any namespace must allow.
pub(crate) fn run_ttl() -> impl TypedValueParser<Value = Duration> {
    let max = Duration::from_nanos(TTL_MAX.as_nanos());
    text(move |value| {
        let why = "a command can be ended in time only under a lease of that or more";
        duration(value, "bad_ttl", RUN_TTL_MIN, max, &format!(" ({}: {why})", GoDuration::from(RUN_TTL_MIN)))
    })
}

/// A shell command.
pub(crate) fn script() -> impl TypedValueParser<Value = String> {
    text(|value| match value.trim().is_empty() {
        true => Err(bad("bad_request", "it is empty; give a shell command, or leave the flag away")),
        false => Ok(value.to_owned()),
    })
}

/// How long to wait: 1 ms to 24 h.
pub(crate) fn timeout() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::from_millis(1), Duration::from_nanos(WAIT_MAX.as_nanos()))
}

/// How long to try: 1 ms to the longest deadline of a call.
pub(crate) fn patience() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::from_millis(1), Duration::from_nanos(DEADLINE_MAX.as_nanos()))
}

/// Any time that a run is made of: 0 to 30 days.
pub(crate) fn span() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::ZERO, Duration::from_secs(30 * 24 * 60 * 60))
}

fn between(code: &'static str, min: Duration, max: Duration) -> impl TypedValueParser<Value = Duration> {
    text(move |value| duration(value, code, min, max, ""))
}

fn duration(
    value: &str,
    code: &'static str,
    min: Duration,
    max: Duration,
    note: &str,
) -> Result<Duration, BadValue> {
    let (least, most) = (GoDuration::from(min), GoDuration::from(max));
    let forms = format!("write it as 15s, 1m30s or 1500ms, from {least} to {most}{note}");
    let parsed = GoDuration::parse(value).map_err(|error| bad(code, format!("{error}; {forms}")))?;
    match parsed.unsigned() {
        None => Err(bad(code, format!("it is negative; {forms}"))),
        // Go reads a bare 0 as a duration; where only 0 has no unit, a reader takes it for a mistake.
        Some(length) if value.trim_start_matches(['+', '-']) == "0" && min > length => {
            Err(bad(code, format!("its number has no unit; {forms}")))
        }
        Some(length) if length < min => Err(bad(code, format!("it is shorter than {least}; {forms}"))),
        Some(length) if length > max => Err(bad(code, format!("it is longer than {most}; {forms}"))),
        Some(length) => Ok(length),
    }
}

/// A revision or another number, in decimal.
pub(crate) fn number(what: &'static str) -> impl TypedValueParser<Value = u64> {
    within(what, 0, u64::MAX, "")
}

/// A grant's token.
pub(crate) fn token() -> impl TypedValueParser<Value = u64> {
    within("a token", 1, u64::MAX, ": give the one that claim printed")
}

/// Which life of a holder. Zero is nobody's.
pub(crate) fn instance() -> impl TypedValueParser<Value = u64> {
    within("an instance", 1, u64::MAX, "")
}

/// How many at most.
pub(crate) fn limit(most: u64) -> impl TypedValueParser<Value = u64> {
    within("a limit", 1, most, "")
}

fn within(
    what: &'static str,
    least: u64,
    most: u64,
    remedy: &'static str,
) -> impl TypedValueParser<Value = u64> {
    text(move |value| {
        let digits_only = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|number| digits_only && (least..=most).contains(number));
        number.ok_or_else(|| {
            let form = format!("{what} is a whole number from {least} to {most}, in decimal digits");
            bad("bad_number", form + remedy)
        })
    })
}

/// A member's id.
pub(crate) fn member() -> impl TypedValueParser<Value = u64> {
    within("a member", 1, u64::MAX, "")
}

/// A cluster's first voters, and where each is reached by the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Voters(pub(crate) BTreeMap<u64, String>);

/// `1=HOST:PORT,2=HOST:PORT,3=HOST:PORT`.
pub(crate) fn voters() -> impl TypedValueParser<Value = Voters> {
    text(|value| {
        parse_voters(value).map(Voters).map_err(|wanted| bad("bad_voters", format!("give {wanted}")))
    })
}

/// The token by which a new member joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token(pub(crate) JoinToken);

/// What `members invite` prints.
pub(crate) fn join_token() -> impl TypedValueParser<Value = Token> {
    text(|value| {
        value.parse().map(Token).map_err(|error: InvalidToken| bad("bad_join_token", error.to_string()))
    })
}

/// How long a token for a new member is good: 1 s to 7 days.
pub(crate) fn token_life() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::from_secs(1), Duration::from_nanos(JOIN_TOKEN_LIFE_MAX.as_nanos()))
}

/// How long a client's token is good: 1 s to 100 years.
pub(crate) fn credential_life() -> impl TypedValueParser<Value = Duration> {
    between("bad_duration", Duration::from_secs(1), Duration::from_secs(100 * 366 * 24 * 60 * 60))
}

/// A name or address by which a member is known.
pub(crate) fn host() -> impl TypedValueParser<Value = Host> {
    text(|value| value.parse().map_err(|error: InvalidHost| bad("bad_host", error.to_string())))
}

/// Where to listen.
pub(crate) fn listen() -> impl TypedValueParser<Value = SocketAddr> {
    text(|value| {
        let wrong = "give an IP address and a port from 0 to 65535, as 127.0.0.1:7400 or [::1]:7400";
        value.parse().map_err(|_| bad("bad_address", wrong))
    })
}

/// Where servers are: one flag, many addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoints(pub(crate) Vec<Endpoint>);

/// `HOST:PORT[,HOST:PORT…]`.
pub(crate) fn endpoints() -> impl TypedValueParser<Value = Endpoints> {
    text(|value| {
        Endpoint::parse_list(value).map(Endpoints).map_err(|error| bad("bad_endpoint", error.to_string()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::duration;

    fn ttl(value: &str) -> Result<Duration, String> {
        let day = Duration::from_secs(24 * 60 * 60);
        duration(value, "bad_ttl", Duration::from_millis(200), day, "").map_err(|error| error.message)
    }

    #[test]
    fn durations_are_read_in_gos_form() {
        for (text, millis) in
            [("15s", 15_000), ("1m30s", 90_000), ("200ms", 200), ("24h", 86_400_000), ("1.5s", 1_500)]
        {
            assert_eq!(ttl(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn wrong_durations_are_refused_with_the_forms_and_both_limits() {
        for text in [
            "5",
            "-5s",
            "0s",
            "0",
            "1e9h",
            "NaN",
            "",
            "s",
            "100ms",
            "25h",
            "9999999h",
            "99999999999999999999h",
        ] {
            let error = ttl(text).expect_err(text);
            assert!(error.contains("15s, 1m30s or 1500ms, from 200ms to 24h0m0s"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_lies_within_both_limits(
            text in prop_oneof!["\\PC{0,12}", "[-+0-9.numsh]{0,12}", "[0-9]{1,6}(ms|s|m|h)"],
        ) {
            match ttl(&text) {
                Ok(ttl) => assert!((200..=86_400_000).contains(&ttl.as_millis()), "{text}: {ttl:?}"),
                Err(error) => assert!(error.contains("from 200ms to 24h0m0s") && error.len() < 1_000, "{text}: {error}"),
            }
        }
    }
}
