//! What came about in the runs, counted: a fault that never happened has proved nothing.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! happenings {
    ($($happened:ident = $text:literal,)*) => {
        /// Something worth a count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Happened {
            $(#[doc = $text] $happened,)*
        }

        impl Happened {
            const ALL: &[Happened] = &[$(Happened::$happened,)*];

            const fn as_str(self) -> &'static str {
                match self { $(Happened::$happened => $text,)* }
            }
        }
    };
}

happenings! {
    Killed = "members killed",
    PowerCut = "power cuts of a member",
    PowerCutOfAll = "power cuts of all at once",
    SyncFailed = "failed syncs",
    TailCut = "torn tails cut",
    UnprovableCut = "tails cut at their operator's word",
    DiskFull = "disks full, and cleared",
    DiskStalled = "disks stalled",
    DiskDecayed = "bits flipped at rest",
    DecayRefused = "decayed disks refused",
    CutInSync = "power lost while a sync was pending",
    CutAfterVote = "power lost right after a vote",
    CutInRename = "power lost at a snapshot's rename",
    Paused = "members paused",
    ClientPaused = "clients paused",
    NetworkCut = "networks cut",
    ConnectionBroken = "connections broken",
    ClockStrayed = "clocks outside rho",
    Elected = "elections won",
    LeadHandedOn = "leads handed on",
    ObserverAdded = "observers added",
    VoterPromoted = "voters promoted",
    MemberRemoved = "members removed",
    VoterReplaced = "voters replaced",
    MemberMoved = "members moved to another address",
    MemberDrained = "members drained",
    DrainEnded = "drains ended",
    SnapshotTaken = "snapshots taken",
    SnapshotInstalled = "snapshots installed",
    WaitMetSnapshot = "waits that a snapshot came upon",
    WaitFreedBySnapshot = "of them, whose lease is free by it",
    SegmentPurged = "log segments given back",
    Applied = "entries applied first",
    Granted = "grants",
    Extended = "extends",
    Released = "releases",
    HandedOn = "transfers",
    Expired = "expiries",
    Unconfirmed = "grants that nobody confirmed",
    Revoked = "revokes",
    Succeeded = "grants to the next in line",
    WaitTold = "waits told",
    WaitEnded = "waits given up or refused",
    AcquireEnded = "acquires that ended without a grant",
    Unknown = "unknown answers",
}

/// What happened in one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<Happened, u64>);

impl Tally {
    pub(crate) fn count(&mut self, happened: Happened) {
        self.add(happened, 1);
    }

    pub(crate) fn add(&mut self, happened: Happened, times: u64) {
        if times > 0 {
            *self.0.entry(happened).or_default() += times;
        }
    }
}

/// What happened in many runs. Its `Display` is a table: how often, and in how many of the runs.
#[derive(Clone, Debug, Default)]
pub struct Totals(BTreeMap<Happened, (u64, u64)>);

impl Totals {
    /// One run more.
    pub fn add(&mut self, tally: &Tally) {
        for (happened, count) in &tally.0 {
            let (sum, runs) = self.0.entry(*happened).or_default();
            (*sum, *runs) = (*sum + count, *runs + 1);
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        writeln!(f, "{:>12}  in seeds", "times")?;
        for happened in Happened::ALL {
            let (sum, runs) = self.0.get(happened).copied().unwrap_or_default();
            writeln!(f, "{sum:>12}  {runs:>8}  {}", happened.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_tells_what_never_happened_too() {
        let (mut tally, mut totals) = (Tally::default(), Totals::default());
        tally.count(Happened::Paused);
        tally.count(Happened::Paused);
        totals.add(&tally);
        totals.add(&Tally::default());
        let table = totals.to_string();
        assert!(table.contains("           2         1  members paused\n"), "{table}");
        assert!(table.contains("           0         0  members killed\n"), "{table}");
        assert_eq!(Totals::default().to_string(), "", "who counts nothing prints no table");
    }
}
