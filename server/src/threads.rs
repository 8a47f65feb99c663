//! Threads that a stop waits for, and not for ever: one whose write hangs does not come back, and only the process's end takes it.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(1);

/// Whether the thread has ended, or does so within that time.
pub(crate) fn ends_within(thread: &JoinHandle<()>, within: Duration) -> bool {
    let began = Instant::now();
    while !thread.is_finished() && began.elapsed() < within {
        std::thread::sleep(LOOK);
    }
    thread.is_finished()
}
