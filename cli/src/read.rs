//! `get`, `list`, `count`: see leases without touching them.

use std::time::Duration;

use api::{Call, Count as CountCall, Counted, Get as GetCall, Lease, List as ListCall, Page, Reply, Stale};
use claimer::duration::GoDuration;
use clap::Args;
use client::Session;

use crate::connect::{Reach, misfit, runtime};
use crate::exit::{Exit, Failure};
use crate::output::{Format, JsonFlag, print, say};
use crate::parse;
use crate::usage::is_given;

/// Leases of one page: the server's limit, so that a long list takes the fewest calls.
const PAGE: u64 = api::rules::PAGE_LEASES_MAX as u64;

const TITLES: &[&str] = &["NAME", "TOKEN", "HOLDER", "REMAINING", "STATE", "VALUE"];

/// See one lease.
///
/// Columns: NAME; TOKEN of the grant; HOLDER, or who alone may claim it in a cooldown; REMAINING until the grant or the cooldown
/// ends; STATE: free, held, unconfirmed (it must be extended before it counts), ending (revoked), cooldown, or pinned by whom;
/// VALUE, what the holder tells its readers. A dash is nothing. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    #[command(flatten)]
    how: HowRead,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// How they are read.
#[derive(Debug, Args)]
struct HowRead {
    /// Answer from what the member that is asked knows: it may be old, and needs no quorum. Stderr says which member that was, and how
    /// long ago it heard the leader.
    #[arg(long)]
    stale: bool,
}

/// Which leases.
#[derive(Debug, Args)]
struct Which {
    /// Only names that start so.
    #[arg(long, value_parser = parse::prefix())]
    prefix: Option<String>,
    /// Only those that this holder holds.
    #[arg(long, value_parser = parse::somebody("give a holder with --holder, or leave it out for all"))]
    holder: Option<String>,
    /// In all namespaces.
    #[arg(long)]
    all_namespaces: bool,
}

/// See many leases, ordered by namespace and name.
///
/// Columns: NAME; TOKEN of the grant; HOLDER, or who alone may claim it in a cooldown; REMAINING until the grant or the cooldown
/// ends; STATE: free, held, unconfirmed (it must be extended before it counts), ending (revoked), cooldown, or pinned by whom;
/// VALUE, what the holder tells its readers. A dash is nothing. With --all-namespaces NAMESPACE comes first. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: HowRead,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// Count the leases that are held.
#[derive(Debug, Args)]
pub(crate) struct Count {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: HowRead,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn get(args: &Get) -> Result<Exit, Failure> {
    let call =
        GetCall { namespace: args.reach.namespace.clone(), name: args.name.clone(), stale: args.how.stale };
    let Reply::Lease(lease) = args.reach.call(Call::Get(call))? else { return Err(misfit()) };
    say_stale(lease.stale);
    print(args.json.format(), TITLES, &[row(&lease)], &lease)?;
    Ok(Exit::Done)
}

pub(crate) fn list(args: &List) -> Result<Exit, Failure> {
    args.which.check()?;
    let mut leases = Vec::new();
    runtime()?.block_on(async {
        let session = args.reach.connect().await?;
        let mut after = None;
        loop {
            let page = page(&session, args, after.clone()).await?;
            if after.is_none() {
                say_stale(page.stale);
            }
            leases.extend(page.leases);
            after = page.next;
            if after.is_none() {
                return Ok::<_, Failure>(());
            }
        }
    })?;
    let rows: Vec<Vec<String>> =
        leases.iter().map(|lease| listed(lease, args.which.all_namespaces)).collect();
    let mut titles = TITLES.to_vec();
    if args.which.all_namespaces {
        titles.insert(0, "NAMESPACE");
    }
    print(args.json.format(), &titles, &rows, &leases)?;
    Ok(Exit::Done)
}

async fn page(session: &Session, args: &List, after: Option<String>) -> Result<Page, Failure> {
    let call = ListCall {
        namespace: args.which.namespace(&args.reach),
        prefix: args.which.prefix.clone(),
        holder: args.which.holder.clone(),
        limit: Some(PAGE),
        after,
        stale: args.how.stale,
    };
    Ok(session.list(call).await.into_result()?)
}

pub(crate) fn count(args: &Count) -> Result<Exit, Failure> {
    args.which.check()?;
    let call = CountCall {
        namespace: args.which.namespace(&args.reach),
        prefix: args.which.prefix.clone(),
        holder: args.which.holder.clone(),
        stale: args.how.stale,
    };
    let Reply::Counted(counted) = args.reach.call(Call::Count(call))? else { return Err(misfit()) };
    say_stale(counted.stale);
    let Counted { held, .. } = &counted;
    // One number needs no title, not even on a terminal.
    let format = if args.json.json { Format::Json } else { Format::Plain };
    print(format, &["HELD"], &[vec![held.to_string()]], &counted)?;
    Ok(Exit::Done)
}

/// Says whose state a stale answer is, and how old that may be.
pub(crate) fn say_stale(stale: Option<Stale>) {
    let Some(Stale { member, heard_ago_ms }) = stale else { return };
    say(match heard_ago_ms {
        Some(millis) => {
            format!("as member {member} knows it, which last heard of a quorum {} ago", remaining(millis))
        }
        None => format!(
            "as member {member} knows it, which has heard of no quorum since it started: nobody can tell how old this is"
        ),
    });
}

impl Which {
    fn namespace(&self, reach: &Reach) -> Option<String> {
        (!self.all_namespaces).then(|| reach.namespace.clone())
    }

