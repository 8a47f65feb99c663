//! From a request to the call that answers it: which facades there are, which version of each, and who may call what.
//!
//! ```text
//!  no such model ─▶ every call is told so
//!  nobody logged in ─▶ Admin alone
//!  somebody did ─▶ facade, version, method? ─▶ here, or in models alone? ─▶ for whom? ─▶ its params ─▶ under way
//! ```

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};

use super::codec::Request;
use super::errors::{Answer, Error, NOT_IMPLEMENTED};
use super::leases::Held;
use super::line::{Home, Known, Line};
use super::secretary::Space;
use super::tags::Tag;
use super::{leadership, login, pins, singular};
use crate::identity::{Scope, Verb};
use crate::service::Echo;

/// A call that is under way.
pub(super) type Call = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What a request comes to.
pub(super) enum Begun {
    /// It is answered.
    Now(Answer),
    /// It will be.
    Later(Call),
}

/// A facade of those who logged in.
struct Facade {
    name: &'static str,
    version: u64,
    methods: &'static [Method],
    /// Whether it is there on a controller's connection too.
    everywhere: bool,
}

struct Method {
    name: &'static str,
    serves: fn(&Tag) -> bool,
    /// What it changes, and where; none where it only reads.
    changes: Option<(Verb, Space)>,
    begin: fn(Held, &mut Request) -> Result<Begun, Error>,
}

static FACADES: [Facade; 5] = [
    Facade { name: "LeadershipPinning", version: 1, methods: PINS, everywhere: false },
    Facade { name: "LeadershipService", version: 2, methods: LEADERSHIP, everywhere: false },
    Facade { name: "Pinger", version: 1, methods: PINGER, everywhere: true },
    Facade { name: "Singular", version: 2, methods: SINGULAR, everywhere: false },
    Facade { name: "UpgradeSeries", version: 1, methods: PINS, everywhere: false },
];

const LEADERSHIP: &[Method] = &[
    Method {
        name: "ClaimLeadership",
        serves: is_app_or_unit,
        changes: Some((Verb::Claim, Space::Leadership)),
        begin: |held, request| Ok(later(leadership::claim(held, request.params()?))),
    },
    Method {
        name: "BlockUntilLeadershipReleased",
        serves: is_app_or_unit,
        changes: None,
        begin: |held, request| Ok(later(leadership::block_until_released(held, request.params()?))),
    },
];

const SINGULAR: &[Method] = &[
    Method {
        name: "Claim",
        serves: is_machine,
        changes: Some((Verb::Claim, Space::Singular)),
        begin: |held, request| Ok(later(singular::claim(held, request.params()?))),
    },
    Method {
        name: "Wait",
        serves: is_machine,
        changes: None,
        begin: |held, request| Ok(later(singular::wait(held, request.params()?))),
    },
];

/// Each by the name that 2.5 gave it and by that of 2.9.
const PINS: &[Method] = &[
    Method { name: "PinMachineApplications", serves: is_machine, changes: PIN, begin: pin },
    Method { name: "PinApplicationLeaders", serves: is_machine, changes: PIN, begin: pin },
    Method { name: "UnpinMachineApplications", serves: is_machine, changes: UNPIN, begin: unpin },
    Method { name: "UnpinApplicationLeaders", serves: is_machine, changes: UNPIN, begin: unpin },
    Method {
        name: "PinnedLeadership",
        serves: |tag| is_machine(tag) || matches!(tag, Tag::User(_)),
        changes: None,
        begin: |held, _| Ok(later(pins::pinned(held))),
    },
];

/// A client cannot opt out of being looked after: both say that it lives.
const PINGER: &[Method] = &[
    Method { name: "Ping", serves: |_| true, changes: None, begin: ping },
    Method { name: "Stop", serves: |_| true, changes: None, begin: ping },
];

const PIN: Option<(Verb, Space)> = Some((Verb::Pin, Space::Leadership));
const UNPIN: Option<(Verb, Space)> = Some((Verb::Unpin, Space::Leadership));

fn is_app_or_unit(tag: &Tag) -> bool {
    matches!(tag, Tag::Application(_) | Tag::Unit(_))
}

