//! One connection of the flood: frames of claims, and of their answers only what is counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use client::Endpoint;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::WITHIN;
use crate::RunError;
use crate::bench::broken;

/// Of what is claimed: nobody extends it.
const TTL: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;

/// A connection; its clones are the same one.
#[derive(Clone)]
pub(super) struct Wire(Rc<Inner>);

struct Inner {
    prefix: String,
    /// Claims of one frame.
    frame: usize,
    next: Cell<u64>,
    out: mpsc::UnboundedSender<Message>,
    waiting: Rc<RefCell<BTreeMap<u64, oneshot::Sender<Answered>>>>,
}

/// What came of the claims of a frame.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// The tokens of those that were granted.
    pub(super) granted: Vec<u64>,
    pub(super) overloaded: u64,
    /// Of them, those that were not told when to come back.
    pub(super) without_when: u64,
    /// Whatever else was answered: its code, and all of it.
    pub(super) other: Vec<(String, String)>,
}

impl Wire {
    /// Connects, within a `LocalSet`. The names that it claims start so, and are new each time.
    pub(super) async fn open(endpoint: &Endpoint, prefix: String, frame: usize) -> Result<Wire, RunError> {
        let tcp = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
        tcp.set_nodelay(true)?;
        let url = format!("ws://{}:{}/v1/session", endpoint.host(), endpoint.port());
        let (socket, _) = client_async(url, tcp).await.map_err(broken)?;
        let (mut sink, stream) = socket.split();
        let (out, mut outbox) = mpsc::unbounded_channel();
        let waiting = Rc::new(RefCell::new(BTreeMap::new()));
        tokio::task::spawn_local(async move {
            while let Some(message) = outbox.recv().await {
                // Whoever waits for an answer to it finds that none comes.
                if sink.send(message).await.is_err() {
                    break;
                }
            }
        });
        tokio::task::spawn_local(read(stream, Rc::clone(&waiting), frame));
        Ok(Wire(Rc::new(Inner { prefix, frame, next: Cell::new(1), out, waiting })))
    }

    /// Claims as many new leases as go into a frame. None where no answer has come within `patience`.
    pub(super) async fn claim(&self, patience: Duration) -> Option<Answered> {
        let id = self.0.next.get();
        self.0.next.set(id + 1);
        let (answer, answered) = oneshot::channel();
        self.0.waiting.borrow_mut().insert(id, answer);
        let sent = self.0.out.send(Message::text(self.claims(id)));
        let answered = timeout(patience, answered).await.ok().and_then(Result::ok);
        self.0.waiting.borrow_mut().remove(&id);
        sent.ok().and(answered)
    }

    fn claims(&self, id: u64) -> String {
        let Inner { prefix, frame, .. } = &*self.0;
        let (ttl, within) = (TTL.as_millis(), WITHIN.as_millis());
        let mut text = format!(r#"{{"id":{id},"call":{{"bulk":["#);
        for number in 0..*frame {
            let comma = if number > 0 { "," } else { "" };
            // A prefix is of letters, digits and slashes; and a text is always written to.
            let _ = write!(
                text,
                r#"{comma}{{"claim":{{"name":"{prefix}{id}/{number}","holder":"claimer","instance":"1","seq":"1","ttl_ms":{ttl},"deadline_ms":{within}}}}}"#
            );
        }
        text.push_str("]}}");
        text
    }
}

async fn read(
    mut stream: SplitStream<Socket>,
    waiting: Rc<RefCell<BTreeMap<u64, oneshot::Sender<Answered>>>>,
    frame: usize,
) {
    while let Some(Ok(message)) = stream.next().await {
        let Message::Text(text) = message else { continue };
        let Ok(Frame { id, reply }) = serde_json::from_str(text.as_str()) else { continue };
        if let Some(answer) = waiting.borrow_mut().remove(&id) {
            // Nobody waits any more where it came too late.
            let _ = answer.send(Answered::of(reply, frame));
        }
    }
}

#[derive(Deserialize)]
struct Frame {
    id: u64,
    reply: Reply,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Bulk(Vec<Step>),
    Error(api::Problem),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    Granted(Granted),
    Error(api::Problem),
}

#[derive(Deserialize)]
struct Granted {
    token: String,
}

impl Answered {
    fn of(reply: Reply, frame: usize) -> Answered {
        let mut answered = Answered::default();
        match reply {
            // Of all its claims.
            Reply::Error(problem) => (0..frame).for_each(|_| answered.refused(&problem)),
            Reply::Bulk(steps) => steps.iter().for_each(|step| match step {
                Step::Granted(grant) => answered.granted.extend(grant.token.parse::<u64>().ok()),
                Step::Error(problem) => answered.refused(problem),
            }),
        }
        answered
    }

    fn refused(&mut self, problem: &api::Problem) {
        match problem.code {
            api::Code::Overloaded => {
                self.overloaded += 1;
                self.without_when += u64::from(problem.retry_after_ms.is_none());
            }
            code => self.other.push((code.to_string(), problem.to_string())),
        }
    }
}
