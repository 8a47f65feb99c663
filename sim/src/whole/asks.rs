//! What a client's frame asks of a member's handle, and the answer on its way back.
//!
//! Every ask is noted with the judge, and so is its answer. One that is dropped unanswered, by a member that lives on, is a broken
//! promise.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::{Call, ClientFrame, Code, Reply, ServerFrame};
use client::machine::{Input, LinkId};
use lease::Ttl;
use replica::{Answer, Handle, Proposal, Read, Waited};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::cluster::Cluster;
use super::executor::{Life, chance, now, sleep, spawn_in};
use super::judge;
use crate::chance::MILLI;
use crate::door::{self, NAMES, Put, Told, Words};
use crate::tally::Happened;

/// Where an answer goes.
#[derive(Clone)]
pub(crate) struct From {
    pub(crate) inbox: UnboundedSender<Input>,
    pub(crate) link: LinkId,
    pub(crate) frame: u64,
    /// When the frame left.
    pub(crate) sent: u64,
    pub(crate) cluster: Cluster,
}

impl From {
    fn reply(&self, reply: Reply) {
        if let Reply::Granted(grant) = &reply
            && grant.confirmed
        {
            judge::granted(grant.token, self.sent, grant.ttl_ms * MILLI);
        }
        if let Reply::Error(problem) = &reply
            && problem.code == Code::Unknown
        {
            judge::count(Happened::Unknown);
        }
        let to = self.clone();
        spawn_in(0, async move {
            sleep(to.cluster.wires.latency()).await;
            let frame = ServerFrame::reply(to.frame, reply);
            let _ = to.inbox.send(Input::Answer { link: to.link, frame });
        });
    }
}

/// The one answer that is owed to whoever asked.
struct Owed {
    ask: u64,
    key: usize,
    transferred: Option<u64>,
    to: From,
    given: bool,
}

impl Owed {
    fn give(self, told: Told) {
        let reply = door::reply(self.key, self.transferred, told);
        self.say(reply);
    }

    fn say(mut self, reply: Reply) {
        self.given = true;
        judge::told(self.ask);
        self.to.reply(reply);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if !self.given {
            judge::dropped(self.ask);
        }
    }
}

/// Who waits where: by a member's life, a lease, and a number of its own.
#[derive(Clone, Default)]
pub(crate) struct Standing(Arc<Mutex<Places>>);

#[derive(Default)]
struct Places {
    last: u64,
    waits: BTreeMap<(Life, usize, u64), Place>,
}

struct Place {
    came: u64,
    looked_at: LookedAt,
}

/// Whether a wait has surely been looked at since it came.
type LookedAt = Arc<AtomicBool>;

/// One who waits; until it is dropped.
struct Stands {
    standing: Standing,
    at: (Life, usize, u64),
}

impl Standing {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stand(&self, life: Life, key: usize) -> Stands {
        let mut places = self.places();
        places.last += 1;
        let at = (life, key, places.last);
        places.waits.insert(at, Place { came: now(), looked_at: LookedAt::default() });
        drop(places);
        Stands { standing: self.clone(), at }
    }

    /// The one that came last.
    fn newest(&self, life: Life, key: usize) -> Option<LookedAt> {
        let places = self.places();
        places
            .waits
            .range((life, key, 0)..(life, key + 1, 0))
            .next_back()
            .map(|(_, it)| Arc::clone(&it.looked_at))
    }

    /// How many wait for a lease at a member.
    pub(crate) fn count(&self, life: Life, key: usize) -> usize {
        self.places().waits.range((life, key, 0)..(life, key + 1, 0)).count()
    }

    /// When the one came who has waited longest for a lease, of one of these lives.
    pub(crate) fn longest(&self, lives: &[Life], key: usize) -> Option<u64> {
        let places = self.places();
        let firsts =
            lives.iter().filter_map(|life| places.waits.range((*life, key, 0)..(*life, key + 1, 0)).next());
        firsts.map(|(_, place)| place.came).min()
    }

    /// The same, of those who have surely been looked at.
    pub(crate) fn longest_looked_at(&self, life: Life, key: usize) -> Option<u64> {
        let places = self.places();
        let mut of = places.waits.range((life, key, 0)..(life, key + 1, 0));
        of.find(|(_, place)| place.looked_at.load(Ordering::Relaxed)).map(|(_, place)| place.came)
    }
}

impl Drop for Stands {
    fn drop(&mut self) {
        let gone = self.standing.places().waits.remove(&self.at);
        drop(gone);
    }
}

