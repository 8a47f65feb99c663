//! Logs: what goes to stderr, and how often.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::config::{LogFormat, LogLevel};

/// Changes the level of a running process.
pub(crate) type SetLevel = Box<dyn Fn(LogLevel) + Send>;

/// Sends logs to stderr. Where logs go somewhere already, as in a program that embeds this one, they stay there.
pub(crate) fn start(level: LogLevel, format: LogFormat) -> SetLevel {
    let (filter, handle) = reload::Layer::new(filter(level));
    let lines: Box<dyn Layer<_> + Send + Sync> = match format {
        LogFormat::Text => {
            fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).boxed()
        }
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
    };
    // Refused where another subscriber is set, which then has the logs.
    drop(Registry::default().with(filter).with(lines).try_init());
    Box::new(move |level| {
        if let Err(error) = handle.modify(|filter| *filter = self::filter(level)) {
            tracing::warn!(%error, "the log level could not be changed");
        }
    })
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What the consensus engine calls news is about its own insides; who asks for debug wants to see them.
    let engine = if level <= LevelFilter::INFO { level.min(LevelFilter::WARN) } else { level };
    let quiet = |least: LevelFilter| if level <= LevelFilter::INFO { least.min(level) } else { level };
    Targets::new()
        .with_default(level)
        .with_target("openraft", engine)
        // Twenty lines a second where a member does not answer; `peers` says once that it is not reached.
        .with_target("openraft::core::heartbeat", quiet(LevelFilter::OFF))
        .with_target("openraft::replication", quiet(LevelFilter::ERROR))
        .with_target("openraft::engine::handler::replication_handler", quiet(LevelFilter::ERROR))
}

/// Lets one line pass in a while. What strangers can cause, such as a garbled request, must not fill a disk.
pub(crate) struct Limited {
    every: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl Limited {
    /// Lets a line pass once in `every`.
    pub(crate) const fn new(every: Duration) -> Limited {
        Limited { every, state: Mutex::new((None, 0)) }
    }

    /// How many lines were held back since the last one, where this one may pass.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held_back) = *state;
        if last.is_some_and(|last| now < last + self.every) {
            *state = (last, held_back + 1);
            return None;
        }
        *state = (Some(now), 0);
        Some(held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_news_is_for_those_who_debug() {
        let shows = |level, target| filter(level).would_enable(target, &tracing::Level::INFO);
        assert!(shows(LogLevel::Info, "server") && !shows(LogLevel::Info, "openraft::core"));
        let warns = |level, target| filter(level).would_enable(target, &tracing::Level::WARN);
        let beat = "openraft::core::heartbeat::worker";
        assert!(warns(LogLevel::Info, "openraft::core") && !warns(LogLevel::Info, beat));
        assert!(warns(LogLevel::Debug, beat));
        assert!(shows(LogLevel::Debug, "openraft::core") && !shows(LogLevel::Warn, "server"));
    }

    #[test]
    fn one_line_passes_in_a_while_and_says_how_many_did_not() {
        let limited = Limited::new(Duration::from_secs(1));
        let start = Instant::now();
        assert_eq!(limited.pass(start), Some(0));
        assert_eq!(limited.pass(start + Duration::from_millis(999)), None);
        assert_eq!(limited.pass(start + Duration::from_millis(999)), None);
        assert_eq!(limited.pass(start + Duration::from_millis(1_000)), Some(2));
        assert_eq!(limited.pass(start + Duration::from_millis(2_000)), Some(0));
    }
}
