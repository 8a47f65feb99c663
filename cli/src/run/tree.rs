//! A process and all that came from it, found by their parents in `/proc`: a process can leave its group and its session,
//! but not its parent; and when that ends, the nearest subreaper above becomes its parent.
//!
//! Promises:
//! * A signal reaches only a process whose chain of parents leads to the root at that moment: it is held by a pidfd before
//!   the chain is walked, so that whoever gets its number later is not reached.
//! * What is missed in one pass, because it was being born or its parent just ended, is found by the next: callers repeat
//!   until nothing is left.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    /// What has ended and waits for its parent to see it can do nothing any more.
    pub(crate) lives: bool,
}

/// The living processes below `root`, without itself.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn living(root: i32) -> io::Result<Vec<i32>> {
    let all = all()?;
    let below = |pid: &i32| leads_to(*pid, root, |pid| all.get(&pid).map(|stat| stat.parent));
    Ok(all.iter().filter(|(_, stat)| stat.lives).map(|(pid, _)| *pid).filter(below).collect())
}

/// Sends every living process below `root` this signal, and tells which there were.
///
/// # Errors
/// `/proc` cannot be read.
pub(crate) fn signal(root: i32, signal: Signal) -> io::Result<Vec<i32>> {
    let living = living(root)?;
    for pid in &living {
        signal_one(*pid, root, signal);
    }
    Ok(living)
}

// Whoever has ended meanwhile needs no signal, and whoever may not be signalled is seen to live on.
fn signal_one(pid: i32, root: i32, signal: Signal) {
    let Some(raw) = Pid::from_raw(pid) else { return };
    let Ok(held) = pidfd_open(raw, PidfdFlags::empty()) else { return };
    let parent = |pid| stat(pid).map(|stat| stat.parent);
    if leads_to(pid, root, parent)
        && let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32)
    {
        let _ = pidfd_send_signal(held, signal);
    }
}

/// Whether the chain of parents of `pid` leads to `root`.
fn leads_to(pid: i32, root: i32, parent: impl Fn(i32) -> Option<i32>) -> bool {
    let mut at = pid;
    // More steps than there can be processes: what is read one by one may for an instant look like a ring.
    for _ in 0..1 << 22 {
        match parent(at) {
            Some(above) if above == root => return true,
            Some(above) if above > 0 => at = above,
            _ => return false,
        }
    }
    false
}

fn all() -> io::Result<BTreeMap<i32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended since the folder was read is in nobody's way.
        if let Some(stat) = stat(pid) {
            all.insert(pid, stat);
        }
    }
    Ok(all)
}

fn stat(pid: i32) -> Option<Stat> {
    // A program may give itself a name that is no UTF-8.
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse(&String::from_utf8_lossy(&bytes))
}

/// `PID (NAME) STATE PARENT …`, the threads in column 20. The name may have anything in it, `)` too.
fn parse(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    let parent = fields.get(1)?.parse().ok()?;
    // The first thread of a process may end before the others, which go on.
    let threads: u32 = fields.get(17)?.parse().ok()?;
    Some(Stat { parent, lives: !ended || threads > 1 })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn line(name: &str, state: &str, threads: u32) -> String {
        format!("41 ({name}) {state} 7 41 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 {threads} 0 99 1 2")
    }

    #[test]
    fn a_name_can_be_anything() {
        for name in ["sh", "a b", ") Z 1 (", "", "((("] {
            assert_eq!(parse(&line(name, "S", 1)), Some(Stat { parent: 7, lives: true }), "{name}");
        }
        assert_eq!(parse("41 (sh"), None);
    }

    #[test]
    fn what_has_ended_does_not_live_unless_a_thread_does() {
        assert!(parse(&line("a", "Z", 1)).is_some_and(|stat| !stat.lives));
        assert!(parse(&line("a", "Z", 2)).is_some_and(|stat| stat.lives));
        assert!(parse(&line("a", "D", 1)).is_some_and(|stat| stat.lives));
        assert!(parse(&line("a", "T", 1)).is_some_and(|stat| stat.lives));
    }

    #[test]
    fn chains_lead_to_the_root_or_end() {
        let parents = BTreeMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 0), (8, 9), (9, 8)]);
        let parent = |pid| parents.get(&pid).copied();
        assert!(leads_to(4, 2, parent) && leads_to(3, 2, parent));
        assert!(!leads_to(2, 2, parent), "the root is not below itself");
        assert!(!leads_to(5, 2, parent) && !leads_to(6, 2, parent) && !leads_to(7, 2, parent));
        assert!(!leads_to(8, 2, parent), "a ring ends");
    }

    #[test]
    fn only_what_is_below_is_found_and_ended() {
        let sleeper = || {
            let mut command = Command::new("sleep");
            command.arg("1000").stdin(Stdio::null()).spawn().unwrap()
        };
        let (mut one, mut other) = (sleeper(), sleeper());
        let one_pid = one.id() as i32;
        let me = std::process::id() as i32;
        assert!(living(me).unwrap().contains(&one_pid));
        assert!(living(one_pid).unwrap().is_empty());
        // Not below the other, so not reached.
        signal_one(one_pid, other.id() as i32, Signal::SIGKILL);
        assert!(living(me).unwrap().contains(&one_pid));
        signal_one(one_pid, me, Signal::SIGKILL);
        one.wait().unwrap();
        assert!(!living(me).unwrap().contains(&one_pid));
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
