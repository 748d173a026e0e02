//! Connections that wait for their next request.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::body::upload::Upload;
use crate::clock::Clock;
use crate::config::UpstreamConfig;
use crate::metrics::UpstreamMetrics;

/// One connection to an upstream. Dropping it closes the connection, whatever it is doing.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Upload>,
    /// The task that reads and writes; ended by [`Drop`].
    driver: AbortHandle,
    /// Whether it has served a request before this one.
    pub(crate) reused: bool,
    /// Of who waits for an answer on it: one for all of them, one after the other.
    pub(crate) clock: Clock,
    /// How long it may lie idle.
    keep: Duration,
    idle_since: Instant,
}

/// The idle connections of one address, the one used last on top.
pub(crate) struct Pool {
    state: Mutex<State>,
    max_idle: usize,
    sweep_every: Duration,
    metrics: UpstreamMetrics,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Whether a task is there that closes what has been idle for too long.
    swept: bool,
    /// Nothing is kept any more.
    closed: bool,
}

// === impl Connection ===

impl Connection {
    pub(crate) fn new(sender: SendRequest<Upload>, driver: AbortHandle, keep: Duration) -> Self {
        Self { sender, driver, reused: false, clock: Clock::default(), keep, idle_since: Instant::now() }
    }

    /// Obeys the upstream's `Keep-Alive: timeout`, less a second so that this side closes first.
    pub(crate) fn keep_at_most(&mut self, seconds: u64) {
        self.keep = self.keep.min(Duration::from_secs(seconds.saturating_sub(1)));
    }

    fn is_fresh(&self, now: Instant, within: Duration) -> bool {
        !self.sender.is_closed() && now.duration_since(self.idle_since) < self.keep.min(within)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Pool ===

impl Pool {
    pub(crate) fn new(config: &UpstreamConfig, metrics: &UpstreamMetrics) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            max_idle: config.max_idle,
            // Half of the time at most is added to it.
            sweep_every: (config.idle_timeout / 2).max(Duration::from_millis(100)),
            metrics: metrics.clone(),
        })
    }

    /// The connection used last, if it is still open and was used within `within`.
    pub(crate) fn take(&self, within: Duration) -> Option<Connection> {
        let now = Instant::now();
        let mut state = self.lock();
        // The top is the freshest: if it is too old, so are all below it.
        let before = state.idle.len();
        let mut stale = Vec::new();
        let mut found = None;
        while let Some(connection) = state.idle.pop() {
            if connection.is_fresh(now, within) {
                found = Some(connection);
                break;
            }
            if connection.is_fresh(now, connection.keep) {
                // Fine for another request, not for this one.
                state.idle.push(connection);
                break;
            }
            stale.push(connection);
        }
        self.report(before, state.idle.len());
        drop(state);
        found
    }

    /// Keeps `connection` for the next request, or closes the one idle for longest when there are too many.
    pub(crate) fn put(self: &Arc<Self>, mut connection: Connection) {
        if connection.sender.is_closed() || connection.keep.is_zero() || self.max_idle == 0 {
            return;
        }
        connection.reused = true;
        connection.idle_since = Instant::now();
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let before = state.idle.len();
        let spare = (state.idle.len() >= self.max_idle).then(|| state.idle.remove(0));
        state.idle.push(connection);
        self.report(before, state.idle.len());
        let sweep = !std::mem::replace(&mut state.swept, true);
        drop(state);
        drop(spare);
        if sweep {
            tokio::spawn(sweep_until_empty(Arc::downgrade(self), self.sweep_every));
        }
    }

    /// Keeps connections, from now on.
    pub(crate) fn open(&self) {
        self.lock().closed = false;
    }

    /// Closes what is idle, and from now on what would be.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let idle = std::mem::take(&mut state.idle);
        self.report(idle.len(), 0);
        drop(state);
        drop(idle);
    }

    /// Closes what is idle for too long. Returns whether anything is left.
    fn sweep(&self) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        let before = state.idle.len();
        let (fresh, stale): (Vec<_>, Vec<_>) =
            state.idle.drain(..).partition(|connection| connection.is_fresh(now, connection.keep));
        state.idle = fresh;
        self.report(before, state.idle.len());
        state.swept = !state.idle.is_empty();
        let left = state.swept;
        drop(state);
        drop(stale);
        left
    }

    /// The gauge is shared by all addresses of an upstream: it moves by differences.
    fn report(&self, before: usize, after: usize) {
        self.metrics.idle.increment(gauge(after) - gauge(before));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let left = self.lock().idle.len();
        self.report(left, 0);
    }
}

/// Ends when nothing is left to sweep, or nobody to use it.
async fn sweep_until_empty(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        match pool.upgrade() {
            Some(pool) if pool.sweep() => {}
            _ => return,
        }
    }
}

/// Counts here are bounded by the configuration, far below what a float holds exactly.
fn gauge(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
