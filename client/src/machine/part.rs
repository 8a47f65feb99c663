//! What of a call is about one lease: the whole of it, or a step of a bulk call. It is looked at where it is: a frame may have
//! 10,000 of them, and each is looked at several times.

use api::{Call, Step};

use super::keys::KeyName;

/// A part of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    Claim(&'a api::Claim),
    Extend(&'a api::Extend),
    Release(&'a api::Release),
    Acquire(&'a api::Acquire),
    Transfer(&'a api::Transfer),
    /// A call that is about no grant of its session's, or one that has parts of its own.
    Other(&'a Call),
}

/// The parts of a call: its steps where it is a bulk call, else itself.
pub(super) fn parts(call: &Call) -> impl Iterator<Item = Part<'_>> {
    let (whole, steps) = match call {
        Call::Bulk(steps) => (None, steps.as_slice()),
        call => (Some(call), &[][..]),
    };
    whole.map(Part::from).into_iter().chain(steps.iter().map(Part::from))
}

impl<'a> From<&'a Call> for Part<'a> {
    fn from(call: &'a Call) -> Part<'a> {
        match call {
            Call::Claim(claim) => Part::Claim(claim),
            Call::Extend(extend) => Part::Extend(extend),
            Call::Release(release) => Part::Release(release),
            Call::Acquire(acquire) => Part::Acquire(acquire),
            Call::Transfer(transfer) => Part::Transfer(transfer),
            call => Part::Other(call),
        }
    }
}

impl<'a> From<&'a Step> for Part<'a> {
    fn from(step: &'a Step) -> Part<'a> {
        match step {
            Step::Claim(claim) => Part::Claim(claim),
            Step::Extend(extend) => Part::Extend(extend),
            Step::Release(release) => Part::Release(release),
        }
    }
}

impl Part<'_> {
    /// The lease that it is about; none where it is not of this instance, or about no lease.
    pub(super) fn own_key(self, instance: u64) -> Option<KeyName> {
        let (namespace, name, by) = match self {
            Part::Claim(claim) => (&claim.namespace, &claim.name, claim.instance),
            Part::Extend(extend) => (&extend.namespace, &extend.name, extend.instance),
            Part::Release(release) => (&release.namespace, &release.name, release.instance),
            Part::Acquire(acquire) => (&acquire.namespace, &acquire.name, acquire.instance),
            Part::Transfer(transfer) => (&transfer.namespace, &transfer.name, Some(transfer.instance)),
            Part::Other(_) => return None,
        };
        (by == Some(instance)).then(|| KeyName::new(namespace.clone(), name.clone()))
    }

    pub(super) fn has_effect(self) -> bool {
        match self {
            Part::Other(call) => call.has_effect(),
            _ => true,
        }
    }
}
