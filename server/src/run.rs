//! The process from start to end: what is opened in which order, what a signal does, and how it stops.
//!
//! ```text
//! config ─▶ ports ─▶ data folder ─▶ replica (own thread) ─▶ doors (runtime of their own) ─▶ "listening on …"
//!                                                             │ SIGTERM, SIGINT
//!   replica stops ◀─ sessions and requests end, bounded ◀─ nothing new is let in
//! ```

use std::future::pending;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{getpriority_process, setpriority_process};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::admission::{self, Gate};
use crate::config::{Config, PEER_LISTEN_DEFAULT, Throttle};
use crate::credentials;
use crate::data::{Data, has_joined};
use crate::doors::doorstep::Doorstep;
use crate::doors::handshake::Handshakes;
use crate::doors::{self, Doors, Going, Registry, Times};
use crate::error::ServeError;
use crate::identity::{Audit, Doorkeeper};
use crate::lease_log::{BOUNDS, LeaseLog};
use crate::log::{self, SetLevel};
use crate::peers::Security;
use crate::replica_thread::{EXIT_BROKEN, ReplicaThread};
use crate::service::Service;
use crate::tls::{self, Rereads};

/// How much longer than its sessions an orderly stop waits for their closing frames and last requests.
const STOP_SLACK: Duration = Duration::from_millis(1_500);

/// How much less urgent the doors' threads are than the replica's and the log's, as `nice` counts: a third of their share.
const DOORS_NICER: i32 = 5;

/// Why sessions are told to move.
const BEHIND: &str = "this member has had no news of a leader for 3 s";
/// The same, of a member that cannot ask its leader.
const UNANSWERED: &str = "this member hears its leader, which has not answered it for 3 s";
/// How often a member looks whether its sessions should move.
const MOVE_LOOK: Duration = Duration::from_millis(250);
/// After so many looks those who stayed are told again.
const LOOKS_UNTIL_SAID_AGAIN: u32 = 20;
/// How often a member for trying things looks whether it is ready, and after how many looks it says that it is not.
const READY_LOOK: Duration = Duration::from_millis(50);
const LOOKS_UNTIL_NOT_READY: u32 = 40;
/// How often the certificates' files are looked at.
const REREAD_EVERY: Duration = Duration::from_secs(60);
const REREADS_A_DAY: u64 = 24 * 60 * 60 / REREAD_EVERY.as_secs();

/// A running server. Dropped without [`Server::stop`], it ends without a word to its clients; its log is closed all the same.
pub struct Server {
    runtime: Runtime,
    address: SocketAddr,
    doors: Doors,
    gate: Arc<Gate>,
    certificates: Vec<Arc<dyn Rereads>>,
    stop: watch::Sender<bool>,
    stop_within: Duration,
    replica: ReplicaThread,
    // Behind the replica: what it did last is written too.
    lease_log: Option<LeaseLog>,
    // The last to go: until the replica has stopped, the folder is ours.
    data: Data,
}

/// Serves until SIGTERM or SIGINT, then stops in order: returns once every client was told and the log is closed. A second
/// signal ends the process at once, and so does a disk on which the log cannot be closed. Prints `listening on ADDRESS:PORT` to stdout once clients are served, and nothing else.
///
/// # Errors
/// Why it did not start.
pub fn serve(config: Config) -> Result<(), ServeError> {
    let set_level = log::start(config.log_level, config.log_format);
    end_with_broken_threads();
    let server = Server::start(&config)?;
    let runtime = server.runtime.handle().clone();
    let signals = || Ok((StopSignals::new()?, signal(SignalKind::hangup())?));
    let no_signals = |error| ServeError::System { what: "listening for signals", error };
    let (mut stop, hangup) = runtime.block_on(async { signals() }).map_err(no_signals)?;
    announce(&config, server.address);
    if config.dev {
        runtime.spawn(introduce(server.address, Arc::clone(&server.doors.service)));
    }
    runtime.block_on(until_stop(&mut stop, hangup, config, set_level, &server));
    runtime.spawn(async move {
        let name = stop.next().await;
        eprintln!("tenure: {name} again: the process ends at once");
        std::process::exit(EXIT_BROKEN);
    });
    server.stop();
    Ok(())
}

