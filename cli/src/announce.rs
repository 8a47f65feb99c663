//! That somebody waits, said once it is so: whoever gets a lease at once needs no word about a line.

use std::time::Duration;

use client::Session;
use tokio::time::sleep;

use crate::output::say;

/// How long to wait in silence, and between two looks whether another has the lease.
const SILENT: Duration = Duration::from_millis(200);

/// Whether a wait was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Yes,
    No,
}

/// Waits, and says `text` once it has waited for a while and the lease is another's: a slow disk is no wait in line.
pub(crate) async fn waiting<T>(
    waits: impl Future<Output = T>,
    (session, namespace, name): (&Session, &str, &str),
    text: &str,
) -> (T, Told) {
    tokio::pin!(waits);
    loop {
        let look = async {
            sleep(SILENT).await;
            session.get(namespace, name).await.into_result()
        };
        tokio::select! {
            biased;
            done = &mut waits => return (done, Told::No),
            lease = look => if lease.is_ok_and(|lease| lease.held.is_some() || lease.cooldown.is_some()) {
                say(text);
                return (waits.await, Told::Yes);
            },
        }
    }
}
