//! How connections of HTTP/2 are served.

use std::time::Duration;

/// How a server speaks HTTP/2. What is not here holds for both versions, and is in
/// [`ServerConfig`](crate::server::ServerConfig): an answer that is left unread for its `write_timeout`, or read more
/// slowly than its `write_rate`, ends its stream; a connection without streams for its `header_read_timeout` is told to
/// go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Http2Config {
    /// How many streams of a connection may be open at once. A client that opens more is refused those
    /// (`REFUSED_STREAM`), which tells it that nothing was done.
    ///
    /// The default, 128, is nginx's; RFC 9113 (6.5.2) recommends no less than 100.
    pub max_streams: u32,
    /// How many bytes a request's fields may have together, each counted with 32 more (RFC 9113, 6.5.2); with more it
    /// is answered 431.
    ///
    /// The default, 16 KiB, is hyper's: twice the longest head that common servers accept. A compressed head says much
    /// with little, so this and not [`max_buffer`](crate::server::ServerConfig::max_buffer) is what bounds it.
    pub max_header_list: u32,
    /// How many bytes of one request's body a client may send ahead of the upstream.
    ///
    /// The default, 256 KiB, lets an upload of one stream fill 40 Mbit/s over 50 ms. It is a quarter of the
    /// connection's, so that three uploads that their upstreams do not take leave the others room.
    pub stream_window: u32,
    /// The same for all streams of a connection together, and so what it may hold in bodies.
    ///
    /// The default is 1 MiB.
    pub connection_window: u32,
    /// How many bytes of an answer may wait in a stream for a client that reads slowly.
    ///
    /// The default is 64 KiB.
    pub send_buffer: u32,
    /// How often a client is asked whether it is still there (PING), if nothing else comes from it. `None` is never.
    ///
    /// The default, 30 s, finds a client that vanished below an event stream, on which nothing is written for long.
    pub ping_interval: Option<Duration>,
    /// How long a client may take to answer that before the connection is closed.
    ///
    /// The default, 20 s, is hyper's.
    pub ping_timeout: Duration,
}

// === impl Http2Config ===

impl Default for Http2Config {
    fn default() -> Self {
        Self {
            max_streams: 128,
            max_header_list: 16 * 1024,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            send_buffer: 64 * 1024,
            ping_interval: Some(Duration::from_secs(30)),
            ping_timeout: Duration::from_secs(20),
        }
    }
}
