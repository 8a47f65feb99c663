//! Durable proposals on one node: closed-loop proposers, each extending a lease of its own, every entry synced.
//!
//! The replica has a thread of its own, as in the server; the proposers have another. Throughput is proposals a second.

#![allow(clippy::expect_used, missing_docs, reason = "a benchmark that cannot go on must stop")]

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lease::{Claim, Command, Holder, Instance, Key, Name, Namespace, Outcome, Seq, Token, Ttl};
use openraft_rt_tokio::TokioRuntime;
use replica::log::{Folder, UnprovableTail};
use replica::{Alone, Answer, Clock, Handle, HeirMust, Mono, Options, Parts, Proposal, Window, World};
use tokio::runtime;
use tokio::sync::oneshot;

struct Bench;

impl World for Bench {
    type Runtime = TokioRuntime;
    type Network = Alone;
}

struct ProcessClock(Instant);

impl Clock for ProcessClock {
    fn now(&self) -> Mono {
        Mono(self.0.elapsed().as_nanos() as u64)
    }
}

/// A replica on a thread of its own; dropping it stops the replica.
struct Node {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Node {
    fn start(folder: &Path) -> Node {
        let disk = |name: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(&path).expect("a folder");
            Arc::new(Folder::open(&path).expect("a folder"))
        };
        let parts = Parts::<Bench> {
            clock: Arc::new(ProcessClock(Instant::now())),
            log_disk: disk("log"),
            snapshot_disk: disk("snapshots"),
            network: Alone,
            on_begun: Arc::new(|| Ok(())),
            on_fatal: Box::new(|fatal| panic!("{fatal}")),
        };
        let options = Options {
            cluster: 1,
            member: 1,
            first: replica::First::Alone,
            begun: false,
            unprovable_tail: UnprovableTail::Refuse,
            segment_bytes: None,
            window: Window::default(),
            snapshot_log_bytes: 256 * 1024 * 1024,
            commands: lease::QUEUE_MAX,
        };
        let (stop, stopped) = oneshot::channel();
        let (started, member) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            current_thread().block_on(async {
                let member = replica::start(options, parts).await.expect("the replica starts");
                started.send(member.handle()).expect("the bench waits for it");
                let _ = stopped.await;
                member.stop().await;
            });
        });
        let handle = member.recv().expect("the replica starts");
        Node { handle, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the replica stops");
        }
    }
}

fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn ask(handle: &Handle, command: Command) -> Answer {
    let (sender, receiver) = oneshot::channel();
    let reply = Box::new(move |answer| drop(sender.send(answer)));
    handle.propose(Proposal {
        command,
        named: None,
        heir: HeirMust::Wait,
        deadline: Ttl::from_millis(10_000),
        reply,
    });
    receiver.await.expect("an answer")
}

async fn claim(handle: &Handle, name: usize) -> Token {
    let key = Key {
        namespace: Namespace::parse("bench").expect("valid"),
        name: Name::parse(&format!("lease-{name}")).expect("valid"),
    };
    let holder = Holder::parse("bench").expect("valid");
    let command = Command::Claim(Claim {
        key,
        holder,
        instance: Instance(1),
        seq: Seq(1),
        ttl: Ttl::from_millis(3_600_000),
        value: None,
    });
    match ask(handle, command).await {
        Answer::Decided { outcome: Outcome::Granted(granted), .. } => granted.token,
        other => panic!("not granted: {other:?}"),
    }
}

fn extend(token: Token) -> Command {
    Command::Extend { token, ttl: Ttl::from_millis(3_600_000) }
}

/// `proposers` closed loops make `total` extends in all; answers how long it took. Each extend's outcome is checked.
fn run(handle: &Handle, tokens: &[Token], total: u64) -> Duration {
    let rounds = total.div_ceil(tokens.len() as u64);
    current_thread().block_on(async {
        let begun = Instant::now();
        let tasks: Vec<_> = tokens
            .iter()
            .map(|&token| {
                let handle = handle.clone();
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        match ask(&handle, extend(token)).await {
                            Answer::Decided { outcome: Outcome::Extended(granted), .. } => {
                                assert_eq!(granted.token, token)
                            }
                            other => panic!("not extended: {other:?}"),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a proposer");
        }
        begun.elapsed()
    })
}

/// Two closed loops, each asking for 256 extends at a time.
fn run_bulk(handle: &Handle, tokens: &[Token], total: u64) -> Duration {
    const BULK: usize = 256;
    let rounds = total.div_ceil(2 * BULK as u64);
    current_thread().block_on(async {
        let begun = Instant::now();
        let tasks: Vec<_> = tokens[..2 * BULK]
            .chunks(BULK)
            .map(|tokens| {
                let (handle, tokens) = (handle.clone(), tokens.to_vec());
                tokio::spawn(async move {
                    for _ in 0..rounds {
                        bulk(&handle, &tokens).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a proposer");
        }
        begun.elapsed()
    })
}

async fn bulk(handle: &Handle, tokens: &[Token]) {
    let left = Arc::new(std::sync::atomic::AtomicUsize::new(tokens.len()));
    let (sender, receiver) = oneshot::channel();
    let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
    handle.propose_all(tokens.iter().map(|&token| {
        let (left, sender) = (Arc::clone(&left), Arc::clone(&sender));
        let reply = Box::new(move |answer| {
            assert!(matches!(answer, Answer::Decided { outcome: Outcome::Extended(_), .. }), "{answer:?}");
            if left.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1 {
                let _ =
                    sender.lock().expect("not poisoned").take().expect("the last answer comes once").send(());
            }
        });
        Proposal {
            command: extend(token),
            named: None,
            heir: HeirMust::Wait,
            deadline: Ttl::from_millis(10_000),
            reply,
        }
    }));
    receiver.await.expect("every answer");
}

fn propose(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::start(folder.path());
    let tokens: Vec<Token> = current_thread().block_on(async {
        let mut tokens = Vec::new();
        for name in 0..512 {
            tokens.push(claim(&node.handle, name).await);
        }
        tokens
    });
    let mut group = criterion.benchmark_group("durable_proposals_one_node");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(5));
    for proposers in [1, 64, 512] {
        group.bench_function(BenchmarkId::new("proposers", proposers), |bencher| {
            bencher.iter_custom(|total| run(&node.handle, &tokens[..proposers], total));
        });
    }
    group.bench_function("in_bulk_of_256", |bencher| {
        bencher.iter_custom(|total| run_bulk(&node.handle, &tokens, total));
    });
    group.finish();
}

criterion_group!(benches, propose);
criterion_main!(benches);
