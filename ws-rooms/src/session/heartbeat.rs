//! Signs of life, by one sweep over all connections instead of timers in each.

use std::sync::Weak;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::HeartbeatConfig;
use crate::node::Node;
use crate::protocol::{Close, codec};
use crate::session::Conn;

/// When things last happened on a connection, in milliseconds since `start`; 0 is «not pending».
///
/// Written by the connection's task, read by the sweep.
pub(crate) struct Heart {
    start: Instant,
    /// When something last came from the peer, or a full socket could be written to because the peer had read.
    last_sign: AtomicU64,
    last_write: AtomicU64,
    /// When the last protocol ping went out.
    last_ping: AtomicU64,
    /// Since when the socket has taken nothing of what waits.
    stuck_since: AtomicU64,
    expires: AtomicU64,
    noticed: AtomicBool,
    /// Set by the sweep, taken by the task.
    ping_wanted: AtomicBool,
    /// Set by the sweep; the task drops the socket without another word.
    dead: AtomicBool,
}

// === impl Heart ===

impl Heart {
    pub(crate) fn new(start: Instant, expires_at: Timestamp) -> Self {
        let heart = Self {
            start,
            last_sign: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
            last_ping: AtomicU64::new(0),
            stuck_since: AtomicU64::new(0),
            expires: AtomicU64::new(0),
            noticed: AtomicBool::new(false),
            ping_wanted: AtomicBool::new(false),
            dead: AtomicBool::new(false),
        };
        let now = heart.now();
        heart.last_sign.store(now, Ordering::Relaxed);
        heart.last_write.store(now, Ordering::Relaxed);
        heart.last_ping.store(now, Ordering::Relaxed);
        heart.renew(expires_at);
        heart
    }

    /// Takes the end of a new token over.
    pub(crate) fn renew(&self, expires_at: Timestamp) {
        // The wall clock is read once per token; from here on time is monotonic.
        let left = expires_at.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
        let end = self.now().saturating_add(millis(left)).max(1);
        self.expires.store(end, Ordering::Relaxed);
        self.noticed.store(false, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) {
        self.last_sign.store(self.now(), Ordering::Relaxed);
    }

    /// The task has handed frames to the socket that page code will see.
    pub(crate) fn wrote(&self) {
        self.last_write.store(self.now(), Ordering::Relaxed);
    }

    /// The socket has not taken all that the task has for it.
    pub(crate) fn writing(&self) {
        if self.stuck_since.load(Ordering::Relaxed) == 0 {
            self.stuck_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The peer has made room in a full socket. A slow reader is not a dead one: neither its writes nor its pong,
    /// which may wait behind them, are late.
    pub(crate) fn progress(&self) {
        let now = self.now();
        self.last_sign.store(now, Ordering::Relaxed);
        if self.stuck_since.load(Ordering::Relaxed) != 0 {
            self.stuck_since.store(now, Ordering::Relaxed);
        }
    }

    /// The socket has taken everything.
    pub(crate) fn flushed(&self) {
        self.stuck_since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn take_ping(&self) -> bool {
        self.ping_wanted.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        // Never 0, which means «not pending».
        millis(self.start.elapsed()).max(1)
    }
}

/// Looks at every connection each [`HeartbeatConfig::sweep_every`]; ends with the node.
pub(crate) async fn sweep(node: Weak<Node>, config: HeartbeatConfig) {
    let mut ticks = tokio::time::interval(config.sweep_every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(node) = node.upgrade() else { return };
        let conns = node.directory.all();
        node.metrics.show(conns.len(), node.registry.rooms());
        // Rooms of this node only have no history to tidy up.
        node.tidy();
        for conn in conns {
            check(&conn, &config);
        }
    }
}

fn check(conn: &Conn, config: &HeartbeatConfig) {
    let heart = &conn.heart;
    let now = heart.now();
    let since = |cell: &AtomicU64| now.saturating_sub(cell.load(Ordering::Relaxed));

    let pinged = heart.last_ping.load(Ordering::Relaxed);
    let answered = heart.last_sign.load(Ordering::Relaxed) >= pinged;
    let no_answer = !answered && now - pinged >= millis(config.pong_within);
    let stuck = heart.stuck_since.load(Ordering::Relaxed) != 0
        && since(&heart.stuck_since) >= millis(config.write_within);
    if no_answer || stuck {
        heart.kill();
        conn.wake.notify_one();
        return;
    }
    let expires = heart.expires.load(Ordering::Relaxed);
    if now >= expires {
        conn.close(Close::TOKEN_ENDED);
        return;
    }
    if now + millis(config.expiry_notice) >= expires && !heart.noticed.swap(true, Ordering::Relaxed) {
        conn.push(codec::ping(Some(conn.identity().expires_at)));
    } else if since(&heart.last_write) >= millis(config.frame_after) {
        conn.push(codec::ping(None));
        // Counted from the push: a stuck socket must not collect one per sweep.
        heart.last_write.store(now, Ordering::Relaxed);
    }
    if since(&heart.last_ping) >= millis(config.ping_every) {
        heart.last_ping.store(now, Ordering::Relaxed);
        heart.ping_wanted.store(true, Ordering::Relaxed);
        conn.wake.notify_one();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
