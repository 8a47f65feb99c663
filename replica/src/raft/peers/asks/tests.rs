use lease::{Granted, Instance, Namespace, Refusal, Seq, Value};

use super::*;

const AT: Reading = Reading { revision: Revision(7), now: Time::from_nanos(8) };
const TICKET: Ticket = Ticket { term: 3, number: 4 };

fn key_of(name: &str) -> Key {
    Key { namespace: Namespace::parse("n").unwrap(), name: Name::parse(name).unwrap() }
}

fn claim() -> Claim {
    Claim {
        key: key_of("a/b"),
        holder: Holder::parse("mysql/0").unwrap(),
        instance: Instance(5),
        seq: Seq(6),
        ttl: Ttl::from_millis(7),
        value: Some(Value::parse("http://here").unwrap()),
    }
}

pub(in crate::raft::peers) fn asks() -> Vec<Ask> {
    let extend = Command::Extend { token: Token::from_u64(9), ttl: Ttl::from_millis(1) };
    let forwarded = |command, named, heir| Forwarded {
        request: Request { not_after: Some(Time::from_nanos(1)), command },
        named,
        heir,
        deadline: Ttl::from_millis(2),
    };
    let named = Named { key: key_of("x"), instance: Some(Instance(4)), holder: None };
    let operator = Named { instance: None, ..named.clone() };
    let unit = Named { holder: Holder::parse("mysql/0").ok(), ..named.clone() };
    let unit_alone = Named { instance: None, ..unit.clone() };
    let commands = vec![
        forwarded(extend.clone(), Some(named), HeirMust::Wait),
        forwarded(extend.clone(), Some(operator), HeirMust::Claim),
        forwarded(extend.clone(), Some(unit), HeirMust::Wait),
        forwarded(extend, Some(unit_alone), HeirMust::Wait),
        forwarded(Command::Claim(claim()), None, HeirMust::Wait),
    ];
    let changes = vec![
        Change::Joins { id: 1, claim: claim(), ticket: Some(TICKET) },
        Change::Joins { id: 2, claim: claim(), ticket: None },
        Change::GivenUp(3),
        Change::Left(4),
    ];
    let roll = Roll { member: 1, life: 2, desk: 3, term: 4, opened: 7, heard: 5, from: 6, changes };
    vec![
        Ask::Commands(Vec::new()),
        Ask::Commands(commands),
        Ask::Index,
        Ask::Roll(roll),
        Ask::HowFar,
        Ask::Knows,
        Ask::Members(MemberChange::Knows(3), Ttl::from_millis(5)),
        Ask::Lost(7),
        Ask::Members(MemberChange::List, Ttl::from_millis(5)),
        Ask::Members(MemberChange::Remove([3, 9].into()), Ttl::from_millis(5)),
        Ask::Members(MemberChange::Drain { id: 2, on: true }, Ttl::from_millis(5)),
    ]
}

fn answers() -> Vec<Answer> {
    let token = Token::from_u64(1);
    let granted =
        Granted { token, ttl: Ttl::from_millis(1), deadline: Time::from_nanos(2), confirmed: false };
    let holder = Holder::parse("mysql/1").unwrap();
    let unavailable = [
        Unavailable::Overloaded { retry_after: Ttl::from_millis(3) },
        Unavailable::NoLeader,
        Unavailable::Behind,
        Unavailable::Stopping,
        Unavailable::DiskFull,
        Unavailable::DiskStalled,
    ];
    let others = [
        Answer::Decided { outcome: Outcome::Granted(granted), at: AT },
        Answer::Decided { outcome: Outcome::Refused(Refusal::Lost { end: None }), at: AT },
        Answer::NotYours { whose: Whose::AnotherLeases, held: None, at: AT },
        Answer::NotYours { whose: Whose::AnotherInstances, held: Some((holder, token)), at: AT },
        Answer::Queued { at: AT },
        Answer::NotWaiting { at: AT },
        Answer::Replaced { at: AT },
        Answer::NotItsTurn { at: AT },
        Answer::Unknown,
    ];
    others.into_iter().chain(unavailable.map(Answer::Unavailable)).collect()
}

