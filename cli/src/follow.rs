//! `watch`, `history`, `check`: what has happened to leases, and whether a token still stands.

use std::time::Duration;

use api::{Call, Event, Reply, What};
use claimer::duration::GoDuration;
use clap::Args;

use crate::connect::{Reach, misfit};
use crate::exit::{Exit, Failure, quoted};
use crate::output::{Format, JsonFlag, Next, print, print_line, say};
use crate::parse;
use crate::signals::unless_ended;

const TITLES: &[&str] = &["REVISION", "NAME", "EVENT", "TOKEN", "DETAIL"];

/// See every change of a lease, or of all whose names start so, as it happens: a line an event. Extends are no changes.
///
/// Columns: REVISION, what to give --after to go on from there; NAME; EVENT: granted, confirmed, valued, ending, ended, pinned or
/// unpinned; TOKEN of the grant, a dash where it is about none; DETAIL: the holder, the value, how it ended and whose it was, the
/// reason, or who pins it. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Only the lease of this name [default: every lease of the namespace].
    #[arg(value_parser = parse::name(), conflicts_with = "prefix")]
    name: Option<String>,
    /// Only leases whose names start so.
    #[arg(long, value_parser = parse::prefix())]
    prefix: Option<String>,
    /// Every change after this revision [default: from now on].
    #[arg(long, value_name = "REVISION", allow_negative_numbers = true, value_parser = parse::number("a revision"))]
    after: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// See how grants ended, the newest first.
///
/// Columns: NAME; TOKEN and HOLDER of the grant; WHY: expired, unconfirmed, released, transferred, revoked or restored; REASON of
/// the operator who revoked it, or a dash; AGO, on the lease clock, which stands still while nothing is held; REMAINED, how much
/// time it had left when it was last extended. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Only of the lease of this name.
    #[arg(value_parser = parse::name())]
    name: Option<String>,
    /// At most so many, 1 to 1000.
    #[arg(long, value_name = "NUMBER", default_value = "100", allow_negative_numbers = true, value_parser = parse::limit(1_000))]
    limit: u64,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Ask whether a token is that of a lease's living grant: done where it is, refused where it is not.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// The token that somebody showed; --token takes it too.
    #[arg(allow_negative_numbers = true, value_parser = parse::token(), required_unless_present = "as_flag")]
    token: Option<u64>,
    /// The same, as the other verbs take it.
    #[arg(long = "token", value_name = "TOKEN", allow_hyphen_values = true, value_parser = parse::token(), conflicts_with = "token")]
    as_flag: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn watch(args: &Watch) -> Result<Exit, Failure> {
    // Whoever watches ends it so: nothing is left behind, and nothing is to be said.
    unless_ended(follow(args), |signal| Ok(Exit::Signal(signal)))
}

async fn follow(args: &Watch) -> Result<Exit, Failure> {
    let session = args.reach.connect_aloud().await?;
    let watch = api::Watch {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        prefix: args.prefix.clone(),
        after: args.after,
    };
    let mut watcher = session.watch(watch).await.into_result()?;
    say(format!("watching {} after revision {}", watched(args), watcher.revision()));
    let format = args.json.format();
    if format == Format::Table {
        print_line(Format::Plain, &TITLES.iter().map(|title| (*title).to_owned()).collect::<Vec<_>>(), &())?;
    }
    while let Some(event) = watcher.next().await {
        let event = event?;
        // A reader that has seen enough ends the watch.
        if print_line(format, &row(&event), &event)? == Next::Enough {
            break;
        }
    }
    Ok(Exit::Done)
}

/// What is watched.
fn watched(args: &Watch) -> String {
    let what = match (&args.name, &args.prefix) {
        (Some(name), _) => format!("lease {}", quoted(name)),
        (None, Some(prefix)) => format!("every lease whose name starts with {}", quoted(prefix)),
        (None, None) => "every lease".to_owned(),
    };
    format!("{what} in namespace {}", quoted(&args.reach.namespace))
}

fn row(event: &Event) -> Vec<String> {
    let (what, token, detail) = match &event.what {
        What::Granted(grant) => {
            let unconfirmed = if grant.confirmed { "" } else { ", unconfirmed" };
            ("granted", grant.token.to_string(), format!("{}{unconfirmed}", grant.holder))
        }
        What::Confirmed(grant) => ("confirmed", grant.token.to_string(), "-".to_owned()),
        What::Valued(valued) => ("valued", valued.token.to_string(), valued.value.clone()),
        What::Ended(end) => ("ended", end.token.to_string(), how(end)),
        What::Ending(ending) => ("ending", ending.token.to_string(), ending.reason.clone()),
        What::Pinned(pin) => ("pinned", "-".to_owned(), pin.entity.clone()),
        What::Unpinned(pin) => ("unpinned", "-".to_owned(), pin.entity.clone()),
    };
    let detail = if detail.is_empty() { "-".to_owned() } else { detail };
    vec![event.revision.to_string(), event.name.clone(), what.to_owned(), token, detail]
}

/// How a grant ended, and whose it was.
fn how(end: &api::End) -> String {
    match end.reason.as_deref().filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{}: {reason} ({})", end.why, end.holder),
        None => format!("{} ({})", end.why, end.holder),
    }
}

pub(crate) fn history(args: &History) -> Result<Exit, Failure> {
    let call = api::History {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        limit: Some(args.limit),
    };
    let Reply::Ends(ends) = args.reach.call(Call::History(call))? else { return Err(misfit()) };
    let span = |millis| GoDuration::from(Duration::from_millis(millis)).to_string();
    let rows: Vec<Vec<String>> = ends
        .ends
        .iter()
        .map(|of| {
            let end = &of.end;
            let reason = end.reason.clone().filter(|reason| !reason.is_empty());
            vec![
                of.name.clone(),
                end.token.to_string(),
                end.holder.clone(),
                end.why.clone(),
                reason.unwrap_or_else(|| "-".to_owned()),
                span(end.ago_ms),
                // Two times side by side tell nothing of which is which.
                format!("{} left", span(end.remained_ms)),
            ]
        })
        .collect();
    // AGO is on the lease clock, which stands still while nothing is held.
    let titles = ["NAME", "TOKEN", "HOLDER", "WHY", "REASON", "AGO", "REMAINED"];
    print(args.json.format(), &titles, &rows, &ends)?;
    Ok(Exit::Done)
}

pub(crate) fn check(args: &Check) -> Result<Exit, Failure> {
    let Some(token) = args.token.or(args.as_flag) else {
        return Err(Failure::usage("no token is given; give the one that somebody showed"));
    };
    let call = api::Check { namespace: args.reach.namespace.clone(), name: args.name.clone(), token };
    let Reply::Checked(checked) = args.reach.call(Call::Check(call))? else { return Err(misfit()) };
    let remaining = GoDuration::from(Duration::from_millis(checked.remaining_ms)).to_string();
    let row = vec![checked.token.to_string(), args.name.clone(), checked.holder.clone(), remaining];
    print(args.json.format(), &["TOKEN", "NAME", "HOLDER", "REMAINING"], &[row], &checked)?;
    Ok(Exit::Done)
}
