//! Outcomes and requests cross between members: what is read is what was written, and nothing else is read.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use lease::*;
use proptest::prelude::*;

fn token(number: u64) -> Token {
    Token::from_u64(number)
}

fn end(why: Why) -> End {
    End {
        token: token(7),
        holder: Holder::parse("mysql/0").unwrap(),
        instance: Instance(8),
        seq: Seq(9),
        why,
        at: Time::from_nanos(10),
        remained: Ttl::from_nanos(11),
    }
}

fn refusals() -> Vec<Refusal> {
    let holder = Holder::parse("mysql/1").unwrap();
    let remaining = Ttl::from_millis(5);
    let whys = [Why::Expired, Why::Unconfirmed, Why::Released, Why::Transferred, Why::Restored];
    let lost = whys.map(|why| Refusal::Lost { end: Some(end(why)) });
    let fulls = [Full::Leases, Full::Pins, Full::Namespaces].map(|what| Refusal::Full { what, limit: 16 });
    let others = [
        Refusal::Held { holder: holder.clone(), token: token(1), remaining, by_you: true },
        Refusal::Cooldown { holder: Some(holder), remaining },
        Refusal::Cooldown { holder: None, remaining },
        Refusal::StaleToken { current: token(2) },
        Refusal::Lost { end: None },
        Refusal::Lost { end: Some(end(Why::Revoked(Reason::parse("maintenance").unwrap()))) },
        Refusal::NeverGiven { newest: None },
        Refusal::NeverGiven { newest: Some(token(3)) },
        Refusal::Ending { deadline: Time::from_nanos(4) },
        Refusal::Late,
        Refusal::Retry,
        Refusal::Ttl { ttl: remaining, min: Ttl::from_millis(1), max: Ttl::from_millis(2) },
        Refusal::Version { current: 6 },
        Refusal::Settings("ttl_min is too long".to_owned()),
    ];
    others.into_iter().chain(lost).chain(fulls).collect()
}

fn outcomes() -> Vec<Outcome> {
    let granted =
        Granted { token: token(1), ttl: Ttl::from_millis(2), deadline: Time::from_nanos(3), confirmed: true };
    let others = [
        Outcome::Granted(granted),
        Outcome::Extended(Granted { confirmed: false, ..granted }),
        Outcome::Released { token: token(4) },
        Outcome::Ending { token: token(5), deadline: Time::from_nanos(6) },
        Outcome::Done,
        Outcome::Set { version: 7 },
    ];
    others.into_iter().chain(refusals().into_iter().map(Outcome::Refused)).collect()
}

fn encoded(outcome: &Outcome) -> Vec<u8> {
    let mut bytes = Vec::new();
    outcome.encode(&mut bytes);
    bytes
}

#[test]
fn an_outcome_comes_back_as_it_was_and_none_that_is_cut_or_longer_is_taken() {
    for outcome in outcomes() {
        let bytes = encoded(&outcome);
        assert_eq!(Outcome::decode(&bytes), Ok(outcome.clone()));
        for length in 0..bytes.len() {
            assert!(Outcome::decode(&bytes[..length]).is_err(), "{outcome:?} cut at {length}");
        }
        assert!(Outcome::decode(&[&bytes[..], &[0]].concat()).is_err(), "{outcome:?} and a byte more");
    }
}

#[test]
fn a_request_comes_back_as_it_was() {
    let command = Command::Extend { token: token(1), ttl: Ttl::from_millis(2) };
    let request = Request { not_after: Some(Time::from_nanos(3)), command };
    let mut bytes = Vec::new();
    request.encode(&mut bytes);
    assert_eq!(Request::decode(&bytes), Ok(request));
    assert!(Request::decode(&bytes[1..]).is_err());
}

#[test]
fn a_text_longer_than_is_ever_written_is_refused() {
    let mut bytes = encoded(&Outcome::Refused(Refusal::Settings("w".repeat(4_096))));
    assert!(Outcome::decode(&bytes).is_ok());
    bytes[2..4].copy_from_slice(&4_097_u16.to_le_bytes());
    bytes.push(b'w');
    assert!(Outcome::decode(&bytes).is_err());
}

#[test]
fn a_text_that_is_too_long_for_the_wire_is_cut_at_a_character() {
    let long = Outcome::Refused(Refusal::Settings("ä".repeat(3_000)));
    let Ok(Outcome::Refused(Refusal::Settings(text))) = Outcome::decode(&encoded(&long)) else {
        panic!("it is read")
    };
    assert_eq!(text, "ä".repeat(2_048));
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_as_what_they_say_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(outcome) = Outcome::decode(&bytes) {
            prop_assert_eq!(encoded(&outcome), bytes);
        }
    }

    #[test]
    fn a_changed_byte_is_read_as_what_it_says_or_refused(which in 0_usize..28, at: prop::sample::Index, by in 1_u8..=255) {
        let outcomes = outcomes();
        let mut bytes = encoded(&outcomes[which % outcomes.len()]);
        let at = at.index(bytes.len());
        bytes[at] ^= by;
        if let Ok(outcome) = Outcome::decode(&bytes) {
            prop_assert_eq!(encoded(&outcome), bytes);
        }
    }
}
