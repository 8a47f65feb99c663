//! Which endpoint to talk to: one current link; while it is being replaced, a candidate; and the one before, until its
//! last answers are in.
//!
//! ```text
//!     seek ──▶ candidate ──opened──▶ current ──replaced──▶ draining ──answered, or 10 s──▶ closed
//!      ▲          │ lost                │ lost
//!      └──pause───┴─────────────────────┘
//! ```
//!
//! The first endpoint is home: a session that another one took in goes back there after a while, so that a member that was away does
//! not stay empty while the others carry its sessions too. Where home sends it away again, it stays away for twice as long.

use std::time::Duration;

use super::ops::Stage;
use super::{Ask, Effect, LinkId, Machine, OpId, Timer};
use crate::{Instant, Try, backoff};

/// A link this long without a word is pinged.
const IDLE: Duration = Duration::from_secs(20);
/// A ping this long without an answer means that the link is dead.
const PONG: Duration = Duration::from_secs(10);
/// How long a replaced link may still bring answers.
const DRAIN: Duration = Duration::from_secs(10);
/// The time away from a home that sends a session away again and again doubles so often.
const AWAY_DOUBLINGS: u32 = 4;
/// Sessions that lose one member together come back spread over this.
const SPREAD: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Links {
    current: Option<Link>,
    candidate: Option<Link>,
    draining: Option<Link>,
    /// Where to connect next.
    cursor: usize,
    /// The candidate is a try to go home.
    homing: bool,
    /// Since when the current link has been to home, unless home has sent it away.
    home_since: Option<Instant>,
    /// How often home has sent the session away in a row.
    sent_away: u32,
    /// Connects that failed in a row.
    failures: u32,
    /// Why each endpoint failed last, since one was reached.
    causes: Vec<Option<String>>,
    link_last: u64,
}

#[derive(Clone, Debug)]
struct Link {
    id: LinkId,
    endpoint: usize,
    heard_at: Instant,
    pinged_at: Option<Instant>,
}

impl Links {
    pub(super) fn new(endpoints: usize) -> Links {
        Links {
            current: None,
            candidate: None,
            draining: None,
            cursor: 0,
            homing: false,
            home_since: None,
            sent_away: 0,
            failures: 0,
            causes: vec![None; endpoints],
            link_last: 0,
        }
    }

    pub(super) fn current(&self) -> Option<LinkId> {
        self.current.as_ref().map(|link| link.id)
    }

    /// The endpoint that was talked to last, by its place.
    pub(super) fn endpoint(&self) -> usize {
        self.current.as_ref().map_or(self.cursor, |link| link.endpoint)
    }

    pub(super) fn heard(&mut self, now: Instant, id: LinkId) {
        for link in [&mut self.current, &mut self.draining].into_iter().flatten() {
            if link.id == id {
                link.heard_at = now;
                link.pinged_at = None;
            }
        }
    }

    fn open(&mut self, now: Instant) -> (LinkId, usize) {
        let taken = self.current.as_ref().map(|link| link.endpoint);
        if taken == Some(self.cursor) {
            self.cursor = (self.cursor + 1) % self.causes.len();
        }
        self.link_last += 1;
        let (id, endpoint) = (LinkId(self.link_last), self.cursor);
        self.cursor = (self.cursor + 1) % self.causes.len();
        self.candidate = Some(Link { id, endpoint, heard_at: now, pinged_at: None });
        (id, endpoint)
    }

    fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        [&mut self.current, &mut self.draining].into_iter().flatten().find(|link| link.id == id)
    }
}

impl Machine {
    /// Sees to it that another link is opened, at once or after the pause that failures call for.
    pub(super) fn seek(&mut self, now: Instant) {
        if self.links.candidate.is_some() || self.timers.is_set(&Timer::Seek) {
            return;
        }
        let round = u32::try_from(self.endpoints()).unwrap_or(u32::MAX);
        let after = if self.links.failures > 0 && self.links.failures.is_multiple_of(round) {
            let ttl = self.ttl_at_stake();
            backoff::pause(self.links.failures / round, ttl, &mut self.chance)
        } else {
            Duration::ZERO
        };
        self.timers.set(Timer::Seek, Some(now.after(after)));
    }

    pub(super) fn seek_due(&mut self, now: Instant) {
        if self.links.candidate.is_none() {
            let (link, endpoint) = self.links.open(now);
            self.out.push(Effect::Open { link, endpoint });
        }
    }

