//! The parts that batches and snapshots share.

use crate::codec::{Reader, Writer};
use crate::{
    Credential, DecodeError, Heir, Holder, Instance, Key, Name, Namespace, NamespaceSettings, Role,
    SecretHash, Time, Ttl,
};

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

    pub(crate) fn credential(&mut self, it: &Credential) {
        self.bytes(&it.hash.0);
        self.text(it.principal.as_str());
        self.u8(it.role.number());
        self.option(it.namespace.as_ref(), |writer, namespace| writer.text(namespace.as_str()));
        self.option(it.lease.as_ref(), |writer, lease| writer.text(lease.as_str()));
        self.bytes(&it.audience.to_le_bytes());
        self.option(it.expires, Writer::u64);
        self.u8(u8::from(it.revoked));
        self.option(it.claims_per_second, Writer::u32);
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
        Ok(Key { namespace: self.namespace()?, name: self.text(Name::stored)? })
    }

    fn namespace(&mut self) -> Result<Namespace, DecodeError> {
        let last = self.namespace.take();
        let namespace = self.text(|text| match last {
            Some(last) if last.as_str() == text => Some(last),
            _ => Namespace::stored(text),
        })?;
        self.namespace = Some(namespace.clone());
        Ok(namespace)
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

    pub(crate) fn credential(&mut self) -> Result<Credential, DecodeError> {
        Ok(Credential {
            hash: SecretHash(self.array()?),
            principal: self.text(Holder::stored)?,
            role: match Role::numbered(self.u8()?) {
                Some(role) => role,
                None => return self.damaged_before(1),
            },
            namespace: self.option(|reader| reader.text(Namespace::stored))?,
            lease: self.option(|reader| reader.text(Name::stored))?,
            audience: u128::from_le_bytes(self.array()?),
            expires: self.option(Reader::u64)?,
            revoked: self.flag()?,
            claims_per_second: self.option(Reader::u32)?,
        })
    }
}
