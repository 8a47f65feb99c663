//! Tokens rise: each grant's is higher than every earlier one's.

use lease::{Token, What};

use super::{Committed, Kept};

#[derive(Default)]
pub(crate) struct TokensRise {
    last: Option<Token>,
}

impl TokensRise {
    pub(crate) fn committed(&mut self, entry: &Committed<'_>) -> Kept {
        for event in &entry.applied.events {
            let What::Granted { key, token, .. } = &event.what else { continue };
            if self.last >= Some(*token) {
                return Err(format!("{key} was granted under token {token}, after {:?}", self.last));
            }
            self.last = Some(*token);
        }
        Ok(())
    }
}
