//! How a verb reaches the cluster: where it is, as whom, and the one session that it opens.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use api::{Call, Reply};
use clap::Args;
use client::{LinkNews, OnLink, Options, Session, Unavailable, Unknown};
use tokio::runtime::Runtime;

use crate::exit::{Exit, Failure, escaped};
use crate::output::{JsonFlag, say};
use crate::parse::{self, Endpoints};
use crate::trust::Trust;

/// Where a cluster is sought where nobody says: the node of `tenure serve --dev`.
pub(crate) const ENDPOINTS_DEFAULT: &str = api::ADDRESS_DEFAULT;

/// What to do about a call that may have happened, where nothing more is known of it.
pub(crate) const UNKNOWN_REMEDY: &str = ": repeat it, or look with get";

/// How long a verb waits for its answer, connecting included.
pub(crate) const PATIENCE_DEFAULT: &str = "5s";

/// Where the cluster is, and in which namespace the lease.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reach {
    #[command(flatten)]
    way: Way,
    /// The lease's namespace.
    #[arg(long, env = "TENURE_NAMESPACE", default_value = api::NAMESPACE_DEFAULT, value_parser = parse::namespace())]
    pub(crate) namespace: String,
}

/// Where the cluster is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Way {
    /// Where the members are: HOST:PORT, with commas between, tried in this order; https://HOST:PORT by TLS.
    #[arg(long, env = "TENURE_ENDPOINTS", default_value = ENDPOINTS_DEFAULT, value_parser = parse::endpoints())]
    endpoints: Endpoints,
    /// How long to try before giving up; of wait, how long to try to connect at first: after that it goes on trying until its
    /// --timeout.
    #[arg(long, value_name = "TIME", default_value = PATIENCE_DEFAULT, value_parser = parse::patience())]
    pub(crate) patience: Duration,
    #[command(flatten)]
    pub(crate) trust: Trust,
}

/// The way to the members, and how what they say is printed: what each verb of operators takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Reached {
    #[command(flatten)]
    pub(crate) way: Way,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// A session's connection, as far as it was told.
const NEW: u8 = 0;
const LINKED: u8 = 1;
const LOST: u8 = 2;

impl Deref for Reach {
    type Target = Way;

    fn deref(&self) -> &Way {
        &self.way
    }
}

impl Way {
    /// The endpoints, as a flag or variable takes them.
    pub(crate) fn endpoints(&self) -> String {
        let endpoints = self.endpoints.0.iter().map(ToString::to_string);
        endpoints.collect::<Vec<_>>().join(",")
    }

    /// Makes one call on a session of its own.
    pub(crate) fn call(&self, call: Call) -> Result<Reply, Failure> {
        runtime()?.block_on(async {
            let session = self.connect().await?;
            Ok(session.call(call, self.patience).await?)
        })
    }

    /// Opens a session.
    pub(crate) async fn connect(&self) -> Result<Session, Failure> {
        self.connect_telling(None).await
    }

    /// Opens a session that says on stderr when it has lost its members, and when it has one again: once each.
    pub(crate) async fn connect_aloud(&self) -> Result<Session, Failure> {
        let state = AtomicU8::new(NEW);
        self.connect_telling(Some(Arc::new(move |news| match news {
            LinkNews::Reached { endpoint } => {
                if state.swap(LINKED, Ordering::Relaxed) == LOST {
                    say(format!("reached {endpoint} again"));
                }
            }
            LinkNews::Lost { endpoint, cause } => {
                // What is not reached at first is said by the error.
                if state.compare_exchange(LINKED, LOST, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                    say(format!("lost {endpoint} ({}): trying again", escaped(cause)));
                }
            }
        })))
        .await
    }

    async fn connect_telling(&self, on_link: Option<OnLink>) -> Result<Session, Failure> {
        let options = Options {
            agent: Some(concat!("tenure/", env!("CARGO_PKG_VERSION")).to_owned()),
            deadline: self.patience,
            connect_timeout: self.patience.min(Duration::from_secs(2)),
            on_link,
            tls: self.trust.load(&self.endpoints.0)?,
            token: self.trust.token(&self.endpoints.0)?,
            ..Options::new(self.endpoints.0.clone())
        };
        Ok(Session::connect(options).await?)
    }
}

impl From<client::Failure> for Failure {
    fn from(failure: client::Failure) -> Failure {
        match failure {
            client::Failure::Refused(problem) => problem.into(),
            client::Failure::Unavailable(Unavailable::Answered(problem)) => problem.into(),
            client::Failure::Unavailable(Unavailable::Unreachable(tries)) if are_strangers(&tries) => {
                Failure {
                    exit: Exit::Refused,
                    code: "unauthenticated".to_owned(),
                    message: Unavailable::Unreachable(tries).to_string(),
                    problem: None,
                }
            }
            client::Failure::Unavailable(cause) => Failure::unavailable(cause.to_string()),
            client::Failure::Unknown(doubt) => Failure {
                exit: Exit::Unknown,
                code: "unknown".to_owned(),
                message: unknown(&doubt),
                problem: None,
            },
        }
    }
}

/// Whether each member that was tried answered that it does not know who comes: trying again gives the same.
fn are_strangers(tries: &[client::Try]) -> bool {
    !tries.is_empty() && tries.iter().all(|it| it.cause.starts_with("HTTP 401"))
}

/// What is known of a call that may have happened.
fn unknown(doubt: &Unknown) -> String {
    // To a reader, attempts that left are attempts that remain.
    let sent = match doubt.unanswered {
        1 => "the request was sent and not answered".to_owned(),
        times => format!("the request was sent {times} times, without an answer"),
    };
    let last = doubt.last.as_ref().map(|problem| format!(" (a later answer said {problem})"));
    format!("{sent}{}; it may have happened or may yet{UNKNOWN_REMEDY}", last.unwrap_or_default())
}

/// A holder that nobody else has: host, process and chance. A name fixed by the user would make two runs one holder.
pub(crate) fn holder_default() -> String {
    format!("{}:{}:{:08x}", host(), std::process::id(), rand::random::<u32>())
}

/// This machine's name, as far as a name may hold it.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(|c| c.is_ascii_graphic()).take(64).collect();
    if host.is_empty() { "localhost".to_owned() } else { host }
}

/// The runtime of a verb: one thread, for one session.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unavailable(format!("this process cannot wait for anything: {error}")))
}

/// What a reply that fits no call is: a server that speaks another version.
pub(crate) fn misfit() -> Failure {
    Failure {
        exit: Exit::Unknown,
        code: "unknown".to_owned(),
        message: format!(
            "the server answered something else than was asked for; this client speaks version {} of the API: \
             look with `tenure get`",
            api::VERSION
        ),
        problem: None,
    }
}
