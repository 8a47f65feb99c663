//! Claims and waits, as every facade makes them: checked by the secretary, asked of the service, and answered in Juju's words.

use std::sync::Arc;
use std::time::Duration;

use api::{Code, Problem, Reply, Wait};
use lease::Ttl;
use tokio::sync::oneshot;

use super::errors::Error;
use super::line::{Known, Line};
use super::secretary::Space;
use crate::doors::http::asked;
use crate::service::{ByName, Done, Waiting, unanswered};

/// How often it is asked anew where what this member saw was old.
const TRIES: usize = 3;

/// Why a claim was not granted.
pub(super) enum Unclaimed {
    /// Another holds it. Each facade has its own words for that.
    Denied,
    /// Something else.
    Failed(Error),
}

/// Claims a lease for a holder, or extends it where that holder has it, for at least `ttl` from now.
pub(super) async fn claim(
    line: &Line,
    known: &Known,
    space: Space,
    name: &str,
    holder: &str,
    ttl: Duration,
) -> Result<(), Unclaimed> {
    space.check_claim(line.uuids(), name, holder, ttl).map_err(Unclaimed::Failed)?;
    let namespace = line.namespace(space).ok_or_else(|| Unclaimed::Failed(Error::permission_denied()))?;
    // Juju's words have no time that it may count on: it believes for all that it asked for, by a clock of its own rate.
    let asked_for = Ttl::from_nanos(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
    let ttl_ms = lease::surely_around(asked_for).as_nanos().div_ceil(1_000_000);
    let claim = ByName { namespace, name: name.to_owned(), holder: holder.to_owned(), ttl_ms };
    for attempt in 0..TRIES {
        // Only behind a barrier is it seen what has overtaken the try before.
        if attempt > 0 && !barrier(line).await {
            break;
        }
        let call = line.service.by_name(&known.caller, &claim);
        match asked(&line.service, &known.caller, call).await {
            Reply::Error(problem) if is_overtaken(&problem) => {}
            Reply::Error(problem) => return Err(unclaimed(&problem)),
            Reply::Granted(_) => return Ok(()),
            _ => break,
        }
    }
    // All of them mean that nothing was done.
    Err(Unclaimed::Failed(Error::timed_out()))
}

/// Whether what this member saw of the lease was not so any more at the leader.
fn is_overtaken(problem: &Problem) -> bool {
    matches!(problem.code, Code::Lost | Code::StaleToken | Code::NotYours | Code::Late)
}

fn unclaimed(problem: &Problem) -> Unclaimed {
    match problem.code {
        Code::Held | Code::Cooldown | Code::Queued | Code::Ending => Unclaimed::Denied,
        _ => Unclaimed::Failed(Error::of(problem)),
    }
}

async fn barrier(line: &Line) -> bool {
    let (sender, passed) = oneshot::channel();
    line.service.barrier(move |passed| _ = sender.send(passed.is_ok()));
    matches!(passed.await, Ok(true))
}

/// Waits until nobody holds a lease. Dropped, it waits no more: so it ends with its connection.
pub(super) async fn wait(line: &Line, known: &Known, space: Space, lease: &str) -> Result<(), Error> {
    space.check_wait(line.uuids(), lease)?;
    let namespace = line.namespace(space).ok_or_else(Error::permission_denied)?;
    let wait = Wait { namespace, name: lease.to_owned(), ..Wait::default() };
    let (sender, freed) = oneshot::channel();
    let (waiting, _) = line
        .service
        .wait(&known.caller, &wait, move |done| drop(sender.send(done)))
        .map_err(|problem| Error::of(&problem))?;
    let _given_up = GivenUp(waiting);
    let done = tokio::select! {
        freed = freed => freed,
        () = line.bell.rings() => return Err(Error::stopped()),
    };
    freed_of(done)
}

fn freed_of(done: Result<Done, oneshot::error::RecvError>) -> Result<(), Error> {
    let reply = match done {
        Ok(done) => done.reply(&mut rand::random),
        Err(_) => Reply::Error(unanswered(false)),
    };
    match reply {
        Reply::Error(problem) => Err(Error::of(&problem)),
        Reply::Free(_) => Ok(()),
        _ => Err(Error::timed_out()),
    }
}

/// A wait that is given up when nobody awaits it any more.
struct GivenUp(Waiting);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What is kept of a connection while a call of it is under way.
pub(super) type Held = (Arc<Line>, Arc<Known>);
