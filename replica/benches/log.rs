//! What the log costs on a real disk: appends of 64-byte entries with 1, 64 and 512 callers that each wait for their sync,
//! and reopening a full segment of 64 MiB. Each figure is taken only after what was written has been read back.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on should stop")]

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use replica::log::{Folder, Identity, Log, LogId, Options, Record, Recovered, Writer, open};
use tempfile::TempDir;

const IDENTITY: Identity = Identity { cluster: 1, node: 1, group: 0 };
const PAYLOAD_BYTES: usize = 64;

fn reopen(folder: &Path) -> (Recovered, Writer) {
    open(Arc::new(Folder::open(folder).unwrap()), IDENTITY, Options::default()).unwrap()
}

fn start(folder: &Path) -> Log {
    Log::start(reopen(folder).1, Box::new(|error| panic!("{error}"))).unwrap()
}

fn entry(index: u64) -> Record {
    let mut payload = vec![7; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&index.to_le_bytes());
    Record::Entry { id: LogId { term: 1, index }, payload: Arc::new(payload) }
}

/// One thread appends for all callers, as the Raft thread does; each caller appends again when it has been told.
fn append(log: &Log, callers: u64, first: u64, count: u64) {
    let (told, heard) = mpsc::channel();
    let queue = |index| {
        let told = told.clone();
        log.append(vec![entry(index)], Box::new(move |result| drop(told.send(result))));
    };
    let queued = first + callers.min(count);
    (first..queued).for_each(queue);
    for done in 0..count {
        heard.recv().unwrap().unwrap();
        if queued + done < first + count {
            queue(queued + done);
        }
    }
}

/// What is there after a restart: the entries from `first` on, each the one that was written.
fn verify(folder: &TempDir, first: u64, next: u64) {
    let recovered = reopen(folder.path()).0;
    assert_eq!((recovered.entries.len() as u64, recovered.cut), (next - first, None), "every entry is there");
    let right = |(index, entry): (u64, &replica::log::Entry)| entry.payload[..8] == index.to_le_bytes();
    assert!((first..).zip(&recovered.entries).all(right), "every entry is the one that was written");
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append 64 B, durable");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(4));
    for callers in [1, 64, 512] {
        let folder = tempfile::tempdir().unwrap();
        let log = start(folder.path());
        let (mut first, mut next) = (0_u64, 0_u64);
        group.bench_function(BenchmarkId::new("callers", callers), |bencher| {
            bencher.iter_custom(|count| {
                if let Some(index) = next.checked_sub(1) {
                    log.append(
                        vec![Record::Purge { upto: LogId { term: 1, index } }],
                        Box::new(|done| done.unwrap()),
                    );
                }
                (first, next) = (next, next + count);
                let begun = Instant::now();
                append(&log, callers, first, count);
                begun.elapsed()
            });
        });
        log.stop();
        verify(&folder, first, next);
    }
    group.finish();
}

fn reopens(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    // 64 MiB hold this many entries of 64 B with 33 B around each, and a batch header for some thousands of them.
    let count = 690_000;
    let log = start(folder.path());
    append(&log, 4096, 0, count);
    log.stop();
    verify(&folder, 0, count);
    let mut group = criterion.benchmark_group("reopen 64 MiB");
    group.throughput(Throughput::Elements(count)).sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("690,000 entries", |bencher| bencher.iter(|| black_box(reopen(folder.path()))));
    group.finish();
}

criterion_group!(benches, appends, reopens);
criterion_main!(benches);
