//! Changes of the members at the command line: what is done, and what is refused by which rule and with which remedy.

use serde_json::{Value, json};

use crate::dev::{DevCluster, tenure};
use crate::support;

/// What a verb prints as JSON: who belongs to the cluster, as `1v` for a voter and `4` for an observer.
fn members(cluster: &DevCluster, words: &[&str]) -> Vec<String> {
    let printed: Value = serde_json::from_str(&cluster.done(&[words, &["--json"]].concat())).unwrap();
    let members = printed["members"].as_array().unwrap();
    let word = |member: &Value| {
        let vote = if member["voter"] == json!(true) { "v" } else { "" };
        format!("{}{vote}", member["id"].as_str().unwrap())
    };
    members.iter().map(word).collect()
}

/// Waits until the leader has heard every member and each has its log.
fn until_in_step(cluster: &DevCluster) {
    support::until("every member has the log", || {
        let printed: Value = serde_json::from_str(&cluster.done(&["members", "list", "--json"])).unwrap();
        printed["members"].as_array().unwrap().iter().all(|member| member["lacks"] == json!("0"))
    });
}

#[test]
fn observers_serve_and_become_voters_and_go_and_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start_with(folder.path(), 3, 2);
    assert_eq!(members(&cluster, &["members", "list"]), ["1v", "2v", "3v", "4", "5"]);
    let observer = cluster.member(4);
    support::until("an observer is in step", || cluster.is_ready(4));
    cluster.done_at(observer, &["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    assert_eq!(cluster.done_at(observer, &["count"]), "1\n");

    until_in_step(&cluster);
    assert_eq!(members(&cluster, &["members", "promote", "4", "5"]), ["1v", "2v", "3v", "4v", "5v"]);
    until_in_step(&cluster);
    members(&cluster, &["members", "transfer-leadership", "1"]);
    support::until("1 leads", || cluster.leader() == 1);
    until_in_step(&cluster);
    assert_eq!(members(&cluster, &["members", "remove", "4", "5"]), ["1v", "2v", "3v"]);
    assert_eq!(members(&cluster, &["members", "remove", "4"]), ["1v", "2v", "3v"], "gone already");
    let said = cluster.refused(&["members", "add", "4", "127.0.0.1:9"]);
    assert!(said.contains("member 4 was removed") && said.contains("such as 6"), "{said}");
    // Those that run on are told, and end.
    for id in [4, 5] {
        support::until("it has ended", || cluster.has_ended(id));
        let said = cluster.log(id);
        assert!(said.contains(&format!("tenure: removed: member {id} was removed from cluster ")), "{said}");
        assert!(said.contains("Remove its data folder"), "{said}");
    }
}

#[test]
fn what_breaks_a_rule_is_refused_with_the_rule_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start_with(folder.path(), 3, 1);
    until_in_step(&cluster);
    let leader = cluster.leader().to_string();
    let taken = cluster.member(1).peers.to_string();
    let followers: Vec<String> = (1..=3).map(|id: u64| id.to_string()).filter(|id| *id != leader).collect();
    let [one, two] = &followers[..] else { panic!("{followers:?}") };
    // Nobody listens there.
    members(&cluster, &["members", "add", "6", "127.0.0.1:9"]);
    let unknown = "there is no member 9: the members are 1, 2, 3, 4, 6";
    let cases: &[(&[&str], &[&str])] = &[
        (&["add", "1", "127.0.0.1:8"], &["member 1 is here already, at", "use set-address"]),
        (&["add", "7", "nowhere"], &["\"nowhere\" is no address", "give HOST:PORT", "from 1 to 65535"]),
        (&["add", "7", "10.0.0.300:7401"], &["\"10.0.0.300:7401\" is no address"]),
        (&["add", "7", "127.0.0.1:70000"], &["\"127.0.0.1:70000\" is no address"]),
        (&["add", "7", "0.0.0.0:7401"], &["\"0.0.0.0:7401\" is no address", "where one only listens"]),
        (&["add", "7", &taken], &["is the address of member 1", "one of its own"]),
        (&["promote", "9"], &[unknown]),
        (&["promote", "4"], &["the voters would be 1, 2, 3, 4", "stays odd", "two at a time"]),
        (&["promote", "4", "6"], &["member 6 at 127.0.0.1:9 has not been heard of", "start it"]),
        (&["remove", "9"], &[unknown]),
        (&["remove", one], &["their number stays odd", "replace one by another"]),
        (&["remove", one, two, &leader], &["no voter would be left, of 1, 2, 3:"]),
        (&["replace", "9", "4"], &[unknown]),
        (&["replace", one, "9"], &[unknown]),
        (&["replace", "4", "6"], &["member 4 is no voter", "add the other"]),
        (&["replace", one, two], &["is a voter already"]),
        (&["replace", one, "6"], &["member 6 at 127.0.0.1:9 has not been heard of"]),
        (&["replace", &leader, "4"], &["leads", "transfer-leadership"]),
        (&["set-address", "9", "127.0.0.1:8"], &[unknown]),
        (&["set-address", "4", "[::1:7401"], &["\"[::1:7401\" is no address"]),
        (&["set-address", "4", &taken], &["is the address of member 1"]),
        (&["transfer-leadership", "9"], &[unknown]),
        (&["transfer-leadership", "4"], &["member 4 is an observer, and cannot lead", "promote it first"]),
    ];
    for (words, parts) in cases {
        let said = cluster.refused(&[&["members"], *words].concat());
        assert!(parts.iter().all(|part| said.contains(part)), "{words:?}: {said}");
    }
    let left = members(&cluster, &["members", "remove", "6", "4"]);
    assert_eq!(left, ["1v", "2v", "3v"], "nothing else was changed");
}

