//! `tenure __guardian`: the process that ends a command in time, whatever becomes of `tenure`.
//!
//! ```text
//!     tenure ──socket──▶ guardian (subreaper) ──▶ __child, the command ──▶ what it starts
//!        held for so long, start, signals, end        └─ orphans come to the guardian ─┘
//!
//!     waiting ──start──▶ running ──too late, end, command over, tenure gone──▶ ending ──time over──▶ killing ──▶ gone
//!                                                                                └──── all ended ────────────────┘
//! ```
//!
//! It has one thread and no runtime, sleeps on CLOCK_BOOTTIME, and looks at its clock before anything else when it wakes:
//! what is too late is killed before an order is read that came meanwhile. Every signal but SIGKILL and SIGSTOP is blocked:
//! Ctrl-C and Ctrl-Z in a terminal are for `tenure` and the command.
//!
//! It is gone with its `tenure`: the socket ends, and for good measure its parent's death sends it SIGTERM. And the command
//! is gone with it: by PR_SET_PDEATHSIG, and for what the command started by `tenure`, to which the orphans then come.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use client::{Clock, HolderClock, Instant};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::{Pid, getppid};
use rustix::process::{WaitOptions, wait};

use super::child;
use super::schedule::Belief;
use super::tree::Tree;
use super::wire::{Lines, News, Order, line, receive_file};
use crate::output::say;

/// How often a tree that was killed is looked at, and killed again.
const KILL_AGAIN: Duration = Duration::from_millis(5);
/// How often a tree that was asked to end is looked at. Its last process is our child, so that its end wakes us anyway.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

struct Guardian {
    tenure: Pid,
    tree: Tree,
    clock: HolderClock,
    socket: UnixStream,
    lines: Lines,
    signals: SignalFd,
    timer: TimerFd,
    program: Vec<OsString>,
    environment: Vec<(String, String)>,
    stdin: Option<OwnedFd>,
    belief: Option<Belief>,
    command: Option<Pid>,
    probe: Option<Pid>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing runs yet.
    Waiting,
    Running,
    /// Everything was asked to end, and is killed then.
    Ending {
        kill_at: Instant,
    },
    Killing,
}

/// Guards until nothing is left; the arguments are the pid of `tenure` and the command.
pub(crate) fn run(args: &[OsString]) -> u8 {
    let tenure = args.first().and_then(|pid| pid.to_str()?.parse().ok());
    let Some(tenure) = tenure.filter(|_| args.len() > 1) else { return super::misused() };
    let guarded = Guardian::start(Pid::from_raw(tenure), args[1..].to_vec()).and_then(Guardian::guard);
    match guarded {
        Ok(()) => 0,
        Err(error) => {
            // The command goes with this process, and what it started is ended by `tenure`.
            say(format!("the guardian of the command cannot go on: {error}"));
            1
        }
    }
}

impl Guardian {
    fn start(tenure: Pid, program: Vec<OsString>) -> io::Result<Guardian> {
        SigSet::all().thread_block()?;
        prctl::set_pdeathsig(Signal::SIGTERM)?;
        prctl::set_child_subreaper(true)?;
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let stdin = receive_file(&socket)?;
        socket.set_nonblocking(true)?;
        let mut heard = SigSet::empty();
        heard.add(Signal::SIGCHLD);
        heard.add(Signal::SIGTERM);
        let guardian = Guardian {
            tenure,
            tree: Tree::of_this_process()?,
            clock: HolderClock::start()?,
            socket,
            lines: Lines::default(),
            signals: SignalFd::with_flags(&heard, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?,
            timer: TimerFd::new(ClockId::CLOCK_BOOTTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?,
            program,
            environment: Vec::new(),
            stdin: Some(stdin),
            belief: None,
            command: None,
            probe: None,
            phase: Phase::Waiting,
        };
        guardian.tell(&News::Ready);
        Ok(guardian)
    }

    fn guard(mut self) -> io::Result<()> {
        while self.step()? {
            self.sleep()?;
        }
        Ok(())
    }

    /// Does what is due; false once nothing is left to guard.
    fn step(&mut self) -> io::Result<bool> {
        self.keep_time()?;
        if getppid() != self.tenure || !self.take_orders()? {
            self.end()?;
        }
        let alone = self.reap()?;
        self.keep_time()?;
        let over = matches!(self.phase, Phase::Ending { .. } | Phase::Killing) && alone;
        if over {
            self.tell(&News::Gone);
        }
        Ok(!over)
    }

    fn keep_time(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        if let (Phase::Running, Some(belief)) = (self.phase, self.belief)
            && now >= belief.term_at()
        {
            self.tell(&News::Ending);
            self.end()?;
        }
        if matches!(self.phase, Phase::Ending { kill_at } if now >= kill_at) {
            self.phase = Phase::Killing;
        }
        if self.phase == Phase::Killing {
            self.tree.signal(Signal::SIGKILL)?;
        }
        Ok(())
    }

    /// Reads what `tenure` says; false once it is gone.
    fn take_orders(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let lives = loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => break false,
                Ok(read) => self.lines.push(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A connection that its peer left with our words unread says so once.
                Err(_) => break false,
            }
        };
        while let Some(order) = self.lines.next() {
            self.obey(order?)?;
        }
        Ok(lives)
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::Held(remaining) => {
                self.belief = Some(remaining.on(&self.clock)?);
                self.tell(&News::Noted);
            }
            Order::Start(environment) => {
                self.environment = environment;
                self.start_command();
            }
            Order::Signal(number) => self.pass_on(number),
            Order::Probe(script) => self.start_probe(script),
            Order::End => self.end()?,
            Order::Kill => self.phase = Phase::Killing,
        }
        Ok(())
    }

