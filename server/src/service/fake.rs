//! A stand-in for the replica: it answers at once from a real table, or is mute, and keeps what it was asked.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lease::{Batch, Command, Key, Request, Revision, Table, Time, Ttl};
use replica::{
    Age, Answer, FrozenState, MemberChange, MemberView, Proposal, Pulled, Read, Reading, ReplyFn, Status,
    Unchanged, Unwatchable, Waited, Wake, Watched,
};

use super::backend::Changed;
use super::{Backend, Ticket};

/// A replica for tests.
pub(crate) struct Fake(Mutex<State>);

struct State {
    table: Table,
    now: Time,
    mute: bool,
    /// What a mute replica keeps to itself.
    proposals: Vec<Proposal>,
    reads: Vec<Read>,
    waits: Vec<(u64, Key, ReplyFn<Waited>)>,
    cancelled: Vec<u64>,
    tickets: u64,
    next: Option<Answer>,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake(Mutex::new(State {
            table: Table::new(0),
            now: Time::from_nanos(1_000_000_000),
            mute: false,
            proposals: Vec::new(),
            reads: Vec::new(),
            waits: Vec::new(),
            cancelled: Vec::new(),
            tickets: 0,
            next: None,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it answers nothing.
    pub(crate) fn fall_silent(&self) {
        self.state().mute = true;
    }

    /// Its next answer to a proposal, whatever that is.
    pub(crate) fn answer_next(&self, answer: Answer) {
        self.state().next = Some(answer);
    }

    /// Its lease clock goes on.
    pub(crate) fn pass(&self, ttl: Ttl) {
        let mut state = self.state();
        state.now = state.now.after(ttl);
    }

    /// What it was asked and did not answer.
    pub(crate) fn kept(&self) -> Vec<Proposal> {
        std::mem::take(&mut self.state().proposals)
    }

    /// The waits that it was told to give up.
    pub(crate) fn cancelled(&self) -> Vec<u64> {
        self.state().cancelled.clone()
    }

    fn answer(state: &mut State, proposal: &Proposal) -> Answer {
        if let Some(answer) = state.next.take() {
            return answer;
        }
        let mut command = proposal.command.clone();
        // As the leader does.
        if let Command::Extend { token, ttl } = &mut command
            && *ttl == Ttl::ZERO
        {
            *ttl = state.table.grant(*token).map_or(lease::TTL_DEFAULT, |(_, grant)| grant.ttl);
        }
        let request = Request { not_after: None, command };
        let batch = Batch { term: 1, stamp: state.now, sweep: 10, requests: vec![request] };
        let outcome = state.table.apply(1, &batch).outcomes.pop().unwrap();
        Answer::Decided { outcome, at: reading(&state.table) }
    }
}

fn reading(table: &Table) -> Reading {
    Reading { revision: table.revision(), now: table.now() }
}

impl Backend for Fake {
    fn propose(&self, proposal: Proposal) {
        let answer = {
            let mut state = self.state();
            if state.mute {
                return state.proposals.push(proposal);
            }
            Fake::answer(&mut state, &proposal)
        };
        (proposal.reply)(answer);
        let freed: Vec<_> = {
            let mut state = self.state();
            let waits = std::mem::take(&mut state.waits);
            let (free, held) = waits.into_iter().partition(|(_, key, _)| state.table.is_free(key));
            state.waits = held;
            let at = reading(&state.table);
            free.into_iter().map(|(_, _, reply)| (reply, at)).collect()
        };
        for (reply, at) in freed {
            reply(Waited::Free(at));
        }
    }

    fn propose_all(&self, proposals: Vec<Proposal>) {
        for proposal in proposals {
            self.propose(proposal);
        }
    }

    fn read(&self, read: Read) {
        let mut state = self.state();
        match state.mute {
            true => state.reads.push(read),
            false => (read.reply)(Ok((&state.table, reading(&state.table)))),
        }
    }

    fn look(&self, look: &mut dyn FnMut(&Table, Reading)) {
        let state = self.state();
        look(&state.table, reading(&state.table));
    }

    fn wait(&self, key: Key, after: Option<Revision>, reply: ReplyFn<Waited>) -> Ticket {
        let mut state = self.state();
        state.tickets += 1;
        let ticket = state.tickets;
        let at = reading(&state.table);
        let ahead = after.filter(|after| *after > at.revision);
        let waited = match ahead {
            _ if state.mute => None,
            Some(after) => Some(Waited::Ahead { after, newest: at.revision }),
            None => state.table.is_free(&key).then_some(Waited::Free(at)),
        };
        match waited {
            Some(waited) => {
                drop(state);
                reply(waited);
            }
            None => state.waits.push((ticket, key, reply)),
        }
        Ticket::Fake(ticket)
    }

    fn acquire(&self, claim: lease::Claim, reply: ReplyFn<Answer>) -> Ticket {
        let proposal = Proposal {
            command: Command::Claim(claim),
            named: None,
            heir: replica::HeirMust::Wait,
            deadline: lease::DEADLINE_DEFAULT,
            reply,
        };
        self.propose(proposal);
        Ticket::Fake(0)
    }

    fn give_up(&self, _: Ticket) {}

    fn leave(&self, ticket: Ticket) {
        self.cancel(ticket);
    }

    // It has no events: a watch begins, and sees nothing.
    fn watch(
        &self,
        _: Watched,
        _: Option<Revision>,
        _: Wake,
        reply: ReplyFn<Result<Revision, Unwatchable>>,
    ) -> Ticket {
        let revision = self.state().table.revision();
        reply(Ok(revision));
        Ticket::Fake(0)
    }

    fn pull(&self, _: Ticket, _: usize) -> Result<Pulled, Unwatchable> {
        Ok(Pulled::default())
    }

    fn unwatch(&self, _: Ticket) {}

    fn cancel(&self, ticket: Ticket) -> bool {
        let Ticket::Fake(ticket) = ticket else { return false };
        let mut state = self.state();
        let before = state.waits.len();
        state.waits.retain(|(waiting, ..)| *waiting != ticket);
        let was_waiting = state.waits.len() < before;
        if was_waiting {
            state.cancelled.push(ticket);
        }
        was_waiting
    }

    fn change_members(&self, _: MemberChange, _: Ttl, reply: ReplyFn<Changed>) {
        reply(Err(Unchanged::NoLeader));
    }

    fn age(&self) -> Age {
        Age { member: 2, heard_ago: Some(Ttl::from_millis(40)) }
    }

    fn members(&self) -> Vec<MemberView> {
        let address = "m2:7401".to_owned();
        let (lacks, heard_ago) = (None, None);
        vec![MemberView { id: 2, address, is_voter: true, leads: false, drains: false, lacks, heard_ago }]
    }

    fn removed(&self) -> Vec<u64> {
        Vec::new()
    }

    fn freeze(&self) -> FrozenState {
        FrozenState::of(&self.state().table)
    }

    fn status(&self) -> Status {
        let state = self.state();
        Status { member: 1, leader: Some(1), serving: !state.mute, ..Status::default() }
    }

    fn is_pressed(&self) -> bool {
        false
    }

    fn turns_claims_away(&self) -> Option<Ttl> {
        None
    }
}
