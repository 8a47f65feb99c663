//! The clients: a process full of holders, each with a session of its own, who take, keep, lose and hand on a few leases, and
//! write down all that they are told.
//!
//! It runs in a network namespace of its own, may be stopped and killed like any other client, and ends at SIGTERM.

mod board;
mod holder;
mod keeper;
mod rate;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use client::{Clock, Endpoint, Options, Session};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::recorder::Recorder;
use board::Board;
use holder::Holder;
use keeper::{Keeper, Part};
use rate::{Rate, RatedClock};

/// The namespace of all leases of a run.
pub(crate) const NAMESPACE: &str = "torture";

/// What a process of clients is told.
#[derive(Clone, Debug, Args)]
pub(crate) struct Workload {
    /// The members' client ports, with commas between.
    #[arg(long)]
    endpoints: String,
    /// Which process this is, from 1.
    #[arg(long)]
    process: u64,
    /// How many holders it has.
    #[arg(long)]
    holders: usize,
    /// How many leases all processes share.
    #[arg(long)]
    leases: usize,
    /// How many others keep a lease each.
    #[arg(long, default_value_t = 0)]
    keepers: usize,
    /// How many wait in line behind each of those.
    #[arg(long, default_value_t = 0)]
    waiters: usize,
    /// How many extend a lease each by hand, through each member.
    #[arg(long, default_value_t = 0)]
    extenders: usize,
    /// For how long those hold it at a time, in milliseconds.
    #[arg(long, default_value_t = 3_000)]
    keep_ms: u64,
    /// How often those extend by hand, in milliseconds.
    #[arg(long, default_value_t = 100)]
    every_ms: u64,
    /// What its chance is made of.
    #[arg(long)]
    seed: u64,
    /// How fast its clock runs, in thousandths.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Where its history goes.
    #[arg(long)]
    history: PathBuf,
}

impl Workload {
    /// Those who do one thing each: name, lease, and what.
    fn parts(&self, members: usize) -> Vec<(String, String, Part)> {
        let (process, every) = (self.process, Duration::from_millis(self.every_ms));
        let mut parts = Vec::new();
        for i in 0..self.keepers {
            parts.push((format!("k{process}-{i}"), format!("k{process}-{i}"), Part::Keep));
            for n in 0..self.waiters {
                parts.push((format!("w{process}-{i}-{n}"), format!("k{process}-{i}"), Part::Wait));
            }
        }
        for through in 1..=members as u64 {
            let names = (0..self.extenders).map(|i| format!("x{process}-{through}-{i}"));
            parts.extend(names.map(|name| (name.clone(), name, Part::Extend { through, every })));
        }
        parts
    }
}

/// Runs until SIGTERM.
pub(crate) fn run(args: &Workload) -> io::Result<()> {
    let recorder = Recorder::create(&args.history, args.process)?;
    let rate = Rate(args.rate);
    let clock: Arc<dyn Clock> = Arc::new(RatedClock::start(rate)?);
    let board = Board::start(recorder.clone(), clock.clone(), rate);
    let endpoints = Endpoint::parse_list(&args.endpoints).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (stop, stopping) = watch::channel(false);
        let mut holders = tokio::task::JoinSet::new();
        for i in 0..args.holders {
            // Each begins at another member.
            let mut endpoints = endpoints.clone();
            endpoints.rotate_left(i % args.endpoints.split(',').count());
            let options =
                Options { clock: Some(clock.clone()), deadline: holder::DEADLINE, ..Options::new(endpoints) };
            let holder = Holder {
                name: format!("h{}-{i}", args.process),
                leases: args.leases,
                session: Session::open(options).map_err(io::Error::other)?,
                board: board.clone(),
                recorder: recorder.clone(),
                chance: StdRng::seed_from_u64(args.seed.wrapping_add(i as u64)),
                stopping: stopping.clone(),
            };
            holders.spawn(holder.run());
        }
        for (i, (name, lease, part)) in args.parts(endpoints.len()).into_iter().enumerate() {
            let mut endpoints = endpoints.clone();
            match part {
                Part::Extend { through, .. } => endpoints = vec![endpoints[through as usize - 1].clone()],
                Part::Keep | Part::Wait => endpoints.rotate_left(i % args.endpoints.split(',').count()),
            }
            let options =
                Options { clock: Some(clock.clone()), deadline: holder::DEADLINE, ..Options::new(endpoints) };
            let keeper = Keeper {
                name,
                lease,
                ttl: Duration::from_millis(args.keep_ms),
                part,
                session: Session::open(options).map_err(io::Error::other)?,
                board: board.clone(),
                recorder: recorder.clone(),
                stopping: stopping.clone(),
            };
            holders.spawn(keeper.run());
        }
        signal(SignalKind::terminate())?.recv().await;
        let _ = stop.send(true);
        while holders.join_next().await.is_some() {}
        Ok(())
    })
}
