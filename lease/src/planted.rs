//! Bugs planted on purpose, to show that the simulation would find them. Compiled under `--cfg planted` only, which no release
//! has; each stands, in a line or two, where the code does it right.

use std::sync::atomic::{AtomicU8, Ordering};

static PLANTED: AtomicU8 = AtomicU8::new(0);

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident = $text:literal,)*) => {
        /// What may be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Bug {
            /// Nothing.
            None,
            $($(#[$doc])* $bug,)*
        }

        impl Bug {
            /// Every bug.
            pub const ALL: &[Bug] = &[$(Bug::$bug,)*];

            /// In a few words.
            pub const fn as_str(self) -> &'static str {
                match self { Bug::None => "none", $(Bug::$bug => $text,)* }
            }
        }
    };
}

bugs! {
    /// A batch's stamp is what the clock read when its first command came.
    StampBeforeLastCommand = "stamp read before the last command joined",
    /// A batch is appended in whatever term there is, and applied there.
    BatchOfAnotherTerm = "batch proposed in another term",
    /// After a stall the lease clock counts all of it.
    StampNotClamped = "stamp not clamped after a lost quorum",
    /// The grace is taken off while it lasts, and given back after.
    GraceJumps = "grace that jumps at its end",
    /// An instance is not looked at where the holder's name is the same.
    InstanceIgnored = "same holder with another instance given the same token",
    /// A session goes on believing in what it hands on.
    BeliefAfterTransfer = "belief kept after sending a transfer",
    /// A release has no `not_after`.
    LateRelease = "a late release applied",
    /// A revoke ends whatever grant its lease has.
    RevokeWithoutToken = "revoke without token",
    /// A pin keeps a grant that nobody confirmed.
    PinKeepsUnconfirmed = "a pinned unconfirmed grant kept",
    /// A claim does not mind who waits in line.
    ClaimPastQueue = "plain claim past the queue",
    /// Belief counts from when the answer came.
    DeadlineFromReceipt = "deadline from receive time",
    /// A wait reads the table when it comes, and is registered later.
    WaitAfterRead = "wait registered after the read",
}

/// Plants `bug` in this process, in place of what was planted before.
pub fn plant(bug: Bug) {
    PLANTED.store(bug as u8, Ordering::Relaxed);
}

/// Whether `bug` is planted.
pub fn is(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}
