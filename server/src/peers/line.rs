//! The ways to the other members, as the replica has them: what is asked waits here until [`dial`](super::dial) sends it.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use replica::{Asked, Link, Network, PEER_FRAME_BYTES_MAX, Unreached};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::dial::Dialer;
use super::{QUEUED_BYTES_MAX, Security, Who};

/// What a frame costs beside its bytes, so that empty ones are bounded too.
const FRAME_COST: usize = 128;

/// The ways from this member to the others: one line to each, made when it is first wanted.
#[derive(Debug)]
pub(crate) struct Carrier {
    me: Who,
    security: Security,
    lines: Mutex<BTreeMap<u64, Line>>,
}

/// The way to one member.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    address: String,
    asks: UnboundedSender<Ask>,
    queued: Arc<AtomicUsize>,
}

/// Where an answer is wanted.
pub(super) type Waiting = oneshot::Sender<Result<Vec<u8>, Unreached>>;

/// A frame that is to be sent, and where its answer is wanted.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) frame: Vec<u8>,
    pub(super) answer: Waiting,
    /// Its place in the queue, until it was sent.
    place: Place,
}

impl Ask {
    /// Its frame and its place, to be dropped once it was sent; none where nobody waits for the answer any more.
    pub(super) fn take(self) -> Option<(Sending, Waiting)> {
        (!self.answer.is_closed()).then_some((Sending { frame: self.frame, _place: self.place }, self.answer))
    }
}

/// A frame that is being sent.
pub(super) struct Sending {
    pub(super) frame: Vec<u8>,
    _place: Place,
}

impl Carrier {
    /// The ways from this member to the others. They are used within the runtime that then carries them.
    pub(crate) fn new(me: Who, security: Security) -> Carrier {
        Carrier { me, security, lines: Mutex::default() }
    }
}

impl Network for Carrier {
    type Link = Line;

    fn link(&self, member: u64, address: &str) -> Line {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get(&member) {
            Some(line) if line.address == address => line.clone(),
            // A member that has moved: the old line ends with the last link that has it.
            _ => {
                let line = Line::start(self.me, &self.security, member, address);
                lines.insert(member, line.clone());
                line
            }
        }
    }
}

impl Line {
    fn start(me: Who, security: &Security, member: u64, address: &str) -> Line {
        let (asks, asked) = unbounded_channel();
        let dialer = Dialer::new(me, security.clone(), member, address.to_owned(), asked);
        drop(tokio::spawn(dialer.run()));
        Line { address: address.to_owned(), asks, queued: Arc::default() }
    }

    fn place(&self, frame: &[u8]) -> Result<Place, Unreached> {
        if frame.len() > PEER_FRAME_BYTES_MAX {
            let bytes = frame.len();
            return Err(Unreached::never_left(format!(
                "a frame of {bytes} bytes; the limit is {PEER_FRAME_BYTES_MAX}"
            )));
        }
        let cost = frame.len() + FRAME_COST;
        let room = |queued| (queued == 0 || queued + cost <= QUEUED_BYTES_MAX).then_some(queued + cost);
        match self.queued.fetch_update(Ordering::AcqRel, Ordering::Acquire, room) {
            Ok(_) => Ok(Place { queued: Arc::clone(&self.queued), cost }),
            Err(queued) => Err(Unreached::never_left(format!(
                "{queued} bytes wait to be sent to {} already; the limit is {QUEUED_BYTES_MAX}",
                self.address
            ))),
        }
    }
}

impl Link for Line {
    fn ask(&self, frame: Vec<u8>) -> Asked {
        let place = match self.place(&frame) {
            Ok(place) => place,
            Err(why) => return Box::pin(ready(Err(why))),
        };
        let (answer, answered) = oneshot::channel();
        // Where the line has ended, the ask is dropped, and so is the answer's sender.
        drop(self.asks.send(Ask { frame, answer, place }));
        let address = self.address.clone();
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err(Unreached::unanswered(format!("the way to {address} has ended"))))
        })
    }
}

/// So many bytes of the queue.
#[derive(Debug)]
struct Place {
    queued: Arc<AtomicUsize>,
    cost: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.cost, Ordering::AcqRel);
    }
}
