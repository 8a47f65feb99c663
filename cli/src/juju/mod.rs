//! `juju`: leases from Juju's raft, and back to it, as the snapshot that it keeps.

mod export;
mod import;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::connect::Reached;
use crate::exit::{Exit, Failure};

/// Take over the leases that Juju's controllers kept in raft, or give them back.
///
/// A lease of Juju's, by namespace, model and name, is the lease of that name in our namespace NAMESPACE:MODEL, as in
/// application-leadership:8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11. Its holder is known by name, as at the Juju door.
#[derive(Debug, Args)]
pub(crate) struct Juju {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Claim what a snapshot of Juju's raft holds, each lease for what remained of it, and pin what it pins.
    ///
    /// The file is the state.bin of a snapshot in Juju's raft folder: YAML, version 1. Nothing is asked for unless all of it can be
    /// read. What remained is counted from the snapshot's own clock, which stood still since; it is rounded up to a second where it is
    /// less. What was over, and is not pinned, is left out. To import twice is no harm: a lease that its holder has by then is
    /// extended, and one that another has is refused, and said. Exit code 1 where anything was.
    ///
    /// Columns: CLAIMED and PINS, what is there now; OVER, what was left out; REFUSED.
    Import {
        /// The snapshot, or - for stdin.
        file: PathBuf,
        #[command(flatten)]
        reached: Reached,
    },
    /// Print a snapshot of all leases of Juju's, as its raft would keep it.
    ///
    /// What remains of each lease is as of the moment at which it was read. Tokens have no place in it: whoever claims over Juju's
    /// wire has none.
    Export {
        #[command(flatten)]
        reached: Reached,
    },
}

impl Juju {
    pub(crate) fn json(&self) -> bool {
        let (Verb::Import { reached, .. } | Verb::Export { reached }) = &self.verb;
        reached.json.json
    }
}

pub(crate) fn juju(args: &Juju) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::Import { file, reached } => import::import(file, reached),
        Verb::Export { reached } => export::export(reached),
    }
}
