//! Many steps in one frame: proposed together, answered together, an outcome a step, in order.

use std::sync::{Arc, Mutex, PoisonError};

use api::{Code, Problem, Step};
use lease::FRAME_OPERATIONS_MAX;

use super::{Done, Service, prepare, rights, word};
use crate::identity::{self, Caller, Came, Scope};

/// Begins every step of a bulk call. A step that is wrong by itself is answered by itself; the others go on.
pub(super) fn begin<S: FnOnce(Done) + Send + 'static>(
    service: &Service,
    caller: &Arc<Caller>,
    steps: Vec<Step>,
    sink: S,
) {
    if steps.len() > FRAME_OPERATIONS_MAX {
        let message = format!(
            "the bulk call has {} steps, and the limit is {FRAME_OPERATIONS_MAX}: send it in parts",
            steps.len()
        );
        return sink(Done::refused(Problem::new(Code::TooLarge, message).in_field("call.bulk")));
    }
    if steps.is_empty() {
        return sink(Done::Bulk(Vec::new()));
    }
    // A frame of claims alone is turned away whole: where there is too much to do, to word each of them would be most of it.
    if let Some(after) = service.backend.turns_claims_away()
        && steps.iter().all(|step| matches!(step, Step::Claim(_)))
    {
        // One line for all of them.
        let note = service.doorkeeper.note(caller, identity::Verb::Claim, Scope::Namespace(None));
        let note = note.map(|note| note.about(format_args!("a bulk call of {} claims", steps.len())));
        note.into_iter().for_each(|note| note.outcome(Came::Refused(Code::Overloaded.as_str()), None));
        return sink(Done::refused(word::overloaded(after, rand::random())));
    }
    let gather = Arc::new(Gather::new(steps.len(), sink));
    let only = caller.only();
    let mut proposals = Vec::with_capacity(steps.len());
    for (index, step) in steps.into_iter().enumerate() {
        let gather = Arc::clone(&gather);
        let leave = match rights::permit_step(service, caller, &step) {
            Ok(leave) => leave,
            Err(problem) => {
                gather.put(index, Done::refused(problem));
                continue;
            }
        };
        let put = rights::noting(leave, move |done| gather.put(index, done));
        match prepare::step(step) {
            Ok((asked, draft)) => {
                let asked = asked.seen_by(caller);
                proposals.push(draft.only_for(only.clone()).answered(asked, put));
            }
            Err(problem) => put(Done::refused(problem)),
        }
    }
    service.backend.propose_all(proposals);
}

/// The deadline that a step names.
pub(super) fn deadline_ms(step: &Step) -> Option<u64> {
    match step {
        Step::Claim(claim) => claim.deadline_ms,
        Step::Extend(extend) => extend.deadline_ms,
        Step::Release(release) => release.deadline_ms,
    }
}

/// The outcomes that have come so far. Whoever brings the last one tells the sink.
struct Gather<S>(Mutex<Gathered<S>>);

struct Gathered<S> {
    outcomes: Vec<Option<Done>>,
    left: usize,
    sink: Option<S>,
}

impl<S: FnOnce(Done)> Gather<S> {
    fn new(steps: usize, sink: S) -> Gather<S> {
        let outcomes = std::iter::repeat_with(|| None).take(steps).collect();
        Gather(Mutex::new(Gathered { outcomes, left: steps, sink: Some(sink) }))
    }

    fn put(&self, index: usize, done: Done) {
        let finished = self.0.lock().unwrap_or_else(PoisonError::into_inner).put(index, done);
        // Outside the lock: the sink takes the session's own.
        if let Some((sink, outcomes)) = finished {
            sink(Done::Bulk(outcomes));
        }
    }
}

impl<S> Gathered<S> {
    fn put(&mut self, index: usize, done: Done) -> Option<(S, Vec<Done>)> {
        let before = self.outcomes.get_mut(index)?.replace(done);
        debug_assert!(before.is_none(), "step {index} was answered twice");
        self.left -= usize::from(before.is_none());
        if self.left > 0 {
            return None;
        }
        let outcomes = std::mem::take(&mut self.outcomes).into_iter().flatten().collect();
        Some((self.sink.take()?, outcomes))
    }
}
