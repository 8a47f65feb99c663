//! What is wrong on the command line is said before anything is sent: with the value, the limit and the remedy, on
//! stderr, with exit code 2. With the real binary, and no server.

#![allow(clippy::expect_used, reason = "a test that cannot go on should stop, and say where")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

fn tenure<S: AsRef<OsStr>>(args: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    for name in ["TENURE_HOLDER", "TENURE_ENDPOINTS", "TENURE_NAMESPACE"] {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// Runs, expects this exit code and an empty stdout, and gives what was said.
fn fails<S: AsRef<OsStr>>(args: &[S], code: i32) -> String {
    let output = tenure(args);
    let said = String::from_utf8(output.stderr).expect("messages are UTF-8");
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "stdout is for data: {:?}", String::from_utf8_lossy(&output.stdout));
    assert!(!said.contains("panicked"), "{said}");
    said
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in {said:?}");
    }
}

#[test]
fn no_verb_lists_the_verbs() {
    assert_says(&fails::<&str>(&[], 2), &["claim", "extend", "release", "wait", "serve", "Usage"]);
}

#[test]
fn an_unknown_verb_gets_the_nearest_one() {
    assert_says(&fails(&["exten"], 2), &["error[usage]: ", "'exten'", "'extend'"]);
    let said = fails(&["clam"], 2);
    assert!(
        said.find("'claim'") < said.find("'claimer'") && said.contains("'claim'"),
        "the nearest first: {said}"
    );
    let long = "x".repeat(500);
    assert!(fails(&[long.as_str()], 2).len() < 400, "a long verb is not echoed whole");
}

#[test]
fn an_unknown_flag_is_named_with_the_nearest_one() {
    assert_says(&fails(&["claim", "a", "--hodler", "h"], 2), &["error[usage]: ", "--hodler", "--holder"]);
}

#[test]
fn what_was_meant_is_said_where_its_spelling_does_not_tell() {
    for verb in ["revoke", "pin"] {
        let said = fails(&[verb, "a", "--reason=drill"], 2);
        assert_eq!(said, "error[usage]: unknown flag --reason; give the reason with --why\n");
    }
    let said = fails(&["run", "x", "echo", "hi"], 2);
    let remedy = "give the command after --, as in `tenure run NAME -- COMMAND`";
    assert_eq!(said, format!("error[usage]: \"echo\" stands where no more is expected; {remedy}\n"));
    let said = fails(&["run", "x", "--jsn", "--", "true"], 2);
    assert_says(&said, &["unknown flag '--jsn'"]);
}

#[test]
fn a_load_tests_freedom_is_refused_without_dev() {
    let said = fails(&["serve", "--juju", "--load-test-any-holder", "--data", "none"], 2);
    assert_says(
        &said,
        &["juju.load_test_any_holder needs --dev", "(--load-test-any-holder)", "--dev is not given"],
    );
}

#[test]
fn a_flag_with_two_values_is_refused_naming_both() {
    let said = fails(&["claim", "a", "--ttl", "5s", "--ttl=6s"], 2);
    assert_says(&said, &["error[usage]: ", "--ttl", "\"5s\"", "\"6s\"", "once"]);
}

#[test]
fn a_flag_given_twice_with_one_value_is_taken_once() {
    let args = ["claim", "a", "--ttl", "5s", "--json", "--ttl=5s", "--json", "--endpoints", "127.0.0.1:1"];
    let output = tenure(&args);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_says(&said, &["error[unavailable]: ", "127.0.0.1:1"]);
}

