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
use rustix::process::{WaitOptions, wait};
use tokio::io::AsyncReadExt;

use super::tree::Tree;
use super::wire::{Lines, News, Order, line, send_file};

/// How long to wait between two looks at what was killed.
const KILL_AGAIN: Duration = Duration::from_millis(2);

/// A guardian that waits for orders.
pub(crate) struct Guarded {
    tree: Tree,
    orders: UnixStream,
    news: tokio::net::UnixStream,
    lines: Lines,
}

/// A guardian that nobody listens to yet.
pub(crate) struct Started {
    tree: Tree,
    socket: UnixStream,
}

impl Guarded {
    /// Starts a guardian of this command, which it does not start yet. What it leaves, if it dies, comes to this process.
    pub(crate) fn start(program: &[OsString]) -> io::Result<Started> {
        prctl::set_child_subreaper(true)?;
        let tree = Tree::of_this_process()?;
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
        Ok(Started { tree, socket: ours })
    }

    /// Listens to it on this runtime.
    pub(crate) fn read(Started { tree, socket }: Started) -> io::Result<Guarded> {
        let news = tokio::net::UnixStream::from_std(socket.try_clone()?)?;
        Ok(Guarded { tree, orders: socket, news, lines: Lines::default() })
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

    /// Kills everything that came from this run, the guardian too, and tells what is left at `until`. What was there before the run is left alone.
    ///
    /// # Errors
    /// `/proc` cannot be read, so that nothing is known to be gone.
    pub(crate) fn kill_all(&self, now: impl Fn() -> Instant, until: Instant) -> io::Result<Vec<i32>> {
        loop {
            self.tree.signal(Signal::SIGKILL)?;
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            let left = self.tree.children()?;
            if left.is_empty() || now() >= until {
                return Ok(left);
            }
            std::thread::sleep(KILL_AGAIN);
        }
    }
}
