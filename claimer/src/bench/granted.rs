//! Many leases claimed or extended at once, as a bench begins: a service under load may turn away some of a frame's steps, and says
//! when to come again. A session leaves that to its caller, so it is done here.

use std::time::{Duration, Instant};

use client::{Failure, Grant, Session, Step, Stepped, Unavailable};
use tokio::time::sleep;

use super::broken;
use crate::RunError;

/// How long the steps are repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the steps were granted, in their order.
///
/// # Errors
/// One was refused or not known, or turned away for a minute.
pub(super) async fn granted(session: &Session, steps: Vec<Step>) -> Result<Vec<Grant>, RunError> {
    let ends = Instant::now() + PATIENCE;
    let mut grants: Vec<Option<Grant>> = steps.iter().map(|_| None).collect();
    let mut left: Vec<(usize, Step)> = steps.into_iter().enumerate().collect();
    while !left.is_empty() {
        let asked = left.iter().map(|(_, step)| step.clone()).collect();
        let (mut again, mut pause) = (Vec::new(), Duration::ZERO);
        let done = session.bulk(asked).await.map_err(broken)?;
        for ((at, step), outcome) in left.into_iter().zip(done) {
            match outcome.into_result() {
                Ok(Stepped::Granted(grant)) => grants[at] = Some(grant),
                Err(failure) => {
                    let said = retry_after(&failure).filter(|_| Instant::now() < ends);
                    pause = pause.max(said.ok_or_else(|| broken(failure))?);
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

/// When to come again, where that is what the answer says.
fn retry_after(failure: &Failure) -> Option<Duration> {
    let Failure::Unavailable(Unavailable::Answered(problem)) = failure else { return None };
    problem.retry_after_ms.map(Duration::from_millis)
}
