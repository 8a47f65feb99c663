//! The whole table as bytes, and back: tagged sections, each complete in itself.
//!
//! A snapshot is taken by [`Table::freeze`], which shares pages and histories with the table; the bytes are made
//! from that elsewhere, while the table goes on. They depend on what was applied alone: records come in slot
//! order, and slots are given out by rule. What the index of deadlines went through is not in them.
//!
//! ```text
//! section   ┌────────┬─────────────┬──────────────┬───────────────────────┐
//!           │ tag u8 │ version = 1 │ length u32   │ body, of that length  │
//!           └────────┴─────────────┴──────────────┴───────────────────────┘
//!
//! in this order, those marked * any number of times, at most 256 KiB each:
//!
//! tag 1  head        now u64 ns, revision u64, next token u64
//!     2  settings    version u64, cluster version u32, count u32, count x (namespace text, limits)
//!     7* credentials count u32, count x (id u64, credential), by id: behind 2, and none where there are none, so that a
//!                    program that knows none reads the rest
//!     3  namespaces  count u32, count x text, in order: those with records, numbered from 0
//!     4* leases      count u32, count x lease, by slot
//!     5* ends        count u32, count x end in history, by namespace, oldest first
//!     6  tail        leases u64, ends in history u64: how many there were
//!
//! lease     ┌──────────┬───────────────┬───────────┬──────────┬─────────────────────────────┐
//!           │ slot u32 │ namespace u32 │ name text │ flags u8 │ what the flags say, in order│
//!           └──────────┴───────────────┴───────────┴──────────┴─────────────────────────────┘
//!   flag 1  held       holder text, instance u64, seq u64, token u64, ttl u64 ns, deadline u64 ns, remained u64 ns
//!        2  confirmed  (nothing; only with 1)
//!        4  value      text (only with 1)
//!        8  last end   end
//!       16  pins       count u8 (1 to 16), count x (entity text, why text), in order
//!       32  ending     why text, heir: option heir (only with 1)
//!       64  cooldown   until u64 ns, admitted: option holder text, why, token u64 (only without 1)
//!
//! end       token u64, holder text, instance u64, seq u64, why, at u64 ns, remained u64 ns
//! why       u8: 0 expired, 1 unconfirmed, 2 released, 3 transferred, 4 revoked (then a text), 5 restored
//! end in history   namespace u32, slot u32, u8: 1 = the last end of that slot's lease, 0 = another, then end
//! ```
//!
//! Texts, options, heirs, limits and credentials are those of the [codec](crate::codec). A snapshot is refused whole if a
//! section is missing, out of order, of another version or longer than it says, if a slot, name or token
//! comes twice, or if it says what no table could: the members that sent it would disagree with us for ever.

mod record;
mod thaw;

use std::sync::Arc;

use crate::codec::Writer;
use crate::history::History;
use crate::record::{Lease, SpaceId};
use crate::slab::{Page, walk};
use crate::{Namespace, Revision, Settings, Table, Time, Token};

const VERSION: u8 = 1;
const HEAD: u8 = 1;
const SETTINGS: u8 = 2;
const NAMESPACES: u8 = 3;
const LEASES: u8 = 4;
const ENDS: u8 = 5;
const TAIL: u8 = 6;
const CREDENTIALS: u8 = 7;

/// A section is closed before it grows past this, in bytes.
const SECTION_BYTES: usize = 248 * 1024;

/// A table that no longer changes.
#[derive(Debug)]
pub struct Frozen {
    now: Time,
    revision: Revision,
    next_token: Token,
    settings: Settings,
    pages: Vec<Arc<Page>>,
    /// The namespaces with records, in order; a record's number of one leads to it by `ranks`.
    spaces: Vec<(Namespace, History)>,
    ranks: Vec<u32>,
}

