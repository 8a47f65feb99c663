//! Snapshots: Juju's own form, what it refuses, and there and back again.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::{Entry, InvalidSnapshot, Key, Moment, Snapshot, Wanted};
use crate::duration::GoDuration;

const MODEL: &str = "8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11";
const OTHER: &str = "f00dcafe-0000-4000-8000-0123456789ab";

/// As Juju writes it: two leases of one model, one of another with the same name, and a pin.
const TEXT: &str = "\
version: 1
entries:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: mysql
  : holder: mysql/0
    start: 0001-01-01T00:00:10Z
    duration: 1m0s
  ? namespace: application-leadership
    model-uuid: f00dcafe-0000-4000-8000-0123456789ab
    lease: mysql
  : holder: mysql/7
    start: 0001-01-01T00:00:29.5Z
    duration: 30s
  ? namespace: singular-controller
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
  : holder: machine-0
    start: 0001-01-01T00:00:00Z
    duration: 5s
pinned:
  ? namespace: application-leadership
    model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11
    lease: mysql
  : - machine-0
    - machine-1
global-time: 0001-01-01T00:00:30Z
";

fn key(model: &str, lease: &str) -> Key {
    Key { namespace: "application-leadership".to_owned(), model: model.to_owned(), lease: lease.to_owned() }
}

fn pins(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|entity| (*entity).to_owned()).collect()
}

#[test]
fn jujus_form_is_read_and_written_to_the_letter() {
    let snapshot = Snapshot::read(TEXT).unwrap();
    assert_eq!(snapshot.entries.len(), 3);
    assert_eq!(
        snapshot.entries[&key(MODEL, "mysql")],
        Entry {
            holder: "mysql/0".to_owned(),
            start: Moment::from_nanos(10_000_000_000).unwrap(),
            duration: GoDuration::from_nanos(60_000_000_000),
        }
    );
    assert_eq!(snapshot.pinned[&key(MODEL, "mysql")], pins(&["machine-0", "machine-1"]));
    assert_eq!(snapshot.to_string(), TEXT);
    let empty = "version: 1\nentries: {}\npinned: {}\nglobal-time: 0001-01-01T00:00:00Z\n";
    assert_eq!(Snapshot::read(empty).unwrap().to_string(), empty);
}

#[test]
fn quotes_and_bare_nanoseconds_are_read_too() {
    let text = TEXT.replace("duration: 1m0s", "duration: 60000000000");
    let text = text.replace("start: 0001-01-01T00:00:10Z", "start: \"0001-01-01T00:00:10Z\"");
    assert_eq!(Snapshot::read(&text), Snapshot::read(TEXT));
}

#[test]
fn what_juju_refuses_is_refused_in_its_words() {
    let refused = |from: &str, to: &str| Snapshot::read(&TEXT.replace(from, to)).unwrap_err().to_string();
    assert_eq!(refused("version: 1", "version: 2"), "snapshot version 2 not valid");
    assert_eq!(refused("version: 1\n", ""), "snapshot version 0 not valid");
    for without in ["", "entries:\n", "entries: null\n"] {
        let text = format!("version: 1\n{without}global-time: 0001-01-01T00:00:30Z\n");
        let error = Snapshot::read(&text).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error),
            ("nil entries not valid", InvalidSnapshot::NoEntries)
        );
    }
}

