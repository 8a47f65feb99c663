//! The naive twin: the lease rules once more, over plain maps, with no index at all.
//! Every question is answered by walking over everything.

#[path = "twin_look.rs"]
mod look;

use std::collections::BTreeMap;

use lease::*;

#[derive(Clone, Debug, Default)]
pub(crate) struct Twin {
    pub(crate) now: Time,
    pub(crate) revision: u64,
    pub(crate) next_token: u64,
    pub(crate) settings: Settings,
    pub(crate) leases: BTreeMap<Key, Lease>,
    /// Oldest first.
    pub(crate) history: Vec<(Key, End)>,
    pub(crate) last: Applied,
    free_before: BTreeMap<Key, bool>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Lease {
    pub(crate) grant: Option<GrantView>,
    pub(crate) remained: Ttl,
    pub(crate) heir: Option<Heir>,
    pub(crate) cooldown: Option<(CooldownView, Token)>,
    pub(crate) pins: BTreeMap<Entity, Reason>,
    pub(crate) last_end: Option<End>,
}

impl Lease {
    pub(crate) fn counts(&self) -> bool {
        self.grant.is_some() || self.cooldown.is_some() || !self.pins.is_empty()
    }

    pub(crate) fn free(&self) -> bool {
        self.grant.is_none() && self.cooldown.is_none()
    }

    /// When it can end by itself.
    pub(crate) fn due(&self) -> Option<(Time, Token)> {
        if let Some(grant) = &self.grant {
            let expires = self.pins.is_empty() || !grant.confirmed || grant.ending.is_some();
            return expires.then_some((grant.deadline, grant.token));
        }
        self.cooldown.as_ref().map(|(cooldown, token)| (cooldown.until, *token))
    }
}

impl Twin {
    pub(crate) fn new() -> Twin {
        Twin { next_token: 1, ..Twin::default() }
    }

    pub(crate) fn limits(&self, key: &Key) -> NamespaceSettings {
        self.settings.namespaces.get(&key.namespace).copied().unwrap_or_default()
    }

    pub(crate) fn apply(&mut self, term: u64, batch: &Batch) {
        self.last = Applied::default();
        if term != batch.term {
            self.last.outcomes = batch.requests.iter().map(|_| Outcome::Refused(Refusal::Retry)).collect();
            return;
        }
        self.free_before = self.leases.iter().map(|(key, lease)| (key.clone(), lease.free())).collect();
        self.now = self.now.max(batch.stamp);
        for _ in 0..batch.sweep {
            let over = self.leases.iter().filter_map(|(key, lease)| Some((lease.due()?, key.clone())));
            let Some((_, key)) = over.filter(|((at, _), _)| *at < self.now).min() else { break };
            self.touch(&key);
            self.forget();
        }
        for request in &batch.requests {
            let outcome = match request.not_after {
                Some(not_after) if self.now > not_after => Outcome::Refused(Refusal::Late),
                _ => self.command(&request.command).unwrap_or_else(Outcome::Refused),
            };
            self.last.outcomes.push(outcome);
            self.forget();
        }
        let mut freed = std::mem::take(&mut self.last.freed);
        freed.retain(|key| self.leases.get(key).is_none_or(Lease::free));
        self.last.freed = freed;
    }

