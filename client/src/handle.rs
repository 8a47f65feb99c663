//! The session in its caller's hands: async calls in, outcomes out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::machine::{Ask, Done, OpId};
use crate::mailbox::{Letter, Mailbox};
use crate::task::Task;
use crate::{
    Claim, Clock, Endpoint, Failure, Grant, HolderClock, Instant, LostWhy, Options, Outcome, Step, Stepped,
    Unavailable, Unknown,
};

/// Many leases and many calls in flight on one connection. Clones are the same session; when the last is dropped, its
/// connection closes and its grants end at their ttl.
#[derive(Clone)]
pub struct Session {
    pub(crate) shared: Arc<Shared>,
    pub(crate) deadline: Duration,
}

pub(crate) struct Shared {
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) instance: u64,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

impl Session {
    /// Opens a session at the first endpoint that answers, tried in order.
    ///
    /// # Errors
    /// [`Unavailable::Unreachable`] names every endpoint with its own cause, once all have failed or the options'
    /// deadline has passed.
    pub async fn connect(options: Options) -> Result<Session, Failure> {
        let session = Session::open(options)?;
        session.ask(Ask::Ready, Some(session.deadline)).await?;
        Ok(session)
    }

    /// Starts a session without waiting until it has reached a member: calls wait for that, up to their deadline.
    ///
    /// # Errors
    /// There is no endpoint, or no clock to hold leases by.
    pub fn open(options: Options) -> Result<Session, Failure> {
        let clock: Arc<dyn Clock> = match options.clock.clone() {
            Some(clock) => clock,
            None => Arc::new(HolderClock::start().map_err(|error| no_clock(&error))?),
        };
        if options.endpoints.is_empty() {
            return Err(Failure::Unavailable(Unavailable::Unreachable(Vec::new())));
        }
        let mailbox = Arc::new(Mailbox::default());
        let instance = instance();
        let deadline = options.deadline;
        tokio::spawn(Task::new(options, instance, rand::random(), clock.clone(), mailbox.clone()));
        Ok(Session { shared: Arc::new(Shared { mailbox, clock, instance }), deadline })
    }

    /// The same session, whose calls wait for their answer for so long.
    pub fn with_deadline(&self, deadline: Duration) -> Session {
        Session { shared: self.shared.clone(), deadline }
    }

    /// Which life of its holders this session is: a random number, never zero.
    pub fn instance(&self) -> u64 {
        self.shared.instance
    }

    /// What the session's clock reads: the one that [`Grant::safe_until`] is in.
    pub fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Takes a free lease. Where an attempt is not answered, it is repeated through another endpoint, within the
    /// deadline; a grant that comes after the caller stopped waiting is released.
    pub async fn claim(&self, claim: Claim) -> Outcome<Grant> {
        self.grant(api::Call::Claim(claim.into_call()), Some(self.deadline), None).await.into()
    }

    /// Moves the grant's deadline to at least `ttl` from now.
    pub async fn extend(&self, grant: &Grant, ttl: Duration) -> Outcome<Grant> {
        let call = api::Call::Extend(grant.extend_call(self.shared.instance, ttl));
        self.grant(call, Some(self.deadline), Some(grant.cell.clone())).await.into()
    }

    /// Ends the grant. Belief in it ends at this call, for good, whatever is answered.
    pub async fn release(&self, grant: &Grant) -> Outcome<()> {
        grant.cell.end(LostWhy::Released);
        let call = api::Call::Release(grant.release_call(self.shared.instance));
        self.ask(Ask::Call(call), Some(self.deadline)).await.map(|_| ()).into()
    }

    /// Has the session extend the grant by itself, at its present ttl, for as long as the session lives or until it is
    /// released, lost or no longer held: a grant that came back by an extend after that is kept only where this is called again.
    pub fn keep(&self, grant: &Grant) {
        let (namespace, name) = (grant.namespace().to_owned(), grant.name().to_owned());
        self.shared.mailbox.post(Letter::Keep { namespace, name, token: grant.token() });
    }

