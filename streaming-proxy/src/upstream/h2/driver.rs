//! What runs one connection, and counts its streams.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::client::conn::http2::Connection;
use hyper::rt::{Executor, Read, Write};
use metrics::Gauge;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::upstream::h2::body::Body;

/// The streams of one connection.
pub(crate) struct Streams {
    /// hyper's half of it, while it takes requests. Locked for a poll at most, and never with another lock inside.
    connection: Mutex<Option<Box<dyn Drive>>>,
    /// How many there are, seen from the upstream: with those whose uploads have not ended.
    taken: AtomicUsize,
    start: Instant,
    /// Milliseconds after `start` at which the last one ended.
    ended: AtomicU64,
    /// Told when one ends.
    freed: Arc<Notify>,
    /// The same, for the driver of this connection.
    emptied: Notify,
    gauge: Gauge,
}

/// One stream.
pub(crate) struct Slot(Arc<Streams>);

/// Runs hyper's tasks of one connection, until they are told to end.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    end: CancellationToken,
    /// What ends the upload that hyper has just begun with.
    begun: Arc<Mutex<Option<CancellationToken>>>,
}

/// A connection, whatever its bytes go through.
trait Drive: Send {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>>;

    /// How many streams the upstream lets us have at once, as it last said.
    fn max_streams(&self) -> usize;
}

impl<T> Drive for Connection<T, Body, Tasks>
where
    T: Read + Write + Unpin + Send + 'static,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        Pin::new(self).poll(cx)
    }

    fn max_streams(&self) -> usize {
        self.current_max_send_streams()
    }
}

/// How long a connection that is let go may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Runs a connection until it ends, or has been without streams for `idle`. Its streams go on to their end.
pub(crate) async fn drive(streams: Arc<Streams>, tasks: Tasks, idle: Duration) {
    let _end = tasks.end.drop_guard();
    let running = poll_fn(|cx| match &mut *streams.lock() {
        Some(connection) => connection.poll(cx),
        None => Poll::Ready(Ok(())),
    });
    tokio::select! {
        result = running => if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, "upstream connection ended");
        },
        () = streams.idle(idle) => {}
    }
    // Nothing new is taken any more, and hyper says goodbye when nothing is left.
    let connection = streams.lock().take();
    drop(connection);
    // Who waits for a stream may open a connection now.
    streams.freed.notify_waiters();
    streams.emptied().await;
    tokio::time::sleep(GOODBYE).await;
}

// === impl Streams ===

impl Streams {
    pub(crate) fn new<T>(
        connection: Connection<T, Body, Tasks>,
        freed: Arc<Notify>,
        gauge: Gauge,
    ) -> Arc<Self>
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        Arc::new(Self {
            connection: Mutex::new(Some(Box::new(connection))),
            taken: AtomicUsize::new(0),
            start: Instant::now(),
            ended: AtomicU64::new(0),
            freed,
            emptied: Notify::new(),
            gauge,
        })
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.lock().as_ref().is_some_and(|connection| self.taken() < connection.max_streams())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn Drive>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a stream. Whoever calls this has seen that there is room, under the lock of the set.
    pub(crate) fn slot(self: &Arc<Self>) -> Arc<Slot> {
        self.taken.fetch_add(1, Ordering::AcqRel);
        self.gauge.increment(1.0);
        Arc::new(Slot(self.clone()))
    }

    async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            // A notice that comes between the two is kept for the one driver.
            if self.taken() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Returns when there was no stream for `limit`. Looked at by a timer, so that streams pay nothing for it.
    async fn idle(&self, limit: Duration) {
        let mut due = Instant::now() + limit;
        loop {
            tokio::time::sleep_until(due).await;
            let now = Instant::now();
            due = match self.taken() {
                0 => self.start + Duration::from_millis(self.ended.load(Ordering::Acquire)) + limit,
                _ => now + limit,
            };
            if due <= now {
                return;
            }
        }
    }
}

// === impl Slot ===

impl Drop for Slot {
    fn drop(&mut self) {
        let streams = &self.0;
        let elapsed = u64::try_from(streams.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // ORDER: the time before the count, or `idle` would take the end of an earlier one for this one's.
        streams.ended.store(elapsed, Ordering::Release);
        if streams.taken.fetch_sub(1, Ordering::AcqRel) == 1 {
            streams.emptied.notify_one();
        }
        streams.freed.notify_one();
        streams.gauge.decrement(1.0);
    }
}

// === impl Tasks ===

impl Tasks {
    /// A token for one upload, which the end of the connection cancels too.
    pub(crate) fn upload(&self) -> CancellationToken {
        self.end.child_token()
    }

    /// The next task is the one that goes on with the upload that `cut` ends.
    ///
    /// ORDER: hyper polls a body once, and if that is not all of it, makes a task for the rest at once, before it looks
    /// at another request of the connection.
    pub(crate) fn begun(&self, cut: CancellationToken) {
        *self.lock() = Some(cut);
    }

    fn lock(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        // A task of an upload that waits for the upstream's window does not ask its body: dropping it ends the stream.
        let end = self.lock().take().unwrap_or_else(|| self.end.clone());
        tokio::spawn(async move { end.run_until_cancelled(task).await });
    }
}
