//! Tenure's own session: the `client` crate as any program uses it, one session a holder.

use std::sync::Arc;
use std::time::Duration;

use api::{Code, Kind, Problem};
use client::{
    Claim, Clock, Endpoint, Failure, Grant, HolderClock, Options, OwnFiles, Tls, TlsFiles, Unavailable,
};

use crate::clock;
use crate::history::Nanos;
use crate::target::{Attempt, Granted, No, Seat, Session, Target};
use crate::workload::{Share, Trust};

/// How long a holder waits for an answer to a claim or an extend.
const DEADLINE: Duration = Duration::from_secs(5);

/// Sessions at the endpoints of a share.
pub struct Sessions {
    endpoints: Vec<Endpoint>,
    /// One for all sessions; where its files cannot be used, connecting says so.
    tls: Result<Option<Tls>, String>,
    namespace: String,
    /// One clock for all sessions; where the machine has none, opening the first session says so.
    clock: Option<Arc<dyn Clock>>,
}

impl Sessions {
    /// Sessions for the holders of this share. Endpoints were checked where they were read.
    pub fn new(share: &Share) -> Sessions {
        Sessions {
            endpoints: share.endpoints.iter().filter_map(|endpoint| endpoint.parse().ok()).collect(),
            tls: share.trust.clone().map(load).transpose(),
            namespace: share.namespace.clone(),
            clock: HolderClock::start().ok().map(|clock| Arc::new(clock) as Arc<dyn Clock>),
        }
    }
}

fn load(trust: Trust) -> Result<Tls, String> {
    let own = trust.own.map(|(cert, key)| OwnFiles { cert, key });
    Tls::load(TlsFiles { ca: trust.ca, own }).map_err(|error| error.to_string())
}

impl Target for Sessions {
    type Session = OneSession;

    async fn connect(&self, seat: &Seat) -> Result<OneSession, String> {
        let mut endpoints = self.endpoints.clone();
        let first = seat.number as usize % endpoints.len().max(1);
        endpoints.rotate_left(first);
        let options = Options {
            agent: None,
            deadline: DEADLINE,
            clock: self.clock.clone(),
            tls: self.tls.clone()?,
            ..Options::new(endpoints)
        };
        let session = client::Session::connect(options).await.map_err(|failure| failure.to_string())?;
        let claim = Claim {
            namespace: self.namespace.clone(),
            ttl: Duration::from_millis(seat.ttl_ms),
            ..Claim::new(seat.lease.as_str(), seat.holder.as_str())
        };
        Ok(OneSession { session, claim, grant: None })
    }
}

/// One holder's session, and the grant that it has.
pub struct OneSession {
    session: client::Session,
    claim: Claim,
    grant: Option<Grant>,
}

impl OneSession {
    fn take(&mut self, grant: Grant) -> Granted {
        let granted = Granted { token: grant.token(), until: until(&grant) };
        self.grant = Some(grant);
        granted
    }
}

impl Session for OneSession {
    // The session numbers its claims itself, and settles one of unknown outcome before it makes another.
    async fn claim(&mut self, _: Attempt) -> Result<Granted, No> {
        let claimed = self.session.claim(self.claim.clone()).await.into_result();
        claimed.map(|grant| self.take(grant)).map_err(no)
    }

    async fn extend(&mut self, _: u64) -> Result<Granted, No> {
        let Some(grant) = &self.grant else { return Err(No::Lost) };
        let extended = self.session.extend(grant, self.claim.ttl).await.into_result();
        extended.map(|grant| self.take(grant)).map_err(no)
    }

    async fn wait(&mut self, after: Option<u64>) -> Result<(), No> {
        let Claim { namespace, name, .. } = &self.claim;
        self.session.wait(namespace, name, after, None).await.into_result().map(drop).map_err(no)
    }
}

/// Until when the holder believes, on the machine's clock. The session counts on one of its own, so that both are read
/// side by side: as often as it takes for nothing to come between, and never too early.
fn until(grant: &Grant) -> Nanos {
    const BETWEEN_MAX: Duration = Duration::from_micros(20);
    let read = || {
        let before = clock::now();
        let remaining = grant.remaining();
        let after = clock::now();
        (after.plus(remaining), after.since(before))
    };
    let mut best = read();
    for _ in 0..5 {
        if best.1 <= BETWEEN_MAX {
            break;
        }
        let next = read();
        best = if next.1 < best.1 { next } else { best };
    }
    best.0
}

fn no(failure: Failure) -> No {
    match failure {
        Failure::Refused(problem) => refused(&problem),
        Failure::Unavailable(Unavailable::Answered(problem)) => again(&problem),
        Failure::Unavailable(cause) => No::Again { after: None, why: cause.to_string() },
        Failure::Unknown(doubt) => No::Unknown { why: doubt.to_string() },
    }
}

fn refused(problem: &Problem) -> No {
    match problem.code {
        Code::Held | Code::Cooldown => No::Held { after: problem.revision },
        // With a revoke the grant still stands for a while, but there is nothing left to extend.
        Code::Lost | Code::StaleToken | Code::NotYours | Code::Ending => No::Lost,
        code if code.kind() == Kind::Usage => No::Wrong { why: problem.to_string() },
        _ => again(problem),
    }
}

fn again(problem: &Problem) -> No {
    No::Again { after: problem.retry_after_ms.map(Duration::from_millis), why: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use api::{Code, Problem};

    use super::refused;
    use crate::target::No;

    #[test]
    fn every_refusal_means_what_a_holder_does_next() {
        for code in Code::ALL {
            let problem = Problem { revision: Some(9), ..Problem::new(*code, "why") };
            let expected = match code {
                Code::Held | Code::Cooldown => "wait",
                Code::Lost | Code::StaleToken | Code::NotYours | Code::Ending => "claim",
                Code::BadRequest
                | Code::BadName
                | Code::BadTtl
                | Code::TooLarge
                | Code::NotFound
                | Code::IndexAhead => "stop",
                _ => "again",
            };
            let found = match refused(&problem) {
                No::Held { after } => {
                    assert_eq!(after, Some(9));
                    "wait"
                }
                No::Lost => "claim",
                No::Wrong { .. } => "stop",
                No::Again { .. } => "again",
                No::Unknown { .. } | No::Gone { .. } => "unknown",
            };
            assert_eq!(found, expected, "{code}");
        }
    }
}
