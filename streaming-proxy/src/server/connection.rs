//! One connection, from the accept to its end.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryFutureExt;
use futures_util::future::Either;
use http::{Request, Response, StatusCode};
use http_body_util::Either as EitherBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::edge::per_address::PerAddress;
#[cfg(feature = "tls")]
use crate::edge::tls::Tls;
use crate::error::BoxError;
use crate::server::ServerConfig;
use crate::server::drain::Drain;
use crate::server::linger::{Linger, Rest};
use crate::server::park;
use crate::server::refuse::Checks;
use crate::server::request_body::RequestBody;
use crate::server::stall::Stall;
use crate::server::timer::HeadTimer;
use crate::trust::Peer;

/// What serves one connection.
pub(crate) struct Connection<S> {
    pub(crate) service: S,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) per_address: Option<Arc<PerAddress>>,
    pub(crate) draining: Drain,
}

/// How many fields hyper reads when it is not told.
const HYPERS_MAX_HEADERS: usize = 100;

// === impl Connection ===

impl<S, B> Connection<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Serves it until it ends; once the server drains, until its answer is written.
    pub(crate) async fn run(self, mut stream: TcpStream, addr: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = &error as &dyn std::error::Error, "TCP_NODELAY");
        }
        #[cfg(target_os = "linux")]
        if let Some(bytes) = self.config.max_unsent
            && let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(bytes)
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "TCP_NOTSENT_LOWAT");
        }
        let Some(addr) = client(&self.config, &self.draining, &mut stream, addr).await else { return };
        let _place = match self.per_address.as_ref().map(|counts| counts.take(addr.ip())) {
            Some(None) => return refused("per_address", addr),
            Some(place) => place,
            None => None,
        };
        let stream = Stall::new(stream, self.config.write_timeout, self.config.write_rate);
        #[cfg(feature = "tls")]
        if let Some(tls) = self.config.tls.clone() {
            // On the heap, so that plain connections do not pay for its size.
            return Box::pin(self.encrypted(&tls, stream, addr)).await;
        }
        #[cfg(feature = "http2")]
        if self.config.h2c {
            return Box::pin(self.sniffed(stream, Peer::new(addr))).await;
        }
        let checks = Checks::new(self.config.max_uri);
        let (stream, rest) = self.lingering(stream);
        self.http1(stream, rest, Peer::new(addr), checks).await;
    }

    #[cfg(feature = "tls")]
    async fn encrypted<T>(self, tls: &Tls, stream: T, addr: SocketAddr)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = tokio::time::timeout(tls.handshake_timeout(), tls.accept(stream));
        let accepted = tokio::select! {
            biased;
            accepted = handshake => accepted,
            // No request is under way yet.
            () = self.draining.begun() => return,
        };
        let result = |result| metrics::counter!("streaming_proxy.tls.handshakes", "result" => result);
        match accepted {
            Ok(Ok((stream, names))) => {
                result("ok").increment(1);
                let mut peer = Peer::new(addr);
                peer.tls = true;
                let checks = Checks::new(self.config.max_uri).with_names(names);
                #[cfg(feature = "http2")]
                if Tls::is_http2(&stream) {
                    let (stream, _) = self.lingering(stream);
                    return self.http2(stream, peer, checks).await;
                }
                let (stream, rest) = self.lingering(stream);
                self.http1(stream, rest, peer, checks).await;
            }
            Ok(Err(error)) => {
                result("failed").increment(1);
                tracing::debug!(error = &error as &dyn std::error::Error, %addr, "no TLS");
            }
            Err(_) => {
                result("timeout").increment(1);
                tracing::debug!(%addr, "no TLS in time");
            }
        }
    }

    /// What reads on after the last answer, and how it is told what may still come.
    pub(super) fn lingering<T>(&self, stream: T) -> (Linger<T>, Rest) {
        let rest = Rest::default();
        (Linger::new(stream, self.config.linger, rest.clone(), self.draining.clone()), rest)
    }

    pub(super) async fn http1<T>(self, mut stream: Linger<T>, rest: Rest, peer: Peer, checks: Checks)
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { service, config, draining, .. } = self;
        let timer = HeadTimer::new(config.header_read_timeout);
        let mut builder = http1::Builder::new();
        builder
            .timer(timer.clone())
            .header_read_timeout(config.header_read_timeout)
            // hyper insists on 8 KiB.
            .max_buf_size(config.max_buffer.max(8192));
        if config.max_headers != HYPERS_MAX_HEADERS {
            // hyper parses into an array of that many, and into memory of its own for any other number, if it is told.
            builder.max_headers(config.max_headers);
        }
        let messages = rest.clone();
        let mut service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            messages.request(!http_body::Body::is_end_stream(request.body()));
            request.extensions_mut().insert(peer);
            if let Some(refusal) = checks.refuse(&request) {
                return Either::Left(async { Ok(refusal.map(EitherBody::Right)) });
            }
            let messages = messages.clone();
            let version = request.version();
            let request = request.map(|body| RequestBody::new(body, version));
            Either::Right(service.clone().oneshot(request).map_ok(move |response| {
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    messages.switched();
                }
                response.map(EitherBody::Left)
            }))
        });
        let result = loop {
            // On the heap, so that it is gone while the connection lies idle.
            let mut connection =
                Box::pin(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
            tokio::select! {
                biased;
                result = connection.as_mut() => break result,
                () = draining.begun() => {
                    connection.as_mut().graceful_shutdown();
                    break connection.await;
                }
                () = park::silence(&timer, &rest) => {}
            }
            // It has them, unless it is another protocol's by now, and then it would have ended.
            let Some(parts) = Pin::into_inner(connection).into_parts() else { break Ok(()) };
            service = parts.service;
            rest.between();
            let (idle, begun) = (parts.io.into_inner(), parts.read_buf);
            timer.go_on();
            stream = if begun.is_empty() {
                let Some((stream, spoken)) = park::park(idle, &timer, &draining).await else { return };
                stream.after(spoken)
            } else {
                // The beginning of a head.
                idle.after(begun)
            };
        };
        if let Err(error) = result {
            tracing::debug!(error = &error as &dyn std::error::Error, peer = %peer.addr, "connection ended");
        }
    }
}

/// Whose connection it is: the peer's, or that of the client that a front speaks for. `None` ends it.
async fn client(
    config: &ServerConfig,
    draining: &Drain,
    stream: &mut TcpStream,
    peer: SocketAddr,
) -> Option<SocketAddr> {
    let Some(protocol) = &config.proxy_protocol else { return Some(peer) };
    let read = tokio::select! {
        biased;
        read = protocol.read(stream, peer) => read,
        // No request is under way yet.
        () = draining.begun() => return None,
    };
    match read {
        Ok(client) => Some(client),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, %peer, "PROXY protocol");
            refused("proxy_protocol", peer);
            None
        }
    }
}

/// Counts a connection that is closed before its first request.
fn refused(reason: &'static str, addr: SocketAddr) {
    metrics::counter!("streaming_proxy.server.refused", "reason" => reason).increment(1);
    tracing::debug!(%addr, reason, "connection refused");
}
