//! The benches of very many: leases in `bulk` and `million`, connections and leases in `memory`, and claims in `overload`.

use claimer::bench::{At, bulk, memory, million, overload};
use clap::Args;

use super::{Common, Target, Where};
use crate::exit::{Exit, Failure};
use crate::parse;

/// How many extends a second of very many leases that come in frames of many: an outcome for each.
#[derive(Debug, Args)]
pub(super) struct Bulk {
    /// How many leases are held.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    leases: u32,
    /// How many hold them, each with a session of its own and one frame on its way.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    holders: u32,
    /// How many leases a frame extends.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    frame: u32,
    /// How long each round is measured, behind a second of warm-up.
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How many rounds, each on servers of its own; the medians are told.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: u32,
    /// How many members its own cluster has.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members(), conflicts_with = "endpoints")]
    members: u64,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

impl Bulk {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let at = self.at.at()?;
        let bulk = bulk::Bulk {
            leases: self.leases as usize,
            holders: self.holders.min(self.leases) as usize,
            frame: self.frame as usize,
            seconds: self.seconds,
            runs: self.runs,
            members: self.members,
        };
        self.common.run(|program| bulk::measure(bulk, &at, program))
    }
}

/// How much memory a connection takes at a server, by the session's or by Juju's door, and how much a lease: on members of its own.
#[derive(Debug, Args)]
pub(super) struct Memory {
    /// How many leases are held, with names and holders of 32 bytes; with 0, what one takes is not told.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(..=2_000_000))]
    leases: u32,
    /// How many connections there are, each with a wait on its way; or, with --target juju, an agent's, which is logged in and idle.
    #[arg(long, visible_alias = "connections", value_name = "N", default_value = "15000",
          value_parser = clap::value_parser!(u32).range(1..=17_000))]
    holders: u32,
    /// How many members there are: each has a part of the connections, and all leases.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse::members())]
    members: u64,
    /// Give its members certificates, and come to them by TLS.
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    common: Common,
}

impl Memory {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let memory = memory::Memory {
            leases: self.leases as usize,
            holders: self.holders as usize,
            members: self.members,
        };
        let at = At { tls: self.tls, door: self.target.door(), ..At::default() };
        self.common.run(|program| memory::measure(memory, &at, program))
    }
}

/// What those who hold leases notice while three times as much is claimed as can be done, and whether the excess is answered in time.
#[derive(Debug, Args)]
pub(super) struct Overload {
    /// How many leases are held.
    #[arg(long, value_name = "N", default_value = "4000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    leases: u32,
    /// How many hold them, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    holders: u32,
    /// Their leases' ttl in seconds; each is extended at about a third of it.
    #[arg(long, value_name = "N", default_value = "15", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    ttl: u64,
    /// Over how many connections claims are offered.
    #[arg(long, value_name = "N", default_value = "128", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    claimers: u32,
    /// How many claims share a frame.
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    frame: u32,
    /// How long too much is offered.
    #[arg(long, value_name = "N", default_value = "120", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How long behind that extends are measured again.
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u64).range(..=3_600))]
    settle: u64,
    /// How many members its own cluster has.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members(), conflicts_with = "endpoints")]
    members: u64,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

impl Overload {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let at = self.at.at()?;
        let overload = overload::Overload {
            leases: self.leases as usize,
            holders: self.holders.min(self.leases) as usize,
            ttl_s: self.ttl,
            claimers: self.claimers as usize,
            frame: self.frame as usize,
            seconds: self.seconds,
            settle_s: self.settle,
            members: self.members,
        };
        self.common.run(|program| overload::measure(overload, &at, program))
    }
}

/// What very many leases do to those who extend theirs: while snapshots of them are made, and while all of them expire at once; and how
/// long a member takes to come back with them. On a cluster of its own; it takes some minutes.
#[derive(Debug, Args)]
pub(super) struct Million {
    /// How many leases are held, with names and holders of 32 bytes.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1_000..=2_000_000))]
    leases: u32,
    /// How many members its cluster has.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members())]
    members: u64,
    /// Give its members certificates, and come to them by TLS.
    #[arg(long)]
    tls: bool,
    #[command(flatten)]
    common: Common,
}

impl Million {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let million = million::Million { leases: self.leases as usize, members: self.members };
        let at = At { tls: self.tls, ..At::default() };
        self.common.run(|program| million::measure(million, &at, program))
    }
}
