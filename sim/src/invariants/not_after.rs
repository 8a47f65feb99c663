//! No command takes effect after its `not_after`.

use lease::{Outcome, Refusal};

use super::{Committed, Kept};

pub(crate) fn committed(entry: &Committed<'_>) -> Kept {
    let now = entry.table.now();
    for (request, outcome) in entry.outcomes() {
        let Some(not_after) = request.not_after.filter(|not_after| *not_after < now) else { continue };
        if !matches!(outcome, Outcome::Refused(Refusal::Late | Refusal::Retry)) {
            return Err(format!(
                "{:?} was answered {outcome:?} at {now}, and might not take effect after {not_after}",
                request.command
            ));
        }
    }
    Ok(())
}