fn is_machine(tag: &Tag) -> bool {
    matches!(tag, Tag::Machine(_))
}

fn pin(held: Held, request: &mut Request) -> Result<Begun, Error> {
    Ok(later(pins::pin(held, request.params()?)))
}

fn unpin(held: Held, request: &mut Request) -> Result<Begun, Error> {
    Ok(later(pins::unpin(held, request.params()?)))
}

fn ping((line, _): Held, _: &mut Request) -> Result<Begun, Error> {
    line.ping();
    Ok(Begun::Now(Ok(json!({}))))
}

fn later(call: impl Future<Output = Answer> + Send + 'static) -> Begun {
    Begun::Later(Box::pin(call))
}

/// The facades that a login on this connection is told of.
pub(super) fn offered(home: &Home) -> Value {
    let here = FACADES.iter().filter(|facade| facade.everywhere || matches!(home, Home::Model(_)));
    here.map(|facade| json!({"name": facade.name, "versions": [facade.version]})).collect()
}

/// Begins what a request asks for.
pub(super) fn begin(line: &Arc<Line>, request: &mut Request) -> Begun {
    let begun = match (&line.home, line.known()) {
        (Home::Unknown(uuid), _) => Err(no_model(uuid)),
        (_, None) => begin_admin(line, request),
        (_, Some(known)) => begin_known(line, known, request),
    };
    begun.unwrap_or_else(|error| Begun::Now(Err(error)))
}

fn begin_admin(line: &Arc<Line>, request: &mut Request) -> Result<Begun, Error> {
    match (request.facade.as_str(), request.version, request.method.as_str()) {
        ("Admin", 3, "Login") => {
            let asks = request.params()?;
            line.begin_login()?;
            Ok(later(login::login(Arc::clone(line), asks)))
        }
        ("Admin", 3, "RedirectInfo") => Err(Error::plain("not redirected")),
        ("Admin", 3, _) => Err(no_method(request)),
        _ => Err(no_facade(request)),
    }
}

/// Writes down that the connection had no room for a call, where a change is what it asks for: one line, however many it names.
pub(super) fn not_begun(line: &Line, request: &Request) {
    let method = facade_of(request).and_then(|facade| method_of(facade, request));
    let Some(((verb, space), known)) = method.and_then(|method| method.changes).zip(line.known()) else {
        return;
    };
    let namespace = line.namespace(space);
    line.service.doorkeeper.crowded_out(&known.caller, verb, Scope::Namespace(namespace.as_deref()));
}

fn facade_of(request: &Request) -> Option<&'static Facade> {
    FACADES.iter().find(|facade| facade.name == request.facade && facade.version == request.version)
}

fn method_of(facade: &'static Facade, request: &Request) -> Option<&'static Method> {
    facade.methods.iter().find(|method| method.name == request.method)
}

fn begin_known(line: &Arc<Line>, known: Arc<Known>, request: &mut Request) -> Result<Begun, Error> {
    let facade = facade_of(request).ok_or_else(|| no_facade(request))?;
    if !facade.everywhere && line.home == Home::Controller {
        let message = format!("facade {} not supported for controller API connection", Echo(facade.name));
        return Err(Error::new(message, "not supported"));
    }
    let method = method_of(facade, request).ok_or_else(|| no_method(request))?;
    match (method.serves)(&known.tag) {
        true => (method.begin)((Arc::clone(line), known), request),
        false => Err(Error::permission_denied()),
    }
}

fn no_model(uuid: &str) -> Error {
    Error::new(format!("unknown model: {uuid}"), "model not found")
}

fn no_facade(request: &Request) -> Error {
    let facade = Echo(&request.facade);
    let message = match request.version {
        0 => format!("unknown object type {facade}"),
        version => format!("unknown version ({version}) of interface {facade}"),
    };
    Error::new(message, NOT_IMPLEMENTED)
}

fn no_method(request: &Request) -> Error {
    let (facade, method) = (lease::Shown(&request.facade), lease::Shown(&request.method));
    let message =
        format!("no such request - method {facade}({}).{method} is not implemented", request.version);
    Error::new(message, NOT_IMPLEMENTED)
}
