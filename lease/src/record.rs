//! One lease's record: who holds the key, or why nobody may, and what is remembered of it.
//!
//! ```text
//!              grant                         confirm
//!     free ────────────▶ held, unconfirmed ──────────▶ held, confirmed ◀─┐ extend
//!      ▲ │                 │         │                   │         │     │
//!      │ └─────────────────┼─────────┼───────────────────┼──▶ ·····┴─────┘
//!      │      claim        │ revoke  ▼                   │ revoke
//!      │                   │       ending ◀──────────────┘
//!      │◀──────────────────┴─────────┴── release, deadline ──▶ expired: cooldown ──▶ free
//! ```
//!
//! A record lives as long as its key is held, pinned or cooling down, or its last end is in its
//! namespace's history. Records are held a million at a time: the one struct is kept at 88 bytes, with its texts
//! in one allocation beside it, and whatever most leases lack is behind one pointer.

use std::sync::Arc;

use crate::{
    Claim, CooldownView, End, Entity, GrantView, Heir, Holder, Instance, Key, LeaseView, Name, Namespace,
    Reason, Seq, Time, Token, Ttl, Value, Why,
};

/// Where a record is, within the table.
pub(crate) type Slot = u32;

/// Which namespace, within the table.
pub(crate) type SpaceId = u16;

#[derive(Clone, Debug)]
pub(crate) struct Lease {
    /// The name, and behind it the holder while there is a grant: one allocation for both, which a page that is copied shares.
    texts: Arc<str>,
    /// How many of these bytes are the name's.
    name_bytes: u16,
    pub(crate) space: SpaceId,
    pub(crate) grant: Option<Grant>,
    pub(crate) extras: Option<Box<Extras>>,
    /// Whether the grant is confirmed; false without a grant. It belongs in [`Grant`], where alignment
    /// would make it 8 bytes.
    pub(crate) confirmed: bool,
}

const _: () = assert!(size_of::<Option<Lease>>() == 88, "see the story above");

#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) instance: Instance,
    pub(crate) seq: Seq,
    pub(crate) token: Token,
    /// The ttl that the deadline came from.
    pub(crate) ttl: Ttl,
    pub(crate) deadline: Time,
    /// What remained at the last extend; the whole length before the first.
    pub(crate) remained: Ttl,
}

/// What most leases lack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) value: Option<Value>,
    pub(crate) last_end: Option<Arc<End>>,
    /// In order of the entities.
    pub(crate) pins: Vec<(Entity, Reason)>,
    /// Set while the grant is ending.
    pub(crate) revoked: Option<Box<Revoked>>,
    pub(crate) cooldown: Option<Box<Cooldown>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Revoked {
    pub(crate) why: Reason,
    pub(crate) heir: Option<Heir>,
}

impl Revoked {
    /// The same revoke after an earlier one of the same grant: what it leaves out stays as that said.
    pub(crate) fn after(self, before: Option<&Revoked>) -> Revoked {
        let Some(before) = before else { return self };
        let why = if self.why.as_str().is_empty() { before.why.clone() } else { self.why };
        Revoked { why, heir: self.heir.or_else(|| before.heir.clone()) }
    }

    /// Who is granted the lease when the grant ends.
    pub(crate) fn heirs_holder(&self) -> Option<&Holder> {
        self.heir.as_ref().map(|heir| &heir.holder)
    }
}

/// Why a free key may not be claimed by everyone.
#[derive(Clone, Debug)]
pub(crate) struct Cooldown {
    pub(crate) until: Time,
    /// Nobody, where none.
    pub(crate) admitted: Option<Holder>,
    /// How the grant before it ended.
    pub(crate) why: Why,
    /// The token of that grant: unique, it orders the sweep.
    pub(crate) token: Token,
}

/// When something ends by itself: what the sweep goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Due {
    pub(crate) at: Time,
    pub(crate) token: Token,
}

/// What a record keeps its name and its holder in.
fn texts(name: &str, holder: &str) -> Arc<str> {
    match holder.is_empty() {
        true => name.into(),
        false => [name, holder].concat().into(),
    }
}

impl Lease {
    /// A record of `name` without a grant. Where `holder` is about to get one, its name is written down already: one allocation instead
    /// of two.
    pub(crate) fn new(space: SpaceId, name: &str, holder: Option<&str>) -> Lease {
        let (texts, name_bytes) = (texts(name, holder.unwrap_or_default()), name.len() as u16);
        Lease { texts, name_bytes, space, grant: None, extras: None, confirmed: false }
    }

