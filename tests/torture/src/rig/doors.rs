//! What the members' doors say of themselves: each `/readyz` is asked many times a second, from the clients' namespace, and
//! every answer is kept with its time. A scenario reads there since when a member was in step, and what it gave as its reason
//! until then.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use serde_json::Value;
use torture::history::Nanos;

use super::net::{Place, address};
use crate::clock;

const EVERY: Duration = Duration::from_millis(20);
/// A door that does not answer within this is silent.
const ANSWER: Duration = Duration::from_millis(500);

/// What a door said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It is ready.
    Ready {
        /// Its id in the cluster.
        member: u64,
        /// Whom it takes for the leader.
        leader: Option<u64>,
        term: u64,
        /// How far its log is applied.
        applied: u64,
    },
    /// It is not, and why.
    Not(String),
    /// Nobody answered.
    Silent,
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// When it was asked: what it says held at some time from then on.
    pub(crate) asked: Nanos,
    /// When the answer was there.
    pub(crate) at: Nanos,
    /// Whom.
    pub(crate) place: Place,
    pub(crate) said: Said,
}

/// Those who ask, a thread for each member.
pub(crate) struct Doors {
    samples: Arc<Mutex<Vec<Sample>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

impl Doors {
    /// Asks from now on.
    pub(crate) fn start(namespace: &str, places: &[Place]) -> io::Result<Doors> {
        let (samples, stop) = (Arc::<Mutex<Vec<Sample>>>::default(), Arc::new(AtomicBool::new(false)));
        let ask = |place: &Place| {
            let (place, samples, stop) = (*place, samples.clone(), stop.clone());
            let namespace = File::open(format!("/run/netns/{namespace}"))?;
            std::thread::Builder::new().name(format!("door {place}")).spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET)?;
                while !stop.load(Ordering::Acquire) {
                    let asked = clock::now();
                    let said = readyz(place).unwrap_or(Said::Silent);
                    let sample = Sample { asked, at: clock::now(), place, said };
                    samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
                    std::thread::sleep(EVERY);
                }
                Ok(())
            })
        };
        let threads = places.iter().map(ask).collect::<io::Result<Vec<_>>>()?;
        Ok(Doors { samples, stop, threads })
    }

    /// All answers since a time, in the order in which they came.
    pub(crate) fn since(&self, from: Nanos) -> Vec<Sample> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().filter(|sample| sample.asked >= from).cloned().collect()
    }

    /// The term, and the place of the member that says that it leads in it, as far as is known.
    pub(crate) fn leader(&self) -> Option<(u64, Place)> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().rev().take(200).filter_map(leads).max()
    }
}

/// The term and the place, where the sample is of a member that leads.
pub(crate) fn leads(sample: &Sample) -> Option<(u64, Place)> {
    match sample.said {
        Said::Ready { member, leader: Some(leader), term, .. } if member == leader => {
            Some((term, sample.place))
        }
        _ => None,
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn readyz(place: Place) -> io::Result<Said> {
    let host = address(place);
    let to: SocketAddr = format!("{host}:7400").parse().map_err(io::Error::other)?;
    let mut socket = TcpStream::connect_timeout(&to, ANSWER)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket
        .write_all(format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("half an answer"))?;
    Ok(understand(head.starts_with("HTTP/1.1 200"), &serde_json::from_str(body)?))
}

fn understand(ready: bool, body: &Value) -> Said {
    let number = |name: &str| body[name].as_str().and_then(|digits| digits.parse().ok());
    if ready {
        let (member, term) = (number("member").unwrap_or(0), number("term").unwrap_or(0));
        return Said::Ready {
            member,
            leader: number("leader"),
            term,
            applied: number("applied").unwrap_or(0),
        };
    }
    let word = |name: &str| body["error"][name].as_str().unwrap_or_default();
    Said::Not(format!("{}: {}", word("code"), word("message")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_understood_ready_or_not() {
        let ready =
            serde_json::json!({"ready": true, "member": "2", "leader": "2", "term": "7", "applied": "41"});
        let said = understand(true, &ready);
        assert_eq!(said, Said::Ready { member: 2, leader: Some(2), term: 7, applied: 41 });
        assert_eq!(leads(&Sample { asked: 0, at: 1, place: 3, said }), Some((7, 3)));
        let not = serde_json::json!({"error": {"code": "behind", "message": "not ready: behind"}});
        assert_eq!(understand(false, &not), Said::Not("behind: not ready: behind".to_owned()));
    }
}
