//! The `tenure` binary: a file a family of verbs.
//!
//! ```text
//!   hold     claim extend release          parse    words on the command line to values
//!   wait     wait                          usage    clap's errors in our form
//!   acquire  acquire                       operate  transfer revoke pin unpin
//!   read     get list count                connect  where the cluster is, and as whom
//!   follow   watch history check           run      run, its guardian and its command
//!   serve    serve                         output   tables, plain text, JSON
//!   dev_cluster  dev-cluster               exit     five codes, and what is said of a failure
//!   claimer  claimer                       signals  an end that the shell sees as its signal's
//!   bench    bench                         announce that somebody waits, once it is so
//!   docs     completions man               doubt    what to do where the outcome is unknown
//!   init     init, join in join            pinned   that a pin is in the way
//!   token    token create list revoke forget
//!                                          namespace namespace list set
//!   backup   backup                        trust    what members are known by, and this program
//!   recover  recover, of a last member     wanted   what a claim and an acquire want alike
//!   restore  restore                       beginning where restore and recover begin a cluster
//!   juju     juju import export             report   report
//! ```
//!
//! stdout is data, stderr is talk. A verb returns how the program ends or why it failed, and this file exits. The
//! exceptions end the process where it stands: a node's failed log, broken invariant or second signal (in `server`), and a
//! measurement's second signal (in `claimer`); `signals` ends it as a signal does.

mod acquire;
mod announce;
mod backup;
mod beginning;
mod bench;
mod claimer;
mod connect;
mod dev_cluster;
mod docs;
mod doubt;
mod exit;
mod follow;
mod hold;
mod init;
mod invite;
mod join;
mod juju;
mod members;
mod namespace;
mod operate;
mod output;
mod parse;
mod pinned;
mod read;
mod recover;
mod report;
mod restore;
mod run;
mod serve;
mod signals;
mod token;
mod trust;
mod usage;
mod wait;
mod wanted;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::exit::{Exit, Failure, quoted};
use crate::output::{say, write_out};
use crate::usage::Parsed;

/// Leases for a fleet: claim a name, extend it, wait for it. At most one holder at a time.
///
/// Exit codes: 0 done, 1 refused, 2 usage, 3 unavailable (surely not done), 4 unknown (it may have happened);
/// 130 ended by Ctrl-C, 143 by SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    DevCluster(dev_cluster::DevCluster),
    Init(init::Init),
    Join(join::Join),
    Claim(hold::Claim),
    Extend(hold::Extend),
    Release(hold::Release),
    Acquire(acquire::Acquire),
    Wait(wait::Wait),
    Transfer(operate::Transfer),
    Revoke(operate::Revoke),
    Pin(operate::Pin),
    Unpin(operate::Unpin),
    Get(read::Get),
    List(read::List),
    Count(read::Count),
    Members(members::Members),
    Token(token::Token),
    Namespace(namespace::Namespace),
    Run(Box<run::Run>),
    Watch(follow::Watch),
    History(follow::History),
    Check(follow::Check),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Recover(recover::Recover),
    Juju(juju::Juju),
    Report(report::Report),
    Claimer(Box<claimer::Claimer>),
    Bench(bench::Bench),
    Completions(docs::Completions),
    Man(docs::Man),
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = run::part(&args) {
        return code;
    }
    signals::let_through();
    let wants_json = usage::wants_json(&args);
    let cli: Cli = match usage::read(args) {
        Parsed::Run(cli) => cli,
        Parsed::Show(text) => {
            return end(write_out(text.as_bytes()).map(|()| Exit::Done).map_err(Failure::from), false);
        }
        Parsed::Help(text) => {
            say(text);
            return Exit::Usage.into();
        }
        Parsed::Wrong(failure) => return end(Err(failure), wants_json),
    };
    let json = cli.verb.json();
    warn_of_misspelt_variables(&cli.verb);
    end(cli.verb.run(), json)
}

