//! What readers see: single leases, lists in key order, counts, history.
//!
//! A read shows what the table holds. A grant that is over but not yet swept is still shown as held, with
//! nothing remaining, and its key is not free: it becomes so in the batch that ends it, and whoever waits is
//! told then.

use std::ops::Bound::{Excluded, Included, Unbounded};

use crate::record::Lease;
use crate::space::Space;
use crate::{
    End, Entity, Holder, Instance, Key, Name, Namespace, Reason, Revision, Seq, Settings, Table, Time, Token,
    Ttl, Value, Why,
};

/// A lease as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Which key.
    pub key: Key,
    /// The grant, where it is held.
    pub grant: Option<GrantView>,
    /// Until when only one holder may claim it, where it expired lately.
    pub cooldown: Option<CooldownView>,
    /// Who pins it, in order, and why.
    pub pins: Vec<(Entity, Reason)>,
    /// Its last end, where history still knows.
    pub last_end: Option<End>,
}

/// A living grant as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantView {
    /// Who holds it.
    pub holder: Holder,
    /// Which life of that holder. No reply or list shows it.
    pub instance: Instance,
    /// The number of the claim that made it.
    pub seq: Seq,
    /// Its token.
    pub token: Token,
    /// The ttl that its deadline came from.
    pub ttl: Ttl,
    /// When it ends.
    pub deadline: Time,
    /// Whether its holder has confirmed it.
    pub confirmed: bool,
    /// The operator's reason, where it is ending.
    pub ending: Option<Reason>,
    /// Who is granted the lease then, where it is ending and a revoke named one.
    pub heir: Option<Holder>,
    /// What its readers see.
    pub value: Option<Value>,
}

/// A cooldown, or a key that nobody may claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CooldownView {
    /// Until when.
    pub until: Time,
    /// Who may claim; none where nobody may.
    pub admitted: Option<Holder>,
    /// How the grant before it ended.
    pub why: Why,
}

/// Whose a grant is or was. A token never changes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantOf<'a> {
    /// The namespace of its key.
    pub namespace: &'a Namespace,
    /// The name of its key.
    pub name: &'a str,
    /// Which life of its holder.
    pub instance: Instance,
}

impl GrantOf<'_> {
    /// Whether it is or was one of `key`.
    pub fn is_of(&self, key: &Key) -> bool {
        self.name == key.name.as_str() && *self.namespace == key.namespace
    }
}

/// Which leases to list or count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only in this namespace.
    pub namespace: Option<Namespace>,
    /// Only names that start so.
    pub prefix: Option<String>,
    /// Only held by this holder.
    pub holder: Option<Holder>,
}

impl Table {
    /// The lease clock: the highest stamp applied.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The number of events so far.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The token that the next grant will have.
    pub fn next_token(&self) -> Token {
        self.next_token
    }

    /// The token of the newest grant; none where none was made in this epoch.
    pub fn newest_token(&self) -> Option<Token> {
        let newest = self.next_token.as_u64().saturating_sub(1);
        // The counter of an epoch starts at 1.
        (newest as u32 != 0).then(|| Token::from_u64(newest))
    }

    /// How many keys nobody may claim, because of a restore. Walks over the whole table.
    pub fn unclaimable(&self) -> u64 {
        self.slab.iter().filter(|(_, lease)| lease.is_unclaimable()).count() as u64
    }

    /// The settings' version, the cluster's version, and each namespace's settings that are not the defaults.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether anything needs time to pass: a grant (pinned ones too), a cooldown or an unclaimable key.
    pub fn needs_ticks(&self) -> bool {
        self.held + self.cooling > 0
    }

    /// The lease of `key`, if the table or its history knows of it.
    pub fn get(&self, key: &Key) -> Option<LeaseView> {
        let slot = self.slot(key)?;
        Some(self.slab.get(slot)?.view(&key.namespace))
    }

    /// Whether a claim on `key` by anyone could be granted now: neither held nor cooling down. A grant that is
    /// over but not swept is still held here; it is free from the batch on that ends it.
    pub fn is_free(&self, key: &Key) -> bool {
        self.slot(key).and_then(|slot| self.slab.get(slot)).is_none_or(Lease::is_free)
    }

