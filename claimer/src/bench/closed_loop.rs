//! The closed loop: each holder has a connection of its own and one call on its way, and makes the next when that is answered.
//!
//! ```text
//!     holder 1   call ─✓ call ──✓ call ─✓ …
//!     holder 2   call ──✓ call ─✓ …
//!                ├ warm-up ┤├──────── window ────────┤
//!                          └ cost of the servers ────┘   answers in the window are counted, and their times taken
//! ```
//!
//! The same loop drives every service, through the traits below: so that what is compared differs in the service alone. All holders
//! are on one thread, which leaves the most of the machine to the servers; each service pays alike for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout_at};

use super::cost::Cost;
use super::rounds::Round;
use super::{Figure, Times};
use crate::RunError;

/// How long the loop runs before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// After a call that failed.
const PAUSE: Duration = Duration::from_millis(10);
/// How many holders connect, or take their leases, at a time.
const AT_ONCE: usize = 64;

/// A service that can be measured.
pub(super) trait Service {
    /// One holder's connection.
    type Holder: Holder;

    /// Connects the holder of that number.
    fn connect(&self, number: usize) -> impl Future<Output = Result<Self::Holder, RunError>>;

    /// What the service says is held, of the leases whose names start so, and under which token.
    fn held(&self, prefix: &str) -> impl Future<Output = Result<BTreeMap<String, u64>, RunError>>;
}

/// One connection to it, and the leases that were claimed over it.
pub(super) trait Holder: 'static {
    /// Takes a lease that nobody has.
    fn claim(&mut self, name: String) -> impl Future<Output = Result<(), Trouble>>;

    /// Takes many, in whichever way is the quickest: to begin with, and not measured.
    fn claim_all(&mut self, names: Vec<String>) -> impl Future<Output = Result<(), RunError>>;

    /// How many calls it takes to extend all its leases once.
    fn turns(&self) -> usize;

    /// Makes the call of that number among these, under the tokens that the leases were claimed with, and says how many it extended.
    fn extend(&mut self, turn: usize) -> impl Future<Output = Result<usize, Trouble>>;

    /// What this holder believes to hold, each under its token.
    fn believes(&self) -> Vec<(String, u64)>;

    /// Leaves, and leaves nothing behind.
    fn leave(self) -> impl Future<Output = ()>;
}

/// Why a call did not do what was asked: refused, not done, or nobody knows. Which leases are lost says the service in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble(pub(super) String);

impl From<Trouble> for RunError {
    fn from(trouble: Trouble) -> RunError {
        RunError::Broken(trouble.0)
    }
}

/// What holders do in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Extend the leases that they have.
    Extend,
    /// Claim new ones, up to so many each.
    Claim(usize),
}

/// Opens so many connections, in their order, some at a time.
pub(super) async fn connect<S: Service>(service: &S, holders: usize) -> Result<Vec<S::Holder>, RunError> {
    stream::iter(0..holders).map(|number| service.connect(number)).buffered(AT_ONCE).try_collect().await
}

