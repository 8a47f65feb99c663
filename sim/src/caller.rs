//! What a caller asks of its session, at random: the same in both simulations.

use api::Call;

use crate::chance::{Chance, MILLI};

/// A lease, by the words of the api.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    pub(crate) holder: &'a str,
    pub(crate) instance: u64,
}

/// Whether a caller ever waits in line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lines {
    /// As often as it claims.
    Often,
    /// It claims, and waits until a lease is free.
    Never,
}

/// A call, and how many nanoseconds its caller waits for it.
pub(crate) type Asking = (Call, u64);

impl Named<'_> {
    /// What one does that does not hold the lease: claims it, waits in line for it where it ever `lines` up, or waits until it is
    /// free. Where nobody lines up a lease is free for a while now and then.
    pub(crate) fn want(self, chance: &mut Chance, ttl_ms: u64, lines: Lines) -> Asking {
        let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), self.name.to_owned());
        let (holder, ttl_ms) = (self.holder.to_owned(), Some(ttl_ms));
        let within_ms = chance.pick(&[100, 500, 1_500, 4_000]);
        let timeout_ms = Some(within_ms);
        let call = match chance.below(10) {
            4..8 if lines == Lines::Never => {
                Call::Wait(api::Wait { namespace, name, after: None, timeout_ms })
            }
            0..4 => Call::Claim(api::Claim { namespace, name, holder, ttl_ms, ..api::Claim::default() }),
            4..8 => Call::Acquire(api::Acquire {
                namespace,
                name,
                holder,
                ttl_ms,
                timeout_ms,
                ..api::Acquire::default()
            }),
            _ => Call::Wait(api::Wait { namespace, name, after: None, timeout_ms }),
        };
        (call, within_ms * MILLI)
    }

    /// What its holder does with it, if anything: lets it go, or hands it on to one of `holders`.
    pub(crate) fn let_go<H: AsRef<str>>(
        self,
        chance: &mut Chance,
        token: u64,
        holders: &[H],
    ) -> Option<Asking> {
        let (namespace, name) = (api::NAMESPACE_DEFAULT.to_owned(), self.name.to_owned());
        let within = chance.pick(&[100, 300, 1_000, 5_000]) * MILLI;
        let call = match chance.below(10) {
            0..3 => {
                let instance = Some(self.instance);
                Call::Release(api::Release { namespace, name, token, instance, deadline_ms: None })
            }
            3..5 => Call::Transfer(api::Transfer {
                namespace,
                name,
                token,
                instance: self.instance,
                to: holders[chance.index(holders.len())].as_ref().to_owned(),
                force: chance.one_in(3),
                ttl_ms: None,
                deadline_ms: None,
            }),
            _ => return None,
        };
        Some((call, within))
    }
}
