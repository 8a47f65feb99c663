//! openraft's runtime over our own executor: its tasks, sleeps and chance are ours, its channels tokio's, which need no runtime.

use std::future::Future;
use std::io;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use openraft_rt_tokio::{TokioMpsc, TokioMutex, TokioOneshot, TokioWatch};

use super::executor;

/// The runtime of a simulated member.
#[derive(Debug)]
pub(crate) struct Simulated;

/// A simulated instant, in nanoseconds. It begins late enough that what is subtracted from it stays positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

const BEGIN: u64 = 1_000_000_000_000;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, more: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(more)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    fn sub(self, less: Duration) -> Moment {
        Moment(self.0.saturating_sub(nanos(less)))
    }
}

impl Sub for Moment {
    type Output = Duration;

    fn sub(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, more: Duration) {
        *self = *self + more;
    }
}

impl SubAssign<Duration> for Moment {
    fn sub_assign(&mut self, less: Duration) {
        *self = *self - less;
    }
}

impl openraft_rt::Instant for Moment {
    fn now() -> Moment {
        Moment(BEGIN + executor::now())
    }
}

/// What a task came to.
pub(crate) struct Joining<T>(tokio::sync::oneshot::Receiver<T>);

impl<T> Future for Joining<T> {
    type Output = Result<T, io::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|_| io::Error::other("the task's life is over"))
    }
}

/// A future that may take too long.
pub(crate) struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: executor::Sleep,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, io::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(value) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(&mut self.sleep).poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The run's chance, as openraft asks it.
pub(crate) struct Dice;

impl rand::TryRng for Dice {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((executor::chance(crate::chance::Chance::next) >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(executor::chance(crate::chance::Chance::next))
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in into.chunks_mut(8) {
            let bytes = executor::chance(crate::chance::Chance::next).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl AsyncRuntime for Simulated {
    type JoinError = io::Error;
    type JoinHandle<T: OptionalSend + 'static> = Joining<T>;
    type Sleep = executor::Sleep;
    type Instant = Moment;
    type TimeoutError = io::Error;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = Dice;
    type Mpsc = TokioMpsc;
    type Watch = TokioWatch;
    type Oneshot = TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        executor::spawn(async move {
            // Whoever started it need not wait for it.
            let _ = sender.send(future.await);
        });
        Joining(receiver)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        executor::sleep(nanos(duration))
    }

    fn sleep_until(deadline: Moment) -> Self::Sleep {
        executor::sleep_until(deadline.0.saturating_sub(BEGIN))
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), sleep: executor::sleep(nanos(duration)) }
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Moment,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout { future: Box::pin(future), sleep: Self::sleep_until(deadline) }
    }

    fn is_panic(_: &io::Error) -> bool {
        false
    }

    fn thread_rng() -> Dice {
        Dice
    }

    fn new(_: usize) -> Simulated {
        Simulated
    }

    fn block_on<F, T>(&mut self, _: F) -> T
    where
        F: Future<Output = T>,
    {
        unreachable!("a simulation is run by its executor")
    }

    // There is one thread.
    fn spawn_blocking<F, T>(act: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        std::future::ready(Ok(act()))
    }
}
