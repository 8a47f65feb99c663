//! Who believes what: a thread looks at every belief of this process each millisecond, and writes down when one begins,
//! lasts longer, or ends.
//!
//! What is written lies inside what is believed: a belief begins after it was seen, and ends when it was last seen, or
//! before the release that ends it is sent. An overlap shorter than a millisecond or two is not seen; one that is seen was
//! there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{Clock, Grant};

use torture::history::{Believe, Doubt, Nanos, What};

use crate::clock;
use crate::recorder::Recorder;
use crate::workload::rate::Rate;

const EVERY: Duration = Duration::from_millis(1);

/// The beliefs of one process.
#[derive(Clone)]
pub(crate) struct Board {
    recorder: Recorder,
    rate: Rate,
    clock: Arc<dyn Clock>,
    entries: Arc<Mutex<Vec<Entry>>>,
}

/// One client and its grant.
struct Entry {
    client: String,
    lease: String,
    kept: bool,
    grant: Grant,
    /// When it was last seen to be believed, and until when that was to last.
    last: Option<(Nanos, Nanos)>,
}

impl Board {
    /// A board that is looked at from now on. All sessions of the process share its clock.
    pub(crate) fn start(recorder: Recorder, clock: Arc<dyn Clock>, rate: Rate) -> Board {
        let board = Board { recorder, rate, clock, entries: Arc::default() };
        let looking = board.clone();
        std::thread::spawn(move || {
            loop {
                looking.look();
                std::thread::sleep(EVERY);
            }
        });
        board
    }

    /// Looks at a grant from now on; `kept` where its session extends it unasked.
    pub(crate) fn add(&self, client: &str, lease: &str, grant: &Grant, kept: bool) {
        let (client, lease, grant) = (client.to_owned(), lease.to_owned(), grant.clone());
        let mut entries = self.entries();
        // A grant that came back is looked at already.
        let known =
            entries.iter().position(|entry| entry.client == client && entry.grant.token() == grant.token());
        let last = known.and_then(|i| entries.swap_remove(i).last);
        let mut entry = Entry { client, lease, kept, grant, last };
        if self.see(&mut entry) {
            entries.push(entry);
        }
    }

    /// Ends belief, as its client does that is about to give the grant up. It is to be called before that.
    pub(crate) fn give_up(&self, client: &str, token: u64) {
        let mut entries = self.entries();
        let Some(i) = entries.iter().position(|entry| entry.client == client && entry.grant.token() == token)
        else {
            return;
        };
        let entry = entries.swap_remove(i);
        self.doubt(&entry, clock::now(), "released");
    }

    fn look(&self) {
        self.entries().retain_mut(|entry| self.see(entry));
    }

    /// Writes down what is new; false where it is over.
    fn see(&self, entry: &mut Entry) -> bool {
        // True time first: what is left then is never overstated.
        let (at, now, until) = (clock::now(), self.clock.now(), entry.grant.safe_until());
        match until {
            Some(until) if now < until => {
                let until = at.saturating_add(self.rate.to_true(now.until(until)));
                self.believes(entry, until);
                entry.last = Some((at, until.max(entry.last.map_or(0, |(_, until)| until))));
                true
            }
            // Its time is over; news may yet come.
            Some(_) if !entry.grant.is_over() => {
                if let Some((_, until)) = entry.last.take() {
                    self.doubt(entry, until, "expired");
                }
                true
            }
            _ => {
                if let Some((seen, until)) = entry.last {
                    self.doubt(entry, seen.min(until), "ended");
                }
                false
            }
        }
    }

    fn believes(&self, entry: &Entry, until: Nanos) {
        // Readings of two clocks differ by a little each time; an extend moves the end by much.
        const SAME: Nanos = 2_000_000;
        if entry.last.is_some_and(|(_, known)| until <= known + SAME) {
            return;
        }
        let ttl_ms = u64::try_from(entry.grant.ttl().as_millis()).unwrap_or(u64::MAX);
        let (client, lease, token) = (entry.client.clone(), entry.lease.clone(), entry.grant.token());
        self.recorder.note(What::Believe(Believe { client, lease, token, until, ttl_ms, kept: entry.kept }));
    }

    fn doubt(&self, entry: &Entry, at: Nanos, why: &str) {
        let (client, lease, token) = (entry.client.clone(), entry.lease.clone(), entry.grant.token());
        self.recorder.note_at(at, What::Doubt(Doubt { client, lease, token, why: why.to_owned() }));
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
