//! What `tenure` and its guardian tell each other: a line of JSON each, over a socket that is the guardian's stdin.
//!
//! The stdin that `tenure` was started with is the command's: it goes to the guardian over the socket, with its first byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use client::{Clock, Instant};
use nix::time::{ClockId, clock_gettime};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::schedule::Belief;

/// From `tenure` to its guardian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The lease is held for so long. Acknowledged.
    Held(Remaining),
    /// Start the command, with these added to its environment.
    Start(Vec<(String, String)>),
    /// Pass this signal on to the command.
    Signal(i32),
    /// Run this in a shell, and tell how it ended.
    Probe(String),
    /// Ask everything to end, and see to it that it does: with the time that a lease which runs out gives.
    End,
    /// Kill everything: another may hold the lease already.
    Kill,
}

/// From the guardian to its `tenure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    /// It is there, and orphans come to it.
    Ready,
    /// The last `Held` is known.
    Noted,
    /// The lease was not extended in time: everything is being ended.
    Ending,
    /// The command has ended, with this code of a shell's.
    Exited(u8),
    /// How the last probe ended.
    Probed(bool),
    /// Nothing is left.
    Gone,
}

/// How long the lease is held, such that whoever reads it late knows how late: CLOCK_BOOTTIME is one for all processes, and
/// goes on while they or the machine sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remaining {
    hold_ns: u64,
    remaining_ns: u64,
    boottime_ns: u64,
}

impl Remaining {
    /// Of a belief on this clock.
    pub(crate) fn of(belief: Belief, clock: impl FnOnce() -> Instant) -> io::Result<Remaining> {
        // The reading first: what passes between the two makes the reader's time shorter, never longer.
        let boottime_ns = boottime_ns()?;
        let remaining = clock().until(belief.safe_until);
        Ok(Remaining { hold_ns: nanos(belief.hold), remaining_ns: nanos(remaining), boottime_ns })
    }

    /// The same belief on this process's clock.
    pub(crate) fn on(self, clock: &impl Clock) -> io::Result<Belief> {
        let now = clock.now();
        let on_the_way = boottime_ns()?.saturating_sub(self.boottime_ns);
        let remaining = Duration::from_nanos(self.remaining_ns.saturating_sub(on_the_way));
        Ok(Belief { safe_until: now.after(remaining), hold: Duration::from_nanos(self.hold_ns) })
    }
}

/// A message as it crosses the socket.
pub(crate) fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

/// Puts lines together from what a socket gives.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub(crate) fn next<T: for<'a> Deserialize<'a>>(&mut self) -> Option<io::Result<T>> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.0.drain(..=end).collect();
        Some(serde_json::from_slice(&line).map_err(io::Error::from))
    }
}

/// Sends the first byte, and with it a file.
pub(crate) fn send_file(socket: impl AsFd, file: impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [file.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("no room for one file"));
    }
    sendmsg(socket, &[IoSlice::new(b".")], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the first byte, and with it a file.
pub(crate) fn receive_file(socket: impl AsFd) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    files.next().ok_or_else(|| io::Error::other("no file came"))
}

fn boottime_ns() -> io::Result<u64> {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    Ok(nanos(Duration::from(time)))
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use client::HolderClock;

    use super::*;

    #[test]
    fn what_is_read_late_is_as_much_shorter() {
        let (here, there) = (HolderClock::start().unwrap(), HolderClock::start().unwrap());
        let hold = Duration::from_secs(10);
        let belief = Belief { safe_until: here.now().after(hold), hold };
        let told = Remaining::of(belief, || here.now()).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let known = told.on(&there).unwrap();
        let (left, known) = (here.now().until(belief.safe_until), there.now().until(known.safe_until));
        assert!(known <= left + Duration::from_millis(1), "{known:?} of {left:?}");
        assert!(known + Duration::from_secs(1) > left, "{known:?} of {left:?}");
    }

    #[test]
    fn lines_are_put_together() {
        let mut lines = Lines::default();
        let sent = [Order::Signal(15), Order::Start(vec![("A".into(), "b\nc".into())]), Order::End];
        let bytes: Vec<u8> = sent.iter().flat_map(|order| line(order).unwrap()).collect();
        let mut seen = Vec::new();
        for part in bytes.chunks(3) {
            lines.push(part);
            while let Some(order) = lines.next::<Order>() {
                seen.push(order.unwrap());
            }
        }
        assert_eq!(seen, sent);
    }

    #[test]
    fn a_file_goes_over() {
        let (one, other) = UnixStream::pair().unwrap();
        let (file, mut end) = UnixStream::pair().unwrap();
        send_file(&one, &file).unwrap();
        let mut file: UnixStream = {
            drop(file);
            receive_file(&other).unwrap()
        }
        .into();
        io::Write::write_all(&mut file, b"hello").unwrap();
        drop(file);
        let mut text = String::new();
        end.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        assert!(
            {
                drop(one);
                receive_file(&other)
            }
            .is_err()
        );
    }
}