#[test]
fn with_json_a_program_reads_why_on_stdout_too() {
    let output = tenure(&["get", "a", "--json", "--endpoints", "127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(3));
    let body: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(body["error"]["code"], "unavailable");
    let message = body["error"]["message"].as_str().expect("a sentence");
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("error[unavailable]: {message}\n"));
}

#[test]
fn with_json_a_usage_error_is_on_stdout_too() {
    for (args, code) in [
        (&["claim", "a", "--ttl", "5", "--json"][..], "bad_ttl"),
        (&["get", "--json"][..], "usage"),
        (&["get", "a", "--json", "--nonsense"][..], "usage"),
        (&["list", "--json", "--prefix", "a", "--prefix", "b"][..], "usage"),
        (&["list", "--json", "--all-namespaces", "--namespace", "x"][..], "usage"),
    ] {
        let output = tenure(args);
        assert_eq!(output.status.code(), Some(2));
        let body: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(body["error"]["code"], code, "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).starts_with(&format!("error[{code}]: ")));
    }
    // Of this one it names a file, and what a run is given after `--` is its command's.
    fails(&["claimer", "--json", "file", "--nonsense"], 2);
    fails(&["run", "--nonsense", "--", "list", "--json"], 2);
}

#[test]
fn all_namespaces_and_one_of_them_do_not_go_together() {
    for verb in ["list", "count"] {
        let said = fails(&[verb, "--all-namespaces", "--namespace", "x"], 2);
        assert_says(&said, &["error[usage]: ", "--all-namespaces", "cannot be used with", "--namespace"]);
    }
}

#[test]
fn durations_are_refused_with_the_forms_and_both_limits() {
    for wrong in ["5", "-5s", "0s", "0", "1e9h", "NaN", "", "25h", "100ms", "99999999999999999h"] {
        let said = fails(&["claim", "a", "--ttl", wrong], 2);
        assert_says(
            &said,
            &[
                "error[bad_ttl]: --ttl is ",
                wrong,
                "15s, 1m30s or 1500ms",
                "200ms to 24h0m0s",
                "1s unless the namespace",
            ],
        );
    }
    assert_says(
        &fails(&["wait", "a", "--timeout", "5"], 2),
        &["--timeout is \"5\"", "no unit", "1ms to 24h0m0s"],
    );
}

#[test]
fn names_are_refused_with_the_reason_and_never_echoed_whole() {
    for empty in ["", " ", "\t "] {
        assert_says(&fails(&["claim", empty], 2), &["error[bad_name]: <NAME> is ", "it is empty"]);
    }
    let said = fails(&["claim", &"n".repeat(300)], 2);
    assert_says(&said, &["error[bad_name]: ", "it has 300 bytes, and the limit is 256"]);
    assert!(!said.contains(&"n".repeat(65)), "cut at 64 characters");
    let said = fails(&["claim", "a", "--namespace", &"n".repeat(65)], 2);
    assert_says(&said, &["--namespace", "it has 65 bytes, and the limit is 64"]);
}

#[test]
fn names_with_bytes_that_mislead_are_refused_at_their_offset() {
    for (name, what) in [
        ("a\nb", "the character \\u{a} at byte 1"),
        ("ab\u{7f}", "the character \\u{7f} at byte 2"),
        ("é\u{202e}x", "the character \\u{202e} at byte 2"),
        ("a/../b", "the path segment \"..\" at byte 2"),
    ] {
        let said = fails(&["claim", name], 2);
        assert_says(&said, &["error[bad_name]: ", what]);
        let invisible = "control and invisible characters are not allowed; leave them out";
        assert_eq!(said.contains(invisible), !name.contains('/'), "{said}");
        assert_eq!(said.lines().count(), 1, "no line of its own: {said:?}");
        assert!(!said.contains('\u{202e}') && !said.contains('\u{7f}'), "escaped: {said:?}");
    }
    let said = fails(&["claim", "a", "b\nc"], 2);
    assert_says(&said, &["'b\\nc'"]);
    let said = fails(&["claim", "a", "--value", &"v".repeat(5_000)], 2);
    assert_says(&said, &["error[too_large]: --value is ", "5000 bytes, and the limit is 1024"]);
    let broken = [OsStr::new("claim"), OsStr::from_bytes(b"ab\xff")];
    assert_says(&fails(&broken, 2), &["error[bad_name]: ", "not UTF-8 from byte 2 on; write it in UTF-8"]);
}

#[test]
fn a_holder_that_cannot_be_one_names_the_flag_and_the_variable() {
    let said = fails(&["claim", "a", "--holder", ""], 2);
    assert_says(&said, &["--holder", "it is empty", "--holder or TENURE_HOLDER"]);
}

#[test]
fn whoever_is_named_by_another_flag_is_refused_with_that_flag() {
    for (args, flag) in [
        (&["transfer", "a", "--token", "1", "--instance", "1", "--to", ""][..], "--to"),
        (&["revoke", "a", "--heir", ""][..], "--heir"),
        (&["pin", "a", "--entity", ""][..], "--entity"),
        (&["unpin", "a", "--entity", ""][..], "--entity"),
    ] {
        let said = fails(args, 2);
        assert_says(&said, &[&format!("error[bad_name]: {flag} is \"\": it is empty; give "), flag]);
        assert!(!said.contains("--holder"), "{said}");
    }
    let said = fails(&["list", "--holder", ""], 2);
    assert!(said.contains("give a holder with --holder") && !said.contains("TENURE_HOLDER"), "{said}");
}

#[test]
fn a_reason_that_is_not_too_large_is_not_called_so() {
    let said = fails(&["revoke", "a", "--why", "a\nb"], 2);
    assert_says(&said, &["error[bad_request]: --why is ", "at byte 1", "write it on one line"]);
    let long = "x".repeat(257);
    assert_says(&fails(&["pin", "a", "--why", &long], 2), &["error[too_large]: --why", "at most 256 bytes"]);
}

#[test]
fn malformed_endpoints_are_named_with_an_example() {
    for wrong in ["", "h:0", "h:70000", ":7400", "ftp://h:1", "a b:1", "127.0.0.1:7400,h:0"] {
        let said = fails(&["get", "a", "--endpoints", wrong], 2);
        assert_says(&said, &["error[bad_endpoint]: --endpoints is ", "127.0.0.1:7400"]);
    }
}

#[test]
fn variables_are_named_where_they_are_wrong_or_misspelt() {
    let run = |args: &[&str], name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        command.env_remove("TENURE_ENDPOINTS").env(name, value).stdin(Stdio::null());
        let output = command.args(args).output().expect("the binary runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (code, said) = run(&["get", "a"], "TENURE_ENDPOINTS", "bad:x");
    assert_eq!(code, Some(2));
    assert_says(&said, &["error[bad_endpoint]: TENURE_ENDPOINTS is \"bad:x\": "]);
    let (code, said) = run(&["get", "a", "--endpoints", "127.0.0.1:1"], "TENURE_NAMESPCE", "x");
    assert_eq!(code, Some(3));
    assert_says(&said, &["\"TENURE_NAMESPCE\", and it is ignored; did you mean TENURE_NAMESPACE?"]);
    let (code, said) = run(&["serve", "--dev"], "TENURE_LISTN", "127.0.0.1:0");
    assert_eq!(code, Some(2));
    assert_says(&said, &["error[usage]: there is no variable \"TENURE_LISTN\"; did you mean TENURE_LISTEN?"]);
}

#[test]
fn a_usage_line_shows_what_is_required_and_not_what_the_environment_sets() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.env("TENURE_ENDPOINTS", "127.0.0.1:1").env("TENURE_NAMESPACE", "n");
    let output = command.args(["release", "a"]).output().expect("the binary runs");
    assert_says(
        &String::from_utf8_lossy(&output.stderr),
        &["Usage: tenure release --token <TOKEN> <NAME>\n"],
    );
}

#[test]
fn tokens_are_decimal() {
    for wrong in ["x", "-1", "1.5", "0x10", "+1", "18446744073709551616", ""] {
        let said = fails(&["release", "a", "--token", wrong], 2);
        assert_says(&said, &["error[bad_number]: --token is ", "decimal"]);
    }
    assert_says(&fails(&["release", "a"], 2), &["--token"]);
    for verb in ["release", "extend"] {
        assert_says(
            &fails(&[verb, "a", "--token", "0"], 2),
            &["error[bad_number]: --token is \"0\"", "from 1 to ", "give the one that claim printed"],
        );
    }
    assert_says(
        &fails(&["check", "a", "0"], 2),
        &["<TOKEN> is \"0\"", "a token is a whole number from 1 to "],
    );
}

#[test]
fn a_run_that_cannot_be_is_refused_before_it_waits() {
    assert_says(
        &fails(&["run", "j", "--", ""], 2),
        &["error[usage]: the command is empty; nothing was claimed"],
    );
    for empty in ["", " "] {
        let said = fails(&["run", "j", "--health", empty, "--", "true"], 2);
        assert_says(&said, &["error[bad_request]: --health is ", "it is empty; give a shell command"]);
    }
    let slow = ["run", "j", "--ttl", "10s", "--health", "true", "--health-every", "1m", "--", "true"];
    assert_says(&fails(&slow, 2), &["error[bad_duration]: --health-every is 1m0s, and --ttl is 10s: "]);
    for wrong in ["500ms", "5", "25h"] {
        let said = fails(&["run", "j", "--ttl", wrong, "--", "true"], 2);
        assert_says(
            &said,
            &["error[bad_ttl]: --ttl is ", wrong, "from 1s to 24h0m0s (1s: a command can be ended"],
        );
        assert!(!said.contains("200ms"), "{said}");
    }
}

#[test]
fn every_bad_number_is_explained_alike() {
    for (args, named) in [
        (&["watch", "--after", "-1"][..], "--after is \"-1\": a revision is a whole number from 0 to "),
        (&["wait", "a", "--after", "-1"][..], "--after is \"-1\": a revision is a whole number from 0 to "),
        (
            &["claim", "a", "--instance", "-1", "--seq", "1"][..],
            "--instance is \"-1\": an instance is a whole number from 1 to ",
        ),
        (
            &["acquire", "a", "--instance", "0", "--seq", "1"][..],
            "--instance is \"0\": an instance is a whole number from 1 to ",
        ),
        (
            &["claim", "a", "--instance", "1", "--seq", "-1"][..],
            "--seq is \"-1\": a seq is a whole number from 0 to ",
        ),
        (
            &["release", "a", "--token", "1", "--instance", "-1"][..],
            "--instance is \"-1\": an instance is a whole number from 1 to ",
        ),
        (&["check", "a", "-1"][..], "<TOKEN> is \"-1\": a token is a whole number from 1 to "),
        (
            &["history", "--limit", "abc"][..],
            "--limit is \"abc\": a limit is a whole number from 1 to 1000, in decimal digits",
        ),
        (
            &["history", "--limit", "-1"][..],
            "--limit is \"-1\": a limit is a whole number from 1 to 1000, in decimal digits",
        ),
        (
            &["history", "--limit", "1001"][..],
            "--limit is \"1001\": a limit is a whole number from 1 to 1000, in decimal digits",
        ),
    ] {
        assert_says(&fails(args, 2), &["error[bad_number]: ", named]);
    }
    assert_says(&fails(&["check", "a", "--jsn"], 2), &["error[usage]: unknown flag '--jsn'\n", "'--json'"]);
    assert_says(&fails(&["check", "a"], 2), &["<TOKEN>"]);
    assert_says(&fails(&["check", "a", "1", "--token", "2"], 2), &["--token", "cannot be used with"]);
}

#[test]
fn each_endpoint_that_cannot_be_reached_is_told_with_its_cause() {
    let said = fails(&["get", "a", "--endpoints", "127.0.0.1:1,no-such-host.invalid:7400"], 3);
    assert_says(&said, &["error[unavailable]: ", "127.0.0.1:1 (", "no-such-host.invalid:7400 ("]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn completions_and_the_manual_come_from_the_same_definitions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = tenure(&["completions", shell]);
        let script = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && script.contains("claimer") && script.contains("endpoints"),
            "{shell}"
        );
    }
    let page = tenure(&["man"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains(".TH"));
    let page = String::from_utf8_lossy(&tenure(&["man", "claim"]).stdout).into_owned();
    assert!(page.contains("TENURE_HOLDER"), "{page}");
    assert_says(&fails(&["man", "nothing"], 2), &["\"nothing\" is no verb"]);
    assert_says(&fails(&["completions", "tcsh"], 2), &["bash"]);
}

#[test]
fn the_load_tool_refuses_what_cannot_be_run() {
    for (args, parts) in [
        (vec!["claimer", "nothing"], vec!["\"nothing\" is no holder", "app/N"]),
        (vec!["claimer", "--leases", "0"], vec!["--leases 0", "1 to 1000000"]),
        (vec!["claimer", "--leases", "2", "a/0"], vec!["--leases", "cannot be used with"]),
        (vec!["claimer", "--leases", "8000", "--processes", "1"], vec!["24000", "20000", "--processes 3"]),
        (vec!["claimer", "--scale-time", "0"], vec!["0.001 to 1000"]),
        (vec!["claimer", "--claimtime", "60"], vec!["--claimtime is \"60\"", "no unit"]),
        (vec!["claimer", "--hosts", "h h"], vec!["--hosts", "h h"]),
        (
            vec!["claimer", "--json", "/no/such/folder/x.json"],
            vec!["--json /no/such/folder/x.json", "cannot be written"],
        ),
    ] {
        assert_says(&fails(&args, 2), &parts);
    }
}

#[test]
fn a_node_prints_its_settings() {
    let output = tenure(&["serve", "--print-config"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("\nlog.level = \"info\"\n"), "{printed}");
}

#[test]
fn a_node_that_cannot_start_says_why() {
    assert_says(&fails(&["serve"], 2), &["error[usage]: ", "--data"]);
    assert_says(&fails(&["serve", "--dev", "--listen", "0.0.0.0:0"], 2), &["error[usage]: ", "0.0.0.0:0"]);
    assert_says(
        &fails(&["serve", "--dev", "--config", "/no/such/file"], 2),
        &["error[usage]: ", "/no/such/file", "give --config a file", "`tenure serve --print-config`"],
    );
    assert_says(&fails(&["serve", "--dev", "--log", "xml"], 2), &["error[usage]: ", "xml", "json"]);
}

#[test]
fn the_help_of_what_prints_columns_names_them() {
    for (verb, columns) in [
        ("get", &["NAME", "TOKEN", "HOLDER", "REMAINING", "STATE", "VALUE"][..]),
        ("list", &["NAMESPACE", "NAME", "TOKEN", "HOLDER", "REMAINING", "STATE", "VALUE"]),
        ("history", &["NAME", "TOKEN", "HOLDER", "WHY", "REASON", "AGO", "REMAINED"]),
        ("watch", &["REVISION", "NAME", "EVENT", "TOKEN", "DETAIL"]),
    ] {
        let help = String::from_utf8(tenure(&[verb, "--help"]).stdout).expect("UTF-8");
        let (_, text) = help.split_once("Columns: ").expect(&help);
        let (text, _) = text.split_once("Usage:").expect(&help);
        assert_says(text, columns);
    }
    let help = String::from_utf8(tenure(&["run", "--help"]).stdout).expect("UTF-8");
    assert_says(&help, &["TENURE_ENDPOINTS", "--timeout", "[alias: --wait]"]);
}
