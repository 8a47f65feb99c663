//! A namespace: the names in it, what it allows, how much it has, and its history.
//!
//! A namespace is there while it has a record or settings of its own. Its number is the table's own
//! business: nothing outside, no outcome and no byte of a snapshot, depends on it.

use std::collections::BTreeMap;

use crate::history::History;
use crate::names::Names;
use crate::record::{Lease, SpaceId};
use crate::{Key, NAMESPACES_MAX, Name, Namespace, NamespaceSettings};

#[derive(Debug)]
pub(crate) struct Space {
    pub(crate) namespace: Namespace,
    pub(crate) settings: NamespaceSettings,
    pub(crate) names: Names,
    pub(crate) history: History,
    /// Names that are held.
    pub(crate) held: u64,
    /// Names that are held, pinned or cooling down: what `leases_max` limits.
    pub(crate) leases: u64,
}

impl Space {
    /// The key of `lease`, which is in this namespace.
    pub(crate) fn key(&self, lease: &Lease) -> Key {
        Key { namespace: self.namespace.clone(), name: Name::kept(lease.name()) }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Spaces {
    by_name: BTreeMap<Namespace, SpaceId>,
    spaces: Vec<Option<Space>>,
}

const _: () = assert!(NAMESPACES_MAX <= SpaceId::MAX as usize);

impl Spaces {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn id(&self, namespace: &Namespace) -> Option<SpaceId> {
        self.by_name.get(namespace).copied()
    }

    pub(crate) fn find(&self, namespace: &Namespace) -> Option<&Space> {
        self.spaces.get(self.id(namespace)? as usize)?.as_ref()
    }

    pub(crate) fn get(&self, id: SpaceId) -> &Space {
        match self.spaces.get(id as usize) {
            Some(Some(space)) => space,
            _ => crate::check::broken("a lease is in a namespace that is not there"),
        }
    }

    pub(crate) fn get_mut(&mut self, id: SpaceId) -> &mut Space {
        match self.spaces.get_mut(id as usize) {
            Some(Some(space)) => space,
            _ => crate::check::broken("a lease is in a namespace that is not there"),
        }
    }

    pub(crate) fn is_there(&self, id: SpaceId) -> bool {
        self.spaces.get(id as usize).is_some_and(Option::is_some)
    }

    /// The namespace's number; it is made where it is new.
    pub(crate) fn enter(&mut self, namespace: &Namespace, settings: NamespaceSettings) -> SpaceId {
        if let Some(id) = self.id(namespace) {
            return id;
        }
        let at = self.spaces.iter().position(Option::is_none).unwrap_or(self.spaces.len());
        if at == self.spaces.len() {
            self.spaces.push(None);
        }
        self.spaces[at] = Some(Space {
            namespace: namespace.clone(),
            settings,
            names: Names::default(),
            history: History::default(),
            held: 0,
            leases: 0,
        });
        self.by_name.insert(namespace.clone(), at as SpaceId);
        at as SpaceId
    }

    /// Forgets the namespace if nothing is left of it.
    pub(crate) fn leave(&mut self, id: SpaceId) {
        let space = self.get(id);
        if space.names.is_empty() && space.settings == NamespaceSettings::default() {
            self.by_name.remove(&space.namespace.clone());
            self.spaces[id as usize] = None;
        }
    }

    /// The namespaces in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SpaceId, &Space)> {
        self.by_name.values().map(|id| (*id, self.get(*id)))
    }

    /// The namespaces from `first` on, in order.
    pub(crate) fn range(&self, first: Option<&Namespace>) -> impl Iterator<Item = &Space> {
        use std::ops::Bound::{Included, Unbounded};
        let start = first.map_or(Unbounded, Included);
        self.by_name.range::<Namespace, _>((start, Unbounded)).map(|(_, id)| self.get(*id))
    }
}
