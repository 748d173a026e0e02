//! A server for one listener, of HTTP/1.1 and HTTP/2: bounded, timed, drained.

mod connection;
mod drain;
#[cfg(feature = "http2")]
mod h2;
mod linger;
mod park;
mod refuse;
mod request_body;
#[cfg(feature = "http2")]
mod sniff;
mod stall;
mod timer;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use metrics::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::edge::MinRate;
use crate::edge::per_address::PerAddress;
use crate::edge::proxy_protocol::ProxyProtocol;
#[cfg(feature = "tls")]
use crate::edge::tls::Tls;
use crate::error::BoxError;
use crate::server::connection::Connection;
use crate::server::drain::Drain;

#[cfg(feature = "http2")]
pub use crate::server::h2::Http2Config;
pub use crate::server::request_body::RequestBody;

/// How [`serve`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// How many connections may be open; more wait in the kernel's queue until one ends.
    ///
    /// The default, 10,000, is about 100 MiB when all are idle, and more within TLS. Upgraded connections do not count: who took them
    /// over bounds them.
    pub max_connections: usize,
    /// How many connections one client may have open: an IPv4 address, or a /64 of IPv6. One more is closed at once.
    ///
    /// Off by default: behind a front that does not speak the [PROXY protocol](crate::edge::proxy_protocol), all
    /// connections are that front's. A listener that clients reach directly does well with 100, ten times what a
    /// browser opens, to leave room for those who share an address. A connection that was upgraded does not count any
    /// more: tunnels have their own bounds, which are not by address.
    pub max_connections_per_address: Option<usize>,
    /// How long a client may take for a request's head, and how long a connection may wait for its next request.
    ///
    /// The default, 30 s, is hyper's.
    pub header_read_timeout: Duration,
    /// How long a client may leave an answer unread before the connection is closed.
    ///
    /// The default, 60 s, is nginx's `send_timeout`.
    pub write_timeout: Duration,
    /// How slowly a client may read an answer, over the time that the answer waits for it, before the connection is
    /// closed. What the system's socket buffer takes counts as read.
    ///
    /// Beside [`write_timeout`](Self::write_timeout), which ends who reads nothing at all: one byte just before that is
    /// over would be enough for it, and holds a connection, and what its answer holds, for ever. Whichever is over first
    /// ends it. A minute of silence is both.
    ///
    /// The default is 240 bytes a second over a minute.
    pub write_rate: Option<MinRate>,
    /// How many bytes the kernel may hold for a client that have not been sent (`TCP_NOTSENT_LOWAT`; on Linux). It holds
    /// megabytes otherwise before anybody hears that a client is slow: the two above, what took over an upgraded
    /// connection, and a service that makes its answer as it is read.
    ///
    /// Off by default: the kernel's own bound is. With 32 KiB large answers leave as fast as without, and what waits is a few
    /// tens of KiB.
    pub max_unsent: Option<u32>,
    /// How long a client may go on sending after its last answer. What comes is dropped; a client that reads only when
    /// it has sent all would lose the answer otherwise. Two seconds of silence end it before, and so do two seconds of
    /// the server's drain.
    ///
    /// The default, 30 s, is nginx's `lingering_time`.
    pub linger: Duration,
    /// How many bytes a connection of HTTP/1.1 may hold of what it reads, and as many of what it writes: the longest head of
    /// a request, and how much of a body is read at once. Buffers grow as bytes come, so all connections together may hold
    /// twice this times [`max_connections`](Self::max_connections) at worst. Whoever wants less sets less, as a front with
    /// many clients and no large uploads should.
    ///
    /// The default, 256 KiB, is what uploads need to be passed on without stopping for each piece; hyper's is 408 KiB.
    pub max_buffer: usize,
    /// How many header fields a request may have; with more it is answered 431.
    ///
    /// The default, 100, is hyper's.
    pub max_headers: usize,
    /// How many bytes a request's target may have; a longer one is answered 414. hyper itself answers what is longer
    /// than 65,534 so, without a body.
    ///
    /// The default, 8 KiB, is nginx's, and what all should take at least (RFC 9110, 4.1).
    pub max_uri: usize,
    /// Whether connections without TLS may be of HTTP/2, of clients that know that this server speaks it (h2c by prior
    /// knowledge). They are told by their first bytes. Within TLS the handshake decides
    /// ([`TlsConfig::alpn`](crate::edge::tls::TlsConfig::alpn)).
    ///
    /// Off by default: browsers never do so, and a front that does is known.
    #[cfg(feature = "http2")]
    pub h2c: bool,
    /// How connections of HTTP/2 are served.
    #[cfg(feature = "http2")]
    pub http2: Http2Config,
    /// What fronts say of their clients, before all else on a connection. Without it nobody may.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// TLS on every connection. Without it none has.
    #[cfg(feature = "tls")]
    pub tls: Option<Tls>,
}

/// How long to wait after an accept that failed for want of resources: a file that is closed meanwhile helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

// === impl ServerConfig ===

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: None,
            header_read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            write_rate: Some(MinRate::default()),
            max_unsent: None,
            linger: Duration::from_secs(30),
            max_buffer: 256 * 1024,
            max_headers: 100,
            max_uri: 8 * 1024,
            #[cfg(feature = "http2")]
            h2c: false,
            #[cfg(feature = "http2")]
            http2: Http2Config::default(),
            proxy_protocol: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

/// Serves every connection of `listener` with a clone of `service` until `shutdown` completes, then drains: the
/// listener is closed, idle connections too, requests under way are answered (`Connection: close`), and it returns when
/// the last is through.
///
/// Each request carries its [`Peer`](crate::Peer) as an extension. A failure of the service closes the connection: put a
/// [`RespondLayer`](crate::layer::respond::RespondLayer) on a `Forwarder`. Upgraded connections outlive the drain: they
/// belong to whoever took them over.
///
/// # Cancel safety
///
/// Dropping it closes the listener and every connection at once. The deadline of the drain belongs to the caller:
/// wrap the whole in a timeout.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
) where
    S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut shutdown = pin!(shutdown);
    let turns = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let open = metrics::gauge!("streaming_proxy.server.connections");
    let draining = Drain::default();
    let per_address = config.max_connections_per_address.map(PerAddress::new).map(Arc::new);
    let config = Arc::new(config);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // ORDER: shutdown first, or a busy listener could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (stream, peer, permit) = accept(&listener, &turns) => {
                let counted = Counted::new(&open, permit);
                let connection = Connection {
                    service: service.clone(),
                    config: config.clone(),
                    per_address: per_address.clone(),
                    draining: draining.clone(),
                };
                connections.spawn(async move {
                    connection.run(stream, peer).await;
                    drop(counted);
                });
            }
        }
    }
    drop(listener);
    draining.begin();
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    turns: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = turns.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

/// One open connection, for the gauge and the bound.
struct Counted {
    open: Gauge,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Counted {
    fn new(open: &Gauge, permit: Option<OwnedSemaphorePermit>) -> Self {
        open.increment(1.0);
        Self { open: open.clone(), _permit: permit }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
