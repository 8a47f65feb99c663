//! Credentials in the settings: only where every member reads them, in a snapshot as they are, and after a recovery as it says.

#![allow(clippy::unwrap_used, reason = "a failed test is what an unwrap is for here")]

use lease::*;

fn credential(role: Role, namespace: Option<&str>) -> Credential {
    Credential {
        hash: SecretHash([7; 32]),
        principal: Holder::parse("mysql/0").unwrap(),
        role,
        namespace: namespace.map(|namespace| Namespace::parse(namespace).unwrap()),
        lease: None,
        audience: 1,
        expires: Some(9),
        revoked: false,
        claims_per_second: Some(3),
    }
}

fn set(table: &mut Table, changes: Vec<Change>) -> Outcome {
    let command = Command::Set { version: table.settings().version, changes };
    let requests = vec![Request { not_after: None, command }];
    let batch = Batch { term: 1, stamp: Time::ZERO, sweep: 0, requests };
    table.apply(1, &batch).outcomes.remove(0)
}

fn put(id: u64, credential: Credential) -> Change {
    Change::Credential(CredentialId(id), Some(credential))
}

fn known() -> Table {
    let mut table = Table::new(0);
    let unit = put(1, credential(Role::Unit, Some("prod")));
    let reader = put(2, credential(Role::Reader, None));
    let changes = vec![Change::ClusterVersion(CREDENTIALS_SINCE), unit, reader];
    assert_eq!(set(&mut table, changes), Outcome::Set { version: 1 });
    table
}

fn refused(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused(Refusal::Settings(why)) => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn below_their_cluster_version_there_are_none() {
    let mut table = Table::new(0);
    let outcome = set(&mut table, vec![put(1, credential(Role::Operator, None))]);
    assert!(refused(&outcome).contains("credentials need 1"), "{outcome:?}");
    assert!(table.settings().credentials.is_empty());
}

#[test]
fn what_no_door_could_act_on_is_refused_by_name() {
    let mut table = known();
    let nowhere = credential(Role::Unit, None);
    let owner = Credential { lease: Some(Name::parse("db").unwrap()), ..credential(Role::Reader, None) };
    let never = Credential { claims_per_second: Some(0), ..credential(Role::Reader, None) };
    for (wrong, words) in [
        (nowhere, "role unit has no namespace"),
        (owner, "only a unit has"),
        (never, "claims_per_second is 0"),
    ] {
        let outcome = set(&mut table, vec![put(3, wrong)]);
        assert!(refused(&outcome).contains(words), "{outcome:?}");
    }
    assert_eq!(table.settings().credentials.len(), 2);
}

#[test]
fn a_snapshot_has_them_all_and_none_where_there_are_none() {
    let table = known();
    let sections: Vec<Vec<u8>> = table.freeze().sections().collect();
    let thawed = Table::thaw(sections.iter().cloned().map(Ok)).unwrap();
    assert_eq!(thawed.settings(), table.settings());
    assert_eq!(thawed.freeze().sections().collect::<Vec<_>>(), sections);
    assert_eq!(sections.iter().filter(|section| section[0] == 7).count(), 1);
    // A program from before reads the sections of a table without any.
    assert!(Table::new(0).freeze().sections().all(|section| section[0] != 7));
}

#[test]
fn a_snapshot_whose_credentials_could_not_be_is_refused() {
    let sections: Vec<Vec<u8>> = known().freeze().sections().collect();
    let thaw = |sections: Vec<Vec<u8>>| Table::thaw(sections.into_iter().map(Ok)).is_ok();
    assert!(thaw(sections.clone()));
    let at = sections.iter().position(|section| section[0] == 7).unwrap();
    // The cluster's version is behind the settings' own, in the section before.
    let mut older = sections.clone();
    older[at - 1][6 + 8] = 0;
    assert!(!thaw(older), "below their cluster version");
    let mut twice = sections.clone();
    twice.insert(at, sections[at].clone());
    assert!(!thaw(twice), "an id twice");
    let mut late = sections.clone();
    late.swap(at, at + 1);
    assert!(!thaw(late), "out of order");
}

#[test]
fn many_credentials_take_several_sections() {
    let mut table = known();
    for hundred in 0..30 {
        let ids = hundred * 100 + 10..hundred * 100 + 110;
        set(&mut table, ids.map(|id| put(id, credential(Role::Unit, Some("prod")))).collect());
    }
    let sections: Vec<Vec<u8>> = table.freeze().sections().collect();
    assert!(sections.iter().all(|section| section.len() <= 256 * 1024));
    let thawed = Table::thaw(sections.into_iter().map(Ok)).unwrap();
    assert_eq!(thawed.settings(), table.settings());
}

#[test]
fn a_sole_survivors_go_on_and_a_backups_are_forgotten() {
    let mut survivor = known();
    survivor.readdress(5, Recovery::SoleSurvivor);
    assert!(survivor.settings().credentials.values().all(|it| it.audience == 5));
    assert_eq!(survivor.settings().credentials.len(), 2);
    for how in [Recovery::Restore, Recovery::DiscardGrants] {
        let mut restored = known();
        restored.readdress(5, how);
        assert!(restored.settings().credentials.is_empty(), "{how:?}");
    }
}

#[test]
fn one_that_is_forgotten_is_gone_and_its_id_may_be_forgotten_again() {
    let mut table = known();
    for _ in 0..2 {
        assert!(matches!(
            set(&mut table, vec![Change::Credential(CredentialId(1), None)]),
            Outcome::Set { .. }
        ));
    }
    assert_eq!(table.settings().credentials.keys().collect::<Vec<_>>(), [&CredentialId(2)]);
}
