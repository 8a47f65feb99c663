//! The credentials of a running member: what the settings have is taken in, and the first of all is set up.
//!
//! ```text
//! tenure init: operator/NAME.token (the secret), auth.first_token (its hash) ─▶ the first leader: the settings have it
//! ```
//!
//! Each first voter asks for it, whichever leads: it is set once, where the cluster has no token of its own and never had this one.

use std::sync::Arc;
use std::time::Duration;

use lease::{Credential, DEADLINE_DEFAULT, Role};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::config::FirstToken;
use crate::doors::{Doors, Going};
use crate::service::{Done, Service, Wanted};

/// How often the settings are looked at: how long a token that was revoked may be good yet.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether the first token can be set up.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// The longest pause between two tries that were answered no: one of them asks every member, and an older one hangs up on it.
const TRY_EVERY_MAX: Duration = Duration::from_secs(10);

/// Keeps a member's doorkeeper up to date, for as long as the runtime lasts.
pub(crate) fn keep(runtime: &Runtime, doors: &Doors, first: Option<FirstToken>) {
    if let Some(first) = first {
        doors.service.set_first_token_waits(true);
        runtime.spawn(set_up(Arc::clone(&doors.service), first));
    }
    runtime.spawn(look_on(doors.clone()));
}

/// Takes in what the settings have, and ends the sessions of those whose token or certificate is good no more. Who waits over HTTP is
/// woken by the look itself.
async fn look_on(doors: Doors) {
    let (mut seen, keeper) = (None, Arc::clone(&doors.service.doorkeeper));
    while !doors.service.is_stopping() {
        doors.service.look_at_credentials();
        let generation = Some(keeper.directory.generation());
        if seen != generation {
            seen = generation;
            doors.sessions.end_where(&Going::NoMore, |caller| !keeper.knows(caller));
        }
        keeper.tell_left_out();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn set_up(service: Arc<Service>, first: FirstToken) {
    let (cluster, _) = service.identity();
    let credential = Credential {
        hash: first.hash,
        principal: first.name,
        role: Role::Operator,
        namespace: None,
        lease: None,
        audience: cluster,
        expires: None,
        revoked: false,
        claims_per_second: None,
    };
    let wanted = Wanted::First(first.id, Box::new(credential));
    let mut pause = TRY_EVERY;
    loop {
        match asked(&service, wanted.clone()).await {
            Some(Done::Tokens(_)) => {
                service.look_at_credentials();
                service.set_first_token_waits(false);
                return;
            }
            Some(done) => {
                pause = (2 * pause).min(TRY_EVERY_MAX);
                if pause == TRY_EVERY_MAX {
                    // Nobody waits for it any longer.
                    service.set_first_token_waits(false);
                    if let Done::Reply(api::Reply::Error(why)) = done {
                        tracing::warn!(%why, "the first operator's token (auth.first_token) is not good yet");
                    }
                }
            }
            None => pause = TRY_EVERY,
        }
        if service.is_stopping() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn asked(service: &Service, wanted: Wanted) -> Option<Done> {
    // Before there is a leader, an ask would only wait.
    if !service.status().serving {
        return None;
    }
    let (sender, done) = oneshot::channel();
    service.change_tokens(wanted, DEADLINE_DEFAULT, Box::new(move |done| drop(sender.send(done))));
    done.await.ok()
}
