//! The replica's thread: it, its log and what members say to each other never wait behind a client.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use openraft_rt_tokio::TokioRuntime;
use replica::log::{Folder, UnprovableTail};
use replica::{First, Handle, Options, Parts, Peer, World};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::clock::MachineClock;
use crate::config::Config;
use crate::data::Data;
use crate::error::ServeError;
use crate::peers::{self, Carrier, Security, Who};
use crate::threads::ends_within;

/// The exit code of a process whose log failed or whose replica broke: it is unavailable, and should be started again.
pub(crate) const EXIT_BROKEN: i32 = 3;

/// How long a stop waits for the replica: well beyond its own bound for what is in flight, and not for ever where a disk hangs.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What this process's replica runs in.
struct Process;

impl World for Process {
    type Runtime = TokioRuntime;
    type Network = Carrier;
}

/// A running replica, on its thread.
pub(crate) struct ReplicaThread {
    handle: Handle,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    stop_within: Duration,
}

type Started = Result<Handle, ServeError>;

/// The bound peer listener, where other members may call.
pub(crate) type PeerListener = std::net::TcpListener;

impl ReplicaThread {
    /// Starts the replica of `data`, and returns once it has taken its state from there. The other members call it at `listener`.
    ///
    /// # Errors
    /// What is wrong with the log or the snapshot, whole; or that they could not be read within `config.start_within`. Then it still
    /// hangs, and stops where it ever comes back.
    pub(crate) fn start(
        config: &Config,
        data: &Data,
        listener: Option<PeerListener>,
        security: Security,
    ) -> Result<ReplicaThread, ServeError> {
        let parts = parts(data, security.clone())?;
        ReplicaThread::run(options(config, data), parts, listener, security, config.start_within)
    }

    fn run(
        options: Options,
        parts: Parts<Process>,
        listener: Option<PeerListener>,
        security: Security,
        within: Duration,
    ) -> Result<ReplicaThread, ServeError> {
        let (started, starting) = sync_channel(1);
        let (stop, stopping) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ServeError::System { what: "making the replica's runtime", error })?;
        let thread = std::thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || runtime.block_on(run(options, parts, (listener, security), started, stopping)))
            .map_err(|error| ServeError::System { what: "starting the replica's thread", error })?;
        match starting.recv_timeout(within) {
            Ok(Ok(handle)) => {
                Ok(ReplicaThread { handle, running: Some((stop, thread)), stop_within: STOP_WITHIN })
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Timeout) => Err(ServeError::Start { within }),
            Err(RecvTimeoutError::Disconnected) => {
                let error = io::Error::other("it ended while it started: see the lines before");
                Err(ServeError::System { what: "the replica's thread", error })
            }
        }
    }

    /// A way to ask it.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops it: what is in flight is finished within its own bound, and the log is closed. Where the disk does not let it be
    /// closed, the process ends.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for ReplicaThread {
    // However a server ends, its folder may not be free for the next one while the log is still being written.
    fn drop(&mut self) {
        let Some((stop, thread)) = self.running.take() else { return };
        let _ = stop.send(());
        if !ends_within(&thread, self.stop_within) {
            end_stuck(self.stop_within);
        }
        if thread.join().is_err() {
            tracing::error!("the replica's thread did not end as it should");
        }
    }
}

async fn run(
    options: Options,
    parts: Parts<Process>,
    (listener, security): (Option<PeerListener>, Security),
    started: SyncSender<Started>,
    stop: oneshot::Receiver<()>,
) {
    let me = Who { cluster: options.cluster, member: options.member };
    let mut member = match replica::start::<Process>(options, parts).await {
        Ok(member) => member,
        Err(error) => return drop(started.send(Err(ServeError::Replica(error)))),
    };
    match listener.map(TcpListener::from_std).transpose() {
        Ok(Some(listener)) => drop(tokio::spawn(peers::accept(listener, me, security, member.peers()))),
        Ok(None) => {}
        Err(error) => {
            member.stop().await;
            let what = "listening for the other members";
            return drop(started.send(Err(ServeError::System { what, error })));
        }
    }
    if let Some(cut) = member.cut() {
        tracing::error!("THE LOG'S END WAS CUT: {cut}");
    }
    if started.send(Ok(member.handle())).is_err() {
        // It took too long, and nobody waits for it any more.
        return member.stop().await;
    }
    tokio::select! {
        // An error here is the server's end without a stop; the replica stops all the same.
        _ = stop => member.stop().await,
        why = member.ended() => end_broken(why),
    }
}

