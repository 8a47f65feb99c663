//! From sections back to a table: the records as they were, and every index made anew from them.

use std::sync::Arc;

use crate::codec::Reader;
use crate::names::Names;
use crate::record::{Lease, Slot, SpaceId};
use crate::snapshot::record::{ITEM_BYTES_MIN, LEASE_BYTES_MIN};
use crate::snapshot::{CREDENTIALS, ENDS, HEAD, LEASES, NAMESPACES, SETTINGS, TAIL, VERSION};
use crate::tokens::Trace;
use crate::{
    CREDENTIALS_MAX, CREDENTIALS_SINCE, CredentialId, DecodeError, NAMESPACES_MAX, Namespace, Revision,
    SLOTS_MAX, Table, Time, Token,
};

/// The fewest bytes of a credential and its id.
const CREDENTIAL_BYTES_MIN: usize = 8 + 32 + 2 + 1 + 1 + 1 + 16 + 1 + 1 + 1;

/// A table being put together.
#[derive(Default)]
struct Thaw {
    table: Table,
    /// The tag of the section read last.
    tag: u8,
    /// The table's number of each of the snapshot's namespaces, and the records found in it.
    spaces: Vec<(SpaceId, Vec<Slot>)>,
    next_slot: Slot,
    leases: u64,
    ends: u64,
}

impl Table {
    /// The table that [`Frozen::sections`](crate::Frozen::sections) wrote.
    ///
    /// # Errors
    /// [`DecodeError`] names the section and the offset.
    pub fn thaw(sections: impl Iterator<Item = Result<Vec<u8>, DecodeError>>) -> Result<Table, DecodeError> {
        let mut thaw = Thaw::default();
        for section in sections {
            thaw.section(&section?)?;
        }
        match thaw.tag {
            TAIL => {
                #[cfg(planted)]
                thaw.forget();
                Ok(thaw.table)
            }
            _ => Err(DecodeError::damaged("a snapshot that has no tail section", 0)),
        }
    }
}

#[cfg(planted)]
impl Thaw {
    /// The planted bugs of a restore.
    fn forget(&mut self) {
        if crate::planted::is(crate::planted::Bug::TokensNotRestored) {
            self.table.next_token = Token::from_u64(1);
        }
        if crate::planted::is(crate::planted::Bug::ClockNotRestored) {
            self.table.now = Time::ZERO;
        }
    }
}

impl Thaw {
    fn section(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let tag = bytes.first().copied().unwrap_or(0);
        let mut reader = Reader::new(bytes, name_of(tag));
        if reader.u8().is_err() || !follows(self.tag, tag) {
            return Reader::new(bytes, name_of(tag)).damaged();
        }
        reader.version(VERSION)?;
        if reader.u32()? as usize != reader.left() {
            return reader.damaged_before(4);
        }
        // The names are complete, and the ends refer to the records.
        if matches!(self.tag, NAMESPACES | LEASES) && matches!(tag, ENDS | TAIL) {
            self.index_names(&reader)?;
        }
        match tag {
            HEAD => self.head(&mut reader)?,
            SETTINGS => self.settings(&mut reader)?,
            CREDENTIALS => self.credentials(&mut reader)?,
            NAMESPACES => self.namespaces(&mut reader)?,
            LEASES => self.leases(&mut reader)?,
            ENDS => self.ends(&mut reader)?,
            _ => self.tail(&mut reader)?,
        }
        self.tag = tag;
        reader.end()
    }

    fn head(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.table.now = Time::from_nanos(reader.u64()?);
        self.table.revision = Revision(reader.u64()?);
        self.table.next_token = Token::from_u64(reader.u64()?);
        Ok(())
    }

    fn settings(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let settings = &mut self.table.settings;
        settings.version = reader.u64()?;
        settings.cluster_version = reader.u32()?;
        for _ in 0..reader.count(2 + 36)? {
            let (namespace, limits) = (reader.text(Namespace::stored)?, reader.limits()?);
            let follows = settings.namespaces.last_key_value().is_none_or(|(last, _)| *last < namespace);
            if !follows || limits == crate::NamespaceSettings::default() || limits.check().is_err() {
                return reader.damaged();
            }
            settings.namespaces.insert(namespace.clone(), limits);
            if settings.namespaces.len() > NAMESPACES_MAX {
                return reader.damaged();
            }
            self.table.spaces.enter(&namespace, limits);
        }
        Ok(())
    }

    fn credentials(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let settings = &mut self.table.settings;
        let known = Arc::make_mut(&mut settings.credentials);
        for _ in 0..reader.count(CREDENTIAL_BYTES_MIN)? {
            let (id, credential) = (CredentialId(reader.u64()?), reader.credential()?);
            let follows = known.last_key_value().is_none_or(|(last, _)| *last < id);
            if !follows || credential.check().is_err() || known.len() >= CREDENTIALS_MAX {
                return reader.damaged();
            }
            known.insert(id, credential);
        }
        match known.is_empty() || settings.cluster_version < CREDENTIALS_SINCE {
            true => reader.damaged(),
            false => Ok(()),
        }
    }

