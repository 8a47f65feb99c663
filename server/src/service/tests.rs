//! The one path, over a replica that answers at once from a real table, or not at all.

use std::sync::{Arc, mpsc};

use api::{Call, Claim, Code, Extend, Get, Grant, List, Problem, Release, Reply, Step, Wait};
use replica::{Answer, Reading, Unavailable, Whose};

use super::fake::Fake;
use super::*;

struct Bench {
    fake: Arc<Fake>,
    service: Arc<Service>,
}

impl Bench {
    fn new() -> Bench {
        let fake = Arc::new(Fake::new());
        Bench { service: Arc::new(Service::new(Arc::clone(&fake) as Arc<dyn Backend>, 7, 1)), fake }
    }

    fn call(&self, call: Call) -> Reply {
        let (told, heard) = mpsc::channel();
        self.service.submit(&Caller::anyone(), call, move |done| told.send(done).unwrap());
        heard.try_recv().expect("the stand-in answers at once").reply(&mut || u32::MAX / 2)
    }

    fn granted(&self, call: Call) -> Grant {
        match self.call(call) {
            Reply::Granted(grant) => grant,
            other => panic!("not granted: {other:?}"),
        }
    }

    fn problem(&self, call: Call) -> Problem {
        match self.call(call) {
            Reply::Error(problem) => problem,
            other => panic!("no problem: {other:?}"),
        }
    }
}

fn claim(name: &str, holder: &str, instance: u64) -> Claim {
    let (namespace, name, holder) = ("default".to_owned(), name.to_owned(), holder.to_owned());
    Claim { namespace, name, holder, instance: Some(instance), seq: Some(1), ..Claim::default() }
}

fn extend(grant: &Grant, instance: u64) -> Extend {
    let (namespace, name) = (grant.namespace.clone(), grant.name.clone());
    Extend { namespace, name, token: grant.token, instance: Some(instance), ..Extend::default() }
}

fn release(grant: &Grant, instance: u64) -> Release {
    let (namespace, name) = (grant.namespace.clone(), grant.name.clone());
    Release { namespace, name, token: grant.token, instance: Some(instance), ..Release::default() }
}

#[test]
fn a_grant_says_how_long_to_believe_and_when_to_extend() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    assert_eq!(
        (grant.ttl_ms, grant.hold_ms, grant.extend_after_ms, grant.confirmed),
        (15_000, 14_702, 4_999, true)
    );
    let again = bench.granted(Call::Extend(extend(&grant, 1)));
    assert_eq!(again.token, grant.token);
    assert!(
        matches!(bench.call(Call::Release(release(&grant, 1))), Reply::Released(r) if r.token == grant.token)
    );
}

#[test]
fn an_extend_without_a_ttl_keeps_the_grants_own() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(Claim { ttl_ms: Some(30_000), ..claim("a", "h1", 1) }));
    assert_eq!(bench.granted(Call::Extend(extend(&grant, 1))).ttl_ms, 30_000);
    let shorter = Extend { ttl_ms: Some(20_000), ..extend(&grant, 1) };
    assert_eq!(bench.granted(Call::Extend(shorter)).ttl_ms, 20_000);
}

#[test]
fn a_held_lease_is_refused_with_everything_that_helps() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    bench.fake.pass(Ttl::from_millis(5_000));
    let problem = bench.problem(Call::Claim(claim("a", "h2", 2)));
    assert_eq!((problem.code, problem.by_you), (Code::Held, Some(false)));
    assert_eq!((problem.holder.as_deref(), problem.token), (Some("h1"), Some(grant.token)));
    assert_eq!(problem.remaining_ms, Some(10_000));
    assert!(problem.revision.is_some());
    assert!(problem.message.contains("\"a\"") && problem.message.contains("\"h1\""), "{}", problem.message);
    assert!(problem.message.contains("for 10s more at least"), "{}", problem.message);
    let problem = bench.problem(Call::Claim(claim("a", "h1", 9)));
    assert_eq!(problem.by_you, Some(true));
    assert!(problem.message.contains("another life of your own holder name"), "{}", problem.message);
}