    /// Does many steps in one frame, up to 10,000 and 1 MiB: an outcome each, in order. A lease may stand in it once.
    ///
    /// # Errors
    /// What kept the whole frame from being done. Steps that may have been done are then all unknown.
    pub async fn bulk(&self, steps: Vec<Step>) -> Result<Vec<Outcome<Stepped>>, Failure> {
        let cells: Vec<_> = steps.iter().map(Step::cell).collect();
        let steps = steps.into_iter().map(|step| step.into_call(self.shared.instance)).collect();
        let done = self.ask(Ask::Call(api::Call::Bulk(steps)), Some(self.deadline)).await?;
        let Done::Bulk(parts) = done else { return Err(unexpected()) };
        Ok(parts
            .into_iter()
            .zip(cells)
            .map(|(part, cell)| part.and_then(|done| self.stepped(done, cell)).into())
            .collect())
    }

    /// Makes any call but a watch. A claim or acquire without an instance gets this session's, and its grant is then believed as any other;
    /// an extend or release without one is an operator's or an app-admin's. An acquire waits no longer than `deadline`.
    ///
    /// # Errors
    /// Refused, unavailable or unknown, as the outcomes of the other calls.
    pub async fn call(&self, call: api::Call, deadline: Duration) -> Result<api::Reply, Failure> {
        if matches!(call, api::Call::Watch(_)) {
            let message = "a watch has more than one answer: use Session::watch";
            return Err(Failure::Refused(api::Problem::new(api::Code::BadRequest, message)));
        }
        Ok(match self.ask(Ask::Call(call), Some(deadline)).await? {
            Done::Reply(reply) => reply,
            Done::Granted { grant, .. } => api::Reply::Granted(grant),
            Done::Bulk(parts) => api::Reply::Bulk(parts.into_iter().map(part_reply).collect()),
            Done::Ready => return Err(unexpected()),
        })
    }

    /// Says goodbye to the member and ends the session, grants unreleased: calls in flight end as unavailable or
    /// unknown.
    pub async fn close(self) {
        let (done, closed) = oneshot::channel();
        self.shared.mailbox.post(Letter::Close { done });
        let _ = closed.await;
    }

    pub(crate) async fn grant(
        &self,
        call: api::Call,
        within: Option<Duration>,
        cell: Option<Arc<Cell>>,
    ) -> Result<Grant, Failure> {
        let done = self.ask(Ask::Call(call), within).await?;
        match self.stepped(done, cell)? {
            Stepped::Granted(grant) => Ok(grant),
            Stepped::Released => Err(unexpected()),
        }
    }

    fn stepped(&self, done: Done, cell: Option<Arc<Cell>>) -> Result<Stepped, Failure> {
        match done {
            Done::Granted { grant, safe_until } => {
                let cell = cell.or_else(|| self.shared.mailbox.cell(grant.token)).unwrap_or_else(Cell::ended);
                cell.hold(safe_until);
                Ok(Stepped::Granted(Grant::new(grant, cell, self.shared.clock.clone())))
            }
            Done::Reply(api::Reply::Released(_)) => Ok(Stepped::Released),
            _ => Err(unexpected()),
        }
    }

    pub(crate) async fn reply(
        &self,
        call: api::Call,
        within: Option<Duration>,
    ) -> Result<api::Reply, Failure> {
        match self.ask(Ask::Call(call), within).await? {
            Done::Reply(reply) => Ok(reply),
            _ => Err(unexpected()),
        }
    }

