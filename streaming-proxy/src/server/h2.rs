//! One connection of HTTP/2.

mod config;
mod moves;
mod pulse;
mod streams;

use std::pin::pin;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::error::BoxError;
use crate::server::ServerConfig;
use crate::server::connection::Connection;
use crate::server::drain::Drain;
use crate::server::h2::moves::{Counted, Moves};
use crate::server::h2::pulse::Pulsing;
use crate::server::h2::streams::Streams;
use crate::server::linger::{Linger, SILENCE};
use crate::server::refuse::Checks;
use crate::server::request_body::RequestBody;
use crate::server::sniff::{Sniffed, sniff};
use crate::trust::Peer;

pub use crate::server::h2::config::Http2Config;

/// How many streams a client may have reset before this side has looked at them.
///
/// h2's own default, 20, said here because it is what ends a rapid reset (CVE-2023-44487): an honest client that gives up
/// does so while it waits, and not before it was heard.
const PENDING_RESETS: usize = 20;

/// How many streams a client may make this side reset over the life of a connection.
///
/// Honest clients send nothing for which RFC 9113 wants a reset. The count, which h2 defaults to 1024, is what ends
/// «made you reset» (CVE-2025-8671), where each costs an upstream a request.
const ERROR_RESETS: usize = 128;

impl<S, B> Connection<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Serves it in the version that its client begins with, if it begins in time.
    pub(super) async fn sniffed<T>(self, mut stream: T, peer: Peer)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let sniffing = timeout(self.config.header_read_timeout, sniff(&mut stream));
        let sniffed = tokio::select! {
            biased;
            sniffed = sniffing => sniffed,
            // No request is under way yet.
            () = self.draining.begun() => return,
        };
        let Ok(Ok(Sniffed { is_http2, read })) = sniffed else {
            tracing::debug!(peer = %peer.addr, "a connection on which nothing came");
            return;
        };
        let checks = Checks::new(self.config.max_uri);
        let (stream, rest) = self.lingering(stream);
        let stream = stream.after(read);
        if is_http2 {
            self.http2(stream, peer, checks).await;
        } else {
            self.http1(stream, rest, peer, checks).await;
        }
    }

    pub(super) async fn http2<T>(self, stream: Linger<T>, peer: Peer, checks: Checks)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, config, draining, .. } = self;
        let moves = Moves::default();
        let io = TokioIo::new(Counted::new(stream, moves.clone()));
        if let Err(error) = serve(io, moves, service, &config, checks, peer, draining).await {
            tracing::debug!(error = &error as &dyn std::error::Error, peer = %peer.addr, "connection ended");
        }
    }
}

/// Serves one connection until it ends, is idle for too long, or has answered what is under way in a drain.
///
/// # Cancel safety
///
/// Dropping it closes the connection; its streams find that out at once.
async fn serve<I, S, B>(
    io: I,
    moves: Moves,
    service: S,
    config: &ServerConfig,
    checks: Checks,
    peer: Peer,
    draining: Drain,
) -> hyper::Result<()>
where
    I: Read + Write + Unpin + Send + 'static,
    S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let streams = Streams::new(config.write_timeout, config.write_rate);
    let http2 = &config.http2;
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(http2.max_streams)
        .max_header_list_size(http2.max_header_list)
        .initial_stream_window_size(http2.stream_window)
        .initial_connection_window_size(http2.connection_window)
        .max_send_buf_size(http2.send_buffer as usize)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(ERROR_RESETS)
        .keep_alive_interval(http2.ping_interval)
        .keep_alive_timeout(http2.ping_timeout);
    let max_headers = config.max_headers;
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let asks_for_head = request.method() == Method::HEAD;
        let answer = match checks.refuse_http2(&request, max_headers) {
            Some(refusal) => Err(refusal),
            None => Ok(service.clone().oneshot(request.map(|body| RequestBody::new(body, Version::HTTP_2)))),
        };
        async move {
            let mut response = match answer {
                Ok(answer) => answer.await?.map(Either::Left),
                Err(refusal) => refusal.map(Either::Right),
            };
            // What a connection of HTTP/1.1 is told has no meaning for one that others share.
            response.headers_mut().remove(CONNECTION);
            // The head ends the stream, though it may say the length of what it stands for (RFC 9113, 8.1.1).
            let is_head = asks_for_head
                || matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            if asks_for_head {
                say_length(&mut response);
            }
            Ok::<_, S::Error>(response.map(|body| Pulsing::new(Some(body).filter(|_| !is_head))))
        }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut phase = Phase::Serving;
    loop {
        let over = async {
            match phase {
                Phase::Serving => streams.idle(config.header_read_timeout).await,
                Phase::Leaving => streams.idle(config.write_timeout).await,
                // Who does not even take note of the goodbye is waited for as long as one of HTTP/1.1 who is answered.
                Phase::Draining => tokio::select! {
                    () = moves.silent(SILENCE, || streams.are_over()) => {}
                    () = streams.idle(config.write_timeout) => {}
                },
            }
        };
        tokio::select! {
            biased;
            result = connection.as_mut() => return result,
            () = draining.begun(), if phase != Phase::Draining => phase = Phase::Draining,
            () = over => match phase {
                Phase::Serving => phase = Phase::Leaving,
                // What is left is unread, by a client that has had its time to read it or to say that it goes.
                Phase::Leaving | Phase::Draining => return Ok(()),
            },
        }
        // Says which streams are still served, and ends when they have.
        connection.as_mut().graceful_shutdown();
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Requests.
    Serving,
    /// The end of what it has, since no request came for long.
    Leaving,
    /// The same, since the server ends.
    Draining,
}

/// What the body would have told, which goes no further.
fn say_length<B: http_body::Body>(response: &mut Response<B>) {
    if let Some(length @ 1..) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
}
