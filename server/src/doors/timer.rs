//! The one timer of a connection that is a task without futures of its own.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::Sleep;

/// Wakes the task at `wanted`, the earliest time at which there is something to do. A timer that is set earlier than that stays so: it
/// costs one look, and moving it at every frame would cost more.
pub(super) fn wake_at(wanted: Instant, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) {
    loop {
        if timer.is_elapsed() || wanted < timer.deadline().into_std() {
            timer.as_mut().reset(wanted.into());
        }
        match timer.as_mut().poll(cx) {
            Poll::Pending => return,
            Poll::Ready(()) if wanted <= Instant::now() => return cx.waker().wake_by_ref(),
            Poll::Ready(()) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    use super::*;

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[tokio::test]
    async fn a_timer_is_moved_forward_and_not_back_and_what_is_due_wakes_at_once() {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let was_woken = || woken.0.swap(false, Ordering::AcqRel);
        let mut timer = Box::pin(tokio::time::sleep(Duration::from_secs(60)));
        let far = timer.deadline();
        wake_at((far + Duration::from_secs(60)).into_std(), timer.as_mut(), &mut cx);
        assert_eq!(timer.deadline(), far, "it is not moved back");
        let near = tokio::time::Instant::now() + Duration::from_millis(200);
        wake_at(near.into_std(), timer.as_mut(), &mut cx);
        assert_eq!(timer.deadline(), near);
        while !was_woken() {
            tokio::task::yield_now().await;
        }
        assert!(tokio::time::Instant::now() >= near, "it is woken in time, and not before");
        // Elapsed, it is set anew; and what is due by now is not waited for.
        let past = Instant::now() - Duration::from_millis(1);
        wake_at(past, timer.as_mut(), &mut cx);
        assert!(was_woken());
        wake_at(far.into_std(), timer.as_mut(), &mut cx);
        assert_eq!(timer.deadline(), far);
        assert!(!was_woken());
    }
}