pub(in crate::raft::peers) fn said() -> Vec<Said> {
    let news = answers().into_iter().zip(1..).map(|(answer, id)| News::Answer(id, answer));
    let news = news.chain([News::Ticket(9, TICKET)]).collect();
    vec![
        Said::Answers(answers()),
        Said::Index(None),
        Said::Index(Some(5)),
        Said::Roll(Heard { known: true, opened: 3, taken: 1, from: 2, news }),
        Said::Roll(Heard::default()),
        Said::HowFar(Far::Waiting),
        Said::HowFar(Far::Forming),
        Said::HowFar(Far::Ready),
        Said::HowFar(Far::Begun),
        Said::Knows(7),
        Said::Removed,
        Said::Members(Err(Unchanged::Unknown)),
        Said::Members(Ok(vec![MemberView {
            id: 1,
            address: "a:7401".to_owned(),
            is_voter: true,
            leads: true,
            drains: true,
            lacks: Some(7),
            heard_ago: Some(Ttl::from_millis(8)),
        }])),
    ]
}

fn bytes_of_ask(ask: &Ask) -> Vec<u8> {
    let mut bytes = Vec::new();
    ask.put(&mut bytes);
    bytes
}

fn bytes_of_said(said: &Said) -> Vec<u8> {
    let mut bytes = Vec::new();
    said.put(&mut bytes);
    bytes
}

fn read<T>(bytes: &[u8], read: impl Fn(u8, &mut Reader<'_>) -> Result<Option<T>, DecodeError>) -> Option<T> {
    let mut from = Reader::new(bytes, "a test");
    let thing = read(from.u8().ok()?, &mut from).ok().flatten();
    thing.filter(|_| from.is_at_end())
}

#[test]
fn whatever_is_asked_and_said_is_heard_as_it_was_and_not_where_it_is_cut() {
    for ask in asks() {
        let bytes = bytes_of_ask(&ask);
        assert_eq!(read(&bytes, Ask::read), Some(ask));
        assert!((0..bytes.len()).all(|length| read(&bytes[..length], Ask::read).is_none()));
    }
    for said in said() {
        let bytes = bytes_of_said(&said);
        assert_eq!(read(&bytes, Said::read), Some(said));
        assert!((0..bytes.len()).all(|length| read(&bytes[..length], Said::read).is_none()));
    }
}

#[test]
fn a_waiter_joins_with_a_claim_and_nothing_else() {
    let ask = Ask::Roll(Roll {
        member: 1,
        life: 1,
        desk: 1,
        term: 1,
        opened: 0,
        heard: 0,
        from: 0,
        changes: vec![Change::Joins { id: 1, claim: claim(), ticket: None }],
    });
    let mut bytes = bytes_of_ask(&ask);
    let mut request = Vec::new();
    Request { not_after: None, command: Command::Claim(claim()) }.encode(&mut request);
    let mut other = Vec::new();
    Request { not_after: None, command: Command::Release { token: Token::from_u64(1) } }.encode(&mut other);
    bytes.truncate(bytes.len() - request.len() - 4);
    put_sized(&mut bytes, |to| to.extend_from_slice(&other));
    assert_eq!(read(&bytes, Ask::read), None);
}

#[test]
fn what_would_be_dropped_unseen_is_refused() {
    let refused = |said: &Said, from_end: usize, with: u8| {
        let mut bytes = bytes_of_said(said);
        let at = bytes.len() - from_end;
        bytes[at] = with;
        assert_eq!(read(&bytes, Said::read), None, "{said:?} with {with} {from_end} from its end");
    };
    // Only who is overloaded says when to come back.
    refused(&Said::Answers(vec![Answer::Unavailable(Unavailable::Behind)]), 1, 1);
    // The time until which a claim counts is none of a waiter's.
    let changes = vec![Change::Left(1)];
    let roll = Roll { member: 1, life: 1, desk: 1, term: 1, opened: 0, heard: 0, from: 0, changes };
    let mut bytes = bytes_of_ask(&Ask::Roll(roll));
    bytes.truncate(bytes.len() - 9);
    bytes.extend([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let command = Command::Claim(claim());
    put_sized(&mut bytes, |to| Request { not_after: Some(Time::from_nanos(1)), command }.encode(to));
    assert_eq!(read(&bytes, Ask::read), None);
    // A set is written in order, and each of it once.
    for (second, is_right) in [(4, true), (3, false), (2, false)] {
        let mut bytes = bytes_of_ask(&Ask::Members(MemberChange::Remove([3].into()), Ttl::ZERO));
        let count = bytes.len() - 12;
        bytes[count] = 2;
        put_u64(second, &mut bytes);
        assert_eq!(read(&bytes, Ask::read).is_some(), is_right, "3, {second}");
    }
    // Nor more of a text than is ever sent.
    let mut bytes = bytes_of_said(&Said::Members(Err(Unchanged::Refused(String::new()))));
    bytes.truncate(bytes.len() - 2);
    put_text(&"w".repeat(4_097), &mut bytes);
    assert_eq!(read(&bytes, Said::read), None);
}
