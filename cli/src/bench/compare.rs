//! The benches that can measure another service beside ours, in turn: `extend`, `claim` and `storm`.

use claimer::bench::{At, Contender, Door, claim, extend, storm};
use clap::{Args, ValueEnum};

use super::{Common, Target, Where};
use crate::exit::{Exit, Failure};
use crate::parse;

/// Rounds, where nobody says how many: of one service alone, and of two that take turns.
const RUNS: u32 = 1;
const RUNS_BESIDE: u32 = 3;

/// What to measure beside ours.
#[derive(Debug, Args)]
struct Beside {
    /// Measure another service too, in turn with this one, on three members of its own with their real syncs; it must be installed, and
    /// is reached without TLS.
    #[arg(long, value_name = "SERVICE", conflicts_with = "tls")]
    vs: Option<Vs>,
    /// How many rounds, each on servers of its own; the medians are told [default: 1; with --vs 3].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    runs: Option<u32>,
    /// How many members its own cluster has.
    #[arg(long, value_name = "N", default_value = "3", value_parser = parse::members(), conflicts_with = "endpoints")]
    members: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Vs {
    /// etcd, from Debian's etcd-server or whichever is in the PATH.
    Etcd,
}

impl Beside {
    fn vs(&self) -> Option<Contender> {
        self.vs.map(|Vs::Etcd| Contender::Etcd)
    }

    fn runs(&self) -> u32 {
        self.runs.unwrap_or(if self.vs.is_some() { RUNS_BESIDE } else { RUNS })
    }
}

/// How many extends a second, and what one costs the servers: holders that extend their leases in turn, each its next one once the last
/// is answered.
#[derive(Debug, Args)]
pub(super) struct Extend {
    /// How many leases are held [default: one for each holder].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    leases: Option<u32>,
    /// How many hold them, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    holders: u32,
    /// How long each round is measured, behind a second of warm-up.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

impl Extend {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let at = self.at.at()?;
        let extend = extend::Extend {
            leases: self.leases.unwrap_or(self.holders) as usize,
            // Fewer leases than the usual number of holders: one holder each.
            holders: self.leases.map_or(self.holders, |leases| leases.min(self.holders)) as usize,
            seconds: self.seconds,
            runs: self.beside.runs(),
            members: self.beside.members,
            vs: self.beside.vs(),
        };
        self.common.run(|program| extend::measure(extend, &at, program))
    }
}

/// How many new leases a second, and what one costs the servers: holders that claim leases which nobody has had, each its next one once
/// the last is granted.
#[derive(Debug, Args)]
pub(super) struct Claim {
    /// How many leases are claimed in a round at most.
    #[arg(long, value_name = "N", default_value = "1000000", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    leases: u32,
    /// How many claim, each on a connection of its own.
    #[arg(long, value_name = "N", default_value = "512", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    holders: u32,
    /// How long each round is measured, behind a second of warm-up.
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

impl Claim {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let at = self.at.at()?;
        let claim = claim::Claim {
            leases: self.leases as usize,
            holders: self.holders.min(self.leases) as usize,
            seconds: self.seconds,
            runs: self.beside.runs(),
            members: self.beside.members,
            vs: self.beside.vs(),
        };
        self.common.run(|program| claim::measure(claim, &at, program))
    }
}

/// A fleet that starts at once: how long until every lease is held, what its claims and extends take meanwhile and after, and what the
/// servers have then.
#[derive(Debug, Args)]
pub(super) struct Storm {
    /// How many leases are wanted.
    #[arg(long, value_name = "N", default_value = "16000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    leases: u32,
    /// How many want each, every one on a connection of its own.
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=10))]
    holders: u32,
    /// The leases' ttl in seconds; they are extended at half of it.
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(2..=3_600))]
    ttl: u64,
    /// How long the steady state behind the storm is measured: half of the ttl at least.
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How many observers its own cluster has beside the voters: members that serve clients, and have no vote.
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u64).range(..=9), conflicts_with = "endpoints")]
    observers: u64,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    beside: Beside,
    #[command(flatten)]
    at: Where,
    #[command(flatten)]
    common: Common,
}

impl Storm {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let at = At { door: self.target.door(), ..self.at.at()? };
        // Others' servers may have no such door, or may throttle it.
        if at.door == Door::Juju && !at.endpoints.is_empty() {
            return Err(Failure::usage(
                "--target juju is measured at servers of its own: leave --endpoints out, or use tenure claimer --target juju",
            ));
        }
        let storm = storm::Storm {
            leases: self.leases as usize,
            holders: self.holders as usize,
            ttl_s: self.ttl,
            seconds: self.seconds,
            runs: self.beside.runs(),
            members: self.beside.members,
            observers: self.observers,
            vs: self.beside.vs(),
        };
        self.common.run(|program| storm::measure(storm, &at, program))
    }
}
