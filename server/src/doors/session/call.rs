//! From a text frame to calls under way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Call, Cancel, ClientFrame, Code, Problem, Push, Reply, ServerFrame, Step, Watch};

use super::outbox::{Kind, Outbox};
use crate::doors::json;
use crate::identity::Caller;
use crate::service::{Done, Service, Waiting, patience};

/// How long a watch waits to begin, before it is answered that it has not.
const WATCH_BEGINS_WITHIN: Duration = Duration::from_millis(5_500);

/// Reads a text frame and begins its call. What is to be answered at once comes back; the rest comes through `outbox`.
/// `due` is moved forward to when this call's answer is due, where that is earlier.
pub(super) fn begin(
    service: &Arc<Service>,
    caller: &Arc<Caller>,
    outbox: &Arc<Outbox>,
    text: &str,
    now: Instant,
    due: &mut Option<Instant>,
) -> Option<ServerFrame> {
    let frame: ClientFrame = match json::read_text(text) {
        Ok(frame) => frame,
        Err(problem) => return Some(unreadable(text, problem)),
    };
    let id = frame.id;
    let begun = match frame.call {
        Call::Hello(hello) => return Some(ServerFrame::reply(id, service.hello(&hello))),
        Call::Cancel(cancel) => return Some(ServerFrame::reply(id, give_up(outbox, cancel))),
        Call::Wait(wait) => outbox.begin(id, Kind::Wait, None).and_then(|ticket| {
            begin_wait(outbox, (id, ticket), now, |sink| service.wait(caller, &wait, sink))
        }),
        Call::Acquire(acquire) => match outbox.begin(id, Kind::Wait, None) {
            Ok(ticket) => {
                begin_wait(outbox, (id, ticket), now, |sink| service.acquire(caller, acquire, sink))
            }
            Err(problem) => {
                service.not_begun(caller, &Call::Acquire(acquire), &problem);
                Err(problem)
            }
        },
        Call::Watch(watch) => begin_watch(service, caller, outbox, id, &watch, now),
        call => begin_call(service, caller, outbox, id, call, now),
    };
    match begun {
        Ok(call_due) => {
            *due = [*due, call_due].into_iter().flatten().min();
            None
        }
        Err(problem) => Some(ServerFrame::reply(id, Reply::Error(problem))),
    }
}

/// A frame that cannot be read has no effect. Where its number can be, the call of that number is answered.
fn unreadable(text: &str, problem: Problem) -> ServerFrame {
    match json::call_id(text) {
        Some(id) => ServerFrame::reply(id, Reply::Error(problem)),
        None => ServerFrame::push(Push::Unreadable(problem)),
    }
}

fn begin_call(
    service: &Arc<Service>,
    caller: &Arc<Caller>,
    outbox: &Arc<Outbox>,
    id: u64,
    call: Call,
    now: Instant,
) -> Result<Option<Instant>, Problem> {
    let kind = match &call {
        Call::Bulk(steps) => Kind::Command { steps: countable(steps) },
        call if call.has_effect() => Kind::Command { steps: 1 },
        _ => Kind::Read,
    };
    let due = now + patience(&call);
    let ticket = outbox.begin(id, kind, Some(due));
    let ticket = ticket.inspect_err(|problem| service.not_begun(caller, &call, problem))?;
    service.submit(caller, call, sink(outbox, id, ticket));
    Ok(Some(due))
}

/// A bulk call that is too long is refused for that, by the service, and not for the session's quota.
fn countable(steps: &[Step]) -> usize {
    steps.len().min(lease::FRAME_OPERATIONS_MAX)
}

type Sink = Box<dyn FnOnce(Done) + Send>;

fn begin_wait(
    outbox: &Arc<Outbox>,
    (id, ticket): (u64, u64),
    now: Instant,
    begin: impl FnOnce(Sink) -> Result<(Waiting, Option<Duration>), Problem>,
) -> Result<Option<Instant>, Problem> {
    match begin(Box::new(sink(outbox, id, ticket))) {
        Ok((waiting, timeout)) => {
            let due = timeout.map(|timeout| now + timeout);
            outbox.attach(id, ticket, waiting, due);
            Ok(due)
        }
        Err(problem) => {
            outbox.cancel(id);
            Err(problem)
        }
    }
}

fn sink(outbox: &Arc<Outbox>, id: u64, ticket: u64) -> impl FnOnce(Done) + Send + 'static {
    let outbox = Arc::clone(outbox);
    move |done| outbox.finish(id, ticket, done)
}

fn begin_watch(
    service: &Arc<Service>,
    caller: &Arc<Caller>,
    outbox: &Arc<Outbox>,
    id: u64,
    watch: &Watch,
    now: Instant,
) -> Result<Option<Instant>, Problem> {
    let due = now + WATCH_BEGINS_WITHIN;
    let ticket = outbox.begin(id, Kind::Watch, Some(due))?;
    let woken = Arc::downgrade(outbox);
    let wake = move || {
        if let Some(outbox) = woken.upgrade() {
            outbox.ready(id);
        }
    };
    match service.watch(caller, watch, Arc::new(wake), sink(outbox, id, ticket)) {
        Ok(watching) => {
            outbox.keep_watch(id, Arc::new(watching));
            Ok(Some(due))
        }
        Err(problem) => {
            outbox.drop_call(id);
            Err(problem)
        }
    }
}

fn give_up(outbox: &Outbox, cancel: Cancel) -> Reply {
    if outbox.end_watch(cancel.id) {
        return Reply::Cancelled;
    }
    match outbox.cancel(cancel.id) {
        Some(waiting) => {
            if let Some(waiting) = waiting {
                waiting.cancel();
            }
            Reply::Cancelled
        }
        None => {
            let message = format!(
                "there is no wait, acquire or watch {} on this session: it was answered, or never begun",
                cancel.id
            );
            Reply::Error(Problem::new(Code::NotFound, message).in_field("call.cancel.id"))
        }
    }
}

#[cfg(test)]
mod tests;
