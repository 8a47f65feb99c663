//! What is done alike to one service and to another, each in its turn: what `extend` and `claim` have in common.

use std::path::Path;

use super::closed_loop::Service;
use super::etcd::Etcd;
use super::rounds::{Round, Rounds, alternate};
use super::tenure::Tenure;
use super::{At, Contender, Place, Setting, beside, on_one_thread, services};
use crate::RunError;
use crate::etcd::servers::Servers;

/// A bench of which one round can be done to any service.
pub(super) trait Alike: Copy {
    /// One round, by clients on this thread; the servers are these processes.
    async fn round<S: Service>(self, service: &S, pids: &[u32]) -> Result<Round, RunError>;
}

/// How often, on how many members of its own, and beside what.
pub(super) type Turns = (u32, u64, Option<Contender>);

/// Measures, and says at what.
pub(super) fn in_turn<B: Alike>(
    bench: B,
    (runs, members, vs): Turns,
    at: &At,
    program: &Path,
) -> Result<(Rounds, Setting), RunError> {
    let other = beside(vs)?;
    let mut setting = None;
    let rounds = alternate(runs, &services(vs), |service| match service {
        Contender::Tenure => {
            let place = Place::find(at, program, members)?;
            setting.get_or_insert_with(|| place.setting());
            on_one_thread(bench.round(&Tenure::at(&place), &place.pids()))
        }
        Contender::Etcd => {
            let servers = Servers::start()?;
            on_one_thread(bench.round(&Etcd::at(&servers), &servers.pids()))
        }
    })?;
    Ok((rounds, setting.unwrap_or_else(Setting::unknown).beside(other)))
}
