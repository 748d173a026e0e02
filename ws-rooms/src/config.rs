//! How rooms behave. Every default stands beside its reason.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Access, Authoriser, ErasedAuthoriser, Identity};
use crate::protocol::RoomId;

/// How a node's [`Rooms`](crate::Rooms) behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomsConfig {
    /// The origins that browsers may connect from, each exactly as a browser sends it
    /// (`https://app.example.com`, no path, the port unless it is the scheme's own).
    ///
    /// Empty by default: no browser gets in until someone says which. A request without an
    /// `Origin` is allowed, since no cookie counts here; `null` never is.
    pub origins: Vec<String>,
    /// Whether `?token=` is taken. Off: query strings end in proxies' logs.
    pub query_token: bool,
    /// The bounds of a connection, a user, an address and the node.
    pub limits: Limits,
    /// The heartbeat.
    pub heartbeat: HeartbeatConfig,
    /// Rules for rooms; the first that matches counts. Without one: numbered, no presence,
    /// a slow reader is cut.
    pub rules: Vec<RoomRule>,
    /// How long the [`Authority`](crate::Authority) may take. 5 s: longer than the two seconds
    /// that an application gives a question of its own, shorter than people wait.
    pub authority_timeout: Duration,
    /// How long a token may live. 24 h: longer than any access token should. A revocation is remembered until its
    /// tokens' end; one that ends later than this from now is refused.
    pub max_token_life: Duration,
    /// The window from which each connection's `retryAfterMs` is drawn at a drain. 5 s spreads
    /// ten thousand clients to two thousand handshakes a second, about what one core takes.
    pub drain_spread: Duration,
    /// How long a connection may last; each draws its own life between three quarters of this and all of it, and is then
    /// told to come back (4200). None: for as long as it likes. With it connections of a node that joined later even
    /// out, and a deploy is nothing unusual to clients.
    pub max_lifetime: Option<Duration>,
    /// How long a closing connection may take to flush and to answer the close frame. 5 s.
    pub close_timeout: Duration,
}

/// The bounds. Reaching one is told to the client, with a code that says what to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes in a frame from a client. 64 KiB: requests are small, and a token is the largest part.
    pub frame_bytes: usize,
    /// Rooms per connection, server-joined ones included. 100.
    pub rooms_per_connection: usize,
    /// Messages per second from a connection, also the burst. 20.
    pub messages_per_second: u32,
    /// Bytes per second from a connection, frames' headers included; four seconds' worth may come at once, and one message
    /// of the largest size however low this is. 64 KiB: the largest frame each second, far more than any client of the
    /// protocol has to say.
    pub bytes_per_second: u32,
    /// Pings and pongs per second from a connection, also the burst. 10: a client that probes its link does so once in
    /// seconds, and each ping costs an answer.
    pub control_frames_per_second: u32,
    /// Frames that a message may come in. 64: programs send one, streams of the largest message a few.
    pub fragments: u32,
    /// Frames that are no request we know before the connection is cut. 10.
    pub bad_frames: u32,
    /// Connections per user. 20: a person's tabs and devices.
    pub connections_per_user: usize,
    /// Connections per address (a /64 for IPv6). 100: an office behind one NAT.
    pub connections_per_address: usize,
    /// Connections on this node. 50,000 at some 4 KiB each are 200 MiB.
    pub connections: usize,
    /// Bytes of live frames that may wait for a connection. 256 KiB, then the room's policy.
    pub queued_bytes: usize,
    /// Frames held for a room while it recovers, in bytes. 64 KiB, then `too_many`.
    pub held_bytes: usize,
    /// Events in one recovery. 256, the default history of a room.
    pub recovery_events: usize,
    /// Bytes of events in one recovery. 192 KiB: fits the queue with room for live frames.
    pub recovery_bytes: usize,
    /// Bytes in one event. 64 KiB, so that one event can never fill a queue.
    pub event_bytes: usize,
}

/// The heartbeat of a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HeartbeatConfig {
    /// A `ping` frame after this much silence towards the client. 25 s: page code cannot see
    /// protocol pings, and proxies cut at 60 s.
    pub frame_after: Duration,
    /// A protocol ping this often. 30 s.
    pub ping_every: Duration,
    /// How long nothing may come back after a ping. 10 s. Any byte counts: whoever is within a message cannot answer.
    pub pong_within: Duration,
    /// How long the socket may take no byte of what waits. 10 s, the same patience.
    pub write_within: Duration,
    /// How long a message may take from its first byte to its last, then 4108. 60 s: the largest one at a kilobyte a
    /// second, while a byte now and then keeps no connection for ever.
    pub message_within: Duration,
    /// How long before the token's end the client is told. 30 s: a renewal and a retry.
    pub expiry_notice: Duration,
    /// How often the sweep looks at all connections. 1 s: one task instead of timers per connection.
    pub sweep_every: Duration,
}

/// How much of a room is kept for those who come back. Whichever bound is reached first counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HistoryConfig {
    /// Events per room. 256.
    pub count: usize,
    /// Bytes per room. 256 KiB.
    pub bytes: usize,
    /// Age of an event. 5 min: a lift, a tunnel, a deploy.
    pub age: Duration,
    /// Bytes of all rooms together. 64 MiB; the oldest events go first.
    pub total_bytes: usize,
}

