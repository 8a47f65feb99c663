//! What is to be done: which holders compete for which leases, at what pace, from how many processes. Pure.
//!
//! A holder is written `app/N`, and the lease it wants is `app`: `a0000/0`, `a0000/1` and `a0000/2` compete for the
//! lease `a0000`. `--leases N --units U` makes such names up; arguments name them one by one, as in the article.
//!
//! `--scale-time F` divides every time that the tool chooses (claimtime, renewtime, sleep, ramp, duration) by F. What
//! is printed of those times is multiplied by F again, so that the lines of a run at F = 10 read like those of one
//! that lasted ten times as long. What the server took for a call is never scaled: it is printed as measured.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::GoDuration;
use crate::history::Nanos;
use crate::juju::Login;
use crate::target::Contender;
use crate::verdict::Tokens;

/// Files that one process may have open, of which each holder's connection is one.
pub const DESCRIPTORS_MAX: usize = 20_000;
/// Descriptors left for everything that is no connection.
pub const DESCRIPTORS_SPARE: usize = 200;
/// Holders that one process takes where the user names no number of processes.
pub const HOLDERS_PER_PROCESS: usize = 8_000;
/// Processes of one run.
pub const PROCESSES_MAX: usize = 64;
/// Leases that names are made up for.
pub const LEASES_MAX: usize = 1_000_000;

const _: () = assert!(HOLDERS_PER_PROCESS <= DESCRIPTORS_MAX - DESCRIPTORS_SPARE);

/// The times that the tool chooses, as the user wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// The ttl of a claim and of an extend.
    pub claim_time: Duration,
    /// How long after each success the next extend goes out.
    pub renew_time: Duration,
    /// How long to wait before the start, so that processes start together.
    pub sleep: Duration,
    /// Over how long the first connections are spread.
    pub ramp: Duration,
    /// How long to go on; none is until interrupted.
    pub duration: Option<Duration>,
    /// By what each of these is divided.
    pub scale: f64,
}

impl Pace {
    /// How long `time` really takes.
    pub fn real(&self, time: Duration) -> Duration {
        time.div_f64(self.scale)
    }

    /// How long a `real` time is said to be.
    pub fn told(&self, real: Duration) -> Duration {
        real.mul_f64(self.scale)
    }

    /// The ttl that goes to the server, in milliseconds.
    pub fn ttl_ms(&self) -> u64 {
        u64::try_from(self.real(self.claim_time).as_millis()).unwrap_or(u64::MAX)
    }
}

/// What holders know servers by, and what they are known by: the files, for each process to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The CA that issued the servers' certificates.
    pub ca: PathBuf,
    /// The holders' certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// All of a run's work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workload {
    /// Where the servers are: holder number N starts at number `N mod len`.
    pub endpoints: Vec<String>,
    /// For servers that are reached by TLS.
    pub trust: Option<Trust>,
    /// Over Juju's wire, logged in so; else over Tenure's own session.
    pub juju: Option<Login>,
    /// The leases' namespace.
    pub namespace: String,
    /// Every holder, in the order in which they connect.
    pub holders: Vec<String>,
    /// The times.
    pub pace: Pace,
}

/// One process's part of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Which service is claimed against.
    #[serde(default)]
    pub service: Contender,
    /// As in the workload.
    pub endpoints: Vec<String>,
    /// As in the workload.
    pub trust: Option<Trust>,
    /// As in the workload.
    #[serde(default)]
    pub juju: Option<Login>,
    /// As in the workload.
    pub namespace: String,
    /// Its holders, each with its number in the workload.
    pub holders: Vec<(u32, String)>,
    /// How many holders all processes have together: the ramp spreads over them all.
    pub of: u32,
    /// The times.
    pub pace: Pace,
    /// When the first of all holders connects.
    pub start: Nanos,
}

/// The lease that a holder wants: what stands before the last `/`.
pub fn lease_of(holder: &str) -> &str {
    holder.rsplit_once('/').map_or(holder, |(lease, _)| lease)
}

/// Why a workload cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidWorkload(pub String);

impl std::fmt::Display for InvalidWorkload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidWorkload {}

/// Checks a holder that was given as an argument.
///
/// # Errors
/// Where it is not `app/N` with a name before the last `/` and a number behind it.
pub fn check_holder(holder: &str) -> Result<(), InvalidWorkload> {
    let form = "a holder is written app/N, such as a0000/0, and the lease it wants is app";
    let shown = api::rules::Quoted(holder);
    match holder.rsplit_once('/') {
        Some((lease, unit)) if !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_digit()) => {
            api::rules::Name::parse(lease).and(api::rules::Holder::parse(holder).map(drop)).map_err(|error| {
                InvalidWorkload(format!("the holder {shown} cannot be used: {error}; {form}"))
            })
        }
        _ => Err(InvalidWorkload(format!("{shown} is no holder: {form}"))),
    }
}

