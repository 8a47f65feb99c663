//! Histories as people write them: a line a call or a fact, times in milliseconds.
//!
//! ```text
//!   0    c1 claim a 1000 -> granted 7 @5       a call and its answer; `via 2` behind the client names its member
//!   5    c1 believes a 7 until 980 ttl 1000    `kept` behind it where its session extends it
//!   900  c1 doubts a 7 released
//!   4    m1 sees 1 a granted 7 c1              `unconfirmed` behind it
//!   990  m1 sees 2 a ended 7 expired
//!   500  fault 1 kill on                       `beyond` behind it
//! ```

use torture::check::{Finding, Limits, Report, Rule, Verdict, check, order};
use torture::history::*;

const MS: Nanos = 1_000_000;

/// What the rules say of a story.
pub(crate) fn judge(story: &str) -> (Vec<Record>, Verdict) {
    let mut records: Vec<Record> =
        story.lines().filter(|line| !line.trim().is_empty()).flat_map(line).collect();
    order(&mut records);
    let verdict = check(&records, Limits::default()).unwrap_or_else(|malformed| panic!("{malformed}"));
    (records, verdict)
}

/// The story must be clean, and `rule` must have looked at something.
pub(crate) fn good(rule: Rule, story: &str) {
    let (records, verdict) = judge(story);
    assert!(verdict.is_clean(), "{}", Report { verdict: &verdict, records: &records });
    assert!(finding(&verdict, rule).looked_at > 0, "{rule} looked at nothing");
}

/// The story must break `rule` alone, by the two records of these lines, which are named by when they happened.
pub(crate) fn bad(rule: Rule, story: &str, first_ms: u64, second_ms: u64) {
    let (records, verdict) = judge(story);
    let report = Report { verdict: &verdict, records: &records }.to_string();
    let broken: Vec<_> = verdict.broken().collect();
    let [(found, violation)] = broken[..] else { panic!("{rule} alone should be broken:\n{report}") };
    assert_eq!(found, rule, "{report}");
    let at = (records[violation.first].at / MS, records[violation.second].at / MS);
    assert_eq!(at, (first_ms, second_ms), "{report}");
    assert!(report.contains(&violation.says) && report.contains("BROKEN"), "{report}");
}

/// The story is clean because an exception of `rule` excuses what it shows.
pub(crate) fn excused(rule: Rule, story: &str) {
    let (records, verdict) = judge(story);
    assert!(verdict.is_clean(), "{}", Report { verdict: &verdict, records: &records });
    assert!(finding(&verdict, rule).excused > 0, "{rule} excused nothing");
}

/// What `rule` found.
pub(crate) fn finding(verdict: &Verdict, rule: Rule) -> &Finding {
    let found = verdict.findings.iter().find(|(of, _)| *of == rule);
    &found.unwrap_or_else(|| panic!("{rule} was not asked")).1
}

fn line(line: &str) -> Vec<Record> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = number(words[0]) * MS;
    let what = match words[1..] {
        [client, "believes", lease, token, "until", until, "ttl", ttl, ref kept @ ..] => {
            What::Believe(Believe {
                client: client.into(),
                lease: lease.into(),
                token: number(token),
                until: number(until) * MS,
                ttl_ms: number(ttl),
                kept: !kept.is_empty(),
            })
        }
        [client, "doubts", lease, token, why] => What::Doubt(Doubt {
            client: client.into(),
            lease: lease.into(),
            token: number(token),
            why: why.into(),
        }),
        [client, "gone"] => What::Gone(Gone { client: client.into() }),
        [member, "sees", revision, lease, ref change @ ..] => What::Event(Event {
            member: number(&member[1..]),
            watch: 1,
            revision: number(revision),
            lease: lease.into(),
            change: change_of(change),
        }),
        [client, "writes", lease, token, how] => What::Fenced(Fenced {
            client: client.into(),
            lease: lease.into(),
            token: number(token),
            accepted: how == "accepted",
        }),
        [member, "leads", term] => What::Leader(Leader { member: number(&member[1..]), term: number(term) }),
        [member, "is", how, "at", revision] => What::Member(Member {
            member: number(&member[1..]),
            ready: how == "ready",
            revision: number(revision),
        }),
        ["fault", fault, kind, on, ref beyond @ ..] => What::Fault(Fault {
            fault: number(fault),
            kind: kind.into(),
            target: "m1".into(),
            on: on == "on",
            beyond_rho: !beyond.is_empty(),
        }),
        ["recovered", how] => What::Recovered(Recovered { how: how.into() }),
        _ => return call(at, &words),
    };
    vec![Record { at, what }]
}

