//! A disk in memory that breaks on demand: for tests, and for the simulator.
//!
//! It keeps what programs see (the cache) apart from what survives a power cut (the platter), sector by sector:
//!
//! ```text
//!     write_at ─▶ cache, sectors are dirty ─▶ sync_data ─▶ platter
//!     create, rename, remove ─▶ names in the cache, pending ─▶ sync_folder ─▶ names on the platter
//!
//!     kill:      the cache stays
//!     power cut: the platter, and those dirty sectors that `keep` picks; pending names, up to where it picks
//! ```
//!
//! A sync that fails loses what was dirty and calls it clean, as Linux does. Chance is the caller's: nothing here is random.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, LogFile};

/// Bytes that reach the platter together or not at all.
pub const SECTOR_BYTES: usize = 512;

/// What is about to happen to a [`MemoryDisk`], for a hook to count, delay or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// A file is made.
    Create,
    /// Bytes are written.
    Write {
        /// The file's present name.
        file: &'a str,
        /// Where they go.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// A file is synced.
    Sync,
    /// The folder is synced.
    SyncFolder,
    /// A file gets another name.
    Rename,
    /// A file is unlinked.
    Remove,
}

/// Something that a power cut may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced<'a> {
    /// A sector of a file.
    Sector {
        /// The file's name when it was made.
        file: &'a str,
        /// Where the sector begins.
        offset: u64,
    },
    /// The next change of names; when it goes, so do all after it.
    Name,
}

/// Called before each act; an error makes it fail. It may sleep: that is a stall.
pub type Hook = Arc<dyn Fn(Act<'_>) -> io::Result<()> + Send + Sync>;

/// The disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    names_synced: BTreeMap<String, usize>,
    names_pending: Vec<Naming>,
    room_bytes: Option<u64>,
    hook: Option<Hook>,
}

#[derive(Clone, Default)]
struct File {
    made_as: String,
    cache: Vec<u8>,
    platter: Vec<u8>,
    dirty: BTreeSet<usize>,
}

#[derive(Clone)]
enum Naming {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

struct OpenFile {
    disk: MemoryDisk,
    file: usize,
}

impl MemoryDisk {
    /// An empty folder.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Calls `hook` before each act from now on.
    pub fn on_act(&self, hook: Hook) {
        self.state().hook = Some(hook);
    }

    /// Calls no hook any more.
    pub fn calm(&self) {
        self.state().hook = None;
    }

    /// How many bytes all files may have together; `None` for no limit. More is `StorageFull`.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.state().room_bytes = bytes;
    }

    /// The same contents on another disk, as after a kill: nothing is lost, no hook, no limit.
    pub fn fork(&self) -> MemoryDisk {
        let mut state = self.state().clone();
        (state.hook, state.room_bytes) = (None, None);
        MemoryDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// What is there after a power cut now: what was synced, and of the rest what `keep` picks.
    pub fn power_cut(&self, mut keep: impl FnMut(Unsynced<'_>) -> bool) -> MemoryDisk {
        let mut state = self.state().clone();
        (state.hook, state.room_bytes) = (None, None);
        let pending = std::mem::take(&mut state.names_pending);
        for naming in pending.into_iter().take_while(|_| keep(Unsynced::Name)) {
            naming.apply(&mut state.names_synced);
        }
        state.names = state.names_synced.clone();
        for file in &mut state.files {
            let dirty = std::mem::take(&mut file.dirty);
            let name = file.made_as.clone();
            for sector in dirty {
                let offset = (sector * SECTOR_BYTES) as u64;
                if keep(Unsynced::Sector { file: &name, offset }) {
                    file.settle(sector);
                }
            }
            file.cache = file.platter.clone();
        }
        MemoryDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// The bytes of a file, as programs see them.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|file| state.files[*file].cache.clone())
    }

    /// Puts a file there, synced, in place of any that has the name.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file =
            File { made_as: name.to_string(), cache: bytes.clone(), platter: bytes, dirty: BTreeSet::new() };
        state.files.push(file);
        let file = state.files.len() - 1;
        state.names.insert(name.to_string(), file);
        state.names_synced.insert(name.to_string(), file);
    }

    /// Changes a file where it lies, as decay does.
    pub fn damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(file) = state.names.get(name).copied() {
            damage(&mut state.files[file].cache);
            state.files[file].platter = state.files[file].cache.clone();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn act(&self, act: Act<'_>) -> io::Result<()> {
        // The hook runs without the lock: it may look at the disk, or wait.
        let hook = self.state().hook.clone();
        hook.map_or(Ok(()), |hook| hook(act))
    }
}

impl State {
    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.names);
        self.names_pending.push(naming);
    }

    /// Frees the bytes of files that no name leads to any more, not even after a power cut.
    fn forget_unlinked(&mut self) {
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        for (at, file) in self.files.iter_mut().enumerate() {
            if !named.contains(&at) {
                *file = File::default();
            }
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|file| self.files[*file].cache.len() as u64).sum()
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Naming::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Naming::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Naming::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl File {
    fn settle(&mut self, sector: usize) {
        let from = sector * SECTOR_BYTES;
        let to = (from + SECTOR_BYTES).min(self.cache.len());
        if self.platter.len() < to {
            self.platter.resize(to, 0);
        }
        self.platter[from..to].copy_from_slice(&self.cache[from..to]);
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        self.act(Act::Create)?;
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(File { made_as: name.to_string(), ..File::default() });
        state.name(Naming::Create(name.to_string(), file));
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = self.state().file(name)?;
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.act(Act::Rename)?;
        let mut state = self.state();
        state.file(from)?;
        state.name(Naming::Rename(from.to_string(), to.to_string()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.act(Act::Remove)?;
        let mut state = self.state();
        state.file(name)?;
        state.name(Naming::Remove(name.to_string()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.act(Act::SyncFolder)?;
        let mut state = self.state();
        state.names_pending.clear();
        state.names_synced = state.names.clone();
        state.forget_unlinked();
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        let state = self.state();
        state.room_bytes.map(|room| room.saturating_sub(state.used_bytes()))
    }

    fn path(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

impl OpenFile {
    fn name(&self) -> String {
        let state = self.disk.state();
        let named = state.names.iter().find(|(_, file)| **file == self.file);
        named.map_or_else(String::new, |(name, _)| name.clone())
    }
}

impl LogFile for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].cache.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let state = self.disk.state();
        let bytes = state.files[self.file].cache.get(offset as usize..offset as usize + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.act(Act::Write { file: &self.name(), offset, bytes })?;
        let mut state = self.disk.state();
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        let grows = to.saturating_sub(state.files[self.file].cache.len()) as u64;
        if grows > 0 && state.room_bytes.is_some_and(|room| state.used_bytes() + grows > room) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut state.files[self.file];
        if file.cache.len() < to {
            file.cache.resize(to, 0);
        }
        file.cache[from..to].copy_from_slice(bytes);
        file.dirty.extend(from / SECTOR_BYTES..to.div_ceil(SECTOR_BYTES));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let acted = self.disk.act(Act::Sync);
        let mut state = self.disk.state();
        let file = &mut state.files[self.file];
        let dirty = std::mem::take(&mut file.dirty);
        // When it fails, the dirty sectors are clean all the same: seen by who reads, and never to reach the platter.
        acted?;
        for sector in dirty {
            file.settle(sector);
        }
        Ok(())
    }
}