    /// What an operator's recovery does.
    pub(crate) fn recover(&mut self, epoch: u32, how: Recovery) {
        self.last = Applied::default();
        self.free_before = self.leases.iter().map(|(key, lease)| (key.clone(), lease.free())).collect();
        for key in self.leases.keys().cloned().collect::<Vec<_>>() {
            let grant = self.leases.get(&key).and_then(|lease| lease.grant.clone());
            let Some(grant) = grant else { continue };
            let until = self.now.after(grant.ttl);
            if how == Recovery::SoleSurvivor {
                let grant = self.leases.get_mut(&key).unwrap().grant.as_mut().unwrap();
                // A confirmation may take longer than the ttl that it leads to.
                grant.deadline = grant.deadline.max(until);
                continue;
            }
            self.end(&key, Why::Restored, None);
            if how == Recovery::Restore {
                let view = CooldownView { until, admitted: None, why: Why::Restored };
                self.leases.get_mut(&key).unwrap().cooldown = Some((view, grant.token));
            }
            self.forget();
        }
        if how == Recovery::DiscardGrants {
            for (key, lease) in self.leases.clone() {
                if lease.cooldown.is_some_and(|(cooldown, _)| cooldown.admitted.is_none()) {
                    self.leases.get_mut(&key).unwrap().cooldown = None;
                    self.note_freed(&key);
                    self.forget();
                }
            }
        }
        self.next_token = ((self.next_token >> 32) + 1).max(u64::from(epoch)) << 32 | 1;
        let mut freed = std::mem::take(&mut self.last.freed);
        freed.retain(|key| self.leases.get(key).is_none_or(Lease::free));
        self.last.freed = freed;
    }

    /// Ends what is over on `key`.
    pub(crate) fn touch(&mut self, key: &Key) {
        let Some(lease) = self.leases.get_mut(key) else { return };
        if lease.due().is_none_or(|(at, _)| at >= self.now) {
            return;
        }
        match &lease.grant {
            Some(grant) => {
                let why = match (&grant.ending, grant.confirmed) {
                    (Some(reason), _) => Why::Revoked(reason.clone()),
                    (None, true) => Why::Expired,
                    (None, false) => Why::Unconfirmed,
                };
                let heir = lease.heir.take();
                self.end(key, why, heir);
            }
            None => {
                lease.cooldown = None;
                self.note_freed(key);
            }
        }
    }

    fn note_freed(&mut self, key: &Key) {
        if self.free_before.get(key) == Some(&false) && !self.last.freed.contains(key) {
            self.last.freed.push(key.clone());
        }
    }

    fn event(&mut self, what: What) {
        self.revision += 1;
        self.last.events.push(Event { revision: Revision(self.revision), what });
    }

    fn end(&mut self, key: &Key, why: Why, heir: Option<Heir>) {
        let cooldown = self.limits(key).cooldown;
        let now = self.now;
        let lease = self.leases.get_mut(key).unwrap();
        let grant = lease.grant.take().unwrap();
        lease.heir = None;
        let end = End {
            token: grant.token,
            holder: grant.holder.clone(),
            instance: grant.instance,
            seq: grant.seq,
            why: why.clone(),
            at: now,
            remained: lease.remained,
        };
        lease.last_end = Some(end.clone());
        if why == Why::Expired && cooldown > Ttl::ZERO && heir.is_none() {
            let admitted = Some(grant.holder);
            lease.cooldown = Some((CooldownView { until: now.after(cooldown), admitted, why }, grant.token));
        }
        self.history.push((key.clone(), end.clone()));
        self.note_freed(key);
        self.event(What::Ended { key: key.clone(), end });
        if let Some(heir) = heir {
            self.grant_unconfirmed(key, &heir);
        }
    }

    fn grant_unconfirmed(&mut self, key: &Key, heir: &Heir) -> Outcome {
        let last = self.leases.entry(key.clone()).or_default().last_end.clone();
        let same = last.filter(|end| end.holder == heir.holder && end.instance == heir.instance);
        let grant = GrantView {
            holder: heir.holder.clone(),
            instance: heir.instance,
            seq: same.map_or(Seq(0), |end| end.seq),
            token: Token::from_u64(self.next_token),
            ttl: heir.ttl,
            deadline: self.now.after(heir.confirm),
            confirmed: false,
            ending: None,
            heir: None,
            value: None,
        };
        self.grant(key, grant, heir.confirm)
    }

    fn grant(&mut self, key: &Key, grant: GrantView, length: Ttl) -> Outcome {
        self.next_token += 1;
        let lease = self.leases.entry(key.clone()).or_default();
        lease.cooldown = None;
        lease.remained = length;
        lease.grant = Some(grant.clone());
        self.event(What::Granted {
            key: key.clone(),
            holder: grant.holder.clone(),
            token: grant.token,
            confirmed: grant.confirmed,
            value: grant.value.clone(),
        });
        let GrantView { token, ttl, deadline, confirmed, .. } = grant;
        Outcome::Granted(Granted { token, ttl, deadline, confirmed })
    }

