//! The lease clock never runs back: not from entry to entry, not over a restart, a snapshot or another leader.

use std::collections::BTreeMap;

use lease::Time;

use super::Kept;

#[derive(Default)]
pub(crate) struct ClockForward {
    /// By index, the clock behind each entry, as the first member that applied it had it.
    clocks: BTreeMap<u64, Time>,
}

impl ClockForward {
    /// A member's table reads `now` behind entry `index`.
    pub(crate) fn reads(&mut self, member: u64, index: u64, now: Time) -> Kept {
        let before = self.clocks.range(..index).next_back();
        if let Some((earlier, before)) = before.filter(|(_, before)| now < **before) {
            return Err(format!(
                "at m{member} it reads {now} behind entry {index}, and read {before} behind entry {earlier}"
            ));
        }
        self.clocks.entry(index).or_insert(now);
        Ok(())
    }
}
