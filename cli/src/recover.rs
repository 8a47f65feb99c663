//! `recover`: the last member of a cluster whose majority is lost begins a new one. No server runs meanwhile.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use server::{NewCluster, Survivor};

use crate::beginning::Target;
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print, say};

const TITLES: &[&str] = &["DATA", "CLUSTER", "MEMBER", "LAST ENTRY", "HELD", "NEXT TOKEN"];

/// Begin a new cluster with what the last member of an old one has.
///
/// Where a majority of the voters is lost for good, nobody can say what it had acknowledged and this member never had: that is lost.
/// Where any other member can be brought back, bring it back instead; where several are left, take the one with the highest last
/// entry. Stop every member of the old cluster first, for good. The new one has another id, so that no old member can join it, and
/// its tokens are higher than any that the old one gave. Every grant that this member knows of stays with its holder, and ends no earlier
/// than its whole ttl from now; a lease that it does not know of can be claimed at once, also where its holder still believes: the
/// token protects then.
///
/// Columns: DATA, the new folder; CLUSTER, its new id; MEMBER; LAST ENTRY, TERM/INDEX in the old log; HELD, how many leases; NEXT
/// TOKEN. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The data folder of the member that is left. It stays as it is.
    survivor: PathBuf,
    #[command(flatten)]
    target: Target,
    /// Yes: the others are lost for good, and so may be what they had acknowledged.
    #[arg(long, required = true)]
    sole_survivor: bool,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// What was made, for `--json`.
#[derive(Debug, Serialize)]
struct Made {
    data: String,
    cluster: String,
    member: String,
    old_cluster: String,
    old_voters: Vec<String>,
    last_term: String,
    last_index: String,
    held: u64,
    next_token: String,
}

pub(crate) fn recover(args: &Recover) -> Result<Exit, Failure> {
    let beginning = args.target.beginning(None)?;
    let (old, new): (Survivor, NewCluster) =
        server::recover(&server::Recover { survivor: args.survivor.clone(), new: beginning.clone() })?;
    let voters: Vec<String> = old.voters.iter().map(u64::to_string).collect();
    let made = Made {
        data: beginning.data.display().to_string(),
        cluster: format!("{:032x}", new.cluster),
        member: new.member.to_string(),
        old_cluster: format!("{:032x}", old.cluster),
        old_voters: voters.clone(),
        last_term: old.last.0.to_string(),
        last_index: old.last.1.to_string(),
        held: old.held,
        next_token: new.restored.next_token.as_u64().to_string(),
    };
    let row = vec![
        made.data.clone(),
        made.cluster.clone(),
        made.member.clone(),
        format!("{}/{}", made.last_term, made.last_index),
        made.held.to_string(),
        made.next_token.clone(),
    ];
    print(args.json.format(), TITLES, &[row], &made)?;
    say(format!(
        "recovered: member {} of voters {} of cluster {} goes on alone from entry {}/{}; start it with `{}`, and never one of the old \
         cluster again",
        made.member,
        voters.join(", "),
        made.old_cluster,
        made.last_term,
        made.last_index,
        args.target.to_start(&beginning)
    ));
    Ok(Exit::Done)
}
