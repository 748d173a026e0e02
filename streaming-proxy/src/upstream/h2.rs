//! Connections of HTTP/2 to one address, which requests share.

mod body;
mod driver;
mod message;

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::DropGuard;

use crate::body::upload::Upload;
use crate::clock::Clock;
use crate::config::{UpstreamConfig, UpstreamHttp2};
use crate::error::{ErrorKind, ProxyError, Sent, Stage};
use crate::metrics::UpstreamMetrics;
use crate::upstream::channel::Failed;
use crate::upstream::h2::body::Body;
use crate::upstream::h2::driver::{Streams, Tasks, UNTOLD};

pub(crate) use crate::upstream::h2::message::{is_malformed, is_unprocessed};

/// The open connections of one address. As many as are configured at most; when the streams of all are taken, requests
/// wait for one, as they wait for a turn.
pub(crate) struct Set {
    state: Mutex<Vec<Connection>>,
    /// Told when a stream ends. The other halves are in the streams.
    freed: Arc<Notify>,
    /// Held while one is opened, so that many who find none do not open many.
    opening: tokio::sync::Mutex<()>,
    config: UpstreamHttp2,
    max_wait: Duration,
    /// For one attempt to open one, TLS included.
    connect_timeout: Duration,
    idle_timeout: Duration,
    metrics: UpstreamMetrics,
}

/// One connection.
#[derive(Clone)]
struct Connection {
    sender: SendRequest<Body>,
    streams: Arc<Streams>,
    tasks: Tasks,
    is_tls: bool,
}

/// The right to one stream. Dropping it ends what is left of the stream: an upload that goes on, too.
pub(crate) struct Lease {
    connection: Connection,
    slot: Arc<driver::Slot>,
    /// Ends the upload when dropped, if there is one; the body and the task that sends it have the other half.
    cut: Option<DropGuard>,
    /// Of who waits for the answer.
    pub(crate) clock: Clock,
    /// Whether the connection has been used before.
    pub(crate) reused: bool,
}

/// How many bytes of one answer an upstream may send ahead of its client.
///
/// As for uploads: a quarter of the connection's, so that an answer that its client does not read leaves the others room.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;

/// How many bytes of a request's body may wait in a stream.
const SEND_BUFFER: usize = 64 * 1024;

/// How many bytes the fields of an answer may have together: as many as the server of this crate lets through.
const MAX_HEADER_LIST: u32 = 64 * 1024;

// === impl Set ===

impl Set {
    pub(crate) fn new(config: &UpstreamConfig, metrics: &UpstreamMetrics) -> Self {
        Self {
            state: Mutex::default(),
            freed: Arc::default(),
            opening: tokio::sync::Mutex::default(),
            config: config.http2.clone(),
            max_wait: config.max_wait,
            #[cfg(feature = "tls")]
            connect_timeout: config.connect_timeout + config.tls_timeout,
            #[cfg(not(feature = "tls"))]
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            metrics: metrics.clone(),
        }
    }

    /// A stream of the connection that has the fewest, if one has room.
    pub(crate) fn take(&self) -> Option<Lease> {
        let connections = self.lock();
        let connection = connections
            .iter()
            .filter(|connection| connection.streams.has_room())
            .min_by_key(|connection| connection.streams.taken())?;
        Some(Lease::new(connection.clone(), true))
    }

    /// A stream of an open connection, or what `connect` brings: most often a stream of the one that it opened.
    ///
    /// `anew`: a new one, if there may be one more.
    ///
    /// # Errors
    ///
    /// Those of `connect`, and [`ErrorKind::Overloaded`].
    pub(crate) async fn stream<T, F>(
        &self,
        anew: bool,
        connect: impl FnOnce() -> F,
    ) -> Result<Result<Lease, T>, ProxyError>
    where
        F: Future<Output = Result<T, ProxyError>>,
    {
        let mut anew = anew;
        let deadline = Instant::now() + self.max_wait;
        loop {
            let free = timeout_at(deadline, self.free(anew)).await;
            let free = free.map_err(|_| {
                let error = ProxyError::new(ErrorKind::Overloaded).because("no stream is free");
                error.when(Stage::Queue, Sent::Not)
            })?;
            if let Some(lease) = free {
                return Ok(Ok(lease));
            }
            let Ok(_opening) = timeout(self.connect_timeout, self.opening.lock()).await else {
                return Err(ProxyError::new(ErrorKind::ConnectTimeout));
            };
            // Somebody else may have opened one meanwhile, which may have been the last that may be.
            if !anew && let Some(lease) = self.take() {
                return Ok(Ok(lease));
            }
            if self.may_open(anew) {
                return connect().await.map(Err);
            }
            anew = false;
        }
    }

