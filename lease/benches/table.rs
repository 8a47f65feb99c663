//! What the rules cost at a million leases with 32-byte names and 32-byte holders: time by criterion, and memory
//! as the process's RSS. Each figure is checked for what it is a figure of before it is printed.

#![allow(missing_docs, reason = "criterion's macros make public functions of their own")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot build its input stops")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lease::*;

const LEASES: u64 = 1_000_000;
const BATCH: u64 = 256;
const TERM: u64 = 1;

/// A small generator, so that the same leases are hit in the same order every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn key(n: u64) -> Key {
    // Scattered, since names do not come in order.
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Key {
        namespace: Namespace::parse("fleet").unwrap(),
        name: Name::parse(&format!("lease-{scattered:026x}")).unwrap(),
    }
}

fn claim(n: u64, ttl_s: u64) -> Command {
    Command::Claim(Claim {
        key: key(n),
        holder: Holder::parse(&format!("holder-{n:025}")).unwrap(),
        instance: Instance(n + 1),
        seq: Seq(1),
        ttl: Ttl::from_millis(ttl_s * 1_000),
        value: None,
    })
}

fn batch(stamp_ms: u64, commands: impl Iterator<Item = Command>) -> Batch {
    let requests = commands.map(|command| Request { not_after: None, command }).collect();
    Batch { term: TERM, stamp: Time::from_nanos(stamp_ms * 1_000_000), sweep: SWEEP_MAX, requests }
}

/// Leases claimed 256 a batch, a millisecond apart.
fn full(ttl_s: u64) -> Table {
    let mut table = Table::new(0);
    for first in (0..LEASES).step_by(BATCH as usize) {
        let commands = (first..(first + BATCH).min(LEASES)).map(|n| claim(n, ttl_s));
        table.apply(TERM, &batch(first / BATCH, commands));
    }
    assert_eq!(table.count(&Filter::default()), LEASES);
    table
}

fn extends(table: &Table, dice: &mut Dice) -> Batch {
    let ttl = Ttl::from_millis(3_600_000);
    let commands = (0..BATCH).map(|_| Command::Extend { token: Token::from_u64(1 + dice.roll(LEASES)), ttl });
    batch(table.now().as_nanos() / 1_000_000 + 1, commands)
}

fn rss_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn memory() {
    let before = rss_bytes();
    let mut table = full(3_600);
    assert!(table.next_deadline().is_some());
    let each = (rss_bytes() - before) / LEASES;
    println!("memory: {each} B of RSS a lease, {LEASES} leases with 32-byte names and holders");
    // After every lease was extended once, and the index has been walked by a leader that asks for the next
    // deadline after each batch.
    for first in (0..LEASES).step_by(BATCH as usize) {
        let ttl = Ttl::from_millis(3_600_000);
        let tokens = (first + 1..=(first + BATCH).min(LEASES)).map(Token::from_u64);
        let applied = table
            .apply(TERM, &batch(10_000 + first / BATCH, tokens.map(|token| Command::Extend { token, ttl })));
        assert!(applied.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Extended(_))));
        table.next_deadline();
    }
    let each = (rss_bytes() - before) / LEASES;
    println!("memory: {each} B of RSS a lease after each was extended");
}

/// The time of `count` commands, in batches of 256 made ahead of the clock.
fn timed(
    table: &mut Table,
    count: u64,
    mut make: impl FnMut(&Table) -> Batch,
    is_good: fn(&Outcome) -> bool,
) -> Duration {
    let (mut spent, mut done) = (Duration::ZERO, 0);
    while done < count {
        let batch = make(table);
        let start = Instant::now();
        let applied = table.apply(TERM, black_box(&batch));
        spent += start.elapsed();
        assert!(applied.outcomes.iter().all(is_good));
        done += BATCH;
    }
    spent.mul_f64(count as f64 / done as f64)
}

fn commands(c: &mut Criterion) {
    let mut table = full(3_600);
    let mut group = c.benchmark_group("one of 1,000,000 leases");
    let mut dice = Dice(7);
    group.bench_function("extend", |b| {
        b.iter_custom(|count| {
            timed(
                &mut table,
                count,
                |table| extends(table, &mut dice),
                |it| matches!(it, Outcome::Extended(_)),
            )
        });
    });
    group.bench_function("extend, asking for the next deadline", |b| {
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count.div_ceil(BATCH) {
                let batch = extends(&table, &mut dice);
                let start = Instant::now();
                black_box(table.apply(TERM, &batch));
                black_box(table.next_deadline());
                spent += start.elapsed();
            }
            spent.mul_f64(count as f64 / (count.div_ceil(BATCH) * BATCH) as f64)
        });
    });
    group.bench_function("extend, while a snapshot is held", |b| {
        b.iter_custom(|count| {
            let frozen = table.freeze();
            let spent = timed(
                &mut table,
                count,
                |table| extends(table, &mut dice),
                |it| matches!(it, Outcome::Extended(_)),
            );
            drop(frozen);
            spent
        });
    });
    let mut next = LEASES;
    group.bench_function("claim and release of a new name", |b| {
        b.iter_custom(|count| {
            let make = |table: &Table| {
                next += BATCH;
                let first = table.next_token().as_u64();
                let pairs = (0..BATCH / 2).flat_map(move |n| {
                    [claim(next + n, 60), Command::Release { token: Token::from_u64(first + n) }]
                });
                batch(table.now().as_nanos() / 1_000_000 + 1, pairs)
            };
            timed(&mut table, count, make, |it| matches!(it, Outcome::Granted(_) | Outcome::Released { .. }))
        });
    });
    assert_eq!(table.count(&Filter::default()), LEASES);
    group.finish();
}

fn sweeps(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole");
    group.sample_size(10);
    group.bench_function("sweep of 16,384 at once, of 1,000,000, 1,024 a batch", |b| {
        let mut table = full(3_600);
        let mut next = 2 * LEASES;
        b.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                for _ in 0..16_384 / BATCH {
                    let stamp = table.now().as_nanos() / 1_000_000;
                    table.apply(TERM, &batch(stamp, (next..next + BATCH).map(|n| claim(n, 1))));
                    next += BATCH;
                }
                let mut now = table.now().as_nanos() / 1_000_000 + 2_000;
                let start = Instant::now();
                while table.count(&Filter::default()) > LEASES {
                    black_box(table.apply(TERM, &batch(now, std::iter::empty())));
                    now += 1;
                }
                spent += start.elapsed();
            }
            spent
        });
        assert_eq!(table.count(&Filter::default()), LEASES);
    });
    let table = full(3_600);
    group.bench_function("freeze", |b| b.iter_with_large_drop(|| table.freeze()));
    group.bench_function("sections", |b| {
        let frozen = table.freeze();
        b.iter(|| frozen.sections().map(|section| section.len()).sum::<usize>());
    });
    let sections: Vec<_> = table.freeze().sections().collect();
    println!("snapshot: {} bytes", sections.iter().map(Vec::len).sum::<usize>());
    group.bench_function("thaw", |b| {
        b.iter_batched(
            || sections.clone(),
            |sections| {
                let thawed = Table::thaw(sections.into_iter().map(Ok)).unwrap();
                assert_eq!(thawed.count(&Filter::default()), LEASES);
                thawed
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn all(c: &mut Criterion) {
    memory();
    commands(c);
    sweeps(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
