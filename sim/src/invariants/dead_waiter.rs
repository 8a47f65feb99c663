//! No dead waiter holds past its confirmation: a grant that came by waiting and that nobody confirmed ends, pinned or not.

use super::{Committed, Kept, Ledger};

pub(crate) fn committed(ledger: &Ledger, entry: &Committed<'_>) -> Kept {
    match ledger.unconfirmed.first() {
        Some((deadline, token)) if *deadline < entry.table.now() => Err(format!(
            "the grant of token {token} was to be confirmed by {deadline}, and stands at {}",
            entry.table.now()
        )),
        _ => Ok(()),
    }
}
