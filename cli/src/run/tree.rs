//! A process and all that came from it, found by their parents in `/proc`: a process can leave its group and its session,
//! but not its parent; and when that ends, the nearest subreaper above becomes its parent.
//!
//! Promises:
//! * A signal reaches only a process whose chain of parents leads to the root at that moment: it is held by a pidfd before
//!   the chain is walked, so that whoever gets its number later is not reached.
//! * What is missed in one pass, because it was being born or its parent just ended, is found by the next. An empty pass is no
//!   proof that nothing is left; having no children is.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use nix::sys::signal::Signal;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: i32,
    /// When it began, in the kernel's ticks: with the number, this tells it from a later one.
    pub(crate) began: u64,
    /// What has ended and waits for its parent to see it can do nothing any more.
    pub(crate) lives: bool,
}

/// The processes below one, without itself; and without those that were its children before, and what came from them.
pub(crate) struct Tree {
    root: i32,
    /// By number, and when each began.
    elders: BTreeMap<i32, u64>,
}

impl Tree {
    /// All that comes from this process from now on.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn of_this_process() -> io::Result<Tree> {
        let root = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        let children = all()?.into_iter().filter(|(_, stat)| stat.parent == root);
        Ok(Tree { root, elders: children.map(|(pid, stat)| (pid, stat.began)).collect() })
    }

    /// Those that live.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn living(&self) -> io::Result<Vec<i32>> {
        let all = all()?;
        let below = |pid: &i32| self.has(*pid, |pid| all.get(&pid).copied());
        Ok(all.iter().filter(|(_, stat)| stat.lives).map(|(pid, _)| *pid).filter(below).collect())
    }

    /// Sends this signal to all that live, and tells which there were.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<Vec<i32>> {
        let living = self.living()?;
        for pid in &living {
            self.signal_one(*pid, signal);
        }
        Ok(living)
    }

    /// The root's children, ended or not. To be asked by the root itself, a subreaper, which takes in nobody's end meanwhile: where
    /// there are none, nothing is left. For whatever lives below it is its child, or a child of its is above that; and however
    /// that child ends, its number stays in `/proc` until the root has taken that in.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub(crate) fn children(&self) -> io::Result<Vec<i32>> {
        let all = all()?;
        let children =
            all.iter().filter(|(pid, stat)| stat.parent == self.root && !self.is_elder(**pid, stat));
        Ok(children.map(|(pid, _)| *pid).collect())
    }

    // Whoever has ended meanwhile needs no signal, and whoever may not be signalled is seen to live on.
    fn signal_one(&self, pid: i32, signal: Signal) {
        let Some(raw) = Pid::from_raw(pid) else { return };
        let Ok(held) = pidfd_open(raw, PidfdFlags::empty()) else { return };
        if self.has(pid, stat)
            && let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32)
        {
            let _ = pidfd_send_signal(held, signal);
        }
    }

    fn has(&self, pid: i32, stat: impl Fn(i32) -> Option<Stat>) -> bool {
        leads_to(pid, self.root, |pid| {
            let stat = stat(pid).filter(|stat| !self.is_elder(pid, stat));
            stat.map(|stat| stat.parent)
        })
    }

    fn is_elder(&self, pid: i32, stat: &Stat) -> bool {
        self.elders.get(&pid) == Some(&stat.began)
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

/// `PID (NAME) STATE PARENT …`, the threads in column 20, when it began in column 22. The name may have anything in it, `)` too.
fn parse(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ended = matches!(*fields.first()?, "Z" | "X");
    let parent = fields.get(1)?.parse().ok()?;
    // The first thread of a process may end before the others, which go on.
    let threads: u32 = fields.get(17)?.parse().ok()?;
    let began = fields.get(19)?.parse().ok()?;
    Some(Stat { parent, began, lives: !ended || threads > 1 })
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
            assert_eq!(
                parse(&line(name, "S", 1)),
                Some(Stat { parent: 7, began: 99, lives: true }),
                "{name}"
            );
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

    fn sleeper() -> std::process::Child {
        let mut command = Command::new("sleep");
        command.arg("1000").stdin(Stdio::null()).spawn().unwrap()
    }

    #[test]
    fn only_what_has_come_to_be_below_is_found_and_ended() {
        let tree = Tree::of_this_process().unwrap();
        let (mut one, mut other) = (sleeper(), sleeper());
        let one_pid = one.id() as i32;
        assert!(tree.living().unwrap().contains(&one_pid));
        let below_other = Tree { root: other.id() as i32, elders: BTreeMap::new() };
        assert!(below_other.living().unwrap().is_empty());
        // Not below the other, so not reached.
        below_other.signal_one(one_pid, Signal::SIGKILL);
        assert!(tree.living().unwrap().contains(&one_pid));
        tree.signal_one(one_pid, Signal::SIGKILL);
        while tree.living().unwrap().contains(&one_pid) {}
        assert!(tree.children().unwrap().contains(&one_pid), "its end was not taken in yet");
        one.wait().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(tree.children().unwrap().is_empty());
        // What was there before is left alone.
        let mut elder = sleeper();
        let tree = Tree::of_this_process().unwrap();
        assert!(tree.children().unwrap().is_empty() && tree.living().unwrap().is_empty());
        tree.signal(Signal::SIGKILL).unwrap();
        tree.signal_one(elder.id() as i32, Signal::SIGKILL);
        assert_eq!(elder.try_wait().unwrap(), None);
        elder.kill().unwrap();
        elder.wait().unwrap();
    }
}
