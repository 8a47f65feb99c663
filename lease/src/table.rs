//! The lease table (contract; the rules follow).

use crate::*;

/// Who holds which name, until when, under which token.
#[derive(Debug, Default)]
pub struct Table {}

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
    /// Its ttl.
    pub ttl: Ttl,
    /// When it ends.
    pub deadline: Time,
    /// Whether its holder has confirmed it.
    pub confirmed: bool,
    /// The operator's reason, where it is ending.
    pub ending: Option<Reason>,
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
    /// An empty table whose tokens start in `epoch` (the upper 32 bits).
    pub fn new(epoch: u32) -> Table {
        let _ = epoch;
        todo!()
    }

    /// Applies one committed batch of an entry of `term`.
    pub fn apply(&mut self, term: u64, batch: &Batch) -> Applied {
        let _ = (term, batch);
        todo!()
    }

    /// What `command` would be refused with if it were applied now, at `now` (the lease clock's reading, at
    /// least [`Table::now`]); none where it would take effect. The same code as apply's decides.
    pub fn refusal(&self, now: Time, command: &Command) -> Option<Refusal> {
        let _ = (now, command);
        todo!()
    }

    /// The lease clock: the highest stamp applied.
    pub fn now(&self) -> Time {
        todo!()
    }

    /// The number of events so far.
    pub fn revision(&self) -> Revision {
        todo!()
    }

    /// The earliest deadline of what can still expire: a grant that is unpinned, unconfirmed or ending, a
    /// cooldown, an unclaimable key. It may move entries of the index, which no outcome shows.
    pub fn next_deadline(&mut self) -> Option<Time> {
        todo!()
    }

    /// Whether anything needs time to pass: a grant (pinned ones too), a cooldown or an unclaimable key.
    pub fn needs_ticks(&self) -> bool {
        todo!()
    }

    /// The lease of `key`, if the table or its history knows of it.
    pub fn get(&self, key: &Key) -> Option<LeaseView> {
        let _ = key;
        todo!()
    }

    /// Whether a claim on `key` by anyone could be granted now: neither held nor cooling down.
    pub fn is_free(&self, key: &Key) -> bool {
        let _ = key;
        todo!()
    }

    /// The living grant of `token`.
    pub fn grant(&self, token: Token) -> Option<(Key, GrantView)> {
        let _ = token;
        todo!()
    }

    /// At most `limit` leases that match, in key order, after `after`. Free names are listed only where they
    /// are pinned or cooling down.
    pub fn list(&self, filter: &Filter, after: Option<&Key>, limit: usize) -> Vec<LeaseView> {
        let _ = (filter, after, limit);
        todo!()
    }

    /// How many leases are held that match.
    pub fn count(&self, filter: &Filter) -> u64 {
        let _ = filter;
        todo!()
    }

    /// The newest `limit` ends of `namespace`, the newest first; of one name only, where given.
    pub fn history(&self, namespace: &Namespace, name: Option<&Name>, limit: usize) -> Vec<(Key, End)> {
        let _ = (namespace, name, limit);
        todo!()
    }

    /// The settings' version, the cluster's version, and each namespace's settings that are not the defaults.
    pub fn settings(&self) -> &Settings {
        todo!()
    }

    /// A view of the whole table that later batches do not change, to be encoded elsewhere. Cheap: it shares
    /// what it can and copies on write.
    pub fn freeze(&self) -> Frozen {
        todo!()
    }

    /// The table that [`Frozen::sections`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] names the section and the offset.
    pub fn thaw(sections: impl Iterator<Item = Result<Vec<u8>, DecodeError>>) -> Result<Table, DecodeError> {
        let _ = sections;
        todo!()
    }
}

/// The replicated settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Raised by every change.
    pub version: u64,
    /// Gates newer kinds of command.
    pub cluster_version: u32,
    /// What each namespace allows where it is not the default.
    pub namespaces: std::collections::BTreeMap<Namespace, NamespaceSettings>,
}

/// A table that no longer changes.
#[derive(Debug)]
pub struct Frozen {}

impl Frozen {
    /// The table as tagged sections, each at most a few hundred KiB, in an order and with bytes that depend on
    /// the table's contents alone.
    pub fn sections(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        std::iter::empty()
    }
}

/// Bytes that are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// What was being read.
    pub what: &'static str,
    /// Where in it, in bytes.
    pub offset: usize,
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is damaged at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for DecodeError {}

impl Batch {
    /// Appends the batch's bytes: versioned and tagged, as docs/format.md draws them.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let _ = into;
        todo!()
    }

    /// The batch that [`Batch::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`], also for a version or a command that this program does not know.
    pub fn decode(bytes: &[u8]) -> Result<Batch, DecodeError> {
        let _ = bytes;
        todo!()
    }
}
