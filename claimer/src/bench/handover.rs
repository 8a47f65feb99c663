//! How long it takes from a release to the grant of the next one in line, and until that one may believe.
//!
//! ```text
//!     holder   ──release──▶ server ──granted, unconfirmed──▶ first in line ──extend──▶ server ──confirmed──▶ it
//!              t0                                             t1                                              t2
//!     release_to_grant = t1 - t0         release_to_confirmed = t2 - t0
//! ```
//!
//! What is measured: t0 is read right before the release is handed to the holder's session, t1 once the waiter's session has
//! given the grant to whoever waits for it. So both ways through the client crate, the sockets, the server's synced log and
//! one thread that both sessions share are in it. The session confirms by itself only what is of its own instance; here each
//! waiter has an instance of its own, so that t1 is the receipt of the grant, and the confirmation is the bench's.
//!
//! The holder goes back in line after each handover, so that as many wait each time; nothing else happens meanwhile.
//!
//! It is checked that each release wakes exactly one waiter, that what it is granted came by waiting and not by a free
//! lease, and that tokens rise.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use api::{Call, Reply};
use client::{Failure, Session};
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::reach::Reach;
use super::{At, Place, Report, Times, broken};
use crate::RunError;

/// Waiters of one session.
const SESSION_WAITERS: usize = 100;
/// The first handovers are not counted: they are of a node and of sessions that have done nothing yet.
const WARM_UP: u32 = 20;
/// Between two handovers, so that a node is idle at each.
const PAUSE: Duration = Duration::from_millis(5);
/// How long a node is left alone once the line is formed. Only the figures need it.
const IDLE_AGAIN: Duration = Duration::from_secs(1);
/// No handover takes longer, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a session goes on with a call that names no other time.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// As long as a run can last.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const TTL_MS: u64 = 60_000;

/// What to measure.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Handover {
    /// How many wait in line at each release.
    pub waiters: usize,
    /// How many handovers.
    pub runs: u32,
    /// How many members there are, where they are its own.
    pub members: u64,
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.waiters == 1 { "" } else { "s" };
        write!(f, "{} releases with {} waiter{s} in line", self.runs, self.waiters)
    }
}

/// Measures where it is told to, or at a node of its own.
///
/// # Errors
/// Where what was measured is not right, or could not be measured.
pub fn measure(handover: Handover, at: &At, program: &Path) -> Result<Report<Handover>, RunError> {
    let place = Place::find(at, program, handover.members)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (grant, confirmed) = runtime.block_on(async {
        let mut line = Line::form(handover, &place.reach).await?;
        let times = line.measure(handover).await?;
        line.disperse().await?;
        Ok::<_, RunError>(times)
    })?;
    let figures = [("release_to_grant_ms", &grant), ("release_to_confirmed_ms", &confirmed)];
    let figures = figures.into_iter().map(|(name, times)| (name, times.figure())).collect();
    Ok(Report {
        bench: "handover",
        run: handover,
        setting: place.setting(),
        results: BTreeMap::from([("tenure", figures)]),
        ratio: None,
        checked: vec![
            format!("each of {} releases woke exactly one waiter", handover.runs + WARM_UP),
            "each grant came by waiting".to_owned(),
            "tokens rose".to_owned(),
        ],
    })
}

/// One who waits, holds, and waits again.
#[derive(Clone)]
struct Member {
    session: Session,
    instance: u64,
}

/// What a waiter was told.
struct Woken {
    number: usize,
    at: Instant,
    answer: Result<Reply, Failure>,
}

struct Line {
    lease: String,
    sessions: Vec<Session>,
    members: Vec<Member>,
    /// Who holds the lease, and under which token.
    holder: (usize, u64),
    seqs: u64,
    tell: UnboundedSender<Woken>,
    woken: UnboundedReceiver<Woken>,
    /// What waits for each member's turn, by its number.
    waiting: BTreeMap<usize, AbortHandle>,
}

impl Line {
    /// One holds, and all others wait in line.
    async fn form(handover: Handover, reach: &Reach) -> Result<Line, RunError> {
        let count = handover.waiters + 1;
        let mut sessions: Vec<Session> = Vec::new();
        // Whoever releases and whoever is granted are never the same session, with one waiter.
        for first in 0..count.div_ceil(SESSION_WAITERS).max(2) {
            sessions.push(reach.session(first, CALL_WITHIN).await?);
        }
        let member = |number: usize| {
            let session = sessions[number % sessions.len()].clone();
            Member { session, instance: instance_of(number) }
        };
        let members: Vec<Member> = (0..count).map(member).collect();
        let (tell, woken) = unbounded_channel();
        let lease = format!("bench/handover/{}", sessions[0].instance());
        let mut line =
            Line { lease, sessions, members, holder: (0, 0), seqs: 0, tell, woken, waiting: BTreeMap::new() };
        line.queue(0);
        let Woken { answer, .. } = line.next_woken().await?;
        line.holder.1 = granted(answer)?.token;
        for number in 1..count {
            line.queue(number);
        }
        line.settle().await?;
        Ok(line)
    }

    async fn measure(&mut self, handover: Handover) -> Result<(Times, Times), RunError> {
        let (mut grant, mut confirmed) = (Times::new()?, Times::new()?);
        for run in 0..handover.runs + WARM_UP {
            tokio::time::sleep(PAUSE).await;
            let (granted_after, confirmed_after) = self.hand_over().await?;
            if run >= WARM_UP {
                grant.record(granted_after);
                confirmed.record(confirmed_after);
            }
        }
        Ok((grant, confirmed))
    }

