//! The credentials, as the replicated settings have them: who comes with which token.
//!
//! ```text
//!   settings (every member's own) ── look, every 250 ms, and where a token is not known ──▶ Directory ◀── authenticate ── door
//! ```
//!
//! A door that let somebody in keeps their [`Principal`] and asks with each call whether it is [`Directory::current`]: a
//! number is compared, unless something has changed since. So a token that is revoked or expires is good no more, on the
//! connections that it opened too, within a quarter of a second of the member's hearing of it; and so is a certificate whose
//! end has passed. Whoever waits without a call is woken by [`Directory::changed`].
//!
//! Looks overlap, and an older one may come last. What it saw is of an older version of the settings, and is left alone: else a
//! token that was revoked would be good again until the next look.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lease::{Credential, CredentialId};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::principal::application;
use super::{InvalidBearer, Principal, Secret, Source};

/// The credentials of one cluster.
#[derive(Debug)]
pub(crate) struct Directory {
    audience: u128,
    /// Raised whenever somebody who was good is so no more, or is another.
    generation: AtomicU64,
    changed: Notify,
    known: RwLock<Known>,
    /// The first end of a certificate by which somebody was let in. Lowered under the lock for readers, and forgotten under the one for
    /// writers, so that none is lost: who is good yet is asked for theirs again, in the next generation.
    next_end: AtomicU64,
}

#[derive(Clone, Debug, Default)]
struct Known {
    credentials: Arc<BTreeMap<CredentialId, Credential>>,
    /// Of the settings that they were seen in.
    version: u64,
    /// When it was looked at, in seconds since 1970.
    now: u64,
}

/// No end is known.
const NEVER: u64 = u64::MAX;

/// Why somebody is not known. For the audit log alone: outwardly it is one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They showed nothing.
    Nothing,
    /// What they showed is no token.
    Malformed(InvalidBearer),
    /// There is no credential of that id.
    NoSuch(CredentialId),
    /// There is, and the secret is another.
    WrongSecret(CredentialId),
    /// It is another cluster's.
    WrongAudience(CredentialId),
    /// It was revoked.
    Revoked(CredentialId),
    /// Its time is over.
    Expired(CredentialId),
    /// It is good, and not for the name that they came under.
    AnotherTag(CredentialId),
    /// The certificate names nobody who may ask here.
    Nameless,
    /// The certificate's time is over.
    Over,
}

impl Directory {
    /// Of the cluster of that id; empty until the first [`Directory::look`].
    pub(crate) fn new(audience: u128) -> Directory {
        Directory {
            audience,
            generation: AtomicU64::new(0),
            changed: Notify::new(),
            known: RwLock::default(),
            next_end: AtomicU64::new(NEVER),
        }
    }

