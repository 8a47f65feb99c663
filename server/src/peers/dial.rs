//! Calling another member: one connection, made when something is asked, and made anew after it has failed.
//!
//! ```text
//!            asked                 welcome
//!   apart ─────────▶ connecting ───────────▶ connected: frames ▶, ◀ answers
//!     ▲                  │ why not               │ why it ended
//!     │   a pause        ▼                       ▼
//!     └──────────── what is asked fails at once ◀┘   (no pause after a connection that worked for a while)
//! ```

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use replica::Unreached;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{interval, sleep, timeout};

use super::frame::{self, Broken};
use super::hello::{self, Refusal};
use super::line::{Ask, Waiting};
use super::said::Said;
use super::socket::{self, Stream};
use super::{HELLO_WITHIN, Security, UNANSWERED_MAX, Who};

/// The first pause after a connection that could not be made, or did not last; each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest: so late at most is a member found that has returned.
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// A connection that lasted so long worked: after it there is no pause.
const WORKED: Duration = Duration::from_secs(1);
/// A member that has answered nothing for so long, though it was asked, is said to be silent: its process may be stopped.
const SILENT_AFTER: Duration = Duration::from_secs(2);
/// Bytes that are gathered before they go out.
const BUFFER_BYTES: usize = 64 * 1024;

/// Carries what is asked of one member.
pub(super) struct Dialer {
    me: Who,
    security: Security,
    member: u64,
    address: String,
    asked: UnboundedReceiver<Ask>,
    said: Said,
    /// Whether it was said that the member is not reached.
    is_missed: bool,
}

impl Dialer {
    pub(super) fn new(
        me: Who,
        security: Security,
        member: u64,
        address: String,
        asked: UnboundedReceiver<Ask>,
    ) -> Dialer {
        Dialer { me, security, member, address, asked, said: Said::default(), is_missed: false }
    }

    /// Until nobody is left who could ask.
    pub(super) async fn run(mut self) {
        let mut pause = Duration::ZERO;
        while let Some(first) = self.asked.recv().await {
            let (why, worked) = match self.connect().await {
                Ok(stream) => {
                    self.tell_connected();
                    let began = Instant::now();
                    let why = self.carry(first, stream).await;
                    (why, began.elapsed() >= WORKED)
                }
                Err(why) => {
                    let why = why.to_string();
                    fail(first, Unreached::never_left(self.worded(&why)));
                    (why, false)
                }
            };
            if worked {
                self.said.forget();
            }
            self.tell(&why);
            pause = if worked { Duration::ZERO } else { (2 * pause).clamp(PAUSE_MIN, PAUSE_MAX) };
            self.rest(&why, pause).await;
        }
    }

    async fn connect(&self) -> Result<Stream, Refusal> {
        let connected = socket::connect(&self.address, &self.security).await;
        let (mut stream, proven) = connected.map_err(Refusal::Unconnected)?;
        let meant = Who { member: self.member, ..self.me };
        if let Some(found) = proven.filter(|found| *found != meant) {
            return Err(Refusal::Certificate { found, wanted: meant });
        }
        let hello = timeout(HELLO_WITHIN, hello::call(&mut stream, self.me, self.member)).await;
        hello.unwrap_or(Err(Refusal::Silent))?;
        Ok(stream)
    }

    /// Carries until the connection fails, and says why it did; everything that was asked over it has failed then.
    async fn carry(&mut self, first: Ask, stream: Stream) -> String {
        let (read, write) = tokio::io::split(stream);
        let (unanswered, silence) = (Unanswered::default(), self.silence());
        let why = tokio::select! {
            why = send(first, &mut self.asked, write, &unanswered) => why,
            why = receive(read, &unanswered, silence) => why,
        };
        let why = why.to_string();
        unanswered.fail(&Unreached::unanswered(self.worded(&why)));
        why
    }

    /// Fails what is asked meanwhile, and what was asked before.
    async fn rest(&mut self, why: &str, pause: Duration) {
        let why = Unreached::never_left(self.worded(why));
        let pause = sleep(pause);
        tokio::pin!(pause);
        loop {
            tokio::select! {
                biased;
                Some(ask) = self.asked.recv() => fail(ask, why.clone()),
                () = &mut pause => return,
            }
        }
    }

    fn worded(&self, why: &str) -> String {
        format!("member {} at {}: {why}", self.member, self.address)
    }

    fn silence(&self) -> Silence {
        Silence { member: self.member, address: self.address.clone(), has_answered: true, is_told: false }
    }