impl Table {
    /// A view of the whole table that later batches do not change, to be encoded elsewhere. Cheap: it shares
    /// what it can and copies on write.
    pub fn freeze(&self) -> Frozen {
        let used = || self.spaces.iter().filter(|(_, space)| !space.names.is_empty());
        let mut ranks = Vec::new();
        for (rank, (id, _)) in used().enumerate() {
            ranks.resize(ranks.len().max(id as usize + 1), 0);
            ranks[id as usize] = rank as u32;
        }
        Frozen {
            now: self.now,
            revision: self.revision,
            next_token: self.next_token,
            settings: self.settings.clone(),
            pages: self.slab.share(),
            spaces: used().map(|(_, space)| (space.namespace.clone(), space.history.clone())).collect(),
            ranks,
        }
    }
}

impl Frozen {
    /// The table as tagged sections, each at most a few hundred KiB, in an order and with bytes that depend on
    /// what was applied alone.
    pub fn sections(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let credentials =
            packed(CREDENTIALS, self.settings.credentials.iter(), |writer, (id, credential)| {
                writer.u64(id.0);
                writer.credential(credential);
            });
        let first = [self.head(), self.settings()].into_iter().chain(credentials);
        let first = first.chain([self.namespaces()]);
        let leases = walk(&self.pages);
        let leases =
            packed(LEASES, leases, |writer, (slot, lease)| writer.lease(slot, self.rank(lease.space), lease));
        let ends = self.spaces.iter().enumerate();
        let ends = ends.flat_map(|(rank, (_, history))| history.iter().map(move |item| (rank as u32, item)));
        let ends = packed(ENDS, ends, |writer, (rank, item)| writer.item(rank, item, self.lease(item.slot)));
        first.chain(leases).chain(ends).chain(std::iter::once_with(|| self.tail()))
    }

    fn rank(&self, space: SpaceId) -> u32 {
        self.ranks.get(space as usize).copied().unwrap_or(u32::MAX)
    }

    fn lease(&self, slot: crate::record::Slot) -> Option<&Lease> {
        crate::slab::find(&self.pages, slot)
    }

    fn head(&self) -> Vec<u8> {
        section(HEAD, |writer| {
            writer.time(self.now);
            writer.u64(self.revision.0);
            writer.u64(self.next_token.as_u64());
        })
    }

    fn settings(&self) -> Vec<u8> {
        section(SETTINGS, |writer| {
            writer.u64(self.settings.version);
            writer.u32(self.settings.cluster_version);
            writer.u32(self.settings.namespaces.len() as u32);
            for (namespace, limits) in &self.settings.namespaces {
                writer.text(namespace.as_str());
                writer.limits(limits);
            }
        })
    }

    fn namespaces(&self) -> Vec<u8> {
        section(NAMESPACES, |writer| {
            writer.u32(self.spaces.len() as u32);
            self.spaces.iter().for_each(|(namespace, _)| writer.text(namespace.as_str()));
        })
    }

    fn tail(&self) -> Vec<u8> {
        section(TAIL, |writer| {
            writer.u64(walk(&self.pages).count() as u64);
            writer.u64(self.spaces.iter().map(|(_, history)| history.len() as u64).sum());
        })
    }
}

/// One section: its header, and the body that `write` makes.
fn section(tag: u8, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = vec![tag, VERSION, 0, 0, 0, 0];
    write(&mut Writer(&mut bytes));
    let length = (bytes.len() - 6) as u32;
    bytes[2..6].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// As many things to a section as fit, and as many sections as it takes.
fn packed<T>(
    tag: u8,
    things: impl Iterator<Item = T>,
    write: impl Fn(&mut Writer<'_>, T),
) -> impl Iterator<Item = Vec<u8>> {
    let mut things = things.peekable();
    std::iter::from_fn(move || {
        things.peek()?;
        Some(section(tag, |writer| {
            let head = writer.0.len();
            writer.u32(0);
            let mut count = 0u32;
            while let Some(thing) = things.next_if(|_| writer.0.len() < SECTION_BYTES) {
                write(writer, thing);
                count += 1;
            }
            writer.0[head..head + 4].copy_from_slice(&count.to_le_bytes());
        }))
    })
}