    pub(crate) fn name(&self) -> &str {
        &self.texts[..usize::from(self.name_bytes)]
    }

    /// Who holds the lease; nobody is empty.
    pub(crate) fn holder(&self) -> &str {
        &self.texts[usize::from(self.name_bytes)..]
    }

    /// Has `holder` hold the lease by `grant`, whether it may believe or not.
    pub(crate) fn hold(&mut self, holder: &str, grant: Grant) {
        self.grant = Some(grant);
        self.set_holder(holder);
    }

    fn set_holder(&mut self, holder: &str) {
        if self.holder() != holder {
            self.texts = texts(self.name(), holder);
        }
    }

    /// Whether the key is held, pinned or cooling down: what limits count.
    pub(crate) fn counts(&self) -> bool {
        self.grant.is_some() || self.cooldown().is_some() || !self.pins().is_empty()
    }

    /// Whether a claim by anyone could be granted.
    pub(crate) fn is_free(&self) -> bool {
        self.grant.is_none() && self.cooldown().is_none()
    }

    /// Whether nobody may claim the key, because somebody may believe in a grant of before a restore.
    pub(crate) fn is_unclaimable(&self) -> bool {
        self.cooldown().is_some_and(|cooldown| cooldown.admitted.is_none())
    }

    /// When the grant or cooldown ends if nothing is done: never for a confirmed grant that is pinned
    /// and not ending.
    pub(crate) fn due(&self) -> Option<Due> {
        let confirmed = self.confirmed;
        #[cfg(planted)]
        let confirmed = confirmed || crate::planted::is(crate::planted::Bug::PinKeepsUnconfirmed);
        match (&self.grant, self.cooldown()) {
            (Some(_), _) if confirmed && !self.pins().is_empty() && self.revoked().is_none() => None,
            (Some(grant), _) => Some(Due { at: grant.deadline, token: grant.token }),
            (None, Some(cooldown)) => Some(Due { at: cooldown.until, token: cooldown.token }),
            (None, None) => None,
        }
    }

    /// Whether the grant or cooldown is over at `now`. A deadline equal to now still stands.
    pub(crate) fn is_over(&self, now: Time) -> bool {
        self.due().is_some_and(|due| due.at < now)
    }

    /// Why a grant that is over ended.
    pub(crate) fn why_over(&self) -> Why {
        match self.revoked() {
            Some(revoked) => Why::Revoked(revoked.why.clone()),
            None if self.confirmed => Why::Expired,
            None => Why::Unconfirmed,
        }
    }

    /// Ends the grant, if there is one: value and revocation go with it, pins stay.
    fn end(&mut self, now: Time, why: Why) -> Option<(Arc<End>, Option<Heir>)> {
        let grant = self.grant.take()?;
        self.confirmed = false;
        let holder = Holder::kept(self.holder());
        self.set_holder("");
        let end = Arc::new(End {
            token: grant.token,
            holder,
            instance: grant.instance,
            seq: grant.seq,
            why,
            at: now,
            remained: grant.remained,
        });
        let extras = self.extras_mut();
        extras.value = None;
        extras.last_end = Some(end.clone());
        let heir = extras.revoked.take().and_then(|revoked| revoked.heir);
        Some((end, heir))
    }

    /// Ends the grant and lets follow what must: the heir's grant under `next`, or a cooldown after an
    /// expiry. Returns the end.
    pub(crate) fn finish(
        &mut self,
        now: Time,
        why: Why,
        heir: Option<Heir>,
        cooldown: Ttl,
        next: Token,
    ) -> Option<Arc<End>> {
        let (end, kept) = self.end(now, why)?;
        match heir.or(kept) {
            Some(heir) => self.grant_heir(now, next, &heir),
            None if end.why == Why::Expired && cooldown > Ttl::ZERO => {
                self.cool_down(now.after(cooldown), &end)
            }
            None => {}
        }
        Some(end)
    }

    /// Ends what is over, as [`Table::settle`](crate::Table) does, without the books: to ask ahead.
    pub(crate) fn settle(&mut self, now: Time, cooldown: Ttl, next: Token) {
        match self.grant.is_some() {
            true => drop(self.finish(now, self.why_over(), None, cooldown, next)),
            false => self.end_cooldown(),
        }
    }