    /// When a session that is away tries to go home: spread, for many may have been driven out together.
    fn home_at(&mut self, now: Instant) -> Instant {
        // A home that sends it away each time, as one that drains does, is left alone for longer and longer.
        let after =
            self.config.home_after * (1 << self.links.sent_away.saturating_sub(1).min(AWAY_DOUBLINGS));
        now.after(after).after(self.chance.up_to(after))
    }

    pub(super) fn home_due(&mut self, now: Instant) {
        if self.links.current.is_none() || self.links.candidate.is_some() || self.links.draining.is_some() {
            let home_at = self.home_at(now);
            return self.timers.set(Timer::Home, Some(home_at));
        }
        self.links.cursor = 0;
        self.links.homing = true;
        self.seek_due(now);
    }

    pub(super) fn opened(&mut self, now: Instant, id: LinkId) {
        let Some(mut link) = self.links.candidate.take_if(|link| link.id == id) else { return };
        link.heard_at = now;
        let at_home = link.endpoint == 0;
        self.links.homing = false;
        if self.links.home_since.is_some_and(|since| since.after(self.config.home_after) <= now) {
            // It could stay: home was lost, and did not send it away.
            self.links.sent_away = 0;
        }
        self.links.home_since = at_home.then_some(now);
        self.links.failures = 0;
        self.links.causes.fill(None);
        if let Some(before) = self.links.draining.take() {
            self.drop_link(now, before.id);
        }
        self.links.draining = self.links.current.replace(link);
        self.timers.set(Timer::Link(id), Some(now.after(IDLE)));
        let home_at = (!at_home).then(|| self.home_at(now));
        self.timers.set(Timer::Home, home_at);
        self.greet(id);
        if let Some(before) = &self.links.draining {
            let before = before.id;
            self.timers.set(Timer::Link(before), Some(now.after(DRAIN)));
            self.move_waits(before);
        }
        self.pump_all(now);
        self.close_drained();
    }

    pub(super) fn lost(&mut self, now: Instant, id: LinkId, cause: &str) {
        self.timers.set(Timer::Link(id), None);
        if let Some(link) = self.links.candidate.take_if(|link| link.id == id) {
            self.links.causes[link.endpoint] = Some(cause.to_owned());
            // Where there is another link, home is only not there yet.
            if std::mem::take(&mut self.links.homing) && self.links.current.is_some() {
                let home_at = self.home_at(now);
                self.timers.set(Timer::Home, Some(home_at));
            } else {
                self.links.failures = self.links.failures.saturating_add(1);
            }
            self.candidate_lost(now);
        } else if let Some(link) = self.links.current.take_if(|link| link.id == id) {
            self.links.causes[link.endpoint] = Some(cause.to_owned());
            self.strand(now, id);
            // Not at once: thousands of sessions may have lost the same member at this very moment.
            if !self.timers.is_set(&Timer::Seek) && self.links.candidate.is_none() {
                let most = self.ttl_at_stake().map_or(SPREAD, |ttl| SPREAD.min(ttl / 8));
                let after = self.chance.up_to(most);
                self.timers.set(Timer::Seek, Some(now.after(after)));
            }
        } else if self.links.draining.take_if(|link| link.id == id).is_some() {
            self.strand(now, id);
            self.pump_all(now);
        }
    }

    // With a current link that works, calls that wanted another one make do with it: better a slow member than none.
    fn candidate_lost(&mut self, now: Instant) {
        if self.links.current.is_some() {
            self.ops.values_mut().for_each(|op| op.avoid = None);
            self.pump_all(now);
            return;
        }
        if self.links.failures as usize >= self.endpoints() {
            self.fail_ready();
        }
        self.seek(now);
    }

    pub(super) fn link_due(&mut self, now: Instant, id: LinkId) {
        if self.links.draining.as_ref().is_some_and(|link| link.id == id) {
            self.drop_link(now, id);
            return;
        }
        let Some(link) = self.links.link(id) else { return };
        let due = match link.pinged_at {
            Some(pinged_at) if pinged_at.after(PONG) <= now => {
                self.drop_silent(now, id);
                return;
            }
            Some(pinged_at) => pinged_at.after(PONG),
            None if link.heard_at.after(IDLE) <= now => {
                link.pinged_at = Some(now);
                self.out.push(Effect::Ping { link: id });
                now.after(PONG)
            }
            None => link.heard_at.after(IDLE),
        };
        self.timers.set(Timer::Link(id), Some(due));
    }

