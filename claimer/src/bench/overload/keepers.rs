//! Those who hold leases, on a thread of their own: each lease is extended when its grant's field says, whatever else happens.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::{Claim, Failure, Grant, Session, Step};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::Overload;
use crate::RunError;
use crate::bench::granted::granted;
use crate::bench::reach::Reach;
use crate::bench::{broken, on_one_thread};

/// Steps of one frame, as the leases are claimed.
const FRAME_STEPS: usize = 1_000;
/// How long claiming may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The keepers at work.
pub(super) struct Keepers {
    thread: JoinHandle<Result<Kept, RunError>>,
    stop: watch::Sender<bool>,
}

/// An extend that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extended {
    pub(super) due: Instant,
    /// From then on.
    pub(super) took: Duration,
}

/// What they saw.
#[derive(Default)]
pub(super) struct Kept {
    /// What their leases' names start with.
    pub(super) prefix: String,
    pub(super) extends: Vec<Extended>,
    /// Leases that were refused as another's, or not answered for before their holder had to give them up.
    pub(super) lost: u64,
    /// Extends that were not done.
    pub(super) errors: u64,
    pub(super) why: Option<String>,
    /// Which they believe to hold, each under its token.
    pub(super) believes: Vec<(String, u64)>,
}

impl Keepers {
    /// Claims all leases, and begins to extend them.
    pub(super) fn gather(reach: &Reach, overload: Overload, prefix: String) -> Result<Keepers, RunError> {
        let reach = reach.clone();
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = mpsc::channel();
        let thread = std::thread::spawn(move || on_one_thread(keep(reach, overload, prefix, ready, stopped)));
        match is_ready.recv() {
            Ok(()) => Ok(Keepers { thread, stop }),
            Err(_) => Err(Keepers { thread, stop }
                .stop()
                .err()
                .unwrap_or_else(|| broken("the keepers ended before their time"))),
        }
    }

    /// Has them stop, and tell.
    pub(super) fn stop(self) -> Result<Kept, RunError> {
        let _ = self.stop.send(true);
        self.thread.join().map_err(|_| broken("the keepers' thread panicked"))?
    }
}

async fn keep(
    reach: Reach,
    overload: Overload,
    prefix: String,
    ready: mpsc::Sender<()>,
    mut stop: watch::Receiver<bool>,
) -> Result<Kept, RunError> {
    let ttl = Duration::from_secs(overload.ttl_s);
    let kept = Rc::new(RefCell::new(Kept { prefix: prefix.clone(), ..Kept::default() }));
    let (mut loops, mut sessions) = (JoinSet::new(), Vec::new());
    for number in 0..overload.holders {
        let session = reach.session(number, PATIENCE).await?;
        let names =
            (number..overload.leases).step_by(overload.holders).map(|lease| format!("{prefix}{lease}"));
        let extends = session.with_deadline(ttl);
        for grant in claim_all(&session, names.collect(), ttl).await? {
            loops.spawn_local(extend(extends.clone(), grant, ttl, Rc::clone(&kept), stop.clone()));
        }
        sessions.push(session);
    }
    let _ = ready.send(());
    // Whoever would tell it to stop may be gone.
    let _ = stop.wait_for(|stop| *stop).await;
    // Each ends between two extends: a session releases what an extend wins whose caller has gone.
    while loops.join_next().await.is_some() {}
    // The leases are still to be looked at: only what these sessions hold ends with them, at its ttl.
    drop(sessions);
    Ok(kept.take())
}

async fn claim_all(session: &Session, names: Vec<String>, ttl: Duration) -> Result<Vec<Grant>, RunError> {
    let mut grants = Vec::new();
    for names in names.chunks(FRAME_STEPS) {
        let claims = names.iter().map(|name| Claim { ttl, ..Claim::new(name.clone(), "keeper") });
        grants.extend(granted(session, claims.map(Step::Claim).collect()).await?);
    }
    Ok(grants)
}

/// Extends one lease for ever. Its rhythm is what it is told, from when each extend was due and not from when it was answered.
async fn extend(
    session: Session,
    mut grant: Grant,
    ttl: Duration,
    kept: Rc<RefCell<Kept>>,
    mut stop: watch::Receiver<bool>,
) {
    let believes = (grant.name().to_owned(), grant.token());
    kept.borrow_mut().believes.push(believes);
    let mut due = Instant::now() + grant.extend_after();
    while timeout_at(due.into(), stop.wait_for(|stop| *stop)).await.is_err() {
        let answer = session.extend(&grant, ttl).await.into_result();
        let took = due.elapsed();
        let mut kept = kept.borrow_mut();
        match answer {
            Ok(extended) if extended.token() == grant.token() && extended.name() == grant.name() => {
                kept.extends.push(Extended { due, took });
                grant = extended;
            }
            Ok(extended) => kept.note(format!("{grant:?} was extended, and the answer was for {extended:?}")),
            Err(failure @ Failure::Refused(_)) => {
                kept.lost += 1;
                return kept.note(format!("lost: {failure}"));
            }
            Err(failure) => {
                kept.lost += u64::from(!grant.is_held());
                kept.note(failure.to_string());
            }
        }
        due += grant.extend_after();
    }
}

impl Kept {
    fn note(&mut self, why: String) {
        self.errors += 1;
        self.why.get_or_insert(why);
    }
}
