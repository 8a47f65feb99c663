//! `init`: a folder with certificates and a configuration. What stands in it is the server's to say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use server::{ExitKind, FOLDER_DEFAULT, Further, Host, Init as Making, InitError, Made, Renew, shell_quoted};

use crate::connect::host;
use crate::exit::{Exit, Failure};
use crate::output::{say, write_out};
use crate::parse::{self, Voters};

/// The operator of a new cluster, where none is named.
const OPERATOR_DEFAULT: &str = "admin";

/// Make a new cluster's certificates and the configuration of its first member, in a folder that is not yet there.
///
/// With --from and --node N: those of another of its voters. With --from and --operator NAME: those of a further client. Prints the
/// commands to go on with.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make [default: tenure; with --node N, tenure-N, and with --renew
    /// tenure-N-renewed; with --from and --operator NAME, tenure-NAME].
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A name or address by which clients know this member, once for each or with commas between; the first is the one that is
    /// shown [default: localhost, 127.0.0.1, ::1 and this machine's name].
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', value_parser = parse::host())]
    hosts: Vec<Host>,
    /// Where the member listens for clients [default: 127.0.0.1:7400, and with a --host that others know, 0.0.0.0:7400].
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse::listen())]
    listen: Option<SocketAddr>,
    /// The cluster's first voters, and where each is reached by the others: 1=HOST:PORT,2=HOST:PORT,3=HOST:PORT; this is the
    /// first of them [default: member 1 alone].
    #[arg(long, value_name = "VOTERS", conflicts_with = "from", value_parser = parse::voters())]
    voters: Option<Voters>,
    /// Who operates the cluster: the name in the client's certificate that is made [default: admin].
    #[arg(long, value_name = "NAME", conflicts_with = "node", value_parser = parse::prefix())]
    operator: Option<String>,
    /// Make voter N of a cluster that was made before.
    #[arg(long, value_name = "N", requires = "from", value_parser = parse::member())]
    node: Option<u64>,
    /// The folder of that cluster's first member, with the CAs' keys.
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// With --node N: a member that is none of the first voters, and is to join the cluster that runs, with tenure join.
    #[arg(long, requires = "node", conflicts_with = "renew")]
    join: bool,
    /// Make new certificates of a member that has some, for the same hosts: then put what is in node/ in the place of its own.
    #[arg(long, requires = "node")]
    renew: bool,
    /// With --renew: the old certificate, that member's node/server.crt [default: the one in --from].
    #[arg(long, requires = "renew", value_name = "CERT")]
    old: Option<PathBuf>,
}

pub(crate) fn init(args: &Init) -> Result<Exit, Failure> {
    match (&args.from, args.node, &args.operator) {
        (Some(from), Some(node), _) if args.renew => renewed(args, node, from),
        (Some(from), Some(node), _) => {
            let further = if args.join { Further::Joins } else { Further::New };
            member(&args.making(Some(node.to_string())).member(node, from, further)?, further)
        }
        (Some(from), None, Some(name)) => {
            let folder = args.making(Some(name.clone())).folder;
            server::init_operator(name, &folder, from)?;
            operator(&folder, name)
        }
        (Some(_), None, None) => Err(Failure::usage(
            "--from says who vouches, and not for whom: give --node N or --operator NAME too",
        )),
        (None, _, name) => {
            let voters = args.voters.clone().map_or_else(BTreeMap::new, |voters| voters.0);
            cluster(&args.making(None).cluster(name.as_deref().unwrap_or(OPERATOR_DEFAULT), voters)?)
        }
    }
}

impl Init {
    fn folder(&self, of: Option<String>) -> PathBuf {
        let default = || match of {
            None => FOLDER_DEFAULT.into(),
            Some(of) => format!("{FOLDER_DEFAULT}-{of}").into(),
        };
        self.folder.clone().unwrap_or_else(default)
    }

    fn making(&self, of: Option<String>) -> Making {
        Making {
            folder: self.folder(of),
            hosts: if self.hosts.is_empty() { hosts_default() } else { self.hosts.clone() },
            listen: self.listen,
        }
    }
}

