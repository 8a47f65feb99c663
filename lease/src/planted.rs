//! Bugs planted on purpose, to show that the simulation would find them. Compiled under `--cfg planted` only, which no release
//! has; each stands, in a line or two, where the code does it right.

use std::sync::atomic::{AtomicU8, Ordering};

static PLANTED: AtomicU8 = AtomicU8::new(0);

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $text:literal in $seeds:literal,)* ;
     $($(#[$wholedoc:meta])* $whole:ident = $wholetext:literal in $wholeseeds:literal,)*) => {
        /// What may be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            /// Nothing.
            None,
            $($(#[$doc])* $bug,)*
            $($(#[$wholedoc])* $whole,)*
        }

        impl Bug {
            /// What the fast simulation finds.
            pub const FAST: &[Bug] = &[$(Bug::$bug,)*];
            /// What takes a whole cluster, or its disks.
            pub const WHOLE: &[Bug] = &[$(Bug::$whole,)*];

            /// In a few words.
            pub const fn as_str(self) -> &'static str {
                match self { Bug::None => "none", $(Bug::$bug => $text,)* $(Bug::$whole => $wholetext,)* }
            }

            /// Within how many seeds, from 0 on, it is to be caught.
            pub const fn seeds(self) -> u64 {
                match self { Bug::None => 0, $(Bug::$bug => $seeds,)* $(Bug::$whole => $wholeseeds,)* }
            }
        }
    };
}

bugs! {
    /// A batch's stamp is what the clock read when its first command came.
    StampBeforeLastCommand = "stamp read before the last command joined" in 1_000,
    /// A batch is appended in whatever term there is, and applied there.
    BatchOfAnotherTerm = "batch proposed in another term" in 1_000,
    /// After a stall the lease clock counts all of it.
    StampNotClamped = "stamp not clamped after a lost quorum" in 30_000,
    /// The grace is taken off while it lasts, and given back after.
    GraceJumps = "grace that jumps at its end" in 500,
    /// An instance is not looked at where the holder's name is the same.
    InstanceIgnored = "same holder with another instance given the same token" in 500,
    /// A session goes on believing in what it hands on.
    BeliefAfterTransfer = "belief kept after sending a transfer" in 500,
    /// A release has no `not_after`.
    LateRelease = "a late release applied" in 60_000,
    /// A revoke ends whatever grant its lease has.
    RevokeWithoutToken = "revoke without token" in 500,
    /// A pin keeps a grant that nobody confirmed.
    PinKeepsUnconfirmed = "a pinned unconfirmed grant kept" in 500,
    /// A claim does not mind who waits in line.
    ClaimPastQueue = "plain claim past the queue" in 500,
    /// Belief counts from when the answer came.
    DeadlineFromReceipt = "deadline from receive time" in 500,
    /// A session tells its caller what came of a call, and again.
    ToldTwice = "caller told twice" in 500,
    /// Tokens are counted from one again once nothing is held.
    TokensCountedAnew = "tokens counted anew once every lease is free" in 500,
    /// A new leader's grace is as long as a lease.
    GraceOfWholeTtl = "a whole ttl more at a change of leader" in 500,
    ;
    /// A wait reads the table when it comes, and is registered later.
    WaitAfterRead = "wait registered after the read" in 20,
    /// An entry counts as synced as soon as it is queued.
    AckBeforeSync = "acknowledged before the sync" in 40,
    /// A vote is given before it is synced.
    VoteNotSynced = "vote not synced" in 40,
    /// What a new leader overrules stays in the log on the disk.
    TruncationNotWritten = "truncated log kept" in 20,
    /// A member answers a read from its own state at once.
    ReadWithoutIndex = "stale leader's read without ReadIndex" in 20,
    /// What a snapshot restores has forgotten which tokens were given.
    TokensNotRestored = "snapshot without tokens" in 20,
    /// What a snapshot restores begins its lease clock anew.
    ClockNotRestored = "restored lease clock runs back" in 20,
    /// A snapshot that comes in is counted as applied, and the old table stays.
    InstallKeepsState = "state kept at a snapshot's install" in 20,
    /// Nobody looks after those who wait when a snapshot comes in.
    WaitsNotRechecked = "waits not looked at after a snapshot's install" in 400,
    /// Whoever was removed may be taken in again under the same id.
    RemovedIdTaken = "a removed member's id given again" in 20,
    /// The log gives more entries back than the snapshot has.
    PurgeBeyondSnapshot = "log purged beyond the snapshot" in 100,
    /// The checksum of a record's body is not looked at.
    LogChecksumIgnored = "checksum of the log not looked at" in 400,
    /// That of a snapshot's chunk is not.
    SnapshotChecksumIgnored = "corrupt snapshot accepted" in 50,
    /// Damage with synced batches behind it is taken for a torn tail.
    DamageTakenForTorn = "torn tail accepted in the middle" in 20,
    /// The folder is not synced after a snapshot got its name.
    SnapshotNameNotSynced = "no sync of the folder after a snapshot's rename" in 40,
    /// A member that does not lead carries out the commands of an entry from the last to the first.
    OtherOrder = "commands of an entry applied out of order" in 20,
    /// A stamp is what the leader's machine reads, whatever was applied before.
    StampOfMachine = "new leader's stamp without an anchor" in 20,
}

/// Plants `bug` in this process, in place of what was planted before.
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, Ordering::Relaxed);
}

/// Whether `bug` is planted.
pub fn is(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}