#[test]
fn what_juju_does_not_write_is_refused_with_its_line() {
    let table = [
        ("holder: mysql/0", "holder:", 6, "no single value"),
        ("holder: mysql/0", "owner: mysql/0", 6, "owner is none of holder, start, duration"),
        ("holder: mysql/0", "start: 0001-01-01T00:00:10Z", 7, "start stands there twice"),
        ("namespace: singular-controller", "namespace: leader", 15, "namespace \"leader\" not valid"),
        ("model-uuid: f00dcafe-0000-4000-8000-0123456789ab", "model-uuid: f00d", 9, "\"f00d\" is no uuid"),
        (
            "model-uuid: f00dcafe-0000-4000-8000-0123456789ab",
            "model-uuid: 8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11",
            9,
            "twice",
        ),
        ("duration: 30s", "duration: soon", 14, "duration \"soon\""),
        ("start: 0001-01-01T00:00:00Z", "start: now", 19, "is no time such as"),
        (": - machine-0\n    - machine-1", ": machine-0", 25, "no list of entities"),
        ("global-time: 0001-01-01T00:00:30Z", "", 1, "global-time is missing"),
        ("pinned:", "pins:", 21, "pins is none of version, entries, pinned, global-time"),
    ];
    for (from, to, line, why) in table {
        match Snapshot::read(&TEXT.replacen(from, to, 1)) {
            Err(InvalidSnapshot::Line(error)) => {
                assert!(error.why.contains(why), "{to}: {error}");
                assert_eq!(error.line, line, "{to}: {error}");
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

#[test]
fn a_lease_keeps_what_remained_of_it_and_what_is_over_goes() {
    let import = Snapshot::read(TEXT).unwrap().import();
    let wanted = |model: &str, holder: &str, millis, of: &[&str]| Wanted {
        namespace: format!("application-leadership:{model}"),
        name: "mysql".to_owned(),
        held: Some((holder.to_owned(), Duration::from_millis(millis))),
        pins: pins(of),
    };
    assert_eq!(import.over, 1, "the singular lease ended 25 s ago");
    assert_eq!(
        import.wanted,
        [
            wanted(MODEL, "mysql/0", 40_000, &["machine-0", "machine-1"]),
            wanted(OTHER, "mysql/7", 29_500, &[]),
        ]
    );
}

#[test]
fn what_ends_now_stays_for_the_least_ttl_and_what_is_pinned_stays_too() {
    let at = |start: &str| {
        let text = TEXT.replace("start: 0001-01-01T00:00:10Z", &format!("start: {start}"));
        text.replace("duration: 1m0s", "duration: 1s")
    };
    let first = |text: &str| Snapshot::read(text).unwrap().import().wanted[0].clone();
    let least = Some(("mysql/0".to_owned(), Duration::from_millis(1_000)));
    assert_eq!(first(&at("0001-01-01T00:00:29Z")).held, least, "bang on");
    assert_eq!(first(&at("0001-01-01T00:00:01Z")).held, least, "over, and pinned");
    let pins_gone =
        at("0001-01-01T00:00:01Z").replace("    - machine-1\n", "").replace("  : - machine-0", "  : []");
    assert_eq!(first(&pins_gone).name, "mysql");
    assert_eq!(
        first(&pins_gone).namespace,
        format!("application-leadership:{OTHER}"),
        "over, and not pinned"
    );
}

#[test]
fn a_pin_without_a_holder_is_kept() {
    let text = "version: 1\nentries: {}\npinned:\n  ? namespace: application-leadership\n    model-uuid: \
                8e6e52a5-6aca-4bd4-8e1f-3b0c6e9a7a11\n    lease: redis\n  : - machine-3\nglobal-time: 0001-01-01T00:00:00Z\n";
    let import = Snapshot::read(text).unwrap().import();
    assert_eq!(import.wanted.len(), 1);
    assert_eq!((import.wanted[0].held.clone(), &import.wanted[0].pins), (None, &pins(&["machine-3"])));
}

#[test]
fn what_a_cluster_has_comes_back_as_it_was() {
    let mut snapshot = Snapshot::empty();
    let ours = format!("application-leadership:{MODEL}");
    let held = Some(("mysql/0", Duration::from_secs(60), Duration::from_millis(12_345)));
    snapshot.export(&ours, "mysql", held, pins(&["machine-0"]));
    snapshot.export(&ours, "redis", None, pins(&["machine-1"]));
    snapshot.export("default", "not-jujus", held, pins(&[]));
    // Longer than any lease lasts: it began before the clock did, and keeps what remains.
    let odd = Some(("pg/0", Duration::from_secs(200_000), Duration::from_secs(10)));
    snapshot.export(&ours, "pg", odd, pins(&[]));
    let again = Snapshot::read(&snapshot.to_string()).unwrap();
    assert_eq!(again, snapshot);
    let import = again.import();
    assert_eq!(import.wanted.len(), 3);
    assert_eq!(import.wanted[0].held, Some(("mysql/0".to_owned(), Duration::from_millis(12_345))));
    assert_eq!(import.wanted[1].held, Some(("pg/0".to_owned(), Duration::from_secs(10))));
    assert_eq!((import.wanted[2].held.clone(), import.wanted[2].name.as_str()), (None, "redis"));
}

fn any_key() -> impl Strategy<Value = Key> {
    let namespace = prop::sample::select(vec!["application-leadership", "singular-controller"]);
    let model = prop::sample::select(vec![MODEL, OTHER]);
    (namespace, model, any_text()).prop_map(|(namespace, model, lease)| Key {
        namespace: namespace.into(),
        model: model.into(),
        lease,
    })
}

/// Whatever may stand in a name, and whatever YAML would take for something else.
fn any_text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "no", "12", "~", "- a", "? b", ": c", "a: b", "a #b", "'", "\"", "{}", "[]", "&x", "\\n",
    ]);
    prop_oneof![odd.prop_map(str::to_owned), "[ -~é\n]{1,12}"]
}

proptest! {
    #[test]
    fn every_snapshot_is_read_as_it_was_written(
        entries in btree_map(any_key(), (any_text(), 0..1_000_000_000_000_i64, any::<i64>()), 0..6),
        pinned in btree_map(any_key(), btree_set(any_text(), 1..4), 0..4),
        now in 0..1_000_000_000_000_i64,
    ) {
        let entry = |(holder, start, duration)| Entry {
            holder,
            start: Moment::from_nanos(start).unwrap(),
            duration: GoDuration::from_nanos(duration),
        };
        let entries = entries.into_iter().map(|(key, value)| (key, entry(value))).collect();
        let snapshot = Snapshot { entries, pinned, global_time: Moment::from_nanos(now).unwrap() };
        let text = snapshot.to_string();
        prop_assert_eq!(Snapshot::read(&text), Ok(snapshot), "{}", text);
    }
}