/// What every machine calls itself, and what this one is called.
fn hosts_default() -> Vec<Host> {
    let own = host();
    let names = ["localhost", "127.0.0.1", "::1", &own];
    let mut hosts: Vec<Host> = names.iter().filter_map(|name| name.parse().ok()).collect();
    hosts.dedup();
    hosts
}

fn cluster(made: &Made) -> Result<Exit, Failure> {
    let folder = made.folder.display();
    say(format!(
        "made {folder}: cluster {:032x}, member {}, and an operator's token and certificate. Its ca/*.key vouch for whoever they sign: \
         keep them off the machines that serve.",
        made.cluster, made.member
    ));
    let others: Vec<&u64> = made.voters.keys().filter(|id| **id != made.member).collect();
    if !others.is_empty() {
        say("The other voters' folders, each to be brought to its machine:");
        for id in others {
            say(format!("  tenure init --node {id} --from {} --host HOST", quoted(&made.folder)));
        }
    }
    say("Now type, the last two in another terminal:");
    write_out(
        format!(
            "  tenure serve --config {}\n  . {}\n  tenure claim db/primary --holder me\n",
            quoted(&made.folder.join("tenure.toml")),
            sourced(&made.folder)
        )
        .as_bytes(),
    )?;
    Ok(Exit::Done)
}

fn member(made: &Made, further: Further) -> Result<Exit, Failure> {
    let (folder, member) = (made.folder.display(), made.member);
    match further {
        Further::New => {
            say(format!(
                "made {folder}: member {member} of cluster {:032x}. Bring it to that member's machine, by a way that others cannot \
                 read, and type there:",
                made.cluster
            ));
            write_out(
                format!("  tenure serve --config {}\n", quoted(&made.folder.join("tenure.toml"))).as_bytes(),
            )?;
        }
        Further::Joins => {
            say(format!(
                "made {folder}: member {member} of cluster {:032x}, which is to join it. Bring it to that member's machine, by a way \
                 that others cannot read; see that peer.listen in its tenure.toml is where the others reach it. Have a token made by \
                 a member that runs, and type the other two there:",
                made.cluster
            ));
            let config = quoted(&made.folder.join("tenure.toml"));
            write_out(
                format!(
                    "  tenure members invite {member}\n  tenure join --config {config} --address HOST:PORT --token TOKEN\n  tenure \
                     serve --config {config}\n"
                )
                .as_bytes(),
            )?;
        }
    }
    Ok(Exit::Done)
}

fn renewed(args: &Init, member: u64, from: &Path) -> Result<Exit, Failure> {
    let folder = args.folder(Some(format!("{member}-renewed")));
    let renew = Renew { folder: folder.clone(), member, hosts: args.hosts.clone(), old: args.old.clone() };
    let hosts: Vec<String> = renew.make(from)?.iter().map(Host::to_string).collect();
    let folder = folder.display();
    say(format!(
        "made {folder}: new certificates of member {member}, known as {}. Put what is in {folder}/node in the place of that member's \
         own: it has them within a minute, or at once at SIGHUP.",
        hosts.join(", ")
    ));
    Ok(Exit::Done)
}

fn operator(folder: &Path, name: &str) -> Result<Exit, Failure> {
    say(format!(
        "made {}: a certificate of operator {name}. Bring it to that operator, by a way that others cannot read; there, where its \
         paths are right:",
        folder.display()
    ));
    write_out(format!("  . {}\n", sourced(folder)).as_bytes())?;
    Ok(Exit::Done)
}

fn quoted(path: &Path) -> String {
    shell_quoted(&path.display().to_string())
}

/// A shell looks for a file without a slash in its PATH.
fn sourced(folder: &Path) -> String {
    match folder.is_absolute() {
        true => quoted(&folder.join("operator.env")),
        false => quoted(&Path::new(".").join(folder).join("operator.env")),
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Failure {
        let (exit, code) = match error.exit_kind() {
            ExitKind::Refused => (Exit::Refused, "refused"),
            ExitKind::Usage => (Exit::Usage, "usage"),
            ExitKind::Unavailable => (Exit::Unavailable, "unavailable"),
        };
        Failure { exit, code: code.to_owned(), message: error.to_string(), problem: None }
    }
}
