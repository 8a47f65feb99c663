//! A member's folders on the real disk, what opening them finds, and what it must.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lease::Token;
use replica::log::{self, CutKind, Disk, Expect, Folder, Identity, OpenError, Recovered};
use replica::{Backup, Home, Options, SnapshotError, StartError};

use crate::common::*;

/// One life of a member, in a runtime of its own. It ends with all that the member has begun: a snapshot that is being written when it
/// stops is written to its end, and no later member in the same folder meets it.
pub(crate) fn life<T>(goes_on: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(goes_on)
}

/// The two folders of a member, and files in them.
pub(crate) const ROOMS: [&str; 2] = ["log", "snapshots"];

/// A member's data, on the disk for as long as this lives.
pub(crate) struct Data {
    pub(crate) root: PathBuf,
    pub(crate) options: Options,
}

/// A file as it stands: its path below the root, and its bytes.
pub(crate) type File = (String, Vec<u8>);

impl Data {
    /// A copy of it elsewhere.
    pub(crate) fn copy(&self, root: &Path) -> Data {
        let copy = Data { root: root.to_owned(), options: self.options.clone() };
        for room in ROOMS {
            fs::create_dir_all(root.join(room)).unwrap();
        }
        self.files().iter().for_each(|(name, bytes)| copy.put(name, bytes));
        copy
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.join(name), bytes).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.root.join(name)).unwrap();
    }

    /// Every file, by name.
    pub(crate) fn files(&self) -> Vec<File> {
        let mut files = Vec::new();
        for room in ROOMS {
            for entry in fs::read_dir(self.root.join(room)).unwrap() {
                let path = entry.unwrap().path();
                let name = format!("{room}/{}", path.file_name().unwrap().to_str().unwrap());
                // A member that runs may have taken it away, or given it its name.
                files.extend(fs::read(path).ok().map(|bytes| (name, bytes)));
            }
        }
        files.sort();
        files
    }

    /// How many segments have been written to.
    pub(crate) fn segments(&self) -> usize {
        self.files().iter().filter(|(name, bytes)| is_written(name, bytes)).count()
    }

    /// The last segment that has been written to.
    pub(crate) fn tail(&self) -> String {
        self.files().into_iter().rfind(|(name, bytes)| is_written(name, bytes)).unwrap().0
    }

    /// What its log holds.
    pub(crate) fn log(&self) -> Result<Recovered, OpenError> {
        let identity = Identity { cluster: self.options.cluster, node: self.options.member, group: 0 };
        let options = log::Options { segment_bytes: 4096, expect: Expect::Log, ..log::Options::default() };
        log::read(self.disk("log"), identity, options)
    }

    /// What it holds, table and all; nothing is changed.
    pub(crate) fn state(&self) -> Result<Backup, StartError> {
        Backup::of_survivor(&self.home())
    }

    pub(crate) fn home(&self) -> Home {
        Home {
            cluster: self.options.cluster,
            member: self.options.member,
            log_disk: self.disk("log"),
            snapshot_disk: self.disk("snapshots"),
        }
    }

    fn disk(&self, room: &str) -> Arc<dyn Disk> {
        Arc::new(Folder::open(&self.root.join(room)).unwrap())
    }
}

/// Whether it is a segment in which anything stands behind its header, and the rest of that one's sector.
pub(crate) fn is_written(name: &str, bytes: &[u8]) -> bool {
    name.ends_with(".log") && bytes.get(512..).is_some_and(|batches| batches.iter().any(|byte| *byte != 0))
}

/// What was acknowledged: names, and who holds each by which token; and how far the log had come.
pub(crate) struct Truth {
    held: Vec<(String, Token)>,
    log: Recovered,
    index: u64,
    revision: u64,
}

impl Truth {
    pub(crate) fn of(data: &Data, held: Vec<(String, Token)>) -> Truth {
        let (log, state) = (data.log().unwrap(), data.state().unwrap());
        assert_eq!(
            (log.cut.clone(), state.held()),
            (None, held.len() as u64),
            "a stopped member's log is whole"
        );
        Truth { held, index: state.index(), revision: state.revision().0, log }
    }

    /// Whether a log holds all that was written to it.
    pub(crate) fn is_log(&self, found: &Recovered) -> bool {
        // Behind the last batch a write may have begun that nobody was told of, as far as the bytes say.
        let cut_of_nothing = found.cut.as_ref().is_none_or(|cut| cut.kind == CutKind::Torn);
        let marks = (found.vote, found.committed, found.purged);
        cut_of_nothing
            && marks == (self.log.vote, self.log.committed, self.log.purged)
            && found.entries == self.log.entries
    }

    /// Whether a log ends earlier than it did, and holds nothing else than was written to it. What was given back since may be there.
    pub(crate) fn begins_with(&self, found: &Recovered) -> bool {
        let ours = &self.log.entries;
        let first = ours.first().map_or(0, |entry| entry.id.index);
        let kept = found.entries.iter().filter(|entry| entry.id.index >= first);
        found.entries.last().map(|entry| entry.id) < ours.last().map(|entry| entry.id)
            && kept.zip(ours).all(|(found, ours)| found == ours)
    }

    pub(crate) fn is_state(&self, found: &Backup) -> bool {
        (found.index(), found.revision().0, found.held())
            == (self.index, self.revision, self.held.len() as u64)
    }

    /// Starts a member on `data`, where every grant must be as it was acknowledged; or tells why it does not start, and nothing was
    /// changed then.
    pub(crate) fn started(&self, data: &Data) -> Result<(), String> {
        life(self.start_and_look(data))
    }

    async fn start_and_look(&self, data: &Data) -> Result<(), String> {
        let before = data.files();
        let member = match start(&data.root, data.options.clone()).await {
            Ok(member) => member,
            Err(error) => {
                assert!(data.files() == before, "it refused and changed something: {error}");
                return Err(error.to_string());
            }
        };
        for (name, token) in &self.held {
            let wanted = key(name);
            let found =
                read(&member.handle(), move |table, _| table.get(&wanted).and_then(|lease| lease.grant))
                    .await;
            assert_eq!(found.map(|grant| grant.token), Some(*token), "{name}");
        }
        member.stop().await;
        Ok(())
    }
}

/// The file that an error names, and the byte in it where it has one.
pub(crate) fn place(error: &StartError) -> (String, Option<u64>) {
    match error {
        StartError::Log(error) => place_in_log(error),
        StartError::Snapshot(SnapshotError::Damaged { path, offset, .. }) => (path.clone(), Some(*offset)),
        StartError::Snapshot(SnapshotError::NoSnapshot { path }) => (path.clone(), Some(0)),
        StartError::Gap { path, .. } => (path.clone(), None),
        error => panic!("no damage is said so: {error}"),
    }
}

pub(crate) fn place_in_log(error: &OpenError) -> (String, Option<u64>) {
    match error {
        OpenError::Damaged { file, offset, .. } => (file.clone(), Some(*offset)),
        OpenError::UnprovableTail(cut) => (cut.file.clone(), Some(cut.offset)),
        OpenError::WrongLength { file, found, .. } => (file.clone(), Some(*found)),
        OpenError::MissingSegment { file, .. } => (file.clone(), None),
        OpenError::NoLog { folder } => (folder.clone(), None),
        error => panic!("no damage is said so: {error}"),
    }
}
