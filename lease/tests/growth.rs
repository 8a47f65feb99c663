//! Nothing grows with what is done over and over: the table's own check bounds its index by its records.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use lease::*;

fn key() -> Key {
    Key { namespace: Namespace::parse("db").unwrap(), name: Name::parse("primary").unwrap() }
}

fn claim(seq: u64, ttl_s: u64) -> Command {
    claim_of(key(), seq, ttl_s)
}

fn claim_of(key: Key, seq: u64, ttl_s: u64) -> Command {
    Command::Claim(Claim {
        key,
        holder: Holder::parse("h1").unwrap(),
        instance: Instance(7),
        seq: Seq(seq),
        ttl: Ttl::from_millis(ttl_s * 1_000),
        value: None,
    })
}

fn apply(table: &mut Table, command: Command) -> Outcome {
    let stamp = Time::from_nanos(table.now().as_nanos() + 10_000_000);
    let requests = vec![Request { not_after: None, command }];
    table.apply(1, &Batch { term: 1, stamp, sweep: SWEEP_MAX, requests }).outcomes.remove(0)
}

/// Claims and releases the key with ever changing ttls, 20,000 times.
fn claim_and_release(table: &mut Table, leader_asks: impl Fn(&mut Table)) {
    for seq in 1..20_000 {
        let token = table.next_token();
        assert!(matches!(
            apply(table, claim(seq, [80_000, 1, 3_000][seq as usize % 3])),
            Outcome::Granted(_)
        ));
        leader_asks(table);
        assert_eq!(apply(table, Command::Release { token }), Outcome::Released { token });
    }
    assert_eq!(table.check(), Ok(()));
}

#[test]
fn claiming_and_releasing_for_ever_leaves_one_record() {
    claim_and_release(&mut Table::new(0), |_| ());
    claim_and_release(&mut Table::new(0), |table| assert!(table.next_deadline().is_some()));
}

#[test]
fn claiming_and_releasing_without_history_leaves_nothing() {
    let mut table = Table::new(0);
    let limits = NamespaceSettings { history_max: 0, ..NamespaceSettings::default() };
    let change = Change::Namespace(key().namespace, Some(limits));
    apply(&mut table, Command::Set { version: 0, changes: vec![change] });
    claim_and_release(&mut table, |_| ());
    assert_eq!(table.get(&key()), None);
    assert_eq!((table.next_deadline(), table.needs_ticks()), (None, false));
}

#[test]
fn deadlines_given_up_beyond_one_that_stands_are_forgotten() {
    let mut table = Table::new(0);
    let limits = NamespaceSettings { history_max: 0, ..NamespaceSettings::default() };
    let change = Change::Namespace(key().namespace, Some(limits));
    apply(&mut table, Command::Set { version: 0, changes: vec![change] });
    // It stands before all the others, so that the sweep never comes to them.
    let first = Key { name: Name::parse("first").unwrap(), ..key() };
    apply(&mut table, claim_of(first, 1, 1_000));
    for seq in 1..20_000 {
        let token = table.next_token();
        apply(&mut table, claim(seq, 80_000));
        apply(&mut table, Command::Release { token });
    }
    assert_eq!(table.check(), Ok(()));
}

#[test]
fn pinning_and_unpinning_for_ever_leaves_one_deadline() {
    let mut table = Table::new(0);
    apply(&mut table, claim(1, 80_000));
    let entity = Entity::parse("machine-0").unwrap();
    for _ in 0..20_000 {
        apply(
            &mut table,
            Command::Pin { key: key(), entity: entity.clone(), why: Reason::parse("").unwrap() },
        );
        assert_eq!(table.next_deadline(), None);
        apply(&mut table, Command::Unpin { key: key(), entity: entity.clone() });
        assert!(table.next_deadline().is_some());
    }
    assert_eq!(table.check(), Ok(()));
}

#[test]
fn succession_for_ever_within_one_moment_is_bounded_by_the_next() {
    let mut table = Table::new(0);
    apply(&mut table, claim(1, 10));
    let heir = |seq: u64| Heir {
        holder: Holder::parse("h2").unwrap(),
        instance: Instance(seq),
        ttl: Ttl::from_millis(10_000),
        confirm: Ttl::from_millis(2_000),
    };
    for seq in 1..20_000 {
        let token = Token::from_u64(table.next_token().as_u64() - 1);
        table.next_deadline();
        apply(&mut table, Command::Transfer { token, to: heir(seq) });
    }
    assert_eq!(table.check(), Ok(()));
}
