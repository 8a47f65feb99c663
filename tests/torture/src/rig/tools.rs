//! Two small programs in C that the rig compiles when it starts: what our own code may not do, since it is all safe.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::command::run;

/// The compiled programs.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// Loaded into members: their disk's faults.
    pub(crate) shim: PathBuf,
    /// Cuts a file system's power.
    pub(crate) power_cut: PathBuf,
    /// Loaded into members: their clock's rate. None where the machine has no libfaketime.
    pub(crate) faketime: Option<PathBuf>,
}

impl Tools {
    /// Compiles them into `folder`.
    pub(crate) fn make(folder: &Path) -> io::Result<Tools> {
        let (shim, power_cut) = (folder.join("shim.so"), folder.join("powercut"));
        compile(include_str!("shim.c"), &shim, &["-shared", "-fPIC", "-ldl"])?;
        compile(include_str!("powercut.c"), &power_cut, &[])?;
        Ok(Tools { shim, power_cut, faketime: faketime() })
    }
}

fn compile(source: &str, to: &Path, flags: &[&str]) -> io::Result<()> {
    let from = to.with_extension("c");
    fs::write(&from, source)?;
    let (from, to) = (from.to_string_lossy(), to.to_string_lossy());
    run(&[&["cc", "-O1", "-Wall", "-Werror", "-o", &to, &from][..], flags].concat())
        .map_err(io::Error::other)?;
    Ok(())
}

/// Where libfaketime is, by the machine's kind.
pub(crate) fn faketime() -> Option<PathBuf> {
    let below = fs::read_dir("/usr/lib").ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let places =
        below.chain([PathBuf::from("/usr/lib")]).map(|place| place.join("faketime/libfaketimeMT.so.1"));
    places.into_iter().find(|place| place.exists())
}
