//! The lines of a run, as the article's tool printed them. Pure.
//!
//! ```text
//!     3.058s claimed  a1601/0 in 1.652s
//!    93.596s extended a0702/0 held for 1m30s in 47ms
//!   703.082s lost     a2801/1 after 11m39s in 1m31.99s
//! ```
//!
//! The first column is the time since the run's start. How long a lease was held is rounded to seconds, how long a
//! call took to milliseconds. Quiet lines are short and say nothing of what was denied or waited for. Trouble goes to
//! stderr; what timed out goes to both.

use std::time::Duration;

use crate::duration::GoDuration;
use crate::history::{Call, Event, Nanos, What};
use crate::workload::{Pace, lease_of, millis};

/// How much the lines say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Short lines, nothing of what was denied or waited for.
    Quiet,
    /// A sentence for everything.
    Verbose,
}

/// Where a line belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// On stdout.
    Out(String),
    /// On stderr.
    Err(String),
    /// On both.
    Both(String),
}

/// Turns events into lines.
pub(crate) struct Writer {
    /// How much they say.
    pub(crate) style: Style,
    /// Every holder by its number.
    pub(crate) holders: Vec<String>,
    /// The run's times.
    pub(crate) pace: Pace,
    /// When the run started.
    pub(crate) start: Nanos,
}

impl Writer {
    /// The line of an event, where it has one.
    pub(crate) fn line(&self, event: &Event) -> Option<Line> {
        let holder = self.holders.get(event.holder as usize)?;
        let since = self.pace.told(event.at.since(self.start));
        let text = match self.style {
            Style::Quiet => self.quiet(holder, &event.what),
            Style::Verbose => self.verbose(holder, &event.what),
        };
        let stamp = stamp(since);
        match text {
            Some(text) => Some(Line::Out(format!("{stamp} {text}"))),
            None => trouble(holder, &event.what, event.holder, &stamp),
        }
    }

    fn quiet(&self, holder: &str, what: &What) -> Option<String> {
        Some(match what {
            What::Connected { took, pid, number } => connected(holder, *took, *pid, *number),
            What::Claimed { took, .. } => format!("claimed  {holder} in {}", millis(*took)),
            What::Extended { held, took, .. } => {
                format!("extended {holder} held for {} in {}", self.held(*held), millis(*took))
            }
            What::Lost { held, took } => {
                format!("lost     {holder} after {} in {}", self.held(*held), millis(*took))
            }
            _ => return None,
        })
    }

    fn verbose(&self, holder: &str, what: &What) -> Option<String> {
        let whom = format!("\"{}\" for \"{holder}\"", lease_of(holder));
        let claim_time = GoDuration::from(self.pace.claim_time);
        let renew_time = GoDuration::from(self.pace.renew_time);
        Some(match what {
            What::Connected { took, pid, number } => connected(holder, *took, *pid, *number),
            What::Claimed { took, .. } => format!(
                "claimed leadership of {whom} for {claim_time} in {}, renewing after {renew_time}",
                millis(*took)
            ),
            What::Extended { held, took, .. } => format!(
                "extended leadership of {whom} for {claim_time} in {}, held for {}, renewing after {renew_time}",
                millis(*took),
                self.held(*held)
            ),
            What::Lost { held, took } => format!(
                "lost leadership of {whom} after {} in {}, blocking until released",
                self.held(*held),
                millis(*took)
            ),
            What::Denied { took } => {
                format!("claim of {whom} denied in {}, blocking until released", millis(*took))
            }
            What::Waited { took } => {
                format!("blocking of {whom} returned after {}, attempting to claim", millis(*took))
            }
            _ => return None,
        })
    }

    fn held(&self, real: Duration) -> GoDuration {
        GoDuration::from(self.pace.told(real)).to_secs()
    }
}

/// The first column: seconds with three decimals, in nine places, and an `s`.
fn stamp(since: Duration) -> String {
    let millis = millis(since).as_nanos() / 1_000_000;
    format!("{:>9}s", format!("{}.{:03}", millis / 1_000, millis % 1_000))
}

fn connected(holder: &str, took: Duration, pid: u32, number: u32) -> String {
    format!("connected [{pid:5}] {number:4} {holder} in {}", millis(took))
}

fn trouble(holder: &str, what: &What, number: u32, stamp: &str) -> Option<Line> {
    let whom = format!("\"{}\" for \"{holder}\"", lease_of(holder));
    match what {
        What::ConnectFailed { to, why } => {
            Some(Line::Err(format!("{number} failed to connect to {to} (retrying): {why}")))
        }
        What::Wrong { why } => Some(Line::Err(format!("{stamp} {whom}: {why}"))),
        What::Disconnected => {
            Some(Line::Err(format!("{stamp} connection of {holder} lost, connecting again")))
        }
        What::Failed { call: Call::Wait, took, why } => Some(Line::Err(format!(
            "{stamp} blocking for leadership of {whom} failed in {} with {why}",
            millis(*took)
        ))),
        What::Failed { call, took, why } => {
            Some(Line::Err(format!("{stamp} {} of {whom} failed in {}: {why}", word(*call), millis(*took))))
        }
        What::TimedOut { call, took, why } => Some(Line::Both(format!(
            "{stamp} {} of {whom} timed out in {}, retrying: {why}",
            word(*call),
            millis(*took)
        ))),
        _ => None,
    }
}

fn word(call: Call) -> &'static str {
    match call {
        Call::Claim => "claim",
        Call::Extend => "extend",
        Call::Wait => "blocking",
    }
}

#[cfg(test)]
mod tests;
