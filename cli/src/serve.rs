//! `serve`: flags into the server's configuration. What they mean, and which win over file and environment, is the
//! server's to say.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use nix::sys::signal::{Signal, raise};
use server::{Config, ExitKind, Flags, LISTEN_DEFAULT, ServeError};

use crate::exit::{Exit, Failure};
use crate::output::write_out;

/// Run a node. Prints "listening on ADDRESS:PORT" on stdout once it serves.
///
/// Settings come from --config, then from TENURE_… variables, then from these flags; the later wins.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// For trying things: this machine only, no TLS, data in ./tenure-data where --data names no other folder.
    #[arg(long)]
    dev: bool,
    /// The data folder; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A TOML file with settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long, value_name = "ADDRESS:PORT", help = format!("Where clients connect; port 0 takes a free one [default: {LISTEN_DEFAULT}]"))]
    listen: Option<String>,
    /// Where the other members of the cluster connect [default: 127.0.0.1:7401, with --peer-voters]
    #[arg(long, value_name = "ADDRESS:PORT")]
    peer_listen: Option<String>,
    /// The first voters of a new cluster, and where the others reach each: the same for all of them, with --cluster and --member.
    #[arg(long, value_name = "ID=HOST:PORT,…")]
    peer_voters: Option<String>,
    /// Wait until an operator adds this member to a cluster, with members add.
    #[arg(long)]
    peer_join: bool,
    /// The cluster that the data folder belongs to: 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    cluster: Option<String>,
    /// The member that the data folder belongs to, from 1.
    #[arg(long, value_name = "ID")]
    member: Option<String>,
    /// How logs on stderr are written: text or json.
    #[arg(long, visible_alias = "log", value_name = "FORMAT")]
    log_format: Option<String>,
    /// How much is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Let clients connect from other machines, without TLS and without identity.
    #[arg(long)]
    insecure_plain_listener: bool,
    /// Ask nobody who comes by the client port who they are, although there is TLS: whoever reaches it may do anything.
    #[arg(long)]
    insecure_no_authentication: bool,
    /// Allow a data folder on a file system that forgets, or that cannot promise to have synced.
    #[arg(long)]
    allow_volatile_data: bool,
    /// Let a single voter cut an end of its log that it cannot prove. May lose what was acknowledged.
    #[arg(long)]
    accept_torn_tail: bool,
    /// Serve Juju's agents too, over WebSockets, as Juju 2.5 does.
    #[arg(long)]
    juju: bool,
    /// Let any Juju agent claim for any holder, for load tools: only with --dev.
    #[arg(long)]
    load_test_any_holder: bool,
    /// Print every setting with what it means and its default, as a file for --config, and end.
    #[arg(long)]
    print_config: bool,
    /// Stop in order when stdin ends: for a node that must not outlive the program that started it.
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

pub(crate) fn serve(args: &Serve) -> Result<Exit, Failure> {
    if args.print_config {
        write_out(server::print_config().as_bytes())?;
        return Ok(Exit::Done);
    }
    let flags = Flags {
        dev: args.dev,
        config: args.config.clone(),
        data: args.data.clone(),
        listen: args.listen.clone(),
        peer_listen: args.peer_listen.clone(),
        peer_voters: args.peer_voters.clone(),
        peer_join: args.peer_join,
        cluster: args.cluster.clone(),
        member: args.member.clone(),
        insecure_plain_listener: args.insecure_plain_listener,
        insecure_no_authentication: args.insecure_no_authentication,
        allow_volatile_data: args.allow_volatile_data,
        accept_torn_tail: args.accept_torn_tail,
        juju: args.juju,
        load_test_any_holder: args.load_test_any_holder,
        log_level: args.log_level.clone(),
        log_format: args.log_format.clone(),
    };
    let config = load(&flags)?;
    if args.until_stdin_ends {
        stop_when_stdin_ends();
    }
    server::serve(config)?;
    Ok(Exit::Done)
}

/// A server's configuration, with a remedy where the file cannot be had.
pub(crate) fn load(flags: &Flags) -> Result<Config, Failure> {
    Config::load(flags).map_err(|error| with_remedy(ServeError::from(error).into(), flags.config.as_deref()))
}

/// What to do where the file with settings is not there, or may not be read.
fn with_remedy(failure: Failure, file: Option<&Path>) -> Failure {
    match file.map(std::fs::read) {
        Some(Err(_)) => {
            let remedy = "give --config a file that can be read; `tenure serve --print-config` prints one to start from";
            let message = format!("{}; {remedy}", failure.message);
            failure.saying(message)
        }
        _ => failure,
    }
}

fn stop_when_stdin_ends() {
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = raise(Signal::SIGTERM);
    });
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        let (exit, code) = match error.exit_kind() {
            ExitKind::Refused => (Exit::Refused, "refused"),
            ExitKind::Usage => (Exit::Usage, "usage"),
            ExitKind::Unavailable => (Exit::Unavailable, "unavailable"),
        };
        Failure { exit, code: code.to_owned(), message: error.to_string(), problem: None }
    }
}
