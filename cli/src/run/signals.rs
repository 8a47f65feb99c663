//! The signals that `tenure run` passes on, read from a file instead of handled: so that it knows who sent them.

use std::io;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const PASSED_ON: [Signal; 6] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGQUIT];

/// Of a signal that the kernel made: for a terminal's keys or its end, it went to the command too.
const SI_KERNEL: i32 = 0x80;

/// A signal that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) signal: Signal,
    /// Whether the terminal sent it, to every process of its foreground group.
    pub(crate) from_terminal: bool,
}

impl Came {
    /// Whether it asks a program to end.
    pub(crate) fn ends(self) -> bool {
        !matches!(self.signal, Signal::SIGUSR1 | Signal::SIGUSR2)
    }
}

/// What of [`PASSED_ON`] came since this was made.
pub(crate) struct Signals(UnboundedReceiver<Came>);

impl Signals {
    /// Blocks them for this thread and those that it will start: from here on they are only read, by a thread that waits
    /// for them.
    pub(crate) fn block() -> io::Result<Signals> {
        let mut set = SigSet::empty();
        PASSED_ON.iter().for_each(|signal| set.add(*signal));
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
        let (told, came) = unbounded_channel();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while let Ok(Some(info)) = signals.read_signal() {
                if to_came(&info).is_some_and(|came| told.send(came).is_err()) {
                    return;
                }
            }
        })?;
        Ok(Signals(came))
    }

    /// The next one. A call that is dropped has taken none.
    pub(crate) async fn next(&mut self) -> Came {
        match self.0.recv().await {
            Some(came) => came,
            None => std::future::pending().await,
        }
    }
}

fn to_came(info: &siginfo) -> Option<Came> {
    let signal = Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()?;
    Some(Came { signal, from_terminal: info.ssi_code == SI_KERNEL })
}
