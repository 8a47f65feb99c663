//! `tenure run`: real processes on a real node. The command and all that came from it are gone before another's starts,
//! whatever becomes of `tenure`.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

mod node;
mod runs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use node::{Node, until};
use runs::{Diary, Running, is_alive};

fn sh(script: &str) -> Vec<&str> {
    vec!["sh", "-c", script]
}

/// Two runs of a script; the first has begun, the other waits in line.
fn two(node: &Node, diary: &Diary, script: &str) -> (Running, Running) {
    let first = Running::start(node, &[], &sh(script));
    until("the first runs", || !diary.tokens().is_empty());
    let other = Running::start(node, &[], &sh(script));
    until("the other waits", || other.said().contains("waiting in line for \"job\""));
    (first, other)
}

#[test]
fn the_command_has_its_token_its_stdin_and_its_exit_code() {
    let node = Node::start();
    let script = "echo $TENURE_LEASE $TENURE_NAMESPACE $TENURE_HOLDER $TENURE_TOKEN; exit 7";
    let ended = Running::start(&node, &["--holder", "mysql/0"], &sh(script)).end();
    assert_eq!(ended.code, Some(7), "{}", ended.said);
    assert_eq!(ended.printed, "job default mysql/0 1\n");
    assert!(node.done(&["get", "job"]).contains("\tfree\t"), "it is released at once");

    let check = format!("{} check $TENURE_LEASE $TENURE_TOKEN", env!("CARGO_BIN_EXE_tenure"));
    let ended = Running::start(&node, &["--holder", "mysql/0"], &sh(&check)).end();
    assert!(ended.printed.contains("mysql/0"), "{}", ended.said);
    assert!(!ended.said.contains("there is no variable"), "{}", ended.said);

    // What only a flag says, the command's own `tenure` is told too.
    let mut elsewhere = node.command(&["run", "job", "--endpoints", &node.address, "--", "sh", "-c", &check]);
    let ended = Running::of(elsewhere.env("TENURE_ENDPOINTS", "127.0.0.1:1")).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.printed.contains("\tjob\t"), "{}", ended.printed);

    let ended = Running::start(&node, &[], &sh("kill -KILL $$")).end();
    assert_eq!(ended.code, Some(128 + 9), "{}", ended.said);
    let ended = Running::start(&node, &[], &["cat"]).end();
    assert_eq!(ended.code, Some(0), "its stdin is that of tenure, which has none: {}", ended.said);
}

#[test]
fn signals_are_passed_on() {
    let node = Node::start();
    for (signal, name) in [
        (Signal::SIGTERM, "TERM"),
        (Signal::SIGINT, "INT"),
        (Signal::SIGHUP, "HUP"),
        (Signal::SIGQUIT, "QUIT"),
        (Signal::SIGUSR1, "USR1"),
        (Signal::SIGUSR2, "USR2"),
    ] {
        let diary = Diary::new();
        let script = format!("trap 'exit 40' {name}; {}", diary.script());
        let run = Running::start(&node, &[], &sh(&script));
        until("it runs", || !diary.tokens().is_empty());
        run.signal(signal);
        let ended = run.end();
        assert_eq!(ended.code, Some(40), "{name}: {}", ended.said);
    }
}

#[test]
fn what_a_command_leaves_behind_is_ended_before_the_release() {
    let node = Node::start();
    let diary = Diary::new();
    let left = format!("trap '' TERM; setsid sh -c 'trap \"\" TERM; {}' & sleep 0.3", diary.script());
    let ended = Running::start(&node, &[], &sh(&left)).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let (before, free) = (diary.entries().len(), node.done(&["get", "job"]));
    assert!(before > 0 && free.contains("\tfree\t"), "{free}");
    let ended = Running::start(&node, &[], &sh("sleep 0.3")).end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(diary.entries().len(), before, "nobody writes any more");
}

#[test]
fn of_two_one_runs_and_the_other_takes_over_when_the_firsts_tenure_is_killed() {
    let node = Node::start();
    let diary = Diary::new();
    let (first, other) = two(&node, &diary, &diary.script());
    let (command, guardian) = (first.command(), first.guardian());
    assert_eq!(diary.tokens().len(), 1);
    first.signal(Signal::SIGKILL);
    until("its command is gone", || !is_alive(command));
    until("its guardian is gone", || !is_alive(guardian));
    until("the other runs", || diary.tokens().len() == 2);
    diary.assert_no_overlap();
    assert!(other.said().contains("holding \"job\" under token "), "{}", other.said());
}

