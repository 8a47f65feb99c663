//! Takes what the crew sees: prints it, counts it, and hands it to the judge.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::RunError;
use crate::clock;
use crate::crew::{Crew, Message};
use crate::history::{Event, Nanos, What};
use crate::lines::Writer;
use crate::printer::{Printer, SECOND};
use crate::report::{Report, Tally};
use crate::verdict::Judge;

/// How soon a request to stop is seen.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(100);

/// Events taken before lines are written out.
const BURST_MAX: usize = 4_096;

pub(crate) struct Recorder {
    pub(crate) writer: Writer,
    pub(crate) printer: Printer,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    pub(crate) held_over_time: Vec<(f64, usize)>,
    /// Why there is no connection to each member, since one was made.
    pub(crate) causes: BTreeMap<String, String>,
}

impl Recorder {
    /// Records until the run's time is over or `stop` is raised.
    ///
    /// # Errors
    /// Where a member of the crew ends before its time, a call can never be right, or nobody reads our lines any more.
    pub(crate) fn record(
        &mut self,
        crew: &mut Crew,
        until: Option<Nanos>,
        stop: &AtomicBool,
    ) -> Result<Nanos, RunError> {
        let mut next_second = self.writer.start.plus(SECOND);
        loop {
            let now = clock::now();
            if now >= next_second {
                self.second(next_second);
                next_second = next_second.plus(SECOND);
                continue;
            }
            if self.printer.closed {
                return Err(RunError::Unread);
            }
            if stop.load(Ordering::Relaxed) || until.is_some_and(|until| now >= until) {
                self.printer.flush();
                return Ok(now);
            }
            let until = until.map_or(next_second, |until| until.min(next_second));
            self.receive(&crew.inbox, until.since(now).min(STOP_SEEN_WITHIN))?;
            self.printer.flush();
        }
    }

    /// The members have stopped: takes what they sent last, and puts the figures together.
    ///
    /// # Errors
    /// Where no holder ever reached a member: there is nothing to judge.
    pub(crate) fn finish(
        mut self,
        crew: &Crew,
        end: Nanos,
        servers: Vec<crate::process::Usage>,
    ) -> Result<Report, RunError> {
        for message in crew.inbox.try_iter() {
            if let Message::Saw(event) = message
                && event.at <= end
            {
                self.see(&event);
            }
        }
        self.printer.finish();
        if !self.tally.reached {
            return Err(RunError::Broken(self.unreached()));
        }
        let holders = self.writer.holders.len();
        let lasted = end.since(self.writer.start);
        let verdict = self.judge.finish(end);
        Ok(Report::new(holders, lasted, &self.tally, verdict, self.held_over_time, servers))
    }

    fn unreached(&self) -> String {
        match self.causes.values().last() {
            Some(why) => format!("no holder ever connected: {why}"),
            None => "no holder connected before the run was over: give it a longer --duration".to_owned(),
        }
    }

    fn receive(&mut self, inbox: &Receiver<Message>, patience: Duration) -> Result<(), RunError> {
        let first = match inbox.recv_timeout(patience) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return Ok(()),
            Err(RecvTimeoutError::Disconnected) => return Err(ended_early()),
        };
        for message in std::iter::once(first).chain(inbox.try_iter().take(BURST_MAX)) {
            match message {
                Message::Saw(Event { what: What::Wrong { why }, .. }) => return Err(RunError::Wrong(why)),
                Message::Saw(event) => self.see(&event),
                Message::Ended(Err(why)) => return Err(RunError::Broken(why)),
                Message::Ended(Ok(())) => return Err(ended_early()),
            }
        }
        Ok(())
    }

    fn see(&mut self, event: &Event) {
        if self.is_news(&event.what)
            && let Some(line) = self.writer.line(event)
        {
            self.printer.take(line);
        }
        self.tally.observe(event);
        self.judge.observe(event);
    }

    /// Each holder tries again and again: why it cannot connect is said once, until that changes.
    fn is_news(&mut self, what: &What) -> bool {
        match what {
            What::ConnectFailed { to, why } => {
                self.causes.insert(to.clone(), why.clone()).is_none_or(|before| before != *why)
            }
            What::Connected { .. } => {
                self.causes.clear();
                true
            }
            _ => true,
        }
    }

    fn second(&mut self, at: Nanos) {
        let held = self.judge.held(at);
        let told = self.writer.pace.told(at.since(self.writer.start));
        self.held_over_time.push(((told.as_secs_f64() * 1_000.0).round() / 1_000.0, held));
        self.printer.second(held, self.tally.lost, self.tally.errors + self.tally.timeouts);
    }
}

fn ended_early() -> RunError {
    RunError::Broken("a process of the run ended before its time; its stderr says why".to_owned())
}
