//! The folder that is made: aside first, so that it is there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{InitError, Issued};

/// A folder that is being made. Dropped before it is done, it is gone.
pub(super) struct Folder {
    target: PathBuf,
    aside: PathBuf,
    is_done: bool,
}

impl Folder {
    /// Begins to make it, where nothing is in the way.
    pub(super) fn begin(target: &Path) -> Result<Folder, InitError> {
        check_free(target)?;
        let name = target.file_name().ok_or_else(|| InitError::NoFolder { path: target.to_owned() })?;
        let aside = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent).map_err(|error| io_error(parent, error))?;
        }
        private_folder(&aside)?;
        Ok(Folder { target: target.to_owned(), aside, is_done: false })
    }

    /// Writes a file that only its owner may read. `name` has at most one folder before it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<(), InitError> {
        let path = self.aside.join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            private_folder(parent)?;
        }
        let put = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        put().map_err(|error| io_error(&self.target.join(name), error))
    }

    /// Writes a certificate and its key, at `name` with `.crt` and `.key` behind it.
    pub(super) fn write_pair(&self, name: &str, issued: &Issued) -> Result<(), InitError> {
        self.write(&format!("{name}.crt"), &issued.cert)?;
        self.write(&format!("{name}.key"), &issued.key)
    }

    /// Puts it in its place. An empty folder that was there goes.
    pub(super) fn done(mut self) -> Result<(), InitError> {
        let parent = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let put = || {
            fs::rename(&self.aside, &self.target)?;
            File::open(parent)?.sync_all()
        };
        match put() {
            Ok(()) => {
                self.is_done = true;
                Ok(())
            }
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                Err(InitError::NotEmpty { folder: self.target.clone(), is_ours: is_ours(&self.target) })
            }
            Err(error) => Err(io_error(&self.target, error)),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.is_done {
            // It failed already, and that is what is told.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

fn check_free(target: &Path) -> Result<(), InitError> {
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(InitError::NotEmpty { folder: target.to_owned(), is_ours: is_ours(target) }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(InitError::NoFolder { path: target.to_owned() })
        }
        Err(error) => Err(io_error(target, error)),
    }
}

fn is_ours(folder: &Path) -> bool {
    folder.join("tenure.toml").exists()
}

fn private_folder(path: &Path) -> Result<(), InitError> {
    DirBuilder::new().mode(0o700).create(path).map_err(|error| io_error(path, error))
}

fn io_error(path: &Path, error: io::Error) -> InitError {
    InitError::Io { path: path.to_owned(), error }
}
