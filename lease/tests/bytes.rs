//! Bytes: what was written is read again, and nothing else is. Whatever is damaged is refused, or, where the damage
//! makes another valid thing, is read as exactly that: written again it gives the damaged bytes.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use allocation_counter::measure;
use lease::*;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::Index;
use proptest::test_runner::Config;
use proptest::{option, proptest};

fn text<T: 'static + std::fmt::Debug>(parse: fn(&str) -> Result<T, InvalidName>) -> BoxedStrategy<T> {
    proptest::string::string_regex("[a-zä-ü0-9/-]{1,12}")
        .unwrap()
        .prop_map(move |text| parse(&text).unwrap())
        .boxed()
}

fn key() -> BoxedStrategy<Key> {
    (text(Namespace::parse), text(Name::parse)).prop_map(|(namespace, name)| Key { namespace, name }).boxed()
}

fn ttl() -> BoxedStrategy<Ttl> {
    any::<u64>().prop_map(Ttl::from_nanos).boxed()
}

fn token() -> BoxedStrategy<Token> {
    any::<u64>().prop_map(Token::from_u64).boxed()
}

fn heir() -> BoxedStrategy<Heir> {
    (text(Holder::parse), any::<u64>(), ttl(), ttl())
        .prop_map(|(holder, instance, ttl, confirm)| Heir {
            holder,
            instance: Instance(instance),
            ttl,
            confirm,
        })
        .boxed()
}

fn limits() -> BoxedStrategy<NamespaceSettings> {
    (ttl(), ttl(), ttl(), any::<u64>(), any::<u32>())
        .prop_map(|(ttl_min, ttl_max, cooldown, leases_max, history_max)| NamespaceSettings {
            ttl_min,
            ttl_max,
            cooldown,
            leases_max,
            history_max,
        })
        .boxed()
}

fn credential() -> BoxedStrategy<Credential> {
    let whose = (text(Holder::parse), proptest::sample::select(&Role::ALL[..]));
    let scope = (option::of(text(Namespace::parse)), option::of(text(Name::parse)));
    let good = (any::<u128>(), option::of(any::<u64>()), any::<bool>(), option::of(any::<u32>()));
    (any::<[u8; 32]>(), whose, scope, good)
        .prop_map(|(hash, (principal, role), (namespace, lease), good)| Credential {
            hash: SecretHash(hash),
            principal,
            role,
            namespace,
            lease,
            audience: good.0,
            expires: good.1,
            revoked: good.2,
            claims_per_second: good.3,
        })
        .boxed()
}

fn change() -> BoxedStrategy<Change> {
    let namespace = (text(Namespace::parse), option::of(limits()));
    prop_oneof![
        any::<u32>().prop_map(Change::ClusterVersion),
        namespace.prop_map(|(namespace, limits)| Change::Namespace(namespace, limits)),
        (any::<u64>(), option::of(credential()))
            .prop_map(|(id, it)| Change::Credential(CredentialId(id), it)),
    ]
    .boxed()
}

fn claim() -> BoxedStrategy<Claim> {
    (key(), text(Holder::parse), any::<u64>(), any::<u64>(), ttl(), option::of(text(Value::parse)))
        .prop_map(|(key, holder, instance, seq, ttl, value)| Claim {
            key,
            holder,
            instance: Instance(instance),
            seq: Seq(seq),
            ttl,
            value,
        })
        .boxed()
}

fn command() -> BoxedStrategy<Command> {
    let when = prop_oneof![Just(RevokeWhen::AtDeadline), Just(RevokeWhen::Now)];
    prop_oneof![
        claim().prop_map(Command::Claim),
        (key(), heir()).prop_map(|(key, to)| Command::Succeed(Succeed { key, to })),
        (token(), ttl()).prop_map(|(token, ttl)| Command::Extend { token, ttl }),
        token().prop_map(|token| Command::Release { token }),
        (token(), heir()).prop_map(|(token, to)| Command::Transfer { token, to }),
        (token(), text(Reason::parse), when, option::of(heir()))
            .prop_map(|(token, why, when, heir)| Command::Revoke { token, why, when, heir }),
        (key(), text(Entity::parse), text(Reason::parse)).prop_map(|(key, entity, why)| Command::Pin {
            key,
            entity,
            why
        }),
        (key(), text(Entity::parse)).prop_map(|(key, entity)| Command::Unpin { key, entity }),
        (any::<u64>(), proptest::collection::vec(change(), 0..4))
            .prop_map(|(version, changes)| Command::Set { version, changes }),
    ]
    .boxed()
}