    fn command(&mut self, command: &Command) -> Result<Outcome, Refusal> {
        match command {
            Command::Claim(claim) => self.claim(claim),
            Command::Succeed(Succeed { key, to }) => self.succeed(key, to),
            Command::Extend { token, ttl } => self.extend(*token, *ttl),
            Command::Release { token } => {
                let key = self.living(*token)?;
                let heir = self.leases.get_mut(&key).unwrap().heir.take();
                self.end(&key, Why::Released, heir);
                Ok(Outcome::Released { token: *token })
            }
            Command::Transfer { token, to } => {
                let key = self.living(*token)?;
                self.not_ending(&key)?;
                self.check_heir(&key, to)?;
                self.end(&key, Why::Transferred, Some(to.clone()));
                let grant = self.leases[&key].grant.as_ref().unwrap();
                let (token, deadline) = (grant.token, grant.deadline);
                Ok(Outcome::Granted(Granted { token, ttl: to.ttl, deadline, confirmed: false }))
            }
            Command::Revoke { token, why, when, heir } => self.revoke(*token, why, *when, heir),
            Command::Pin { key, entity, why } => self.pin(key, entity, why),
            Command::Unpin { key, entity } => {
                self.touch(key);
                if self.leases.get_mut(key).and_then(|lease| lease.pins.remove(entity)).is_some() {
                    self.event(What::Unpinned { key: key.clone(), entity: entity.clone() });
                }
                Ok(Outcome::Done)
            }
            Command::Set { version, changes } => self.set(*version, changes),
        }
    }

    fn claim(&mut self, claim: &Claim) -> Result<Outcome, Refusal> {
        let Claim { key, holder, instance, seq, ttl, value } = claim;
        self.touch(key);
        let lease = self.leases.get(key).cloned().unwrap_or_default();
        let kept =
            lease.grant.as_ref().filter(|grant| grant.holder == *holder && grant.instance == *instance);
        let ended = lease.last_end.as_ref().filter(|end| end.holder == *holder && end.instance == *instance);
        if kept.is_some_and(|grant| *seq < grant.seq) || ended.is_some_and(|end| *seq <= end.seq) {
            return Err(Refusal::Late);
        }
        self.check_ttl(key, *ttl)?;
        if let Some(grant) = &lease.grant {
            let forced = !grant.confirmed && grant.instance == Instance(0) && grant.holder == *holder;
            if kept.is_none() && !forced {
                return Err(self.held(grant, holder));
            }
            self.not_ending(key)?;
            let Outcome::Extended(granted) = self.prolong(key, *ttl) else { unreachable!() };
            let grant = self.leases.get_mut(key).unwrap().grant.as_mut().unwrap();
            grant.instance = *instance;
            grant.seq = *seq;
            if let Some(value) = value.clone().filter(|value| grant.value.as_ref() != Some(value)) {
                grant.value = Some(value.clone());
                self.event(What::Valued { key: key.clone(), token: granted.token, value });
            }
            return Ok(Outcome::Granted(granted));
        }
        if let Some((cooldown, _)) = &lease.cooldown
            && cooldown.admitted.as_ref() != Some(holder)
        {
            return Err(self.cooling(cooldown));
        }
        self.room(key)?;
        let grant = GrantView {
            holder: holder.clone(),
            instance: *instance,
            seq: *seq,
            token: Token::from_u64(self.next_token),
            ttl: *ttl,
            deadline: self.now.after(*ttl),
            confirmed: true,
            ending: None,
            heir: None,
            value: value.clone(),
        };
        Ok(self.grant(key, grant, *ttl))
    }

    fn succeed(&mut self, key: &Key, to: &Heir) -> Result<Outcome, Refusal> {
        self.touch(key);
        self.check_heir(key, to)?;
        let lease = self.leases.get(key).cloned().unwrap_or_default();
        if let Some(grant) = &lease.grant {
            return Err(self.held(grant, &to.holder));
        }
        if let Some((cooldown, _)) = &lease.cooldown {
            return Err(self.cooling(cooldown));
        }
        self.room(key)?;
        Ok(self.grant_unconfirmed(key, to))
    }

