//! The guardian, as `tenure` sees it; and what is done in its place where it fails.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use client::Instant;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use tokio::io::AsyncReadExt;

use super::tree;
use super::wire::{Lines, News, Order, line, send_file};

/// How long to wait between two looks at what was killed.
const KILL_AGAIN: Duration = Duration::from_millis(2);

/// A guardian that waits for orders.
pub(crate) struct Guarded {
    orders: UnixStream,
    news: tokio::net::UnixStream,
    lines: Lines,
}

impl Guarded {
    /// Starts a guardian of this command, which it does not start yet. What it leaves, if it dies, comes to this process.
    pub(crate) fn start(program: &[OsString]) -> io::Result<UnixStream> {
        prctl::set_child_subreaper(true)?;
        let (ours, theirs) = UnixStream::pair()?;
        send_file(&ours, io::stdin())?;
        Command::new("/proc/self/exe")
            .arg0("tenure")
            .arg(super::GUARDIAN)
            .arg(std::process::id().to_string())
            .args(program)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        ours.set_nonblocking(true)?;
        Ok(ours)
    }

    /// Listens to it on this runtime.
    pub(crate) fn read(socket: UnixStream) -> io::Result<Guarded> {
        let news = tokio::net::UnixStream::from_std(socket.try_clone()?)?;
        Ok(Guarded { orders: socket, news, lines: Lines::default() })
    }

    /// Tells it. Where it is gone, [`Guarded::next`] says so; where it is stopped, its silence does.
    pub(crate) fn tell(&mut self, order: &Order) {
        if let Ok(line) = line(order) {
            let _ = self.orders.write_all(&line);
        }
    }

    /// What it says next; none once it is gone. A call that is dropped has taken nothing.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.lines.next() {
                return news.ok();
            }
            let mut bytes = [0; 4096];
            match self.news.read(&mut bytes).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.lines.push(&bytes[..read]),
            }
        }
    }
}

/// Kills everything below this process, the guardian too, and tells what still lives at `until`.
///
/// # Errors
/// `/proc` cannot be read, so that nothing is known to be gone.
pub(crate) fn kill_all(now: impl Fn() -> Instant, until: Instant) -> io::Result<Vec<i32>> {
    let me = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    loop {
        let living = tree::signal(me, Signal::SIGKILL)?;
        while matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
        {
        }
        if living.is_empty() || now() >= until {
            return Ok(living);
        }
        std::thread::sleep(KILL_AGAIN);
    }
}
