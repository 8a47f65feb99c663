//! Whose data folder this is, kept beside the log: made once, and written again when the member begins.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataError, sync_folder};
use crate::config::Config;

const FILE: &str = "identity.toml";
/// The newest format that is read: it says whether the member has joined a cluster.
const FORMAT: i64 = 2;
/// What is written of a member that has not, so that older programs read it too.
const FORMAT_NOT_JOINED: i64 = 1;
const STORY: &str = "# Who this member is: made by tenure. Do not edit it, copy it to another member, or put an older one back.\n";

/// Who a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster's id.
    pub(crate) cluster: u128,
    /// The member's, within it.
    pub(crate) member: u64,
    /// Whether it may have voted, and so must have a log.
    pub(crate) begun: bool,
    /// Whether it was made to join a cluster that there was: it begins none.
    pub(crate) joined: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: i64,
    cluster: String,
    member: u64,
    begun: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    joined: bool,
}

#[derive(Deserialize)]
struct Format {
    format: i64,
}

/// Reads the folder's identity and checks it against `config`, or makes one for an empty folder.
pub(super) fn open(root: &Path, config: &Config) -> Result<Identity, DataError> {
    let path = root.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let found = parse(&path, &text)?;
            check(path, found, config)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if has_log(root)? {
                return Err(DataError::Nameless { path });
            }
            // A cluster that has a name may be there already, and this member be one of it.
            if let Some(cluster) = config.cluster.filter(|_| begins_alone(config) && !config.dev) {
                return Err(DataError::Begins { path: root.to_owned(), cluster });
            }
            let cluster = config.cluster.unwrap_or_else(rand::random);
            let identity =
                Identity { cluster, member: config.member.unwrap_or(1), begun: false, joined: false };
            write(root, &identity)?;
            Ok(identity)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(DataError::Unreadable { path, cause: "it is not UTF-8".to_owned() })
        }
        Err(error) => Err(DataError::io("reading", &path, error)),
    }
}

fn begins_alone(config: &Config) -> bool {
    config.peer_voters.len() <= 1 && !config.peer_join
}

/// What stands in the folder of a member that begins a cluster alone, before it has: without it such a member does not begin.
pub(crate) fn founder(cluster: u128, member: u64) -> Result<String, toml::ser::Error> {
    let identity = Identity { cluster, member, begun: false, joined: false };
    Ok(format!("{STORY}{}", text_of(&identity)?))
}

/// Reads the identity of a folder that has one.
pub(super) fn read(root: &Path) -> Result<Identity, DataError> {
    let path = root.join(FILE);
    let text = fs::read_to_string(&path).map_err(|error| DataError::io("reading", &path, error))?;
    parse(&path, &text)
}

/// Whether the folder was made to join a cluster; what cannot be read is said where it is opened.
pub(crate) fn has_joined(root: &Path) -> bool {
    let text = fs::read_to_string(root.join(FILE)).ok();
    text.and_then(|text| parse(root, &text).ok()).is_some_and(|identity| identity.joined)
}

/// What may stand in a folder that is not yet anyone's: what a start that was cut short has left, and a new disk's own.
const OURS: [&str; 5] = ["lock", "log", "snapshots", "identity.toml.tmp", "lost+found"];

/// Refuses a folder that has no identity, but files that are not a member's: it is most likely a mistake.
pub(super) fn check_nobody_elses(root: &Path) -> Result<(), DataError> {
    let unreadable = |error| DataError::io("reading", root, error);
    if root.join(FILE).exists() {
        return Ok(());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned();
        if !OURS.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    match names.is_empty() {
        true => Ok(()),
        false => Err(DataError::Strange { path: root.to_owned(), names }),
    }
}

/// Writes it aside and puts it in its place, so that a crash leaves the old or the new, and never half of one.
pub(super) fn write(root: &Path, identity: &Identity) -> Result<(), DataError> {
    let (path, aside) = (root.join(FILE), root.join("identity.toml.tmp"));
    let text = text_of(identity)
        .map_err(|error| DataError::Unreadable { path: path.clone(), cause: error.to_string() })?;
    let put = || {
        let mut file = create(&aside)?;
        file.write_all(STORY.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&aside, &path)
    };
    put().map_err(|error| DataError::io("writing", &path, error))?;
    sync_folder(root)
}

pub(crate) fn text_of(identity: &Identity) -> Result<String, toml::ser::Error> {
    toml::to_string(&Text {
        format: if identity.joined { FORMAT } else { FORMAT_NOT_JOINED },
        cluster: format!("{:032x}", identity.cluster),
        member: identity.member,
        begun: identity.begun,
        joined: identity.joined,
    })
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

pub(crate) fn parse(path: &Path, text: &str) -> Result<Identity, DataError> {
    let unreadable =
        |cause: &str| DataError::Unreadable { path: path.to_owned(), cause: cause.trim().to_owned() };
    // The format alone first: a newer one may have other fields.
    let Format { format } = toml::from_str(text).map_err(|error| unreadable(error.message()))?;
    if format > FORMAT {
        return Err(DataError::NewerFormat { path: path.to_owned(), found: format, supported: FORMAT });
    }
    let text: Text = toml::from_str(text).map_err(|error| unreadable(error.message()))?;
    // Rust would read a sign too.
    let digits = text.cluster.bytes().filter(u8::is_ascii_hexdigit).count();
    let cluster =
        u128::from_str_radix(&text.cluster, 16).ok().filter(|_| (digits, text.cluster.len()) == (32, 32));
    let cluster = cluster.ok_or_else(|| unreadable("cluster is not 32 hexadecimal digits"))?;
    if format < FORMAT_NOT_JOINED || text.member == 0 {
        return Err(unreadable("format or member is not a number from 1"));
    }
    // Cut behind `begun`, it would be that of a member which may begin a cluster of its own.
    match text.joined == (format == FORMAT) {
        true => Ok(Identity { cluster, member: text.member, begun: text.begun, joined: text.joined }),
        false => Err(unreadable(
            "its format is of a member that has joined a cluster, and joined says otherwise, or the other way round",
        )),
    }
}

fn check(path: PathBuf, found: Identity, config: &Config) -> Result<Identity, DataError> {
    let wanted = (config.cluster.unwrap_or(found.cluster), config.member.unwrap_or(found.member));
    match (found.cluster, found.member) {
        ids if ids == wanted => Ok(found),
        ids => Err(DataError::Foreign { path, found: ids, wanted }),
    }
}

fn has_log(root: &Path) -> Result<bool, DataError> {
    Ok(has_files(&root.join("log"))? || has_files(&root.join("snapshots"))?)
}

fn has_files(folder: &Path) -> Result<bool, DataError> {
    match fs::read_dir(folder) {
        Ok(mut files) => Ok(files.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DataError::io("reading", folder, error)),
    }
}
