//! What a process costs, read from `/proc`: memory and processor time.

use serde::Serialize;

/// Clock ticks a second in `/proc/PID/stat`: 100 for every Linux program, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a server's process has used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// Which process.
    pub pid: u32,
    /// Its resident memory, in bytes.
    pub rss_bytes: u64,
    /// Processor time since its start, in user and kernel mode, in seconds.
    pub cpu_seconds: f64,
}

/// Reads what process `pid` has used; none where it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(Usage { pid, rss_bytes: rss_bytes(&status)?, cpu_seconds: cpu_seconds(&stat)? })
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The program's name stands in parentheses and may hold spaces and parentheses itself: count from the last one.
    let mut behind_name = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = behind_name.next()?.parse().ok()?;
    let system: f64 = behind_name.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::{cpu_seconds, rss_bytes, usage};

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(rss_bytes("Name:\ttenure\nVmRSS:\t   2048 kB\nThreads: 3\n"), Some(2_097_152));
        assert_eq!(rss_bytes("Name:\ttenure\n"), None);
    }

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "42 (odd ) name) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42"), None);
    }

    #[test]
    fn a_living_process_has_both_and_a_dead_one_neither() {
        assert!(usage(std::process::id()).is_some_and(|usage| usage.rss_bytes > 0));
        assert_eq!(usage(u32::MAX), None);
    }
}
