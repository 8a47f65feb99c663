//! Who somebody is, however they showed it.

use std::fmt;
use std::sync::Arc;

use lease::{CredentialId, Role};

/// Whom a listener that asks nobody takes everyone for.
const ANYONE: &str = "anyone";

/// Somebody who may ask: by a token, by a certificate, or because nobody is asked who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The name that stands in the audit log; a unit's is the holder that it may be, and an app-admin's the application whose units it
    /// may act for.
    pub(crate) name: Arc<str>,
    /// What they are.
    pub(crate) role: Role,
    /// Where; none is everywhere.
    pub(crate) namespace: Option<Arc<str>>,
    /// A unit's lease, and those under it; none of all others.
    pub(crate) lease: Option<Arc<str>>,
    /// Claims a second that this member takes from them; none is any number.
    pub(crate) claims_per_second: Option<u32>,
    /// How they showed it.
    pub(crate) source: Source,
}

/// How a principal is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// By a token, whose credential may end at any time.
    Token(CredentialId),
    /// By a certificate: the other side of the TLS connection has its key.
    Certificate {
        /// The last second in which it is good, since 1970.
        until: u64,
    },
    /// Nobody is asked.
    Unasked,
}

impl Principal {
    /// A unit of this name: it may be this holder, and claim its application's lease and those under that.
    pub(crate) fn unit(holder: &str, namespace: &str, source: Source) -> Principal {
        Principal {
            name: holder.into(),
            role: Role::Unit,
            namespace: Some(namespace.into()),
            lease: Some(application(holder).into()),
            claims_per_second: None,
            source,
        }
    }

    /// Somebody whom a certificate names that is good until then.
    pub(crate) fn certified(role: Role, namespace: Option<&str>, who: &str, until: u64) -> Principal {
        let lease = (role == Role::Unit).then(|| application(who).into());
        let namespace = namespace.map(Into::into);
        Principal {
            name: who.into(),
            role,
            namespace,
            lease,
            claims_per_second: None,
            source: Source::Certificate { until },
        }
    }

    /// Whoever comes where nobody is asked who they are: they may do anything.
    pub(crate) fn anyone() -> Arc<Principal> {
        Arc::new(Principal {
            name: ANYONE.into(),
            role: Role::Operator,
            namespace: None,
            lease: None,
            claims_per_second: None,
            source: Source::Unasked,
        })
    }

    /// Whether there are leases that they may not see. Who sees them all may be told of any.
    pub(crate) fn is_narrow(&self) -> bool {
        self.namespace.is_some()
    }

    /// The namespace that a read is of which names none: the principal's own, where it has one.
    pub(crate) fn narrowed(&self, asked: Option<String>) -> Option<String> {
        asked.or_else(|| self.namespace.as_deref().map(str::to_owned))
    }
}

/// What a unit belongs to: `mysql` of `mysql/0`.
pub(super) fn application(holder: &str) -> &str {
    holder.rsplit_once('/').map_or(holder, |(application, _)| application)
}

/// Whether a holder is a unit of the application: `mysql/0` of `mysql`.
pub(super) fn is_unit_of(application: &str, holder: &str) -> bool {
    let number = holder.strip_prefix(application).and_then(|rest| rest.strip_prefix('/'));
    number.is_some_and(is_number)
}

/// Whether it is the number of a unit, or of a machine: digits, the first of them not 0 where there are more.
pub(crate) fn is_number(text: &str) -> bool {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits && (text == "0" || !text.starts_with('0'))
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, lease::Quoted(&self.name))?;
        match &self.namespace {
            Some(namespace) => write!(f, " of namespace {}", lease::Quoted(namespace)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Token(id) => write!(f, "token {id}"),
            Source::Certificate { .. } => f.write_str("certificate"),
            Source::Unasked => f.write_str("unasked"),
        }
    }
}
