//! The replica's thread: it, its log and its Raft traffic never wait behind a client.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use openraft_rt_tokio::TokioRuntime;
use replica::log::{Folder, UnprovableTail};
use replica::{Alone, Handle, Options, Parts, StartError, World};
use tokio::sync::oneshot;

use crate::clock::MachineClock;
use crate::config::Config;
use crate::data::Data;
use crate::error::ServeError;

/// The exit code of a process whose log failed or whose replica broke: it is unavailable, and should be started again.
pub(crate) const EXIT_BROKEN: i32 = 3;

/// What this process's replica runs in.
struct Process;

impl World for Process {
    type Runtime = TokioRuntime;
    type Network = Alone;
}

/// A running replica, on its thread.
pub(crate) struct ReplicaThread {
    handle: Handle,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

type Started = Result<Handle, StartError>;

impl ReplicaThread {
    /// Starts the replica of `data`, and returns once it has taken its state from there.
    ///
    /// # Errors
    /// What is wrong with the log or the snapshot, whole.
    pub(crate) fn start(config: &Config, data: &Data) -> Result<ReplicaThread, ServeError> {
        let (options, parts) = (options(config, data), parts(data)?);
        let (started, starting) = oneshot::channel();
        let (stop, stopping) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ServeError::System { what: "making the replica's runtime", error })?;
        let thread = std::thread::Builder::new()
            .name("replica".to_owned())
            .spawn(move || runtime.block_on(run(options, parts, started, stopping)))
            .map_err(|error| ServeError::System { what: "starting the replica's thread", error })?;
        match starting.blocking_recv() {
            Ok(Ok(handle)) => Ok(ReplicaThread { handle, running: Some((stop, thread)) }),
            Ok(Err(error)) => Err(ServeError::Replica(error)),
            Err(_) => {
                let error = io::Error::other("it ended while it started: see the lines before");
                Err(ServeError::System { what: "the replica's thread", error })
            }
        }
    }

    /// A way to ask it.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Stops it: what is in flight is finished within its own bound, and the log is closed.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for ReplicaThread {
    // However a server ends, its folder may not be free for the next one while the log is still being written.
    fn drop(&mut self) {
        let Some((stop, thread)) = self.running.take() else { return };
        let _ = stop.send(());
        if thread.join().is_err() {
            tracing::error!("the replica's thread did not end as it should");
        }
    }
}

async fn run(
    options: Options,
    parts: Parts<Process>,
    started: oneshot::Sender<Started>,
    stop: oneshot::Receiver<()>,
) {
    let mut member = match replica::start::<Process>(options, parts).await {
        Ok(member) => member,
        Err(error) => return drop(started.send(Err(error))),
    };
    if let Some(cut) = member.cut() {
        tracing::error!("THE LOG'S END WAS CUT: {cut}");
    }
    drop(started.send(Ok(member.handle())));
    tokio::select! {
        // An error here is the server's end without a stop; the replica stops all the same.
        _ = stop => member.stop().await,
        () = member.ended() => end_broken(),
    }
}

fn options(config: &Config, data: &Data) -> Options {
    let identity = data.identity();
    Options {
        cluster: identity.cluster,
        member: identity.member,
        begun: identity.begun,
        unprovable_tail: match config.accept_torn_tail {
            true => UnprovableTail::Cut,
            false => UnprovableTail::Refuse,
        },
        segment_bytes: None,
        window: replica::Window { bytes: config.watch_bytes, ..replica::Window::default() },
        snapshot_log_bytes: config.snapshot_log_bytes,
    }
}

fn parts(data: &Data) -> Result<Parts<Process>, ServeError> {
    let folder = |path| {
        let opened = Folder::open(path);
        opened.map_err(|error| ServeError::System {
            what: "opening the folder of the log or the snapshots",
            error,
        })
    };
    let clock = MachineClock::start()
        .map_err(|errno| ServeError::System { what: "reading the machine's clocks", error: errno.into() })?;
    Ok(Parts {
        clock: Arc::new(clock),
        log_disk: Arc::new(folder(&data.log())?),
        snapshot_disk: Arc::new(folder(&data.snapshots())?),
        network: Alone,
        on_fatal: Box::new(end_at_once),
    })
}

/// A replica that ended without being asked to answers nobody, and will not again.
fn end_broken() -> ! {
    eprintln!(
        "tenure: the replica has ended: see the lines above; the process ends at once: start it again, and report it if it ends again"
    );
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
