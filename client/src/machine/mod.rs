//! The session as a pure machine: what to send and when, what to believe and until when, what to report.
//!
//! ```text
//!     calls, answers, losses, time ──▶ step(now, input) ──▶ frames, outcomes, beliefs, the next wake-up
//! ```
//!
//! It does no I/O and reads no clock, and its chance comes from a seed: the session's task drives it with sockets, a
//! simulator can drive the very same code with none.
//!
//! Invariants:
//! * Belief in a grant ends at the `sent_at` of the attempt that was answered plus `hold_ms`, and at the instant that
//!   a release of it is handed to [`Effect::Send`] (in fact already when it is asked for), for good.
//! * A call with an effect, of which an attempt left and was not answered, never ends as refused or unavailable, but
//!   where the answer itself proves that no attempt had or will have an effect.
//! * What an attempt of this session may have won without its knowledge is looked for once, and released.
//!
//! The rooms: `ops` is a call's life, `acquire` what more there is to an acquire's and `watch` to a
//! watch's, `answers` what a reply does to it,
//! `judge` what a reply proves, `part` what of a call is about one lease; `links` is which endpoint to talk to, `keys` what is known of each lease, `upkeep` what is
//! done unasked; `timed` and `timers` are when.

mod acquire;
mod answers;
mod input;
mod judge;
mod keys;
mod links;
mod ops;
mod part;
mod timed;
mod timers;
mod upkeep;
mod watch;

use std::collections::BTreeMap;

pub use input::*;
use keys::{Key, KeyName};
use links::Links;
use ops::Op;
use timers::{Timer, Timers};

use crate::Instant;
use crate::backoff::Chance;

/// One session, without its sockets.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    chance: Chance,
    // Boxed, for a map keeps room for eleven even where a session has one: that is most of what a session costs.
    ops: BTreeMap<OpId, Box<Op>>,
    /// Which call and link each unanswered frame belongs to.
    frames: BTreeMap<u64, (OpId, LinkId)>,
    keys: BTreeMap<KeyName, Box<Key>>,
    links: Links,
    timers: Timers,
    frame_last: u64,
    own_op_last: u64,
    seq_last: u64,
    out: Vec<Effect>,
}

// The machine's own calls are numbered from here; callers' from 1.
const OWN_OPS_START: u64 = 1 << 63;

impl Machine {
    /// A session that has not begun to connect: the first call makes it, or [`Ask::Ready`].
    pub fn new(config: Config) -> Machine {
        assert!(!config.endpoints.is_empty(), "a session needs an endpoint");
        Machine {
            chance: Chance::new(config.seed),
            links: Links::new(config.endpoints.len()),
            config,
            ops: BTreeMap::new(),
            frames: BTreeMap::new(),
            keys: BTreeMap::new(),
            timers: Timers::default(),
            frame_last: 0,
            own_op_last: OWN_OPS_START,
            seq_last: 0,
            out: Vec::new(),
        }
    }

    /// Takes in what happened at `now`, which never runs backwards, and adds to `effects` what is to be done, in order.
    pub fn step(&mut self, now: Instant, input: Input, effects: &mut Vec<Effect>) {
        let told = self.timers.first();
        match input {
            Input::Ask { op, ask, ends } => self.ask(now, op, ask, ends),
            Input::Abandon { op } => self.abandon(now, op),
            Input::Disown { namespace, name, token } => {
                self.clean(now, &KeyName::new(namespace, name), token)
            }
            Input::Keep { namespace, name, token } => self.keep(now, &KeyName::new(namespace, name), token),
            Input::Opened { link } => self.opened(now, link),
            Input::Lost { link, cause } => self.lost(now, link, &cause),
            Input::Heard { link } => self.links.heard(now, link),
            Input::Answer { link, frame } => self.answer(now, link, frame),
            Input::Wake => {}
            Input::Close => self.close(),
        }
        self.run_due(now);
        effects.append(&mut self.out);
        match self.timers.first() {
            Some(at) if Some(at) != told => effects.push(Effect::Wake(at)),
            _ => {}
        }
    }

    /// When the machine wants [`Input::Wake`], if at all.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.first()
    }

    /// Whether the session's caller may act as the holder of this lease at `now`.
    pub fn is_held(&self, namespace: &str, name: &str, now: Instant) -> bool {
        let key = KeyName::new(namespace.to_owned(), name.to_owned());
        self.keys.get(&key).and_then(|key| key.held()).is_some_and(|belief| belief.is_held(now))
    }

    /// The grants that the session's caller may act by, each with its lease's namespace and name, its token, and until when:
    /// what [`Machine::is_held`] goes by.
    pub fn beliefs(&self) -> impl Iterator<Item = (&str, &str, u64, Instant)> {
        self.keys.iter().filter_map(|(name, key)| {
            let belief = key.held()?;
            let (namespace, name) = name.parts();
            Some((namespace, name, belief.token(), belief.safe_until()?))
        })
    }

    fn run_due(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Op(op) => self.op_due(now, op),
                Timer::Key(key) => self.key_due(now, &key),
                Timer::Link(link) => self.link_due(now, link),
                Timer::Seek => self.seek_due(now),
                Timer::Home => self.home_due(now),
            }
        }
    }

    fn next_own_op(&mut self) -> OpId {
        self.own_op_last += 1;
        OpId(self.own_op_last)
    }

    fn next_frame(&mut self) -> u64 {
        self.frame_last += 1;
        self.frame_last
    }

    fn next_seq(&mut self) -> u64 {
        self.seq_last += 1;
        self.seq_last
    }
}

#[cfg(test)]
mod tests;
