//! A member's disk: a file system of its own in a file, so that it can be filled, and lose its power, alone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::command::{Failed, run, try_run};

/// Room for three segments of the log and its snapshots.
const BYTES: u64 = 512 << 20;

/// A file system.
pub(crate) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// Makes and mounts it, below `folder`.
    pub(crate) fn make(folder: &Path, member: u64) -> io::Result<Disk> {
        let (image, mount) = (folder.join(format!("{member}.ext4")), folder.join(format!("{member}.disk")));
        fs::create_dir_all(&mount)?;
        File::create(&image)?.set_len(BYTES)?;
        let disk = Disk { image, mount };
        run(&["mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=8", &text(&disk.image)])
            .map_err(io::Error::other)?;
        disk.mount().map_err(io::Error::other)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Takes all the room that is left.
    pub(crate) fn fill(&self) -> io::Result<()> {
        let file = File::create(self.ballast())?;
        let free = nix::sys::statvfs::statvfs(&self.mount)?;
        let bytes = free.blocks_available() * free.fragment_size();
        // What the file system keeps for itself is not given; the next best is nearly all.
        let length = i64::try_from(bytes.saturating_sub(1 << 20)).unwrap_or(i64::MAX);
        nix::fcntl::fallocate(&file, nix::fcntl::FallocateFlags::empty(), 0, length)?;
        Ok(())
    }

    /// Gives the room back.
    pub(crate) fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Cuts the power: what was not synced is gone, and nothing more is written. `tool` does it.
    pub(crate) fn cut(&self, tool: &Path) -> Result<(), Failed> {
        run(&[&text(tool), &text(&self.mount)]).map(|_| ())
    }

    /// Turns it on again. Nobody may have a file open on it.
    pub(crate) fn back(&self) -> Result<(), Failed> {
        run(&["umount", &text(&self.mount)])?;
        self.mount()
    }

    /// Stops it: writes and syncs wait until it is thawed, and nothing fails. Where the rig is killed meanwhile, the next one's
    /// sweep thaws it.
    pub(crate) fn freeze(&self) -> Result<(), Failed> {
        run(&["fsfreeze", "--freeze", &text(&self.mount)]).map(|_| ())
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<(), Failed> {
        run(&["fsfreeze", "--unfreeze", &text(&self.mount)]).map(|_| ())
    }

    /// The same, of a disk that may not be frozen.
    pub(crate) fn thaw_if_frozen(&self) {
        try_run(&["fsfreeze", "--unfreeze", &text(&self.mount)]);
    }

    fn mount(&self) -> Result<(), Failed> {
        run(&["mount", "-o", "loop", &text(&self.image), &text(&self.mount)]).map(|_| ())
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.thaw_if_frozen();
        // Lazily, since a process that was killed just now may not be gone yet; the loop device goes with it.
        try_run(&["umount", "-l", &text(&self.mount)]);
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