/// Has each holder take its part of so many leases: as many as the others, or one more.
pub(super) async fn claim_all<H: Holder>(
    holders: &mut [H],
    leases: usize,
    prefix: &str,
) -> Result<(), RunError> {
    let count = holders.len();
    let takes = holders.iter_mut().enumerate().map(|(at, holder)| {
        let names = (at..leases).step_by(count).map(|number| format!("{prefix}{number}"));
        holder.claim_all(names.collect())
    });
    let takes: Vec<_> = takes.collect();
    stream::iter(takes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(())
}

/// Calls that were answered, and how much was done by them.
struct Answered {
    times: Times,
    done: u64,
}

impl Answered {
    fn none() -> Result<Answered, RunError> {
        Ok(Answered { times: Times::new()?, done: 0 })
    }

    fn take(&mut self, time: Duration, done: usize) {
        self.times.record(time);
        self.done += done as u64;
    }
}

/// What a loop came to, beside its holders.
struct Tally {
    /// Of what was answered in the warm-up.
    warming: Answered,
    answered: Answered,
    errors: u64,
    why: Option<String>,
    from: Instant,
    until: Instant,
}

impl Tally {
    fn take(&mut self, sent: Instant, answer: Result<usize, Trouble>) {
        let now = Instant::now();
        match answer {
            Ok(done) if now < self.from => self.warming.take(now - sent, done),
            Ok(done) if now <= self.until => self.answered.take(now - sent, done),
            Ok(_) => {}
            Err(Trouble(why)) => {
                self.errors += 1;
                self.why.get_or_insert(why);
            }
        }
    }
}

/// A whole round: the loop for so long, what the service says of it in the end, and the holders' goodbye.
pub(super) async fn round<S: Service>(
    service: &S,
    holders: Vec<S::Holder>,
    act: Act,
    prefix: &str,
    lasts: Duration,
    pids: &[u32],
) -> Result<Round, RunError> {
    let (holders, mut round) = run(holders, act, prefix, lasts, pids).await?;
    check(service, &holders, prefix, &mut round).await?;
    for holder in holders {
        holder.leave().await;
    }
    Ok(round)
}

/// Runs the loop for so long behind its warm-up, within a `LocalSet`; gives the holders back, and what came of it. `pids` are the
/// servers'. Where all is done sooner, it is measured until then, and where it is done within the warm-up, that is what is measured.
async fn run<H: Holder>(
    holders: Vec<H>,
    act: Act,
    prefix: &str,
    lasts: Duration,
    pids: &[u32],
) -> Result<(Vec<H>, Round), RunError> {
    let mut stretch = Stretch { begun: Instant::now(), before: Cost::of(pids) };
    let from = stretch.begun + WARM_UP;
    let until = from + lasts;
    let (warming, answered) = (Answered::none()?, Answered::none()?);
    let tally = Tally { warming, answered, errors: 0, why: None, from, until };
    let tally = Rc::new(RefCell::new(tally));
    let mut loops = JoinSet::new();
    for (number, holder) in holders.into_iter().enumerate() {
        let prefix = format!("{prefix}{number}/");
        loops.spawn_local(work(holder, act, prefix, Rc::clone(&tally)));
    }
    let mut all_back = pin!(loops.join_all());
    let mut back = done_by(&mut all_back, from).await;
    let warmed_up = back.is_none();
    if warmed_up {
        stretch = Stretch { begun: Instant::now(), before: Cost::of(pids) };
        back = done_by(&mut all_back, until).await;
    }
    // Before the last answers are waited for.
    let (ended, after) = (Instant::now(), Cost::of(pids));
    let back = match back {
        Some(back) => back,
        None => all_back.await,
    };
    let round = tally.borrow().round(warmed_up, &stretch, ended, after.as_ref())?;
    Ok((back, round))
}

/// What comes of it, where it is done by this time.
async fn done_by<F: Future + Unpin>(future: F, time: Instant) -> Option<F::Output> {
    timeout_at(time.into(), future).await.ok()
}

/// When what is measured began, and what the servers had cost by then.
struct Stretch {
    begun: Instant,
    before: Option<Cost>,
}

impl Tally {
    fn round(
        &self,
        warmed_up: bool,
        stretch: &Stretch,
        ended: Instant,
        after: Option<&Cost>,
    ) -> Result<Round, RunError> {
        let Answered { times, done } = if warmed_up { &self.answered } else { &self.warming };
        if *done == 0 {
            let why = self.why.as_deref().unwrap_or("no call was answered: give it more --seconds");
            return Err(RunError::Broken(format!("nothing was done: {why}")));
        }
        let mut round = Round { errors: self.errors, why: self.why.clone(), ..Round::default() };
        round.add("ops_per_s", Figure::Number(*done as f64 / (ended - stretch.begun).as_secs_f64()));
        round.add_times("", times);
        if let (Some(before), Some(after)) = (&stretch.before, after) {
            let micros = after.cpu_since(before).as_secs_f64() * 1e6;
            round.add("server_cpu_us_per_op", Figure::Number(micros / *done as f64));
            round.add_memory(after);
        }
        Ok(round)
    }
}

async fn work<H: Holder>(mut holder: H, act: Act, prefix: String, tally: Rc<RefCell<Tally>>) -> H {
    let until = tally.borrow().until;
    let each = holder.turns();
    let turns = match act {
        Act::Extend if each == 0 => 0,
        Act::Extend => usize::MAX,
        Act::Claim(most) => most,
    };
    for turn in 0..turns {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        let answer = match act {
            Act::Extend => holder.extend(turn % each).await,
            Act::Claim(_) => holder.claim(format!("{prefix}{turn}")).await.map(|()| 1),
        };
        let failed = answer.is_err();
        tally.borrow_mut().take(sent, answer);
        if failed {
            sleep(PAUSE).await;
        }
    }
    holder
}

/// Counts the leases that the service does not say are held as their holders believe.
async fn check<S: Service>(
    service: &S,
    holders: &[S::Holder],
    prefix: &str,
    round: &mut Round,
) -> Result<(), RunError> {
    let held = service.held(prefix).await?;
    for (name, token) in holders.iter().flat_map(Holder::believes) {
        round.looked_at += 1;
        round.lost += u64::from(held.get(&name) != Some(&token));
    }
    Ok(())
}