fn call(at: Nanos, words: &[&str]) -> Vec<Record> {
    let (client, rest) = (words[1], &words[2..]);
    let (through, rest) = match rest {
        ["via", member, rest @ ..] => (Some(number(member)), rest),
        rest => (None, rest),
    };
    let arrow = rest.iter().position(|word| *word == "->");
    let (asked, told) = rest.split_at(arrow.unwrap_or(rest.len()));
    // A client makes one call at a time in these stories, so that its time and its name number it.
    let op = at * 1_000 + client.bytes().map(u64::from).sum::<u64>();
    let lease = asked[1].to_owned();
    let call = match asked {
        ["claim", _, ttl] => Call::Claim { ttl_ms: number(ttl) },
        ["acquire", _, ttl] => Call::Acquire { ttl_ms: number(ttl) },
        ["extend", _, token, ttl] => Call::Extend { token: number(token), ttl_ms: number(ttl) },
        ["release", _, token] => Call::Release { token: number(token) },
        ["transfer", _, token] => Call::Transfer { token: number(token) },
        ["revoke", _, token] => Call::Revoke { token: number(token), now: true },
        ["wait", _, timeout] => Call::Wait { after: None, timeout_ms: number(timeout) },
        ["wait", _, timeout, after] => Call::Wait { after: Some(number(after)), timeout_ms: number(timeout) },
        ["get", _] => Call::Get,
        _ => panic!("no such call: {asked:?}"),
    };
    let what = What::Invoke(Invoke { op, client: client.into(), lease, through, call });
    let mut records = vec![Record { at, what }];
    if let [_, answer @ .., came] = told {
        let at = number(&came[1..]) * MS;
        records.push(Record { at, what: What::Return(Return { op, answer: answer_of(answer) }) });
    }
    records
}

fn answer_of(words: &[&str]) -> Answer {
    match words {
        ["granted", token] => Answer::Granted { token: number(token) },
        ["done"] => Answer::Done,
        ["free", revision] => Answer::Free { revision: number(revision) },
        ["seen", "free", revision] => Answer::Seen { token: None, revision: number(revision) },
        ["seen", token, revision] => Answer::Seen { token: Some(number(token)), revision: number(revision) },
        ["refused", code] => Answer::Refused { code: (*code).into(), token: None },
        ["refused", code, token] => Answer::Refused { code: (*code).into(), token: Some(number(token)) },
        ["unavailable"] => Answer::Unavailable { why: "no leader".into() },
        ["unknown"] => Answer::Unknown,
        _ => panic!("no such answer: {words:?}"),
    }
}

fn change_of(words: &[&str]) -> Change {
    match words {
        ["granted", token, holder, unconfirmed @ ..] => Change::Granted {
            token: number(token),
            holder: (*holder).into(),
            confirmed: unconfirmed.is_empty(),
        },
        ["confirmed", token] => Change::Confirmed { token: number(token) },
        ["ended", token, why] => Change::Ended { token: number(token), why: (*why).into() },
        _ => panic!("no such change: {words:?}"),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no number"))
}

#[test]
fn a_history_without_anything_in_it_is_not_clean_and_says_that_nothing_was_looked_at() {
    for story in ["", "500 fault 1 kill on"] {
        let (records, verdict) = judge(story);
        let report = Report { verdict: &verdict, records: &records }.to_string();
        assert!(!verdict.is_clean(), "{report}");
        assert!(report.contains("nothing") && !report.contains("kept"), "{report}");
    }
}
