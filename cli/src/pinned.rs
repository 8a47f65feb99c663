//! That a pin is in the way: a refusal says who holds a lease, and not who keeps it from expiring.

use client::Session;

use crate::exit::{Failure, quoted};

/// The same failure; where the lease is held past its deadline, with who pins it and how that ends. It costs one more look, and
/// only then: before its deadline, a pin changes nothing.
pub(crate) async fn with_pins(failure: Failure, session: &Session, namespace: &str, name: &str) -> Failure {
    let is_overdue = failure.problem.as_ref().is_some_and(|problem| {
        matches!(problem.code, api::Code::Held | api::Code::StillHeld) && problem.remaining_ms == Some(0)
    });
    if !is_overdue {
        return failure;
    }
    let Ok(lease) = session.get(namespace, name).await.into_result() else { return failure };
    let by = lease.pins.iter().map(|pin| quoted(&pin.entity)).collect::<Vec<_>>().join(", ");
    if lease.held.is_none_or(|held| held.remaining_ms > 0) || by.is_empty() {
        return failure;
    }
    let message = format!(
        "{}; its deadline has passed, and it is pinned by {by}: it may expire once `tenure unpin` has taken that away",
        failure.message
    );
    failure.saying(message)
}
