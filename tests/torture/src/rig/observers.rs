//! Those who look: one for each member, in the clients' namespace. It watches every change through that member, asks it how it
//! is, and in the end takes and releases a lease through it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use client::{Claim, Endpoint, Failure, Options, Outcome, Session, Watcher};
use nix::sched::{CloneFlags, setns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use torture::history::{Answer, Call, Change, Event, Leader, Member, What};

use super::net::address;
use crate::answer;
use crate::recorder::Recorder;
use crate::workload::NAMESPACE;

const POLL: Duration = Duration::from_millis(100);
const ANSWER: Duration = Duration::from_secs(1);

/// What was last seen of the members.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    leader: AtomicU64,
    term: AtomicU64,
    leaders: AtomicU64,
    members: Mutex<BTreeMap<u64, Look>>,
}

/// One member, as it was last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) ready: bool,
    pub(crate) revision: u64,
    /// How many claims with their releases were done through it.
    pub(crate) probes: u64,
}

impl Seen {
    /// The member that said of itself that it leads, in the newest term.
    pub(crate) fn leader(&self) -> Option<u64> {
        Some(self.leader.load(Ordering::Acquire)).filter(|leader| *leader > 0)
    }

    /// How often the leader was seen to change.
    pub(crate) fn leader_changes(&self) -> u64 {
        self.leaders.load(Ordering::Acquire).saturating_sub(1)
    }

    pub(crate) fn look(&self, member: u64) -> Look {
        self.members().get(&member).copied().unwrap_or_default()
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<u64, Look>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, member: u64, change: impl FnOnce(&mut Look)) -> Look {
        let mut members = self.members();
        let look = members.entry(member).or_default();
        change(look);
        *look
    }
}

/// All observers, on a thread of their own.
pub(crate) struct Observers {
    pub(crate) seen: Arc<Seen>,
    phase: watch::Sender<Phase>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Look,
    Probe,
    Stop,
}

impl Observers {
    /// Starts to look at the members.
    pub(crate) fn start(namespace: &str, members: u64, recorder: Recorder) -> io::Result<Observers> {
        let namespace = File::open(format!("/run/netns/{namespace}"))?;
        let (seen, (phase, phases)) = (Arc::new(Seen::default()), watch::channel(Phase::Look));
        let shared = seen.clone();
        let thread = std::thread::Builder::new().name("observers".to_owned()).spawn(move || {
            // Every socket of this thread is then in the clients' namespace.
            setns(namespace, CloneFlags::CLONE_NEWNET)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut all = tokio::task::JoinSet::new();
                for member in 1..=members {
                    let observer = Observer { member, recorder: recorder.clone(), seen: shared.clone() };
                    all.spawn(observer.clone().watch(phases.clone()));
                    all.spawn(observer.clone().ask(phases.clone()));
                    all.spawn(observer.probe(phases.clone()));
                }
                while all.join_next().await.is_some() {}
            });
            Ok(())
        })?;
        Ok(Observers { seen, phase, thread: Some(thread) })
    }

    /// From now on claims are made through each member.
    pub(crate) fn probe(&self) {
        let _ = self.phase.send(Phase::Probe);
    }

    /// Ends them, and waits for that.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        let _ = self.phase.send(Phase::Stop);
        let ended = self.thread.take().map(JoinHandle::join);
        ended.unwrap_or(Ok(Ok(()))).unwrap_or_else(|_| Err(io::Error::other("an observer broke")))
    }
}

#[derive(Clone)]
struct Observer {
    member: u64,
    recorder: Recorder,
    seen: Arc<Seen>,
}

