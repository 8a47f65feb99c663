//! `token`: who may come by a token, and how that changes.
//!
//! A token is drawn here and its hash is sent: no member ever has the secret, and it is printed once.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Call, ChangeTokens, CreateToken, Reply, TokenChange, TokenView, Tokens};
use claimer::duration::GoDuration;
use clap::{Args, Subcommand};
use server::Secret;

use crate::connect::{Reached, UNKNOWN_REMEDY, misfit};
use crate::exit::{Exit, Failure};
use crate::output::{JsonFlag, print, say};
use crate::parse;

/// The roles, as they are typed.
const ROLES: [&str; 5] = ["unit", "app-admin", "reader", "operator", "auditor"];

/// Make, see and revoke the tokens by which clients come.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a token, and print it: once, for it is kept nowhere else.
    ///
    /// A unit claims, keeps and waits for its own leases, under its own name alone: mysql/0 may claim mysql, and mysql/backup. An
    /// app-admin sees, pins and revokes everything in its namespace, and one named mysql claims mysql and what is under it for mysql/0
    /// and every other unit of mysql's. A reader sees its namespace, an operator does everything, and an auditor sees everything.
    Create {
        /// Who comes with it; a unit's is the holder that it may be, an app-admin's the application whose units it may act for.
        principal: String,
        /// What they are: unit, app-admin, reader, operator or auditor.
        #[arg(long, value_parser = ROLES)]
        role: String,
        /// In which namespace alone; a unit and an app-admin have one.
        #[arg(long, value_parser = parse::namespace())]
        namespace: Option<String>,
        /// A unit's lease, and those under it [default: its application's: mysql of mysql/0].
        #[arg(long)]
        lease: Option<String>,
        /// How long it is good [default: until it is revoked].
        #[arg(long, value_name = "TIME", value_parser = parse::credential_life())]
        expires: Option<Duration>,
        /// Claims a second that one member takes from it, five seconds' worth at once [default: any number].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        claims_per_second: Option<u32>,
        /// Write it to this new file, which others cannot read, and print its id alone.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        reached: Reached,
    },
    /// Show the tokens, and nothing of their secrets.
    ///
    /// Columns: ID; PRINCIPAL; ROLE; NAMESPACE and LEASE, a dash where any; GOOD: for how long yet, or why no more.
    List {
        #[command(flatten)]
        reached: Reached,
    },
    /// A token is good no more, from within a second on, and ends the sessions that it opened. It stays in the list.
    Revoke {
        /// Its id, as list shows it: 16 hexadecimal digits.
        id: String,
        #[command(flatten)]
        reached: Reached,
    },
    /// Take a token out of the list: also good no more.
    Forget {
        /// Its id, as list shows it: 16 hexadecimal digits.
        id: String,
        #[command(flatten)]
        reached: Reached,
    },
}

impl Token {
    pub(crate) fn json(&self) -> bool {
        match &self.verb {
            Verb::Create { reached, .. }
            | Verb::List { reached }
            | Verb::Revoke { reached, .. }
            | Verb::Forget { reached, .. } => reached.json.json,
        }
    }
}

/// A token that was made, for `--json`.
#[derive(serde::Serialize)]
struct Made<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

pub(crate) fn token(args: &Token) -> Result<Exit, Failure> {
    match &args.verb {
        Verb::List { reached } => show(&ask(reached, None)?, reached.json),
        Verb::Revoke { id, reached } => {
            ask(reached, Some(TokenChange::Revoke { id: id.clone() }))?;
            say(format!("token {id} is good no more"));
            Ok(Exit::Done)
        }
        Verb::Forget { id, reached } => {
            ask(reached, Some(TokenChange::Forget { id: id.clone() }))?;
            say(format!("token {id} is forgotten, and good no more"));
            Ok(Exit::Done)
        }
        Verb::Create { principal, role, namespace, lease, expires, claims_per_second, out, reached } => {
            let secret = Secret::draw();
            // Before it is good: where it cannot be kept, nobody could come by it.
            out.as_deref().map(|path| keep(path, &secret)).transpose()?;
            let create = CreateToken {
                id: secret.id().to_string(),
                hash: secret.hash_hex(),
                principal: principal.clone(),
                role: role.clone(),
                namespace: namespace.clone(),
                lease: lease.clone(),
                valid_for_ms: expires.map(|life| life.as_millis() as u64),
                claims_per_second: *claims_per_second,
            };
            let made = ask(reached, Some(TokenChange::Create(create)));
            if let (Err(failure), Some(path)) = (&made, out)
                && failure.exit != Exit::Unknown
            {
                // It is ours, made a moment ago, and good for nothing.
                let _ = std::fs::remove_file(path);
            }
            made?;
            tell(&secret, out.as_deref(), reached.json)
        }
    }
}

fn tell(secret: &Secret, out: Option<&Path>, json: JsonFlag) -> Result<Exit, Failure> {
    let text = secret.reveal();
    let id = secret.id().to_string();
    let (title, shown) = if out.is_some() { ("ID", &id) } else { ("TOKEN", &text) };
    let made = Made { id: id.clone(), token: out.is_none().then_some(text.as_str()) };
    print(json.format(), &[title], &[vec![shown.clone()]], &made)?;
    match out {
        Some(path) => {
            say(format!("written to {}: come with --token-file, or TENURE_TOKEN_FILE", path.display()))
        }
        None => say(
            "keep it in a file that others cannot read, and come with --token-file FILE; it is not shown again",
        ),
    }
    say(format!("`tenure token revoke {id}` ends it"));
    Ok(Exit::Done)
}

fn keep(path: &Path, secret: &Secret) -> Result<(), Failure> {
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
            writeln!(file, "{}", secret.reveal())?;
            file.sync_all()
        });
    written.map_err(|error| {
        Failure::usage(format!(
            "{} cannot be written: {error}; name a new file, in a folder that is there",
            path.display()
        ))
    })
}

fn ask(reached: &Reached, change: Option<TokenChange>) -> Result<Tokens, Failure> {
    let call = Call::Tokens(ChangeTokens { change, deadline_ms: None });
    let answer = reached.way.call(call).map_err(|mut failure| {
        // A lease is not what was asked about.
        failure.message = failure.message.replace(UNKNOWN_REMEDY, ": look with `tenure token list`");
        failure
    })?;
    match answer {
        Reply::Tokens(tokens) => Ok(tokens),
        _ => Err(misfit()),
    }
}

fn show(tokens: &Tokens, json: JsonFlag) -> Result<Exit, Failure> {
    let dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let good = |token: &TokenView| match (token.revoked, token.expires_in_ms) {
        (true, _) => "revoked".to_owned(),
        (false, Some(0)) => "expired".to_owned(),
        (false, Some(millis)) => GoDuration::from(Duration::from_millis(millis)).to_string(),
        (false, None) => "always".to_owned(),
    };
    let rows: Vec<Vec<String>> = tokens
        .tokens
        .iter()
        .map(|it| {
            let (namespace, lease) = (dash(&it.namespace), dash(&it.lease));
            vec![it.id.clone(), it.principal.clone(), it.role.clone(), namespace, lease, good(it)]
        })
        .collect();
    print(json.format(), &["ID", "PRINCIPAL", "ROLE", "NAMESPACE", "LEASE", "GOOD"], &rows, tokens)?;
    Ok(Exit::Done)
}
