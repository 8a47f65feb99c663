//! What other members ask this one for their clients: taken in here, in the order in which it came, and answered as it comes about.
//!
//! Where this member does not lead, whatever is asked is answered at once that it does not: nothing is passed on twice.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use lease::Ttl;

use crate::beginning;
use crate::driver::Changed;
use crate::handle::{Answer, ReplyFn, Unavailable};
use crate::members::{MemberChange, Unchanged};
use crate::promise::{Giver, promise};
use crate::raft::asks::{Ask, Forwarded, Heard, Roll, Said};
use crate::shared::{Shared, Stage};

/// What came from another member and the driver has not yet taken.
pub(crate) enum Incoming {
    /// A command.
    Command(Forwarded, ReplyFn<Answer>),
    /// How far a read must wait.
    Index(ReplyFn<Option<u64>>),
    /// What has changed among its waiters.
    Roll(Roll, ReplyFn<Heard>),
    /// A change of the members.
    Members(MemberChange, Ttl, ReplyFn<Changed>),
}

/// The answer to an ask, as it comes about.
pub(crate) type Serving = Pin<Box<dyn Future<Output = Said> + Send>>;

impl Shared {
    /// Takes an ask in; its answer comes about without this being polled.
    pub(crate) fn serve(&self, ask: Ask) -> Serving {
        match ask {
            Ask::Commands(commands) => {
                let count = commands.len();
                let (giver, answers) = promise();
                let gather = Gather::new(count, giver);
                let incoming = commands.into_iter().enumerate().map(|(at, command)| {
                    let gather = gather.clone();
                    Incoming::Command(command, Box::new(move |answer| gather.put(at, answer)))
                });
                self.come_in(incoming);
                Box::pin(async move {
                    Said::Answers(answers.await.unwrap_or_else(|| vec![Answer::Unknown; count]))
                })
            }
            Ask::Index => {
                let (giver, index) = promise();
                self.come_in([Incoming::Index(Box::new(|index| giver.give(index)))]);
                Box::pin(async move { Said::Index(index.await.flatten()) })
            }
            Ask::Roll(roll) => {
                let (giver, heard) = promise();
                self.come_in([Incoming::Roll(roll, Box::new(|heard| giver.give(heard)))]);
                Box::pin(async move { Said::Roll(heard.await.unwrap_or_default()) })
            }
            Ask::Members(change, deadline) => {
                let (giver, changed) = promise();
                let reply = Box::new(|changed| giver.give(changed));
                self.come_in([Incoming::Members(change, deadline, reply)]);
                Box::pin(async move { Said::Members(changed.await.unwrap_or(Err(Unchanged::Unknown))) })
            }
            Ask::Lost(had) => {
                self.end_because(beginning::lost_entries(self.status().member, had));
                Box::pin(std::future::ready(Said::HowFar(self.far())))
            }
            Ask::Knows => Box::pin(std::future::ready(Said::Knows(lease::CLUSTER_VERSION_KNOWN))),
            Ask::HowFar => Box::pin(std::future::ready(Said::HowFar(self.far()))),
        }
    }

    fn come_in(&self, incoming: impl IntoIterator<Item = Incoming>) {
        let mut inbox = self.inbox();
        let runs = inbox.stage == Stage::Running;
        let mut refused = Vec::new();
        for incoming in incoming {
            match incoming {
                Incoming::Command(command, reply) if !runs => {
                    drop(command);
                    refused.push(reply);
                }
                incoming => inbox.incoming.push(incoming),
            }
        }
        drop(inbox);
        self.poke();
        refused.into_iter().for_each(|reply| reply(Answer::Unavailable(Unavailable::Stopping)));
    }
}

impl Incoming {
    /// Answers that this member does not lead.
    pub(crate) fn refuse(self) {
        match self {
            Incoming::Command(_, reply) => reply(Answer::Unavailable(Unavailable::NoLeader)),
            Incoming::Index(reply) => reply(None),
            Incoming::Roll(_, reply) => reply(Heard::default()),
            Incoming::Members(_, _, reply) => reply(Err(Unchanged::NoLeader)),
        }
    }
}

/// The answers to one frame's commands that have come so far. Whoever brings the last one gives them.
#[derive(Clone)]
struct Gather(Arc<Mutex<Gathered>>);

struct Gathered {
    answers: Vec<Answer>,
    left: usize,
    giver: Option<Giver<Vec<Answer>>>,
}

impl Gather {
    fn new(count: usize, giver: Giver<Vec<Answer>>) -> Gather {
        // Of none there is nothing to wait for.
        let giver = match count {
            0 => {
                giver.give(Vec::new());
                None
            }
            _ => Some(giver),
        };
        Gather(Arc::new(Mutex::new(Gathered { answers: vec![Answer::Unknown; count], left: count, giver })))
    }

    fn put(&self, at: usize, answer: Answer) {
        let mut gathered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gathered.answers[at] = answer;
        gathered.left -= 1;
        if gathered.left == 0 {
            let answers = std::mem::take(&mut gathered.answers);
            let giver = gathered.giver.take();
            drop(gathered);
            if let Some(giver) = giver {
                giver.give(answers);
            }
        }
    }
}
