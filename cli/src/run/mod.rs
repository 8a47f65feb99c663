//! `run`: a command that runs while a lease is held, and is gone before the lease is lost.
//!
//! ```text
//!     tenure run ──── session: waits in line, extends
//!        │ socket: held for so long; start; signals; end
//!        ▼
//!     guardian ────── ends everything in time, also when `tenure` is killed, or stopped
//!        ▼
//!     the command ──▶ what it starts, wherever that goes
//!
//!     keep       the holder's side: belief to the guardian, signals, health, how it ends      (in `tenure`)
//!     told       that the lease has ended, at once                                         (in `tenure`)
//!     guarded    the guardian as `tenure` sees it, and its work where it fails                (in `tenure`)
//!     guardian   orders, time, the end of the tree                                            (a process of its own)
//!     child      ties the command to the guardian and becomes it                              (a process of its own)
//!     schedule   when to ask and when to kill; tree: who there is; wire: what the two say; program, signals
//! ```
//!
//! Promises:
//! * The command and all that came from it are gone before `safe_until`: SIGTERM a fifth of the holding time before it where
//!   no extend was answered, SIGKILL a twentieth or 100 ms before it, and looked for until nothing is left.
//! * So it is when `tenure` is killed or stopped, for the guardian does it; and when the guardian is, for `tenure` does it.
//! * The lease is released once nothing is left, and not before.
//!
//! What it cannot end in time, only the token keeps from the resource: a process in an uninterruptible wait, one that became
//! another user's, one that starts its next self and ends faster than it can be killed, and the command where neither `tenure`
//! nor its guardian can act, one killed and the other stopped, or both stopped. docs/contract.md says so.

mod child;
mod guarded;
mod guardian;
mod keep;
mod program;
mod schedule;
mod signals;
mod told;
mod tree;
mod wire;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use claimer::duration::GoDuration;
use clap::Args;
use client::{Acquire, Guard, Session};

use crate::acquire::not_acquired;
use crate::announce::{self, Told};
use crate::connect::{Reach, holder_default, runtime};
use crate::exit::{Exit, Failure, quoted};
use crate::output::say;
use crate::parse;
pub(crate) use schedule::TTL_MIN;

use guarded::Guarded;
use keep::Keep;
use signals::{Came, Signals};

/// How this program starts itself as a guardian, and as what a command is before it is itself. Not verbs: nobody types them.
const GUARDIAN: &str = "__guardian";
const CHILD: &str = "__child";

/// Run a command while holding a lease; wait in line for it first.
///
/// The command and all that it started are ended before the lease can be another's: SIGTERM when it could not be extended in
/// time, then SIGKILL; also when tenure is killed or stopped. The command finds TENURE_TOKEN, TENURE_LEASE, TENURE_NAMESPACE,
/// TENURE_HOLDER, TENURE_ENDPOINTS and, where they are used, TENURE_CA, TENURE_CERT and TENURE_KEY in its environment: give the token to whatever the lease protects, and
/// `tenure check $TENURE_LEASE $TENURE_TOKEN` asks the same cluster. INT, TERM, HUP, QUIT, USR1 and USR2 are passed on to it.
/// When it exits, what it left running is ended and the lease is released.
///
/// Exit code: the command's own, 128 + N where signal N ended it. Where the lease ended first: 1 where it was taken away, as
/// by an operator, 3 where it could not be extended in time or the health command failed; 2 where there is no such command, or no interpreter of its script; 126
/// where the system cannot run it after all.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The lease's name.
    #[arg(value_parser = parse::name())]
    name: String,
    /// Who holds it [default: unique, host:process:chance].
    #[arg(long, env = "TENURE_HOLDER", value_parser = parse::holder())]
    holder: Option<String>,
    /// How long the grant lasts from each extend, from 1s on: a command whose tenure is gone is ended within it.
    #[arg(long, default_value = "15s", allow_hyphen_values = true, value_parser = parse::run_ttl())]
    ttl: Duration,
    /// What readers of the lease shall see, such as where to reach its holder.
    #[arg(long, value_parser = parse::value())]
    value: Option<String>,
    /// How long to wait in line [default: for ever]; then it is refused as still held.
    #[arg(long, visible_alias = "wait", value_name = "TIME", allow_hyphen_values = true, value_parser = parse::timeout())]
    timeout: Option<Duration>,
    /// A shell command that says whether the command is well: where it fails, or takes longer than its period, the extends
    /// stop and the command is ended.
    #[arg(long, value_name = "SCRIPT", value_parser = parse::script())]
    health: Option<String>,
    /// How often to ask for its health, the first time after one period [default: a third of --ttl, and never longer than it].
    #[arg(long, value_name = "TIME", requires = "health", allow_hyphen_values = true, value_parser = parse::timeout())]
    health_every: Option<Duration>,
    #[command(flatten)]
    reach: Reach,
    /// The command and its arguments, after `--`.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Does the part of another process of this program, where it was started as one.
