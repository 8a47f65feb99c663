//! `namespace`: what each namespace allows, and how that changes.

use std::time::Duration;

use api::{Call, ChangeNamespaces, NamespaceChange, Namespaces, Reply};
use claimer::duration::GoDuration;
use clap::{Args, Subcommand};

use crate::connect::{Reached, UNKNOWN_REMEDY, misfit};
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print};
use crate::parse;

/// See what namespaces allow, and change it.
#[derive(Debug, Args)]
pub(crate) struct Namespace {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the namespaces that do not go by the defaults.
    List {
        #[command(flatten)]
        reached: Reached,
    },
    /// Change what a namespace allows. What is not named stays; present leases are never taken away.
    Set {
        /// Which namespace.
        #[arg(value_parser = parse::namespace())]
        namespace: String,
        /// The shortest ttl.
        #[arg(long, value_name = "TIME", value_parser = parse::ttl())]
        ttl_min: Option<Duration>,
        /// The longest ttl.
        #[arg(long, value_name = "TIME", value_parser = parse::ttl())]
        ttl_max: Option<Duration>,
        /// How long after an expiry only the same holder may claim: up to 1h.
        #[arg(long, value_name = "TIME", value_parser = parse::cooldown())]
        cooldown: Option<Duration>,
        /// The most leases; free names with pins and cooldowns count.
        #[arg(long, value_name = "N")]
        leases_max: Option<u64>,
        /// The most ends kept in history: up to 10000.
        #[arg(long, value_name = "N")]
        history_max: Option<u32>,
        /// Begin from the defaults, and not from what it allows now.
        #[arg(long)]
        defaults: bool,
        #[command(flatten)]
        reached: Reached,
    },
}

impl Namespace {
    pub(crate) fn json(&self) -> bool {
        let (Verb::List { reached } | Verb::Set { reached, .. }) = &self.verb;
        reached.json.json
    }
}

pub(crate) fn namespace(args: &Namespace) -> Result<Exit, Failure> {
    let millis = |time: &Option<Duration>| time.map(|time| time.as_millis() as u64);
    let (reached, change) = match &args.verb {
        Verb::List { reached } => (reached, None),
        Verb::Set { namespace, ttl_min, ttl_max, cooldown, leases_max, history_max, defaults, reached } => {
            let change = NamespaceChange {
                namespace: namespace.clone(),
                from_defaults: *defaults,
                ttl_ms_min: millis(ttl_min),
                ttl_ms_max: millis(ttl_max),
                cooldown_ms: millis(cooldown),
                leases_max: *leases_max,
                history_max: *history_max,
            };
            (reached, Some(change))
        }
    };
    let call = Call::Namespaces(ChangeNamespaces { change, deadline_ms: None });
    let answer = reached.way.call(call).map_err(|mut failure| {
        // A lease is not what was asked about.
        failure.message = failure.message.replace(UNKNOWN_REMEDY, ": look with `tenure namespace list`");
        failure
    })?;
    let Reply::Namespaces(namespaces) = answer else { return Err(misfit()) };
    show(&namespaces, reached.json)
}

fn show(namespaces: &Namespaces, json: JsonFlag) -> Result<Exit, Failure> {
    let time = |millis| GoDuration::from(Duration::from_millis(millis)).to_string();
    let rows: Vec<Vec<String>> = namespaces
        .namespaces
        .iter()
        .map(|it| {
            vec![
                it.namespace.clone(),
                time(it.ttl_ms_min),
                time(it.ttl_ms_max),
                time(it.cooldown_ms),
                it.leases_max.to_string(),
                it.history_max.to_string(),
            ]
        })
        .collect();
    let titles = ["NAMESPACE", "TTL MIN", "TTL MAX", "COOLDOWN", "LEASES MAX", "HISTORY MAX"];
    print(json.format(), &titles, &rows, namespaces)?;
    Ok(Exit::Done)
}
