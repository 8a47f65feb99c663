use openraft::EntryPayload;
use openraft_rt_tokio::TokioRuntime;

use super::*;
use crate::log::{Identity, MemoryDisk, Options, open};

const IDENTITY: Identity = Identity { cluster: 1, node: 4, group: 0 };

/// What is on this disk, as a member that starts finds it.
fn begin(disk: &MemoryDisk) -> (Store<TokioRuntime>, Log) {
    let (recovered, writer) = open(Arc::new(disk.clone()), IDENTITY, Options::default()).unwrap();
    let log = Log::start(writer, Box::new(|fatal| panic!("{fatal:?}"))).unwrap();
    (Store::new(log.clone(), recovered, Arc::default()).unwrap(), log)
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

fn blank(term: u64, index: u64) -> Record {
    let payload = Encoded { payload: EntryPayload::Blank, written: Arc::default() };
    Record::Entry { id: record_id(id(term, index)), payload: Arc::new(payload) }
}

/// A log of entries 0 to 5 of term 15, of which 3 is known to be committed, and 6 and 7 of term 16, which its leader alone has.
async fn led_alone(disk: &MemoryDisk) {
    let (store, log) = begin(disk);
    for record in (0..6).map(|index| blank(15, index)).chain([6, 7].map(|index| blank(16, index))) {
        store.write(record).await.unwrap();
    }
    store.write(Record::Committed(record_id(id(15, 3)))).await.unwrap();
    log.stop();
}

async fn state(store: &mut Store<TokioRuntime>) -> (Option<LogId>, Option<LogId>) {
    let state = store.get_log_state().await.unwrap();
    (state.last_purged_log_id, state.last_log_id)
}

#[tokio::test]
async fn entries_in_the_place_of_what_a_snapshot_ends_with_give_way_to_it() {
    let disk = MemoryDisk::new();
    led_alone(&disk).await;
    let (mut store, log) = begin(&disk);
    store.give_way(id(17, 6)).await.unwrap();
    assert_eq!(state(&mut store).await, (Some(id(17, 6)), Some(id(17, 6))));
    assert_eq!(store.try_get_log_entries(..).await.unwrap(), []);
    log.stop();
    // And so it is written: the next entry is the one behind the snapshot.
    let (mut store, log) = begin(&disk);
    assert_eq!(state(&mut store).await, (Some(id(17, 6)), Some(id(17, 6))));
    store.write(blank(17, 7)).await.unwrap();
    log.stop();
}

#[tokio::test]
async fn a_log_that_agrees_with_a_snapshot_or_ends_before_it_is_left_alone() {
    let disk = MemoryDisk::new();
    led_alone(&disk).await;
    let (mut store, log) = begin(&disk);
    // What lies above what is committed, of the same term or of a newer one, and what is not there.
    for snapshot in [id(16, 6), id(15, 5), id(15, 6), id(17, 8), id(17, 200)] {
        store.give_way(snapshot).await.unwrap();
        assert_eq!(state(&mut store).await, (None, Some(id(16, 7))), "{snapshot}");
    }
    // Committed is committed: a snapshot that says otherwise is not ours to believe.
    store.give_way(id(17, 3)).await.unwrap();
    assert_eq!(state(&mut store).await, (None, Some(id(16, 7))));
    log.stop();
}
