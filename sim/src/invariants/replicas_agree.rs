//! Replicas agree: every member makes of an entry what the first one made of it, and what is read from a disk or comes from another
//! member as a snapshot is what the entries up to there make.

use std::collections::BTreeMap;

use lease::{Applied, Batch, Table};
use replica::log::LogId;

use super::{Kept, same_bytes};

struct Entry {
    id: LogId,
    batch: Batch,
    applied: Applied,
}

#[derive(Default)]
pub(crate) struct ReplicasAgree {
    /// By index: what the first member that applied it made of it. Entries without commands are not here.
    entries: BTreeMap<u64, Entry>,
}

impl ReplicasAgree {
    /// A member has applied an entry; whether it is the first.
    pub(crate) fn applied(
        &mut self,
        member: u64,
        id: LogId,
        batch: &Batch,
        applied: &Applied,
    ) -> Result<bool, String> {
        let Some(first) = self.entries.get(&id.index) else {
            let (batch, applied) = (batch.clone(), applied.clone());
            self.entries.insert(id.index, Entry { id, batch, applied });
            return Ok(true);
        };
        match first.id == id && first.batch == *batch && first.applied == *applied {
            true => Ok(false),
            false => Err(format!(
                "m{member} made {applied:?} of entry {id}, and it was {:?} as {}",
                first.applied, first.id
            )),
        }
    }

    /// A member has a state that it did not make itself, up to entry `index`.
    pub(crate) fn restored(&self, member: u64, index: Option<u64>, table: &Table) -> Kept {
        let mut made = Table::new(0);
        for entry in self.entries.range(..=index.unwrap_or(0)).map(|(_, entry)| entry) {
            made.apply(entry.id.term, &entry.batch);
        }
        let upto = index.unwrap_or(0);
        same_bytes(table, &made, &format!("what m{member} has read up to entry {upto}"))
    }
}