    /// All, and one of them: which is meant? TENURE_NAMESPACE is only a default, and gives way.
    fn check(&self) -> Result<(), Failure> {
        match self.all_namespaces && is_given("--namespace") {
            true => Err(Failure::usage("--all-namespaces cannot be used with --namespace; give one of them")),
            false => Ok(()),
        }
    }
}

fn listed(lease: &Lease, with_namespace: bool) -> Vec<String> {
    let mut cells = row(lease);
    if with_namespace {
        cells.insert(0, lease.namespace.clone());
    }
    cells
}

/// The name first, whether it is held or not; what is not there is a dash, so that columns stay in their places.
fn row(lease: &Lease) -> Vec<String> {
    let dash = || "-".to_owned();
    let Some(held) = &lease.held else {
        let remaining = lease.cooldown.as_ref().map(|cooldown| remaining(cooldown.remaining_ms));
        let admitted = lease.cooldown.as_ref().and_then(|cooldown| cooldown.admitted.clone());
        let state = if lease.cooldown.is_some() { "cooldown" } else { "free" };
        let holder = admitted.unwrap_or_else(dash);
        return vec![
            lease.name.clone(),
            dash(),
            holder,
            remaining.unwrap_or_else(dash),
            with_pins(state, lease),
            dash(),
        ];
    };
    let state = match (&held.ending, held.confirmed) {
        (Some(_), _) => "ending",
        (None, false) => "unconfirmed",
        (None, true) => "held",
    };
    vec![
        lease.name.clone(),
        held.token.to_string(),
        held.holder.clone(),
        remaining(held.remaining_ms),
        with_pins(state, lease),
        held.value.clone().filter(|value| !value.is_empty()).unwrap_or_else(dash),
    ]
}

/// The state, with who keeps the holder from expiring; what is held as usual is then just pinned.
fn with_pins(state: &str, lease: &Lease) -> String {
    if lease.pins.is_empty() {
        return state.to_owned();
    }
    let by = lease.pins.iter().map(|pin| pin.entity.as_str()).collect::<Vec<_>>().join(", ");
    let state = if state == "held" { String::new() } else { format!("{state}, ") };
    format!("{state}pinned by {by}")
}

fn remaining(millis: u64) -> String {
    GoDuration::from(Duration::from_millis(millis)).to_string()
}

#[cfg(test)]
mod tests {
    use api::{Cooldown, Held, Lease, Pinned};

    use super::{listed, row};

    fn lease() -> Lease {
        Lease {
            namespace: "default".into(),
            name: "db".into(),
            held: None,
            cooldown: None,
            pins: Vec::new(),
            last_end: None,
            revision: 1,
            stale: None,
        }
    }

    fn held() -> Held {
        Held {
            holder: "h1".into(),
            token: 41,
            ttl_ms: 15_000,
            remaining_ms: 9_500,
            confirmed: true,
            ending: None,
            ending_heir: None,
            value: None,
        }
    }

    #[test]
    fn every_state_of_a_lease_has_the_same_columns() {
        assert_eq!(row(&lease()), ["db", "-", "-", "-", "free", "-"]);
        let cooldown = Some(Cooldown { admitted: Some("h2".into()), remaining_ms: 2_000 });
        assert_eq!(row(&Lease { cooldown, ..lease() }), ["db", "-", "h2", "2s", "cooldown", "-"]);
        let taken = Lease { held: Some(Held { value: Some("10.0.0.1:80".into()), ..held() }), ..lease() };
        assert_eq!(row(&taken), ["db", "41", "h1", "9.5s", "held", "10.0.0.1:80"]);
        let empty = Lease { held: Some(Held { value: Some(String::new()), ..held() }), ..lease() };
        assert_eq!(row(&empty)[5], "-");
        let unconfirmed = Lease { held: Some(Held { confirmed: false, ..held() }), ..lease() };
        assert_eq!(row(&unconfirmed)[4], "unconfirmed");
        let pin = |entity: &str| Pinned { entity: entity.into(), why: String::new() };
        let pins = vec![pin("m1"), pin("m2")];
        assert_eq!(row(&Lease { pins: pins.clone(), ..lease() })[4], "free, pinned by m1, m2");
        assert_eq!(row(&Lease { held: Some(held()), pins, ..lease() })[4], "pinned by m1, m2");
        let ending = Lease { held: Some(Held { ending: Some("drain".into()), ..held() }), ..lease() };
        assert_eq!(row(&ending)[4], "ending");
    }

    #[test]
    fn with_all_namespaces_each_row_starts_with_its_own() {
        assert_eq!(listed(&lease(), true)[..2], ["default", "db"]);
    }
}
