//! What servers cost: processor time and memory of their processes, all together.

use std::time::Duration;

use crate::process::usage;

/// What the processes of a service have used, up to an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// Of all of them since they began, in user and kernel mode, in seconds; in steps of 10 ms each.
    cpu_seconds: f64,
    /// Resident memory of each, in bytes.
    pub(crate) rss_bytes: Vec<u64>,
}

impl Cost {
    /// Looks at these processes; none where there are none to look at, as with servers of somebody else.
    pub(crate) fn of(pids: &[u32]) -> Option<Cost> {
        let used: Vec<_> = pids.iter().filter_map(|pid| usage(*pid)).collect();
        // Of a part of them it would be too little.
        (!used.is_empty() && used.len() == pids.len()).then(|| Cost {
            cpu_seconds: used.iter().map(|used| used.cpu_seconds).sum(),
            rss_bytes: used.iter().map(|used| used.rss_bytes).collect(),
        })
    }

    /// Resident memory of all, in bytes.
    pub(crate) fn rss_bytes_all(&self) -> u64 {
        self.rss_bytes.iter().sum()
    }

    /// Processor time since `before`.
    pub(crate) fn cpu_since(&self, before: &Cost) -> Duration {
        Duration::from_secs_f64((self.cpu_seconds - before.cpu_seconds).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_what_was_added_and_memory_is_of_all() {
        let cost = |cpu_seconds| Cost { cpu_seconds, rss_bytes: vec![10, 20] };
        assert_eq!(cost(2.5).cpu_since(&cost(1.0)), Duration::from_millis(1_500));
        assert_eq!(cost(1.0).rss_bytes_all(), 30);
    }

    #[test]
    fn of_processes_of_which_one_is_gone_nothing_is_said() {
        let own = std::process::id();
        assert!(Cost::of(&[own]).is_some_and(|cost| cost.rss_bytes_all() > 0));
        assert_eq!(Cost::of(&[own, u32::MAX]), None);
        assert_eq!(Cost::of(&[]), None);
    }
}