impl Server {
    /// Starts a server; it serves once this returns.
    ///
    /// # Errors
    /// Why it did not start. What it had opened is closed.
    pub fn start(config: &Config) -> Result<Server, ServeError> {
        let system = |what| move |error| ServeError::System { what, error };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("doors")
            .on_thread_start(yield_to_the_replica)
            .enable_all()
            .build()
            .map_err(system("making the doors' runtime"))?;
        let tls = config.tls.clone().map(tls::client_port).transpose()?.map(Arc::new);
        let peer_tls =
            config.peer_tls.clone().map(|files| tls::peer_port(files, config.cluster, config.member));
        let peer_tls = peer_tls.transpose()?.map(Arc::new);
        let listener = {
            let _runtime = runtime.enter();
            let unbound = |error| ServeError::Listen { listener: "listen", address: config.listen, error };
            doors::listen::bind(config.listen).map_err(unbound)?
        };
        let address = listener.local_addr().map_err(system("asking for the port"))?;
        let peer_listen = config.peer_listen.or_else(|| {
            // Whoever has joined a cluster has others.
            has_joined(&config.data).then_some(PEER_LISTEN_DEFAULT)
        });
        let peer_listener = peer_listen.map(|address| {
            let unbound = |error| ServeError::Listen { listener: "peer.listen", address, error };
            crate::peers::bind(address).map_err(unbound)
        });
        let peer_listener = peer_listener.transpose()?;
        let peer_address = peer_listener.as_ref().and_then(|listener| listener.local_addr().ok());
        // After the ports: where one is taken, no folder is made.
        let data = Data::open(config)?;
        let identity = data.identity();
        if let (Some(kept), Some(files)) = (&peer_tls, &config.peer_tls) {
            kept.get().check(files, identity.cluster, identity.member)?;
        }
        let security = peer_tls.clone().map_or(Security::Plain, Security::Mutual);
        let replica = ReplicaThread::start(config, &data, peer_listener, security)?;

        let (stop, stopping) = watch::channel(false);
        let unopened = |key, path: &Path| {
            let path = path.to_owned();
            move |error| ServeError::Audit { key, path, error }
        };
        let audit = config
            .audit
            .as_deref()
            .map(|path| Audit::open(path, config.audit_bytes_max).map_err(unopened("audit.file", path)));
        let lease_log = config.lease_log.as_deref().map(|path| {
            LeaseLog::open(path, BOUNDS, replica.handle()).map_err(unopened("audit.lease_log", path))
        });
        let lease_log = lease_log.transpose()?;
        let doorkeeper = Doorkeeper::new(identity.cluster, !config.authenticates(), audit.transpose()?)
            .with_room_for(config.commands);
        let doors = Doors {
            service: Arc::new(
                Service::new(Arc::new(replica.handle()), identity.cluster, identity.member)
                    .with_peer_ca(config.peer_tls.as_ref().and_then(|files| files.ca.clone()))
                    .behind(doorkeeper),
            ),
            sessions: Arc::new(Registry::default()),
            times: times(config),
            juju: doors::juju::Hall::open(&config.juju),
            stop: stopping.clone(),
        };
        let gate = Gate::new(admission::connections_max(config.connections));
        // Inside TLS a client has checked the name that it asked for: nobody points a name of theirs here.
        let names = match address.ip().is_loopback() && tls.is_none() {
            true => doors::origin::Names::Loopback,
            false => doors::origin::Names::Any,
        };
        let handshakes = tls.clone().map(|tls| Arc::new(Handshakes::new(tls)));
        let router = doors::router(doors.clone(), names);
        let doorstep = Doorstep::new(Arc::clone(&gate), handshakes, Arc::clone(&doors.service), &doors.times);
        runtime.spawn(doors::listen::accept(listener, router, doorstep, stopping));
        runtime.spawn(move_while_unfit(doors.clone()));
        if config.authenticates() {
            credentials::keep(&runtime, &doors, config.first_token.clone());
        }
        tracing::info!(
            %address,
            peers = peer_address.map(tracing::field::display),
            cluster = format!("{:032x}", identity.cluster),
            member = identity.member,
            data = %config.data.display(),
            connections = gate.limit(),
            tls = tls.is_some(),
            authenticates = config.authenticates(),
            "serving"
        );
        let certificates: Vec<Arc<dyn Rereads>> =
            [tls.map(|kept| kept as Arc<dyn Rereads>), peer_tls.map(|kept| kept as _)]
                .into_iter()
                .flatten()
                .collect();
        runtime.spawn(reread_every_minute(certificates.clone()));
        Ok(Server {
            runtime,
            address,
            doors,
            gate,
            certificates,
            stop,
            stop_within: config.stop_within,
            replica,
            lease_log,
            data,
        })
    }

