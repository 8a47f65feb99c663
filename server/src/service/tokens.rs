//! The tokens: shown, and changed in the settings that all members agree on.
//!
//! ```text
//! read the settings ─▶ every member knows credentials? ─▶ set, against the version that was read ─▶ read them again: answer
//!        ▲                (asked once, before the first)            │ somebody was faster
//!        └──────────────────────────────────────────────────────────┘
//! ```
//!
//! The secret is never here: whoever makes a token draws it, and sends its hash.

use std::sync::Arc;

use api::{Call, ChangeTokens, Code, Problem, TokenChange, TokenView, Tokens};
use lease::{
    CREDENTIALS_SINCE, Change, Command, Credential, CredentialId, Holder, Outcome, Refusal, Role, SecretHash,
    Ttl,
};
use replica::{Answer, HeirMust, MemberChange, Proposal, Read, Unchanged};

use super::{Backend, Done, Echo, Service, parse, word};
use crate::identity::Note;
use crate::tls::wall_seconds;

/// So often a change that others came before is made anew.
const TRIES: u32 = 8;

type Sink = Box<dyn FnOnce(Done) + Send>;

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
            Ok(None) => show(&self.backend, deadline, Box::new(sink)),
            Ok(Some(wanted)) => self.change_tokens(wanted, deadline, Box::new(sink)),
            Err(problem) => sink(Done::refused(problem)),
        }
    }

    /// Makes a change of the credentials, and shows them after it.
    pub(crate) fn change_tokens(&self, wanted: Wanted, deadline: Ttl, sink: Sink) {
        Changing { backend: Arc::clone(&self.backend), wanted, deadline, sink }.begin(TRIES);
    }
}

/// A change under way.
struct Changing {
    backend: Arc<dyn Backend>,
    wanted: Wanted,
    deadline: Ttl,
    sink: Sink,
}

impl Changing {
    fn begin(self, tries: u32) {
        let backend = Arc::clone(&self.backend);
        let deadline = self.deadline;
        let reply = Box::new(move |table: Result<(&lease::Table, _), _>| match table {
            Ok((table, _)) => {
                let settings = table.settings();
                let known = settings.cluster_version >= CREDENTIALS_SINCE;
                let at = (settings.version, known);
                match self.wanted.changes(&settings.credentials) {
                    Ok(Some(changes)) => self.ask(at, changes, tries),
                    Ok(None) => show(&Arc::clone(&self.backend), self.deadline, self.sink),
                    Err(problem) => (self.sink)(Done::refused(problem)),
                }
            }
            Err(why) => (self.sink)(Done::Unavailable(why)),
        });
        backend.read(Read { stale: false, deadline, reply });
    }

    fn ask(self, (version, known): (u64, bool), mut changes: Vec<Change>, tries: u32) {
        if known {
            return self.set(version, changes, tries);
        }
        let backend = Arc::clone(&self.backend);
        let deadline = self.deadline;
        let reply = Box::new(move |all: Result<_, Unchanged>| match all {
            Ok(_) => {
                changes.insert(0, Change::ClusterVersion(CREDENTIALS_SINCE));
                self.set(version, changes, tries);
            }
            Err(Unchanged::Refused(why)) => (self.sink)(Done::refused(Problem::new(Code::Members, why))),
            Err(Unchanged::NoLeader) => (self.sink)(Done::Unavailable(replica::Unavailable::NoLeader)),
            Err(Unchanged::Unknown) => {
                let message = "the leader does not say whether every member knows tokens: see that all are of this member's version, \
                               and ask again; nothing was changed";
                (self.sink)(Done::refused(Problem::new(Code::Members, message)));
            }
        });
        backend.change_members(MemberChange::Knows(CREDENTIALS_SINCE), deadline, reply);
    }

    fn set(self, version: u64, changes: Vec<Change>, tries: u32) {
        let backend = Arc::clone(&self.backend);
        let deadline = self.deadline;
        let reply = Box::new(move |answer| match answer {
            Answer::Decided { outcome: Outcome::Set { .. }, .. } => {
                show(&Arc::clone(&self.backend), self.deadline, self.sink);
            }
            Answer::Decided { outcome: Outcome::Refused(Refusal::Version { .. }), .. } if tries > 1 => {
                self.begin(tries - 1);
            }
            Answer::Decided { outcome: Outcome::Refused(Refusal::Settings(why)), .. } => {
                (self.sink)(Done::refused(Problem::new(Code::BadRequest, why)));
            }
            Answer::Unavailable(why) => (self.sink)(Done::Unavailable(why)),
            Answer::Decided { .. } => (self.sink)(Done::refused(Problem::new(
                Code::Version,
                "the settings are changed by others all the time: try again",
            ))),
            _ => (self.sink)(Done::refused(word::unknown())),
        });
        let command = Command::Set { version, changes };
        backend.propose(Proposal { command, named: None, heir: HeirMust::Wait, deadline, reply });
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
                Some(there) if there.hash == credential.hash => return Ok(None),
                Some(_) => {
                    let message = format!("there is a token {id} already: draw another");
                    return Err(Problem::new(Code::BadRequest, message).in_field("id"));
                }
                None => Change::Credential(*id, Some((**credential).clone())),
            },
            Wanted::Revoked(id) => match present.get(id).ok_or_else(|| missing(id))? {
                there if there.revoked => return Ok(None),
                there => Change::Credential(*id, Some(Credential { revoked: true, ..there.clone() })),
            },
            Wanted::Gone(id) => {
                present.get(id).ok_or_else(|| missing(id))?;
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

/// Answers with all credentials, as they are when everything that was answered before is in them.
fn show(backend: &Arc<dyn Backend>, deadline: Ttl, sink: Sink) {
    let reply = Box::new(move |table: Result<(&lease::Table, _), _>| match table {
        Ok((table, _)) => sink(Done::Tokens(Arc::clone(&table.settings().credentials))),
        Err(why) => sink(Done::Unavailable(why)),
    });
    backend.read(Read { stale: false, deadline, reply });
}

/// The line of a change of tokens says which, and to what.
pub(super) fn about(note: Option<Note>, call: &Call) -> Option<Note> {
    let change = match call {
        Call::Tokens(ChangeTokens { change: Some(change), .. }) => change,
        Call::Members(api::ChangeMembers { change: Some(change), .. }) => {
            return note.map(|note| note.about(format_args!("{change:?}")));
        }
        _ => return note,
    };
    let what = match change {
        TokenChange::Create(it) => {
            let of = it.namespace.as_deref().unwrap_or("every namespace");
            format!("create {}: {} {} of {of}", it.id, it.role, it.principal)
        }
        TokenChange::Revoke { id } => format!("revoke {id}"),
        TokenChange::Forget { id } => format!("forget {id}"),
    };
    note.map(|note| note.about(what))
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
