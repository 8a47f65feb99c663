//! `wait`: be told once a lease is free.

use std::time::Duration;

use api::Free;
use clap::Args;
use nix::sys::signal::Signal;

use crate::announce;
use crate::connect::Reach;
use crate::exit::{Exit, Failure, quoted};
use crate::output::{JsonFlag, Of, print};
use crate::parse;
use crate::pinned::with_pins;
use crate::signals::unless_ended;

/// Wait until a lease is free. Claims nothing: another may be faster.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// How long to wait [default: for ever], outages included; then it is refused as still held.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = parse::timeout())]
    timeout: Option<Duration>,
    /// Answer from no state older than this revision: the one that a refused claim carried.
    #[arg(long, value_name = "REVISION", allow_negative_numbers = true, value_parser = parse::number("a revision"))]
    after: Option<u64>,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

pub(crate) fn wait(args: &Wait) -> Result<Exit, Failure> {
    let free = unless_ended(until_free(args), |signal| Err(interrupted(&args.name, signal)))?;
    let row = vec![args.name.clone(), "free".to_owned(), free.revision.to_string()];
    let of = Of { namespace: &args.reach.namespace, name: &args.name, reply: &free };
    print(args.json.format(), &["NAME", "STATE", "REVISION"], &[row], &of)?;
    Ok(Exit::Done)
}

async fn until_free(args: &Wait) -> Result<Free, Failure> {
    let session = args.reach.connect_aloud().await?;
    let waiting = format!("waiting until {} is free", quoted(&args.name));
    let free = session.wait(&args.reach.namespace, &args.name, args.after, args.timeout);
    let lease = (&session, args.reach.namespace.as_str(), args.name.as_str());
    let (free, _) = announce::waiting(free, lease, &waiting).await;
    let failure = match free.into_result() {
        Ok(free) => return Ok(free),
        Err(failure) => Failure::from(failure),
    };
    // The server names the field of its own call.
    let message = failure.message.replace("the wait's timeout_ms", "--timeout");
    Err(with_pins(failure.saying(message), &session, &args.reach.namespace, &args.name).await)
}

fn interrupted(name: &str, signal: Signal) -> Failure {
    let name = quoted(name);
    let message = format!(
        "the wait for {name} was ended by a signal; nothing is left behind: a wait holds no lease and keeps no place"
    );
    Failure::interrupted(signal, message)
}