    fn namespaces(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let mut last = None;
        for _ in 0..reader.count(2)? {
            let namespace = reader.text(Namespace::stored)?;
            if last.is_some_and(|last| last >= namespace) {
                return reader.damaged();
            }
            let limits = self.table.settings.of(&namespace);
            self.spaces.push((self.table.spaces.enter(&namespace, limits), Vec::new()));
            if self.table.spaces.len() > NAMESPACES_MAX {
                return reader.damaged();
            }
            last = Some(namespace);
        }
        Ok(())
    }

    fn leases(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        for _ in 0..reader.count(LEASE_BYTES_MIN)? {
            let mut rank = 0;
            let (slot, lease) = reader.lease(|number| {
                rank = number as usize;
                self.spaces.get(number as usize).map(|(space, _)| *space)
            })?;
            if slot < self.next_slot || slot >= SLOTS_MAX || !self.enter(slot, &lease) {
                return reader.damaged();
            }
            self.spaces[rank].1.push(slot);
            self.table.slab.put(slot, lease);
            self.next_slot = slot + 1;
            self.leases += 1;
        }
        Ok(())
    }

    /// Enters the record into counts and indexes. False where it cannot be.
    fn enter(&mut self, slot: Slot, lease: &Lease) -> bool {
        let table = &mut self.table;
        if let Some(end) = lease.last_end() {
            if end.token >= table.next_token || end.at > table.now || table.tokens.get(end.token).is_some() {
                return false;
            }
            table.tokens.set(end.token, slot, Trace::LastEnd);
        }
        if let Some(grant) = &lease.grant {
            let follows = lease.last_end().is_none_or(|end| end.token < grant.token);
            if grant.token >= table.next_token || !follows || table.tokens.get(grant.token).is_some() {
                return false;
            }
            table.tokens.set(grant.token, slot, Trace::Lives);
        }
        table.weigh_new(lease);
        lease.due().into_iter().for_each(|due| table.deadlines.place(slot, due));
        true
    }

    /// Makes the namespaces' indexes.
    fn index_names(&mut self, reader: &Reader<'_>) -> Result<(), DecodeError> {
        for (space, slots) in &mut self.spaces {
            let names = Names::index(&std::mem::take(slots), &self.table.slab);
            let Some(names) = names.filter(|names| !names.is_empty()) else { return reader.damaged() };
            self.table.spaces.get_mut(*space).names = names;
        }
        Ok(())
    }

    fn ends(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        for _ in 0..reader.count(ITEM_BYTES_MIN)? {
            let (rank, slot, is_last) = (reader.u32()? as usize, reader.u32()?, reader.flag()?);
            let Some((space, _)) = self.spaces.get(rank) else { return reader.damaged_before(9) };
            let table = &mut self.table;
            let last = table.slab.get(slot).filter(|lease| lease.space == *space).and_then(Lease::last_end);
            let Some(last) = last.cloned() else { return reader.damaged_before(5) };
            // Ends lie in the order in which they came, so what follows a lease's last end is not its own.
            if table.tokens.get(last.token) != Some((slot, Trace::LastEnd)) {
                return reader.damaged_before(1);
            }
            let end = if is_last { last } else { Arc::new(reader.ended()?) };
            let is_new = end.token < table.next_token && end.at <= table.now;
            if !is_new || (!is_last && table.tokens.get(end.token).is_some()) {
                return reader.damaged();
            }
            table.tokens.set(end.token, slot, Trace::InHistory);
            let space = table.spaces.get_mut(*space);
            space.history.push(slot, end);
            if space.history.len() > space.settings.history_max as usize {
                return reader.damaged();
            }
            self.ends += 1;
        }
        Ok(())
    }

    fn tail(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        if (reader.u64()?, reader.u64()?) != (self.leases, self.ends) {
            return reader.damaged_before(16);
        }
        let table = &self.table;
        let in_history = |lease: &Lease| {
            let trace = lease.last_end().and_then(|end| table.tokens.get(end.token));
            matches!(trace, Some((_, Trace::InHistory)))
        };
        match table.slab.iter().all(|(_, lease)| lease.counts() || in_history(lease)) {
            true => Ok(()),
            false => reader.damaged_before(16),
        }
    }
}

fn follows(last: u8, tag: u8) -> bool {
    matches!(
        (last, tag),
        (0, HEAD)
            | (HEAD, SETTINGS)
            | (SETTINGS | CREDENTIALS, CREDENTIALS | NAMESPACES)
            | (NAMESPACES | LEASES, LEASES | ENDS | TAIL)
            | (ENDS, ENDS | TAIL)
    )
}

fn name_of(tag: u8) -> &'static str {
    match tag {
        HEAD => "a snapshot's head section",
        SETTINGS => "a snapshot's settings section",
        CREDENTIALS => "a snapshot's credentials section",
        NAMESPACES => "a snapshot's namespaces section",
        LEASES => "a snapshot's leases section",
        ENDS => "a snapshot's history section",
        TAIL => "a snapshot's tail section",
        _ => "a snapshot's section of no known tag",
    }
}