    fn tell(&mut self, why: &str) {
        if self.said.is_news(why, Instant::now()) {
            tracing::warn!(member = self.member, address = self.address, why, "a member is not reached");
            self.is_missed = true;
        }
    }

    fn tell_connected(&mut self) {
        match std::mem::take(&mut self.is_missed) {
            true => tracing::info!(member = self.member, address = self.address, "a member is reached again"),
            false => tracing::debug!(member = self.member, address = self.address, "connected to a member"),
        }
    }
}

fn fail(ask: Ask, why: Unreached) {
    // Nobody may be waiting any more.
    drop(ask.answer.send(Err(why)));
}

async fn send(
    first: Ask,
    asked: &mut UnboundedReceiver<Ask>,
    to: impl AsyncWrite + Unpin,
    unanswered: &Unanswered,
) -> Broken {
    let mut to = BufWriter::with_capacity(BUFFER_BYTES, to);
    let mut next = Some(first);
    let mut number = 0;
    let sent = async {
        loop {
            let ask = match next.take() {
                Some(ask) => Some(ask),
                None => match asked.try_recv() {
                    Ok(ask) => Some(ask),
                    Err(_) => {
                        to.flush().await?;
                        asked.recv().await
                    }
                },
            };
            // Nobody is left who could ask.
            let Some(ask) = ask else { return Ok(()) };
            let Some((sending, answer)) = ask.take() else { continue };
            number += 1;
            if unanswered.add(number, answer) {
                frame::write(&mut to, number, &sending.frame).await?;
            }
        }
    };
    match sent.await {
        Ok(()) => Broken::Closed,
        Err(error) => Broken::Io(error),
    }
}

async fn receive(from: impl AsyncRead + Unpin, unanswered: &Unanswered, mut silence: Silence) -> Broken {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut look = interval(SILENT_AFTER);
    loop {
        let mut answer = Vec::new();
        let number = {
            let read = frame::read(&mut from, &mut answer);
            tokio::pin!(read);
            loop {
                tokio::select! {
                    number = &mut read => break number,
                    _ = look.tick() => silence.look(unanswered),
                }
            }
        };
        match number {
            Ok(number) => unanswered.answer(number, answer),
            Err(broken) => return broken,
        }
        silence.hear();
    }
}

/// Whether a member that is connected answers.
struct Silence {
    member: u64,
    address: String,
    /// Since the last look.
    has_answered: bool,
    is_told: bool,
}

impl Silence {
    fn look(&mut self, unanswered: &Unanswered) {
        let has_answered = std::mem::take(&mut self.has_answered);
        if !has_answered && !self.is_told && unanswered.oldest() >= SILENT_AFTER {
            self.is_told = true;
            tracing::warn!(
                member = self.member,
                address = self.address,
                "a member is connected, and answers nothing"
            );
        }
    }

    fn hear(&mut self) {
        self.has_answered = true;
        if std::mem::take(&mut self.is_told) {
            tracing::info!(member = self.member, address = self.address, "a member answers again");
        }
    }
}

/// What was sent over a connection and has no answer yet, by its number.
#[derive(Default)]
struct Unanswered(Mutex<BTreeMap<u64, (Instant, Waiting)>>);

impl Unanswered {
    /// Whether there was room for one more.
    fn add(&self, number: u64, answer: Waiting) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= UNANSWERED_MAX {
            waiting.retain(|_, (_, answer)| !answer.is_closed());
        }
        let has_room = waiting.len() < UNANSWERED_MAX;
        match has_room {
            true => drop(waiting.insert(number, (Instant::now(), answer))),
            false => {
                let why = format!("{UNANSWERED_MAX} frames are without an answer already, the limit");
                drop(answer.send(Err(Unreached::never_left(why))));
            }
        }
        has_room
    }

    /// How long the first of them has been without one.
    fn oldest(&self) -> Duration {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.values().next().map_or(Duration::ZERO, |(asked, _)| asked.elapsed())
    }

    /// An answer to what nobody asked, or waits for any more, is of no use to anybody.
    fn answer(&self, number: u64, bytes: Vec<u8>) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        let _: Option<Result<(), _>> = waiting.map(|(_, waiting)| waiting.send(Ok(bytes)));
    }

    fn fail(self, why: &Unreached) {
        let waiting = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        waiting.into_values().for_each(|(_, waiting)| drop(waiting.send(Err(why.clone()))));
    }
}
