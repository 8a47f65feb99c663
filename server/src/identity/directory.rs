//! The credentials, as the replicated settings have them: who comes with which token.
//!
//! ```text
//!   settings (every member's own) ── look, every 250 ms, and where a token is not known ──▶ Directory ◀── authenticate ── door
//! ```
//!
//! A door that let somebody in keeps their [`Principal`] and asks with each call whether it is [`Directory::current`]: a
//! number is compared, unless something has changed since. So a token that is revoked or expires is good no more, on the
//! connections that it opened too, within a quarter of a second of the member's hearing of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lease::{Credential, CredentialId};

use super::principal::application;
use super::{InvalidBearer, Principal, Secret, Source};

/// The credentials of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    audience: u128,
    /// Raised whenever somebody who was good is so no more, or is another.
    generation: AtomicU64,
    known: RwLock<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    credentials: Arc<BTreeMap<CredentialId, Credential>>,
    /// When it was looked at, in seconds since 1970.
    now: u64,
}

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
}

impl Directory {
    /// Of the cluster of that id; empty until the first [`Directory::look`].
    pub(crate) fn new(audience: u128) -> Directory {
        Directory { audience, ..Directory::default() }
    }

    /// Takes in what the settings have now. `now` is in seconds since 1970.
    pub(crate) fn look(&self, credentials: &Arc<BTreeMap<CredentialId, Credential>>, now: u64) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let same = Arc::ptr_eq(&known.credentials, credentials);
        let ended =
            |it: &Credential| it.expires.is_some_and(|at| (known.now..now).contains(&at.saturating_sub(1)));
        let changed = !same || credentials.values().any(ended);
        *known = Known { credentials: Arc::clone(credentials), now: known.now.max(now) };
        drop(known);
        if changed {
            self.generation.fetch_add(1, Ordering::Release);
        }
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
        let Source::Token(id) = principal.source else { return Ok(()) };
        let known = self.known();
        let credential = known.credentials.get(&id).ok_or(Unknown::NoSuch(id))?;
        self.check(id, credential, known.now)?;
        // A credential is never changed into another's; if it were, who came by it would have to come again.
        match self::principal(id, credential) == *principal {
            true => Ok(()),
            false => Err(Unknown::NoSuch(id)),
        }
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
            directory.look(&holding(id, it), now);
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
        directory.look(&settings, 10);
        let principal = directory.authenticate(&secret.reveal()).unwrap();
        let before = directory.generation();
        directory.look(&settings, 99);
        assert_eq!((directory.generation(), directory.current(&principal)), (before, Ok(())));
        directory.look(&settings, 100);
        assert!(directory.generation() > before, "its end is told");
        assert_eq!(directory.current(&principal), Err(Unknown::Expired(id)));
        let revoked = holding(id, Credential { revoked: true, expires: None, ..good });
        directory.look(&revoked, 101);
        assert_eq!(directory.current(&principal), Err(Unknown::Revoked(id)));
        directory.look(&Arc::default(), 102);
        assert_eq!(directory.current(&principal), Err(Unknown::NoSuch(id)));
        assert_eq!(directory.current(&Principal::anyone()), Ok(()));
    }
}