fn batch() -> BoxedStrategy<Batch> {
    let request = (option::of(any::<u64>()), command())
        .prop_map(|(at, command)| Request { not_after: at.map(Time::from_nanos), command });
    (any::<u64>(), any::<u64>(), any::<u32>(), proptest::collection::vec(request, 0..6))
        .prop_map(|(term, stamp, sweep, requests)| Batch {
            term,
            stamp: Time::from_nanos(stamp),
            sweep,
            requests,
        })
        .boxed()
}

fn encoded(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    batch.encode(&mut bytes);
    bytes
}

/// What reading takes of memory at most, for each byte that is read: numbers and texts are larger there, and a vector that grows is
/// there twice.
const MEMORY_PER_BYTE: u64 = 96;
/// And at the outset: for errors, and for the first pages of a table.
const MEMORY: u64 = 64 * 1024;
/// A record may lie in any slot, for a table keeps those of its peak: so much do the ways to the last of them take.
const MEMORY_OF_SLOTS: u64 = 48 * 1024 * 1024;

/// Reads `length` bytes, and fails where that took more memory than they account for.
fn within_bounds<T>(length: usize, more: u64, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = measure(|| result = Some(read())).bytes_max;
    let most = MEMORY_PER_BYTE * length as u64 + MEMORY + more;
    assert!(taken <= most, "{length} bytes took {taken} bytes of memory");
    result.unwrap()
}