fn options(config: &Config, data: &Data) -> Options {
    let identity = data.identity();
    Options {
        cluster: identity.cluster,
        member: identity.member,
        first: first(config, identity.joined),
        begun: identity.begun,
        unprovable_tail: match config.accept_torn_tail {
            true => UnprovableTail::Cut,
            false => UnprovableTail::Refuse,
        },
        segment_bytes: None,
        window: replica::Window { bytes: config.watch_bytes, ..replica::Window::default() },
        snapshot_log_bytes: config.snapshot_log_bytes,
        commands: config.commands,
    }
}

fn first(config: &Config, joined: bool) -> First {
    let peer = |(id, address): (&u64, &String)| (*id, Peer::at(address));
    match config.peer_voters.is_empty() {
        _ if config.peer_join || joined => First::Added,
        true => First::Alone,
        false => First::With(config.peer_voters.iter().map(peer).collect()),
    }
}

fn parts(data: &Data, security: Security) -> Result<Parts<Process>, ServeError> {
    let folder = |path| {
        let opened = Folder::open(path);
        opened.map_err(|error| ServeError::System {
            what: "opening the folder of the log or the snapshots",
            error,
        })
    };
    let clock = MachineClock::start()
        .map_err(|errno| ServeError::System { what: "reading the machine's clocks", error: errno.into() })?;
    let identity = data.identity();
    Ok(Parts {
        clock: Arc::new(clock),
        log_disk: Arc::new(folder(&data.log())?),
        snapshot_disk: Arc::new(folder(&data.snapshots())?),
        network: Carrier::new(Who { cluster: identity.cluster, member: identity.member }, security),
        on_begun: data.on_begun(),
        on_fatal: Box::new(end_at_once),
    })
}

/// A replica that ended without being asked to answers nobody, and will not again.
fn end_broken(why: Option<String>) -> ! {
    match why {
        Some(why) => eprintln!("tenure: {why}"),
        None => eprintln!(
            "tenure: the replica has ended: see the lines above; the process ends at once: start it again, and report it if it ends again"
        ),
    }
    std::process::exit(EXIT_BROKEN);
}

/// After a failed write or sync nobody knows what is on the disk: nothing more may be said, not even good-bye.
fn end_at_once(error: &io::Error) {
    tracing::error!(%error, "THE LOG FAILED: this process ends now, and promises nothing more");
    eprintln!(
        "tenure: the log failed: {error}; the process ends at once: look at the disk, then start it again"
    );
    std::process::exit(EXIT_BROKEN);
}

