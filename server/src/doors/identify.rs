//! Who asks, at each request: by a bearer token, or by the certificate that the connection came with, or because nobody is asked.
//!
//! ```text
//! Authorization: Bearer … ──good──▶ Caller        one that is there decides: a bad token is not made good by a certificate
//!          none ─▶ certificate ───▶ Caller
//!                   none ─▶ 401, except for the few paths that tell nothing of leases
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Code, Problem};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::oneshot;

use super::Doors;
use super::reply::problem;
use crate::identity::{Caller, Principal, Source, Unknown};
use crate::service::{Service, unauthenticated};
use crate::tls::{Name, Role};

/// Paths that anyone may ask for: whether the process lives, and how to ask.
const FOR_ANYONE: [&str; 2] = ["/healthz", "/v1/openapi.json"];
const SCHEME: &str = "bearer ";
/// How long whoever comes with a token that is not known waits for the first of all to be set up: less than a client's patience with
/// one endpoint. And how often it is looked.
const FIRST_TOKEN_WITHIN: Duration = Duration::from_millis(1_500);
const FIRST_TOKEN_LOOK: Duration = Duration::from_millis(20);

/// How a request's connection came.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// From where.
    pub(crate) peer: SocketAddr,
    /// Whose certificate it presented, where it did.
    pub(crate) name: Option<Arc<Presented>>,
}

/// Whose a certificate is; none where it names nobody.
pub(crate) type Presented = Option<Name>;

/// Who asks, and whom.
pub(super) struct Asking {
    pub(super) service: Arc<Service>,
    pub(super) caller: Arc<Caller>,
}

impl FromRequestParts<Doors> for Asking {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, doors: &Doors) -> Result<Asking, Response> {
        let caller = parts.extensions.get::<Arc<Caller>>().cloned();
        let caller = caller.ok_or_else(|| problem(unauthenticated()))?;
        Ok(Asking { service: Arc::clone(&doors.service), caller })
    }
}

/// Finds out who asks, and lets nobody on who is not known.
pub(super) async fn identify(State(doors): State<Doors>, mut request: Request, next: Next) -> Response {
    let arrived = request.extensions().get::<Arrived>().cloned();
    let peer = arrived.as_ref().map(|arrived| arrived.peer);
    let name = arrived.and_then(|arrived| arrived.name);
    match known(&doors.service, request.headers(), name.as_deref()).await {
        Ok(principal) => {
            request.extensions_mut().insert(Arc::new(Caller::new(principal, peer)));
        }
        Err(_) if FOR_ANYONE.contains(&request.uri().path()) => {}
        Err(Stranger::Unknown(why)) => {
            doors.service.doorkeeper.turned_away(peer, why);
            return refused();
        }
        Err(Stranger::NotYet) => {
            let message = "this member cannot tell yet who may come: it has no leader, or the first token is being set up; try again";
            return problem(Problem::new(Code::NoLeader, message).retry_after_ms(500));
        }
    }
    next.run(request).await
}

/// Why somebody was not let in.
pub(super) enum Stranger {
    /// They are not known.
    Unknown(Unknown),
    /// It cannot be told yet.
    NotYet,
}

async fn known(
    service: &Service,
    headers: &HeaderMap,
    name: Option<&Presented>,
) -> Result<Arc<Principal>, Stranger> {
    if service.doorkeeper.is_open() {
        return Ok(Principal::anyone());
    }
    match (bearer(headers), name) {
        (Some(token), _) => by_token(service, &token).await,
        (None, Some(Some(name))) => by_name(service, name).map_err(Stranger::Unknown),
        (None, Some(None)) => Err(Stranger::Unknown(Unknown::Nameless)),
        (None, None) => Err(Stranger::Unknown(Unknown::Nothing)),
    }
}

/// A token that was made a moment ago may not have come here: what a barrier brings decides. Nor may the first of all, which a new
/// cluster sets up within a moment of its first leader.
pub(super) async fn by_token(service: &Service, token: &str) -> Result<Arc<Principal>, Stranger> {
    let until = Instant::now() + FIRST_TOKEN_WITHIN;
    loop {
        match service.authenticate(token) {
            Err(Unknown::NoSuch(_)) => {}
            known => return known.map_err(Stranger::Unknown),
        }
        // Asked before the barrier: what is set up by now is seen behind it.
        let waits = service.waits_for_first_token();
        let (sender, passed) = oneshot::channel();
        service.barrier(move |passed| _ = sender.send(passed.is_ok()));
        let passed = matches!(passed.await, Ok(true));
        match () {
            () if passed && !waits => return service.authenticate(token).map_err(Stranger::Unknown),
            () if Instant::now() > until || !waits => return Err(Stranger::NotYet),
            () => tokio::time::sleep(FIRST_TOKEN_LOOK).await,
        }
    }
}

/// The principal that a certificate's name stands for.
fn by_name(service: &Service, name: &Name) -> Result<Arc<Principal>, Unknown> {
    let (cluster, _) = service.identity();
    match &name.role {
        _ if name.cluster != cluster => Err(Unknown::Nameless),
        Role::Operator(who) => Ok(Arc::new(Principal::certified(lease::Role::Operator, None, who))),
        Role::Client { role: lease::Role::Unit, namespace: Some(namespace), who } => {
            Ok(Arc::new(Principal::unit(who, namespace, Source::Certificate)))
        }
        Role::Client { role, namespace, who } => {
            Ok(Arc::new(Principal::certified(*role, namespace.as_deref(), who)))
        }
        Role::Member(_) | Role::ClientCa | Role::PeerCa => Err(Unknown::Nameless),
    }
}

/// The token that a request shows; an `Authorization` of another kind is none that is good.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?;
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let is_bearer = text.get(..SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME));
    Some(if is_bearer { text[SCHEME.len()..].to_owned() } else { String::new() })
}

fn refused() -> Response {
    let mut response = problem(unauthenticated());
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tenure\""));
    response
}
