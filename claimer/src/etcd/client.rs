//! One connection to one etcd: the calls that its own client library makes for a lease, over the gRPC that its users have.
//!
//! ```text
//!     claim    LeaseGrant ─▶ id;  Txn: where the key is absent, put it with that lease
//!     extend   LeaseKeepAlive on one stream, id by id
//!     wait     Watch from a revision on, until the key is deleted
//! ```

use futures_util::stream;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::wire::*;

/// Keys in one page.
const PAGE_KEYS: i64 = 10_000;

/// A connection.
#[derive(Clone)]
pub(crate) struct Client {
    grpc: Grpc<Channel>,
}

/// What became of a claim.
pub(crate) enum Claimed {
    /// It is ours, under this lease.
    Ours(i64),
    /// It was somebody's at this revision.
    Held(i64),
}

impl Client {
    /// Connects to `url`.
    ///
    /// # Errors
    /// In words, why there is no connection.
    pub(crate) async fn connect(url: &str) -> Result<Client, String> {
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|error| error.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|error| chain(&error))?;
        Ok(Client { grpc: Grpc::new(channel) })
    }

    /// Makes a lease of so many seconds, and with it the key where there is none. The lease of a key that is somebody's is given back.
    pub(crate) async fn claim(&mut self, key: &str, value: &str, ttl_s: i64) -> Result<Claimed, Status> {
        let grant = LeaseGrantRequest { ttl: ttl_s };
        let granted: LeaseGrantResponse = self.call("/etcdserverpb.Lease/LeaseGrant", grant).await?;
        if !granted.error.is_empty() {
            return Err(Status::unknown(granted.error));
        }
        let absent = Compare { target: 1, key: key.into(), create_revision: Some(0), ..Compare::default() };
        let put = PutRequest { key: key.into(), value: value.into(), lease: granted.id };
        let txn = TxnRequest { compare: vec![absent], success: vec![RequestOp { put: Some(put) }] };
        let answer: TxnResponse = self.call("/etcdserverpb.KV/Txn", txn).await?;
        if answer.succeeded {
            return Ok(Claimed::Ours(granted.id));
        }
        let revoke = LeaseRevokeRequest { id: granted.id };
        let _: LeaseRevokeResponse = self.call("/etcdserverpb.Lease/LeaseRevoke", revoke).await?;
        Ok(Claimed::Held(answer.header.map_or(0, |header| header.revision)))
    }

    /// Which lease holds the key, if any, and at which revision that was so.
    pub(crate) async fn holder_of(&mut self, key: &str) -> Result<(Option<i64>, i64), Status> {
        let range = RangeRequest { key: key.into(), ..RangeRequest::default() };
        let answer: RangeResponse = self.call("/etcdserverpb.KV/Range", range).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok((answer.kvs.first().map(|found| found.lease), revision))
    }

    /// All keys that start so, and each one's lease.
    pub(crate) async fn keys(&mut self, prefix: &str) -> Result<Vec<(String, i64)>, Status> {
        let mut found: Vec<(String, i64)> = Vec::new();
        let mut key: Vec<u8> = prefix.into();
        let mut range_end = key.clone();
        // The first text that does not start so any more: our prefixes end with a slash.
        if let Some(last) = range_end.last_mut() {
            *last += 1;
        }
        loop {
            let range = RangeRequest { key, range_end: range_end.clone(), limit: PAGE_KEYS };
            let page: RangeResponse = self.call("/etcdserverpb.KV/Range", range).await?;
            let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
            found.extend(page.kvs.iter().map(|found| (text(&found.key), found.lease)));
            match page.kvs.last() {
                Some(last) if page.more => {
                    key = last.key.clone();
                    key.push(0);
                }
                _ => return Ok(found),
            }
        }
    }

    /// Opens the stream on which leases are kept alive.
    pub(crate) async fn keep_alive(&mut self) -> Result<KeepAlive, Status> {
        let (ask, mut asked) = unbounded_channel();
        let asks = stream::poll_fn(move |cx| asked.poll_recv(cx));
        self.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        // The answer to the call itself comes with the first answer on its stream, so that something must be asked first: of a
        // lease that nobody has.
        let _ = ask.send(LeaseKeepAliveRequest { id: 0 });
        let answers = self.grpc.streaming(Request::new(asks), path, ProstCodec::default()).await?;
        let mut stream = KeepAlive { ask, answers: answers.into_inner() };
        stream.answers.message().await?;
        Ok(stream)
    }

    /// Waits until the key is deleted in a revision from this one on.
    pub(crate) async fn until_deleted(&mut self, key: &str, start_revision: i64) -> Result<(), Status> {
        let create = WatchCreateRequest { key: key.into(), start_revision };
        let (ask, mut asked) = unbounded_channel();
        let _ = ask.send(WatchRequest { create: Some(create) });
        let asks = stream::poll_fn(move |cx| asked.poll_recv(cx));
        self.ready().await?;
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let answers = self.grpc.streaming(Request::new(asks), path, ProstCodec::default()).await?;
        let mut answers: Streaming<WatchResponse> = answers.into_inner();
        while let Some(answer) = answers.message().await? {
            if answer.canceled {
                return Err(Status::aborted(answer.cancel_reason));
            }
            if answer.events.iter().any(|event| event.kind == 1) {
                return Ok(());
            }
        }
        Err(Status::aborted("the watch ended"))
    }

    async fn call<A, B>(&mut self, path: &'static str, ask: A) -> Result<B, Status>
    where
        A: Message + Send + Sync + 'static,
        B: Message + Default + Send + Sync + 'static,
    {
        self.ready().await?;
        let path = PathAndQuery::from_static(path);
        Ok(self.grpc.unary(Request::new(ask), path, ProstCodec::default()).await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))
    }
}

/// The stream on which leases are kept alive, one at a time.
pub(crate) struct KeepAlive {
    ask: UnboundedSender<LeaseKeepAliveRequest>,
    answers: Streaming<LeaseKeepAliveResponse>,
}

impl KeepAlive {
    /// Extends a lease to its ttl; says whether there is one.
    pub(crate) async fn extend(&mut self, id: i64) -> Result<bool, Status> {
        let gone = || Status::unavailable("the stream of keep-alives ended");
        self.ask.send(LeaseKeepAliveRequest { id }).map_err(|_| gone())?;
        let answer = self.answers.message().await?.ok_or_else(gone)?;
        match answer.id == id {
            true => Ok(answer.ttl > 0),
            false => Err(Status::internal(format!("lease {id} was asked for, and {} answered", answer.id))),
        }
    }
}

/// What tonic says of a failed connection is in its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
