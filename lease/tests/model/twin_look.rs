//! What the twin looks up, and what it refuses: by walking over everything.

use std::collections::BTreeMap;

use lease::*;

use super::{Lease, Twin};

impl Twin {
    /// The end of `token` where anything still knows it.
    pub(crate) fn end_of(&self, token: Token) -> Option<(Key, End)> {
        let kept = self.leases.iter().filter_map(|(key, lease)| Some((key, lease.last_end.as_ref()?)));
        let all = self.history.iter().map(|(key, end)| (key, end)).chain(kept);
        all.map(|(key, end)| (key.clone(), end.clone())).find(|(_, end)| end.token == token)
    }

    pub(crate) fn key_of(&self, token: Token) -> Option<Key> {
        let has = |lease: &Lease| lease.grant.as_ref().is_some_and(|grant| grant.token == token);
        let living = self.leases.iter().find(|(_, lease)| has(lease)).map(|(key, _)| key.clone());
        living.or_else(|| self.end_of(token).map(|(key, _)| key))
    }

    fn unheard_of(&self, token: Token) -> Refusal {
        match token.as_u64() < self.next_token {
            true => Refusal::Lost { end: None },
            // The first of an epoch.
            false if self.next_token as u32 == 1 => Refusal::NeverGiven { newest: None },
            false => Refusal::NeverGiven { newest: Some(Token::from_u64(self.next_token - 1)) },
        }
    }

    pub(crate) fn living(&mut self, token: Token) -> Result<Key, Refusal> {
        let Some(key) = self.key_of(token) else { return Err(self.unheard_of(token)) };
        self.touch(&key);
        let grant = self.leases.get(&key).and_then(|lease| lease.grant.as_ref());
        match grant.is_some_and(|grant| grant.token == token) {
            true => Ok(key),
            false => Err(Refusal::Lost { end: self.end_of(token).map(|(_, end)| end) }),
        }
    }

    pub(crate) fn stale(&self, token: Token, refusal: Refusal) -> Refusal {
        let Some((key, end)) = self.end_of(token) else { return refusal };
        let grant = self.leases.get(&key).and_then(|lease| lease.grant.as_ref());
        let same = grant.filter(|grant| grant.holder == end.holder && grant.instance == end.instance);
        same.map_or(refusal, |grant| Refusal::StaleToken { current: grant.token })
    }

    pub(crate) fn not_ending(&self, key: &Key) -> Result<(), Refusal> {
        match self.leases.get(key).and_then(|lease| lease.grant.as_ref()) {
            Some(grant) if grant.ending.is_some() => Err(Refusal::Ending { deadline: grant.deadline }),
            _ => Ok(()),
        }
    }

    pub(crate) fn held(&self, grant: &GrantView, asker: &Holder) -> Refusal {
        Refusal::Held {
            holder: grant.holder.clone(),
            token: grant.token,
            remaining: self.now.until(grant.deadline),
            by_you: grant.holder == *asker,
        }
    }

    pub(crate) fn cooling(&self, cooldown: &CooldownView) -> Refusal {
        Refusal::Cooldown { holder: cooldown.admitted.clone(), remaining: self.now.until(cooldown.until) }
    }

    pub(crate) fn check_ttl(&self, key: &Key, ttl: Ttl) -> Result<(), Refusal> {
        let NamespaceSettings { ttl_min: min, ttl_max: max, .. } = self.limits(key);
        match ttl < min || ttl > max {
            true => Err(Refusal::Ttl { ttl, min, max }),
            false => Ok(()),
        }
    }

    pub(crate) fn check_heir(&self, key: &Key, heir: &Heir) -> Result<(), Refusal> {
        self.check_ttl(key, heir.ttl)
    }

    pub(crate) fn room(&self, key: &Key) -> Result<(), Refusal> {
        let limit = self.limits(key).leases_max;
        let present = self.leases.get(key).is_some_and(Lease::counts);
        let others = self.leases.iter().filter(|(of, lease)| of.namespace == key.namespace && lease.counts());
        match !present && others.count() as u64 >= limit {
            true => Err(Refusal::Full { what: Full::Leases, limit }),
            false => Ok(()),
        }
    }

    /// Lets history roll, and records go that nothing keeps.
    pub(crate) fn forget(&mut self) {
        let mut kept: BTreeMap<Namespace, u32> = BTreeMap::new();
        let settings = &self.settings;
        let mut newest_first: Vec<_> = std::mem::take(&mut self.history).into_iter().rev().collect();
        newest_first.retain(|(key, _)| {
            let count = kept.entry(key.namespace.clone()).or_default();
            *count += 1;
            *count <= settings.namespaces.get(&key.namespace).copied().unwrap_or_default().history_max
        });
        newest_first.reverse();
        self.history = newest_first;
        let history = &self.history;
        let known = |end: &End| history.iter().any(|(_, of)| of.token == end.token);
        self.leases.retain(|_, lease| lease.counts() || lease.last_end.as_ref().is_some_and(known));
    }

    pub(crate) fn view(&self, key: &Key) -> Option<LeaseView> {
        let lease = self.leases.get(key)?;
        Some(LeaseView {
            key: key.clone(),
            grant: lease.grant.clone(),
            cooldown: lease.cooldown.as_ref().map(|(cooldown, _)| cooldown.clone()),
            pins: lease.pins.iter().map(|(entity, why)| (entity.clone(), why.clone())).collect(),
            last_end: lease.last_end.clone(),
        })
    }
}
