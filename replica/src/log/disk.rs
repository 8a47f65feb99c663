//! What the log asks of a disk: one folder of files, seen through two small traits.
//!
//! [`Folder`](super::Folder) is the real one; [`MemoryDisk`](super::MemoryDisk) breaks on demand, for tests and for
//! the simulator. All calls are synchronous and are made by the writer alone, never by who appends.

use std::io;

/// A folder that belongs to one log.
pub trait Disk: Send + Sync {
    /// The names of the files in the folder, sorted.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a new, empty file. Fails when there is one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>>;

    /// Gives a file another name; a file that had that name is gone.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Unlinks a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    fn sync_folder(&self) -> io::Result<()>;

    /// Free bytes where the folder lives, or `None` where the disk does not say.
    fn free_bytes(&self) -> Option<u64>;

    /// The whole path of a file, for messages.
    fn path(&self, name: &str) -> String;
}

/// An open file.
pub trait LogFile: Send {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `into` from `offset` on; an error when the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`. Nothing is durable before [`LogFile::sync_data`] returned.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's bytes and length durable. After an error nobody knows what is on the disk (the kernel may have
    /// marked the lost pages clean), so the only right answer is to end the process.
    fn sync_data(&self) -> io::Result<()>;
}
