//! Members of two versions in one cluster: the previous one's program, `TENURE_PREVIOUS`, and this one's. `./test` builds the former
//! and names it; without it there is nothing to test here, and the test says so.

use std::path::{Path, PathBuf};

use client::{Acquire, Guard, Session};

use super::dev::{DevCluster, TENURE};
use super::{TTL, connect, is_extended};

/// Leases that are held all the while.
const LEASES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn members_are_upgraded_one_by_one_and_one_is_rolled_back_and_no_holder_loses_a_lease() {
    let Some(previous) = std::env::var_os("TENURE_PREVIOUS").map(PathBuf::from) else {
        return println!("skipped: TENURE_PREVIOUS names no program of the previous version");
    };
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = DevCluster::start_as(&previous, folder.path(), &[]);
    let session = connect(&cluster).await;
    let mut guards = Vec::new();
    for n in 0..LEASES {
        let acquire = Acquire { ttl: TTL, ..Acquire::new(format!("db/{n}"), format!("h{n}")) };
        guards.push(session.hold(acquire).await.into_result().unwrap());
    }
    let current = Path::new(TENURE);
    let turns = [(1, current), (2, current), (3, current), (2, previous.as_path())];
    for (turn, (id, program)) in turns.into_iter().enumerate() {
        cluster.stop(id);
        all_are_extended(&session, &guards).await;
        cluster.start_by_hand_as(program, id);
        all_are_extended(&session, &guards).await;
        // Of whichever version leads now, and whichever follows: what is new is told by all.
        let name = format!("new/{turn}");
        let claimed = cluster.done(&["claim", &name, "--holder", "h", "--ttl", "10m"]);
        let token = claimed.split('\t').next().unwrap();
        assert!(cluster.done(&["get", &name]).contains(&format!("\t{token}\th\t")));
    }
    let seen = cluster.done(&["list", "--prefix", "db/"]);
    for guard in &guards {
        assert!(seen.contains(&format!("\t{}\t", guard.token())), "the same grants as before: {seen}");
    }
}

async fn all_are_extended(session: &Session, guards: &[Guard]) {
    for guard in guards {
        is_extended(session, guard).await;
    }
}
