//! What a connection meets before it is served: whether there is a place for it, how soon while the member is pressed, and when it is
//! given up because the machine at its other end answers nothing.
//!
//! ```text
//!   kernel's backlog ──▶ place? ──▶ pace ──▶ tuned ──▶ handshake (64 at a time) ──▶ served
//!                        │ none: told, closed   └ pressed: 500 a second
//! ```
//!
//! Those who are in go before those who come: a login is less urgent than any command. Whoever has no place yet waits where it
//! costs us nothing, in the kernel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lease::CONNECTIONS_PRESSED_A_SECOND;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::Times;
use super::handshake::Handshakes;
use crate::admission::Gate;
use crate::service::Service;

/// Tries without an answer after which a connection is given up.
const TRIES: u32 = 3;
/// What the kernel counts them in.
const SECOND: Duration = Duration::from_secs(1);

/// The port's bounds on those who come.
pub(crate) struct Doorstep {
    pub(super) gate: Arc<Gate>,
    /// With them connections are secured first.
    pub(super) handshakes: Option<Arc<Handshakes>>,
    service: Arc<Service>,
    silence: Silence,
}

/// When a client's machine is given up that answers nothing, whatever its connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Silence {
    /// A connection on which nothing passes is tried after so long,
    after: Duration,
    /// and then so often.
    every: Duration,
    /// The kernel ends a connection whose client reads nothing too. That is for the session to do, by this time of its own.
    at_least: Duration,
}

impl Doorstep {
    pub(crate) fn new(
        gate: Arc<Gate>,
        handshakes: Option<Arc<Handshakes>>,
        service: Arc<Service>,
        times: &Times,
    ) -> Doorstep {
        Doorstep { gate, handshakes, service, silence: Silence::of(times) }
    }

    /// Makes a connection ready. Where the system refuses that it is served all the same: it is noticed later that its client is gone.
    pub(super) fn tune(&self, stream: &TcpStream) {
        // A reply is one small packet, and must not wait for a full segment.
        let tuned = stream.set_nodelay(true).and_then(|()| self.silence.set(stream));
        if let Err(error) = tuned {
            tracing::debug!(%error, "a connection's socket could not be tuned");
        }
    }

    /// Waits while those who are in need all there is.
    pub(super) async fn pace(&self) {
        if self.service.is_pressed() {
            tokio::time::sleep(SECOND / CONNECTIONS_PRESSED_A_SECOND).await;
        }
    }
}

impl Silence {
    /// Sooner than a session that is silent is closed, because the client's own machine answers for a client that is only slow.
    fn of(times: &Times) -> Silence {
        let (after, every) = ((times.ping_every / 2).max(SECOND), (times.ping_every / 10).max(SECOND));
        Silence { after, every, at_least: times.stall_after + every }
    }

    /// After so long without any answer, or with something sent and not acknowledged, the connection ends.
    fn gone_after(self) -> Duration {
        (self.after + self.every * TRIES).max(self.at_least)
    }

    fn set(self, stream: &TcpStream) -> io::Result<()> {
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(self.gone_after()))?;
        let tries = TcpKeepalive::new().with_time(self.after).with_interval(self.every).with_retries(TRIES);
        socket.set_tcp_keepalive(&tries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_gone_is_noticed_before_its_session_is_silent_for_too_long() {
        let times = |ping_every| Times {
            ping_every,
            dead_after: 2 * ping_every,
            stall_after: Duration::from_secs(2),
            going_for: SECOND,
        };
        let usual = times(Duration::from_secs(20));
        assert_eq!(Silence::of(&usual).gone_after(), Duration::from_secs(16));
        assert!(Silence::of(&usual).gone_after() < usual.dead_after);
        assert_eq!(Silence::of(&times(Duration::from_millis(100))).gone_after(), Duration::from_secs(4));
        let patient = Times { stall_after: Duration::from_secs(60), ..usual };
        assert_eq!(Silence::of(&patient).gone_after(), Duration::from_secs(62));
    }
}
