//! What a snapshot asks of a cluster: claims for what remained, and pins; and a snapshot of what a cluster has. Pure.
//!
//! A lease keeps what remained of it, rounded up to a millisecond, and to the least that a namespace takes: never less. One that was
//! over already, and that nothing pins, is left out: Juju's next tick would have ended it. One that is over and pinned is kept, for
//! its pin keeps it.

use std::collections::BTreeSet;
use std::time::Duration;

use api::JujuNamespace;
use api::rules::{TTL_MAX, TTL_MIN_DEFAULT};

use super::{Entry, Key, Moment, Snapshot};
use crate::duration::GoDuration;

/// What to ask of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// In the order of their keys.
    pub wanted: Vec<Wanted>,
    /// How many leases were over.
    pub over: usize,
}

/// One lease: what to claim, and what to pin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Our namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it and for how long yet; none where it is only pinned.
    pub held: Option<(String, Duration)>,
    /// Who pins it.
    pub pins: BTreeSet<String>,
}

impl Snapshot {
    /// What a cluster is to be asked, so that it has these leases.
    pub fn import(&self) -> Import {
        let keys: BTreeSet<&Key> = self.entries.keys().chain(self.pinned.keys()).collect();
        let mut import = Import::default();
        for key in keys {
            // Whatever was read has one of Juju's namespaces.
            let Some(namespace) = JujuNamespace::parse(&key.namespace) else { continue };
            let pins = self.pinned.get(key).cloned().unwrap_or_default();
            let entry = self.entries.get(key);
            let held = entry.and_then(|entry| self.remaining(entry, !pins.is_empty()));
            import.over += usize::from(entry.is_some() && held.is_none());
            if held.is_some() || !pins.is_empty() {
                let namespace = namespace.of_model(&key.model);
                import.wanted.push(Wanted { namespace, name: key.lease.clone(), held, pins });
            }
        }
        import
    }

    fn remaining(&self, entry: &Entry, pinned: bool) -> Option<(String, Duration)> {
        let remaining = self.global_time.until(entry.start, entry.duration).as_nanos();
        // One that ends at this very moment stays until the next.
        let nanos = u64::try_from(remaining).ok().or_else(|| pinned.then_some(0))?;
        let millis = nanos.div_ceil(1_000_000).clamp(TTL_MIN_DEFAULT.as_millis(), TTL_MAX.as_millis());
        Some((entry.holder.clone(), Duration::from_millis(millis)))
    }

    /// Takes in a lease of a cluster's: what it is `held` by, for how long, and how long yet. One that is not of Juju's is passed over.
    pub fn export(
        &mut self,
        namespace: &str,
        name: &str,
        held: Option<(&str, Duration, Duration)>,
        pins: BTreeSet<String>,
    ) {
        let Some((juju, model)) = JujuNamespace::read(namespace) else { return };
        let key =
            Key { namespace: juju.as_str().to_owned(), model: model.to_owned(), lease: name.to_owned() };
        if let Some((holder, ttl, remaining)) = held {
            let passed = GoDuration::from(ttl.saturating_sub(remaining)).as_nanos();
            let start = Moment::from_nanos(self.global_time.as_nanos() - passed).unwrap_or_default();
            let duration =
                self.global_time.as_nanos() - start.as_nanos() + GoDuration::from(remaining).as_nanos();
            let entry =
                Entry { holder: holder.to_owned(), start, duration: GoDuration::from_nanos(duration) };
            self.entries.insert(key.clone(), entry);
        }
        if !pins.is_empty() {
            self.pinned.insert(key, pins);
        }
    }

    /// An empty one, whose clock reads as much as a lease can have lasted: none began before it.
    pub fn empty() -> Snapshot {
        let reading = i64::try_from(TTL_MAX.as_nanos()).ok().and_then(Moment::from_nanos);
        Snapshot { global_time: reading.unwrap_or_default(), ..Snapshot::default() }
    }
}
