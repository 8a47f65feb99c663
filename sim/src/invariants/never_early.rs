//! Never early: no grant ends before D / (1 + rho) of true time after its holder sent what was answered last, but by the
//! holder's own release or transfer, or an operator's revoke at once.

use std::collections::BTreeMap;

use lease::{Token, What, Why};

use super::{Committed, Kept, Ledger};
use crate::clock::Shown;

#[derive(Default)]
pub(crate) struct NeverEarly {
    /// When each grant may end at the earliest.
    stands_until: BTreeMap<Token, u64>,
}

impl NeverEarly {
    /// A member answers a claim or extend that left at `sent`: the grant lasts `ttl` nanoseconds.
    pub(crate) fn answered(&mut self, token: Token, sent: u64, ttl: u64) {
        let least = sent + (u128::from(ttl) * 1_000 / u128::from(1_000 + lease::RHO_PER_MILLE)) as u64;
        let until = self.stands_until.entry(token).or_default();
        *until = least.max(*until);
    }

    pub(crate) fn committed(&mut self, ledger: &Ledger, entry: &Committed<'_>) -> Kept {
        for event in &entry.applied.events {
            let What::Ended { key, end } = &event.what else { continue };
            let until = self.stands_until.remove(&end.token).unwrap_or(0);
            let own = matches!(end.why, Why::Released | Why::Transferred) || ledger.cut.contains(&end.token);
            if !own && entry.at < until {
                return Err(format!(
                    "{key}: the grant of token {} ended as {:?}, and its holder was told of time until {}",
                    end.token,
                    end.why,
                    Shown(until)
                ));
            }
        }
        Ok(())
    }
}
