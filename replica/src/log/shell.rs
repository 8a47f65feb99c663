//! The log as others see it: a handle that never waits, and the thread behind it.
//!
//! ```text
//!     append ─▶ queue ─▶ Pump: drain the queue, one batch, one sync, all callbacks; no timer
//! ```
//!
//! In production [`Log::start`] gives the pump a thread. The simulator takes the pump itself, from [`Log::manual`], and
//! steps it when it likes.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::error::OpenError;
use super::failure::{Fatal, NoRoom};
use super::record::{Done, Job, Record};
use super::writer::{Writer, Written};

/// Called once, before any callback hears of it, when the disk failed. In production it says so and ends the process.
/// The error carries a [`Fatal`].
pub type OnFatal = Box<dyn Fn(&io::Error) + Send>;

/// A handle on a log. Its clones share one queue; when the last one is gone the thread finishes what is queued and ends.
#[derive(Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    elapsed: Elapsed,
}

/// A monotonic clock: how long since some start.
pub type Elapsed = fn() -> Duration;

/// This process's.
fn since_start() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// When the oldest of `jobs` came.
    since: Option<Duration>,
    /// When the oldest came that the pump has taken and not completed.
    writing_since: Option<Duration>,
    sleeping: bool,
    /// Who steps a pump that has no thread, while it waits for work.
    waker: Option<Waker>,
    stopping: bool,
    no_room: Option<NoRoom>,
    fatal: Option<Fatal>,
}

/// The other end of the queue.
pub struct Pump {
    shared: Arc<Shared>,
    writer: Writer,
    jobs: VecDeque<Job>,
    on_fatal: Option<OnFatal>,
}

/// What a step of the pump did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many jobs were completed, or some work on the next segment was done: there may be more.
    Worked(usize),
    /// Jobs wait for room: step again after `Options::room_retry`.
    NoRoom,
    /// There is nothing to do.
    Idle,
    /// The log was stopped, and all is done.
    Stopped,
    /// The disk failed, and every job has been told.
    Dead,
}

impl Log {
    /// Starts a thread that writes what is appended.
    pub fn start(writer: Writer, on_fatal: OnFatal) -> Result<Log, OpenError> {
        let (disk, room_retry) = (writer.disk.clone(), writer.options.room_retry);
        let (log, pump) = Log::manual(writer, on_fatal);
        let thread = thread::Builder::new().name("log".to_string()).spawn(move || pump.run(room_retry));
        let thread = thread.map_err(|error| OpenError::io(&disk, "starting the log's thread", "", error))?;
        *lock(&log.handle.thread) = Some(thread);
        Ok(log)
    }

    /// A log without a thread: the pump must be stepped.
    pub fn manual(writer: Writer, on_fatal: OnFatal) -> (Log, Pump) {
        Log::manual_by(writer, on_fatal, since_start)
    }

    /// The same, by another clock than this process's.
    pub fn manual_by(writer: Writer, on_fatal: OnFatal, elapsed: Elapsed) -> (Log, Pump) {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), elapsed });
        let pump = Pump { shared: shared.clone(), writer, jobs: VecDeque::new(), on_fatal: Some(on_fatal) };
        (Log { handle: Arc::new(Handle { shared, thread: Mutex::new(None) }) }, pump)
    }

    /// Queues records. Never waits and never touches the disk. `done` is called on the writer's thread, in the order of
    /// the appends; where the log has ended already it is called here, with the error.
    pub fn append(&self, records: Vec<Record>, done: Done) {
        let mut queue = self.queue();
        if let Some(error) = queue.ended() {
            drop(queue);
            return done(Err(error));
        }
        if queue.jobs.is_empty() {
            queue.since = Some((self.handle.shared.elapsed)());
        }
        queue.jobs.push_back(Job { records, done });
        let wake = std::mem::take(&mut queue.sleeping);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        if wake {
            self.handle.shared.wake.notify_one();
        }
    }

    /// How long the oldest record that is not synced has waited, at most. A leader hands on above 3 s.
    pub fn oldest_unsynced(&self) -> Option<Duration> {
        let queue = self.queue();
        queue.writing_since.or(queue.since).map(|since| (self.handle.shared.elapsed)().saturating_sub(since))
    }

    /// Whether the disk is full: such a member must not lead, and is not ready.
    pub fn no_room(&self) -> Option<NoRoom> {
        self.queue().no_room.clone()
    }

    /// The error after which nothing is written any more.
    pub fn fatal(&self) -> Option<Fatal> {
        self.queue().fatal.clone()
    }

    /// Refuses what comes from now on, writes what is queued, and waits for that. Queued records that find no room are
    /// failed with `StorageFull`; whether the log ended well is told by [`Log::fatal`]. May not be called from a callback.
    pub fn stop(&self) {
        self.handle.close();
        let thread = lock(&self.handle.thread).take();
        if let Some(thread) = thread {
            // A panic there has been told to everyone who waited, and stands in `fatal`.
            let _ = thread.join();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.handle.shared.queue)
    }
}

