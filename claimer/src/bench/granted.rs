//! Many leases claimed or extended at once, as a bench begins: a service under load may turn away some of a frame's steps, and says
//! when to come again. A session leaves that to its caller, so it is done here.

use std::time::{Duration, Instant};

use client::{Failure, Grant, Session, Step, Stepped, Unavailable};
use tokio::time::sleep;

use super::broken;
use crate::RunError;

/// How long the steps are repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause before what is not known is repeated.
const PAUSE: Duration = Duration::from_millis(200);

/// What the steps were granted, in their order: claims and extends, which may be repeated whatever became of them.
///
/// # Errors
/// One was refused, or turned away or not known for a minute.
pub(super) async fn granted(session: &Session, steps: Vec<Step>) -> Result<Vec<Grant>, RunError> {
    let ends = Instant::now() + PATIENCE;
    let again_after = |failure: Failure| {
        let pause = again_after(&failure).filter(|_| Instant::now() < ends);
        pause.ok_or_else(|| broken(failure))
    };
    let mut grants: Vec<Option<Grant>> = steps.iter().map(|_| None).collect();
    let mut left: Vec<(usize, Step)> = steps.into_iter().enumerate().collect();
    while !left.is_empty() {
        let asked = left.iter().map(|(_, step)| step.clone()).collect();
        let done = match session.bulk(asked).await {
            Ok(done) => done,
            Err(failure) => {
                sleep(again_after(failure)?).await;
                continue;
            }
        };
        let (mut again, mut pause) = (Vec::new(), Duration::ZERO);
        for ((at, step), outcome) in left.into_iter().zip(done) {
            match outcome.into_result() {
                Ok(Stepped::Granted(grant)) => grants[at] = Some(grant),
                Err(failure) => {
                    pause = pause.max(again_after(failure)?);
                    again.push((at, step));
                }
                Ok(Stepped::Released) => return Err(broken("a release instead of a grant")),
            }
        }
        sleep(pause).await;
        left = again;
    }
    Ok(grants.into_iter().flatten().collect())
}

/// When to ask again, where that is worth it.
fn again_after(failure: &Failure) -> Option<Duration> {
    match failure {
        Failure::Unavailable(Unavailable::Answered(problem)) => {
            problem.retry_after_ms.map(Duration::from_millis)
        }
        Failure::Unknown(_) => Some(PAUSE),
        Failure::Unavailable(_) | Failure::Refused(_) => None,
    }
}
