use std::sync::Arc;

use lease::{Batch, Request as Asked, SWEEP_MAX, Time};
use openraft::EntryPayload;
use proptest::prelude::*;

use super::super::asks::tests as asks_tests;
use super::super::parsers;
use super::*;
use crate::parsers::edits::{edited, edits, within_bounds};
use crate::raft::types::Data;

type Runtime = openraft_rt_tokio::TokioRuntime;

const VOTE: Vote = Vote { leader_id: LeaderId { term: 7, voted_for: 3 }, committed: true };

fn at(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(6), index)
}

fn requests() -> Vec<Request<Runtime>> {
    let command = lease::Command::Release { token: lease::Token::from_u64(9) };
    let requests = vec![Asked { not_after: Some(Time::from_nanos(8)), command }];
    let batch = Batch { term: 6, stamp: Time::from_nanos(5), sweep: SWEEP_MAX, requests };
    let entries = [EntryPayload::Blank, EntryPayload::Normal(Data(Arc::new(batch)))];
    let entries = entries.into_iter().zip(12..).map(|(payload, index)| Entry { log_id: at(index), payload });
    let append = AppendEntriesRequest {
        vote: VOTE,
        prev_log_id: Some(at(11)),
        entries: entries.collect(),
        leader_commit: None,
    };
    let heartbeat = AppendEntriesRequest { entries: Vec::new(), prev_log_id: None, ..append.clone() };
    let vote = VoteRequest { vote: VOTE, last_log_id: Some(at(4)), leadership_transfer: true };
    let piece = Piece { vote: VOTE, last: Some(at(3)), total: 10, offset: 4, bytes: vec![1, 2, 3] };
    vec![
        Request::Append(Lane::Entries, append),
        Request::Append(Lane::Heartbeats, heartbeat),
        Request::Vote(vote.clone()),
        Request::PreVote(VoteRequest { last_log_id: None, leadership_transfer: false, ..vote }),
        Request::Lead(TransferLeaderRequest::new(VOTE, 2, Some(at(4)))),
        Request::Piece(piece),
    ]
}

fn replies() -> Vec<Reply<Runtime>> {
    vec![
        Reply::Appended(Ok(None)),
        Reply::Appended(Ok(Some(at(4)))),
        Reply::Appended(Err(StreamAppendError::Conflict(at(5)))),
        Reply::Appended(Err(StreamAppendError::HigherVote(VOTE))),
        Reply::Vote(VoteResponse::new(VOTE, Some(at(6)), true)),
        Reply::Lead(Ok(())),
        Reply::Lead(Err("no".to_owned())),
        Reply::Have(1 << 40),
        Reply::Installed(SnapshotResponse::new(VOTE)),
        Reply::NotNow("later".to_owned()),
    ]
}

#[test]
fn whatever_is_said_is_heard_as_it_was_said() {
    for request in requests() {
        let heard = Request::<Runtime>::decode(&request.encode()).unwrap();
        assert_eq!(format!("{heard:?}"), format!("{request:?}"));
    }
    for reply in replies() {
        let heard = Reply::<Runtime>::decode(&reply.encode()).unwrap();
        assert_eq!(format!("{heard:?}"), format!("{reply:?}"));
    }
}

#[test]
fn a_frame_that_is_cut_or_too_long_is_refused() {
    // What ends in text or bytes of any length can be cut there.
    let open = |bytes: &[u8]| matches!(bytes[3], 6 | 9);
    let requests: Vec<Vec<u8>> = requests().iter().map(Request::encode).collect();
    for bytes in requests.iter().filter(|bytes| bytes[3] != 5) {
        for length in 0..bytes.len() {
            assert!(Request::<Runtime>::decode(&bytes[..length]).is_err(), "{bytes:?} cut at {length}");
        }
        assert!(Request::<Runtime>::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
    for bytes in replies().iter().map(Reply::encode).filter(|bytes| !open(bytes)) {
        for length in 0..bytes.len() {
            assert!(Reply::<Runtime>::decode(&bytes[..length]).is_err(), "{bytes:?} cut at {length}");
        }
    }
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_read() {
    let bytes = vec![VERSION; PEER_FRAME_BYTES_MAX + 1];
    let error = Reply::<Runtime>::decode(&bytes).unwrap_err();
    assert_eq!(error, WireError::TooLong { bytes: PEER_FRAME_BYTES_MAX + 1 });
    assert!(error.to_string().contains("the limit is 67108864"), "{error}");
}

#[test]
fn another_version_is_named_with_both() {
    let mut bytes = Reply::<Runtime>::Have(1).encode();
    bytes[0] = VERSION + 1;
    let error = Reply::<Runtime>::decode(&bytes).unwrap_err();
    assert_eq!(error, WireError::Version { theirs: VERSION + 1, ours: VERSION });
    assert!(error.to_string().contains("version 2") && error.to_string().contains("speaks 1"), "{error}");
}

/// Every kind of frame that is sent, those of asks.rs among them.
fn request_frames() -> Vec<Vec<u8>> {
    requests().iter().map(Request::encode).chain(asks_tests::asks().iter().map(frame_of)).collect()
}

/// And of those that answer.
fn reply_frames() -> Vec<Vec<u8>> {
    replies().iter().map(Reply::encode).chain(asks_tests::said().iter().map(frame_of_said)).collect()
}

#[test]
fn every_frame_that_is_written_is_accepted() {
    assert!(request_frames().iter().all(|frame| parsers::request::<Runtime>(frame)));
    assert!(reply_frames().iter().all(|frame| parsers::reply::<Runtime>(frame)));
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_what_they_say_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..24) {
        let framed = [&[VERSION, 0, 0, kind], &bytes[..]].concat();
        for bytes in [&bytes, &framed] {
            within_bounds(bytes, parsers::request::<Runtime>);
            within_bounds(bytes, parsers::reply::<Runtime>);
        }
    }

    #[test]
    fn a_frame_that_was_changed_is_what_it_says_then_or_refused(
        request in proptest::sample::select(request_frames()),
        reply in proptest::sample::select(reply_frames()),
        edits in edits(),
    ) {
        within_bounds(&edited(request, &edits), parsers::request::<Runtime>);
        within_bounds(&edited(reply, &edits), parsers::reply::<Runtime>);
    }
}

#[test]
fn a_count_of_what_cannot_be_there_takes_no_memory() {
    let mut append = requests().remove(0).encode();
    // Behind the header and the lane: a vote of 17 bytes, two ids of which one is there, and then the count of the entries.
    let count = 5 + 17 + 17 + 1;
    assert_eq!(append[count..count + 4], [2, 0, 0, 0]);
    append[count..count + 4].fill(0xff);
    assert!(!within_bounds(&append, parsers::request::<Runtime>));
    for kind in 16..=19 {
        let frame = [&[VERSION, 0, 0, kind], &[0xff; 60][..]].concat();
        within_bounds(&frame, parsers::request::<Runtime>);
        within_bounds(&frame, parsers::reply::<Runtime>);
    }
}