impl Handle {
    fn close(&self) {
        let mut queue = lock(&self.shared.queue);
        queue.stopping = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        self.shared.wake.notify_one();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    fn ended(&self) -> Option<io::Error> {
        if let Some(fatal) = &self.fatal {
            return Some(fatal.to_io());
        }
        self.stopping.then(|| io::Error::new(io::ErrorKind::BrokenPipe, "the log is stopped"))
    }
}

impl Pump {
    /// Does one thing: a batch, or a slice of the next segment, or nothing.
    pub fn step(&mut self) -> Step {
        if self.jobs.is_empty() {
            self.drain();
        }
        let stepped = if self.jobs.is_empty() { self.idle() } else { self.write() };
        let step = stepped.unwrap_or_else(|fatal| self.die(fatal));
        self.publish();
        step
    }

    /// Ready once a step has something to do, after one that was [`Step::Idle`].
    pub fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = lock(&self.shared.queue);
        if !self.jobs.is_empty() || !queue.jobs.is_empty() || queue.stopping {
            return Poll::Ready(());
        }
        queue.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Lets the disk be asked for room again, also when nothing is queued.
    pub fn retry_room(&mut self) {
        self.writer.retry_room();
    }

    fn drain(&mut self) {
        let mut queue = lock(&self.shared.queue);
        std::mem::swap(&mut self.jobs, &mut queue.jobs);
        queue.writing_since = queue.since.take();
    }

    fn write(&mut self) -> Result<Step, Fatal> {
        match self.writer.write(&mut self.jobs)? {
            Written::Done(jobs) => Ok(Step::Worked(jobs)),
            Written::NoRoom if self.give_up() => {
                let error = self.writer.no_room().map(NoRoom::to_io);
                self.fail(|| error.as_ref().map_or(io::ErrorKind::StorageFull.into(), again));
                Ok(Step::Stopped)
            }
            Written::NoRoom => Ok(Step::NoRoom),
        }
    }

    fn idle(&mut self) -> Result<Step, Fatal> {
        if let Some(fatal) = self.writer.fatal() {
            return Err(fatal.clone());
        }
        if self.stopping() {
            return self.writer.seal().map(|()| Step::Stopped);
        }
        Ok(if self.writer.prepare()? { Step::Worked(0) } else { Step::Idle })
    }

    fn stopping(&self) -> bool {
        let queue = lock(&self.shared.queue);
        queue.stopping && queue.jobs.is_empty()
    }

    /// Whether the log is stopped while records wait for room; what is queued behind them waits for the same.
    fn give_up(&mut self) -> bool {
        let mut queue = lock(&self.shared.queue);
        if queue.stopping {
            self.jobs.append(&mut queue.jobs);
            queue.since = None;
        }
        queue.stopping
    }

    fn die(&mut self, fatal: Fatal) -> Step {
        // New records are refused before anyone is told, so that nothing can be queued behind the last failure.
        let mut queue = lock(&self.shared.queue);
        queue.fatal = Some(fatal.clone());
        self.jobs.append(&mut queue.jobs);
        queue.since = None;
        drop(queue);
        if let Some(on_fatal) = self.on_fatal.take() {
            on_fatal(&fatal.to_io());
        }
        self.fail(|| fatal.to_io());
        Step::Dead
    }

    fn fail(&mut self, error: impl Fn() -> io::Error) {
        for job in self.jobs.drain(..) {
            (job.done)(Err(error()));
        }
    }

    fn publish(&mut self) {
        let waiting = !self.jobs.is_empty();
        let no_room = self.writer.no_room().map(|no_room| NoRoom { waiting, ..no_room.clone() });
        let mut queue = lock(&self.shared.queue);
        if !waiting {
            queue.writing_since = None;
        }
        match (&queue.no_room, &no_room) {
            (None, Some(full)) => tracing::error!("{full}"),
            (Some(_), None) => tracing::warn!("there is room on the disk again"),
            _ => {}
        }
        queue.no_room = no_room;
    }

    fn run(mut self, room_retry: Duration) {
        let mut retry_at = None;
        loop {
            match self.step() {
                Step::Worked(_) => {}
                Step::Stopped | Step::Dead => return,
                Step::NoRoom => self.sleep(Some(room_retry), Until::Stop),
                Step::Idle => {
                    let wait = self.writer.no_room().map(|_| room_retry);
                    self.sleep(wait, Until::Work);
                }
            }
            // Retries are spaced: each may write zeros until the disk is full again.
            if self.writer.no_room().is_none() {
                retry_at = None;
            } else if *retry_at.get_or_insert_with(|| Instant::now() + room_retry) <= Instant::now() {
                self.retry_room();
                retry_at = None;
            }
        }
    }

    fn sleep(&self, at_most: Option<Duration>, until: Until) {
        let mut queue = lock(&self.shared.queue);
        if queue.stopping || (until == Until::Work && !queue.jobs.is_empty()) {
            return;
        }
        queue.sleeping = until == Until::Work;
        let wake = &self.shared.wake;
        // Waking for no reason is harmless: the next step finds nothing to do.
        let mut queue = match at_most {
            Some(wait) => wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0,
            None => wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
        };
        queue.sleeping = false;
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // Only a panic in a callback gets here with jobs or without a reason: who waits must not wait for ever.
        if thread::panicking() {
            let error = io::Error::other("a callback panicked");
            self.die(Fatal::new("telling who waits", String::from("the log's thread"), &error));
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    Work,
    Stop,
}

fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// A panic elsewhere must not keep the log from being read or stopped: the queue is whole at every unlock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
