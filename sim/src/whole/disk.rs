//! What writes a member's log: the real pump over a disk in memory, stepped by a task that takes as long as a disk would.
//!
//! A batch waits in the queue until the disk comes to it: whoever crashes then has lost it. One that crashes in a sync keeps those
//! sectors of it that chance picks; a sync that fails ends the member, as it ends the process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use replica::log::{Act, Log, MemoryDisk, OnFatal, Pump, Step, Unsynced, Writer};

use super::executor::{self, Life, chance, now};
use crate::chance::{MICRO, MILLI};

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
    executor::spawn(write(life, pump));
    log
}

async fn write(life: Life, mut pump: Pump) {
    loop {
        poll_fn(|cx| pump.poll_work(cx)).await;
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
                    executor::sleep(500 * MILLI).await;
                    pump.retry_room();
                }
                Step::Stopped | Step::Dead => return,
            }
        }
        drive(life, |it| it.pending = false);
    }
}

/// What is left of a disk after a power cut: what was synced, and of the rest what chance picks.
pub(crate) fn power_cut(disk: &MemoryDisk) -> MemoryDisk {
    let keeps = chance(|it| it.below(4));
    disk.power_cut(|unsynced| match unsynced {
        Unsynced::Sector { .. } => keeps == 3 || keeps > 0 && chance(|it| it.one_in(2)),
        Unsynced::Name => keeps > 0,
    })
}

/// The next sync of `disk` fails; what would be left after a power cut in it is put where it is returned.
pub(crate) fn fail_next_sync(disk: &MemoryDisk) -> Arc<Mutex<Option<MemoryDisk>>> {
    let image = Arc::new(Mutex::new(None));
    let (there, failing) = (Arc::clone(&image), disk.clone());
    disk.on_act(Arc::new(move |act| {
        let mut there = there.lock().unwrap_or_else(PoisonError::into_inner);
        match act {
            Act::Sync if there.is_none() => {
                *there = Some(power_cut(&failing));
                Err(io::Error::other("simulated: the sync failed"))
            }
            _ => Ok(()),
        }
    }));
    image
}
