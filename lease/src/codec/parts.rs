//! The parts that batches and snapshots share.

use crate::codec::{Reader, Writer};
use crate::{DecodeError, Heir, Holder, Instance, Key, Name, Namespace, NamespaceSettings, Time, Ttl};

impl Writer<'_> {
    pub(crate) fn time(&mut self, time: Time) {
        self.u64(time.as_nanos());
    }

    pub(crate) fn ttl(&mut self, ttl: Ttl) {
        self.u64(ttl.as_nanos());
    }

    pub(crate) fn key(&mut self, key: &Key) {
        self.text(key.namespace.as_str());
        self.text(key.name.as_str());
    }

    pub(crate) fn heir(&mut self, heir: &Heir) {
        self.text(heir.holder.as_str());
        self.u64(heir.instance.0);
        self.ttl(heir.ttl);
        self.ttl(heir.confirm);
    }

    pub(crate) fn limits(&mut self, limits: &NamespaceSettings) {
        self.ttl(limits.ttl_min);
        self.ttl(limits.ttl_max);
        self.ttl(limits.cooldown);
        self.u64(limits.leases_max);
        self.u32(limits.history_max);
    }
}

impl Reader<'_> {
    pub(crate) fn time(&mut self) -> Result<Time, DecodeError> {
        self.u64().map(Time::from_nanos)
    }

    pub(crate) fn ttl(&mut self) -> Result<Ttl, DecodeError> {
        self.u64().map(Ttl::from_nanos)
    }

    pub(crate) fn key(&mut self) -> Result<Key, DecodeError> {
        Ok(Key { namespace: self.text(Namespace::stored)?, name: self.text(Name::stored)? })
    }

    pub(crate) fn heir(&mut self) -> Result<Heir, DecodeError> {
        Ok(Heir {
            holder: self.text(Holder::stored)?,
            instance: Instance(self.u64()?),
            ttl: self.ttl()?,
            confirm: self.ttl()?,
        })
    }

    pub(crate) fn limits(&mut self) -> Result<NamespaceSettings, DecodeError> {
        let limits = NamespaceSettings {
            ttl_min: self.ttl()?,
            ttl_max: self.ttl()?,
            cooldown: self.ttl()?,
            leases_max: self.u64()?,
            history_max: self.u32()?,
        };
        Ok(limits)
    }
}