/// What happens to a reader that does not keep up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// The connection is closed with 4108, unless rooms of the other policies have something waiting that can go
    /// instead; it comes back and recovers.
    #[default]
    Close,
    /// The room's oldest events that wait are dropped, and a `gap` in their place says so.
    DropOldest,
    /// At most one event of the room waits for a connection, the newest; a `gap` stands for those before it.
    Latest,
}

/// What applies to rooms of one name or one prefix.
#[derive(Clone)]
#[non_exhaustive]
pub struct RoomRule {
    pattern: Pattern,
    /// Whether the room tells who is there (`joined`, `left`, `presence`).
    pub presence: bool,
    /// Whether the room lives on this node only: no backplane, no history.
    pub local: bool,
    /// Whether only the server joins it; a request is `FORBIDDEN` unless the server did.
    pub server_only: bool,
    /// What happens to a slow reader.
    pub slow: SlowPolicy,
    authoriser: Option<Arc<dyn ErasedAuthoriser>>,
}

#[derive(Clone, Debug)]
enum Pattern {
    Exact(String),
    Prefix(String),
}

// === impl RoomsConfig ===

impl RoomsConfig {
    pub(crate) fn rule(&self, room: &RoomId) -> &RoomRule {
        const PLAIN: &RoomRule = &RoomRule::plain(Pattern::Prefix(String::new()));
        self.rules.iter().find(|rule| rule.matches(room)).unwrap_or(PLAIN)
    }
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            query_token: false,
            limits: Limits::default(),
            heartbeat: HeartbeatConfig::default(),
            rules: Vec::new(),
            authority_timeout: Duration::from_secs(5),
            max_token_life: Duration::from_secs(24 * 3_600),
            drain_spread: Duration::from_secs(5),
            max_lifetime: None,
            close_timeout: Duration::from_secs(5),
        }
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 64 * 1024,
            rooms_per_connection: 100,
            messages_per_second: 20,
            bytes_per_second: 64 * 1024,
            control_frames_per_second: 10,
            fragments: 64,
            bad_frames: 10,
            connections_per_user: 20,
            connections_per_address: 100,
            connections: 50_000,
            queued_bytes: 256 * 1024,
            held_bytes: 64 * 1024,
            recovery_events: 256,
            recovery_bytes: 192 * 1024,
            event_bytes: 64 * 1024,
        }
    }
}

// === impl HeartbeatConfig ===

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            frame_after: Duration::from_secs(25),
            ping_every: Duration::from_secs(30),
            pong_within: Duration::from_secs(10),
            write_within: Duration::from_secs(10),
            message_within: Duration::from_secs(60),
            expiry_notice: Duration::from_secs(30),
            sweep_every: Duration::from_secs(1),
        }
    }
}

// === impl HistoryConfig ===

impl HistoryConfig {
    /// No history: every `since` is answered with `recovered: false`.
    #[must_use]
    pub fn none() -> Self {
        Self { count: 0, bytes: 0, age: Duration::ZERO, total_bytes: 0 }
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { count: 256, bytes: 256 * 1024, age: Duration::from_secs(300), total_bytes: 64 * 1024 * 1024 }
    }
}

// === impl RoomRule ===

impl RoomRule {
    /// A rule for the room of exactly this name.
    #[must_use]
    pub fn exact(name: impl Into<String>) -> Self {
        Self::plain(Pattern::Exact(name.into()))
    }

    /// A rule for the rooms whose names begin so; end it with the colon.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self::plain(Pattern::Prefix(prefix.into()))
    }

    /// Tells who is there.
    #[must_use]
    pub fn with_presence(mut self) -> Self {
        self.presence = true;
        self
    }

    /// Keeps the room on this node, without history.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// Leaves joining to the server.
    #[must_use]
    pub fn server_only(mut self) -> Self {
        self.server_only = true;
        self
    }

    /// Says who decides about joining, instead of [`Authority::may_join`](crate::Authority::may_join).
    #[must_use]
    pub fn authorised_by(mut self, authoriser: impl Authoriser) -> Self {
        self.authoriser = Some(Arc::new(authoriser));
        self
    }

    /// Says what happens to a slow reader.
    #[must_use]
    pub fn on_slow(mut self, policy: SlowPolicy) -> Self {
        self.slow = policy;
        self
    }

    const fn plain(pattern: Pattern) -> Self {
        let slow = SlowPolicy::Close;
        Self { pattern, presence: false, local: false, server_only: false, slow, authoriser: None }
    }

    /// Asks who decides about joining; `None` where that is the authority.
    pub(crate) fn may_join<'a>(
        &'a self,
        identity: &'a Identity,
        room: &'a RoomId,
    ) -> Option<impl Future<Output = Access> + Send + 'a> {
        let authoriser = self.authoriser.as_ref()?;
        let rest = match &self.pattern {
            Pattern::Exact(_) => "",
            Pattern::Prefix(prefix) => room.as_str().strip_prefix(prefix.as_str()).unwrap_or_default(),
        };
        Some(authoriser.may_join(identity, room, rest))
    }

    fn matches(&self, room: &RoomId) -> bool {
        match &self.pattern {
            Pattern::Exact(name) => room.as_str() == name,
            Pattern::Prefix(prefix) => room.as_str().starts_with(prefix.as_str()),
        }
    }
}

impl fmt::Debug for RoomRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomRule")
            .field("pattern", &self.pattern)
            .field("presence", &self.presence)
            .field("local", &self.local)
            .field("server_only", &self.server_only)
            .field("slow", &self.slow)
            .finish_non_exhaustive()
    }
}