    /// Takes in what the settings of that version have. `now` is in seconds since 1970.
    pub(crate) fn look(&self, credentials: &Arc<BTreeMap<CredentialId, Credential>>, version: u64, now: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if version < known.version {
            return;
        }
        let same = Arc::ptr_eq(&known.credentials, credentials);
        let ended =
            |it: &Credential| it.expires.is_some_and(|at| (known.now..now).contains(&at.saturating_sub(1)));
        let is_over = now > self.next_end.load(Ordering::Acquire);
        let changed = !same || is_over || credentials.values().any(ended);
        if is_over {
            self.next_end.store(NEVER, Ordering::Release);
        }
        *known = Known { credentials: Arc::clone(credentials), version, now };
        drop(known);
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
            self.changed.notify_waiters();
        }
    }

    /// Once something has changed since this was called.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Of which state of the credentials an answer of now is.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Who comes with this token.
    ///
    /// # Errors
    /// Why nobody does.
    pub(crate) fn authenticate(&self, token: &str) -> Result<Arc<Principal>, Unknown> {
        let secret: Secret = token.parse().map_err(Unknown::Malformed)?;
        let known = self.known();
        let credential = known.credentials.get(&secret.id()).ok_or(Unknown::NoSuch(secret.id()))?;
        if !secret.is_of(&credential.hash) {
            return Err(Unknown::WrongSecret(secret.id()));
        }
        self.check(secret.id(), credential, known.now)?;
        Ok(Arc::new(principal(secret.id(), credential)))
    }

    /// Whether somebody who was let in is still who they were.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn current(&self, principal: &Principal) -> Result<(), Unknown> {
        let id = match principal.source {
            Source::Token(id) => id,
            Source::Certificate { until } => return self.certified(until),
            Source::Unasked => return Ok(()),
        };
        let known = self.known();
        let credential = known.credentials.get(&id).ok_or(Unknown::NoSuch(id))?;
        self.check(id, credential, known.now)?;
        // A credential is never changed into another's; if it were, who came by it would have to come again.
        match self::principal(id, credential) == *principal {
            true => Ok(()),
            false => Err(Unknown::NoSuch(id)),
        }
    }

    /// Whether a certificate that is good until then is so yet, as of the last look; if so, the look behind its end will tell.
    fn certified(&self, until: u64) -> Result<(), Unknown> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.now > until {
            return Err(Unknown::Over);
        }
        self.next_end.fetch_min(until, Ordering::AcqRel);
        Ok(())
    }

    fn check(&self, id: CredentialId, credential: &Credential, now: u64) -> Result<(), Unknown> {
        match credential {
            it if it.audience != self.audience => Err(Unknown::WrongAudience(id)),
            it if it.revoked => Err(Unknown::Revoked(id)),
            it if it.expires.is_some_and(|at| at <= now) => Err(Unknown::Expired(id)),
            _ => Ok(()),
        }
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn principal(id: CredentialId, credential: &Credential) -> Principal {
    let name = credential.principal.as_str();
    let lease = match (credential.role, &credential.lease) {
        (lease::Role::Unit, None) => Some(application(name).into()),
        (_, own) => own.as_ref().map(|own| own.as_str().into()),
    };
    Principal {
        name: name.into(),
        role: credential.role,
        namespace: credential.namespace.as_ref().map(|namespace| namespace.as_str().into()),
        lease,
        claims_per_second: credential.claims_per_second,
        source: Source::Token(id),
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unknown::Nothing => f.write_str("neither a token nor a certificate"),
            Unknown::Malformed(why) => write!(f, "{why}"),
            Unknown::NoSuch(id) => write!(f, "there is no token {id}"),
            Unknown::WrongSecret(id) => write!(f, "the secret is not that of token {id}"),
            Unknown::WrongAudience(id) => write!(f, "token {id} is another cluster's"),
            Unknown::Revoked(id) => write!(f, "token {id} was revoked"),
            Unknown::Expired(id) => write!(f, "token {id} has expired"),
            Unknown::AnotherTag(id) => write!(f, "token {id} is not for the tag that it came with"),
            Unknown::Nameless => f.write_str("the certificate names nobody who may ask here"),
            Unknown::Over => f.write_str("the certificate's time is over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use lease::{Holder, Namespace, Role, SecretHash};

    use super::*;

    const CLUSTER: u128 = 7;

    fn credential(hash: SecretHash) -> Credential {
        Credential {
            hash,
            principal: Holder::parse("mysql/0").unwrap(),
            role: Role::Unit,
            namespace: Some(Namespace::parse("prod").unwrap()),
            lease: None,
            audience: CLUSTER,
            expires: None,
            revoked: false,
            claims_per_second: None,
        }
    }

    fn holding(id: CredentialId, credential: Credential) -> Arc<BTreeMap<CredentialId, Credential>> {
        Arc::new(BTreeMap::from([(id, credential)]))
    }

    #[test]
    fn a_token_gives_its_principal_and_each_way_of_being_wrong_its_cause() {
        let (secret, directory) = (Secret::draw(), Directory::new(CLUSTER));
        let (id, good) = (secret.id(), credential(secret.hash()));
        let with = |it: Credential, now| {
            directory.look(&holding(id, it), 0, now);
            directory.authenticate(&secret.reveal())
        };
        let expected = Principal::unit("mysql/0", "prod", Source::Token(id));
        assert_eq!(with(good.clone(), 10).as_deref(), Ok(&expected));
        assert_eq!(with(Credential { revoked: true, ..good.clone() }, 10), Err(Unknown::Revoked(id)));
        assert_eq!(with(Credential { audience: 8, ..good.clone() }, 10), Err(Unknown::WrongAudience(id)));
        assert_eq!(with(Credential { expires: Some(10), ..good.clone() }, 10), Err(Unknown::Expired(id)));
        assert!(with(Credential { expires: Some(11), ..good.clone() }, 10).is_ok());
        let other = Credential { hash: Secret::draw().hash(), ..good };
        assert_eq!(with(other, 10), Err(Unknown::WrongSecret(id)));
        let stranger = Secret::draw();
        assert_eq!(directory.authenticate(&stranger.reveal()), Err(Unknown::NoSuch(stranger.id())));
        assert_eq!(directory.authenticate("x"), Err(Unknown::Malformed(InvalidBearer::Start)));
    }

    #[test]
    fn who_was_let_in_is_asked_again_when_something_changes() {
        let (secret, directory) = (Secret::draw(), Directory::new(CLUSTER));
        let (id, good) = (secret.id(), Credential { expires: Some(100), ..credential(secret.hash()) });
        let settings = holding(id, good.clone());
        directory.look(&settings, 0, 10);
        let principal = directory.authenticate(&secret.reveal()).unwrap();
        let before = directory.generation();
        directory.look(&settings, 0, 99);
        assert_eq!((directory.generation(), directory.current(&principal)), (before, Ok(())));
        directory.look(&settings, 0, 100);
        assert!(directory.generation() > before, "its end is told");
        assert_eq!(directory.current(&principal), Err(Unknown::Expired(id)));
        let revoked = holding(id, Credential { revoked: true, expires: None, ..good });
        directory.look(&revoked, 0, 101);
        assert_eq!(directory.current(&principal), Err(Unknown::Revoked(id)));
        directory.look(&Arc::default(), 0, 102);
        assert_eq!(directory.current(&principal), Err(Unknown::NoSuch(id)));
        assert_eq!(directory.current(&Principal::anyone()), Ok(()));
    }

    #[test]
    fn a_look_that_comes_late_does_not_make_a_revoked_token_good_again() {
        let (secret, directory) = (Secret::draw(), Directory::new(CLUSTER));
        let (id, good) = (secret.id(), credential(secret.hash()));
        let before = holding(id, good.clone());
        directory.look(&holding(id, Credential { revoked: true, ..good }), 8, 10);
        directory.look(&before, 7, 11);
        assert_eq!(directory.authenticate(&secret.reveal()), Err(Unknown::Revoked(id)));
    }

    #[test]
    fn a_wall_clock_that_was_ahead_for_a_while_locks_nobody_out_for_longer() {
        let (secret, directory) = (Secret::draw(), Directory::new(CLUSTER));
        let good = Credential { expires: Some(100), ..credential(secret.hash()) };
        let settings = holding(secret.id(), good);
        let certified = Principal::unit("mysql/0", "prod", Source::Certificate { until: 99 });
        for (now, is_good) in [(10, true), (1_000, false), (11, true)] {
            directory.look(&settings, 0, now);
            assert_eq!(directory.authenticate(&secret.reveal()).is_ok(), is_good, "at {now}");
            assert_eq!(directory.current(&certified).is_ok(), is_good, "at {now}");
        }
    }

    #[test]
    fn who_came_by_a_certificate_is_asked_again_when_its_end_has_passed_and_not_before() {
        let directory = Directory::new(CLUSTER);
        let certified = |until| Principal::unit("mysql/0", "prod", Source::Certificate { until });
        let (short, long) = (certified(20), certified(30));
        directory.look(&Arc::default(), 0, 10);
        assert_eq!([&short, &long].map(|who| directory.current(who)), [Ok(()), Ok(())]);
        // The set of credentials is another each time: what is counted is whether somebody is to be asked again.
        let none = Arc::default();
        directory.look(&none, 0, 10);
        let mut generation = directory.generation();
        let mut told = |now| {
            directory.look(&none, 0, now);
            std::mem::replace(&mut generation, directory.generation()) != directory.generation()
        };
        assert!(!told(20), "in its last second it is good");
        assert!(told(21));
        assert_eq!((directory.current(&short), directory.current(&long)), (Err(Unknown::Over), Ok(())));
        assert!(!told(22) && !told(30));
        assert!(told(31), "the later one is not forgotten with the first");
        assert_eq!(directory.current(&long), Err(Unknown::Over));
        assert!(!told(32), "nobody is left to be told");
    }
}
