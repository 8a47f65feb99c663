//! `members`: who belongs to the cluster, and how that changes.

use std::time::Duration;

use api::rules::JOIN_TOKEN_LIFE_DEFAULT;
use api::{Call, ChangeMembers, MemberChange, Reply};
use claimer::duration::GoDuration;
use clap::{Args, Subcommand};

use crate::connect::{Reached, UNKNOWN_REMEDY, misfit};
use crate::exit::{Exit, Failure};
use crate::invite;
use crate::output::print;
use crate::parse;
use crate::read::say_stale;

/// See the cluster's members, and change them. Any member may be asked.
///
/// A new member is an observer first: it serves clients, and has no vote. Invite it, with an id that no member has had; it joins with
/// tenure join. Promote it once it lacks nothing, two at a time; or have it replace a voter.
#[derive(Debug, Args)]
pub(crate) struct Members {
    #[command(subcommand)]
    verb: Verb,
}

/// How long a token is good where nobody says, as it is typed.
const LIFE_DEFAULT: &str = "1h";
const _: () = assert!(JOIN_TOKEN_LIFE_DEFAULT.as_millis() == 60 * 60 * 1_000, "1h, as it is typed");

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the members, as the leader sees them.
    ///
    /// Columns: ID; PART: leader, voter or observer, and whether it is draining; ADDRESS, where the others reach it; LACKS, how many entries
    /// of the leader's log it does not have yet; HEARD, how long ago the leader heard it. A dash is nothing: of the leader itself, and of
    /// a member that this leader has not heard at all.
    List {
        /// Show the members as the one that is asked knows them: it may be old, and needs no quorum. LACKS and HEARD are then dashes.
        #[arg(long)]
        stale: bool,
        #[command(flatten)]
        reached: Reached,
    },
    /// Make a token by which a new member joins, with tenure join: it is good once.
    Invite {
        /// The new member's id, from 1, which no member has or had.
        #[arg(value_parser = parse::member())]
        id: u64,
        /// How long the token is good.
        #[arg(long, value_name = "TIME", default_value = LIFE_DEFAULT, value_parser = parse::token_life())]
        expires: Duration,
        #[command(flatten)]
        reached: Reached,
    },
    /// Take a new member in, as an observer.
    Add {
        /// Its id, from 1, which no member has or had.
        #[arg(value_parser = parse::member())]
        id: u64,
        /// Where the others reach it: HOST:PORT.
        address: String,
        #[command(flatten)]
        reached: Reached,
    },
    /// Make observers voters. The number of voters stays odd, and at most 7.
    Promote {
        /// Which.
        #[arg(required = true, value_parser = parse::member())]
        ids: Vec<u64>,
        #[command(flatten)]
        reached: Reached,
    },
    /// Take members out: not the one that leads, and no majority of the voters.
    Remove {
        /// Which.
        #[arg(required = true, value_parser = parse::member())]
        ids: Vec<u64>,
        #[command(flatten)]
        reached: Reached,
    },
    /// Have an observer take a voter's place, who goes.
    Replace {
        /// The voter.
        #[arg(value_parser = parse::member())]
        old: u64,
        /// The observer.
        #[arg(value_parser = parse::member())]
        new: u64,
        #[command(flatten)]
        reached: Reached,
    },
    /// Reach a member at another address from now on.
    ///
    /// Stop the member, move it, and start it there first: the leader calls it at the new address, and changes nothing where anybody
    /// else, or nobody, answers.
    SetAddress {
        /// Which.
        #[arg(value_parser = parse::member())]
        id: u64,
        /// Where the others reach it: HOST:PORT.
        address: String,
        #[command(flatten)]
        reached: Reached,
    },
    /// Have a member left alone, before it is stopped or its machine is worked on: its clients go elsewhere, and so does the lead.
    ///
    /// It goes on serving whoever stays, and /readyz says why it is not ready. That is kept over a restart, until it is ended.
    Drain {
        /// Which.
        #[arg(value_parser = parse::member())]
        id: u64,
        /// End it: the member is as the others again.
        #[arg(long)]
        end: bool,
        #[command(flatten)]
        reached: Reached,
    },
    /// Have another voter lead.
    TransferLeadership {
        /// Which [default: the one that has most of the log].
        #[arg(value_parser = parse::member())]
        to: Option<u64>,
        #[command(flatten)]
        reached: Reached,
    },
}

impl Members {
    pub(crate) fn json(&self) -> bool {
        self.asked().0.json.json
    }

    fn asked(&self) -> (&Reached, Option<MemberChange>) {
        match &self.verb {
            Verb::List { reached, .. } | Verb::Invite { reached, .. } => (reached, None),
            Verb::Add { id, address, reached } => {
                (reached, Some(MemberChange::Add { id: *id, address: address.clone() }))
            }
            Verb::Promote { ids, reached } => (reached, Some(MemberChange::Promote { ids: ids.clone() })),
            Verb::Remove { ids, reached } => (reached, Some(MemberChange::Remove { ids: ids.clone() })),
            Verb::Replace { old, new, reached } => {
                (reached, Some(MemberChange::Replace { old: *old, new: *new }))
            }
            Verb::SetAddress { id, address, reached } => {
                (reached, Some(MemberChange::SetAddress { id: *id, address: address.clone() }))
            }
            Verb::Drain { id, end, reached } => (reached, Some(MemberChange::Drain { id: *id, end: *end })),
            Verb::TransferLeadership { to, reached } => {
                (reached, Some(MemberChange::TransferLeadership { to: *to }))
            }
        }
    }
}

pub(crate) fn members(args: &Members) -> Result<Exit, Failure> {
    let (reached, change) = args.asked();
    if let Verb::Invite { id, expires, .. } = &args.verb {
        return invite::invite(*id, *expires, &reached.way, reached.json);
    }
    let stale = matches!(args.verb, Verb::List { stale: true, .. });
    let call = Call::Members(ChangeMembers { change, deadline_ms: None, stale });
    let done = reached.way.call(call).map_err(|mut failure| {
        // A lease is not what was asked about.
        failure.message = failure.message.replace(UNKNOWN_REMEDY, ": look with `tenure members list`");
        if failure.code == "no_leader" && matches!(args.verb, Verb::List { .. }) {
            failure.message.push_str("; or see what one member knows with --stale");
        }
        failure
    });
    let Reply::Members(members) = done? else { return Err(misfit()) };
    let dash = || "-".to_owned();
    let rows: Vec<Vec<String>> = members
        .members
        .iter()
        .map(|member| {
            let part = match (member.leads, member.voter) {
                (true, _) => "leader",
                (false, true) => "voter",
                (false, false) => "observer",
            };
            let heard = |millis| GoDuration::from(Duration::from_millis(millis)).to_string();
            let draining = if member.draining { ", draining" } else { "" };
            vec![
                member.id.to_string(),
                format!("{part}{draining}"),
                if member.address.is_empty() { dash() } else { member.address.clone() },
                member.lacks.map_or_else(dash, |lacks| lacks.to_string()),
                member.heard_ago_ms.map_or_else(dash, heard),
            ]
        })
        .collect();
    say_stale(members.stale);
    print(reached.json.format(), &["ID", "PART", "ADDRESS", "LACKS", "HEARD"], &rows, &members)?;
    Ok(Exit::Done)
}
