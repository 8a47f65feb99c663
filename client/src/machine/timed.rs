//! How much of its time a call takes along, and from when on it can surely take no effect.

use std::time::Duration;

use api::Call;
use api::rules::CLAMP;

use crate::Instant;
use crate::handle::millis;

/// How long after its sender's deadline an attempt may still take effect: the clamp that the member adds, and a second for
/// how far the lease clock may lag behind the holder's.
const NOT_AFTER_MARGIN: Duration = Duration::from_millis(CLAMP.as_millis() + 1_000);
/// The deadline of the claims that a member makes for an acquire, and of what confirms one.
pub(super) const ACQUIRE_DEADLINE: Duration = Duration::from_nanos(api::rules::DEADLINE_DEFAULT.as_nanos());

/// From when on an attempt that left at `now` can surely take no effect any more.
///
/// Its own clock is all that a client has: the member counts not_after on the lease clock, from when the attempt arrives,
/// which a stuck network or a stalled cluster can move. The margin covers a healthy one; beyond it the grant's own ttl
/// ends what nobody found.
pub(super) fn not_after(now: Instant, deadline: Duration) -> Instant {
    now.after(deadline).after(NOT_AFTER_MARGIN)
}

/// From when on an acquire that was cancelled at `now`, by us or with its link, can surely take no effect any more.
///
/// An acquire has no deadline of its own: as long as it stands, its member may claim for it. Each such claim carries the
/// member's reading of the lease clock, 500 ms and 5 s, so that the last one, made just before the cancel arrives, counts
/// as a call with a deadline of 5 s that leaves now. What the line grants needs no look: it is unconfirmed, and is gone
/// after 2 s at most when nobody confirms it.
pub(super) fn not_after_cancel(now: Instant) -> Instant {
    not_after(now, ACQUIRE_DEADLINE)
}

/// The call as it leaves at `now`: with what remains of its time, so that no attempt outlives its sender's patience.
pub(super) fn timed(call: &Call, now: Instant, began: Instant, ends: Option<Instant>) -> (Call, Duration) {
    let most = Duration::from_nanos(api::rules::DEADLINE_MAX.as_nanos());
    let least = Duration::from_millis(1);
    let deadline = ends.map_or(most, |ends| now.until(ends)).clamp(least, most);
    let deadline_ms = Some(millis(deadline));
    let mut call = call.clone();
    match &mut call {
        Call::Claim(claim) => claim.deadline_ms = deadline_ms,
        Call::Extend(extend) => extend.deadline_ms = deadline_ms,
        Call::Release(release) => release.deadline_ms = deadline_ms,
        Call::Bulk(steps) => steps.iter_mut().for_each(|step| match step {
            api::Step::Claim(claim) => claim.deadline_ms = deadline_ms,
            api::Step::Extend(extend) => extend.deadline_ms = deadline_ms,
            api::Step::Release(release) => release.deadline_ms = deadline_ms,
        }),
        Call::Transfer(transfer) => transfer.deadline_ms = deadline_ms,
        Call::Revoke(revoke) => revoke.deadline_ms = deadline_ms,
        Call::Pin(pin) => pin.deadline_ms = deadline_ms,
        Call::Unpin(unpin) => unpin.deadline_ms = deadline_ms,
        Call::Members(members) => members.deadline_ms = deadline_ms,
        Call::Tokens(tokens) => tokens.deadline_ms = deadline_ms,
        Call::Namespaces(namespaces) => namespaces.deadline_ms = deadline_ms,
        Call::Wait(api::Wait { timeout_ms, .. }) | Call::Acquire(api::Acquire { timeout_ms, .. }) => {
            let spent = millis(began.until(now));
            *timeout_ms = timeout_ms.map(|timeout_ms| timeout_ms.saturating_sub(spent).max(1));
        }
        Call::Hello(_)
        | Call::Get(_)
        | Call::List(_)
        | Call::Count(_)
        | Call::History(_)
        | Call::Check(_)
        | Call::Watch(_)
        | Call::Cancel(_) => {}
    }
    (call, deadline)
}
