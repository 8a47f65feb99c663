//! `init`: a folder with certificates and a configuration. What stands in it is the server's to say.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use server::{ExitKind, FOLDER_DEFAULT, Host, Init as Making, InitError, Made};

use crate::connect::host;
use crate::exit::{Exit, Failure};
use crate::output::{say, write_out};
use crate::parse;

/// Make a new cluster's certificates and the configuration of its first member, in a folder that is not yet there.
///
/// With --node and --from: those of a further member of a cluster that was made so before. Prints the commands to go on with.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The folder to make [default: tenure; with --node N, tenure-N].
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A name or address by which clients know this member, once for each or with commas between; the first is the one that is
    /// shown [default: localhost, 127.0.0.1, ::1 and this machine's name].
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',', value_parser = parse::host())]
    hosts: Vec<Host>,
    /// Where the member listens for clients [default: 127.0.0.1:7400, and with a --host that others know, 0.0.0.0:7400].
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse::listen())]
    listen: Option<SocketAddr>,
    /// Who operates the cluster: the name in the client's certificate that is made.
    #[arg(long, value_name = "NAME", default_value = "admin", conflicts_with = "node", value_parser = parse::prefix())]
    operator: String,
    /// Make member N of a cluster that was made before.
    #[arg(long, value_name = "N", requires = "from", value_parser = parse::member())]
    node: Option<u64>,
    /// The folder of that cluster's first member, with the CAs' keys.
    #[arg(long, value_name = "DIR", requires = "node")]
    from: Option<PathBuf>,
}

pub(crate) fn init(args: &Init) -> Result<Exit, Failure> {
    let folder = match (&args.folder, args.node) {
        (Some(folder), _) => folder.clone(),
        (None, None) => FOLDER_DEFAULT.into(),
        (None, Some(node)) => format!("{FOLDER_DEFAULT}-{node}").into(),
    };
    let hosts = if args.hosts.is_empty() { hosts_default() } else { args.hosts.clone() };
    let making = Making { folder, hosts, listen: args.listen };
    match (args.node, &args.from) {
        (Some(node), Some(from)) => further(&making.further_node(node, from)?),
        _ => first(&making.cluster(&args.operator)?),
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

fn first(made: &Made) -> Result<Exit, Failure> {
    let folder = made.folder.display();
    say(format!(
        "made {folder}: cluster {:032x}, member {}, and an operator's certificate. Its ca/*.key vouch for whoever they sign: \
         keep them off the machines that serve. Now type, the last two in another terminal:",
        made.cluster, made.member
    ));
    write_out(
        format!(
            "  tenure serve --config {}\n  . {}\n  tenure claim db/primary --holder me\n",
            shown(&made.folder, "tenure.toml"),
            sourced(&made.folder)
        )
        .as_bytes(),
    )?;
    Ok(Exit::Done)
}

fn further(made: &Made) -> Result<Exit, Failure> {
    say(format!(
        "made {}: member {} of cluster {:032x}. Bring it to that member's machine, as it is and by a way that others cannot \
         read, and type there:",
        made.folder.display(),
        made.member,
        made.cluster
    ));
    write_out(format!("  tenure serve --config {}\n", shown(&made.folder, "tenure.toml")).as_bytes())?;
    Ok(Exit::Done)
}

fn shown(folder: &Path, file: &str) -> String {
    server::shell_quoted(&folder.join(file).display().to_string())
}

/// A shell looks for a file without a slash in its PATH.
fn sourced(folder: &Path) -> String {
    match folder.is_absolute() {
        true => shown(folder, "operator.env"),
        false => shown(&Path::new(".").join(folder), "operator.env"),
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