    /// An attempt on the only endpoint is overdue. Sending it again through the same door would help nobody, but where
    /// the link itself is dead a new one will. True where the link was given up.
    pub(super) fn probe(&mut self, now: Instant, id: LinkId, sent_at: Instant, patience: Duration) -> bool {
        let Some(link) = self.links.link(id) else { return true };
        if link.heard_at > sent_at {
            return false;
        }
        match link.pinged_at {
            None => {
                link.pinged_at = Some(now);
                self.out.push(Effect::Ping { link: id });
                self.timers.set(Timer::Link(id), Some(now.after(PONG)));
                false
            }
            Some(pinged_at) if pinged_at.after(patience) <= now => {
                self.drop_silent(now, id);
                true
            }
            Some(_) => false,
        }
    }

    pub(super) fn going(&mut self, now: Instant, id: LinkId, going: &api::Going) {
        // Whoever knows no other member is served on, or comes back once this one has closed the link.
        let nowhere = self.endpoints() == 1;
        if nowhere || self.links.current() != Some(id) || self.links.candidate.is_some() {
            return;
        }
        if !self.timers.is_set(&Timer::Seek)
            && let Some(since) = self.links.home_since.take()
        {
            let stayed = since.after(self.config.home_after) <= now;
            self.links.sent_away = if stayed { 1 } else { self.links.sent_away.saturating_add(1) };
        }
        let said = Duration::from_millis(going.reconnect_after_ms);
        let after = self.ttl_at_stake().map_or(said, |ttl| said.min(ttl / 8));
        self.timers.set(Timer::Seek, Some(now.after(after)));
    }

    pub(super) fn close_drained(&mut self) {
        let Some(link) = &self.links.draining else { return };
        let id = link.id;
        if !self.frames.values().any(|(_, on)| *on == id) {
            self.links.draining = None;
            self.timers.set(Timer::Link(id), None);
            self.out.push(Effect::Close { link: id });
        }
    }

    /// Closes a link of our own accord.
    pub(super) fn break_link(&mut self, now: Instant, id: LinkId, cause: &str) {
        self.out.push(Effect::Close { link: id });
        self.lost(now, id, cause);
    }

    pub(super) fn endpoints(&self) -> usize {
        self.config.endpoints.len()
    }

    /// Every endpoint that failed since one was reached, with its cause.
    pub(super) fn tries(&self) -> Vec<Try> {
        let named = self.config.endpoints.iter().zip(&self.links.causes);
        named
            .filter_map(|(endpoint, cause)| Some(Try { endpoint: endpoint.clone(), cause: cause.clone()? }))
            .collect()
    }

    fn drop_silent(&mut self, now: Instant, id: LinkId) {
        self.break_link(now, id, "no sign of life, not even to a ping");
    }

    fn drop_link(&mut self, now: Instant, id: LinkId) {
        self.break_link(now, id, "replaced by another link");
    }

    // What was in flight on a link that is gone will not be answered any more.
    fn strand(&mut self, now: Instant, id: LinkId) {
        let stranded = |(_, on): &(OpId, LinkId)| *on == id;
        let frames: Vec<u64> =
            self.frames.iter().filter(|(_, at)| stranded(at)).map(|(frame, _)| *frame).collect();
        for frame in frames {
            let Some((op, _)) = self.frames.remove(&frame) else { continue };
            let Some(op) = self.ops.get_mut(&op) else { continue };
            op.cancelled(now, frame);
            if matches!(op.stage, Stage::Flying { frame: present, .. } if present == frame) {
                op.stage = Stage::Unsent;
            }
        }
    }

    fn greet(&mut self, link: LinkId) {
        let Some(agent) = self.config.agent.clone() else { return };
        let call = api::Call::Hello(api::Hello { version: api::VERSION, agent });
        // Its answer is for nobody: no call waits for it.
        let frame = api::ClientFrame { id: self.next_frame(), call };
        self.out.push(Effect::Send { link, frame });
    }

    fn fail_ready(&mut self) {
        let ready = self.ops.iter().filter(|(_, op)| *op.ask == Ask::Ready).map(|(id, _)| *id);
        for id in ready.collect::<Vec<_>>() {
            self.finish_ready(id);
        }
    }
}