#[test]
fn a_command_whose_tenure_is_stopped_is_gone_before_the_others_starts() {
    let node = Node::start();
    let diary = Diary::new();
    let (first, other) = two(&node, &diary, &diary.script());
    let command = first.command();
    first.signal(Signal::SIGSTOP);
    until("its command is gone", || !is_alive(command));
    assert_eq!(diary.tokens().len(), 1, "the other has not begun before that");
    until("the other runs", || diary.tokens().len() == 2);
    diary.assert_no_overlap();
    first.signal(Signal::SIGCONT);
    let ended = first.end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(
        ended.said.contains("error[lost]: ") && ended.said.contains("the command was ended"),
        "{}",
        ended.said
    );
    drop(other);
}

/// Nothing of ours runs then, so that nothing of ours can end it: between the two, only the token protects.
#[test]
fn a_run_that_was_stopped_whole_is_ended_first_thing_by_whichever_goes_on_first() {
    for guardian_first in [true, false] {
        let node = Node::start();
        let diary = Diary::new();
        let (first, other) = two(&node, &diary, &diary.script());
        let (command, guardian) = (first.command(), first.guardian());
        first.signal(Signal::SIGSTOP);
        for pid in [guardian, command] {
            kill(pid, Signal::SIGSTOP).expect("it runs");
        }
        until("the other runs", || diary.tokens().len() == 2);
        assert!(is_alive(command));
        if guardian_first {
            kill(guardian, Signal::SIGCONT).expect("it is there");
        } else {
            first.signal(Signal::SIGCONT);
        }
        until("the command is gone", || !is_alive(command));
        diary.assert_no_overlap();
        first.signal(Signal::SIGCONT);
        let ended = first.end();
        assert_eq!(ended.code, Some(3));
        assert!(ended.said.contains("error[lost]: \"job\" "), "{}", ended.said);
        drop(other);
    }
}

#[test]
fn a_command_that_ignores_term_and_its_grandchild_in_another_session_are_gone_too() {
    let node = Node::start();
    let diary = Diary::new();
    let beat = diary.script();
    let script = format!("trap '' TERM; setsid sh -c 'trap \"\" TERM HUP; {beat}' & {beat}");
    let (first, other) = two(&node, &diary, &script);
    first.signal(Signal::SIGSTOP);
    until("the other runs", || diary.tokens().len() > 1);
    until("it has written for a while", || {
        diary.entries().iter().filter(|(token, _)| *token == 2).count() > 100
    });
    diary.assert_no_overlap();
    assert_eq!(diary.tokens(), [1, 2]);
    drop((first, other));
}

#[test]
fn a_command_whose_node_is_gone_is_ended_in_time_and_the_reason_is_told() {
    let mut node = Node::start();
    let diary = Diary::new();
    let script = format!("trap 'echo asked; exit 0' TERM; {}", diary.script());
    let run = Running::start(&node, &[], &sh(&script));
    until("it runs", || !diary.tokens().is_empty());
    node.kill();
    let ended = run.end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert_eq!(ended.printed, "asked\n", "SIGTERM comes first");
    assert!(ended.said.contains("error[lost]: "), "{}", ended.said);
}

#[test]
fn a_guardian_that_dies_takes_the_command_along_and_the_lease_is_released() {
    let node = Node::start();
    let diary = Diary::new();
    let script = format!("setsid sh -c '{}' & sleep 1000", diary.script());
    let run = Running::start(&node, &[], &sh(&script));
    until("it runs", || !diary.tokens().is_empty());
    kill(run.guardian(), Signal::SIGKILL).expect("it runs");
    let ended = run.end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("error[unguarded]: "), "{}", ended.said);
    assert!(node.done(&["get", "job"]).contains("\tfree\t"));
    let next = Running::start(&node, &[], &sh(&diary.script()));
    until("the next one writes", || diary.tokens().len() == 2);
    diary.assert_no_overlap();
    drop(next);
}

#[test]
fn a_guardian_that_is_stopped_is_replaced_in_time() {
    let node = Node::start();
    let diary = Diary::new();
    let (first, other) = two(&node, &diary, &diary.script());
    let guardian = first.guardian();
    kill(guardian, Signal::SIGSTOP).expect("it runs");
    let ended = first.end();
    assert_eq!(ended.code, Some(3), "{}", ended.said);
    assert!(ended.said.contains("error[unguarded]: ") && !is_alive(guardian), "{}", ended.said);
    until("the other runs", || diary.tokens().len() == 2);
    diary.assert_no_overlap();
    drop(other);
}