/// A snapshot's sections with some bytes changed, put in or taken out, and the length that each says made right.
fn edited(mut sections: Vec<Vec<u8>>, edits: &[(Index, Index, u8, u8)]) -> Vec<Vec<u8>> {
    for (section, at, byte, how) in edits {
        let section = &mut sections[section.index(6)];
        let at = 6 + at.index(section.len() - 6);
        match how {
            0 => section.insert(at, *byte),
            1 if section.len() > 7 => drop(section.remove(at)),
            2 => section[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            _ => section[at] = *byte,
        }
        let length = (section.len() - 6) as u32;
        section[2..6].copy_from_slice(&length.to_le_bytes());
    }
    sections
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn a_batch_is_read_as_it_was_written(batch in batch()) {
        assert_eq!(Batch::decode(&encoded(&batch)), Ok(batch));
    }

    #[test]
    fn a_batch_cut_short_or_too_long_is_refused(batch in batch(), more in any::<u8>()) {
        let mut bytes = encoded(&batch);
        for len in 0..bytes.len() {
            assert!(Batch::decode(&bytes[..len]).is_err(), "accepted after {len} bytes");
        }
        bytes.push(more);
        assert_eq!(Batch::decode(&bytes).unwrap_err().offset, bytes.len() - 1);
    }

    #[test]
    fn a_damaged_batch_is_refused_or_is_what_its_bytes_say(batch in batch(), at in any::<usize>(), with in 1..=255u8) {
        let mut bytes = encoded(&batch);
        let at = at % bytes.len();
        bytes[at] ^= with;
        if let Ok(read) = within_bounds(bytes.len(), 0, || Batch::decode(&bytes)) {
            assert_eq!(encoded(&read), bytes);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_what_they_say_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = within_bounds(bytes.len(), 0, || Batch::decode(&bytes)) {
            assert_eq!(encoded(&read), bytes);
        }
        assert!(within_bounds(bytes.len(), 0, || Table::thaw([Ok(bytes.clone())].into_iter())).is_err());
    }

    #[test]
    fn a_snapshot_that_was_changed_in_places_is_refused_or_is_what_it_says(
        edits in proptest::collection::vec((any::<Index>(), any::<Index>(), prop_oneof![any::<u8>(), 0..12u8], 0..9u8), 1..4),
    ) {
        let bad = edited(sections(&rich()), &edits);
        let length = bad.iter().map(Vec::len).sum();
        if let Ok(table) = within_bounds(length, MEMORY_OF_SLOTS, || thaw(&bad)) {
            assert_eq!(table.check(), Ok(()));
            assert!(sections(&table) == bad, "read as something else");
        }
    }
}

#[test]
fn a_record_in_the_last_slot_takes_little_memory_for_those_before_it() {
    for (slot, fits) in [(SLOTS_MAX - 1, true), (SLOTS_MAX, false), (u32::MAX, false)] {
        let mut table = Table::new(3);
        apply(&mut table, 0, vec![claimed("a1", 10)]);
        let mut one = sections(&table);
        // Behind the tag, the version, the length and the count.
        assert_eq!((one[3][0], &one[3][10..14]), (4, &[0; 4][..]));
        one[3][10..14].copy_from_slice(&slot.to_le_bytes());
        let length = one.iter().map(Vec::len).sum();
        let read = within_bounds(length, MEMORY_OF_SLOTS, || thaw(&one));
        assert_eq!(read.is_ok(), fits, "slot {slot}");
    }
}

#[test]
fn a_count_of_what_cannot_be_there_takes_no_memory() {
    for at in [1, 2, 3, 4, 5] {
        let mut bad = sections(&rich());
        let count = if at == 1 { 6 + 12 } else { 6 };
        bad[at][count..count + 4].fill(0xff);
        let length = bad.iter().map(Vec::len).sum();
        assert!(within_bounds(length, 0, || thaw(&bad)).is_err(), "section {at}");
    }
}

#[test]
fn another_version_and_an_unknown_command_are_refused_where_they_stand() {
    let request = Request { not_after: None, command: Command::Release { token: Token::from_u64(1) } };
    let good = encoded(&Batch { term: 1, stamp: Time::ZERO, sweep: 0, requests: vec![request] });
    let refused = |at: usize, with: u8| {
        let mut bytes = good.clone();
        bytes[at] = with;
        Batch::decode(&bytes).unwrap_err().offset
    };
    assert_eq!(refused(0, 2), 0, "version 2");
    assert_eq!(refused(0, 0), 0, "version 0");
    assert_eq!(refused(25, 10), 25, "a command of tomorrow");
    assert_eq!(refused(24, 0xff), 21, "four thousand million requests");
}

fn name(text: &str) -> Key {
    Key { namespace: Namespace::parse(&text[..1]).unwrap(), name: Name::parse(text).unwrap() }
}

fn apply(table: &mut Table, stamp_s: u64, commands: Vec<Command>) {
    let requests = commands.into_iter().map(|command| Request { not_after: None, command }).collect();
    table.apply(
        1,
        &Batch { term: 1, stamp: Time::from_nanos(stamp_s * 1_000_000_000), sweep: SWEEP_MAX, requests },
    );
}

fn claimed(text: &str, ttl_s: u64) -> Command {
    Command::Claim(Claim {
        key: name(text),
        holder: Holder::parse("h1").unwrap(),
        instance: Instance(7),
        seq: Seq(1),
        ttl: Ttl::from_millis(ttl_s * 1_000),
        value: Some(Value::parse("host1").unwrap()),
    })
}

/// A table with one of everything that a snapshot can hold.
fn rich() -> Table {
    let mut table = Table::new(3);
    let limits = NamespaceSettings {
        cooldown: Ttl::from_millis(60_000),
        history_max: 3,
        ..NamespaceSettings::default()
    };
    let change = Change::Namespace(Namespace::parse("a").unwrap(), Some(limits));
    apply(&mut table, 0, vec![Command::Set { version: 0, changes: vec![change] }]);
    apply(&mut table, 0, ["a1", "a2", "a3", "b1", "b2"].map(|text| claimed(text, 10)).to_vec());
    let token = |n: u64| Token::from_u64(3 << 32 | n);
    let heir = Heir {
        holder: Holder::parse("h2").unwrap(),
        instance: Instance(9),
        ttl: Ttl::from_millis(5_000),
        confirm: Ttl::from_millis(2_000),
    };
    let why = Reason::parse("upgrade").unwrap();
    let pin = |text| Command::Pin {
        key: name(text),
        entity: Entity::parse("machine-0").unwrap(),
        why: why.clone(),
    };
    let revoke = Command::Revoke {
        token: token(2),
        why: why.clone(),
        when: RevokeWhen::AtDeadline,
        heir: Some(heir.clone()),
    };
    apply(
        &mut table,
        1,
        vec![pin("a1"), pin("c9"), revoke, Command::Transfer { token: token(4), to: heir.clone() }],
    );
    apply(
        &mut table,
        2,
        vec![Command::Release { token: token(5) }, Command::Transfer { token: token(6), to: heir }],
    );
    apply(&mut table, 11, vec![]);
    table
}

fn sections(table: &Table) -> Vec<Vec<u8>> {
    table.freeze().sections().collect()
}

fn thaw(sections: &[Vec<u8>]) -> Result<Table, DecodeError> {
    Table::thaw(sections.iter().cloned().map(Ok))
}

/// Every byte of a snapshot with each of what `damages` gives for it.
fn damage(damages: fn(u8) -> Vec<u8>) {
    let good = sections(&rich());
    assert_eq!(sections(&thaw(&good).unwrap()), good);
    for (section, at) in
        good.iter().enumerate().flat_map(|(n, bytes)| (0..bytes.len()).map(move |at| (n, at)))
    {
        for with in damages(good[section][at]) {
            let mut bad = good.clone();
            bad[section][at] = with;
            if let Ok(table) = thaw(&bad) {
                assert_eq!(table.check(), Ok(()), "section {section}, byte {at}");
                assert!(sections(&table) == bad, "section {section}, byte {at}: read as something else");
            }
        }
    }
}

#[test]
fn every_damaged_byte_of_a_snapshot_is_refused_or_is_what_it_says() {
    damage(|byte| [1, 16, 128, 255].map(|bits| byte ^ bits).to_vec());
}

#[test]
fn every_small_number_of_a_snapshot_that_becomes_another_is_refused_or_is_what_it_says() {
    // So that slots, tokens, counts and numbers of namespaces come to be those of others.
    damage(|byte| if (1..=12).contains(&byte) { (0..=12).collect() } else { Vec::new() });
}

#[test]
fn a_snapshot_that_lacks_a_section_or_has_one_twice_is_refused() {
    let good = sections(&rich());
    for at in 0..good.len() {
        let mut less = good.clone();
        less.remove(at);
        assert!(thaw(&less).is_err(), "without section {at}");
        let mut more = good.clone();
        more.insert(at, good[at].clone());
        assert!(thaw(&more).is_err(), "with section {at} twice");
        let mut cut = good.clone();
        cut[at].pop();
        assert!(thaw(&cut).is_err(), "with section {at} cut short");
    }
    assert!(thaw(&[]).is_err());
}

#[test]
fn a_snapshot_of_another_version_is_refused_with_section_and_offset() {
    // Juju's acceptance case 6, in our bytes.
    for at in 0..6 {
        let mut newer = sections(&rich());
        newer[at][1] = 2;
        let error = thaw(&newer).unwrap_err();
        assert_eq!((error.offset, error.newer), (1, Some((2, 1))));
        assert!(
            error.to_string().ends_with("in version 2, and this program reads up to 1: upgrade this program")
        );
    }
}

#[test]
fn a_large_table_makes_sections_of_at_most_256_kib() {
    let mut table = Table::new(0);
    for first in (0..20_000).step_by(500) {
        apply(
            &mut table,
            1,
            (first..first + 500).map(|n| claimed(&format!("lease-{n:025}"), 3_600)).collect(),
        );
    }
    let written = sections(&table);
    assert!(written.len() > 6, "{} sections", written.len());
    assert!(written.iter().all(|section| section.len() <= 256 * 1024));
    let restored = thaw(&written).unwrap();
    assert_eq!(restored.count(&Filter::default()), 20_000);
    assert!(sections(&restored) == written);
}