#[test]
fn lost_and_stale_tokens_are_told_apart() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    bench.fake.pass(Ttl::from_millis(16_000));
    let problem = bench.problem(Call::Extend(extend(&grant, 1)));
    let end = problem.end.clone().unwrap();
    assert_eq!((problem.code, end.why.as_str(), end.token), (Code::Lost, "expired", grant.token));
    assert!(problem.message.contains("has ended: expired"), "{}", problem.message);
    let newer = bench.granted(Call::Claim(Claim { seq: Some(2), ..claim("a", "h1", 1) }));
    let problem = bench.problem(Call::Extend(extend(&grant, 1)));
    assert_eq!((problem.code, problem.token), (Code::StaleToken, Some(newer.token)));
}

#[test]
fn a_token_that_was_never_given_is_not_told_to_have_ended() {
    let bench = Bench::new();
    let never = |token| {
        Call::Release(Release { name: "a".into(), namespace: "default".into(), token, ..Release::default() })
    };
    let problem = bench.problem(never(5));
    assert!(problem.message.starts_with("token 5 was never given; none has been given yet: "), "{problem}");
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    let problem = bench.problem(never(99_999));
    assert_eq!(problem.code, Code::Lost);
    let said = format!("token 99999 was never given; the newest is {}: ", grant.token);
    assert!(problem.message.starts_with(&said), "{problem}");
    let problem = bench.problem(never(0));
    assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("token")));
    assert!(problem.message.contains("tokens start at 1"), "{problem}");
}

/// A resource that fences must refuse each of them; only one is another lease's.
#[test]
fn a_check_says_what_is_true_of_a_token_and_never_to_claim() {
    let bench = Bench::new();
    let check = |name: &str, token| {
        bench.problem(Call::Check(api::Check { namespace: "default".into(), name: name.into(), token }))
    };
    let one = bench.granted(Call::Claim(claim("one", "h1", 1)));
    let two = bench.granted(Call::Claim(claim("two", "h1", 1)));
    for name in ["two", "nosuch"] {
        let problem = check(name, one.token);
        let lease = format!("lease \"{name}\" in namespace \"default\"");
        let said =
            format!("token {} was never a grant of {lease}: it is another lease's; refuse it", one.token);
        assert_eq!((problem.code, problem.message), (Code::NotYours, said));
    }
    bench.call(Call::Release(release(&one, 1)));
    assert_eq!(check("two", one.token).code, Code::NotYours, "also once it has ended");
    let ended = check("one", one.token);
    assert!(ended.code == Code::Lost && ended.end.is_some(), "{ended}");
    assert!(
        ended.message.contains("has ended: released") && ended.message.ends_with("; refuse it"),
        "{ended}"
    );
    let newer = bench.granted(Call::Claim(Claim { seq: Some(2), ..claim("one", "h1", 1) }));
    let stale = check("one", one.token);
    assert_eq!((stale.code, stale.token), (Code::StaleToken, Some(newer.token)));
    assert!(stale.message.ends_with(&format!(", token {}: refuse it", newer.token)), "{stale}");
    assert!(two.token < newer.token, "it is older than the lease's grant, and another's all the same");
    assert_eq!(check("one", two.token).code, Code::NotYours);
    let unknown = check("nosuch", 0);
    assert_eq!(unknown.code, Code::Lost);
    let said = "token 0 is not the living grant's of lease \"nosuch\" in namespace \"default\", and nothing is known of how it \
        ended: refuse it";
    assert_eq!(unknown.message, said);
    let never = check("one", 99);
    assert!(never.code == Code::Lost && never.message.ends_with(": refuse it"), "{never}");
}

