//! What must hold whatever happens: a file a promise. Each takes in what concerns it and says in a sentence what is broken.

mod answers;
mod as_model;
mod caused;
mod clock_forward;
mod dead_waiter;
mod ends_once;
mod ledger;
mod loses_nothing;
mod never_early;
mod not_after;
mod not_forgotten;
mod on_time;
mod one_believer;
mod one_leader;
mod replicas_agree;
mod served;
mod ticket_order;
mod tokens_rise;

use lease::{Applied, Batch, Command, Outcome, Request, Table, Token};

pub(crate) use answers::Answers;
pub(crate) use as_model::AsModel;
pub(crate) use clock_forward::ClockForward;
pub(crate) use ends_once::EndsOnce;
pub(crate) use ledger::Ledger;
pub(crate) use loses_nothing::LosesNothing;
pub(crate) use never_early::NeverEarly;
pub(crate) use not_forgotten::same_bytes;
pub(crate) use on_time::OnTime;
pub(crate) use one_believer::{Believed, OneBeliever};
pub(crate) use one_leader::OneLeader;
pub(crate) use replicas_agree::ReplicasAgree;
pub(crate) use served::{BOUND as SERVED_WITHIN, Served, Who};
pub(crate) use ticket_order::TicketOrder;

/// Whether a promise was kept, or how it was broken.
pub(crate) type Kept = Result<(), String>;

/// An entry as it is committed.
pub(crate) struct Committed<'a> {
    pub(crate) at: u64,
    /// The term of its entry.
    pub(crate) term: u64,
    /// The member that proposed it.
    pub(crate) by: usize,
    pub(crate) batch: &'a Batch,
    pub(crate) applied: &'a Applied,
    /// After it.
    pub(crate) table: &'a Table,
    /// How long the cluster has been in trouble so far.
    pub(crate) trouble: u64,
}

impl Committed<'_> {
    /// Its commands, each with what came of it.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (&Request, &Outcome)> {
        self.batch.requests.iter().zip(&self.applied.outcomes)
    }

    /// The grants that its claims and extends gave or moved.
    pub(crate) fn moved(&self) -> impl Iterator<Item = Token> {
        self.outcomes().filter_map(|(request, outcome)| match (&request.command, outcome) {
            (
                Command::Extend { .. } | Command::Claim(_),
                Outcome::Extended(granted) | Outcome::Granted(granted),
            ) => Some(granted.token),
            _ => None,
        })
    }
}

#[derive(Default)]
pub(crate) struct Invariants {
    pub(crate) ledger: Ledger,
    pub(crate) one_believer: OneBeliever,
    pub(crate) never_early: NeverEarly,
    pub(crate) on_time: OnTime,
    pub(crate) tokens_rise: tokens_rise::TokensRise,
    pub(crate) ends_once: EndsOnce,
    pub(crate) ticket_order: TicketOrder,
    pub(crate) served: Served,
    pub(crate) loses_nothing: LosesNothing,
    /// A clock runs at a rate outside rho: nothing is said of who believes, and of when a grant ends.
    pub(crate) strays: bool,
}

impl Invariants {
    /// Looks at a committed entry.
    pub(crate) fn committed(&mut self, entry: &Committed<'_>) -> Result<(), (&'static str, String)> {
        let named = |name: &'static str| move |what: String| (name, what);
        not_after::committed(entry).map_err(named("no command takes effect after its not_after"))?;
        self.tokens_rise.committed(entry).map_err(named("tokens rise"))?;
        caused::committed(&mut self.ledger, entry)
            .map_err(named("every end has a cause that named its token"))?;
        let judged = |kept: Kept| if self.strays { Ok(()) } else { kept };
        judged(self.never_early.committed(&self.ledger, entry)).map_err(named("never early"))?;
        judged(self.on_time.committed(entry)).map_err(named("late within the bound"))?;
        self.loses_nothing.committed(entry).map_err(named("who had more than 1 s left loses nothing"))?;
        self.ledger.committed(entry);
        dead_waiter::committed(&self.ledger, entry)
            .map_err(named("no dead waiter holds past its confirmation"))
    }

    /// Looks at a key, and whom it keeps waiting while it is free, in line and by waits: since when is not known.
    pub(crate) fn look(
        &mut self,
        key: usize,
        waits: [bool; 2],
        now: u64,
        calm_since: u64,
    ) -> [(&'static str, Kept); 2] {
        let [in_line, waiting] = waits.map(|waits| waits.then_some(0));
        let served = &mut self.served;
        [
            (
                "no claimable key with a live waiter stays free",
                served.look(key, Who::InLine, in_line, now, calm_since, served::BOUND),
            ),
            ("every wait ends", served.look(key, Who::Waiting, waiting, now, calm_since, served::BOUND)),
        ]
    }
}
