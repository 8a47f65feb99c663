//! Whether the machine under the rig goes on. Where all of it stands still, its processor or its disk, nothing that is late meanwhile
//! tells of the members: that time is a fault like any other, in the history and in the talk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use torture::history::{Fault, Nanos, What};

use crate::clock;
use crate::recorder::Recorder;

/// How long between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// A look that takes longer than this found it standing: less than the time without a heartbeat after which members elect.
const STOOD: Nanos = 400_000_000;
/// Its faults are numbered from here on, above those of the nemeses.
const FAULTS_FROM: u64 = 1 << 32;

/// A thread that sleeps and syncs a file of its own, as members do, and notes when that took too long.
pub(crate) struct Host {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Looks on, with a file in `folder`.
    pub(crate) fn start(folder: &Path, recorder: Recorder) -> io::Result<Host> {
        let file = File::create(folder.join("host"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watch = move || watch(&file, &recorder, &stopped);
        let thread = std::thread::Builder::new().name("host".to_owned()).spawn(watch)?;
        Ok(Host { stop, thread: Some(thread) })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("torture: who watches the machine ended too early");
        }
    }
}

fn watch(file: &File, recorder: &Recorder, stop: &AtomicBool) {
    let (mut times, mut stood) = (0, 0);
    while !stop.load(Ordering::Acquire) {
        let from = clock::now();
        std::thread::sleep(EVERY);
        // A disk that fails is seen by the members, and by their log.
        let _ = file.write_all_at(&from.to_le_bytes(), 0).and_then(|()| file.sync_data());
        let to = clock::now();
        if to - from > STOOD {
            for (at, on) in [(from, true), (to, false)] {
                let (kind, target) = ("stood-still".to_owned(), "the machine".to_owned());
                let fault = Fault { fault: FAULTS_FROM + times, kind, target, on, beyond_rho: false };
                recorder.note_at(at, What::Fault(fault));
            }
            times += 1;
            stood += to - from;
        }
    }
    if times > 0 {
        println!(
            "        the machine itself stood still {times} times, {} ms in all: what was late then is not judged",
            stood / 1_000_000
        );
    }
}