    fn cool_down(&mut self, until: Time, end: &End) {
        let cooldown =
            Cooldown { until, admitted: Some(end.holder.clone()), why: end.why.clone(), token: end.token };
        self.extras_mut().cooldown = Some(Box::new(cooldown));
    }

    /// Grants the key to `claim`'s holder, who asked for it and may believe.
    pub(crate) fn grant_claim(&mut self, now: Time, token: Token, claim: &Claim) {
        self.end_cooldown();
        self.confirmed = true;
        let grant = Grant {
            instance: claim.instance,
            seq: claim.seq,
            token,
            ttl: claim.ttl,
            deadline: now.after(claim.ttl),
            remained: claim.ttl,
        };
        self.hold(claim.holder.as_str(), grant);
        if claim.value.is_some() {
            self.extras_mut().value.clone_from(&claim.value);
        }
    }

    /// Grants the key to `heir`, who does not know yet.
    pub(crate) fn grant_heir(&mut self, now: Time, token: Token, heir: &Heir) {
        self.end_cooldown();
        self.confirmed = false;
        let grant = Grant {
            instance: heir.instance,
            seq: self.seq_of_heir(heir),
            token,
            ttl: heir.ttl,
            deadline: now.after(heir.confirm),
            remained: heir.confirm,
        };
        self.hold(heir.holder.as_str(), grant);
    }

    /// An heir's grant comes of no claim. It keeps the number that the same life of the holder used here
    /// last, or an older claim of its own, still under way, would count as new once this grant has ended.
    fn seq_of_heir(&self, heir: &Heir) -> Seq {
        match self.last_end() {
            Some(end) if end.holder == heir.holder && end.instance == heir.instance => end.seq,
            _ => Seq::default(),
        }
    }

    /// Moves the deadline; never back. Returns whether that confirmed the grant.
    pub(crate) fn extend(&mut self, now: Time, ttl: Ttl) -> bool {
        let Some(grant) = &mut self.grant else { return false };
        grant.remained = now.until(grant.deadline);
        let deadline = now.after(ttl);
        if deadline > grant.deadline {
            grant.deadline = deadline;
            grant.ttl = ttl;
        }
        !std::mem::replace(&mut self.confirmed, true)
    }

    pub(crate) fn forget_revoke(&mut self) {
        if self.revoked().is_some() {
            self.extras_mut().revoked = None;
        }
    }

    pub(crate) fn end_cooldown(&mut self) {
        if self.cooldown().is_some() {
            self.extras_mut().cooldown = None;
        }
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub(crate) fn value(&self) -> Option<&Value> {
        self.extras.as_ref()?.value.as_ref()
    }

    pub(crate) fn last_end(&self) -> Option<&Arc<End>> {
        self.extras.as_ref()?.last_end.as_ref()
    }

    pub(crate) fn pins(&self) -> &[(Entity, Reason)] {
        self.extras.as_ref().map_or(&[], |extras| &extras.pins)
    }

    pub(crate) fn revoked(&self) -> Option<&Revoked> {
        self.extras.as_ref()?.revoked.as_deref()
    }

    pub(crate) fn cooldown(&self) -> Option<&Cooldown> {
        self.extras.as_ref()?.cooldown.as_deref()
    }

    /// The record as readers see it.
    pub(crate) fn view(&self, namespace: &Namespace) -> LeaseView {
        LeaseView {
            key: Key { namespace: namespace.clone(), name: Name::kept(self.name()) },
            grant: self.grant_view(),
            cooldown: self.cooldown().map(|cooldown| CooldownView {
                until: cooldown.until,
                admitted: cooldown.admitted.clone(),
                why: cooldown.why.clone(),
            }),
            pins: self.pins().to_vec(),
            last_end: self.last_end().map(|end| End::clone(end)),
        }
    }

    /// The grant as readers see it.
    pub(crate) fn grant_view(&self) -> Option<GrantView> {
        let grant = self.grant.as_ref()?;
        Some(GrantView {
            holder: Holder::kept(self.holder()),
            instance: grant.instance,
            seq: grant.seq,
            token: grant.token,
            ttl: grant.ttl,
            deadline: grant.deadline,
            confirmed: self.confirmed,
            ending: self.revoked().map(|revoked| revoked.why.clone()),
            heir: self.revoked().and_then(Revoked::heirs_holder).cloned(),
            value: self.value().cloned(),
        })
    }
}