    /// Where clients connect: with the real port, where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many client connections are open.
    pub fn connections(&self) -> usize {
        self.gate.inside()
    }

    /// How the member is.
    pub fn status(&self) -> replica::Status {
        self.doors.service.status()
    }

    /// Reads the certificates' files again, and logs what came of it: new connections have what is new, and a bad file
    /// changes nothing. A running server does so every minute by itself.
    pub fn reread_certificates(&self) {
        self.certificates.iter().for_each(|kept| kept.reread_aloud(true));
    }

    /// Opens the audit log and the lease log anew under their names, where there are any: whoever rotates one renames it first.
    pub fn reopen_audit(&self) {
        self.doors.service.doorkeeper.reopen_audit();
        self.lease_log.iter().for_each(LeaseLog::reopen);
    }

    /// Throttles the logins of Juju's agents so from now on, where there is a Juju door.
    pub fn throttle_juju(&self, throttle: &Throttle) {
        self.doors.juju.iter().for_each(|hall| hall.throttle(throttle));
    }

    /// How many sessions are open, Juju's connections among them.
    pub fn sessions(&self) -> usize {
        self.doors.sessions.count()
    }

    /// Stops in order: nothing new is let in, sessions and waits are told, answers in flight are delivered within the
    /// configured bound, and the replica closes its log.
    pub fn stop(self) {
        tracing::info!(connections = self.gate.inside(), sessions = self.sessions(), "stopping");
        self.doors.service.stop();
        let _ = self.stop.send(true);
        let going = Going::Must("this member is stopping".into());
        self.doors.sessions.go(&going, going.clone());
        let all_gone = async {
            self.doors.sessions.empty().await;
            self.gate.empty().await;
        };
        let bound = self.stop_within + STOP_SLACK;
        let gone = self.runtime.block_on(async { tokio::time::timeout(bound, all_gone).await });
        if gone.is_err() {
            tracing::warn!(
                connections = self.gate.inside(),
                "some connections did not end in time: closed as they are"
            );
        }
        self.replica.stop();
        drop(self.lease_log);
        self.runtime.shutdown_timeout(Duration::from_millis(200));
        // And with them the audit log, which may have more to write.
        drop(self.doors);
        drop(self.data);
        tracing::info!("stopped");
    }
}

/// Tells every session to move to another member, for as long as this one has had no news of a quorum for too long, or drains.
async fn move_while_unfit(doors: Doors) {
    let (mut told, mut looks): (Option<Going>, u32) = (None, 0);
    loop {
        tokio::time::sleep(MOVE_LOOK).await;
        if doors.service.is_stopping() {
            return;
        }
        let status = doors.service.status();
        doors.service.look_at_lead(&status);
        let going = match status.trouble {
            // Newcomers may stay: such a member answers stale reads.
            Some(replica::Unavailable::Behind) => {
                Some((Going::Must(BEHIND.into()), Going::Should(BEHIND.into())))
            }
            // Who waits here is still told what comes about.
            Some(replica::Unavailable::Unanswered) => {
                Some((Going::Should(UNANSWERED.into()), Going::Should(UNANSWERED.into())))
            }
            _ => status.drains.then(|| {
                let going = Going::Should(doors::health::drains(status.member).into());
                (going.clone(), going)
            }),
        };
        looks += 1;
        let is_new = told.as_ref() != going.as_ref().map(|(_, newcomers)| newcomers);
        // Who found no other member when it was told may find one now.
        if !is_new && !looks.is_multiple_of(LOOKS_UNTIL_SAID_AGAIN) {
            continue;
        }
        told.iter().for_each(|told| doors.sessions.stay(told));
        told = going.map(|(going, newcomers)| {
            doors.sessions.go(if is_new { &going } else { &newcomers }, newcomers.clone());
            newcomers
        });
    }
}

