//! Who may do how much, and what is written down of it, over a replica that answers at once or not at all.

use std::path::Path;
use std::sync::mpsc;

use api::{Acquire, Check, Claim, Extend, Grant, Release, Reply};
use futures_util::FutureExt;
use serde_json::Value;

use super::*;
use crate::identity::{Audit, Source};
use crate::service::fake::Fake;

/// A service that asks who comes, and writes down what they do.
struct Bench {
    fake: Arc<Fake>,
    service: Option<Arc<Service>>,
    folder: tempfile::TempDir,
}

impl Bench {
    /// Of a member at which so many commands of a kind may wait.
    fn new(room: usize) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let audit = Audit::open(&folder.path().join("audit.jsonl"), u64::MAX).unwrap();
        let fake = Arc::new(Fake::new());
        let keeper = Doorkeeper::new(7, false, Some(audit)).with_room_for(room);
        let service = Service::new(Arc::clone(&fake) as _, 7, 1).behind(keeper);
        Bench { fake, service: Some(Arc::new(service)), folder }
    }

    fn service(&self) -> &Arc<Service> {
        self.service.as_ref().unwrap()
    }

    fn comes(&self, principal: Principal) -> Arc<Caller> {
        Arc::new(self.service().doorkeeper.admit(Arc::new(principal), None))
    }

    fn unit(&self, name: &str) -> Arc<Caller> {
        self.comes(Principal::unit(name, "mine", Source::Certificate { until: 100 }))
    }

    fn operator(&self) -> Arc<Caller> {
        self.comes(Principal::certified(lease::Role::Operator, None, "admin", 100))
    }

    /// Its reply; none where the replica is mute.
    fn call(&self, caller: &Arc<Caller>, call: Call) -> Option<Reply> {
        let (told, heard) = mpsc::channel();
        self.service().submit(caller, call, move |done| drop(told.send(done)));
        heard.try_recv().ok().map(|done| done.reply(&mut || 0))
    }

    fn granted(&self, caller: &Arc<Caller>, claim: Claim) -> Grant {
        match self.call(caller, Call::Claim(claim)) {
            Some(Reply::Granted(grant)) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    fn problem(&self, caller: &Arc<Caller>, call: Call) -> Problem {
        match self.call(caller, call) {
            Some(Reply::Error(problem)) => problem,
            other => panic!("no problem: {other:?}"),
        }
    }

    /// What is written down once everything has ended: verb, name and outcome of each line.
    fn written(mut self) -> Vec<[String; 3]> {
        drop(self.service.take());
        drop(self.fake.kept());
        lines(&self.folder.path().join("audit.jsonl"))
            .iter()
            .map(|line| {
                ["verb", "name", "outcome"].map(|field| line[field].as_str().unwrap_or("").to_owned())
            })
            .collect()
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn claim(name: &str, holder: &str) -> Claim {
    let (namespace, name, holder) = ("mine".to_owned(), name.to_owned(), holder.to_owned());
    Claim { namespace, name, holder, instance: Some(1), seq: Some(1), ..Claim::default() }
}

fn extend(name: &str, token: u64) -> Extend {
    Extend { namespace: "mine".into(), name: name.into(), token, instance: Some(1), ..Extend::default() }
}

fn release(name: &str, token: u64) -> Release {
    Release { namespace: "mine".into(), name: name.into(), token, instance: Some(1), ..Release::default() }
}

#[test]
fn a_call_that_nobody_waits_for_any_more_leaves_its_line_however_it_ends() {
    let bench = Bench::new(100);
    let unit = bench.unit("mysql/0");
    bench.fake.fall_silent();
    assert!(bench.call(&unit, Call::Claim(claim("mysql", "mysql/0"))).is_none());
    assert!(bench.call(&unit, Call::Bulk(vec![Step::Claim(claim("mysql/b", "mysql/0"))])).is_none());
    let acquire = |name: &str, timeout_ms| Acquire {
        namespace: "mine".into(),
        name: name.into(),
        holder: "mysql/0".into(),
        timeout_ms,
        ..Acquire::default()
    };
    let begun = bench.service().acquire(&unit, acquire("mysql/c", None), |_| {}).unwrap();
    // As where a session's connection is gone.
    begun.0.leave();
    drop(begun);
    let Err(wrong) = bench.service().acquire(&unit, acquire("mysql/d", Some(u64::MAX)), |_| {}) else {
        panic!("it may not last so long");
    };
    assert_eq!(wrong.code, Code::BadRequest);
    let mut written = bench.written();
    written.sort();
    let expected = [
        ["claim", "mysql", "unanswered"],
        ["claim", "mysql/b", "unanswered"],
        ["claim", "mysql/c", "unanswered"],
        ["claim", "mysql/d", "bad_request"],
    ];
    assert_eq!(written, expected);
}

#[test]
fn one_principals_flood_of_extends_leaves_half_of_the_room_to_the_others() {
    let bench = Bench::new(8);
    let [loud, again, quiet] = ["mysql/0", "mysql/0", "mysql/1"].map(|unit| bench.unit(unit));
    let tokens: Vec<u64> = ["mysql/0", "mysql/1"]
        .iter()
        .map(|at| bench.granted(&bench.operator(), claim(at, at)).token)
        .collect();
    bench.fake.fall_silent();
    let steps = (0..100).map(|_| Step::Extend(extend("mysql/0", tokens[0]))).collect();
    assert!(bench.call(&loud, Call::Bulk(steps)).is_none(), "some of it waits");
    let kept = bench.fake.kept();
    assert_eq!(kept.len(), 4, "half of the room");
    // By another connection too, and another kind has its own.
    let refused = bench.problem(&again, Call::Extend(extend("mysql/0", tokens[0])));
    assert_eq!(refused.code, Code::Overloaded);
    assert!(refused.retry_after_ms.is_some() && refused.message.contains("limits.commands"), "{refused}");
    assert!(bench.call(&again, Call::Release(release("mysql/0", tokens[0]))).is_none());
    for _ in 0..4 {
        assert!(bench.call(&quiet, Call::Extend(extend("mysql/1", tokens[1]))).is_none(), "it waits");
    }
    assert_eq!(bench.fake.kept().len(), 5);
    // Once they are answered, or given up, there is room again.
    drop(kept);
    assert!(bench.call(&again, Call::Extend(extend("mysql/0", tokens[0]))).is_none());
}

#[test]
fn a_release_that_one_has_no_place_for_is_written_down() {
    let bench = Bench::new(2);
    let unit = bench.unit("mysql/0");
    let token = bench.granted(&bench.operator(), claim("mysql", "mysql/0")).token;
    bench.fake.fall_silent();
    assert!(bench.call(&unit, Call::Release(release("mysql", token))).is_none(), "it waits");
    let refused = bench.problem(&unit, Call::Release(release("mysql", token)));
    assert_eq!(refused.code, Code::Overloaded);
    let steps = vec![Step::Release(release("mysql/b", token)), Step::Extend(extend("mysql", token))];
    assert!(bench.call(&unit, Call::Bulk(steps)).is_none(), "the extend waits");
    let mut written = bench.written();
    written.sort();
    let expected = [
        ["claim", "mysql", "granted"],
        ["release", "mysql", "overloaded"],
        ["release", "mysql", "unanswered"],
        ["release", "mysql/b", "overloaded"],
    ];
    assert_eq!(written, expected);
}

#[test]
fn of_what_one_principal_is_refused_a_few_are_written_and_the_rest_is_counted_and_no_change_is_left_out() {
    let bench = Bench::new(100_000);
    let (loud, operator) = (bench.unit("mysql/0"), bench.operator());
    bench.granted(&operator, claim("mysql", "mysql/1"));
    for at in 0..500 {
        // Denied to it at once; and allowed, and then refused, for another holds it.
        let theirs = Claim { namespace: "theirs".into(), ..claim("redis", "mysql/0") };
        assert_eq!(bench.problem(&loud, Call::Claim(theirs)).code, Code::Forbidden);
        assert_eq!(bench.problem(&loud, Call::Claim(claim("mysql", "mysql/0"))).code, Code::Held);
        bench.granted(&operator, claim(&format!("redis/{at}"), "redis/0"));
    }
    let Bench { service, folder, .. } = bench;
    drop(service);
    let lines = lines(&folder.path().join("audit.jsonl"));
    let of = |who: &str, outcome: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["who"] == who && line["outcome"] == outcome).collect()
    };
    assert_eq!(of("admin", "granted").len(), 501);
    for outcome in ["denied", "refused"] {
        let told = of("mysql/0", outcome);
        let left_out: u64 = told.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        let written = told.iter().filter(|line| line["verb"].is_string()).count() as u64;
        assert!((100..200).contains(&written), "{outcome}: {written} lines");
        assert_eq!(written + left_out, 500, "{outcome}: each is one or the other");
        assert_eq!(told.last().unwrap()["role"], "unit");
    }
}

#[test]
fn an_acquire_that_is_sent_away_may_have_its_claim_on_its_way_and_has_its_line_however_many_there_are() {
    let bench = Bench::new(100_000);
    let unit = bench.unit("mysql/0");
    let lines_of = |answer: Answer, count: usize| {
        for _ in 0..count {
            bench.fake.answer_next(answer.clone());
            let [namespace, name, holder] = ["mine", "mysql", "mysql/0"].map(str::to_owned);
            let acquire = Acquire { namespace, name, holder, ..Acquire::default() };
            bench.service().acquire(&unit, acquire, drop).unwrap_or_else(|problem| panic!("{problem:?}"));
        }
    };
    lines_of(Answer::Unavailable(Unavailable::Overloaded { retry_after: RETRY_AFTER_MIN }), 300);
    for why in [Unavailable::Behind, Unavailable::Unanswered, Unavailable::Stopping] {
        lines_of(Answer::Unavailable(why), 300);
        // Nothing was sent on for it.
        lines_of(Answer::NotBegun(why), 300);
    }
    let written = bench.written();
    let acquires = written.iter().filter(|[verb, name, _]| verb == "claim" && name == "mysql").count();
    assert!(
        (1_000..1_200).contains(&acquires),
        "{acquires} lines: those that surely did nothing are bounded"
    );
}

#[test]
fn of_leases_that_a_caller_may_not_see_no_token_tells_anything() {
    let bench = Bench::new(100);
    let (unit, operator) = (bench.unit("mysql/0"), bench.operator());
    let own = bench.granted(&unit, claim("mysql", "mysql/0"));
    let theirs = bench.granted(&operator, Claim { namespace: "theirs".into(), ..claim("redis", "redis/0") });
    let ended = bench.granted(&operator, Claim { namespace: "theirs".into(), ..claim("pg", "pg/0") });
    let gone = Release { namespace: "theirs".into(), ..release("pg", ended.token) };
    assert!(matches!(bench.call(&operator, Call::Release(gone)), Some(Reply::Released(_))));
    let check = |caller, token| {
        let check = Check { namespace: "mine".into(), name: "mysql".into(), token };
        bench.problem(caller, Call::Check(check))
    };
    let tokens = [theirs.token, ended.token, ended.token + 1_000];
    let told = |problem: Problem, token: u64| {
        assert_eq!((problem.end, problem.holder, problem.token), (None, None, None));
        (problem.code, problem.message.replace(&token.to_string(), "N"))
    };
    let checked = tokens.map(|token| told(check(&unit, token), token));
    assert_eq!(checked[0].0, Code::Lost);
    assert!(checked.iter().all(|one| *one == checked[0]), "{checked:?}");
    assert!(checked[0].1.ends_with("no more is told of it: refuse it"), "{checked:?}");
    // As the leader answers: of another lease, one that is forgotten, one that was never given.
    let answers = [
        Answer::NotYours { whose: replica::Whose::AnotherLeases, held: None, at: Default::default() },
        refusal(lease::Refusal::Lost { end: None }),
        refusal(lease::Refusal::NeverGiven { newest: Some(Token::from_u64(ended.token)) }),
    ];
    let extended = answers.map(|answer| {
        bench.fake.answer_next(answer);
        told(bench.problem(&unit, Call::Extend(extend("mysql", 5))), 5)
    });
    assert_eq!(extended[0].0, Code::Lost);
    assert!(extended.iter().all(|one| *one == extended[0]), "{extended:?}");
    // Whoever may see them is told.
    assert_eq!(check(&operator, theirs.token).code, Code::NotYours);
    assert!(check(&operator, ended.token + 1_000).message.contains("was never given; the newest is"));
    let mut stale = check(&unit, own.token - 1);
    assert_eq!(
        (stale.code, stale.token.take()),
        (Code::StaleToken, Some(own.token)),
        "its own lease's it sees"
    );
}

fn refusal(refusal: lease::Refusal) -> Answer {
    Answer::Decided { outcome: Outcome::Refused(refusal), at: Default::default() }
}

#[test]
fn who_waits_is_woken_when_their_certificate_is_over() {
    let bench = Bench::new(100);
    let unit = bench.unit("mysql/0");
    let keeper = &bench.service().doorkeeper;
    let look = |now| keeper.directory.look(&Default::default(), 0, now);
    let mut forgotten = Box::pin(keeper.forgets(&unit));
    look(100);
    assert!(forgotten.as_mut().now_or_never().is_none(), "in its last second it is good");
    look(101);
    assert!(forgotten.as_mut().now_or_never().is_some());
    assert!(bench.service().still(&unit).is_err());
}

#[test]
fn whoever_is_turned_away_too_often_is_counted_and_not_written_down_each() {
    let bench = Bench::new(100);
    let peer = Some("10.0.0.1:9".parse().unwrap());
    let keeper = &bench.service().doorkeeper;
    (0..500).for_each(|_| keeper.turned_away(peer, Unknown::Nothing));
    assert!((0..500).filter(|_| keeper.may_look_for(peer).is_ok()).count() < 200);
    let Bench { service, folder, .. } = bench;
    drop(service);
    let lines = lines(&folder.path().join("audit.jsonl"));
    let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
    let written = lines.iter().filter(|line| line["why"].is_string()).count() as u64;
    assert!((100..200).contains(&written), "{written} lines");
    assert_eq!(lines.last().unwrap()["outcome"], "unauthenticated");
    assert!(written + left_out > 800, "{written} written, {left_out} left out: each is one or the other");
}
