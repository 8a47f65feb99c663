//! What was said already: troubles between members come back many times a second, and are worth a line when they are new.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a line is not said again.
const SILENT_FOR: Duration = Duration::from_secs(600);
/// Lines that are remembered. With so many, none is new: whoever makes up new ones must not fill a disk.
const REMEMBERED_MAX: usize = 32;

/// The lines that were said lately.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<VecDeque<(Instant, String)>>);

impl Said {
    /// Whether a line is to be said now. Asked, it counts as said.
    pub(super) fn is_news(&self, line: &str, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while said.front().is_some_and(|(at, _)| now >= *at + SILENT_FOR) {
            said.pop_front();
        }
        if said.len() == REMEMBERED_MAX || said.iter().any(|(_, earlier)| earlier == line) {
            return false;
        }
        said.push_back((now, line.to_owned()));
        true
    }

    /// What was said is over: the next time, it is news.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_said_once_in_a_while_and_again_when_it_was_over() {
        let (said, start) = (Said::default(), Instant::now());
        assert!(said.is_news("a", start) && !said.is_news("a", start) && said.is_news("b", start));
        assert!(!said.is_news("a", start + SILENT_FOR - Duration::from_millis(1)));
        assert!(said.is_news("a", start + SILENT_FOR));
        said.forget();
        assert!(said.is_news("a", start + SILENT_FOR));
    }

    #[test]
    fn whoever_makes_up_new_lines_is_not_heard_for_ever() {
        let (said, start) = (Said::default(), Instant::now());
        let heard = (0..1_000).filter(|line| said.is_news(&line.to_string(), start)).count();
        assert_eq!(heard, REMEMBERED_MAX);
        assert!(said.is_news("later", start + SILENT_FOR));
    }
}