    /// The living grant of `token`.
    pub fn grant(&self, token: Token) -> Option<(Key, GrantView)> {
        let (slot, _) = self.tokens.get(token)?;
        let lease = self.slab.get(slot)?;
        let grant = lease.grant_view().filter(|grant| grant.token == token)?;
        Some((self.spaces.get(lease.space).key(lease), grant))
    }

    /// Whose the grant of `token` is or was, as long as history knows.
    pub fn whose(&self, token: Token) -> Option<GrantOf<'_>> {
        let (slot, _) = self.tokens.get(token)?;
        let lease = self.slab.get(slot)?;
        let instance = match &lease.grant {
            Some(grant) if grant.token == token => grant.instance,
            _ => self.end_of(lease, token)?.instance,
        };
        Some(GrantOf { namespace: &self.spaces.get(lease.space).namespace, name: lease.name(), instance })
    }

    /// At most `limit` leases that match, in key order, after `after`. Free names are listed only where they
    /// are pinned or cooling down. With a holder given, it may walk over every lease to find `limit` of them.
    pub fn list(&self, filter: &Filter, after: Option<&Key>, limit: usize) -> Vec<LeaseView> {
        let first = filter.namespace.as_ref().max(after.map(|key| &key.namespace));
        let spaces = self.spaces.range(first).take_while(|space| is_wanted(space, filter));
        let leases = spaces.flat_map(|space| {
            let after = after.filter(|key| key.namespace == space.namespace);
            self.matching(space, filter, after).map(|lease| lease.view(&space.namespace))
        });
        leases.take(limit).collect()
    }

    /// How many leases are held that match.
    pub fn count(&self, filter: &Filter) -> u64 {
        let spaces =
            self.spaces.range(filter.namespace.as_ref()).take_while(|space| is_wanted(space, filter));
        let held = |space: &Space| match (&filter.prefix, &filter.holder) {
            (None, None) => space.held,
            _ => self.matching(space, filter, None).filter(|lease| lease.grant.is_some()).count() as u64,
        };
        spaces.map(held).sum()
    }

    /// The newest `limit` ends of `namespace`, the newest first; of one name only, where given. The last end of
    /// a key in use is there also when the namespace's history has rolled past it, if its name is given.
    pub fn history(&self, namespace: &Namespace, name: Option<&Name>, limit: usize) -> Vec<(Key, End)> {
        let Some(space) = self.spaces.find(namespace) else { return Vec::new() };
        let of = |lease: &Lease, end: &End| (space.key(lease), end.clone());
        let mut slot = None;
        if let Some(name) = name {
            let Some(found) = space.names.get(name.as_str(), &self.slab) else { return Vec::new() };
            slot = Some(found);
        }
        let wanted = space.history.iter().rev().filter(|item| slot.is_none_or(|slot| slot == item.slot));
        let mut ends: Vec<_> = wanted.take(limit).map(|item| of(self.lease(item.slot), &item.end)).collect();
        if let (true, Some(lease)) = (ends.is_empty() && limit > 0, slot.and_then(|slot| self.slab.get(slot)))
        {
            ends.extend(lease.last_end().map(|end| of(lease, end)));
        }
        ends
    }

    /// The namespace's leases that match, in order, after `after`.
    fn matching<'a>(
        &'a self,
        space: &'a Space,
        filter: &'a Filter,
        after: Option<&'a Key>,
    ) -> impl Iterator<Item = &'a Lease> {
        let prefix = filter.prefix.as_deref().unwrap_or("");
        let after = after.map(|key| key.name.as_str()).filter(|after| *after >= prefix);
        let start = after.map_or(if prefix.is_empty() { Unbounded } else { Included(prefix) }, Excluded);
        let leases = space.names.from(start, &self.slab).filter_map(|slot| self.slab.get(slot));
        let named = leases.take_while(move |lease| lease.name().starts_with(prefix));
        named.filter(|lease| lease.counts() && is_held_by(lease, filter.holder.as_ref()))
    }
}

fn is_wanted(space: &Space, filter: &Filter) -> bool {
    filter.namespace.as_ref().is_none_or(|namespace| *namespace == space.namespace)
}

fn is_held_by(lease: &Lease, holder: Option<&Holder>) -> bool {
    let Some(holder) = holder else { return true };
    lease.grant.is_some() && lease.holder() == holder.as_str()
}
