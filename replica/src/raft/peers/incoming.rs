//! What the other members ask of this one.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use openraft::async_runtime::AsyncRuntime;
use openraft::entry::RaftEntry as _;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use openraft::type_config::async_runtime::oneshot::{Oneshot, OneshotSender as _};

use super::arriving::Arriving;
use super::asks::{Ask, Said};
use super::wire::{Lane, Piece, Reply, Request, WireError};
use openraft_rt::watch::WatchReceiver as _;

use crate::World;
use crate::beginning::{self, Far};
use crate::driver::STALLED;
use crate::log::Log;
use crate::members::MemberChange;
use crate::raft::Group;
use crate::raft::types::Types;
use crate::shared::Shared;
use crate::snapshot::Snapshots;

/// This member, as the others ask it.
pub struct Peers<W: World> {
    group: Group<W>,
    arriving: Arc<Arriving>,
    shared: Arc<Shared>,
    log: Log,
}

impl<W: World> Clone for Peers<W> {
    fn clone(&self) -> Peers<W> {
        Peers {
            group: self.group.clone(),
            arriving: Arc::clone(&self.arriving),
            shared: Arc::clone(&self.shared),
            log: self.log.clone(),
        }
    }
}

impl<W: World> Peers<W> {
    pub(crate) fn new(group: Group<W>, snapshots: Snapshots, shared: Arc<Shared>, log: Log) -> Peers<W> {
        Peers { group, arriving: Arc::new(Arriving::new(snapshots)), shared, log }
    }

    /// Why this member gives no vote, where it does not: its own could not be kept, or it may have lost one.
    fn unfit(&self) -> Option<&'static str> {
        let stalled = self.log.oldest_unsynced().is_some_and(|unsynced| unsynced > STALLED);
        match () {
            () if stalled || self.log.no_room().is_some() => {
                Some("its disk takes no more, and so it gives no vote")
            }
            () if self.shared.far() != Far::Begun => Some("it has not begun, and so it gives no vote"),
            () => None,
        }
    }

    fn me(&self) -> u64 {
        let metrics = self.group.metrics();
        let metrics = metrics.borrow_watched();
        metrics.id
    }

    /// Why this member cannot be the one that `caller` means by what it says of Raft.
    fn lost_to(&self, caller: u64) -> Option<String> {
        match self.shared.far() {
            // Nobody begins before this one bears the mark.
            Far::Forming => Some(beginning::lost_while_forming(self.me(), caller)),
            Far::Begun if self.is_alone() => Some(beginning::another_cluster(self.me(), caller)),
            _ => None,
        }
    }

    /// Whether this member's log knows of nobody else, and never did: where all changes of the members in it are applied, as those
    /// that were removed are known by then.
    fn is_alone(&self) -> bool {
        let metrics = self.group.metrics();
        let metrics = metrics.borrow_watched();
        let newest = &metrics.membership_config;
        let state = self.shared.state();
        let mut members = newest.membership().nodes().map(|(id, _)| *id);
        let is_only_one = members.next() == Some(metrics.id) && members.next().is_none();
        is_only_one && state.removed.is_empty() && state.membership.log_id() == newest.log_id()
    }

    /// A connection from the member `caller`, as it was proven to be.
    pub fn connection(&self, caller: u64) -> Connection<W> {
        let lane = || Appends::start(self.group.clone());
        Connection { peers: self.clone(), caller, entries: lane(), heartbeats: lane() }
    }
}

/// A connection from another member. Dropped, it leaves unanswered what it has not answered.
pub struct Connection<W: World> {
    peers: Peers<W>,
    caller: u64,
    entries: Appends<W::Runtime>,
    heartbeats: Appends<W::Runtime>,
}

/// Whether a removed member that sends this is told that it was removed.
fn tells_removed<R: AsyncRuntime>(request: &Request<R>, caller: u64) -> bool {
    match request {
        // Whoever is yet to join under that id, or asks again to, has nothing to end, and is refused in more words.
        Request::Ask(Ask::Members(MemberChange::Join { .. }, _)) => false,
        Request::Ask(Ask::Members(MemberChange::Add { id, .. }, _)) if *id == caller => false,
        // Whoever leads learns of it by the terms; what it sends comes too often to be looked at each time.
        Request::Append(..) | Request::Piece(_) => false,
        Request::Vote(_) | Request::PreVote(_) | Request::Lead(_) | Request::Ask(_) => true,
    }
}

