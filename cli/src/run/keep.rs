//! The holder's side of a run: it tells the guardian how long the lease is held, passes signals on, asks for health, and
//! says how it all ended.

use std::time::Duration;

use client::{Guard, Instant, Lost, LostWhy, Session};
use tokio::time::MissedTickBehavior;

use super::guarded::Guarded;
use super::schedule::Belief;
use super::signals::Signals;
use super::wire::{News, Order, Remaining};
use super::{Held, Run, told};
use crate::exit::{Exit, Failure, quoted};
use crate::output::say;

/// How often to look for a new `safe_until`: a part of the holding time, within these.
const LOOK_MIN: Duration = Duration::from_millis(10);
const LOOK_MAX: Duration = Duration::from_millis(250);

/// How long to wait for what was killed to be gone, before it is said that it cannot be ended.
const KILL_TAKES: Duration = Duration::from_secs(1);

/// How long to wait for the answer to a release.
const RELEASE_MAX: Duration = Duration::from_secs(5);

/// Why the command is ended, where it did not end by itself.
#[derive(Clone, Debug)]
enum Why {
    /// No extend was answered in time.
    NotExtended,
    /// The lease is lost.
    Lost(LostWhy),
    /// The health command says no.
    Unwell(String),
    /// The guardian is gone, or does not answer.
    Unguarded,
}

pub(crate) struct Keep<'a> {
    args: &'a Run,
    holder: String,
    session: Session,
    guard: Guard,
    guarded: Guarded,
    signals: Signals,
    hold: Duration,
    /// What the guardian was told last, and what of it it has noted.
    told: Option<Belief>,
    noted: Option<Belief>,
    health: Health,
    why: Option<Why>,
    /// The command's own exit code, where it ended by itself.
    own: Option<u8>,
}

