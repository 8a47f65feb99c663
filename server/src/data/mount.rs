//! Which file system the data folder is on: some forget, and some promise a sync that they cannot keep.

use std::path::Path;

use nix::sys::statfs::{FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, TMPFS_MAGIC, statfs};

use super::DataError;

/// Refuses, or where that is allowed warns of, a file system that cannot be trusted. The folder need not be there yet.
pub(super) fn check(folder: &Path, allowed: bool) -> Result<(), DataError> {
    let found = statfs(nearest(folder))
        .map_err(|errno| DataError::io("asking for its file system", folder, errno.into()))?;
    let Some((kind, why)) = doubt(found.filesystem_type()) else { return Ok(()) };
    if !allowed {
        return Err(DataError::Volatile { path: folder.to_owned(), kind, why });
    }
    tracing::warn!(folder = %folder.display(), "the data folder is on {kind}, {why}");
    Ok(())
}

/// What there is of `path`: itself, or the nearest folder above it, where it will be made.
fn nearest(path: &Path) -> &Path {
    let there = path.ancestors().find(|above| above.exists());
    there.filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn doubt(kind: FsType) -> Option<(&'static str, &'static str)> {
    match kind {
        TMPFS_MAGIC => Some(("tmpfs", "which is gone at a reboot, with every grant")),
        NFS_SUPER_MAGIC => Some(("NFS", "whose syncs and locks promise less than a local disk's")),
        SMB_SUPER_MAGIC => Some(("SMB", "whose syncs and locks promise less than a local disk's")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_yet_to_be_made_is_judged_by_the_one_above_it() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&parent.path().join("a/b")), parent.path());
        assert_eq!(nearest(parent.path()), parent.path());
        assert_eq!(nearest(Path::new("no-such-folder/here")), Path::new("."));
    }

    #[test]
    fn what_forgets_is_doubted() {
        assert_eq!(doubt(TMPFS_MAGIC).map(|(kind, _)| kind), Some("tmpfs"));
        assert_eq!(doubt(NFS_SUPER_MAGIC).map(|(kind, _)| kind), Some("NFS"));
        assert_eq!(doubt(nix::sys::statfs::EXT4_SUPER_MAGIC), None);
        // Every Linux has one; where it is no tmpfs, there is nothing to see.
        let shm = Path::new("/dev/shm");
        if statfs(shm).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC) {
            let error = check(shm, false).unwrap_err().to_string();
            assert!(
                error.contains("/dev/shm is on tmpfs") && error.contains("--allow-volatile-data"),
                "{error}"
            );
            assert!(check(shm, true).is_ok());
        }
    }
}
