//! From a text frame to calls under way.

use std::sync::Arc;
use std::time::Instant;

use api::{Call, Cancel, ClientFrame, Code, Problem, Push, Reply, ServerFrame, Step, Wait};

use super::outbox::{Kind, Outbox};
use crate::doors::json;
use crate::service::{Done, Service, is_command, patience};

/// Reads a text frame and begins its call. What is to be answered at once comes back; the rest comes through `outbox`.
/// `due` is moved forward to when this call's answer is due, where that is earlier.
pub(super) fn begin(
    service: &Arc<Service>,
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
        Call::Wait(wait) => begin_wait(service, outbox, id, &wait, now),
        call => begin_call(service, outbox, id, call, now),
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
    outbox: &Arc<Outbox>,
    id: u64,
    call: Call,
    now: Instant,
) -> Result<Option<Instant>, Problem> {
    let kind = match &call {
        Call::Bulk(steps) => Kind::Command { steps: countable(steps) },
        call if is_command(call) => Kind::Command { steps: 1 },
        _ => Kind::Read,
    };
    let due = now + patience(&call);
    let ticket = outbox.begin(id, kind, Some(due))?;
    service.submit(call, sink(outbox, id, ticket));
    Ok(Some(due))
}

/// A bulk call that is too long is refused for that, by the service, and not for the session's quota.
fn countable(steps: &[Step]) -> usize {
    steps.len().min(lease::FRAME_OPERATIONS_MAX)
}

fn begin_wait(
    service: &Arc<Service>,
    outbox: &Arc<Outbox>,
    id: u64,
    wait: &Wait,
    now: Instant,
) -> Result<Option<Instant>, Problem> {
    let ticket = outbox.begin(id, Kind::Wait, None)?;
    match service.wait(wait, sink(outbox, id, ticket)) {
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

fn give_up(outbox: &Outbox, cancel: Cancel) -> Reply {
    match outbox.cancel(cancel.id) {
        Some(waiting) => {
            if let Some(waiting) = waiting {
                waiting.cancel();
            }
            Reply::Cancelled
        }
        None => {
            let message =
                format!("there is no wait {} on this session: it was answered, or never begun", cancel.id);
            Reply::Error(Problem::new(Code::NotFound, message).in_field("call.cancel.id"))
        }
    }
}