#[test]
fn a_revoked_lease_ends_its_command_before_its_time_with_the_reason() {
    let node = Node::start();
    let diary = Diary::new();
    let (first, other) = two(&node, &diary, &diary.script());
    node.done(&["revoke", "job", "--why", "maintenance"]);
    let ended = first.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("error[lost]: \"job\" is lost: revoked: maintenance"), "{}", ended.said);
    until("the other runs", || diary.tokens().len() == 2);
    diary.assert_no_overlap();
    drop(other);
}

#[test]
fn a_revoke_is_told_at_once_with_its_reason_and_how_long_is_left() {
    let node = Node::start();
    let diary = Diary::new();
    let run = Running::start(&node, &["--ttl=1m"], &sh(&diary.script()));
    until("it runs", || !diary.tokens().is_empty());
    node.done(&["revoke", "job", "--why", "reboot"]);
    until("it is told", || run.said().contains("\"job\" is revoked: reboot; ends in 5"));
    assert!(is_alive(run.command()), "the command goes on meanwhile");
}

#[test]
fn an_outage_is_told_when_it_begins_and_when_it_ends() {
    let mut node = Node::start();
    let diary = Diary::new();
    let run = Running::start(&node, &["--ttl=1m"], &sh(&diary.script()));
    until("it runs", || !diary.tokens().is_empty());
    node.kill();
    let lost = format!("lost {} (", node.address);
    until("the outage is told", || run.said().contains(&lost) && run.said().contains("): trying again\n"));
    node.start_again();
    until("its end is told", || run.said().contains(&format!("reached {} again\n", node.address)));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.end().said.matches("lost").count(), 1, "not at the end");
}

#[test]
fn a_lease_revoked_at_once_ends_its_command_at_once() {
    let node = Node::start();
    let diary = Diary::new();
    let script = format!("trap '' TERM; {}", diary.script());
    // So long that nothing but the revoke can be the cause.
    let run = Running::start(&node, &["--ttl=1h"], &sh(&script));
    until("it runs", || !diary.tokens().is_empty());
    node.done(&["revoke", "job", "--now", "--why", "drill"]);
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.said.contains("error[lost]: ") && ended.said.contains("drill"), "{}", ended.said);
}

#[test]
fn a_lease_that_another_released_says_so() {
    let node = Node::start();
    let run = Running::start(&node, &[], &sh("sleep 1000"));
    let token = || {
        let lease = node.done(&["get", "job"]);
        lease.split('\t').nth(1).filter(|token| *token != "-").map(str::to_owned)
    };
    until("it is held", || token().is_some());
    node.done(&["release", "job", "--token", &token().expect("it is held")]);
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(
        ended.said.contains("error[lost]: \"job\" is lost: released by another's hand; "),
        "{}",
        ended.said
    );
}

#[test]
fn a_command_that_is_not_well_is_ended_and_the_lease_given_up() {
    let node = Node::start();
    for (script, how) in [("exit 9", "failed"), ("sleep 1000", "took longer than its period")] {
        let run = Running::start(&node, &["--health", script, "--health-every", "300ms"], &sh("sleep 1000"));
        let ended = run.end();
        assert_eq!(ended.code, Some(3), "{}", ended.said);
        let said = format!("error[unwell]: \"job\" is given up: the health command \"{script}\" {how}");
        assert!(ended.said.contains(&said), "{}", ended.said);
        assert!(node.done(&["get", "job"]).contains("\tfree\t"));
    }
    let healthy = ["--health", "test -n \"$TENURE_TOKEN\"", "--health-every", "500ms"];
    let ended = Running::start(&node, &healthy, &sh("sleep 1.5; exit 6")).end();
    assert_eq!(ended.code, Some(6), "{}", ended.said);
}

