//! Tasks over a time of our own: nothing passes but what is asked for, and nothing runs but in the order that the seed gives.
//!
//! ```text
//!   wake ─▶ ready (a set) ──chance picks──▶ poll ──▶ wake, sleep, spawn
//!              ▲                                        │
//!              └──────── the next timer, when nothing is ready: time jumps there
//! ```
//!
//! Every task belongs to a life of a member, or to none. A life that ends takes its tasks with it, wherever they are: that is a
//! crash. One that is paused is not polled until it is over, while the time of all others goes on: that is SIGSTOP.
//!
//! Because the ready tasks are a set, the order in which a channel wakes those who wait for it decides nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::chance::Chance;

/// What a task is: it answers nobody.
type Body = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A member from its start to its end; zero for what belongs to nobody.
pub(crate) type Life = u64;

/// The ready tasks of one run.
#[derive(Default)]
struct Ready(Mutex<BTreeSet<u64>>);

struct Bell {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.ready.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.task);
    }
}

struct Task {
    life: Life,
    /// None while it is polled.
    body: Option<Body>,
    waker: Waker,
}

struct Executor {
    now: u64,
    last: u64,
    life: Life,
    chance: Chance,
    ready: Arc<Ready>,
    tasks: BTreeMap<u64, Task>,
    timers: BTreeMap<(u64, u64), Waker>,
    paused: BTreeMap<Life, BTreeSet<u64>>,
    /// When each was last resumed.
    resumed: BTreeMap<Life, u64>,
    dead: BTreeSet<Life>,
    /// The run is: nobody lives any more.
    over: bool,
    polls: u64,
    /// Polls at this instant.
    polls_now: u64,
}

/// Polls of tasks and sleeps at one instant, at most: more is a task that spins, and time would never pass.
const POLLS_AT_ONCE_MAX: u64 = 1_000_000;

impl Executor {
    fn note_poll(&mut self) {
        self.polls_now += 1;
        let (life, at) = (self.life, self.now);
        assert!(self.polls_now < POLLS_AT_ONCE_MAX, "a task of life {life} spins at {at} ns");
    }
}

thread_local! {
    static EXECUTOR: RefCell<Option<Executor>> = const { RefCell::new(None) };
}

fn with<T>(act: impl FnOnce(&mut Executor) -> T) -> T {
    EXECUTOR.with_borrow_mut(|executor| match executor {
        Some(executor) => act(executor),
        None => panic!("there is no simulation on this thread"),
    })
}

/// Simulated nanoseconds since the run began.
pub(crate) fn now() -> u64 {
    with(|it| it.now)
}

/// The life of the task that is running.
pub(crate) fn life() -> Life {
    with(|it| it.life)
}

/// How often a task was polled.
pub(crate) fn polls() -> u64 {
    with(|it| it.polls)
}

/// Asks chance.
pub(crate) fn chance<T>(ask: impl FnOnce(&mut Chance) -> T) -> T {
    with(|it| ask(&mut it.chance))
}

/// Starts a task in the life of the one that is running.
pub(crate) fn spawn(body: impl Future<Output = ()> + Send + 'static) {
    let life = with(|it| it.life);
    spawn_in(life, body);
}

/// Starts a task in `life`.
pub(crate) fn spawn_in(life: Life, body: impl Future<Output = ()> + Send + 'static) {
    with(|it| {
        it.last += 1;
        let waker = Waker::from(Arc::new(Bell { task: it.last, ready: Arc::clone(&it.ready) }));
        waker.wake_by_ref();
        it.tasks.insert(it.last, Task { life, body: Some(Box::pin(body)), waker });
    });
}

/// Does something as `life` would.
pub(crate) fn live<T>(life: Life, act: impl FnOnce() -> T) -> T {
    let before = with(|it| std::mem::replace(&mut it.life, life));
    let done = act();
    with(|it| it.life = before);
    done
}

/// Ends a life, and every task in it but the one that is running.
pub(crate) fn kill(life: Life) {
    assert!(life != 0, "what belongs to nobody does not end");
    let dead = with(|it| {
        it.dead.insert(life);
        it.paused.remove(&life);
        let of: Vec<u64> = it.tasks.iter().filter(|(_, task)| task.life == life).map(|(id, _)| *id).collect();
        of.iter().filter_map(|id| it.tasks.remove(id)).collect::<Vec<_>>()
    });
    // What a task leaves behind may wake others.
    drop(dead);
}

/// Whether a life has not ended.
pub(crate) fn is_alive(life: Life) -> bool {
    EXECUTOR.with_borrow(|it| it.as_ref().is_some_and(|it| !it.over && !it.dead.contains(&life)))
}