#[test]
fn a_release_of_anothers_lease_is_refused() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    let held = Some((lease::Holder::parse("h1").unwrap(), lease::Token::from_u64(grant.token)));
    let not_yours = |whose| Answer::NotYours { whose, held: held.clone(), at: Reading::default() };
    bench.fake.answer_next(not_yours(Whose::AnotherInstances));
    let problem = bench.problem(Call::Release(release(&grant, 2)));
    assert_eq!(problem.code, Code::NotYours);
    assert!(problem.message.contains(&format!("the grant of token {}", grant.token)), "{}", problem.message);
    let (namespace, name) = (grant.namespace.clone(), grant.name.clone());
    let revoke = api::Revoke { namespace, name, token: 7, ..api::Revoke::default() };
    let release = Release { token: 7, ..release(&grant, 2) };
    for call in [Call::Release(release), Call::Revoke(revoke)] {
        bench.fake.answer_next(not_yours(Whose::AnotherLeases));
        let problem = bench.problem(call);
        let said = format!(
            "token 7 belongs to another lease, and not to lease \"a\" in namespace \"default\", which \"h1\" holds under token \
             {}: give the token's own lease",
            grant.token
        );
        assert_eq!(problem.message, said);
        assert_eq!((problem.holder.as_deref(), problem.token), (Some("h1"), Some(grant.token)));
    }
}

#[test]
fn a_namespaces_own_range_is_named() {
    let bench = Bench::new();
    let problem = bench.problem(Call::Claim(Claim { ttl_ms: Some(500), ..claim("a", "h1", 1) }));
    assert_eq!((problem.code, problem.field.as_deref()), (Code::BadTtl, Some("ttl_ms")));
    assert!(
        problem.message.contains("500")
            && problem.message.contains("1000 to 86400000 milliseconds (1s to 24h0m0s)"),
        "{}",
        problem.message
    );
}

#[test]
fn what_a_member_could_not_do_is_worth_another_try() {
    let bench = Bench::new();
    let cases = [
        (Unavailable::Overloaded { retry_after: Ttl::from_millis(100) }, Code::Overloaded),
        (Unavailable::NoLeader, Code::NoLeader),
        (Unavailable::Behind, Code::Behind),
        (Unavailable::Unanswered, Code::NoLeader),
        (Unavailable::Stopping, Code::Stopping),
        (Unavailable::DiskFull, Code::DiskFull),
    ];
    for (why, code) in cases {
        bench.fake.answer_next(Answer::Unavailable(why));
        let problem = bench.problem(Call::Claim(claim("a", "h1", 1)));
        assert_eq!(problem.code, code);
        assert!(problem.retry_after_ms.is_some_and(|millis| millis > 0), "{problem}");
        assert!(problem.message.contains("not done"), "{problem}");
    }
    bench.fake.answer_next(Answer::Unknown);
    assert_eq!(bench.problem(Call::Claim(claim("a", "h1", 1))).code, Code::Unknown);
}

