//! Every entry's effects are the naive model's: the rules once more, over plain maps, as the tests of `lease` have them.

// The twin lives with the tests of the rules, which no other crate can name: here it is compiled once more, and not copied.
#[path = "../../../lease/tests/model/twin.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    dead_code,
    unreachable_pub,
    reason = "a test's own code, of which this is a part: where the twin cannot go on, a promise is broken"
)]
mod twin;

use self::twin::Twin;
use super::{Committed, Kept};

pub(crate) struct AsModel(Twin);

impl Default for AsModel {
    fn default() -> AsModel {
        AsModel(Twin::new())
    }
}

impl AsModel {
    /// An entry is committed: in order, each once.
    pub(crate) fn committed(&mut self, entry: &Committed<'_>) -> Kept {
        self.0.apply(entry.term, entry.batch);
        if self.0.last != *entry.applied {
            return Err(format!(
                "the table made {:?} of {:?}, and the model {:?}",
                entry.applied, entry.batch, self.0.last
            ));
        }
        let (table, twin) = (entry.table, &self.0);
        if (table.now(), table.revision().0, table.next_token().as_u64())
            != (twin.now, twin.revision, twin.next_token)
        {
            return Err(format!(
                "the table is at {}, revision {}, and the model at {}, revision {}",
                table.now(),
                table.revision().0,
                twin.now,
                twin.revision
            ));
        }
        Ok(())
    }
}