    pub(crate) async fn ask(&self, ask: Ask, within: Option<Duration>) -> Result<Done, Failure> {
        let ends = within.map(|within| self.shared.clock.now().after(within));
        let (answer, answered) = oneshot::channel();
        let op = self.shared.mailbox.next_op();
        let mut waiting = Waiting { mailbox: &self.shared.mailbox, op, answered, is_read: false };
        let has_effect = matches!(&ask, Ask::Call(call) if call.has_effect());
        let posted = self.shared.mailbox.post(Letter::Ask { op, ask, ends, answer });
        let result = (&mut waiting.answered).await;
        waiting.is_read = true;
        match result {
            Ok(result) => result,
            // The session's task died with the call in its hands, as when its runtime was shut down: it may have left.
            Err(_) if posted && has_effect => Err(Failure::Unknown(Unknown { unanswered: 1, last: None })),
            Err(_) => Err(Failure::Unavailable(Unavailable::Closed)),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session(instance {})", self.shared.instance)
    }
}

/// The server ends what waits; this much later a client takes it for silent.
pub(crate) const WAIT_SLACK: Duration = Duration::from_secs(2);

// A caller may drop its call, in a select or a timeout: the session must then not keep what the call wins.
struct Waiting<'a> {
    mailbox: &'a Mailbox,
    op: OpId,
    answered: oneshot::Receiver<Result<Done, Failure>>,
    is_read: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.is_read {
            return;
        }
        self.answered.close();
        match self.answered.try_recv() {
            Ok(result) => disown(self.mailbox, result),
            Err(_) => {
                self.mailbox.post(Letter::Abandon { op: self.op });
            }
        }
    }
}

/// Has the session release what an answer that nobody will read has granted.
pub(crate) fn disown(mailbox: &Mailbox, result: Result<Done, Failure>) {
    match result {
        Ok(Done::Granted { grant: api::Grant { namespace, name, token, .. }, .. }) => {
            mailbox.post(Letter::Disown { namespace, name, token });
        }
        Ok(Done::Bulk(parts)) => parts.into_iter().for_each(|part| disown(mailbox, part)),
        _ => {}
    }
}

// Zero means a forced grant's instance to the cluster.
fn instance() -> u64 {
    loop {
        let instance = rand::random();
        if instance != 0 {
            return instance;
        }
    }
}

pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn no_clock(error: &std::io::Error) -> Failure {
    Failure::Unavailable(Unavailable::NoClock { cause: error.to_string() })
}

// The machine checks that each reply fits its call, so this is never seen; it is no reason to panic in a caller.
pub(crate) fn unexpected() -> Failure {
    Failure::Unknown(Unknown { unanswered: 1, last: None })
}

// Bulk by raw call: each step's failure goes back into the words of the wire.
fn part_reply(part: Result<Done, Failure>) -> api::Reply {
    let unknown = |text: String| api::Reply::Error(api::Problem::new(api::Code::Unknown, text));
    match part {
        Ok(Done::Granted { grant, .. }) => api::Reply::Granted(grant),
        Ok(Done::Reply(reply)) => reply,
        Ok(Done::Ready | Done::Bulk(_)) => unknown("an answer that fits no step".to_owned()),
        Err(Failure::Refused(problem) | Failure::Unavailable(Unavailable::Answered(problem))) => {
            api::Reply::Error(problem)
        }
        // To the cluster this session holds the lease until its release is done.
        Err(Failure::Unavailable(cause @ Unavailable::LetGo { token })) => api::Reply::Error(api::Problem {
            token: Some(token),
            by_you: Some(true),
            ..api::Problem::new(api::Code::Held, cause.to_string())
        }),
        // The other causes end the whole call, and never one of its steps.
        Err(Failure::Unavailable(cause)) => unknown(cause.to_string()),
        Err(Failure::Unknown(doubt)) => unknown(doubt.to_string()),
    }
}

/// Endpoints as a list for messages.
pub(crate) fn listed(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_whose_lease_is_under_a_token_let_go_is_told_that_it_is_held() {
        let reply = part_reply(Err(Failure::Unavailable(Unavailable::LetGo { token: 7 })));
        let api::Reply::Error(problem) = reply else { panic!("{reply:?}") };
        assert_eq!((problem.code, problem.token, problem.by_you), (api::Code::Held, Some(7), Some(true)));
        assert!(problem.message.contains("token 7"), "{problem}");
    }

    #[test]
    fn a_missing_clock_is_this_machines_and_no_members() {
        let failure = no_clock(&std::io::Error::from_raw_os_error(22));
        assert!(matches!(&failure, Failure::Unavailable(Unavailable::NoClock { .. })), "{failure:?}");
        assert!(failure.to_string().contains("CLOCK_BOOTTIME"), "{failure}");
    }
}
