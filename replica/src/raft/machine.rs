//! The lease table behind openraft's state machine.
//!
//! Applying an entry is: lock, `Table::apply`, find the waits that are due, unlock, answer. The state lives in memory alone;
//! a start takes it from the newest snapshot and the log behind it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use openraft::async_runtime::AsyncRuntime;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use super::types::{Data, Entry, LogId, Membership, SnapshotMeta, Types};
use crate::World;
use crate::engine::Done;
use crate::log::is_room;
use crate::shared::{Shared, State};
use crate::snapshot::{Head, SnapshotFile, Snapshots};
use crate::waits::tell_free;

type Snapshot<R> = openraft::type_config::alias::SnapshotOf<Types<R>, SnapshotFile>;

/// The state machine as openraft sees it.
pub(crate) struct Machine<W> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) snapshots: Snapshots,
    pub(crate) world: std::marker::PhantomData<fn() -> W>,
}

impl<W: World> Machine<W> {
    fn apply_entry(&self, entry: Entry) -> Done {
        let batch = match entry.payload {
            EntryPayload::Blank => None,
            EntryPayload::Membership(membership) => {
                self.shared.state().take_members(Membership::new(Some(entry.log_id), membership));
                None
            }
            EntryPayload::Normal(Data(batch)) => Some(batch),
        };
        let (applied, reading) = self.shared.apply(entry.log_id, batch.as_deref());
        if let Some(batch) = &batch {
            let (id, state) = (super::log::record_id(entry.log_id), self.shared.state());
            W::applied(self.snapshots.owner.member, id, batch, &applied, &state.table);
        }
        Done { outcomes: applied.outcomes, reading }
    }

    /// Puts a snapshot's table in the place of ours, and gives that.
    fn take(&self, meta: &SnapshotMeta, head: Head, table: lease::Table) -> lease::Table {
        let mut state = self.shared.state();
        #[cfg(planted)]
        let table = match lease::planted::is(lease::planted::Bug::InstallKeepsState) {
            true => std::mem::take(&mut state.table),
            false => table,
        };
        let before = std::mem::replace(&mut state.table, table);
        state.removed = head.removed;
        state.applied = meta.last_log_id;
        state.membership = meta.last_membership.clone();
        // Whatever a wait was told to expect, the state it now looks at is this one.
        let reading = state.reading();
        let State { table, waits, .. } = &mut *state;
        let due = waits.recheck(reading.revision, |key| table.is_free(key));
        let watches = state.events.restart(reading.revision);
        W::installed(self.snapshots.owner.member, state.applied.map(super::log::record_id), &state.table);
        drop(state);
        tell_free(due, reading);
        watches.iter().for_each(|wake| wake());
        self.shared.poke();
        before
    }
}

impl<W: World> RaftStateMachine<Types<W::Runtime>> for Machine<W> {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder<W>;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, Membership)> {
        let state = self.shared.state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types<W::Runtime>>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            #[cfg(planted)]
            let entry = in_other_order(entry, responder.is_some());
            let done = self.apply_entry(entry);
            if let Some(responder) = responder {
                responder.send(done);
            }
        }
        self.shared.poke();
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder<W> {
        let state = self.shared.state();
        Builder {
            head: state.head(),
            table: Some(state.table.freeze()),
            snapshots: self.snapshots.clone(),
            shared: Arc::clone(&self.shared),
            world: std::marker::PhantomData,
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: SnapshotFile) -> io::Result<()> {
        // A million leases take a second to read, and as long to let go of: both happen elsewhere, since on this thread are heartbeats too.
        let owner = self.snapshots.owner;
        let read = <W::Runtime as AsyncRuntime>::spawn_blocking(move || snapshot.read(owner)).await?;
        let (head, table) = read.map_err(io::Error::other)?;
        let before = self.take(meta, head, table);
        <W::Runtime as AsyncRuntime>::spawn_blocking(move || drop(before)).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot<W::Runtime>>> {
        // A builder works beside us and does not report here: the folder has the truth.
        let newest = self.snapshots.newest_file().map_err(io::Error::other)?;
        Ok(newest.map(|(meta, snapshot)| Snapshot::<W::Runtime> { meta, snapshot }))
    }
}

/// A planted bug: the commands of an entry, from the last to the first where it has none to answer.
#[cfg(planted)]
fn in_other_order(mut entry: Entry, answers: bool) -> Entry {
    if let EntryPayload::Normal(Data(batch)) = &mut entry.payload
        && !answers
        && lease::planted::is(lease::planted::Bug::OtherOrder)
    {
        let mut turned = lease::Batch::clone(batch);
        turned.requests.reverse();
        *batch = Arc::new(turned);
    }
    entry
}

/// How long a snapshot waits before it asks a full disk again.
const ROOM_RETRY: Duration = Duration::from_millis(500);

/// Writes a frozen table beside the state machine, which goes on.
pub(crate) struct Builder<W> {
    head: Head,
    /// None once it is written.
    table: Option<lease::Frozen>,
    snapshots: Snapshots,
    shared: Arc<Shared>,
    world: std::marker::PhantomData<fn() -> W>,
}

impl<W: World> RaftSnapshotBuilder<Types<W::Runtime>> for Builder<W> {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot<W::Runtime>> {
        loop {
            match self.write().await {
                // An error would end the engine, and with it the member; a full disk does not last.
                Err(error) if is_room(&error) && !self.shared.is_stopping() => {
                    self.wait_for_room(&error).await
                }
                written => {
                    self.shared.set_snapshot_waits(false);
                    let failed =
                        |error: &io::Error| tracing::error!(%error, "a snapshot could not be written");
                    let snapshot = written.inspect_err(failed)?;
                    return Ok(Snapshot::<W::Runtime> { meta: self.head.meta.clone(), snapshot });
                }
            }
        }
    }
}

impl<W: World> Builder<W> {
    async fn write(&mut self) -> io::Result<SnapshotFile> {
        let Some(table) = self.table.take() else {
            return Err(io::Error::other("a snapshot is written twice"));
        };
        let (head, snapshots) = (self.head.clone(), self.snapshots.clone());
        let written = <W::Runtime as AsyncRuntime>::spawn_blocking(move || {
            // What the table has changed meanwhile is let go of there: of a million leases that takes long.
            let written = snapshots.write(&head, &table);
            let again = written.is_err().then_some(table);
            (written, again)
        });
        let (written, again) = written.await?;
        self.table = again;
        written
    }

    async fn wait_for_room(&self, error: &io::Error) {
        if !self.shared.snapshot_waits() {
            tracing::error!(%error, "disk full: a snapshot waits for room, and goes on by itself once there is some");
            self.shared.set_snapshot_waits(true);
        }
        W::Runtime::sleep(ROOM_RETRY).await;
    }
}
