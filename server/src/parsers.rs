//! What must hold of everything here that reads texts and bytes, whatever it is given. Property tests and fuzz/ share it, and no
//! build of a program has it.
//!
//! * Nothing makes a reader panic, or take memory that was not filled by what it reads.
//! * What is accepted means one thing: written again, it is read as the same.
//! * What is refused is refused in words that fit on a screen, however long it is.
//!
//! Each function reads, panics where one of these is broken, and tells whether it was accepted.

#[cfg(test)]
pub(crate) mod edits;

use std::fmt::Display;
use std::path::Path;

use api::ClientFrame;

use crate::config::Config;
use crate::data::{parse_identity, text_of_identity};
use crate::doors::json;
use crate::identity::{InvalidBearer, Secret};
use crate::join::JoinToken;
pub use crate::peers::parsers::hello;

/// The longest refusal, in bytes.
const REFUSAL_BYTES_MAX: usize = 2_000;

fn refused(why: impl Display) -> bool {
    let why = why.to_string();
    assert!(why.len() <= REFUSAL_BYTES_MAX, "a refusal of {} bytes: {why}", why.len());
    assert!(!why.chars().any(char::is_control), "a refusal that a terminal would obey: {why:?}");
    false
}

/// A frame of a session's client.
pub fn client_frame(bytes: &[u8]) -> bool {
    let frame = match json::read::<ClientFrame>(bytes) {
        Ok(frame) => frame,
        Err(problem) => {
            assert!(
                problem.field.as_ref().is_none_or(|field| field.len() <= REFUSAL_BYTES_MAX),
                "a long field"
            );
            str::from_utf8(bytes).ok().and_then(json::call_id);
            return refused(problem.message);
        }
    };
    let again = serde_json::to_vec(&frame).unwrap_or_default();
    assert_eq!(json::read::<ClientFrame>(&again), Ok(frame));
    true
}

/// A frame of a Juju client.
pub fn juju_request(text: &str) -> bool {
    crate::doors::juju::check_request(text)
}

/// The text of a configuration's file.
pub fn config(text: &str) -> bool {
    match Config::of_text(text) {
        Ok(config) => {
            let day = std::time::Duration::from_secs(24 * 60 * 60);
            let times = [
                config.ping_every,
                config.dead_after,
                config.stall_after,
                config.start_within,
                config.stop_within,
            ];
            assert!(times.iter().all(|time| !time.is_zero() && *time <= day), "{times:?}");
            assert!(config.dead_after >= 2 * config.ping_every, "{times:?}");
            assert!((1..=lease::CONNECTIONS_MAX).contains(&config.connections), "{}", config.connections);
            assert!((1..=lease::QUEUE_MAX).contains(&config.commands), "{}", config.commands);
            let is_open = !config.listen.ip().is_loopback();
            assert!(!is_open || config.tls.is_some() || config.insecure_plain_listener, "{}", config.listen);
            assert!(config.peer_voters.is_empty() || config.peer_voters.len() % 2 == 1);
            assert_eq!(Config::of_text(text), Ok(config));
            true
        }
        Err(error) => refused(error),
    }
}

/// The text of a data folder's identity.
pub fn identity(text: &str) -> bool {
    match parse_identity(Path::new("identity.toml"), text) {
        Ok(identity) => {
            let again = text_of_identity(&identity).unwrap_or_default();
            assert_eq!(parse_identity(Path::new("identity.toml"), &again).ok(), Some(identity));
            true
        }
        Err(error) => refused(error),
    }
}

/// A token to join by.
pub fn join_token(text: &str) -> bool {
    match text.parse::<JoinToken>() {
        Ok(token) => {
            assert_eq!(token.to_string(), text.trim());
            true
        }
        Err(error) => refused(error),
    }
}

/// A token that clients come by. A refusal is one of two sentences, and so repeats nothing of a secret.
pub fn bearer_token(text: &str) -> bool {
    match text.parse::<Secret>() {
        Ok(secret) => {
            assert_eq!(secret.reveal(), text.trim());
            assert!(secret.is_of(&secret.hash()));
            assert_eq!(format!("{secret:?}"), format!("Secret({}, …)", secret.id()));
            true
        }
        Err(InvalidBearer::Start) => refused(InvalidBearer::Start),
        Err(InvalidBearer::Damaged) => refused(InvalidBearer::Damaged),
    }
}

/// The same under a checksum that is right: `body` is what stands between the start and that.
pub fn sealed_bearer_token(body: &str) -> bool {
    bearer_token(&Secret::sealed_text(body))
}

/// The same under a checksum that is right: `bytes` is all before it.
pub fn sealed_join_token(bytes: &[u8]) -> bool {
    join_token(&JoinToken::sealed_text(bytes))
}