    /// A stream that is free now, or gets free; `None` when there may be one more connection.
    async fn free(&self, anew: bool) -> Option<Lease> {
        let mut anew = anew;
        loop {
            let mut freed = pin!(self.freed.notified());
            // ORDER: before the look, or one that gets free in between could wake somebody else alone.
            freed.as_mut().enable();
            if !anew && let Some(lease) = self.take() {
                return Some(lease);
            }
            if self.may_open(anew) {
                return None;
            }
            if !anew {
                // Nobody tells that an upstream has had its time to say how many there are.
                let _ = timeout(self.untold_for(), freed).await;
            }
            // Whoever wanted a new one gets any.
            anew = false;
        }
    }

    /// Whether there may be one more connection. Not while an upstream has yet to say how many streams one has, but for
    /// who wants a new one.
    fn may_open(&self, anew: bool) -> bool {
        let connections = self.lock();
        let is_untold = |connection: &Connection| connection.streams.is_untold(self.untold_for());
        connections.len() < self.config.max_connections.max(1) && (anew || !connections.iter().any(is_untold))
    }

    /// How long it may take an upstream to say how many streams a connection has. Those who wait still have the time for
    /// another one then.
    fn untold_for(&self) -> Duration {
        self.connect_timeout.min(self.max_wait / 2)
    }

    /// Begins HTTP/2 on `stream`, and keeps the connection for others too.
    ///
    /// # Errors
    ///
    /// Those of the first bytes.
    pub(crate) async fn begin<S>(&self, stream: S, is_tls: bool) -> hyper::Result<Lease>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let tasks = Tasks::default();
        let handshake = Builder::new(tasks.clone())
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNTOLD)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            .keep_alive_interval(self.config.ping_interval)
            .keep_alive_timeout(self.config.ping_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await?;
        let streams = Streams::new(connection, self.freed.clone(), self.metrics.http2_streams.clone());
        tasks.are_of(&streams);
        tokio::spawn(driver::drive(streams.clone(), tasks.clone(), self.idle_timeout));
        let connection = Connection { sender, streams, tasks, is_tls };
        let lease = Lease::new(connection.clone(), false);
        self.lock().push(connection);
        Ok(lease)
    }

    /// Those that take requests.
    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        let mut connections = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        connections.retain(|connection| !connection.sender.is_closed());
        connections
    }
}

// === impl Lease ===

impl Lease {
    fn new(connection: Connection, reused: bool) -> Self {
        let slot = connection.streams.slot();
        Self { connection, slot, cut: None, clock: Clock::default(), reused }
    }

    /// Sends a request of HTTP/1.1 as one of HTTP/2.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, Failed>> + Send + use<> {
        let Connection { tasks, is_tls, .. } = &self.connection;
        let has_body = !request.body().is_empty();
        let mut request =
            message::request(request, *is_tls).map(|upload| Body::new(upload, self.slot.clone()));
        if has_body {
            let cut = tasks.upload();
            request = request.map(|body| body.ended_by(cut.clone(), tasks.clone()));
            self.cut = Some(cut.drop_guard());
        }
        let sent = self.connection.sender.try_send_request(request);
        async move {
            sent.await.map_err(|mut failure| Failed {
                unsent: failure
                    .take_message()
                    .map(|request| Box::new(message::back(request.map(Body::into_upload)))),
                cause: failure.into_error(),
            })
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("reused", &self.reused).finish_non_exhaustive()
    }
}
