//! `backup`: the whole state of a cluster into a file, checked before it has its name; and what a file holds.
//!
//! ```text
//!   GET /v1/backup ──▶ aside, beside FILE ──▶ read and checked whole ──▶ synced, named FILE: never over another
//!                      (unnamed, for -)                             └──▶ stdout
//! ```

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use client::{Fetched, fetch};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::connect::{ENDPOINTS_DEFAULT, PATIENCE_DEFAULT, runtime};
use crate::exit::{Exit, Failure, quoted};
use crate::output::{JsonFlag, print, say};
use crate::parse::{self, Endpoints};
use crate::trust::Trust;

/// How long a member may be silent within its answer.
const SILENT_MAX: Duration = Duration::from_secs(30);

const TITLES: &[&str] = &["FILE", "CLUSTER", "REVISION", "HELD", "BYTES"];

/// Keep the whole state of a cluster in a file, for `tenure restore`.
///
/// It is taken from a running member, as it is at one moment, with all that was answered before; it is checked, and only then has its
/// name. It is never written over another file. Keep it as a secret: whoever has it can extend any lease.
///
/// Columns: FILE; CLUSTER, its id; REVISION of the state; HELD, how many leases are held in it; BYTES of the file. In a pipe they are
/// separated by tabs, without titles. With FILE - the backup is on stdout, and they are on stderr.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where to keep it, or - for stdout.
    file: PathBuf,
    /// Ask no cluster: read FILE whole, check it, and say what it holds.
    #[arg(long, visible_alias = "verify")]
    check: bool,
    /// Where the members are: HOST:PORT, with commas between, tried in this order; https://HOST:PORT by TLS.
    #[arg(long, env = "TENURE_ENDPOINTS", default_value = ENDPOINTS_DEFAULT, value_parser = parse::endpoints())]
    endpoints: Endpoints,
    /// How long to try before giving up on a member that gives it.
    #[arg(long, value_name = "TIME", default_value = PATIENCE_DEFAULT, value_parser = parse::patience())]
    patience: Duration,
    #[command(flatten)]
    trust: Trust,
    #[command(flatten)]
    pub(crate) json: JsonFlag,
}

/// What a backup holds, for `--json`.
#[derive(Debug, Serialize)]
struct Held {
    file: String,
    cluster: String,
    member: String,
    voters: Vec<String>,
    index: String,
    revision: String,
    held: u64,
    bytes: u64,
}

pub(crate) fn backup(args: &Backup) -> Result<Exit, Failure> {
    let to_stdout = args.file.as_os_str() == "-";
    match (args.check, to_stdout) {
        (true, true) => Err(Failure::usage("--check reads a file from its end too; name the file")),
        (true, false) => {
            let backup = server::read_backup(&args.file)?;
            tell(args, &held(&args.file, &backup))?;
            Ok(Exit::Done)
        }
        (false, true) => keep_on_stdout(args),
        (false, false) => keep_in_file(args),
    }
}

fn keep_in_file(args: &Backup) -> Result<Exit, Failure> {
    // Also said before anything is fetched; that nothing is written over is seen to at the end.
    if args.file.symlink_metadata().is_ok() {
        return Err(there_already(&args.file));
    }
    let folder = match args.file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let unwritten = |error: &io::Error| unwritten(&args.file, error);
    let aside = tempfile::Builder::new().prefix(".tenure-backup-").suffix(".tmp").tempfile_in(folder);
    let mut aside = aside.map_err(|error| unwritten(&error))?;
    take(args, aside.as_file_mut())?;
    let backup = server::read_backup(aside.path())?;
    aside.as_file().sync_all().map_err(|error| unwritten(&error))?;
    name(aside, &args.file)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| unwritten(&error))?;
    tell(args, &held(&args.file, &backup))?;
    Ok(Exit::Done)
}

fn name(aside: NamedTempFile, file: &Path) -> Result<(), Failure> {
    match aside.persist_noclobber(file) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(there_already(file)),
        Err(error) => Err(unwritten(file, &error.error)),
    }
}

/// It is kept in a file that has no name until it has been checked: what stands in a pipe cannot be taken back.
fn keep_on_stdout(args: &Backup) -> Result<Exit, Failure> {
    let unwritten = |error: io::Error| unwritten(&std::env::temp_dir(), &error);
    let mut aside = NamedTempFile::new().map_err(unwritten)?;
    take(args, aside.as_file_mut())?;
    let backup = server::read_backup(aside.path())?;
    aside.as_file_mut().rewind().map_err(unwritten)?;
    let mut out = io::stdout().lock();
    io::copy(&mut aside.as_file().take(backup.bytes()), &mut out).and_then(|_| out.flush())?;
    say(row(&held(Path::new("-"), &backup)).join("\t"));
    Ok(Exit::Done)
}

/// Fetches a backup into a file.
fn take(args: &Backup, into: &mut File) -> Result<(), Failure> {
    runtime()?.block_on(async {
        let (endpoints, patience) = (&args.endpoints.0, args.patience);
        let (tls, token) = (args.trust.load(endpoints)?, args.trust.token(endpoints)?);
        let who = (tls.as_ref(), token.as_ref());
        let mut fetched: Fetched = fetch(endpoints, who, "/v1/backup", patience).await?;
        let broken = |error: client::BrokenOff| Failure::unavailable(error.to_string());
        while let Some(piece) = fetched.piece(SILENT_MAX).await.map_err(broken)? {
            into.write_all(&piece).map_err(|error| unwritten(&args.file, &error))?;
        }
        Ok(())
    })
}

fn there_already(file: &Path) -> Failure {
    let file = quoted(&file.display().to_string());
    Failure::usage(format!("there is a file {file} already; nothing was changed: give another name"))
}

fn unwritten(file: &Path, error: &io::Error) -> Failure {
    let file = quoted(&file.display().to_string());
    let message = format!("the backup cannot be written to {file}: {error}; name a place with room for it");
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
            Failure::usage(message)
        }
        _ => Failure::unavailable(message),
    }
}

fn held(file: &Path, backup: &server::Backup) -> Held {
    Held {
        file: file.display().to_string(),
        cluster: format!("{:032x}", backup.cluster()),
        member: backup.member().to_string(),
        voters: backup.voters().iter().map(ToString::to_string).collect(),
        index: backup.index().to_string(),
        revision: backup.revision().0.to_string(),
        held: backup.held(),
        bytes: backup.bytes(),
    }
}

fn row(held: &Held) -> Vec<String> {
    let (file, cluster, revision) = (held.file.clone(), held.cluster.clone(), held.revision.clone());
    vec![file, cluster, revision, held.held.to_string(), held.bytes.to_string()]
}

fn tell(args: &Backup, held: &Held) -> io::Result<()> {
    print(args.json.format(), TITLES, &[row(held)], held)
}
