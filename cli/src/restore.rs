//! `restore`: a backup becomes the data folder of a new cluster's first member. No server runs meanwhile.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use server::{ExitKind, NewCluster, RestoreError};

use crate::beginning::Target;
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print, say};
use crate::parse;

const TITLES: &[&str] = &["DATA", "CLUSTER", "MEMBER", "ENDED", "UNCLAIMABLE", "NEXT TOKEN"];

/// Begin a new cluster with what a backup holds.
///
/// Stop every member of the old cluster first, for good: the new one has another id, and its tokens are higher than any that the old
/// one gave. Every grant ends, as restored, and nobody can claim its key until the grant's whole ttl has passed on the new cluster's
/// clock, since its holder may believe in it so long. Pins, settings and history are kept. Keys that were claimed after the backup
/// was taken are not known, and not protected.
///
/// Tokens that clients come by are forgotten, for one that was revoked since would be good again: `tenure token create` makes new ones.
///
/// Columns: DATA, the folder; CLUSTER, its new id; MEMBER; ENDED, how many grants; UNCLAIMABLE, how many keys wait; NEXT TOKEN. In a
/// pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup.
    file: PathBuf,
    #[command(flatten)]
    target: Target,
    /// The id of the new cluster's first member [default: 1; with --config, the one that it says].
    #[arg(long, value_name = "N", conflicts_with = "config", value_parser = parse::member())]
    member: Option<u64>,
    /// Free every key at once: where it is sure that no holder of before believes any more.
    #[arg(long)]
    discard_grants: bool,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// What was made, for `--json`.
#[derive(Debug, Serialize)]
struct Made {
    data: String,
    cluster: String,
    member: String,
    ended: u64,
    unclaimable: u64,
    next_token: String,
    forgotten_tokens: u64,
}

pub(crate) fn restore(args: &Restore) -> Result<Exit, Failure> {
    let new = args.target.beginning(args.member)?;
    let NewCluster { cluster, member, restored } = server::restore(&server::Restore {
        file: args.file.clone(),
        new: new.clone(),
        discard_grants: args.discard_grants,
    })?;
    let made = Made {
        data: new.data.display().to_string(),
        cluster: format!("{cluster:032x}"),
        member: member.to_string(),
        ended: restored.ended,
        unclaimable: restored.unclaimable,
        next_token: restored.next_token.as_u64().to_string(),
        forgotten_tokens: restored.forgotten as u64,
    };
    let counts = [made.ended, made.unclaimable].map(|count| count.to_string());
    let [ended, unclaimable] = counts;
    let row = vec![
        made.data.clone(),
        made.cluster.clone(),
        made.member.clone(),
        ended,
        unclaimable,
        made.next_token.clone(),
    ];
    print(args.json.format(), TITLES, &[row], &made)?;
    say(format!("restored: start it with `{}`", args.target.to_start(&new)));
    if restored.forgotten > 0 {
        say(format!(
            "no client's token of before is good there ({} were): make new ones, with `tenure token create`",
            restored.forgotten
        ));
    }
    Ok(Exit::Done)
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Failure {
        let (exit, code) = match error.exit_kind() {
            ExitKind::Refused => (Exit::Refused, "refused"),
            ExitKind::Usage => (Exit::Usage, "usage"),
            ExitKind::Unavailable => (Exit::Unavailable, "unavailable"),
        };
        Failure { exit, code: code.to_owned(), message: error.to_string(), problem: None }
    }
}
