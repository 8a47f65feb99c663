//! What namespaces allow: shown, and changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{ChangeNamespaces, NamespaceChange, NamespaceView, Namespaces, Problem};
use lease::{Change, Namespace, NamespaceSettings, Settings, Ttl};

use super::settings::{Changing, show};
use super::{Done, Service, parse};

/// Every member reads them from the first day.
const SINCE: u32 = 0;

impl Service {
    pub(super) fn namespaces(&self, asked: ChangeNamespaces, sink: impl FnOnce(Done) + Send + 'static) {
        let understood = || -> Result<_, Problem> {
            let change = asked.change.map(|change| Ok((parse::namespace(&change.namespace)?, change)));
            Ok((parse::deadline(asked.deadline_ms)?, change.transpose()?))
        };
        let shown = |settings: &Settings| Done::Namespaces(settings.namespaces.clone());
        match understood() {
            Ok((deadline, None)) => show(&self.backend, shown, deadline, Box::new(sink)),
            Ok((deadline, Some((namespace, change)))) => Changing {
                backend: Arc::clone(&self.backend),
                changes: Box::new(move |settings| {
                    let before = settings.of(&namespace);
                    let after = changed(before, &change);
                    Ok((after != before).then(|| vec![Change::Namespace(namespace.clone(), Some(after))]))
                }),
                since: SINCE,
                shown,
                deadline,
                sink: Box::new(sink),
            }
            .begin(),
            Err(problem) => sink(Done::refused(problem)),
        }
    }
}

/// The table refuses what is out of bounds.
fn changed(before: NamespaceSettings, change: &NamespaceChange) -> NamespaceSettings {
    let before = if change.from_defaults { NamespaceSettings::default() } else { before };
    NamespaceSettings {
        ttl_min: change.ttl_ms_min.map_or(before.ttl_min, Ttl::from_millis),
        ttl_max: change.ttl_ms_max.map_or(before.ttl_max, Ttl::from_millis),
        cooldown: change.cooldown_ms.map_or(before.cooldown, Ttl::from_millis),
        leases_max: change.leases_max.unwrap_or(before.leases_max),
        history_max: change.history_max.unwrap_or(before.history_max),
    }
}

/// In words.
pub(super) fn worded(namespaces: &BTreeMap<Namespace, NamespaceSettings>) -> Namespaces {
    let view = |(namespace, it): (&Namespace, &NamespaceSettings)| NamespaceView {
        namespace: namespace.to_string(),
        ttl_ms_min: it.ttl_min.as_millis(),
        ttl_ms_max: it.ttl_max.as_millis(),
        cooldown_ms: it.cooldown.as_millis(),
        leases_max: it.leases_max,
        history_max: it.history_max,
    };
    Namespaces { namespaces: namespaces.iter().map(view).collect() }
}