/// The answer to a frame, as it comes about.
pub type Answering = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

impl<W: World> Connection<W> {
    /// Takes the next frame in, in the order in which they came. Their answers may come in any.
    ///
    /// # Errors
    /// [`WireError`]: the connection is of no use.
    pub fn take(&mut self, frame: &[u8]) -> Result<Answering, WireError> {
        let peers = self.peers.clone();
        let request = Request::decode(frame)?;
        if let Some(why) = caller(&request).and_then(|caller| peers.lost_to(caller)) {
            peers.shared.end_because(why.clone());
            return Ok(answering(async { not_now::<W::Runtime>(why) }));
        }
        Ok(match request {
            request
                if tells_removed(&request, self.caller)
                    && peers.shared.state().removed.contains(&self.caller) =>
            {
                answering(async { Reply::<W::Runtime>::Said(Said::Removed) })
            }
            Request::Append(..) | Request::Piece(_) if peers.shared.far() == Far::Ready => {
                answering(async { not_now::<W::Runtime>("it waits for the first voters of a new cluster") })
            }
            Request::Append(_, append)
                if peers.shared.far() == Far::Waiting && makes_voter(&append, peers.me()) =>
            {
                peers.shared.end_because(beginning::lost_vote(peers.me()));
                answering(async { not_now::<W::Runtime>("it is a voter, and has lost what it had") })
            }
            Request::Append(lane, append) => {
                peers.shared.hear_leader(append.vote.leader_id.term);
                let appends = match lane {
                    Lane::Entries => &self.entries,
                    Lane::Heartbeats => &self.heartbeats,
                };
                let answer = appends.push(append);
                answering(async move {
                    match answer.await {
                        Ok(result) => Reply::<W::Runtime>::Appended(result),
                        Err(_) => not_now("an append before it was refused"),
                    }
                })
            }
            Request::Vote(_) | Request::PreVote(_) | Request::Lead(_) if let Some(why) = peers.unfit() => {
                answering(async move { not_now::<W::Runtime>(why) })
            }
            Request::Vote(vote) => {
                answering(async move { peers.group.vote(vote).await.map_or_else(not_now, Reply::Vote) })
            }
            Request::PreVote(vote) => {
                answering(async move { peers.group.pre_vote(vote).await.map_or_else(not_now, Reply::Vote) })
            }
            Request::Lead(lead) => answering(async move {
                match peers.group.handle_transfer_leader(lead).await {
                    Ok(answer) => Reply::<W::Runtime>::Lead(answer.map_err(|error| error.to_string())),
                    Err(fatal) => not_now(fatal),
                }
            }),
            Request::Piece(piece) => answering(async move { peers.take_piece(piece).await }),
            Request::Ask(ask) => {
                let said = peers.shared.serve(ask);
                answering(async move { Reply::<W::Runtime>::Said(said.await) })
            }
        })
    }
}

/// Which member speaks of Raft; none of what is asked besides.
fn caller<R: AsyncRuntime>(request: &Request<R>) -> Option<u64> {
    match request {
        Request::Append(_, append) => Some(append.vote.leader_id.voted_for),
        Request::Vote(vote) | Request::PreVote(vote) => Some(vote.vote.leader_id.voted_for),
        Request::Piece(piece) => Some(piece.vote.leader_id.voted_for),
        Request::Lead(_) | Request::Ask(_) => None,
    }
}

/// Whether an append makes that member a voter.
fn makes_voter<R: AsyncRuntime>(append: &Rpc<R>, member: u64) -> bool {
    let memberships = append.entries.iter().filter_map(|entry| entry.get_membership());
    memberships.into_iter().any(|membership| membership.voter_ids().any(|id| id == member))
}

fn answering<R: AsyncRuntime>(reply: impl Future<Output = Reply<R>> + Send + 'static) -> Answering {
    Box::pin(async move { reply.await.encode() })
}

fn not_now<R: AsyncRuntime>(why: impl ToString) -> Reply<R> {
    Reply::NotNow(why.to_string())
}

impl<W: World> Peers<W> {
    async fn take_piece(&self, piece: Piece) -> Reply<W::Runtime> {
        let (vote, arriving) = (piece.vote, Arc::clone(&self.arriving));
        let taken = <W::Runtime as AsyncRuntime>::spawn_blocking(move || arriving.take(&piece)).await;
        match taken.and_then(|taken| taken) {
            Ok(Ok(snapshot)) => {
                let installed = self.group.install_full_snapshot(vote, snapshot).await;
                installed.map_or_else(not_now, Reply::Installed)
            }
            Ok(Err(have)) => Reply::Have(have),
            Err(error) => not_now(error),
        }
    }
}