/// Certificates are renewed by who makes them, and may not say so to us; and who forgets to is told once a day.
async fn reread_every_minute(certificates: Vec<Arc<dyn Rereads>>) {
    loop {
        certificates.iter().for_each(|kept| kept.warn_of_end());
        for _ in 0..REREADS_A_DAY {
            tokio::time::sleep(REREAD_EVERY).await;
            certificates.iter().for_each(|kept| kept.reread_aloud(false));
        }
    }
}

fn times(config: &Config) -> Times {
    Times {
        ping_every: config.ping_every,
        dead_after: config.dead_after,
        stall_after: config.stall_after,
        going_for: config.stop_within,
    }
}

/// Where there is not enough processor for all, Raft goes before whoever asks: so the doors' threads are less urgent than the
/// replica's. Where the system has it otherwise they are as urgent.
fn yield_to_the_replica() {
    // On Linux no process number is this thread.
    let lowered = getpriority_process(None).and_then(|nice| setpriority_process(None, nice + DOORS_NICER));
    if let Err(error) = lowered {
        tracing::debug!(%error, "the doors' threads are as urgent as the replica's");
    }
}

/// stdout is data: one line that a program may read, and the same text in every version.
fn announce(config: &Config, address: SocketAddr) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; that is no reason not to serve.
    drop(writeln!(out, "listening on {address}").and_then(|()| out.flush()));
    if config.dev {
        eprintln!(
            "tenure is listening on {address}, for this machine only; its data is in {}",
            config.data.display()
        );
    }
}

/// Says what to try, once that would work: a member that waits for others, or is not in step yet, says so first.
async fn introduce(address: SocketAddr, service: Arc<Service>) {
    for look in 0_u32.. {
        let status = service.status();
        if status.serving || service.is_stopping() {
            break;
        }
        if look == LOOKS_UNTIL_NOT_READY {
            eprintln!(
                "tenure is not ready yet, and says here when it is; until then http://{address}/readyz says why not"
            );
        }
        tokio::time::sleep(READY_LOOK).await;
    }
    if !service.is_stopping() {
        eprintln!("tenure is ready. Try:");
        eprintln!(
            "  curl -sd '{{\"name\":\"db/primary\",\"holder\":\"me\"}}' -H content-type:application/json http://{address}/v1/claim"
        );
        eprintln!("  curl -s http://{address}/v1/leases");
    }
}

/// A panic on the replica's or the log's thread is a broken invariant: a member that guesses on is worse than none.
fn end_with_broken_threads() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        if matches!(std::thread::current().name(), Some("replica" | "log")) {
            eprintln!(
                "tenure: an invariant is broken: the process ends at once; please report the lines above"
            );
            std::process::exit(EXIT_BROKEN);
        }
    }));
}

/// What asks the process to end.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<StopSignals> {
        Ok(StopSignals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            else => pending().await,
        }
    }
}

async fn until_stop(
    stop: &mut StopSignals,
    mut hangup: Signal,
    mut config: Config,
    set_level: SetLevel,
    server: &Server,
) {
    loop {
        tokio::select! {
            Some(()) = hangup.recv() => {
                reload(&mut config, &set_level, server);
                server.reread_certificates();
                server.reopen_audit();
            }
            name = stop.next() => return tracing::info!(signal = name, "asked to stop"),
        }
    }
}

/// Reads the configuration anew, at SIGHUP: a bad file changes nothing, and is logged.
fn reload(config: &mut Config, set_level: &SetLevel, server: &Server) {
    match config.reload() {
        Ok(newer) => {
            if config.needs_restart(&newer) {
                tracing::warn!(
                    "SIGHUP: only log.level, how Juju's logins are throttled and what is in the certificates' files change in a running server; restart it for the rest"
                );
            }
            set_level(newer.log_level);
            config.log_level = newer.log_level;
            server.throttle_juju(&newer.juju.throttle);
            config.juju.throttle = newer.juju.throttle;
            tracing::info!(log.level = %newer.log_level, "SIGHUP: the configuration was read anew");
        }
        Err(error) => tracing::error!(%error, "SIGHUP: the configuration is wrong; the old one stays"),
    }
}