/// Since when a life has run without a pause; none where it is paused or over.
pub(crate) fn runs_since(life: Life) -> Option<u64> {
    let runs = is_alive(life) && with(|it| !it.paused.contains_key(&life));
    runs.then(|| with(|it| it.resumed.get(&life).copied().unwrap_or(0)))
}

/// Nothing of `life` runs until [`resume`].
pub(crate) fn pause(life: Life) {
    with(|it| {
        it.paused.entry(life).or_default();
    });
}

/// What was paused runs on.
pub(crate) fn resume(life: Life) {
    with(|it| {
        let Some(parked) = it.paused.remove(&life) else { return };
        it.resumed.insert(life, it.now);
        it.ready.0.lock().unwrap_or_else(PoisonError::into_inner).extend(parked);
    });
}

/// Comes back at a time.
pub(crate) struct Sleep {
    at: u64,
    timer: Option<(u64, u64)>,
}

/// Comes back at `at`.
pub(crate) fn sleep_until(at: u64) -> Sleep {
    Sleep { at, timer: None }
}

/// Comes back `nanos` later.
pub(crate) fn sleep(nanos: u64) -> Sleep {
    sleep_until(now().saturating_add(nanos))
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        let timer = self.timer;
        let key = with(|it| {
            it.note_poll();
            if it.now >= at {
                return None;
            }
            let key = timer.unwrap_or_else(|| {
                it.last += 1;
                (at, it.last)
            });
            it.timers.insert(key, cx.waker().clone());
            Some(key)
        });
        self.timer = key;
        if key.is_none() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let timer = self.timer;
        // One that outlives its run has no timer any more.
        let _ = EXECUTOR.try_with(|executor| {
            if let (Some(executor), Some(key)) = (&mut *executor.borrow_mut(), timer) {
                executor.timers.remove(&key);
            }
        });
    }
}

/// Runs `first`, and what it starts, until simulated time `end` or until `broken` says so.
pub(crate) fn run(
    seed: u64,
    end: u64,
    first: impl Future<Output = ()> + Send + 'static,
    broken: impl Fn() -> bool,
) {
    let executor = Executor {
        now: 0,
        last: 0,
        life: 0,
        chance: Chance::new(seed),
        ready: Arc::default(),
        tasks: BTreeMap::new(),
        timers: BTreeMap::new(),
        paused: BTreeMap::new(),
        resumed: BTreeMap::new(),
        dead: BTreeSet::new(),
        over: false,
        polls: 0,
        polls_now: 0,
    };
    EXECUTOR.set(Some(executor));
    spawn(first);
    while !broken() && (poll_one() || jump(end)) {}
}

/// Drops what the run has left.
pub(crate) fn clear() {
    let left = with(|it| {
        it.over = true;
        std::mem::take(&mut it.tasks)
    });
    drop(left);
    // The borrow is over before what is left is dropped.
    let executor = EXECUTOR.take();
    drop(executor);
}

/// Polls one task, if any is ready.
fn poll_one() -> bool {
    let Some((id, mut body, waker)) = with(next) else { return false };
    let polled = body.as_mut().poll(&mut Context::from_waker(&waker));
    let over = with(|it| {
        it.life = 0;
        if polled.is_pending()
            && let Some(task) = it.tasks.get_mut(&id)
        {
            task.body = Some(body);
            return None;
        }
        // It ended, or its life did while it was polled.
        Some((it.tasks.remove(&id), body))
    });
    drop(over);
    true
}

fn next(it: &mut Executor) -> Option<(u64, Body, Waker)> {
    loop {
        let from = it.chance.below(it.last + 1);
        let id = {
            let mut ready = it.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
            let id = ready.range(from..).next().or_else(|| ready.first()).copied()?;
            ready.remove(&id);
            id
        };
        let Some(task) = it.tasks.get_mut(&id) else { continue };
        if let Some(parked) = it.paused.get_mut(&task.life) {
            parked.insert(id);
            continue;
        }
        let Some(body) = task.body.take() else { continue };
        it.polls += 1;
        let waker = task.waker.clone();
        it.life = task.life;
        it.note_poll();
        return Some((id, body, waker));
    }
}

/// Time passes until the next timer; false where that is past the end.
fn jump(end: u64) -> bool {
    let waker = with(|it| {
        let ((at, _), waker) = it.timers.pop_first()?;
        it.now = at.max(it.now);
        it.polls_now = 0;
        (it.now <= end).then_some(waker)
    });
    match waker {
        Some(waker) => {
            waker.wake();
            true
        }
        None => false,
    }
}
