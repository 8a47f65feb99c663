//! One connection, as its calls see it: where it leads, who logged in, and the bell by which it is told to go.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::Hall;
use super::errors::Error;
use super::secretary::{Space, Uuids};
use super::tags::Tag;
use crate::doors::Doors;
use crate::doors::session::{Going, Place, Told};
use crate::identity::{Caller, Principal};
use crate::service::Service;

/// What a connection's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// The controller alone.
    Controller,
    /// A model, by its UUID. There is no list of them: a model is there as soon as somebody may log in to it.
    Model(String),
    /// Something that is no UUID, as it may be shown.
    Unknown(String),
}

/// A connection, shared by its task and its calls in flight.
pub(super) struct Line {
    pub(super) service: Arc<Service>,
    pub(super) hall: Arc<Hall>,
    pub(super) home: Home,
    /// The controller's UUID, which is the cluster's id.
    pub(super) controller: String,
    /// How the client calls this member: host and port.
    pub(super) host: Option<String>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) bell: Arc<Bell>,
    sessions: Arc<crate::doors::Registry>,
    standing: Mutex<Standing>,
}

struct Standing {
    login: Login,
    /// When the client was last known to live: it came, it tried to log in, it pinged.
    pinged: Instant,
    /// Replaced at the login, so that the registry knows who is to go when their token is revoked.
    _place: Place,
}

enum Login {
    None,
    UnderWay,
    Done(Arc<Known>),
}

/// Who logged in.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) tag: Tag,
    pub(super) caller: Arc<Caller>,
}

impl Line {
    pub(super) fn new(
        doors: &Doors,
        hall: &Arc<Hall>,
        home: Home,
        host: Option<String>,
        peer: Option<SocketAddr>,
    ) -> Arc<Line> {
        let bell = Arc::new(Bell::default());
        // Nobody's: it can do nothing before it logs in.
        let stranger = Arc::new(Caller::new(Principal::anyone(), peer));
        let place = doors.sessions.join(Arc::clone(&bell) as Arc<dyn Told>, &stranger);
        let (cluster, _) = doors.service.identity();
        Arc::new(Line {
            service: Arc::clone(&doors.service),
            hall: Arc::clone(hall),
            home,
            controller: api::juju_uuid(cluster),
            host,
            peer,
            bell,
            sessions: Arc::clone(&doors.sessions),
            standing: Mutex::new(Standing { login: Login::None, pinged: Instant::now(), _place: place }),
        })
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who logged in, where anybody has.
    pub(super) fn known(&self) -> Option<Arc<Known>> {
        match &self.standing().login {
            Login::Done(known) => Some(Arc::clone(known)),
            Login::None | Login::UnderWay => None,
        }
    }

    /// Begins a login, unless there is one.
    pub(super) fn begin_login(&self) -> Result<(), Error> {
        let mut standing = self.standing();
        match standing.login {
            Login::None => {
                standing.login = Login::UnderWay;
                Ok(())
            }
            Login::UnderWay | Login::Done(_) => Err(Error::plain("already logged in")),
        }
    }

    /// Ends the login that was begun: with who it is, or so that the client may try again.
    pub(super) fn end_login(&self, known: Option<Known>) {
        let mut standing = self.standing();
        standing.login = match known {
            Some(known) => {
                standing.pinged = Instant::now();
                standing._place = self.sessions.join(Arc::clone(&self.bell) as Arc<dyn Told>, &known.caller);
                // Asked again now that it would be told: between the login's look and this, nobody would have.
                if !self.service.doorkeeper.knows(&known.caller) {
                    self.bell.go(&Going::NoMore);
                }
                Login::Done(Arc::new(known))
            }
            None => Login::None,
        };
    }

    /// The client lives.
    pub(super) fn ping(&self) {
        self.standing().pinged = Instant::now();
    }

    /// When the client counts as gone, where it says nothing more; never for a user.
    pub(super) fn gone_at(&self) -> Option<Instant> {
        let standing = self.standing();
        match &standing.login {
            Login::Done(known) if matches!(known.tag, Tag::User(_)) => None,
            _ => Some(standing.pinged + self.hall.ping_timeout),
        }
    }

    /// The model that the connection leads to.
    pub(super) fn model(&self) -> Option<&str> {
        match &self.home {
            Home::Model(uuid) => Some(uuid),
            Home::Controller | Home::Unknown(_) => None,
        }
    }

    /// The names that a singular lease may have here.
    pub(super) fn uuids(&self) -> Uuids<'_> {
        Uuids { controller: &self.controller, model: self.model().unwrap_or_default() }
    }

    /// Our namespace of one of Juju's; none where the connection leads to no model.
    pub(super) fn namespace(&self, space: Space) -> Option<String> {
        self.model().map(|uuid| space.of_model(uuid))
    }
}

/// How a connection is told to go: its task is woken, and its calls that wait end.
#[derive(Default)]
pub(super) struct Bell {
    rung: AtomicBool,
    pub(super) task: AtomicWaker,
    calls: Notify,
}

impl Bell {
    pub(super) fn is_rung(&self) -> bool {
        self.rung.load(Ordering::Acquire)
    }

    /// Once it is rung.
    pub(super) async fn rings(&self) {
        // Asked for before the look, so that a ring in between is not missed.
        let rings = self.calls.notified();
        if !self.is_rung() {
            rings.await;
        }
    }
}

impl Told for Bell {
    fn go(&self, going: &Going) {
        // Juju has no word for "you may go": who only should stays.
        if matches!(going, Going::Must(_) | Going::NoMore) {
            self.rung.store(true, Ordering::Release);
            self.calls.notify_waiters();
            self.task.wake();
        }
    }
}
