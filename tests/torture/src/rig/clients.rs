//! A process full of clients, in the clients' namespace.

use std::io;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::member::in_namespace;
use super::net::address;

/// How many holders a process has.
pub(crate) const HOLDERS: usize = 12;
/// How many leases all of them want.
pub(crate) const LEASES: usize = 16;

/// Who is in a process of clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Those who do everything by chance.
    pub(crate) holders: usize,
    /// Those who keep a lease each.
    pub(crate) keepers: usize,
    /// Those in line behind each of them.
    pub(crate) waiters: usize,
    /// Those who extend by hand, through each member.
    pub(crate) extenders: usize,
    /// The ttl of all but the first.
    pub(crate) keep: Duration,
    /// How often the last extend.
    pub(crate) every: Duration,
}

impl Crowd {
    /// The crowd of a mixed run.
    pub(crate) const MIXED: Crowd = Crowd {
        holders: HOLDERS,
        keepers: 0,
        waiters: 0,
        extenders: 0,
        keep: Duration::from_secs(3),
        every: Duration::from_millis(100),
    };
}

/// The last calls of all holders are answered within this: the longest waits, and is then answered by its member or given up.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// A running process of clients.
pub(crate) struct Clients {
    pub(crate) number: u64,
    child: Child,
}

impl Clients {
    /// Starts it. Numbers of a run are never used again, so that neither are the names of its holders.
    pub(crate) fn start(
        namespace: &str,
        folder: &Path,
        number: u64,
        members: u64,
        seed: u64,
        rate: u64,
        crowd: Crowd,
    ) -> io::Result<Clients> {
        let endpoints =
            (1..=members).map(|member| format!("{}:7400", address(member))).collect::<Vec<_>>().join(",");
        let mut command = in_namespace(namespace);
        command.arg(std::env::current_exe()?).args(["workload", "--endpoints", &endpoints]);
        for (flag, value) in [
            ("--process", number),
            ("--holders", crowd.holders as u64),
            ("--leases", LEASES as u64),
            ("--keepers", crowd.keepers as u64),
            ("--waiters", crowd.waiters as u64),
            ("--extenders", crowd.extenders as u64),
            ("--keep-ms", crowd.keep.as_millis() as u64),
            ("--every-ms", crowd.every.as_millis() as u64),
            ("--seed", seed.wrapping_mul(1_000).wrapping_add(number * 100)),
            ("--rate", rate),
        ] {
            command.arg(flag).arg(value.to_string());
        }
        command.arg("--history").arg(folder.join(format!("clients-{number}.jsonl")));
        Ok(Clients { number, child: command.spawn()? })
    }

    /// The names of its holders.
    pub(crate) fn names(number: u64) -> impl Iterator<Item = String> {
        (0..HOLDERS).map(move |i| format!("h{number}-{i}"))
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill(Pid::from_raw(self.child.id().cast_signed()), signal)?)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Asks it to end, and waits until its last calls are answered.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGTERM)?;
        let until = Instant::now() + LAST_CALLS;
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(io::Error::other(format!("clients {}: {status}", self.number))),
                None if Instant::now() > until => {
                    return Err(io::Error::other(format!(
                        "clients {} do not end within {LAST_CALLS:?}",
                        self.number
                    )));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // One that has ended cannot be hurt: its pid is ours until it is waited for.
        let _ = self.kill();
    }
}
