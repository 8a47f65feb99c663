//! `tenure __child`: what a command is before it is itself. It ties itself to the guardian, gives the command the signals
//! back that `tenure` blocked for itself, and becomes it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::getppid;

use crate::exit::quoted;
use crate::output::say;

/// What a shell ends with where a command that exists cannot be run.
pub(crate) const CANNOT_RUN: u8 = 126;

/// How a guardian starts a command: as its child by `tenure __child`.
pub(crate) fn command(program: &[OsString]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    // Its own file may have been replaced since it was started: what is the guardian's is the child's too.
    command.arg0("tenure").arg(super::CHILD).arg(std::process::id().to_string()).args(program);
    command
}

/// Becomes the command; returns only where that fails.
pub(crate) fn run(args: &[OsString]) -> u8 {
    let guardian = args.first().and_then(|pid| pid.to_str()?.parse::<i32>().ok());
    let (Some(guardian), Some(program)) = (guardian, args.get(1)) else { return super::misused() };
    let tied = prctl::set_pdeathsig(Signal::SIGKILL).and_then(|()| SigSet::empty().thread_set_mask());
    if let Err(error) = tied {
        say(format!("error[unavailable]: the command cannot be tied to its lease: {error}"));
        return CANNOT_RUN;
    }
    // It may have ended before this process was tied to it.
    if getppid().as_raw() != guardian {
        return CANNOT_RUN;
    }
    let error = Command::new(program).args(&args[2..]).exec();
    say(format!("error[usage]: {} cannot be run: {error}", quoted(&program.to_string_lossy())));
    CANNOT_RUN
}
