//! `wait`: be told once a lease is free.

use std::time::Duration;

use clap::Args;

use crate::connect::{Reach, runtime, stop_signal};
use crate::exit::{Exit, Failure, quoted};
use crate::output::{JsonFlag, print, say};
use crate::parse;

/// Wait until a lease is free. Claims nothing: another may be faster.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// How long to wait [default: for ever]; then it is refused as still held.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse::timeout())]
    timeout: Option<Duration>,
    /// Answer from no state older than this revision: the one that a refused claim carried.
    #[arg(long, value_name = "REVISION", value_parser = parse::number("a revision"))]
    after: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn wait(args: &Wait) -> Result<Exit, Failure> {
    let free = runtime()?.block_on(async {
        let stopped = stop_signal();
        let session = args.reach.connect().await?;
        say(format!("waiting until {} is free", quoted(&args.name)));
        tokio::select! {
            free = session.wait(&args.reach.namespace, &args.name, args.after, args.timeout) => {
                Ok(free.into_result()?)
            }
            () = stopped => Err(interrupted(&args.name)),
        }
    })?;
    let row = vec![args.name.clone(), "free".to_owned(), free.revision.to_string()];
    print(args.json.format(), &["NAME", "STATE", "REVISION"], &[row], &free)?;
    Ok(Exit::Done)
}

fn interrupted(name: &str) -> Failure {
    Failure {
        exit: Exit::Unavailable,
        code: "interrupted".to_owned(),
        message: format!(
            "the wait for {} was ended by a signal; nothing is left behind: a wait holds no lease and keeps no place",
            quoted(name)
        ),
        problem: None,
    }
}
