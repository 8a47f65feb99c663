#![allow(unreachable_pub, dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on must stop")]
//! A replica on one disk, in this process, for tests.

pub mod cluster;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lease::{Claim, Command, Granted, Holder, Instance, Key, Name, Namespace, Outcome, Seq, Token, Ttl};
use openraft_rt_tokio::TokioRuntime;
use replica::log::{Folder, MemoryDisk, UnprovableTail};
use replica::{
    Alone, Answer, Clock, Handle, Member, Mono, Named, Options, Parts, Proposal, Read, Reading, StartError,
    WaitId, World,
};
use tokio::sync::oneshot;

pub struct Test;

impl World for Test {
    type Runtime = TokioRuntime;
    type Network = Alone;
}

/// This process's monotonic clock.
pub struct ProcessClock(pub Instant);

impl Clock for ProcessClock {
    fn now(&self) -> Mono {
        Mono(self.0.elapsed().as_nanos() as u64)
    }
}

pub fn options() -> Options {
    Options {
        cluster: 7,
        member: 1,
        first: replica::First::Alone,
        begun: false,
        unprovable_tail: UnprovableTail::Refuse,
        segment_bytes: Some(1024 * 1024),
        window: replica::Window::default(),
        snapshot_log_bytes: u64::MAX,
        commands: lease::QUEUE_MAX,
    }
}

pub fn parts(folder: &Path, clock: Arc<dyn Clock>) -> Parts<Test> {
    let disk = |name: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Arc::new(Folder::open(&path).unwrap())
    };
    Parts {
        clock,
        log_disk: disk("log"),
        snapshot_disk: disk("snapshots"),
        network: Alone,
        on_begun: Arc::new(|| Ok(())),
        on_fatal: Box::new(|fatal| panic!("{fatal}")),
    }
}

pub async fn start(folder: &Path, options: Options) -> Result<Member<Test>, StartError> {
    replica::start::<Test>(options, parts(folder, Arc::new(ProcessClock(Instant::now())))).await
}

pub fn key(name: &str) -> Key {
    Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() }
}

pub fn claim(name: &str, holder: &str, seq: u64, ttl_ms: u64) -> Command {
    Command::Claim(Claim {
        key: key(name),
        holder: Holder::parse(holder).unwrap(),
        instance: Instance(holder.bytes().map(u64::from).sum()),
        seq: Seq(seq),
        ttl: Ttl::from_millis(ttl_ms),
        value: None,
    })
}

pub fn extend(token: Token, ttl_ms: u64) -> Command {
    Command::Extend { token, ttl: Ttl::from_millis(ttl_ms) }
}

pub async fn ask(handle: &Handle, command: Command) -> Answer {
    ask_named(handle, command, None, 5_000).await
}

pub async fn ask_named(handle: &Handle, command: Command, named: Option<Named>, deadline_ms: u64) -> Answer {
    let (sender, receiver) = oneshot::channel();
    handle.propose(Proposal {
        command,
        named,
        heir: replica::HeirMust::Wait,
        deadline: Ttl::from_millis(deadline_ms),
        reply: Box::new(move |answer| drop(sender.send(answer))),
    });
    receiver.await.expect("every ask is answered")
}

pub fn token(answer: &Answer) -> Token {
    match answer {
        Answer::Decided { outcome: Outcome::Granted(granted) | Outcome::Extended(granted), .. } => {
            granted.token
        }
        other => panic!("not granted: {other:?}"),
    }
}

/// What a linearizable read sees of `look`.
pub async fn read<T: Send + 'static>(
    handle: &Handle,
    look: impl FnOnce(&lease::Table, Reading) -> T + Send + 'static,
) -> T {
    let (sender, receiver) = oneshot::channel();
    handle.read(Read {
        stale: false,
        deadline: Ttl::from_millis(5_000),
        reply: Box::new(move |table| {
            let (table, reading) = table.expect("the replica serves");
            drop(sender.send(look(table, reading)));
        }),
    });
    receiver.await.expect("every read is answered")
}

/// A replica's two folders in memory.
#[derive(Clone, Default)]
pub struct Disks {
    pub log: MemoryDisk,
    pub snapshots: MemoryDisk,
}

impl Disks {
    pub fn parts(&self, on_fatal: replica::log::OnFatal) -> Parts<Test> {
        Parts {
            clock: Arc::new(ProcessClock(Instant::now())),
            log_disk: Arc::new(self.log.clone()),
            snapshot_disk: Arc::new(self.snapshots.clone()),
            network: Alone,
            on_begun: Arc::new(|| Ok(())),
            on_fatal,
        }
    }

    pub async fn start(&self, options: Options) -> Result<Member<Test>, StartError> {
        replica::start(options, self.parts(Box::new(|fatal| panic!("{fatal}")))).await
    }
}

/// An acquire under way.
pub struct Waiting {
    pub id: WaitId,
    pub answered: oneshot::Receiver<Answer>,
}

impl Waiting {
    pub async fn granted(self) -> Granted {
        match self.answered.await.expect("every acquire is answered") {
            Answer::Decided { outcome: Outcome::Granted(granted), .. } => granted,
            other => panic!("{other:?}"),
        }
    }
}

/// Acquires for a minute.
pub fn acquire(handle: &Handle, name: &str, holder: &str) -> Waiting {
    let Command::Claim(claim) = claim(name, holder, 1, 60_000) else { panic!("a claim is a claim") };
    let (sender, answered) = oneshot::channel();
    let reply = move |answer| _ = sender.send(answer);
    Waiting { id: handle.acquire(claim, Box::new(reply)), answered }
}
