//! The table and a naive twin are given the same random batches and must say the same of everything; and so must
//! a table that went through bytes and back at a random moment, whatever its indexes look like inside.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

#[path = "model/twin.rs"]
mod twin;

use lease::*;
use proptest::prelude::{BoxedStrategy, Just, Strategy, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use twin::Twin;

const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
enum Turn {
    /// A batch whose entry has this term.
    Batch(u64, Batch),
    /// From now on there is another table, thawed from the first.
    Restore,
    /// An operator recovers the table, in this epoch or the next.
    Recover(u32, Recovery),
}

struct Rules;

impl ReferenceStateMachine for Rules {
    type State = Twin;
    type Transition = Turn;

    fn init_state() -> BoxedStrategy<Twin> {
        Just(Twin::new()).boxed()
    }

    fn transitions(twin: &Twin) -> BoxedStrategy<Turn> {
        let batch = (select(vec![1, 1, 1, 1, 1, 1, 1, 1, 1, 2]), stamp(twin), 0..4u32, requests(twin));
        let batch = batch.prop_map(|(term, stamp, sweep, requests)| {
            Turn::Batch(1, Batch { term, stamp, sweep: [0, 1, 2, SWEEP_MAX][sweep as usize], requests })
        });
        let how = select(vec![Recovery::Restore, Recovery::SoleSurvivor, Recovery::DiscardGrants]);
        let recover = (select(vec![0, 1, 7]), how).prop_map(|(epoch, how)| Turn::Recover(epoch, how));
        prop_oneof![24 => batch, 2 => Just(Turn::Restore), 1 => recover].boxed()
    }

    fn apply(mut twin: Twin, turn: &Turn) -> Twin {
        match turn {
            Turn::Batch(term, batch) => twin.apply(*term, batch),
            Turn::Restore => {}
            Turn::Recover(epoch, how) => twin.recover(*epoch, *how),
        }
        twin
    }
}

/// Now, a little later, much later, or just around the next moment at which something ends.
fn stamp(twin: &Twin) -> BoxedStrategy<Time> {
    let next = twin.leases.values().filter_map(|lease| lease.due()).min().map_or(twin.now, |(at, _)| at);
    let (now, next) = (twin.now.as_nanos(), next.as_nanos());
    let steps = [0, 1, SECOND / 500, SECOND / 4, SECOND, 4 * SECOND, 90 * SECOND];
    let mut stamps: Vec<u64> = steps.iter().map(|step| now + step).collect();
    stamps.extend([now.saturating_sub(SECOND), next, next + 1, next + 1, next.saturating_sub(1)]);
    select(stamps).prop_map(Time::from_nanos).boxed()
}

fn requests(twin: &Twin) -> BoxedStrategy<Vec<Request>> {
    let now = twin.now.as_nanos();
    let not_after = prop_oneof![
        6 => Just(None),
        1 => select(vec![now, now + SECOND, now.saturating_sub(1)]).prop_map(|at| Some(Time::from_nanos(at))),
    ];
    let request = (not_after, command(twin)).prop_map(|(not_after, command)| Request { not_after, command });
    proptest::collection::vec(request, 0..4).boxed()
}

fn command(twin: &Twin) -> BoxedStrategy<Command> {
    let newest = twin.next_token;
    let ended = twin.history.iter().map(|(_, end)| end.token.as_u64()).rev().take(4);
    let known: Vec<u64> = (newest.saturating_sub(7)..=newest).chain(ended).collect();
    let token = select(known).prop_map(Token::from_u64);
    let key = || (0..2u8, 0..3u8).prop_map(|(namespace, name)| key(namespace, name));
    let entity = || select(vec!["machine-0", "machine-1"]).prop_map(|entity| Entity::parse(entity).unwrap());
    let reason = || select(vec!["", "upgrade", "move"]).prop_map(|why| Reason::parse(why).unwrap());
    let when = select(vec![RevokeWhen::AtDeadline, RevokeWhen::Now]);
    let version = twin.settings.version;
    prop_oneof![
        8 => claim().prop_map(Command::Claim),
        2 => (key(), heir()).prop_map(|(key, to)| Command::Succeed(Succeed { key, to })),
        5 => (token.clone(), ttl()).prop_map(|(token, ttl)| Command::Extend { token, ttl }),
        2 => token.clone().prop_map(|token| Command::Release { token }),
        2 => (token.clone(), heir()).prop_map(|(token, to)| Command::Transfer { token, to }),
        3 => (token, reason(), when, proptest::option::of(heir()))
            .prop_map(|(token, why, when, heir)| Command::Revoke { token, why, when, heir }),
        2 => (key(), entity(), reason()).prop_map(|(key, entity, why)| Command::Pin { key, entity, why }),
        2 => (key(), entity()).prop_map(|(key, entity)| Command::Unpin { key, entity }),
        1 => (version.saturating_sub(1)..=version, change())
            .prop_map(|(version, change)| Command::Set { version, changes: vec![change] }),
    ]
    .boxed()
}

fn key(namespace: u8, name: u8) -> Key {
    let namespace = Namespace::parse(["a", "b"][usize::from(namespace)]).unwrap();
    Key { namespace, name: Name::parse(["x", "y", "z"][usize::from(name)]).unwrap() }
}

fn holder() -> impl Strategy<Value = Holder> {
    select(vec!["h0", "h1"]).prop_map(|holder| Holder::parse(holder).unwrap())
}

fn ttl() -> impl Strategy<Value = Ttl> {
    select(vec![300, 1_000, 2_000, 2_001, 30_000]).prop_map(Ttl::from_millis)
}

fn claim() -> impl Strategy<Value = Claim> {
    let value =
        proptest::option::of(select(vec!["", "host:1"]).prop_map(|value| Value::parse(value).unwrap()));
    (0..2u8, 0..3u8, holder(), 0..3u64, 0..5u64, ttl(), value).prop_map(
        |(namespace, name, holder, instance, seq, ttl, value)| Claim {
            key: key(namespace, name),
            holder,
            instance: Instance(instance),
            seq: Seq(seq),
            ttl,
            value,
        },
    )
}

fn heir() -> impl Strategy<Value = Heir> {
    let confirm = select(vec![0, 1, 500, 2_000]).prop_map(Ttl::from_millis);
    (holder(), 0..3u64, ttl(), confirm).prop_map(|(holder, instance, ttl, confirm)| Heir {
        holder,
        instance: Instance(instance),
        ttl,
        confirm,
    })
}

fn change() -> impl Strategy<Value = Change> {
    let limits = (select(vec![0, 3, 900]), select(vec![2, 3, 100]), select(vec![0, 1, 3, 10_000])).prop_map(
        |(cooldown, leases_max, history_max)| NamespaceSettings {
            cooldown: Ttl::from_millis(cooldown),
            leases_max,
            history_max,
            ..NamespaceSettings::default()
        },
    );
    (0..2u8, proptest::option::of(limits))
        .prop_map(|(namespace, limits)| Change::Namespace(key(namespace, 0).namespace, limits))
}

fn bytes(table: &Table) -> Vec<Vec<u8>> {
    table.freeze().sections().collect()
}

fn restored(table: &Table) -> Table {
    Table::thaw(bytes(table).into_iter().map(Ok)).unwrap()
}

/// The table from the start, and the one that was restored last.
struct Tables(Vec<Table>);

impl StateMachineTest for Tables {
    type SystemUnderTest = Tables;
    type Reference = Rules;

    fn init_test(_: &Twin) -> Tables {
        Tables(vec![Table::new(0)])
    }

    fn apply(mut tables: Tables, twin: &Twin, turn: Turn) -> Tables {
        match turn {
            Turn::Batch(term, batch) => {
                tables.0.iter_mut().for_each(|table| step(table, term, &batch, &twin.last));
                // Only the restored one is asked: the two indexes are in different states from then on.
                let asked = tables.0.iter_mut().skip(1).map(Table::next_deadline);
                asked.for_each(|next| assert_eq!(next, earliest(twin)));
            }
            Turn::Restore => {
                tables.0.truncate(1);
                tables.0.push(restored(&tables.0[0]));
            }
            Turn::Recover(epoch, how) => {
                for table in &mut tables.0 {
                    assert_eq!(table.recover(epoch, how), twin.last);
                }
            }
        }
        tables
    }

    fn check_invariants(tables: &Tables, twin: &Twin) {
        let written = bytes(&tables.0[0]);
        for table in &tables.0 {
            assert_eq!(table.check(), Ok(()));
            compare(table, twin);
            assert!(bytes(table) == written, "a restored table writes other bytes");
            assert_eq!(restored(table).next_deadline(), earliest(twin));
        }
    }
}

fn step(table: &mut Table, term: u64, batch: &Batch, expected: &Applied) {
    let frozen = table.freeze();
    let before: Vec<_> = frozen.sections().collect();
    let asked = match &batch.requests[..] {
        [Request { not_after: None, command }] if batch.sweep == 0 && batch.term == term => {
            Some(table.refusal(batch.stamp, command))
        }
        _ => None,
    };
    let ahead = table.sweep_ahead(table.now().max(batch.stamp), batch.sweep);
    let mut written = Vec::new();
    batch.encode(&mut written);
    let applied = table.apply(term, &Batch::decode(&written).unwrap());
    assert_eq!(&applied, expected);
    if batch.requests.is_empty() && batch.term == term {
        let ahead: Vec<Key> = ahead.into_iter().flatten().collect();
        assert_eq!(ahead, applied.freed, "a sweep looked at ahead, and then applied");
    }
    if let Some(asked) = asked {
        let refused = match &applied.outcomes[0] {
            Outcome::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        };
        assert_eq!(asked, refused, "asked ahead, and then applied");
    }
    assert!(frozen.sections().eq(before), "a frozen table changed");
}

fn earliest(twin: &Twin) -> Option<Time> {
    twin.leases.values().filter_map(|lease| lease.due()).min().map(|(at, _)| at)
}

fn compare(table: &Table, twin: &Twin) {
    assert_eq!((table.now(), table.revision().0), (twin.now, twin.revision));
    assert_eq!(table.next_token().as_u64(), twin.next_token);
    assert_eq!(table.settings(), &twin.settings);
    let is_held = |lease: &&twin::Lease| lease.grant.is_some();
    assert_eq!(table.count(&Filter::default()), twin.leases.values().filter(is_held).count() as u64);
    assert_eq!(
        table.needs_ticks(),
        twin.leases.values().any(|lease| lease.grant.is_some() || lease.cooldown.is_some())
    );
    for key in (0..2).flat_map(|namespace| (0..3).map(move |name| key(namespace, name))) {
        let view = twin.view(&key);
        assert_eq!(table.get(&key), view);
        let is_free = view.as_ref().is_none_or(|view| view.grant.is_none() && view.cooldown.is_none());
        assert_eq!(table.is_free(&key), is_free);
        if let Some(grant) = view.and_then(|view| view.grant) {
            assert_eq!(table.grant(grant.token), Some((key, grant)));
        }
    }
    for namespace in (0..2).map(|namespace| key(namespace, 0).namespace) {
        let ends = twin.history.iter().rev().filter(|(key, _)| key.namespace == namespace);
        assert_eq!(table.history(&namespace, None, usize::MAX), ends.cloned().collect::<Vec<_>>());
    }
    assert_eq!(table.list(&Filter::default(), None, usize::MAX), listed(twin));
}

fn listed(twin: &Twin) -> Vec<LeaseView> {
    let views = twin.leases.keys().filter_map(|key| twin.view(key));
    views.filter(|view| view.grant.is_some() || view.cooldown.is_some() || !view.pins.is_empty()).collect()
}

prop_state_machine! {
    #![proptest_config(Config { cases: 800, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_table_does_what_its_naive_twin_does(sequential 1..60 => Tables);
}
