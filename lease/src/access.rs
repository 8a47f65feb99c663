//! Who may come, as the settings keep it: credentials by their ids. What each role may do is not decided here but at the
//! doors, before anything is proposed; the table only keeps what every member must agree on.
//!
//! A credential holds the hash of a secret and never the secret. A plain fast hash is enough: the secret is 256 random bits, so
//! that no dictionary shortens the search, and a slow hash would only make logging in, which a whole fleet does at once, dear.

use std::fmt;

use crate::{Change, Holder, Name, Namespace, Recovery, Refusal, Settings, Table};

/// From this `cluster_version` on, every member reads credentials.
pub const CREDENTIALS_SINCE: u32 = 1;
/// The newest `cluster_version` whose commands and settings this program reads.
pub const CLUSTER_VERSION_KNOWN: u32 = CREDENTIALS_SINCE;

/// What somebody may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Claims, keeps and waits for its own leases, under its own name alone.
    Unit,
    /// Sees, pins and revokes in its namespace, and claims and keeps leases of its application for that one's units.
    AppAdmin,
    /// Sees its namespace.
    Reader,
    /// Does everything; with a namespace, everything there.
    Operator,
    /// Sees everything, and changes nothing.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 5] = [Role::Unit, Role::AppAdmin, Role::Reader, Role::Operator, Role::Auditor];

    /// The role as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Unit => "unit",
            Role::AppAdmin => "app-admin",
            Role::Reader => "reader",
            Role::Operator => "operator",
            Role::Auditor => "auditor",
        }
    }

    /// The role that is written so.
    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether it is a role in one namespace only.
    pub const fn needs_namespace(self) -> bool {
        matches!(self, Role::Unit | Role::AppAdmin)
    }

    pub(crate) fn number(self) -> u8 {
        Role::ALL.iter().zip(0..).find_map(|(role, at)| (*role == self).then_some(at)).unwrap_or_default()
    }

    pub(crate) fn numbered(number: u8) -> Option<Role> {
        Role::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A credential's number: drawn at random, no secret, and what it is revoked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(pub u64);

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The SHA-256 of a secret. It opens nothing, and is shown nowhere all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// Who comes with a secret of that hash, until when, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Of the secret.
    pub hash: SecretHash,
    /// The principal's name; a unit's is the holder that it may be, an app-admin's the application whose units it may act for.
    pub principal: Holder,
    /// What it is.
    pub role: Role,
    /// Where; none is everywhere.
    pub namespace: Option<Namespace>,
    /// A unit's lease, and those under it; none is its application's: `mysql` of `mysql/0`.
    pub lease: Option<Name>,
    /// The cluster that it is for.
    pub audience: u128,
    /// From when on it is good no more, in seconds since 1970; none is never.
    pub expires: Option<u64>,
    /// It is good no more. Kept all the same, so that whoever comes with it is known.
    pub revoked: bool,
    /// Claims a second that one member takes from it; none is any number.
    pub claims_per_second: Option<u32>,
}

impl Credential {
    /// Refuses what no door could act on.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let why = match self {
            it if it.role.needs_namespace() && it.namespace.is_none() => {
                format!("a credential of role {} has no namespace: give it one", it.role)
            }
            it if it.lease.is_some() && it.role != Role::Unit => {
                format!("a credential of role {} has a lease of its own, which only a unit has", it.role)
            }
            it if it.claims_per_second == Some(0) => {
                "claims_per_second is 0: give 1 or more, or none for any number".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Refusal::Settings(why))
    }
}

impl Settings {
    pub(crate) fn change_credential(
        &mut self,
        id: CredentialId,
        credential: Option<&Credential>,
    ) -> Result<(), Refusal> {
        if self.cluster_version < CREDENTIALS_SINCE {
            let why = format!(
                "cluster_version is {}, and credentials need {CREDENTIALS_SINCE}: raise it, once every member runs a version that knows them",
                self.cluster_version
            );
            return Err(Refusal::Settings(why));
        }
        let credentials = std::sync::Arc::make_mut(&mut self.credentials);
        match credential {
            None => drop(credentials.remove(&id)),
            Some(credential) => {
                credential.check()?;
                credentials.insert(id, credential.clone());
            }
        }
        match credentials.len() > crate::CREDENTIALS_MAX {
            false => Ok(()),
            true => Err(Refusal::Settings(format!(
                "there are {} credentials, the most: forget some that are revoked or expired",
                crate::CREDENTIALS_MAX
            ))),
        }
    }
}

impl Table {
    /// After a recovery, whose credentials are good in the cluster of the new id. A sole survivor's are all there and go on. A
    /// backup's are forgotten: one that was revoked after the backup was made would come to life again.
    pub fn readdress(&mut self, audience: u128, how: Recovery) {
        let credentials = std::sync::Arc::make_mut(&mut self.settings.credentials);
        match how {
            Recovery::SoleSurvivor => credentials.values_mut().for_each(|it| it.audience = audience),
            Recovery::Restore | Recovery::DiscardGrants => credentials.clear(),
        }
    }
}

impl Change {
    /// The namespace whose records go by other settings after this change.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        match self {
            Change::Namespace(namespace, _) => Some(namespace),
            Change::ClusterVersion(_) | Change::Credential(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
            assert_eq!(Role::numbered(role.number()), Some(role));
        }
        assert_eq!((Role::parse("Unit"), Role::numbered(5)), (None, None));
    }

    #[test]
    fn a_hash_is_shown_nowhere() {
        let shown = format!("{:?}", SecretHash([0xab; 32]));
        assert_eq!(shown, "SecretHash(…)");
    }
}