/// A node refuses them, since it may run for months with what was not meant; the other verbs go on.
fn warn_of_misspelt_variables(verb: &Verb) {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    if let (Some((name, meant)), false) = (server::misspelt_env(names), matches!(verb, Verb::Serve(_))) {
        say(format!("there is no variable {}, and it is ignored; did you mean {meant}?", quoted(&name)));
    }
}

impl Verb {
    fn run(&self) -> Result<Exit, Failure> {
        match self {
            Verb::Serve(args) => serve::serve(args),
            Verb::DevCluster(args) => dev_cluster::dev_cluster(args),
            Verb::Init(args) => init::init(args),
            Verb::Join(args) => join::join(args),
            Verb::Claim(args) => hold::claim(args),
            Verb::Extend(args) => hold::extend(args),
            Verb::Release(args) => hold::release(args),
            Verb::Acquire(args) => acquire::acquire(args),
            Verb::Wait(args) => wait::wait(args),
            Verb::Transfer(args) => operate::transfer(args),
            Verb::Revoke(args) => operate::revoke(args),
            Verb::Pin(args) => operate::pin(args),
            Verb::Unpin(args) => operate::unpin(args),
            Verb::Get(args) => read::get(args),
            Verb::List(args) => read::list(args),
            Verb::Count(args) => read::count(args),
            Verb::Members(args) => members::members(args),
            Verb::Token(args) => token::token(args),
            Verb::Namespace(args) => namespace::namespace(args),
            Verb::Run(args) => run::run(args),
            Verb::Watch(args) => follow::watch(args),
            Verb::History(args) => follow::history(args),
            Verb::Check(args) => follow::check(args),
            Verb::Backup(args) => backup::backup(args),
            Verb::Restore(args) => restore::restore(args),
            Verb::Recover(args) => recover::recover(args),
            Verb::Juju(args) => juju::juju(args),
            Verb::Report(args) => report::report(args),
            Verb::Claimer(args) => claimer::run(args),
            Verb::Bench(args) => bench::bench(args),
            Verb::Completions(args) => docs::completions(args),
            Verb::Man(args) => docs::man(args),
        }
    }

    /// Whether a failure is wanted on stdout as JSON too.
    fn json(&self) -> bool {
        match self {
            Verb::DevCluster(args) => args.json.json,
            Verb::Join(args) => args.json.json,
            Verb::Claim(args) => args.json.json,
            Verb::Extend(args) => args.json.json,
            Verb::Release(args) => args.json.json,
            Verb::Acquire(args) => args.json.json,
            Verb::Wait(args) => args.json.json,
            Verb::Transfer(args) => args.json.json,
            Verb::Revoke(args) => args.json.json,
            Verb::Pin(args) => args.json.json,
            Verb::Unpin(args) => args.json.json,
            Verb::Get(args) => args.json.json,
            Verb::List(args) => args.json.json,
            Verb::Count(args) => args.json.json,
            Verb::Members(args) => args.json(),
            Verb::Token(args) => args.json(),
            Verb::Namespace(args) => args.json(),
            Verb::Watch(args) => args.json.json,
            Verb::History(args) => args.json.json,
            Verb::Check(args) => args.json.json,
            Verb::Backup(args) => args.json.json,
            Verb::Restore(args) => args.json.json,
            Verb::Recover(args) => args.json.json,
            Verb::Juju(args) => args.json(),
            Verb::Serve(_)
            | Verb::Init(_)
            | Verb::Run(_)
            | Verb::Report(_)
            | Verb::Claimer(_)
            | Verb::Bench(_)
            | Verb::Completions(_)
            | Verb::Man(_) => false,
        }
    }
}

fn end(result: Result<Exit, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            say(&failure);
            if json {
                // What cannot be written has been said on stderr already.
                let _ = failure.body().and_then(|line| write_out(line.as_bytes()));
            }
            failure.exit.into()
        }
    }
}
