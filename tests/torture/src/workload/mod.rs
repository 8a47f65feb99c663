//! The clients: a process full of holders, each with a session of its own, who take, keep, lose and hand on a few leases, and
//! write down all that they are told.
//!
//! It runs in a network namespace of its own, may be stopped and killed like any other client, and ends at SIGTERM.

mod board;
mod holder;
mod rate;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use client::{Clock, Endpoint, Options, Session};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::recorder::Recorder;
use board::Board;
use holder::Holder;
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
        signal(SignalKind::terminate())?.recv().await;
        let _ = stop.send(true);
        while holders.join_next().await.is_some() {}
        Ok(())
    })
}
