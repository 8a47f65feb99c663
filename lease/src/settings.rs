//! What operators may set, the same on every member: an ordered map with a version, changed by
//! [`Command::Set`](crate::Command::Set), all of a change or none of it, and only from the version that the
//! change was made against. Present leases are never taken away by a change: a lower limit meets the next
//! claim, a shorter history forgets at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    COOLDOWN_MAX, Change, Credential, CredentialId, HISTORY_MAX, LEASES_MAX_DEFAULT, Namespace, Refusal,
    TTL_MAX, TTL_MIN, TTL_MIN_DEFAULT, Ttl,
};

/// The replicated settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Raised by every change.
    pub version: u64,
    /// Gates newer kinds of command.
    pub cluster_version: u32,
    /// What each namespace allows where it is not the default.
    pub namespaces: BTreeMap<Namespace, NamespaceSettings>,
    /// Who may come, and as what. Shared with whoever looks: there may be many.
    pub credentials: Arc<BTreeMap<CredentialId, Credential>>,
}

/// What a namespace allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceSettings {
    /// The shortest ttl.
    pub ttl_min: Ttl,
    /// The longest ttl.
    pub ttl_max: Ttl,
    /// How long after an expiry only the same holder may claim.
    pub cooldown: Ttl,
    /// The most leases; free names with pins and cooldowns count.
    pub leases_max: u64,
    /// The most ends kept in history.
    pub history_max: u32,
}

impl Default for NamespaceSettings {
    fn default() -> NamespaceSettings {
        NamespaceSettings {
            ttl_min: TTL_MIN_DEFAULT,
            ttl_max: TTL_MAX,
            cooldown: Ttl::ZERO,
            leases_max: LEASES_MAX_DEFAULT,
            history_max: HISTORY_MAX as u32,
        }
    }
}

impl NamespaceSettings {
    /// Refuses what is outside the table of limits.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let NamespaceSettings { ttl_min, ttl_max, cooldown, history_max, leases_max: _ } = self;
        let why = match self {
            s if s.ttl_min < TTL_MIN => format!("ttl_min is {ttl_min}, and the least is {TTL_MIN}"),
            s if s.ttl_max > TTL_MAX => format!("ttl_max is {ttl_max}, and the most is {TTL_MAX}"),
            s if s.ttl_min > s.ttl_max => format!("ttl_min is {ttl_min}, and ttl_max only {ttl_max}"),
            s if s.cooldown > COOLDOWN_MAX => {
                format!("cooldown is {cooldown}, and the most is {COOLDOWN_MAX}")
            }
            s if s.history_max as usize > HISTORY_MAX => {
                format!("history_max is {history_max}, and the most is {HISTORY_MAX}")
            }
            _ => return Ok(()),
        };
        Err(Refusal::Settings(why))
    }

    /// Refuses a ttl outside this namespace's range.
    pub(crate) fn check_ttl(&self, ttl: Ttl) -> Result<(), Refusal> {
        match (self.ttl_min..=self.ttl_max).contains(&ttl) {
            true => Ok(()),
            false => Err(Refusal::Ttl { ttl, min: self.ttl_min, max: self.ttl_max }),
        }
    }
}

impl Settings {
    /// What `namespace` allows.
    pub fn of(&self, namespace: &Namespace) -> NamespaceSettings {
        self.namespaces.get(namespace).copied().unwrap_or_default()
    }

    /// The settings after `changes`, made against `version`; these where nothing is refused.
    pub(crate) fn changed(&self, version: u64, changes: &[Change]) -> Result<Settings, Refusal> {
        if version != self.version {
            return Err(Refusal::Version { current: self.version });
        }
        let mut next = self.clone();
        for change in changes {
            next.change(change)?;
        }
        next.version += 1;
        Ok(next)
    }

    fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        match change {
            // A member that has applied a newer kind of command cannot unlearn it.
            Change::ClusterVersion(version) if *version < self.cluster_version => {
                let why = format!(
                    "cluster_version is {}, and never lowered: not to {version}",
                    self.cluster_version
                );
                return Err(Refusal::Settings(why));
            }
            Change::ClusterVersion(version) => self.cluster_version = *version,
            Change::Credential(id, credential) => self.change_credential(*id, credential.as_ref())?,
            Change::Namespace(namespace, None) => {
                self.namespaces.remove(namespace);
            }
            Change::Namespace(namespace, Some(settings)) => {
                settings.check()?;
                // The defaults are not stored, so that equal settings are equal bytes.
                match *settings == NamespaceSettings::default() {
                    true => self.namespaces.remove(namespace),
                    false => self.namespaces.insert(namespace.clone(), *settings),
                };
            }
        }
        Ok(())
    }
}

const _: () = assert!(HISTORY_MAX <= u32::MAX as usize);
