//! What a rig that was killed has left behind: namespaces, mounts and folders that carry the number of a process that is gone.

use std::fs;
use std::path::{Path, PathBuf};

use super::command::{run, try_run};

/// Starts the names of all namespaces of a rig; its pid follows.
pub(crate) const NAMESPACES: &str = "tt";
/// Starts the names of all folders of a rig; its pid follows.
pub(crate) const FOLDERS: &str = "torture-";

/// Removes what belongs to rigs that are gone, and says how much that was.
pub(crate) fn sweep(below: &Path) -> usize {
    let mut swept = 0;
    for name in
        run(&["ip", "netns", "list"]).unwrap_or_default().lines().filter_map(|line| line.split(' ').next())
    {
        let owner = name.strip_prefix(NAMESPACES).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        if owner.is_some_and(is_gone) {
            try_run(&["ip", "netns", "del", name]);
            swept += 1;
        }
    }
    for folder in fs::read_dir(below).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(owner) = name.strip_prefix(FOLDERS) else { continue };
        if is_gone(owner) {
            clear(&folder);
            swept += 1;
        }
    }
    swept
}

/// Unmounts what is mounted below a rig's folder, and removes it.
pub(crate) fn clear(folder: &Path) {
    for mount in mounts_below(folder) {
        // A frozen one would never be free of its processes.
        try_run(&["fsfreeze", "--unfreeze", &mount.to_string_lossy()]);
        try_run(&["umount", "-l", &mount.to_string_lossy()]);
    }
    let _ = fs::remove_dir_all(folder);
}

fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

/// Whether there is no such process; what is no pid belongs to somebody else.
fn is_gone(pid: &str) -> bool {
    pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_gone_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let mine = folder.path().join(format!("{FOLDERS}{}", std::process::id()));
        // Beyond the largest pid that Linux gives.
        let left = folder.path().join(format!("{FOLDERS}4194305"));
        let others = folder.path().join(format!("{FOLDERS}kept"));
        for path in [&mine, &left, &others] {
            fs::create_dir(path).unwrap();
        }
        assert!(sweep(folder.path()) >= 1);
        assert!(mine.exists() && others.exists() && !left.exists());
    }
}