#[test]
fn a_command_that_is_not_there_is_refused_before_anything_is_claimed() {
    let node = Node::start();
    let ended = Running::start(&node, &[], &["/no/such/command"]).end();
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.said.contains("error[usage]: ") && ended.said.contains("/no/such/command"),
        "{}",
        ended.said
    );
    assert!(ended.said.contains("nothing was claimed"), "{}", ended.said);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("script").display().to_string();
    std::fs::write(&script, "#!/no/such/shell\n").expect("a file");
    assert!(std::process::Command::new("chmod").args(["+x", &script]).status().expect("it runs").success());
    let said = node.fails(&["run", "job", "--", &script], 2);
    assert!(said.contains("is a script for \"/no/such/shell\", which is not there"), "{said}");
    let lease = node.done(&["get", "job", "--json"]);
    assert!(!lease.contains("last_end"), "nobody ever held it: {lease}");
    assert!(node.fails(&["run", "job"], 2).contains("COMMAND"));
    assert!(node.fails(&["run", "job", "--ttl", "500ms", "--", "true"], 2).contains("error[bad_ttl]: "));
}

#[test]
fn a_signal_in_line_gives_the_place_up_and_says_so() {
    let node = Node::start();
    let held = node.done(&["claim", "job", "--holder", "h", "--ttl", "1h"]);
    let token = held.split('\t').next().expect("a token").to_owned();
    let run = Running::start(&node, &[], &sh("echo ran"));
    until("it waits", || run.said().contains("waiting in line"));
    run.signal(Signal::SIGINT);
    let ended = run.end();
    assert_eq!((ended.signal, ended.printed.as_str()), (Some(Signal::SIGINT as i32), ""), "{}", ended.said);
    assert!(
        ended.said.contains("error[interrupted]: ") && ended.said.contains("place in line"),
        "{}",
        ended.said
    );

    for flag in ["--timeout", "--wait"] {
        let ended = Running::start(&node, &[flag, "300ms"], &sh("echo ran")).end();
        assert_eq!((ended.code, ended.printed.as_str()), (Some(1), ""));
        let said = "error[still_held]: it was not this call's turn for lease \"job\" within its --timeout; it is held by \"h\": ";
        assert!(ended.said.contains(said), "{}", ended.said);
        let acquired = node.fails(&["acquire", "job", "--holder", "h2", "--timeout", "300ms"], 1);
        assert!(acquired.contains(said), "the same words: {acquired}");
    }

    node.done(&["release", "job", "--token", &token]);
    let ended = Running::start(&node, &[], &sh("echo ran")).end();
    assert_eq!((ended.code, ended.printed.as_str()), (Some(0), "ran\n"), "nobody who left is in the way");
}

/// Each of these ends its parent and goes on, so that whoever looks may find a parent that has ended, and not yet its child.
#[test]
fn a_command_that_goes_into_the_background_twice_is_ended_before_the_release() {
    let node = Node::start();
    let diary = Diary::new();
    let beat = diary.script();
    let hop = format!("trap '' TERM; ( ( {beat} ) & ) & exit 0");
    for _ in 0..20 {
        let ended = Running::start(&node, &[], &["sh", "-c", &hop]).end();
        assert_eq!(ended.code, Some(0), "{}", ended.said);
        assert!(diary.writers().is_empty(), "it lives on after the release");
    }
}

#[test]
fn a_command_that_dies_of_a_signal_without_a_name_has_its_exit_code_all_the_same() {
    let node = Node::start();
    let ended = Running::start(&node, &[], &["sh", "-c", "kill -s 34 $$; sleep 5"]).end();
    assert_eq!(ended.code, Some(128 + 34), "{}", ended.said);
}

#[test]
fn what_was_tenures_child_before_is_left_alone_when_its_guardian_is_killed() {
    let node = Node::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pid = folder.path().join("pid");
    let script = format!(
        "sleep 1000 & echo $! > {}; exec {} run job --ttl 1s -- sleep 1000",
        pid.display(),
        env!("CARGO_BIN_EXE_tenure")
    );
    let first = Running::of(node.program("sh").args(["-c", &script]));
    let sidecar = || std::fs::read_to_string(&pid).ok()?.trim().parse().ok().map(Pid::from_raw);
    until("the sidecar runs", || sidecar().is_some_and(is_alive));
    let sidecar = sidecar().expect("it has a number");
    until("it holds the lease", || node.done(&["get", "job"]).contains("\theld\t"));
    kill(first.guardian_beside(&[sidecar]), Signal::SIGKILL).expect("it runs");
    assert_eq!(first.end().code, Some(3));
    assert!(is_alive(sidecar));
    kill(sidecar, Signal::SIGKILL).expect("it runs");
}