    fn extend(&mut self, token: Token, ttl: Ttl) -> Result<Outcome, Refusal> {
        let key = self.living(token).map_err(|refusal| self.stale(token, refusal))?;
        self.not_ending(&key)?;
        self.check_ttl(&key, ttl)?;
        Ok(self.prolong(&key, ttl))
    }

    fn prolong(&mut self, key: &Key, ttl: Ttl) -> Outcome {
        let now = self.now;
        let lease = self.leases.get_mut(key).unwrap();
        let grant = lease.grant.as_mut().unwrap();
        lease.remained = now.until(grant.deadline);
        if now.after(ttl) > grant.deadline {
            grant.deadline = now.after(ttl);
            grant.ttl = ttl;
        }
        let was = std::mem::replace(&mut grant.confirmed, true);
        let granted = Granted { token: grant.token, ttl, deadline: grant.deadline, confirmed: true };
        if !was {
            self.event(What::Confirmed { key: key.clone(), token: granted.token });
        }
        Outcome::Extended(granted)
    }

    fn revoke(
        &mut self,
        token: Token,
        why: &Reason,
        when: RevokeWhen,
        heir: &Option<Heir>,
    ) -> Result<Outcome, Refusal> {
        let key = self.living(token)?;
        heir.iter().try_for_each(|heir| self.check_heir(&key, heir))?;
        let lease = self.leases.get_mut(&key).unwrap();
        let grant = lease.grant.as_mut().unwrap();
        let before = (grant.ending.clone(), grant.heir.clone());
        if heir.is_some() {
            lease.heir.clone_from(heir);
            grant.heir = heir.as_ref().map(|heir| heir.holder.clone());
        }
        if grant.ending.is_none() || !why.as_str().is_empty() {
            grant.ending = Some(why.clone());
        }
        let (why, heir, deadline) = (grant.ending.clone().unwrap(), grant.heir.clone(), grant.deadline);
        if when == RevokeWhen::Now {
            let heir = lease.heir.take();
            self.end(&key, Why::Revoked(why), heir);
            return Ok(Outcome::Released { token });
        }
        if before != (Some(why.clone()), heir.clone()) {
            self.event(What::Ending { key, token, why, heir });
        }
        Ok(Outcome::Ending { token, deadline })
    }

    fn pin(&mut self, key: &Key, entity: &Entity, why: &Reason) -> Result<Outcome, Refusal> {
        self.touch(key);
        let pins = self.leases.get(key).map(|lease| lease.pins.clone()).unwrap_or_default();
        if !pins.contains_key(entity) {
            if pins.len() >= PINS_MAX {
                return Err(Refusal::Full { what: Full::Pins, limit: PINS_MAX as u64 });
            }
            self.room(key)?;
            self.event(What::Pinned { key: key.clone(), entity: entity.clone() });
        }
        self.leases.entry(key.clone()).or_default().pins.insert(entity.clone(), why.clone());
        Ok(Outcome::Done)
    }

    fn set(&mut self, version: u64, changes: &[Change]) -> Result<Outcome, Refusal> {
        if version != self.settings.version {
            return Err(Refusal::Version { current: self.settings.version });
        }
        for change in changes {
            match change {
                Change::ClusterVersion(version) => self.settings.cluster_version = *version,
                Change::Credential(..) => return Err(Refusal::Settings("the model has none".to_owned())),
                Change::Namespace(namespace, limits) => {
                    self.settings.namespaces.remove(namespace);
                    let limits = limits.filter(|limits| *limits != NamespaceSettings::default());
                    self.settings.namespaces.extend(limits.map(|limits| (namespace.clone(), limits)));
                }
            }
        }
        self.settings.version += 1;
        let version = self.settings.version;
        self.event(What::Settings { version });
        Ok(Outcome::Set { version })
    }
}
