//! Reads: last of all, and not so many at a time that anyone else waits for them.

use super::Driver;
use crate::clock::Mono;
use crate::engine::Engine;
use crate::handle::Unavailable;
use crate::shared::RETRY_AFTER;
use lease::Ttl;

/// How long the driver reads before it looks for more urgent work.
const BUDGET: Ttl = Ttl::from_millis(1);

impl<E: Engine> Driver<E> {
    /// Makes the reads whose barrier has passed, for as long as the budget lasts; at least one.
    pub(super) fn serve_reads(&mut self) {
        let until = self.shared.clock.now().after(BUDGET);
        while let Some((read, due)) = self.reads.pop_front() {
            let now: Mono = self.shared.clock.now();
            if due <= now {
                (read.reply)(Err(Unavailable::Overloaded { retry_after: RETRY_AFTER }));
                continue;
            }
            let state = self.shared.state();
            // A member that has nothing yet knows nothing, not even old things.
            if read.stale && state.applied.is_none() {
                drop(state);
                (read.reply)(Err(Unavailable::Behind));
                continue;
            }
            (read.reply)(Ok((&state.table, state.reading())));
            drop(state);
            if until <= now {
                break;
            }
        }
    }
}
