//! What must hold in every table: checked whole in tests and simulation, in passing everywhere else.
//!
//! Invariants:
//! * A name has one record, and a record one name; a name has at most one holder.
//! * Every living grant is found by its token, and every token found is a living grant's or a kept end's.
//! * No token was issued twice or not yet; no end and no event lies ahead of the lease clock.
//! * What can end by itself is in the index of deadlines, no later than it ends.
//! * The counts are those of the records.

use std::collections::BTreeSet;

use crate::record::{Lease, Slot};
use crate::tokens::Trace;
use crate::{PINS_MAX, Table};

/// The table is not what the rules make of it. A member that met this must not guess: it stops.
#[cold]
#[track_caller]
pub(crate) fn broken(what: &str) -> ! {
    panic!("the lease table is broken: {what}")
}

/// `Err` with the words where the condition does not hold.
macro_rules! holds {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

impl Table {
    /// Checks every invariant of the whole table, at the cost of several walks over it.
    ///
    /// # Errors
    /// What is broken, in words.
    pub fn check(&self) -> Result<(), String> {
        for (slot, lease) in self.slab.iter() {
            self.check_lease(slot, lease)?;
        }
        self.check_tokens()?;
        self.check_spaces()?;
        let records = self.slab.iter().count();
        let named: usize = self.spaces.iter().map(|(_, space)| space.names.len()).sum();
        holds!(records == named, "{records} records have {named} names");
        let bound = 2 * records + 64 * (1 + records);
        holds!(
            self.deadlines.len() <= bound,
            "the index has {} entries for {records} records",
            self.deadlines.len()
        );
        Ok(())
    }

    fn check_lease(&self, slot: Slot, lease: &Lease) -> Result<(), String> {
        let space = self.spaces.get(lease.space);
        let key = space.key(lease);
        holds!(space.names.get(lease.name(), &self.slab) == Some(slot), "{key} is not where its name says");
        holds!(lease.grant.is_none() || lease.cooldown().is_none(), "{key} is held and cools down");
        holds!(lease.grant.is_some() || lease.revoked().is_none(), "{key} is free and ending");
        holds!(lease.grant.is_some() || lease.value().is_none(), "{key} is free and has a value");
        holds!(lease.grant.is_some() || !lease.confirmed, "{key} is free and confirmed");
        holds!(lease.pins().len() <= PINS_MAX, "{key} has {} pins", lease.pins().len());
        holds!(lease.pins().is_sorted_by(|a, b| a.0 < b.0), "{key} has its pins in no order");
        if let Some(grant) = &lease.grant {
            holds!(grant.token < self.next_token, "{key}: token {} was never minted", grant.token);
            let found = self.tokens.get(grant.token);
            holds!(found == Some((slot, Trace::Lives)), "{key}: token {} leads elsewhere", grant.token);
        }
        if let Some(due) = lease.due() {
            holds!(self.deadlines.meets(slot, due), "{key} will not be met at {}", due.at);
        }
        if let Some(end) = lease.last_end() {
            holds!(end.at <= self.now, "{key} ended at {}, after now", end.at);
            let found =
                self.tokens.get(end.token).filter(|(at, trace)| *at == slot && *trace != Trace::Lives);
            holds!(found.is_some(), "{key}: its last end, of token {}, is not found", end.token);
            holds!(lease.grant.as_ref().is_none_or(|grant| grant.token > end.token), "{key}: tokens fall");
        }
        let remembered = lease.last_end().and_then(|end| self.tokens.get(end.token));
        let in_history = matches!(remembered, Some((_, Trace::InHistory)));
        holds!(lease.counts() || in_history, "{key} is kept for nothing");
        Ok(())
    }

    fn check_tokens(&self) -> Result<(), String> {
        for (token, slot, trace) in self.tokens.iter() {
            let Some(lease) = self.slab.get(slot) else { return Err(format!("token {token} leads nowhere")) };
            let lives = lease.grant.as_ref().is_some_and(|grant| grant.token == token);
            let is_last = lease.last_end().is_some_and(|end| end.token == token);
            let in_history = self.spaces.get(lease.space).history.find(token).is_some();
            let right = match trace {
                Trace::Lives => lives,
                Trace::InHistory => in_history && !lives,
                Trace::LastEnd => is_last && !in_history && !lives,
            };
            holds!(right, "token {token} is not what its trace says: {trace:?}");
        }
        Ok(())
    }

    fn check_spaces(&self) -> Result<(), String> {
        let (mut held, mut cooling) = (0, 0);
        for (id, space) in self.spaces.iter() {
            let leases = || space.names.slots().filter_map(|slot| self.slab.get(slot));
            let name = &space.namespace;
            holds!(leases().is_sorted_by(|a, b| a.name() < b.name()), "{name} has its names in no order");
            let its_own = leases().all(|lease| lease.space == id);
            holds!(its_own, "{name} has another's record");
            holds!(space.settings == self.settings.of(name), "{name} goes by other settings");
            let holding = leases().filter(|lease| lease.grant.is_some()).count() as u64;
            holds!(space.held == holding, "{name} has {holding} held, and counts {}", space.held);
            let counted = leases().filter(|lease| lease.counts()).count() as u64;
            holds!(space.leases == counted, "{name} has {counted} leases, and counts {}", space.leases);
            let most = space.settings.history_max as usize;
            holds!(space.history.len() <= most, "{name} keeps more than {most} ends");
            let tokens: BTreeSet<_> = space.history.iter().map(|item| item.end.token).collect();
            holds!(tokens.len() == space.history.len(), "{name} has a token's end twice");
            held += space.held;
            cooling += leases().filter(|lease| lease.cooldown().is_some()).count() as u64;
        }
        holds!(held == self.held, "{held} are held, and {} counted", self.held);
        holds!(cooling == self.cooling, "{cooling} cool down, and {} are counted", self.cooling);
        Ok(())
    }
}
