//! A member whose every word the test says.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::{Call, ClientFrame, Problem, Push, Reply, ServerFrame};
use client::{Claim, Clock, Endpoint, Instant, Options, Session};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub(crate) struct Member {
    listener: TcpListener,
}

impl Member {
    pub(crate) async fn start() -> Member {
        Member { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.listener.local_addr().unwrap().to_string().parse().unwrap()
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (tcp, _) = self.listener.accept().await.unwrap();
        Peer(tokio_tungstenite::accept_async(tcp).await.unwrap())
    }

    pub(crate) async fn accept_raw(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// An endpoint where nobody listens.
pub(crate) async fn nowhere() -> Endpoint {
    Member::start().await.endpoint()
}

/// One session, seen from the member.
pub(crate) struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    /// The next frame, or none where the session says goodbye or is gone.
    pub(crate) async fn frame(&mut self) -> Option<ClientFrame> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The next call that is no hello.
    pub(crate) async fn call(&mut self) -> (u64, Call) {
        loop {
            let ClientFrame { id, call } = self.frame().await.expect("the session ended");
            if !matches!(call, Call::Hello(_)) {
                return (id, call);
            }
        }
    }

    pub(crate) async fn reply(&mut self, id: u64, reply: Reply) {
        let text = serde_json::to_string(&ServerFrame::reply(id, reply)).unwrap();
        self.text(text).await;
    }

    pub(crate) async fn push(&mut self, push: Push) {
        let text = serde_json::to_string(&ServerFrame::push(push)).unwrap();
        self.text(text).await;
    }

    pub(crate) async fn text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Grants the next call, which must be a claim, an extend or an acquire; gives it back.
    pub(crate) async fn grant(&mut self, token: u64) -> Call {
        let (id, call) = self.call().await;
        let (name, ttl_ms) = match &call {
            Call::Claim(claim) => (claim.name.clone(), claim.ttl_ms),
            Call::Extend(extend) => (extend.name.clone(), extend.ttl_ms),
            Call::Acquire(acquire) => (acquire.name.clone(), acquire.ttl_ms),
            other => panic!("nothing to grant: {other:?}"),
        };
        self.reply(id, granted(&name, token, ttl_ms.unwrap())).await;
        call
    }
}

pub(crate) fn granted(name: &str, token: u64, ttl_ms: u64) -> Reply {
    Reply::Granted(api::Grant {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        token,
        ttl_ms,
        hold_ms: ttl_ms * 990 / 1_010,
        extend_after_ms: ttl_ms / 3,
        confirmed: true,
    })
}

/// As an acquire is answered that waited in line.
pub(crate) fn unconfirmed(name: &str, token: u64, ttl_ms: u64) -> Reply {
    match granted(name, token, ttl_ms) {
        Reply::Granted(grant) => {
            Reply::Granted(api::Grant { confirmed: false, hold_ms: 1_960, extend_after_ms: 0, ..grant })
        }
        other => other,
    }
}

pub(crate) fn lost(token: u64, why: &str, reason: Option<&str>) -> Reply {
    let end = api::End {
        token,
        holder: "h".to_owned(),
        why: why.to_owned(),
        reason: reason.map(str::to_owned),
        ago_ms: 10,
        remained_ms: 100,
    };
    Reply::Error(Problem { end: Some(Box::new(end)), ..Problem::new(api::Code::Lost, "as the test says") })
}

pub(crate) fn lease(name: &str) -> Reply {
    Reply::Lease(Box::new(api::Lease {
        namespace: "default".to_owned(),
        name: name.to_owned(),
        held: None,
        cooldown: None,
        pins: Vec::new(),
        last_end: None,
        revision: 1,
        stale: None,
    }))
}

pub(crate) fn no(code: api::Code) -> Reply {
    Reply::Error(Problem::new(code, "as the test says"))
}

/// Long enough that no test meets it by accident.
pub(crate) fn options(endpoints: Vec<Endpoint>) -> Options {
    Options { deadline: Duration::from_secs(60), ..Options::new(endpoints) }
}

pub(crate) async fn connected() -> (Member, Peer, Session) {
    let member = Member::start().await;
    let (peer, session) = tokio::join!(member.accept(), Session::connect(options(vec![member.endpoint()])));
    (member, peer, session.unwrap())
}

/// Holder time in the test's hand.
pub(crate) struct Hand(AtomicU64);

impl Hand {
    pub(crate) fn pass(&self, length: Duration) {
        self.0.fetch_add(u64::try_from(length.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// A session whose time passes only when the test says so.
pub(crate) async fn connected_by_hand() -> (Arc<Hand>, Member, Peer, Session) {
    let (member, clock) = (Member::start().await, Arc::new(Hand(AtomicU64::new(0))));
    let options = Options { clock: Some(clock.clone()), ..options(vec![member.endpoint()]) };
    let (peer, session) = tokio::join!(member.accept(), Session::connect(options));
    (clock, member, peer, session.unwrap())
}

pub(crate) fn claim(name: &str) -> Claim {
    Claim { ttl: Duration::from_secs(30), ..Claim::new(name, "h") }
}
