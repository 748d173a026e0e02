//! What runs one connection, and counts its streams.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
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
    /// hyper's half of it, while it takes requests. Locked for a poll at most; inside are only locks that
    /// hold no others: those of the tasks, and of an upload.
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
    /// The streams of the connection, for the first task, which reads what the upstream says; the others are none of it.
    reader: Arc<Reader>,
    /// What ends the upload that hyper has just begun with.
    begun: Arc<Mutex<Option<CancellationToken>>>,
}

/// Tells those who wait for a stream when the upstream has said how many there may be.
#[derive(Default)]
struct Reader {
    /// Whether its task runs.
    begun: AtomicBool,
    streams: OnceLock<Weak<Streams>>,
}

/// What hyper is told that an upstream allows before it has said so: more than any can say. Who goes by it is
/// [`Streams::has_room`].
pub(crate) const UNTOLD: usize = usize::MAX - 1;

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

    /// Whether one more stream may be begun. Until the upstream has said how many there may be, that is one: more could
    /// be too many, and a refused one may have lost some of its body.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().as_ref().is_some_and(|connection| {
            let max = connection.max_streams();
            self.taken() < if max == UNTOLD { 1 } else { max }
        })
    }

    /// Whether the upstream may still say within `time` of its beginning how many streams there may be.
    pub(crate) fn is_untold(&self, time: Duration) -> bool {
        self.start.elapsed() < time
            && self.lock().as_ref().is_some_and(|connection| connection.max_streams() == UNTOLD)
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
    /// The streams that its connection has.
    pub(crate) fn are_of(&self, streams: &Arc<Streams>) {
        // Said once, by who began the connection.
        let _ = self.reader.streams.set(Arc::downgrade(streams));
    }

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

impl Reader {
    /// Runs the task that reads, and wakes those who wait for a stream when the upstream has said how many there are.
    async fn telling(&self, task: impl Future<Output = ()>) {
        let mut task = pin!(task);
        let mut told = false;
        poll_fn(|cx| {
            let polled = task.as_mut().poll(cx);
            if !told && let Some(streams) = self.streams.get().and_then(Weak::upgrade) {
                told = !streams.is_untold(Duration::MAX);
                if told {
                    streams.freed.notify_waiters();
                }
            }
            polled
        })
        .await;
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        // A task of an upload that waits for the upstream's window does not ask its body: dropping it ends the stream.
        let end = self.lock().take().unwrap_or_else(|| self.end.clone());
        if self.reader.begun.swap(true, Ordering::AcqRel) {
            tokio::spawn(async move { end.run_until_cancelled(task).await });
            return;
        }
        // ORDER: the first is the one that reads; the others come with requests.
        let reader = self.reader.clone();
        tokio::spawn(async move { end.run_until_cancelled(reader.telling(task)).await });
    }
}