/// A write or sync that does not come back cannot be given up, and only the process's end takes its thread. Nobody has been told
/// that what it was to save is done, and nobody will be.
fn end_stuck(after: Duration) -> ! {
    eprintln!(
        "tenure: the log could not be closed within {after:?}: a write or sync hangs; nothing more is acknowledged, and the process ends without it: look at the disk"
    );
    std::process::exit(EXIT_BROKEN);
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use lease::{Claim, Holder, Instance, Key, Name, Namespace, Seq, Ttl};
    use replica::log::{Act, MemoryDisk};
    use replica::{Answer, Proposal};

    use super::*;
    use crate::error::ExitKind;

    const STUCK: &str = "TENURE_TEST_STUCK";

    /// A claim that was told what came of it.
    fn claim(handle: &Handle, name: &str, deadline_ms: u64) -> Answer {
        let (told, answer) = std::sync::mpsc::channel();
        handle.propose(Proposal {
            command: lease::Command::Claim(Claim {
                key: Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() },
                holder: Holder::parse("h").unwrap(),
                instance: Instance(1),
                seq: Seq(1),
                ttl: Ttl::from_millis(60_000),
                value: None,
            }),
            named: None,
            heir: replica::HeirMust::Wait,
            deadline: Ttl::from_millis(deadline_ms),
            reply: Box::new(move |answer| drop(told.send(answer))),
        });
        answer.recv().unwrap()
    }

    /// A replica of its own, on this disk.
    fn alone(log: &MemoryDisk) -> (Options, Parts<Process>) {
        let options = Options {
            cluster: 7,
            member: 1,
            first: First::Alone,
            begun: false,
            unprovable_tail: UnprovableTail::Refuse,
            segment_bytes: Some(1024 * 1024),
            window: replica::Window::default(),
            snapshot_log_bytes: u64::MAX,
            commands: lease::QUEUE_MAX,
        };
        let parts = Parts {
            clock: Arc::new(MachineClock::start().unwrap()),
            log_disk: Arc::new(log.clone()),
            snapshot_disk: Arc::new(MemoryDisk::new()),
            network: Carrier::new(Who { cluster: 7, member: 1 }, Security::Plain),
            on_begun: Arc::new(|| Ok(())),
            on_fatal: Box::new(|error| panic!("{error}")),
        };
        (options, parts)
    }

    /// Juju's acceptance case 17: a start is bounded by a time, however its disk hangs.
    #[test]
    fn a_start_on_a_disk_that_hangs_ends_with_what_to_do_and_one_that_comes_back_stops_by_itself() {
        let (log, hangs) = (MemoryDisk::new(), Arc::new(AtomicBool::new(true)));
        let hung = Arc::clone(&hangs);
        log.on_act(Arc::new(move |act| {
            while act == Act::Sync && hung.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Ok(())
        }));
        let (options, parts) = alone(&log);
        let clock = Arc::downgrade(&parts.clock);
        let within = Duration::from_millis(200);
        let error = ReplicaThread::run(options, parts, None, Security::Plain, within).err().unwrap();
        assert_eq!(error.exit_kind(), ExitKind::Unavailable);
        let said = error.to_string();
        for word in ["within 200ms", "start.within", "look at the disk"] {
            assert!(said.contains(word), "{word}: {said}");
        }
        hangs.store(false, Ordering::Release);
        let began = Instant::now();
        while clock.strong_count() > 0 {
            assert!(began.elapsed() < Duration::from_secs(30), "it runs on, and nobody can stop it");
            std::thread::yield_now();
        }
    }

    /// Stops a replica whose log's disk hangs in a sync.
    fn stop_stuck() {
        let log = MemoryDisk::new();
        let (options, parts) = alone(&log);
        let mut thread = ReplicaThread::run(options, parts, None, Security::Plain, STOP_WITHIN).unwrap();
        thread.stop_within = Duration::from_millis(2_500);
        assert!(matches!(claim(&thread.handle, "a", 20_000), Answer::Decided { .. }));
        let hangs = AtomicBool::new(true);
        log.on_act(Arc::new(move |act| {
            while act == Act::Sync && hangs.load(Ordering::Acquire) {
                std::thread::park();
            }
            Ok(())
        }));
        assert_eq!(claim(&thread.handle, "b", 100), Answer::Unknown);
        thread.stop();
    }

    #[test]
    fn a_stop_on_a_disk_that_hangs_ends_the_process_with_3_and_says_why() {
        if std::env::var_os(STUCK).is_some() {
            return stop_stuck();
        }
        // In a process of its own: it does not come back.
        let name = "replica_thread::tests::a_stop_on_a_disk_that_hangs_ends_the_process_with_3_and_says_why";
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(STUCK, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(30) {
                child.kill().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(EXIT_BROKEN), "{said}");
        assert!(said.contains("could not be closed within 2.5s"), "{said}");
    }
}
