//! Ctrl-C and SIGTERM, where a verb has something to say before it ends: they are held back, waited for, and in the end let
//! through, so that the shell sees a program that its signal ended. One that merely exits would let a shell's loop go on.

use std::future::Future;

use nix::sys::signal::{SigSet, Signal, raise};
use tokio::sync::oneshot;

use crate::connect::runtime;
use crate::exit::Failure;

/// Both signals, held back from every thread of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held(SigSet);

/// Lets through what the process that started us may have held back.
pub(crate) fn let_through() {
    let _ = both().thread_unblock();
}

impl Held {
    /// Holds both back, from this thread and from those that it starts: call it before any is started.
    pub(crate) fn hold() -> Held {
        let signals = both();
        // Where that fails, they end the process as usual.
        let _ = signals.thread_block();
        Held(signals)
    }

    /// Waits for the next one.
    pub(crate) fn wait(self) -> Signal {
        loop {
            if let Ok(signal) = self.0.wait() {
                return signal;
            }
        }
    }

    /// Tells of the next one.
    pub(crate) fn next(self) -> oneshot::Receiver<Signal> {
        let (told, heard) = oneshot::channel();
        std::thread::spawn(move || told.send(self.wait()));
        heard
    }
}

/// Does the work on a runtime of its own; where one of the two signals comes first, it is dropped, and `ended` says what follows.
pub(crate) fn unless_ended<T>(
    work: impl Future<Output = Result<T, Failure>>,
    ended: impl FnOnce(Signal) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let signal = Held::hold().next();
    runtime()?.block_on(async {
        tokio::select! {
            done = work => done,
            Ok(signal) = signal => ended(signal),
        }
    })
}

/// Ends the process as `signal` does where nobody holds it back.
pub(crate) fn end_of(signal: Signal) -> ! {
    let mut alone = SigSet::empty();
    alone.add(signal);
    let _ = alone.thread_unblock();
    let _ = raise(signal);
    // It is ignored, as in a script's background: say at least by the code what it was.
    std::process::exit(128 + signal as i32)
}

fn both() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM].into_iter().collect()
}
