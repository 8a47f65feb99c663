//! An answer that another part of the replica will give, without a runtime's channels: the simulator polls it too.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct Inner<T> {
    value: Option<T>,
    given_up: bool,
    waker: Option<Waker>,
}

/// The side that gives. Dropped, it gives none.
pub(crate) struct Giver<T>(Arc<Mutex<Inner<T>>>);

/// The side that waits: none where nobody will give any more.
pub(crate) struct Promise<T>(Arc<Mutex<Inner<T>>>);

pub(crate) fn promise<T>() -> (Giver<T>, Promise<T>) {
    let inner = Arc::new(Mutex::new(Inner { value: None, given_up: false, waker: None }));
    (Giver(Arc::clone(&inner)), Promise(inner))
}

// Nothing can panic halfway through a change of it.
fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Giver<T> {
    pub(crate) fn give(self, value: T) {
        lock(&self.0).value = Some(value);
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        let mut inner = lock(&self.0);
        inner.given_up = true;
        let waker = inner.waker.take();
        drop(inner);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Future for Promise<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut inner = lock(&self.0);
        match (inner.value.take(), inner.given_up) {
            (Some(value), _) => Poll::Ready(Some(value)),
            (None, true) => Poll::Ready(None),
            (None, false) => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
