//! That the grant has ended, or will, told by the cluster at once: an operator's `revoke --now` would else be seen at the next
//! extend, up to a third of the ttl later, and a revoke only when the command is ended.

use std::time::Duration;

use api::What;
use claimer::duration::GoDuration;
use client::{Grant, LostWhy, Session};

use crate::exit::{escaped, quoted};
use crate::hold::millis;
use crate::output::say;

/// Why the grant has ended, once a watch tells. It only hurries what the next extend would tell, so that where there is no
/// watch, this never resolves.
pub(crate) async fn ended(session: Session, grant: Grant) -> LostWhy {
    if let Some(end) = watched(&session, &grant).await {
        let message = format!("token {} has ended", end.token);
        let problem = api::Problem::new(api::Code::Lost, message);
        return LostWhy::Ended(api::Problem { end: Some(Box::new(end)), ..problem });
    }
    std::future::pending().await
}

async fn watched(session: &Session, grant: &Grant) -> Option<api::End> {
    let watch = api::Watch {
        namespace: grant.namespace().to_owned(),
        name: Some(grant.name().to_owned()),
        ..api::Watch::default()
    };
    let mut watcher = session.watch(watch).await.into_result().ok()?;
    let mut is_said = false;
    // The grant is older than the watch, which tells nothing of what came between the two.
    if let Ok(lease) = session.get(grant.namespace(), grant.name()).await.into_result()
        && let Some(held) = lease.held.filter(|held| held.token == grant.token())
        && let Some(reason) = held.ending
    {
        say(revoked(grant, &reason));
        is_said = true;
    }
    while let Some(Ok(event)) = watcher.next().await {
        match event.what {
            What::Ended(end) if end.token == grant.token() => return Some(end),
            What::Ending(ending) if ending.token == grant.token() && !is_said => {
                say(revoked(grant, &ending.reason));
                is_said = true;
            }
            _ => {}
        }
    }
    None
}

/// That the grant may not be extended, said while there is still time.
fn revoked(grant: &Grant, reason: &str) -> String {
    let why = if reason.is_empty() { String::new() } else { format!(": {}", escaped(reason)) };
    // To a tenth of a second: nobody reads more.
    let left = Duration::from_millis(millis(grant.remaining()) / 100 * 100);
    format!("{} is revoked{why}; ends in {}", quoted(grant.name()), GoDuration::from(left))
}
