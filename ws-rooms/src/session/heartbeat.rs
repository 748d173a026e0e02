//! Signs of life, looked at by one [sweep](super::sweep) over all connections instead of timers in each.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::config::HeartbeatConfig;
use crate::protocol::{Close, codec};
use crate::session::Conn;

/// Within this those come back whose life is over.
const COME_BACK: Duration = Duration::from_secs(1);

/// When things last happened on a connection, in milliseconds since `start`; 0 is «not pending».
///
/// Written by the connection's task, read by the sweep. In this order, so that what each delivery needs stands at the end.
#[repr(C)]
pub(crate) struct Heart {
    /// When it was made.
    since: u64,
    /// When its drawn life is over.
    over: Option<u64>,
    /// When something last came from the peer, or a full socket could be written to because the peer had read.
    last_sign: AtomicU64,
    /// Since when a message has come in part.
    part_since: AtomicU64,
    /// When the last protocol ping went out.
    last_ping: AtomicU64,
    expires: AtomicU64,
    noticed: AtomicBool,
    /// Whether the welcome is out: no frame comes before it.
    welcomed: AtomicBool,
    /// Set by the sweep, taken by the task.
    ping_wanted: AtomicBool,
    /// Set by the sweep; the task drops the socket without another word.
    dead: AtomicBool,
    /// The task says goodbye, which has a time limit of its own.
    closing: AtomicBool,
    start: Instant,
    /// Since when the socket has taken nothing of what waits.
    stuck_since: AtomicU64,
    last_write: AtomicU64,
}

// === impl Heart ===

impl Heart {
    /// `lifetime` is what it may live at most; how long it does is drawn.
    pub(crate) fn new(start: Instant, expires_at: Timestamp, lifetime: Option<Duration>) -> Self {
        let mut heart = Self {
            since: 0,
            over: None,
            last_sign: AtomicU64::new(0),
            part_since: AtomicU64::new(0),
            last_ping: AtomicU64::new(0),
            expires: AtomicU64::new(0),
            noticed: AtomicBool::new(false),
            welcomed: AtomicBool::new(false),
            ping_wanted: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            start,
            stuck_since: AtomicU64::new(0),
            last_write: AtomicU64::new(0),
        };
        let now = heart.now();
        heart.since = now;
        heart.over = lifetime.map(|life| {
            let life = life.mul_f64(1.0 - rand::random::<f64>() / 4.0);
            now.saturating_add(millis(life))
        });
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

    /// The welcome is queued.
    pub(crate) fn welcomed(&self) {
        self.welcomed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_welcomed(&self) -> bool {
        self.welcomed.load(Ordering::Relaxed)
    }

    /// A whole message has come, or a control frame, maybe `within` a message that is not whole.
    pub(crate) fn read(&self, within: bool) {
        self.last_sign.store(self.now(), Ordering::Relaxed);
        if !within {
            self.part_since.store(0, Ordering::Relaxed);
        }
    }

    /// Part of a message has come. No pong can, before the rest of it.
    pub(crate) fn part(&self) {
        let now = self.now();
        self.last_sign.store(now, Ordering::Relaxed);
        if self.part_since.load(Ordering::Relaxed) == 0 {
            self.part_since.store(now, Ordering::Relaxed);
        }
    }

    /// The task has handed frames to the socket that page code will see.
    pub(crate) fn wrote(&self, now: Instant) {
        self.last_write.store(self.millis_at(now), Ordering::Relaxed);
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

    /// The goodbye has begun: from here on the close timeout is the bound, and no sign of life is asked for.
    pub(crate) fn closes(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// How long it has been there.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.now() - self.since)
    }

    /// How long nothing has come from the peer.
    pub(crate) fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.last_sign.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        self.millis_at(Instant::now())
    }

    fn millis_at(&self, now: Instant) -> u64 {
        // Never 0, which means «not pending».
        millis(now.duration_since(self.start)).max(1)
    }
}

/// Looks at one connection: whether it lives, and what it has to be told.
pub(super) fn check(conn: &Conn, config: &HeartbeatConfig) {
    let heart = &conn.heart;
    if heart.closing.load(Ordering::Relaxed) {
        return;
    }
    let now = heart.now();
    let since = |cell: &AtomicU64| now.saturating_sub(cell.load(Ordering::Relaxed));

    let pinged = heart.last_ping.load(Ordering::Relaxed);
    let answered = heart.last_sign.load(Ordering::Relaxed) >= pinged;
    let no_answer = !answered && now - pinged >= millis(config.pong_within);
    let stuck = heart.stuck_since.load(Ordering::Relaxed) != 0
        && since(&heart.stuck_since) >= millis(config.write_within);
    if no_answer || stuck {
        heart.kill();
        conn.ring();
        return;
    }
    let half = heart.part_since.load(Ordering::Relaxed) != 0;
    if half && since(&heart.part_since) >= millis(config.message_within) {
        conn.close(Close::TOO_SLOW);
        return;
    }
    let expires = heart.expires.load(Ordering::Relaxed);
    if now >= expires {
        conn.close(Close::TOKEN_ENDED);
        return;
    }
    if heart.over.is_some_and(|over| now >= over) {
        // Drawn, since many that came together may go in one sweep.
        let delay = COME_BACK.mul_f64(rand::random::<f64>());
        conn.close(Close { reason: "lifetime".into(), ..Close::DRAIN }.with_retry_after(delay));
        return;
    }
    let may_speak = heart.is_welcomed();
    if may_speak
        && now + millis(config.expiry_notice) >= expires
        && !heart.noticed.swap(true, Ordering::Relaxed)
    {
        conn.push(codec::ping(Some(conn.identity().expires_at)));
    } else if may_speak && since(&heart.last_write) >= millis(config.frame_after) {
        conn.push(codec::ping(None));
        // Counted from the push: a stuck socket must not collect one per sweep.
        heart.last_write.store(now, Ordering::Relaxed);
    }
    if since(&heart.last_ping) >= millis(config.ping_every) {
        heart.last_ping.store(now, Ordering::Relaxed);
        heart.ping_wanted.store(true, Ordering::Relaxed);
        conn.ring();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