impl<'a> Keep<'a> {
    pub(crate) fn new(
        args: &'a Run,
        Held { holder, session, guard }: Held,
        guarded: Guarded,
        signals: Signals,
    ) -> Keep<'a> {
        let hold = Duration::from_millis(api::rules::surely_within(ttl(guard.grant().ttl())).as_millis());
        let health = Health::new(args, session.now());
        let (told, noted, why, own) = (None, None, None, None);
        Keep { args, holder, session, guard, guarded, signals, hold, told, noted, health, why, own }
    }

    /// Runs the command to its end, or to that of the lease.
    pub(crate) async fn run(mut self) -> Result<Exit, Failure> {
        self.tell_belief();
        self.guarded.tell(&Order::Start(self.environment()));
        let mut look = tokio::time::interval((self.hold / 40).clamp(LOOK_MIN, LOOK_MAX));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lost = self.guard.lost();
        let ended = told::ended(self.session.clone(), self.guard.grant().clone());
        tokio::pin!(lost, ended);
        let mut is_lost = false;
        loop {
            tokio::select! {
                biased;
                news = self.guarded.next() => match news {
                    Some(News::Gone) => return self.end().await,
                    Some(news) => self.take(news).await,
                    None => return self.take_over().await,
                },
                Lost { why, .. } = &mut lost, if !is_lost => {
                    is_lost = true;
                    self.lost(why);
                }
                why = &mut ended, if !is_lost => {
                    is_lost = true;
                    self.lost(why);
                }
                came = self.signals.next() => {
                    // The terminal has sent it to the command already.
                    if !came.from_terminal {
                        self.guarded.tell(&Order::Signal(came.signal as i32));
                    }
                }
                _ = look.tick() => {
                    self.tell_belief();
                    self.ask_health().await;
                    if self.noted.is_some_and(|noted| self.session.now() >= noted.backup_at()) {
                        return self.take_over().await;
                    }
                }
            }
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let grant = self.guard.grant();
        let told = [
            ("TENURE_TOKEN", grant.token().to_string()),
            ("TENURE_LEASE", grant.name().to_owned()),
            ("TENURE_NAMESPACE", grant.namespace().to_owned()),
            ("TENURE_HOLDER", self.holder.clone()),
            // What `tenure` was told by a flag, the command's own `tenure` would not find.
            ("TENURE_ENDPOINTS", self.args.reach.endpoints()),
        ];
        // A path that is not UTF-8 is left to what the command inherits.
        let paths = self.args.reach.trust.environment();
        let paths = paths.filter_map(|(name, path)| Some((name, path.to_str()?.to_owned())));
        told.into_iter().chain(paths).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Tells the guardian until when the lease is held, where that is news and the command shall go on.
    fn tell_belief(&mut self) {
        let Some(safe_until) = self.guard.safe_until() else { return };
        let belief = Belief { safe_until, hold: self.hold };
        if self.is_ending() || self.told == Some(belief) {
            return;
        }
        // Without the clock there is no holder's time either: the session's belief is over, and says so.
        if let Ok(remaining) = Remaining::of(belief, || self.session.now()) {
            self.guarded.tell(&Order::Held(remaining));
            self.told = Some(belief);
            self.noted.get_or_insert(belief);
        }
    }

    fn is_ending(&self) -> bool {
        self.why.is_some() || self.own.is_some()
    }

    async fn take(&mut self, news: News) {
        match news {
            News::Ready | News::Gone => {}
            News::Noted => self.noted = self.told,
            News::Ending => self.because(Why::NotExtended),
            News::Exited(code) => {
                if self.why.is_none() {
                    self.own = Some(code);
                }
            }
            News::Probed(true) => self.health.asked = None,
            News::Probed(false) => self.unwell("failed").await,
        }
    }

    fn because(&mut self, why: Why) {
        if !self.is_ending() {
            self.why = Some(why);
        }
    }

    /// Another may hold it already, so that there is no time to ask.
    fn lost(&mut self, why: LostWhy) {
        // A session that was closed on purpose has lost nothing.
        if matches!(self.why, Some(Why::Unwell(_))) {
            return;
        }
        self.guarded.tell(&Order::Kill);
        if self.own.is_none() {
            self.why = Some(Why::Lost(why));
        }
    }

    async fn ask_health(&mut self) {
        if self.is_ending() {
            return;
        }
        let now = self.session.now();
        match self.health.due(now) {
            Due::Nothing => {}
            Due::Ask(script) => self.guarded.tell(&Order::Probe(script)),
            Due::TooLong => self.unwell("took longer than its period").await,
        }
    }

    /// The extends stop at once; the lease stays until the command is gone.
    async fn unwell(&mut self, how: &str) {
        if self.is_ending() {
            return;
        }
        let script = self.args.health.as_deref().unwrap_or_default();
        self.because(Why::Unwell(format!("the health command {} {how}", quoted(script))));
        self.guarded.tell(&Order::End);
        self.session.clone().close().await;
    }

    /// Does the guardian's work in its place.
    async fn take_over(mut self) -> Result<Exit, Failure> {
        let now = || self.session.now();
        let safe_until = self.noted.map_or(Instant::ZERO, |noted| noted.safe_until);
        // Too late already where everything was stopped, this process too: that is no fault of the guardian's.
        let why = if now() >= safe_until { Why::NotExtended } else { Why::Unguarded };
        let until = safe_until.max(now().after(KILL_TAKES));
        let left = self.guarded.kill_all(now, until);
        match left {
            Ok(left) if left.is_empty() => {
                self.because(why);
                self.end().await
            }
            Ok(left) => self.leave(&format!("these processes cannot be ended: {left:?}")).await,
            Err(error) => self.leave(&format!("/proc cannot be read: {error}")).await,
        }
    }

    /// Something may go on: the lease is not released, and ends at its ttl.
    async fn leave(self, what: &str) -> Result<Exit, Failure> {
        self.session.clone().close().await;
        Err(stuck(what))
    }

    /// Nothing is left of the command: releases the lease, where it is there to be released.
    async fn end(self) -> Result<Exit, Failure> {
        let name = quoted(&self.args.name);
        let why = match (self.why, self.guard.ending()) {
            // What the cluster has said of it by now is the truer reason.
            (Some(Why::NotExtended), Some(ending)) => Some(Why::Lost(ending)),
            (why, _) => why,
        };
        let grant = self.guard.grant();
        let released = match &why {
            Some(Why::Unwell(_)) => release_anew(self.args, &self.session, &self.guard).await,
            Some(Why::Lost(LostWhy::Ended(_))) => Ok(()),
            _ if grant.is_over() => Ok(()),
            // Later than that there is nothing to release.
            _ => {
                let session = self.session.with_deadline(grant.remaining().min(RELEASE_MAX));
                session.release(grant).await.into_result().map_err(Failure::from)
            }
        };
        if let Err(failure) = released {
            say(format!("{name} was not released, and is free at the end of its ttl: {}", failure.message));
        }
        match (why, self.own) {
            (Some(why), _) => Err(ended(&name, &why)),
            (None, Some(code)) => Ok(Exit::Command(code)),
            (None, None) => Err(ended(&name, &Why::Unguarded)),
        }
    }
}

/// The session was closed to stop the extends, so the release goes through another.
async fn release_anew(args: &Run, session: &Session, guard: &Guard) -> Result<(), Failure> {
    let release = api::Release {
        namespace: guard.grant().namespace().to_owned(),
        name: guard.grant().name().to_owned(),
        token: guard.token(),
        instance: Some(session.instance()),
        deadline_ms: None,
    };
    let another = args.reach.connect().await?;
    another.call(api::Call::Release(release), RELEASE_MAX).await?;
    Ok(())
}

fn ended(name: &str, why: &Why) -> Failure {
    let (exit, code, why) = match why {
        Why::Lost(why) => (exit_of(why), "lost", format!("{name} is lost: {}", how(why))),
        Why::NotExtended => {
            let why = "no extend was answered in time, or this process was stopped";
            (Exit::Unavailable, "lost", format!("{name} could not be kept: {why}"))
        }
        Why::Unwell(why) => (Exit::Unavailable, "unwell", format!("{name} is given up: {why}")),
        Why::Unguarded => (
            Exit::Unavailable,
            "unguarded",
            format!("{name} is given up: its guardian process ended or was stopped"),
        ),
    };
    Failure { exit, code: code.to_owned(), message: format!("{why}; the command was ended"), problem: None }
}

/// How it was lost. A release that is not our own is another's, who needs no instance: an operator's or an app-admin's.
fn how(why: &LostWhy) -> String {
    match why.end().map(|end| end.why.as_str()) {
        Some("released") => "released by another's hand".to_owned(),
        _ => why.to_string(),
    }
}

fn stuck(what: &str) -> Failure {
    let message = format!(
        "{what}; only the token protects the resource from them now, and the lease is free at the end of its ttl"
    );
    Failure { code: "stuck".to_owned(), ..Failure::unavailable(message) }
}

/// Whether somebody took it away, or time did.
fn exit_of(why: &LostWhy) -> Exit {
    match why {
        LostWhy::Expired => Exit::Unavailable,
        LostWhy::Ended(_) if why.end().is_some_and(|end| end.why == "expired") => Exit::Unavailable,
        _ => Exit::Refused,
    }
}

fn ttl(length: Duration) -> api::rules::Ttl {
    api::rules::Ttl::from_millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}

/// When to ask for the command's health.
struct Health {
    script: Option<String>,
    every: Duration,
    next: Instant,
    asked: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Ask(String),
    TooLong,
}

impl Health {
    fn new(args: &Run, now: Instant) -> Health {
        let every = args.health_every.unwrap_or(args.ttl / 3);
        Health { script: args.health.clone(), every, next: now.after(every), asked: None }
    }

    fn due(&mut self, now: Instant) -> Due {
        match (&self.script, self.asked) {
            (Some(script), None) if now >= self.next => {
                (self.asked, self.next) = (Some(now), now.after(self.every));
                Due::Ask(script.clone())
            }
            (_, Some(asked)) if now >= asked.after(self.every) => Due::TooLong,
            _ => Due::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_asked_for_once_a_period_and_must_answer_within_it() {
        let at = Instant::from_millis;
        let every = Duration::from_millis(100);
        let mut health = Health { script: Some("true".into()), every, next: at(100), asked: None };
        assert_eq!(health.due(at(99)), Due::Nothing);
        assert_eq!(health.due(at(100)), Due::Ask("true".into()));
        assert_eq!(health.due(at(150)), Due::Nothing);
        health.asked = None;
        assert_eq!(health.due(at(199)), Due::Nothing);
        assert_eq!(health.due(at(201)), Due::Ask("true".into()));
        assert_eq!(health.due(at(301)), Due::TooLong);
    }

    #[test]
    fn what_was_taken_away_is_refused_and_what_ran_out_was_unavailable() {
        let end = |why: &str| {
            let end = api::End {
                token: 1,
                holder: "h".into(),
                why: why.into(),
                reason: None,
                ago_ms: 1,
                remained_ms: 1,
            };
            let problem = api::Problem::new(api::Code::Lost, "gone");
            LostWhy::Ended(api::Problem { end: Some(Box::new(end)), ..problem })
        };
        assert_eq!(exit_of(&LostWhy::Expired), Exit::Unavailable);
        assert_eq!(exit_of(&end("expired")), Exit::Unavailable);
        assert_eq!(exit_of(&end("revoked")), Exit::Refused);
        assert_eq!(exit_of(&LostWhy::Revoked { reason: None }), Exit::Refused);
        assert_eq!(exit_of(&LostWhy::Replaced { by: 7 }), Exit::Refused);
    }
}