#[test]
fn a_bulk_call_answers_each_step_in_order() {
    let bench = Bench::new();
    let held = bench.granted(Call::Claim(Claim { ttl_ms: Some(7_000), ..claim("held", "h1", 1) }));
    let steps = vec![
        Step::Claim(claim("a", "h1", 1)),
        Step::Claim(claim("", "h1", 1)),
        Step::Claim(claim("held", "h2", 2)),
        Step::Extend(extend(&held, 1)),
        Step::Release(release(&held, 1)),
    ];
    let Reply::Bulk(replies) = bench.call(Call::Bulk(steps)) else { panic!("not bulk") };
    let codes: Vec<_> = replies
        .iter()
        .map(|reply| match reply {
            Reply::Granted(grant) => format!("granted {}", grant.ttl_ms),
            Reply::Released(_) => "released".to_owned(),
            Reply::Error(problem) => problem.code.to_string(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, ["granted 15000", "bad_name", "held", "granted 7000", "released"]);
    assert_eq!(bench.call(Call::Bulk(Vec::new())), Reply::Bulk(Vec::new()));
}

#[test]
fn a_bulk_call_has_a_limit() {
    let bench = Bench::new();
    let steps = vec![Step::Claim(claim("a", "h1", 1)); 10_001];
    let problem = bench.problem(Call::Bulk(steps));
    assert_eq!(problem.code, Code::TooLarge);
    assert!(problem.message.contains("10001 steps, and the limit is 10000"), "{problem}");
    assert!(
        matches!(bench.call(Call::Get(Get { namespace: "default".into(), name: "a".into(), stale: false })),
        Reply::Lease(lease) if lease.held.is_none()),
        "none of it was done"
    );
}

#[test]
fn a_stale_answer_says_whose_state_it_is_and_how_old_that_may_be_and_no_other_answer_does() {
    let bench = Bench::new();
    bench.granted(Call::Claim(claim("a", "h1", 1)));
    let said = |stale: bool| {
        let get = Get { namespace: "default".into(), name: "a".into(), stale };
        let Reply::Lease(lease) = bench.call(Call::Get(get)) else { panic!("no lease") };
        let list = List { stale, ..List::default() };
        let Reply::Page(page) = bench.call(Call::List(list)) else { panic!("no page") };
        let count = api::Count { stale, ..api::Count::default() };
        let Reply::Counted(counted) = bench.call(Call::Count(count)) else { panic!("no count") };
        assert!(
            lease.held.is_some()
                && counted.held == 1
                && page.leases.iter().all(|lease| lease.stale.is_none())
        );
        [lease.stale, page.stale, counted.stale]
    };
    assert_eq!(said(true), [Some(Stale { member: 2, heard_ago_ms: Some(40) }); 3]);
    assert_eq!(said(false), [None; 3]);
    let members = api::ChangeMembers { stale: true, ..api::ChangeMembers::default() };
    let Reply::Members(members) = bench.call(Call::Members(members)) else { panic!("no members") };
    assert_eq!(members.stale.map(|stale| stale.member), Some(2));
    let change = Some(api::MemberChange::TransferLeadership { to: None });
    let both = api::ChangeMembers { change, stale: true, deadline_ms: None };
    let problem = bench.problem(Call::Members(both));
    assert_eq!((problem.code, problem.field.as_deref()), (Code::BadRequest, Some("stale")));
}

#[test]
fn pages_follow_each_other_to_the_end() {
    let bench = Bench::new();
    for number in 0..5 {
        bench.granted(Call::Claim(claim(&format!("lease/{number}"), "h1", 1)));
    }
    bench.granted(Call::Claim(claim("other", "h2", 2)));
    let mut list = List { prefix: Some("lease/".into()), limit: Some(2), ..List::default() };
    let mut names = Vec::new();
    loop {
        let Reply::Page(page) = bench.call(Call::List(list.clone())) else { panic!("no page") };
        assert!(page.leases.len() <= 2);
        names.extend(page.leases.into_iter().map(|lease| lease.name));
        match page.next {
            Some(next) => list.after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["lease/0", "lease/1", "lease/2", "lease/3", "lease/4"]);
    let count = api::Count { holder: Some("h1".into()), ..api::Count::default() };
    assert!(matches!(bench.call(Call::Count(count)), Reply::Counted(counted) if counted.held == 5));
}

/// Texts that JSON writes at their longest: a page of them ends before its frame is full, and the next goes on from there.
#[test]
fn a_page_of_the_largest_leases_fits_into_a_frame() {
    let bench = Bench::new();
    let quotes = |number: usize| format!("{number:0>6}{}", "\"".repeat(250));
    let leases = 700;
    for number in 0..leases {
        let value = Some("\u{1}".repeat(1_024));
        bench.granted(Call::Claim(Claim { value, ..claim(&quotes(number), &quotes(number), 1) }));
        for entity in 0..16 {
            let (name, entity, why) = (quotes(number), quotes(entity), "\"".repeat(256));
            let pin = api::Pin { name, entity, why, namespace: "default".into(), deadline_ms: None };
            assert!(matches!(bench.call(Call::Pin(pin)), Reply::Done));
        }
    }
    let mut list = List { limit: Some(1_000), ..List::default() };
    let (mut seen, mut pages) = (0, 0);
    loop {
        let reply = bench.call(Call::List(list.clone()));
        let frame = serde_json::to_string(&api::ServerFrame::reply(1, reply.clone())).unwrap();
        assert!(frame.len() <= lease::REPLY_BYTES_MAX, "{} bytes", frame.len());
        let Reply::Page(page) = reply else { panic!("no page") };
        (seen, pages) = (seen + page.leases.len(), pages + 1);
        match page.next {
            Some(next) => list.after = Some(next),
            None => break,
        }
    }
    assert_eq!((seen, pages), (leases, 2), "more would not have fitted into one");
}

#[test]
fn a_wait_ends_when_the_lease_is_released_or_is_given_up() {
    let bench = Bench::new();
    let grant = bench.granted(Call::Claim(claim("a", "h1", 1)));
    let wait =
        Wait { namespace: "default".into(), name: "a".into(), timeout_ms: Some(50), ..Wait::default() };
    let (told, heard) = mpsc::channel();
    let (waiting, timeout) =
        bench.service.wait(&Caller::anyone(), &wait, move |done| told.send(done).unwrap()).unwrap();
    assert_eq!(timeout, Some(Duration::from_millis(50)));
    assert!(heard.try_recv().is_err());
    bench.call(Call::Release(release(&grant, 1)));
    assert!(matches!(heard.try_recv().unwrap().reply(&mut || 0), Reply::Free(_)));
    waiting.cancel();
    assert!(bench.fake.cancelled().is_empty(), "it was answered");

    let grant = bench.granted(Call::Claim(Claim { seq: Some(2), ..claim("a", "h1", 1) }));
    let (waiting, _) = bench.service.wait(&Caller::anyone(), &wait, |_| panic!("given up")).unwrap();
    let problem = waiting.time_out().unwrap();
    assert_eq!((problem.code, problem.holder.as_deref()), (Code::StillHeld, Some("h1")));
    assert_eq!((problem.token, problem.remaining_ms), (Some(grant.token), Some(15_000)));
    assert_eq!(bench.fake.cancelled(), [2]);
}

#[test]
fn an_acquire_that_lasts_too_long_is_answered_by_the_replica_or_not_at_all() {
    let bench = Bench::new();
    bench.fake.fall_silent();
    let acquire = api::Acquire {
        namespace: "default".into(),
        name: "a".into(),
        holder: "h1".into(),
        ..Default::default()
    };
    let (waiting, timeout) = bench.service.acquire(&Caller::anyone(), acquire, |_| {}).unwrap();
    assert_eq!(timeout, None);
    assert_eq!(waiting.time_out(), None, "a grant may be on its way");
}

#[test]
fn a_wait_and_an_acquire_that_last_too_long_name_the_lease_as_other_messages_do() {
    let bench = Bench::new();
    bench.granted(Call::Claim(claim("a", "h1", 1)));
    let named = "lease \"a\" in namespace \"default\"";
    let wait = Wait { namespace: "default".into(), name: "a".into(), ..Wait::default() };
    let (waiting, _) = bench.service.wait(&Caller::anyone(), &wait, |_| {}).unwrap();
    let problem = waiting.time_out().unwrap();
    assert!(problem.message.starts_with(&format!("{named} was not free")), "{problem}");
    let acquire = api::Acquire {
        namespace: "default".into(),
        name: "a".into(),
        holder: "h2".into(),
        ..Default::default()
    };
    bench.fake.answer_next(Answer::NotItsTurn { at: Reading::default() });
    let (told, heard) = mpsc::channel();
    bench.service.acquire(&Caller::anyone(), acquire, move |done| told.send(done).unwrap()).unwrap();
    let Reply::Error(problem) = heard.try_recv().unwrap().reply(&mut || 0) else { panic!("no problem") };
    assert_eq!((problem.code, problem.holder.as_deref()), (Code::StillHeld, Some("h1")));
    assert!(problem.message.contains(&format!("turn for {named} within")), "{problem}");
}

#[test]
fn a_wait_for_a_revision_that_is_yet_to_come_is_told_so_at_once() {
    let bench = Bench::new();
    let wait = Wait { namespace: "default".into(), name: "a".into(), after: Some(99_999), ..Wait::default() };
    let (told, heard) = mpsc::channel();
    bench.service.wait(&Caller::anyone(), &wait, move |done| told.send(done).unwrap()).unwrap();
    let Reply::Error(problem) = heard.try_recv().unwrap().reply(&mut || 0) else { panic!("no problem") };
    assert_eq!((problem.code, problem.field.as_deref()), (Code::IndexAhead, Some("after")));
    assert_eq!(problem.revision, Some(0));
    assert!(problem.message.starts_with("after 99999 is ahead of the newest revision, 0: "), "{problem}");
}

/// It may be that another member has such a state: only a barrier could tell.
#[test]
fn a_wait_that_lasts_too_long_at_a_member_that_lags_is_told_so_and_not_that_the_lease_is_held() {
    let bench = Bench::new();
    let wait = Wait { namespace: "default".into(), name: "a".into(), after: Some(9), ..Wait::default() };
    bench.fake.fall_silent();
    let (waiting, _) =
        bench.service.wait(&Caller::anyone(), &wait, |_| panic!("no state is so new")).unwrap();
    let problem = waiting.time_out().unwrap();
    assert_eq!((problem.code, problem.revision), (Code::Behind, Some(0)));
    assert!(
        problem.message.starts_with("this member is at revision 0, and the wait is for 9: "),
        "{problem}"
    );
}

#[test]
fn a_stopping_member_says_so_to_whatever_comes() {
    let bench = Bench::new();
    bench.service.stop();
    assert_eq!(bench.problem(Call::Claim(claim("a", "h1", 1))).code, Code::Stopping);
    let wait = Wait { namespace: "default".into(), name: "a".into(), ..Wait::default() };
    assert_eq!(
        bench.service.wait(&Caller::anyone(), &wait, |_| {}).err().map(|problem| problem.code),
        Some(Code::Stopping)
    );
}

#[test]
fn deadlines_go_with_the_proposal_and_bound_the_doors_patience() {
    let bench = Bench::new();
    bench.fake.fall_silent();
    let call = Call::Claim(Claim { deadline_ms: Some(750), ..claim("a", "h1", 1) });
    assert_eq!(patience(&call), Duration::from_millis(750) + GUARD_SLACK);
    bench.service.submit(&Caller::anyone(), call, |_| {});
    assert_eq!(bench.fake.kept().pop().unwrap().deadline, Ttl::from_millis(750));
    let steps = vec![
        Step::Claim(claim("a", "h", 1)),
        Step::Release(Release { deadline_ms: Some(9_000), ..Release::default() }),
    ];
    assert_eq!(patience(&Call::Bulk(steps)), Duration::from_millis(9_000) + GUARD_SLACK);
    assert_eq!(unanswered(true).code, Code::Unknown);
    assert_eq!(unanswered(false).code, Code::Overloaded);
}

#[test]
fn a_greeting_in_another_version_is_told_which_is_spoken() {
    let bench = Bench::new();
    let hello = |version| Hello { version, agent: "test".into() };
    assert!(
        matches!(bench.service.hello(&hello(1)), Reply::Welcome(welcome) if welcome.cluster.ends_with("07"))
    );
    let Reply::Error(problem) = bench.service.hello(&hello(2)) else { panic!("welcomed") };
    assert!(problem.message.contains("version 2 is not spoken here: speak version 1"), "{problem}");
}

#[test]
fn a_door_waits_for_a_bulk_call_as_long_as_for_its_most_patient_step() {
    let step = |deadline_ms| Step::Claim(Claim { deadline_ms, ..claim("a", "h1", 1) });
    let millis = |steps: Vec<Step>| (patience(&Call::Bulk(steps)) - GUARD_SLACK).as_millis();
    assert_eq!(millis(vec![step(Some(100)), step(Some(300))]), 300);
    assert_eq!(millis(vec![step(Some(100)), step(None)]), u128::from(DEADLINE_DEFAULT.as_millis()));
    assert_eq!(millis(vec![step(Some(20_000)), step(None)]), 20_000);
}
