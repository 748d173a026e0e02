//! The streams of one connection, each a task.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::rt::Executor;
use metrics::Gauge;
use tokio::time::Instant;

use crate::edge::MinRate;
use crate::server::h2::pulse::Pulse;

/// Runs the streams of a connection, and knows since when there is none. Clones are of the same connection.
#[derive(Clone)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
}

struct Shared {
    /// How long an answer may be left unread.
    unread: Duration,
    rate: Option<MinRate>,
    start: Instant,
    open: AtomicUsize,
    /// Milliseconds after `start` at which the last one ended.
    ended: AtomicU64,
    gauge: Gauge,
}

/// One open stream.
struct Open(Arc<Shared>);

// === impl Streams ===

impl Streams {
    pub(crate) fn new(unread: Duration, rate: Option<MinRate>) -> Self {
        let shared = Shared {
            unread,
            rate,
            start: Instant::now(),
            open: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            gauge: metrics::gauge!("streaming_proxy.server.streams"),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether there is none at this moment.
    pub(crate) fn are_over(&self) -> bool {
        self.shared.open.load(Ordering::Acquire) == 0
    }

    /// Returns when there was no stream for `limit`. Looked at by a timer, so that streams pay nothing for it.
    pub(crate) async fn idle(&self, limit: Duration) {
        let shared = &self.shared;
        let mut due = Instant::now() + limit;
        loop {
            tokio::time::sleep_until(due).await;
            let now = Instant::now();
            due = match shared.open.load(Ordering::Acquire) {
                0 => shared.start + Duration::from_millis(shared.ended.load(Ordering::Acquire)) + limit,
                _ => now + limit,
            };
            if due <= now {
                return;
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let shared = self.shared.clone();
        let open = Open::new(shared.clone());
        tokio::spawn(async move {
            let _open = open;
            // Dropping the future drops the stream, which resets it (CANCEL).
            Pulse::new(shared.unread, shared.rate).watch(stream).await;
        });
    }
}

// === impl Open ===

impl Open {
    fn new(shared: Arc<Shared>) -> Self {
        shared.open.fetch_add(1, Ordering::AcqRel);
        shared.gauge.increment(1.0);
        Self(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let shared = &self.0;
        let elapsed = u64::try_from(shared.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // ORDER: the time before the count, or `idle` would take the end of an earlier one for this one's.
        shared.ended.store(elapsed, Ordering::Release);
        shared.open.fetch_sub(1, Ordering::AcqRel);
        shared.gauge.decrement(1.0);
    }
}