    /// From one release to the grant, and to when it may be believed.
    async fn hand_over(&mut self) -> Result<(Duration, Duration), RunError> {
        let (holder, token) = self.holder;
        let Member { session, instance } = self.members[holder].clone();
        let release = Call::Release(api::Release {
            namespace: api::NAMESPACE_DEFAULT.to_owned(),
            name: self.lease.clone(),
            token,
            instance: Some(instance),
            deadline_ms: None,
        });
        let released_at = Instant::now();
        let (released, woken) = tokio::join!(session.call(release, PATIENCE), self.next_woken());
        if !matches!(released, Ok(Reply::Released(_))) {
            return Err(RunError::Broken(format!("a release was answered {released:?}")));
        }
        let Woken { number, at, answer } = woken?;
        let grant = granted(answer)?;
        if grant.confirmed {
            return Err(RunError::Broken(format!("token {} did not come by waiting", grant.token)));
        }
        if grant.token <= token {
            return Err(RunError::Broken(format!("token {} came after token {token}", grant.token)));
        }
        self.confirm(number, grant.token).await?;
        let confirmed_after = released_at.elapsed();
        self.holder = (number, grant.token);
        // Behind all others, and known to be there before the next release.
        self.queue(holder);
        self.see(holder).await?;
        match self.woken.try_recv() {
            Ok(Woken { answer, .. }) => {
                Err(RunError::Broken(format!("one release woke two waiters: the other was told {answer:?}")))
            }
            Err(_) => Ok((at - released_at, confirmed_after)),
        }
    }

    async fn confirm(&self, number: usize, token: u64) -> Result<(), RunError> {
        let Member { session, instance } = &self.members[number];
        let extend = Call::Extend(api::Extend {
            namespace: api::NAMESPACE_DEFAULT.to_owned(),
            name: self.lease.clone(),
            token,
            instance: Some(*instance),
            ttl_ms: Some(TTL_MS),
            deadline_ms: None,
        });
        let grant = granted(session.call(extend, PATIENCE).await)?;
        if grant.confirmed { Ok(()) } else { Err(RunError::Broken("an extend confirmed nothing".to_owned())) }
    }

    /// Has a member wait in line; [`Line::next_woken`] tells of its turn.
    fn queue(&mut self, number: usize) {
        self.seqs += 1;
        let Member { session, instance } = self.members[number].clone();
        let acquire = Call::Acquire(api::Acquire {
            namespace: api::NAMESPACE_DEFAULT.to_owned(),
            name: self.lease.clone(),
            holder: format!("waiter/{number}"),
            instance: Some(instance),
            seq: Some(self.seqs),
            ttl_ms: Some(TTL_MS),
            value: None,
            timeout_ms: None,
        });
        let tell = self.tell.clone();
        let task = tokio::spawn(async move {
            let answer = session.call(acquire, DAY).await;
            // Read where the answer comes out, before anything else is done with it.
            let at = Instant::now();
            let _ = tell.send(Woken { number, at, answer });
        });
        self.waiting.insert(number, task.abort_handle());
    }

    /// What a member's session sent before this is known to the cluster after it.
    async fn see(&self, number: usize) -> Result<(), RunError> {
        // A spawned acquire is sent once its task had its turn.
        tokio::task::yield_now().await;
        let session = &self.members[number].session;
        session.get(api::NAMESPACE_DEFAULT, &self.lease).await.into_result().map_err(broken)?;
        Ok(())
    }

    /// Everybody is in line: each session's read was sent behind its acquires, and is answered from a state that has them. Then the
    /// node is left alone until it is idle again.
    async fn settle(&self) -> Result<(), RunError> {
        for number in 0..self.sessions.len() {
            self.see(number).await?;
        }
        tokio::time::sleep(IDLE_AGAIN).await;
        Ok(())
    }

    async fn next_woken(&mut self) -> Result<Woken, RunError> {
        match timeout(PATIENCE, self.woken.recv()).await {
            Ok(Some(woken)) => Ok(woken),
            _ => Err(RunError::Broken(format!("nobody was granted the lease within {PATIENCE:?}"))),
        }
    }

    /// Leaves nothing behind at a node that is not ours: the line first, or the lease would go on from one to the next. A session
    /// that is closed is missed only a little later, and could be granted the lease until then; so each gives its places up, and
    /// a read behind that tells when the cluster knows.
    async fn disperse(self) -> Result<(), RunError> {
        self.waiting.values().for_each(AbortHandle::abort);
        // Each gives its wait up as it ends, and only what is asked behind that is answered behind it.
        while !self.waiting.values().all(AbortHandle::is_finished) {
            tokio::task::yield_now().await;
        }
        for number in 0..self.sessions.len() {
            self.see(number).await?;
        }
        let (holder, token) = self.holder;
        let Member { session, instance } = self.members[holder].clone();
        let release = Call::Release(api::Release {
            namespace: api::NAMESPACE_DEFAULT.to_owned(),
            name: self.lease,
            token,
            instance: Some(instance),
            deadline_ms: None,
        });
        let released = session.call(release, PATIENCE).await;
        for session in self.sessions {
            session.close().await;
        }
        match released {
            Ok(Reply::Released(_)) => Ok(()),
            other => Err(RunError::Broken(format!("the last release was answered {other:?}"))),
        }
    }
}

// Any number but zero, which is nobody's, and another one for each.
fn instance_of(number: usize) -> u64 {
    number as u64 + 1
}

fn granted(answer: Result<Reply, Failure>) -> Result<api::Grant, RunError> {
    match answer {
        Ok(Reply::Granted(grant)) => Ok(grant),
        other => Err(RunError::Broken(format!("instead of a grant came {other:?}"))),
    }
}
