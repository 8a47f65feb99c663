//! `join`: a new member is taken into a cluster, by the token that `members invite` made. What is checked is the server's to say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use server::{Config, ExitKind, Flags, JoinError, Joined, ServeError, shell_quoted};

use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print, say};
use crate::parse::{self, Token};

const TITLES: &[&str] = &["MEMBER", "CLUSTER", "DATA"];

/// Have this machine become a member of a cluster that runs.
///
/// An operator has a token made, with members invite. This makes the data folder and asks the cluster to take the member in, as an
/// observer; then start it with tenure serve. A token is good once. Where the answer is lost, the same line may be typed again.
/// Where the members are known by certificates, tenure init --join makes this one's before.
///
/// Columns: MEMBER, its id; CLUSTER; DATA, its folder. In a pipe they are separated by tabs, without titles.
#[derive(Debug, Args)]
pub(crate) struct Join {
    /// What members invite printed.
    #[arg(long, value_parser = parse::join_token())]
    token: Token,
    /// Where the other members will reach this one: HOST:PORT, which is where it listens with peer.listen.
    #[arg(long, value_name = "HOST:PORT")]
    address: String,
    /// The data folder: an empty one, or one that is yet to be made.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The TOML file with settings that it will be served with.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying things: as serve --dev.
    #[arg(long)]
    dev: bool,
    /// Allow a data folder on a file system that forgets, or that cannot promise to have synced.
    #[arg(long)]
    allow_volatile_data: bool,
    /// How long to try before giving up.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse::patience())]
    patience: Duration,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// What was done, for `--json`.
#[derive(Debug, Serialize)]
struct Shown {
    member: String,
    cluster: String,
    data: String,
}

pub(crate) fn join(args: &Join) -> Result<Exit, Failure> {
    let flags = Flags {
        dev: args.dev,
        config: args.config.clone(),
        data: args.data.clone(),
        allow_volatile_data: args.allow_volatile_data,
        ..Flags::default()
    };
    let config = Config::load(&flags).map_err(ServeError::from)?;
    let listens = config.peer_listen.is_some();
    let Joined { cluster, member, data } = server::join(server::Join {
        token: args.token.0.clone(),
        address: args.address.clone(),
        config,
        patience: args.patience,
    })?;
    let shown = Shown {
        member: member.to_string(),
        cluster: format!("{cluster:032x}"),
        data: data.display().to_string(),
    };
    let row = vec![shown.member.clone(), shown.cluster.clone(), shown.data.clone()];
    print(args.json.format(), TITLES, &[row], &shown)?;
    say(format!(
        "joined as an observer: start it with `{}`, with whatever else it needs",
        args.serve(listens)
    ));
    Ok(Exit::Done)
}

impl Join {
    /// How it is served.
    fn serve(&self, listens: bool) -> String {
        let mut line = "tenure serve".to_owned();
        let quoted = |path: &PathBuf| shell_quoted(&path.display().to_string());
        line += if self.dev { " --dev" } else { "" };
        line += &self.config.as_ref().map_or(String::new(), |file| format!(" --config {}", quoted(file)));
        line += &self.data.as_ref().map_or(String::new(), |folder| format!(" --data {}", quoted(folder)));
        if !listens {
            let is_literal = self.address.parse::<SocketAddr>().is_ok();
            line += " --peer-listen ";
            line += if is_literal { &self.address } else { "ADDRESS:PORT" };
        }
        line
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Failure {
        let (exit, code) = match error.exit_kind() {
            Some(ExitKind::Refused) => (Exit::Refused, "refused"),
            Some(ExitKind::Usage) => (Exit::Usage, "usage"),
            Some(ExitKind::Unavailable) => (Exit::Unavailable, "unavailable"),
            None => (Exit::Unknown, "unknown"),
        };
        Failure { exit, code: code.to_owned(), message: error.to_string(), problem: None }
    }
}