impl Observer {
    async fn watch(self, mut phase: watch::Receiver<Phase>) {
        let mut after = 0;
        loop {
            tokio::select! {
                _ = phase.wait_for(|phase| *phase == Phase::Stop) => return,
                failure = self.watch_once(&mut after) => {
                    // What the member does not keep any more is lost to this history, which then says less.
                    if let Failure::Refused(problem) = failure {
                        eprintln!("torture: the watch of member {} after {after}: {problem}", self.member);
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn watch_once(&self, after: &mut u64) -> Failure {
        let mut watcher = match self.begin(*after).await {
            Ok(watcher) => watcher,
            Err(failure) => return failure,
        };
        loop {
            match watcher.next().await {
                Some(Ok(event)) => {
                    *after = event.revision;
                    self.saw(event);
                }
                Some(Err(failure)) => return failure,
                None => return Failure::Unavailable(client::Unavailable::Closed),
            }
        }
    }

    async fn begin(&self, after: u64) -> Result<Watcher, Failure> {
        let session = Session::connect(self.options()).await?;
        let watch =
            api::Watch { namespace: NAMESPACE.to_owned(), name: None, prefix: None, after: Some(after) };
        session.watch(watch).await.into_result()
    }

    fn options(&self) -> Options {
        let endpoint: Result<Endpoint, _> = format!("{}:7400", address(self.member)).parse();
        Options { deadline: Duration::from_secs(2), ..Options::new(endpoint.into_iter().collect()) }
    }

    fn saw(&self, event: api::Event) {
        let change = match event.what {
            api::What::Granted(grant) => {
                Change::Granted { token: grant.token, holder: grant.holder, confirmed: grant.confirmed }
            }
            api::What::Confirmed(grant) => Change::Confirmed { token: grant.token },
            api::What::Ended(end) => Change::Ended { token: end.token, why: end.why },
            _ => Change::Other,
        };
        let (member, revision, lease) = (self.member, event.revision, event.name);
        self.recorder.note(What::Event(Event { member, watch: 1, revision, lease, change }));
        self.seen.note(member, |look| look.revision = revision);
    }

    async fn ask(self, mut phase: watch::Receiver<Phase>) {
        let mut known = Look::default();
        loop {
            tokio::select! {
                _ = phase.wait_for(|phase| *phase == Phase::Stop) => return,
                told = tokio::time::timeout(ANSWER, readyz(self.member)) => {
                    let told = told.unwrap_or(Err(io::ErrorKind::TimedOut.into())).ok();
                    let look = self.seen.note(self.member, |look| look.ready = told.is_some());
                    if (look.ready, look.revision) != (known.ready, known.revision) {
                        let (ready, revision) = (look.ready, look.revision);
                        self.recorder.note(What::Member(Member { member: self.member, ready, revision }));
                        known = look;
                    }
                    if let Some(Ready { leads: true, term }) = told {
                        self.leads(term);
                    }
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// An old leader may say so for a while of itself, until it hears of the newer term.
    fn leads(&self, term: u64) {
        if self.seen.term.fetch_max(term, Ordering::AcqRel) < term {
            self.seen.leader.store(self.member, Ordering::Release);
            self.seen.leaders.fetch_add(1, Ordering::AcqRel);
            self.recorder.note(What::Leader(Leader { member: self.member, term }));
        }
    }

    async fn probe(self, mut phase: watch::Receiver<Phase>) {
        if phase.wait_for(|phase| *phase != Phase::Look).await.is_err() {
            return;
        }
        let (mut client, lease) = (1, format!("probe{}", self.member));
        loop {
            let name = format!("probe{}-{client}", self.member);
            tokio::select! {
                _ = phase.wait_for(|phase| *phase == Phase::Stop) => return,
                done = self.probe_once(&name, &lease) => {
                    if done {
                        self.seen.note(self.member, |look| look.probes += 1);
                    }
                }
            }
            client += 1;
            tokio::time::sleep(POLL * 3).await;
        }
    }

    /// A claim and its release through this member alone, by a client of its own.
    async fn probe_once(&self, client: &str, lease: &str) -> bool {
        let Ok(session) = Session::connect(self.options()).await else { return false };
        let ttl = Duration::from_secs(1);
        let op = self.recorder.invoke(client, lease, Some(self.member), Call::Claim { ttl_ms: 1_000 });
        let claim = Claim { namespace: NAMESPACE.to_owned(), ttl, ..Claim::new(lease, client) };
        let outcome = session.claim(claim).await;
        self.recorder.returns(op, answer::of(&outcome, |grant| Answer::Granted { token: grant.token() }));
        let Outcome::Done(grant) = outcome else { return false };
        let call = Call::Release { token: grant.token() };
        let op = self.recorder.invoke(client, lease, Some(self.member), call);
        let outcome = session.release(&grant).await;
        self.recorder.returns(op, answer::of(&outcome, |()| Answer::Done));
        matches!(outcome, Outcome::Done(()))
    }
}

/// What a member that is ready says of itself.
struct Ready {
    leads: bool,
    term: u64,
}

async fn readyz(member: u64) -> io::Result<Ready> {
    let mut socket = TcpStream::connect(format!("{}:7400", address(member))).await?;
    let host = address(member);
    socket
        .write_all(format!("GET /readyz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    let body =
        answer.split_once("\r\n\r\n").map(|(_, body)| body).filter(|_| answer.starts_with("HTTP/1.1 200"));
    let body = body.ok_or_else(|| io::Error::other("it is not ready"))?;
    let ready: serde_json::Value = serde_json::from_str(body)?;
    let leads = ready["leader"].is_string() && ready["leader"] == ready["member"];
    let term = ready["term"].as_str().and_then(|term| term.parse().ok()).unwrap_or(0);
    Ok(Ready { leads, term })
}