pub(crate) fn part(args: &[OsString]) -> Option<ExitCode> {
    let (part, rest) = args.get(1..)?.split_first()?;
    match part.to_str()? {
        GUARDIAN => Some(guardian::run(rest).into()),
        CHILD => Some(child::run(rest).into()),
        _ => None,
    }
}

fn misused() -> u8 {
    say("error[usage]: this is a part of `tenure run`, and nothing that one starts by hand");
    Exit::Usage.code()
}

pub(crate) fn run(args: &Run) -> Result<Exit, Failure> {
    check(args)?;
    let cannot = |error: std::io::Error| Failure::unavailable(format!("this machine cannot run it: {error}"));
    let mut signals = Signals::block().map_err(cannot)?;
    let guardian = Guarded::start(&args.command).map_err(cannot)?;
    runtime()?.block_on(async {
        let guarded = Guarded::read(guardian).map_err(cannot)?;
        let session = tokio::select! {
            session = args.reach.connect_aloud() => session?,
            came = stop(&mut signals) => return Err(left_line(args, came)),
        };
        let held = tokio::select! {
            held = hold(args, &session) => held?,
            came = stop(&mut signals) => {
                // The place is given up now, and not when the cluster misses this process.
                session.close().await;
                return Err(left_line(args, came));
            }
        };
        Keep::new(args, held, guarded, signals).run().await
    })
}

fn check(args: &Run) -> Result<(), Failure> {
    if let Some(every) = args.health_every.filter(|every| *every > args.ttl) {
        let (every, ttl) = (GoDuration::from(every), GoDuration::from(args.ttl));
        let message = format!(
            "--health-every is {every}, and --ttl is {ttl}: the lease would be extended meanwhile for a command of which nobody \
             knows; give it {ttl} or less"
        );
        return Err(Failure { code: "bad_duration".to_owned(), ..Failure::usage(message) });
    }
    program::check(&args.command[0])
}

/// The lease in hand.
struct Held {
    holder: String,
    session: Session,
    guard: Guard,
}

/// Gets the lease, in line where it is another's.
async fn hold(args: &Run, session: &Session) -> Result<Held, Failure> {
    let holder = args.holder.clone().unwrap_or_else(holder_default);
    let acquire = Acquire {
        namespace: args.reach.namespace.clone(),
        name: args.name.clone(),
        holder: holder.clone(),
        ttl: args.ttl,
        value: args.value.clone(),
        timeout: args.timeout,
    };
    let in_line = format!("waiting in line for {}", quoted(&args.name));
    let lease = (session, args.reach.namespace.as_str(), args.name.as_str());
    let (guard, told) = announce::waiting(session.hold(acquire), lease, &in_line).await;
    let guard = match guard.into_result() {
        Ok(guard) => guard,
        Err(failure) => return Err(not_acquired(failure, lease).await),
    };
    if told == Told::Yes {
        say(format!("holding {} under token {}", quoted(&args.name), guard.token()));
    }
    Ok(Held { holder, session: session.clone(), guard })
}

async fn stop(signals: &mut Signals) -> Came {
    loop {
        let came = signals.next().await;
        if came.ends() {
            return came;
        }
    }
}

fn left_line(args: &Run, came: Came) -> Failure {
    let message = format!(
        "{} came before {} was held: the place in line is given up, nothing was run, and nothing is left behind",
        came.signal,
        quoted(&args.name)
    );
    Failure::interrupted(came.signal, message)
}