/// Makes up `leases` leases with `units` holders each: `a0000/0`, `a0000/1`, ….
///
/// # Errors
/// Where there would be none, or more than [`LEASES_MAX`].
pub fn make_holders(leases: usize, units: usize) -> Result<Vec<String>, InvalidWorkload> {
    if !(1..=LEASES_MAX).contains(&leases) {
        return Err(InvalidWorkload(format!("--leases {leases} is out of bounds: 1 to {LEASES_MAX}")));
    }
    if !(1..=100).contains(&units) {
        return Err(InvalidWorkload(format!("--units {units} is out of bounds: 1 to 100")));
    }
    let digits = (leases - 1).checked_ilog10().map_or(1, |log| log as usize + 1).max(4);
    // The unit that connects first wins its lease. The order turns from lease to lease, so that unit 0 does not win
    // them all: the article shuffled them.
    let holders = (0..leases).flat_map(|lease| {
        (0..units).map(move |turn| format!("a{lease:0digits$}/{}", (lease + turn) % units))
    });
    Ok(holders.collect())
}

impl Workload {
    /// Whether grants have tokens, as this service tells them.
    pub fn tokens(&self) -> Tokens {
        if self.juju.is_some() { Tokens::Untold } else { Tokens::Told }
    }

    /// How many leases the holders compete for.
    pub fn leases(&self) -> usize {
        self.holders.iter().map(|holder| lease_of(holder)).collect::<BTreeSet<_>>().len()
    }

    /// How many processes are needed where the user names no number.
    pub fn processes_default(&self) -> usize {
        self.holders.len().div_ceil(HOLDERS_PER_PROCESS).clamp(1, PROCESSES_MAX)
    }

    /// Splits the holders over `processes`: those of one lease stay together, as in the article.
    ///
    /// # Errors
    /// Where a process would need more than [`DESCRIPTORS_MAX`] descriptors.
    pub fn split(&self, processes: usize, start: Nanos) -> Result<Vec<Share>, InvalidWorkload> {
        if !(1..=PROCESSES_MAX).contains(&processes) {
            return Err(InvalidWorkload(format!(
                "--processes {processes} is out of bounds: 1 to {PROCESSES_MAX}"
            )));
        }
        let mut shares = vec![self.empty_share(start); processes];
        for (turn, lease) in self
            .holders
            .chunk_by(|a, b| lease_of(a) == lease_of(b))
            .scan(0, |number, lease| {
                let first = *number;
                *number += lease.len();
                Some((first, lease))
            })
            .enumerate()
        {
            let (first, holders) = lease;
            let numbered = holders.iter().enumerate().map(|(n, holder)| (number(first + n), holder.clone()));
            shares[turn % processes].holders.extend(numbered);
        }
        let most = shares.iter().map(|share| share.holders.len()).max().unwrap_or(0);
        if most > DESCRIPTORS_MAX - DESCRIPTORS_SPARE {
            return Err(InvalidWorkload(format!(
                "one process would open {most} connections, and it may have {} open files; use --processes {} or more",
                DESCRIPTORS_MAX,
                self.processes_default()
            )));
        }
        shares.retain(|share| !share.holders.is_empty());
        Ok(shares)
    }

    fn empty_share(&self, start: Nanos) -> Share {
        Share {
            service: Contender::default(),
            endpoints: self.endpoints.clone(),
            trust: self.trust.clone(),
            juju: self.juju.clone(),
            namespace: self.namespace.clone(),
            holders: Vec::new(),
            of: number(self.holders.len()),
            pace: self.pace,
            start,
        }
    }
}

impl Share {
    /// When the holder of this number connects, at the earliest.
    pub fn connects_at(&self, holder: u32) -> Nanos {
        let part = f64::from(holder) / f64::from(self.of.max(1));
        self.start.plus(self.pace.real(self.pace.ramp).mul_f64(part))
    }
}

/// How long to wait before try number `attempt` (from 0) of a call, where the server named no time: from 50 ms,
/// doubled each time, up to a second or an eighth of the ttl. `holder` spreads them over half to all of it.
pub fn backoff(attempt: u32, holder: u32, ttl: Duration) -> Duration {
    let longest = (ttl / 8).min(Duration::from_secs(1));
    let full = Duration::from_millis(50).saturating_mul(1 << attempt.min(10)).min(longest);
    // A multiplicative hash: neighbours land far apart, and the same run spreads the same way again.
    let spread = (holder.wrapping_add(attempt)).wrapping_mul(2_654_435_769) >> 16;
    full / 2 + (full / 2).mul_f64(f64::from(spread) / 65_536.0)
}

/// A time as the lines show it, rounded to milliseconds.
pub fn millis(time: Duration) -> GoDuration {
    GoDuration::from(time).to_millis()
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