    fn start_command(&mut self) {
        // What is too late already is not started: the next look at the clock ends it.
        let in_time = self.belief.is_some_and(|belief| self.clock.now() < belief.term_at());
        if self.phase != Phase::Waiting || !in_time {
            self.tell(&News::Ending);
            self.phase = Phase::Killing;
            return;
        }
        let mut command = child::command(&self.program);
        command.envs(self.environment.iter().cloned());
        if let Some(stdin) = self.stdin.take() {
            command.stdin(Stdio::from(stdin));
        }
        match command.spawn() {
            Ok(child) => {
                self.command = Some(pid_of(&child));
                self.phase = Phase::Running;
            }
            Err(error) => {
                say(format!("error[unavailable]: no process can be started: {error}"));
                self.tell(&News::Exited(child::CANNOT_RUN));
                self.phase = Phase::Killing;
            }
        }
    }

    fn start_probe(&mut self, script: String) {
        if self.phase != Phase::Running || self.probe.is_some() {
            return;
        }
        let mut command = child::command(&["sh".into(), "-c".into(), script.into()]);
        command.envs(self.environment.iter().cloned()).stdin(Stdio::null());
        match command.spawn() {
            Ok(child) => self.probe = Some(pid_of(&child)),
            Err(_) => self.tell(&News::Probed(false)),
        }
    }

    // The command is our child and not reaped yet, so that the number is still its own.
    fn pass_on(&self, number: i32) {
        if let (Some(command), Ok(signal)) = (self.command, Signal::try_from(number)) {
            let _ = kill(command, signal);
        }
    }

    /// Asks everything to end. Only the first time counts: asked again, nobody gets more time.
    fn end(&mut self) -> io::Result<()> {
        match (self.phase, self.belief) {
            (Phase::Running, Some(belief)) => {
                self.tree.signal(Signal::SIGTERM)?;
                // Whoever is stopped must go on to hear it.
                self.tree.signal(Signal::SIGCONT)?;
                self.phase = Phase::Ending { kill_at: belief.kill_after_term(self.clock.now()) };
            }
            (Phase::Waiting | Phase::Running, _) => self.phase = Phase::Killing,
            (Phase::Ending { .. } | Phase::Killing, _) => {}
        }
        Ok(())
    }

    /// Takes in what has ended: the command, probes, and the orphans that came to us. True where nothing is left: whatever lives
    /// below a subreaper is its child, or a child of its is above that.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            // The raw status: a command may also die of a signal that has no name.
            let (pid, status) = match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => (Pid::from_raw(pid.as_raw_nonzero().get()), status),
                Ok(None) => return Ok(false),
                Err(rustix::io::Errno::CHILD) => return Ok(true),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let signalled = status.terminating_signal().map(|signal| 128 + signal);
            let Some(code) = status.exit_status().or(signalled) else { continue };
            let code = u8::try_from(code).unwrap_or(u8::MAX);
            if self.probe == Some(pid) {
                self.probe = None;
                self.tell(&News::Probed(code == 0));
            }
            if self.command == Some(pid) {
                self.command = None;
                self.tell(&News::Exited(code));
                // What it left behind ran under the lease too.
                self.end()?;
            }
        }
    }

    /// Tells `tenure`. Where it is stopped or gone, the work goes on without.
    fn tell(&self, news: &News) {
        if let Ok(line) = line(news) {
            let _ = (&self.socket).write_all(&line);
        }
    }

    fn sleep(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        let wake = match (self.phase, self.belief) {
            (Phase::Running, Some(belief)) => Some(now.until(belief.term_at())),
            (Phase::Ending { kill_at }, _) => Some(now.until(kill_at).min(LOOK_AGAIN)),
            (Phase::Killing, _) => Some(KILL_AGAIN),
            (Phase::Waiting, _) | (Phase::Running, None) => None,
        };
        match wake {
            // A timer of zero would be none.
            Some(wake) => {
                let wake = TimeSpec::from_duration(wake.max(Duration::from_micros(1)));
                self.timer.set(Expiration::OneShot(wake), TimerSetTimeFlags::empty())?;
            }
            None => self.timer.unset()?,
        }
        let mut wakers = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
        ];
        // Once `tenure` is gone, its socket would not let us sleep.
        let gone = getppid() != self.tenure;
        poll(&mut wakers[usize::from(gone)..], PollTimeout::NONE)?;
        while self.signals.read_signal()?.is_some() {}
        Ok(())
    }
}

fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}
