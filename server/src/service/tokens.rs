//! The tokens: shown, and changed.
//!
//! The secret is never here: whoever makes a token draws it, and sends its hash.

use std::sync::Arc;

use api::{Call, ChangeNamespaces, ChangeTokens, Code, Problem, TokenChange, TokenView, Tokens};
use lease::{CREDENTIALS_SINCE, Change, Credential, CredentialId, Holder, Role, SecretHash, Settings, Ttl};

use super::settings::{Changing, Sink, show};
use super::{Done, Echo, Service, parse};
use crate::identity::{Leave, Note};
use crate::tls::wall_seconds;

/// So much later at most the same ask comes again whose answer was lost: its deadline, a few times.
const ASKED_AGAIN_WITHIN_SECONDS: u64 = 300;

fn shown(settings: &Settings) -> Done {
    Done::Tokens(Arc::clone(&settings.credentials))
}

/// What is to be changed, understood.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// This credential is there.
    Put(CredentialId, Box<Credential>),
    /// It is good no more.
    Revoked(CredentialId),
    /// It is not there.
    Gone(CredentialId),
    /// The one that `tenure init` has made is there, unless it is already.
    First(CredentialId, Box<Credential>),
}

impl Service {
    pub(super) fn tokens(&self, asked: ChangeTokens, sink: impl FnOnce(Done) + Send + 'static) {
        let deadline = match parse::deadline(asked.deadline_ms) {
            Ok(deadline) => deadline,
            Err(problem) => return sink(Done::refused(problem)),
        };
        match asked.change.map(|change| wanted(change, self.cluster)).transpose() {
            Ok(None) => show(&self.backend, shown, deadline, Box::new(sink)),
            Ok(Some(wanted)) => self.change_tokens(wanted, deadline, Box::new(sink)),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    /// Makes a change of the credentials, and shows them after it.
    pub(crate) fn change_tokens(&self, wanted: Wanted, deadline: Ttl, sink: Sink) {
        Changing {
            backend: Arc::clone(&self.backend),
            changes: Box::new(move |settings| wanted.changes(&settings.credentials)),
            since: CREDENTIALS_SINCE,
            shown,
            deadline,
            sink,
        }
        .begin();
    }
}

type Credentials = std::collections::BTreeMap<CredentialId, Credential>;

impl Wanted {
    /// The changes that it takes; none where it is so already.
    fn changes(&self, present: &Credentials) -> Result<Option<Vec<Change>>, Problem> {
        let missing = |id| {
            Problem::new(Code::NotFound, format!("there is no token {id}: `tenure token list` shows them"))
        };
        let change = match self {
            Wanted::Put(id, credential) => match present.get(id) {
                // Asked again, after an answer was lost.
                Some(there) => match difference(there, credential) {
                    None => return Ok(None),
                    Some(what) => return Err(conflict(*id, what)),
                },
                None => Change::Credential(*id, Some((**credential).clone())),
            },
            Wanted::Revoked(id) => match present.get(id).ok_or_else(|| missing(id))? {
                there if there.revoked => return Ok(None),
                there => Change::Credential(*id, Some(Credential { revoked: true, ..there.clone() })),
            },
            Wanted::Gone(id) => {
                let audience = present.get(id).ok_or_else(|| missing(id))?.audience;
                // With none left, the first token of a member's configuration would be set up again, a revoked one too.
                if present.values().filter(|it| it.audience == audience).count() == 1 {
                    let message = format!(
                        "{id} is the cluster's last token, and is kept, so that the first one does not come back: revoke it, or create \
                         another before"
                    );
                    return Err(Problem::new(Code::BadRequest, message).in_field("id"));
                }
                Change::Credential(*id, None)
            }
            // One that is there was made before, and may have been revoked; and where others are, an operator has seen to it.
            Wanted::First(id, credential) => {
                let ours = |it: &Credential| it.audience == credential.audience;
                if present.contains_key(id) || present.values().any(ours) {
                    return Ok(None);
                }
                Change::Credential(*id, Some((**credential).clone()))
            }
        };
        Ok(Some(vec![change]))
    }
}

/// In what a credential that is there is another than the one that is asked for; none where the ask was made before. Its end counts from
/// when it is asked for, and so is later of one that is asked for again.
fn difference(there: &Credential, asked: &Credential) -> Option<&'static str> {
    let same_end = match (there.expires, asked.expires) {
        (Some(there), Some(asked)) => there.abs_diff(asked) <= ASKED_AGAIN_WITHIN_SECONDS,
        (there, asked) => there == asked,
    };
    [
        (there.hash == asked.hash, "another secret"),
        (!there.revoked, "no secret that is good any more, for it was revoked"),
        (there.role == asked.role, "another role"),
        (there.principal == asked.principal, "another principal"),
        (there.namespace == asked.namespace, "another namespace"),
        (there.lease == asked.lease, "another lease"),
        (there.claims_per_second == asked.claims_per_second, "another claims_per_second"),
        (same_end, "another end"),
    ]
    .into_iter()
    .find_map(|(is_same, what)| (!is_same).then_some(what))
}

fn conflict(id: CredentialId, what: &str) -> Problem {
    let message = format!(
        "there is a token {id} already, with {what}: nothing was changed; draw another, or forget that one first"
    );
    Problem::new(Code::Conflict, message).in_field("id")
}

fn wanted(change: TokenChange, audience: u128) -> Result<Wanted, Problem> {
    Ok(match change {
        TokenChange::Create(create) => {
            let id = id(&create.id)?;
            let role = Role::parse(&create.role).ok_or_else(|| {
                let roles = Role::ALL.map(Role::as_str).join(", ");
                let message = format!("there is no role {}: give one of {roles}", Echo(&create.role));
                Problem::new(Code::BadRequest, message).in_field("role")
            })?;
            let now = u64::try_from(wall_seconds()).unwrap_or_default();
            let credential = Credential {
                hash: hash(&create.hash)?,
                principal: Holder::parse(&create.principal)
                    .map_err(|why| parse::bad_holder("principal", &create.principal, &why))?,
                role,
                namespace: create.namespace.as_deref().map(parse::namespace).transpose()?,
                lease: create.lease.as_deref().map(parse::name).transpose()?,
                audience,
                expires: create.valid_for_ms.map(|valid| now.saturating_add(valid.div_ceil(1_000))),
                revoked: false,
                claims_per_second: create.claims_per_second,
            };
            Wanted::Put(id, Box::new(credential))
        }
        TokenChange::Revoke { id: of } => Wanted::Revoked(id(&of)?),
        TokenChange::Forget { id: of } => Wanted::Gone(id(&of)?),
    })
}

fn id(text: &str) -> Result<CredentialId, Problem> {
    let digits = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    digits.map(CredentialId).ok_or_else(|| {
        let message =
            format!("id {} is no token's: 16 hexadecimal digits, as `tenure token list` shows", Echo(text));
        Problem::new(Code::BadRequest, message).in_field("id")
    })
}

fn hash(text: &str) -> Result<SecretHash, Problem> {
    // It repeats nothing of the text: somebody may have sent the secret for its hash.
    let wrong = || {
        Problem::new(Code::BadRequest, "hash is not the SHA-256 of a secret: give 64 hexadecimal digits")
            .in_field("hash")
    };
    crate::identity::hash_of_hex(text).ok_or_else(wrong)
}

/// The line of a change of the settings or of the members says what is changed, and to what.
pub(super) fn about(leave: Leave, call: &Call) -> Leave {
    let Leave { note, place } = leave;
    Leave { note: note.map(|note| told(note, call)), place }
}

fn told(note: Note, call: &Call) -> Note {
    let change = match call {
        Call::Tokens(ChangeTokens { change: Some(change), .. }) => change,
        Call::Members(api::ChangeMembers { change: Some(change), .. }) => {
            return note.about(format_args!("{change:?}"));
        }
        Call::Namespaces(ChangeNamespaces { change: Some(change), .. }) => {
            return note.about(format_args!("{change:?}"));
        }
        _ => return note,
    };
    note.about(match change {
        TokenChange::Create(it) => {
            let of = it.namespace.as_deref().unwrap_or("every namespace");
            format!("create {}: {} {} of {of}", it.id, it.role, it.principal)
        }
        TokenChange::Revoke { id } => format!("revoke {id}"),
        TokenChange::Forget { id } => format!("forget {id}"),
    })
}

/// The credentials in words, and nothing of their secrets.
pub(super) fn worded(credentials: &Credentials, now: u64) -> Tokens {
    let view = |(id, it): (&CredentialId, &Credential)| TokenView {
        id: id.to_string(),
        principal: it.principal.to_string(),
        role: it.role.to_string(),
        namespace: it.namespace.as_ref().map(ToString::to_string),
        lease: it.lease.as_ref().map(ToString::to_string),
        expires_in_ms: it.expires.map(|at| at.saturating_sub(now).saturating_mul(1_000)),
        revoked: it.revoked,
        claims_per_second: it.claims_per_second,
    };
    Tokens { tokens: credentials.iter().map(view).collect() }
}
