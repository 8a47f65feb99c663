//! What this machine lacks for a run, in words: the rig then says so and does nothing.

use std::path::Path;

use super::command::run;
use super::schedule::Kind;
use super::tools::faketime;

/// The programs that the rig is made of, and where they come from.
const PROGRAMS: [(&str, &str); 8] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("setpriv", "util-linux"),
    ("nsenter", "util-linux"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("fsfreeze", "util-linux"),
    ("cc", "gcc"),
];

/// Why no run is possible here; none where one is.
pub(crate) fn lacks() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("it is not root, which network namespaces and mounts need".to_owned());
    }
    for (program, package) in PROGRAMS {
        if !is_there(program) {
            return Some(format!("there is no {program}: install {package}"));
        }
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("there are no loop devices, which members' disks are".to_owned());
    }
    namespaces().err()
}

/// Why this kind is not possible here; none where it is.
pub(crate) fn lacks_for(kind: Kind) -> Option<String> {
    let of_clocks = matches!(kind, Kind::Clock | Kind::WildClock);
    (of_clocks && faketime().is_none()).then(|| "there is no libfaketime: install faketime".to_owned())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

/// Whether a namespace with a rule on a bridge can be had.
fn namespaces() -> Result<(), String> {
    let name = format!("{}{}-t", super::sweep::NAMESPACES, std::process::id());
    let tried = run(&["ip", "netns", "add", &name]).and_then(|_| {
        run(&["ip", "-n", &name, "link", "add", "br0", "type", "bridge"])?;
        run(&["ip", "-n", &name, "link", "add", "p0", "type", "veth", "peer", "name", "p1"])?;
        let chain = "add table bridge t; add chain bridge t c { type filter hook forward priority 0; }";
        run(&["ip", "netns", "exec", &name, "nft", chain])
    });
    super::command::try_run(&["ip", "netns", "del", &name]);
    tried
        .map(|_| ())
        .map_err(|failed| format!("network namespaces, bridges, veth or nftables do not work: {failed}"))
}