/// Puts a frame to a member.
pub(crate) fn put(words: &Words, frame: ClientFrame, handle: &Handle, life: Life, to: From) {
    let transferred = match &frame.call {
        Call::Transfer(transfer) => Some(transfer.token),
        _ => None,
    };
    let key = words.index(door::name_of(&frame.call));
    let what = frame.call.clone();
    let owed = |by: Option<Ttl>| {
        let by = by.map(|by| now() + by.as_nanos());
        Owed { ask: judge::asks(life, what.clone(), by), key, transferred, to: to.clone(), given: false }
    };
    match words.put(frame.call) {
        Put::Answered(reply) => to.reply(reply),
        Put::Cancel(_) => to.reply(Reply::Cancelled),
        Put::Command(command, named, heir, deadline) => {
            let owed = owed(Some(deadline));
            let reply = Box::new(move |told| {
                if let Answer::Decided { at, .. } = &told {
                    judge::heard(at.revision.0);
                }
                owed.give(Told::Answer(told));
            });
            handle.propose(Proposal { command, named, heir, deadline, reply });
        }
        Put::Acquire(claim, timeout_ms) => {
            let owed = owed(None);
            let stands = to.cluster.lines.stand(life, key);
            let reply = Box::new(move |told| {
                drop(stands);
                if !matches!(told, Answer::Decided { .. }) {
                    judge::count(Happened::AcquireEnded);
                }
                owed.give(Told::Answer(told));
            });
            let wait = handle.acquire(claim, reply);
            let handle = handle.clone();
            spawn_in(life, async move {
                sleep(timeout_ms.unwrap_or(1_000) * MILLI).await;
                handle.give_up(wait);
            });
        }
        Put::Wait(of, after, timeout_ms) => {
            let owed = Arc::new(Mutex::new(Some(owed(None))));
            let stands = to.cluster.waits.stand(life, key);
            let answer = Arc::clone(&owed);
            let reply = Box::new(move |told| {
                drop(stands);
                judge::count(match told {
                    Waited::Free(_) => Happened::WaitTold,
                    _ => Happened::WaitEnded,
                });
                taken(&answer).into_iter().for_each(|owed| owed.give(Told::Waited(told)));
            });
            let wait = handle.wait(of, after, reply);
            let handle = handle.clone();
            // The door waits no longer than its caller. What is cancelled is not answered: the door does it.
            spawn_in(life, async move {
                sleep(timeout_ms.unwrap_or(1_000) * MILLI).await;
                if handle.cancel(wait) {
                    judge::count(Happened::WaitEnded);
                    taken(&owed).into_iter().for_each(|owed| owed.say(door::no(Code::StillHeld, None)));
                }
            });
        }
        Put::Get(of) => {
            let owed = owed(Some(lease::DEADLINE_DEFAULT));
            let reply = Box::new(move |table: Result<(&lease::Table, replica::Reading), _>| {
                owed.give(match table {
                    Ok((table, at)) => Told::Lease(table.get(&of).map(Box::new), at),
                    Err(why) => Told::Unavailable(why),
                });
            });
            handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
        }
    }
}

fn taken(owed: &Mutex<Option<Owed>>) -> Option<Owed> {
    owed.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Waits at every member for every lease, and for longer than a session's caller would: whoever stands there while its member is cut
/// off may be told by what a snapshot says, and by no entry.
pub(crate) async fn stand_by(cluster: Cluster) {
    let words = Words::new();
    let pace = chance(|it| it.pick(&[200, 1_000, 3_000]));
    loop {
        sleep(chance(|it| it.millis(50, pace))).await;
        for member in cluster.ids() {
            let Some((life, handle)) = cluster.door(member) else { continue };
            for name in NAMES {
                if cluster.waits.count(life, words.index(name)) == 0 {
                    wait_long(&cluster, &words, name, &handle, life);
                }
            }
        }
    }
}

/// Waits for a lease, and reads behind that: once the read is answered the wait has been looked at, and from then on whatever frees the
/// lease at this member tells it.
fn wait_long(cluster: &Cluster, words: &Words, name: &str, handle: &Handle, life: Life) {
    // It hears no answer: what it is owed is judged when it is given.
    let (inbox, _) = unbounded_channel();
    let to = From { inbox, link: LinkId(0), frame: 0, sent: now(), cluster: cluster.clone() };
    let timeout_ms = Some(chance(|it| it.pick(&[2_000, 10_000, 30_000])));
    let key = words.index(name);
    let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), name.to_owned());
    let call = Call::Wait(api::Wait { namespace, name, after: None, timeout_ms });
    put(words, ClientFrame { id: 0, call }, handle, life, to);
    let looked_at = cluster.waits.newest(life, key);
    let reply = Box::new(move |read: Result<(&lease::Table, replica::Reading), _>| {
        if let (Ok(_), Some(wait)) = (read, looked_at) {
            wait.store(true, Ordering::Relaxed);
        }
    });
    handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
}

/// Reads at any member, and often at one that leads or thinks so: what was told before a read is asked for, it has seen.
pub(crate) async fn read(cluster: Cluster) {
    loop {
        sleep(chance(|it| it.millis(10, 200))).await;
        let leading = cluster.leading();
        let ids = if leading.is_empty() || chance(|it| it.one_in(2)) { cluster.ids() } else { leading };
        let Some((_, handle)) = cluster.door(chance(|it| it.pick(&ids))) else { continue };
        let before = judge::heard(0);
        let reply = Box::new(move |read: Result<(&lease::Table, replica::Reading), _>| {
            let Ok((_, at)) = read else { return };
            let kept = match at.revision.0 < before {
                true => Err(format!("a read at revision {} came after {before} was told", at.revision.0)),
                false => Ok(()),
            };
            judge::judge("no read is stale", kept);
            judge::heard(at.revision.0);
        });
        handle.read(Read { stale: false, deadline: lease::DEADLINE_DEFAULT, reply });
    }
}
