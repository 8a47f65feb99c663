//! That the grant has ended, told by the cluster at once: an operator's `revoke --now` would else be seen at the next extend,
//! up to a third of the ttl later.

use api::What;
use client::{Grant, LostWhy, Session};

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
    while let Some(Ok(event)) = watcher.next().await {
        if let What::Ended(end) = event.what
            && end.token == grant.token()
        {
            return Some(end);
        }
    }
    None
}
