//! What writes a member's log: the real pump over a disk in memory, stepped by a task that takes as long as a disk would.
//!
//! A batch waits in the queue until the disk comes to it: whoever crashes then has lost it. One that crashes in a sync keeps those
//! sectors of it that chance picks; a sync that fails ends the member, as it ends the process. A [`Trap`] takes the power at a certain
//! act, and what lies there may decay.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft_rt::{AsyncRuntime as _, Select2};
use replica::log::{Act, Disk as _, Log, MemoryDisk, OnFatal, Pump, Step, Unsynced, Writer};

use super::executor::{self, Life, chance, now};
use super::judge;
use super::runtime::Simulated;
use crate::chance::{MICRO, MILLI};
use crate::tally::Happened;

#[derive(Clone, Copy, Default)]
struct Drive {
    stalled_until: u64,
    pending: bool,
}

thread_local! {
    static DRIVES: RefCell<BTreeMap<Life, Drive>> = const { RefCell::new(BTreeMap::new()) };
}

fn drive<T>(life: Life, act: impl FnOnce(&mut Drive) -> T) -> T {
    DRIVES.with_borrow_mut(|drives| act(drives.entry(life).or_default()))
}

/// The disk of `life` does nothing until then.
pub(crate) fn stall(life: Life, until: u64) {
    drive(life, |it| it.stalled_until = until);
}

/// Whether something of `life` waits for its sync.
pub(crate) fn is_pending(life: Life) -> bool {
    drive(life, |it| it.pending)
}

/// Forgets all drives: another run begins.
pub(crate) fn clear() {
    DRIVES.with_borrow_mut(BTreeMap::clear);
}

/// Starts what writes the log of the life that is running.
pub(crate) fn start_log(writer: Writer, on_fatal: OnFatal) -> Log {
    let (log, pump) = Log::manual_by(writer, on_fatal, || Duration::from_nanos(now()));
    let life = executor::life();
    executor::spawn(write(life, log.clone(), pump));
    log
}

/// How often a full disk is asked for room again.
const ROOM_RETRY: u64 = 500 * MILLI;

async fn write(life: Life, log: Log, mut pump: Pump) {
    loop {
        let work = poll_fn(|cx| pump.poll_work(cx));
        match log.no_room() {
            // Also where nothing is queued: as long as it is full, nothing will be.
            Some(_) => {
                let _: Select2<(), ()> = Simulated::select2(work, executor::sleep(ROOM_RETRY)).await;
                pump.retry_room();
            }
            None => work.await,
        }
        drive(life, |it| it.pending = true);
        executor::sleep(chance(|it| match it.one_in(20) {
            true => it.millis(3, 30),
            false => it.between(100 * MICRO, 2 * MILLI),
        }))
        .await;
        executor::sleep_until(drive(life, |it| it.stalled_until)).await;
        loop {
            match pump.step() {
                Step::Worked(0) => {}
                Step::Worked(_) | Step::Idle => break,
                Step::NoRoom => {
                    executor::sleep(ROOM_RETRY).await;
                    pump.retry_room();
                }
                Step::Stopped | Step::Dead => return,
            }
        }
        drive(life, |it| it.pending = false);
    }
}

/// What a member keeps over its lives.
#[derive(Clone, Default)]
pub(crate) struct Disks {
    pub(crate) log: MemoryDisk,
    pub(crate) snapshots: MemoryDisk,
}

impl Disks {
    /// Nobody watches over them any more. A hook holds the disks that hold it.
    pub(crate) fn calm(&self) {
        self.log.calm();
        self.snapshots.calm();
    }

    /// What is left after a kill: everything.
    pub(crate) fn killed(&self) -> Disks {
        Disks { log: self.log.fork(), snapshots: self.snapshots.fork() }
    }

    /// What is left after a power cut: what was synced, and of the rest what chance picks.
    pub(crate) fn power_cut(&self) -> Disks {
        let cut = |disk: &MemoryDisk| {
            let keeps = chance(|it| it.below(4));
            disk.power_cut(|unsynced| match unsynced {
                Unsynced::Sector { .. } => keeps == 3 || keeps > 0 && chance(|it| it.one_in(2)),
                Unsynced::Name => keeps > 0,
            })
        };
        Disks { log: cut(&self.log), snapshots: cut(&self.snapshots) }
    }

    /// Whether a snapshot is on its way in.
    fn is_incoming(&self) -> bool {
        self.snapshots.list().unwrap_or_default().iter().any(|name| name.starts_with("incoming"))
    }

    /// Whether they are full.
    pub(crate) fn set_full(&self, full: bool) {
        let room = full.then_some(0);
        self.log.set_room(room);
        self.snapshots.set_room(room);
    }

    /// One bit of what lies there is another one; false where there is nothing.
    pub(crate) fn decay(&self) -> bool {
        let disk = if chance(|it| it.one_in(3)) { &self.snapshots } else { &self.log };
        let names = disk.list().unwrap_or_default();
        let Some(name) = chance(|it| (!names.is_empty()).then(|| it.index(names.len()))) else {
            return false;
        };
        disk.damage(&names[name], |bytes| {
            // Beyond it nothing was ever written.
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if written > 0 {
                let (at, bit) = chance(|it| (it.index(written), it.below(8)));
                bytes[at] ^= 1 << bit;
            }
        });
        true
    }
}

/// When a disk is to be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The next sync of the log, which fails.
    LogSync,
    /// A snapshot is about to get its name.
    Rename,
    /// It has its name, which is not synced.
    NameSync,
}

/// What is to befall a member's disks, and what is left of them once it has.
#[derive(Clone, Default)]
pub(crate) struct Trap(Arc<Mutex<(Option<At>, Option<Disks>)>>);

impl Trap {
    fn state(&self) -> MutexGuard<'_, (Option<At>, Option<Disks>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power fails at that act. One trap at a time.
    pub(crate) fn set(&self, at: At) {
        self.state().0 = Some(at);
    }

    /// Power fails at no act any more.
    pub(crate) fn disarm(&self) {
        self.state().0 = None;
    }

    /// What was left when it struck.
    pub(crate) fn take(&self) -> Option<Disks> {
        let mut state = self.state();
        state.0 = None;
        state.1.take()
    }

    /// Watches over the disks of a life, and strikes: `struck` then ends it.
    pub(crate) fn watch(&self, disks: &Disks, struck: impl Fn(At) + Clone + Send + Sync + 'static) {
        let hook = |is_log: bool| {
            let (trap, disks, struck) = (self.clone(), disks.clone(), struck.clone());
            move |act: Act<'_>| {
                if is_log && act == Act::Remove {
                    judge::count(Happened::SegmentPurged);
                }
                if !is_log && act == Act::Rename && !disks.is_incoming() {
                    judge::count(Happened::SnapshotTaken);
                }
                let at = match act {
                    Act::Sync if is_log => At::LogSync,
                    Act::Rename if !is_log => At::Rename,
                    Act::SyncFolder if !is_log => At::NameSync,
                    _ => return Ok(()),
                };
                let is_struck = trap.state().0.take_if(|trapped| *trapped == at).is_some();
                if !is_struck {
                    return Ok(());
                }
                let left = disks.power_cut();
                trap.state().1 = Some(left);
                struck(at);
                Err(io::Error::other("simulated: the power failed"))
            }
        };
        disks.log.on_act(Arc::new(hook(true)));
        disks.snapshots.on_act(Arc::new(hook(false)));
    }
}