#[test]
fn a_member_is_reached_at_its_new_address() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = DevCluster::start_with(folder.path(), 1, 1);
    until_in_step(&cluster);
    let moved = format!("localhost:{}", cluster.member(2).peers.port());
    members(&cluster, &["members", "set-address", "2", &moved]);
    assert!(cluster.done(&["members", "list"]).contains(&format!("2\tobserver\t{moved}\t")));
    cluster.done(&["claim", "a", "--holder", "h1", "--ttl", "10m"]);
    until_in_step(&cluster);

    let said = cluster.refused(&["members", "remove", "1"]);
    assert!(said.contains("no voter would be left, of 1:") && said.contains("stop its members"), "{said}");
}

#[test]
fn a_member_keeps_its_address_where_it_does_not_answer_at_another() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cluster = DevCluster::start_with(folder.path(), 3, 0);
    let others = DevCluster::start_with(other.path(), 1, 1);
    until_in_step(&cluster);
    let before = cluster.done(&["members", "list", "--json"]);
    let addresses = |listed: &str| {
        let listed: Value = serde_json::from_str(listed).unwrap();
        let all = listed["members"].as_array().unwrap().iter().map(|it| it["address"].clone());
        all.collect::<Vec<_>>()
    };
    let leader = cluster.leader();
    let member = (1..=3).find(|id| *id != leader).unwrap();
    // Under another name, so that it is none of the addresses that the cluster knows.
    let leads = format!("localhost:{}", cluster.member(leader).peers.port());
    let strange = format!("localhost:{}", others.member(2).peers.port());
    let clients = cluster.member(leader).clients.to_string();
    let cases: &[(&str, &str)] = &[
        ("127.0.0.1:9", "127.0.0.1:9: no connection"),
        (&leads, &format!("wrong member: member {leader} listens there, and member {member} was meant")),
        (&strange, "wrong cluster: it is of"),
        (&clients, "no peer listener of a member is there"),
    ];
    for (address, found) in cases {
        let said = cluster.refused(&["members", "set-address", &member.to_string(), address]);
        assert!(said.contains(address) && said.contains(found), "{said}");
        assert!(said.contains("Nothing was changed") && said.contains("members replace"), "{said}");
    }
    let said = cluster.refused(&["members", "set-address", &leader.to_string(), &leads]);
    assert!(said.contains("leads") && said.contains("transfer-leadership"), "{said}");
    assert_eq!(addresses(&cluster.done(&["members", "list", "--json"])), addresses(&before));
}

#[test]
fn a_member_that_is_none_is_a_mistake_in_the_command() {
    for (words, part) in [
        (&["add", "0", "a:1"][..], "a member is a whole number from 1"),
        (&["add", "x", "a:1"], "a member is a whole number from 1"),
        (&["remove", "1.5"], "a member is a whole number from 1"),
        (&["add", "4"], "<ADDRESS>"),
        (&["promote"], "<IDS>..."),
        (&["replace", "1"], "<NEW>"),
        (&["lst"], "'list'"),
    ] {
        let output =
            tenure(&[&["members"], words].concat(), &["--endpoints", "127.0.0.1:9"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(part), "{words:?}: {said}");
    }
    let output =
        tenure(&["members", "list"], &["--endpoints", "127.0.0.1:9", "--patience", "100ms"]).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(3) && said.contains("127.0.0.1:9"), "{said}");
}
