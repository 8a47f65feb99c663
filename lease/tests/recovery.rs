//! What a restore owes to those who may still believe, said one by one; that the table does all else as it should is its
//! twin's to say, which is recovered at random moments in `model`.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use lease::*;

const SECOND: u64 = 1_000_000_000;
const HELD: [(&str, u64); 4] = [("a", 2), ("b", 10), ("c", 60), ("d", 86_400)];

fn key(name: &str) -> Key {
    Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() }
}

fn claim(name: &str, holder: &str, ttl_s: u64) -> Command {
    claim_by(name, holder, 1, ttl_s)
}

fn claim_by(name: &str, holder: &str, seq: u64, ttl_s: u64) -> Command {
    Command::Claim(Claim {
        key: key(name),
        holder: Holder::parse(holder).unwrap(),
        instance: Instance(7),
        seq: Seq(seq),
        ttl: Ttl::from_millis(ttl_s * 1_000),
        value: None,
    })
}

fn apply(table: &mut Table, stamp: Time, commands: Vec<Command>) -> Applied {
    let requests = commands.into_iter().map(|command| Request { not_after: None, command }).collect();
    let applied = table.apply(1, &Batch { term: 1, stamp, sweep: SWEEP_MAX, requests });
    assert_eq!(table.check(), Ok(()));
    applied
}

/// A table at 100 s, one of whose grants is pinned.
fn backup() -> Table {
    let mut table = Table::new(5);
    let at = Time::from_nanos(100 * SECOND);
    apply(&mut table, at, HELD.iter().map(|(name, ttl_s)| claim(name, "h1", *ttl_s)).collect());
    let (entity, why) = (Entity::parse("machine-0").unwrap(), Reason::parse("repair").unwrap());
    apply(&mut table, at, vec![Command::Pin { key: key("b"), entity, why }]);
    table
}

fn bytes(table: &Table) -> Vec<Vec<u8>> {
    table.freeze().sections().collect()
}

#[test]
fn a_restored_key_is_nobodys_for_its_grants_whole_ttl_and_then_anyones() {
    for (name, ttl_s) in HELD {
        let mut table = backup();
        table.recover(0, Recovery::Restore);
        let until = table.now().after(Ttl::from_millis(ttl_s * 1_000));
        // The second claim of its instance, or it would be a retry of the first.
        for holder in ["h1", "h2"] {
            let applied = apply(&mut table, until, vec![claim_by(name, holder, 2, 10)]);
            let refused = Refusal::Cooldown { holder: None, remaining: Ttl::ZERO };
            assert_eq!(applied.outcomes, [Outcome::Refused(refused)], "{name} at its last moment");
            assert!(!applied.freed.contains(&key(name)), "{name}: a wait would fire");
            assert!(!table.is_free(&key(name)));
        }
        let over = Time::from_nanos(until.as_nanos() + 1);
        assert!(apply(&mut table, over, vec![]).freed.contains(&key(name)), "{name}: its waits fire");
        let applied = apply(&mut table, over, vec![claim(name, "h2", 10)]);
        let [Outcome::Granted(granted)] = &applied.outcomes[..] else { panic!("{applied:?}") };
        assert_eq!(granted.token.epoch(), 6);
    }
}

#[test]
fn a_restored_grant_is_lost_as_restored_and_its_pins_and_settings_stay() {
    let mut table = backup();
    let (settings, token) = (table.settings().clone(), table.newest_token().unwrap());
    table.recover(0, Recovery::Restore);
    let lost = table.refusal(table.now(), &Command::Extend { token, ttl: Ttl::from_millis(2_000) });
    let Some(Refusal::Lost { end: Some(end) }) = lost else { panic!("{lost:?}") };
    assert_eq!((end.token, end.why), (token, Why::Restored));
    assert_eq!(table.settings(), &settings);
    assert_eq!(table.get(&key("b")).unwrap().pins.len(), 1);
    assert_eq!(table.history(&key("b").namespace, None, 10).len(), HELD.len());
}

#[test]
fn tokens_rise_above_all_of_the_lineage_whatever_the_clock_says() {
    let mut table = backup();
    // Those that the cluster went on to give after the backup are of the backup's epoch.
    let given_after_the_backup = Token::from_u64(u64::from(table.next_token().epoch()) << 32 | 0xffff_ffff);
    for seconds_since_2020 in [0, 4, 5, 200_000_000, 100] {
        let before = table.next_token();
        table.recover(seconds_since_2020, Recovery::Restore);
        assert!(table.next_token() > before && table.next_token() > given_after_the_backup);
        assert!(table.next_token().epoch() >= seconds_since_2020);
    }
    table.recover(u32::MAX, Recovery::Restore);
    let before = table.next_token();
    table.recover(u32::MAX, Recovery::Restore);
    assert!(table.next_token() >= before, "after the last epoch they go on");
}

#[test]
fn a_recovered_table_survives_its_bytes() {
    for how in [Recovery::Restore, Recovery::SoleSurvivor, Recovery::DiscardGrants] {
        let mut table = backup();
        table.recover(9, how);
        let written = bytes(&table);
        let again = Table::thaw(written.iter().cloned().map(Ok)).unwrap();
        assert_eq!(again.check(), Ok(()));
        assert!(bytes(&again) == written, "{how:?}");
    }
}

#[test]
fn grants_that_are_discarded_free_what_an_earlier_restore_kept_too() {
    let mut table = backup();
    table.recover(0, Recovery::Restore);
    assert!(HELD.iter().all(|(name, _)| !table.is_free(&key(name))));
    let applied = table.recover(0, Recovery::DiscardGrants);
    assert_eq!(applied.freed, HELD.map(|(name, _)| key(name)));
    assert!(HELD.iter().all(|(name, _)| table.is_free(&key(name))));
    assert_eq!(table.check(), Ok(()));
}