type Rpc<R> = AppendEntriesRequest<Types<R>>;
type ResultTo<R> = <<R as AsyncRuntime>::Oneshot as Oneshot>::Sender<StreamAppendResult<Types<R>>>;
type ResultOf<R> = <<R as AsyncRuntime>::Oneshot as Oneshot>::Receiver<StreamAppendResult<Types<R>>>;

/// The appends of one lane, in order.
struct Appends<R: AsyncRuntime> {
    queue: Arc<Queue<R>>,
}

struct Queue<R: AsyncRuntime>(Mutex<Queued<R>>);

struct Queued<R: AsyncRuntime> {
    appends: VecDeque<(Rpc<R>, ResultTo<R>)>,
    /// Which stream takes from it.
    stream: u64,
    waker: Option<Waker>,
    closed: bool,
}

impl<R: AsyncRuntime> Queue<R> {
    // Nothing can panic halfway through a change of it.
    fn state(&self) -> MutexGuard<'_, Queued<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Queued<R>)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn poll_next(&self, stream: u64, cx: &Context<'_>) -> Poll<Option<(Rpc<R>, ResultTo<R>)>> {
        let mut state = self.state();
        if state.closed || state.stream != stream {
            return Poll::Ready(None);
        }
        let next = state.appends.pop_front();
        if next.is_none() {
            state.waker = Some(cx.waker().clone());
        }
        next.map_or(Poll::Pending, |next| Poll::Ready(Some(next)))
    }
}

impl<R: AsyncRuntime> Appends<R> {
    fn start<W: World<Runtime = R>>(group: Group<W>) -> Appends<R> {
        let queued = Queued { appends: VecDeque::new(), stream: 0, waker: None, closed: false };
        let queue = Arc::new(Queue(Mutex::new(queued)));
        drop(R::spawn(serve(group, Arc::clone(&queue))));
        Appends { queue }
    }

    fn push(&self, append: Rpc<R>) -> ResultOf<R> {
        let (result, answer) = R::Oneshot::channel();
        // A result that is dropped says that there is none.
        self.queue.change(|queued| match queued.closed {
            true => drop(result),
            false => queued.appends.push_back((append, result)),
        });
        answer
    }
}

impl<R: AsyncRuntime> Drop for Appends<R> {
    fn drop(&mut self) {
        self.queue.change(Queued::close);
    }
}

/// Feeds the lane's appends to openraft, which takes several in before the first is synced, and gives their results out. After
/// a refusal openraft goes on with no more of that stream: what it had been given is left unanswered, and the rest goes on in a
/// new one. Where openraft itself is over, so is the lane.
async fn serve<W: World>(group: Group<W>, queue: Arc<Queue<W::Runtime>>) {
    loop {
        let mut stream = 0;
        queue.change(|queued| {
            queued.stream += 1;
            stream = queued.stream;
        });
        let given = Arc::new(Mutex::new(VecDeque::new()));
        let input = Input { queue: Arc::clone(&queue), stream, given: Arc::clone(&given) };
        let mut results = std::pin::pin!(group.stream_append(input));
        loop {
            match poll_fn(|cx| results.as_mut().poll_next(cx)).await {
                Some(Ok(result)) => {
                    let to = given.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let _: Option<Result<(), _>> = to.map(|to: ResultTo<W::Runtime>| to.send(result));
                }
                Some(Err(_)) => return queue.change(|queued| queued.close()),
                None if queue.state().closed => return,
                None => break,
            }
        }
    }
}

impl<R: AsyncRuntime> Queued<R> {
    /// Whatever waits is left unanswered, and so is what comes.
    fn close(&mut self) {
        self.closed = true;
        self.appends.clear();
    }
}

/// The appends that one stream is given.
struct Input<R: AsyncRuntime> {
    queue: Arc<Queue<R>>,
    stream: u64,
    given: Arc<Mutex<VecDeque<ResultTo<R>>>>,
}

impl<R: AsyncRuntime> Stream for Input<R> {
    type Item = Rpc<R>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Rpc<R>>> {
        self.queue.poll_next(self.stream, cx).map(|next| {
            let (append, result) = next?;
            self.given.lock().unwrap_or_else(PoisonError::into_inner).push_back(result);
            Some(append)
        })
    }
}
