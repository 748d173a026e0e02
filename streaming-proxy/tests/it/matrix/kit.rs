//! Upstreams that speak either version, and what they send.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::Semaphore;
use tramline_streaming_proxy::config::HttpVersion;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::h2_server::h2c;
use crate::origin::{Front, Raise, listen};

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// What a client, or an upstream, speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

pub(super) use Speaks::{Http1, Http2};

pub(super) const PAIRS: [(Speaks, Speaks); 4] =
    [(Http1, Http1), (Http1, Http2), (Http2, Http1), (Http2, Http2)];

pub(super) const MIB: u64 = 1024 * 1024;
/// Of a large body, each way. The bench has the rows of a gibibyte: a build for tests takes minutes for those.
pub(super) const LARGE: u64 = 64 * MIB;
pub(super) const PIECE: u64 = 16 * 1024;
const BLOCK: u64 = 1024;

/// A byte that says where it is.
pub(super) fn byte(at: u64) -> u8 {
    u8::try_from(at / BLOCK % 251).unwrap()
}

/// The bytes that stand at `at`. Made and compared by the block: a build for tests takes its time for each step.
pub(super) fn piece(at: u64, length: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap());
    let mut next = at;
    while next < at + length {
        let block = (BLOCK - next % BLOCK).min(at + length - next);
        bytes.resize(bytes.len() + usize::try_from(block).unwrap(), byte(next));
        next += block;
    }
    bytes.into()
}

/// Checks that `data` is what stands at `at`.
pub(super) fn check(data: &[u8], at: u64) {
    assert!(data == piece(at, data.len() as u64), "in {} bytes at {at}", data.len());
}

/// A body of that many bytes, counted as they are taken; then it ends, or breaks.
pub(super) struct Pieces {
    pub(super) made: Arc<AtomicU64>,
    at: u64,
    length: u64,
    /// After the last piece it waits for a permit, and breaks.
    pub(super) breaks: Option<Events>,
    pub(super) raise: Option<Raise>,
}

impl Pieces {
    pub(super) fn new(length: u64) -> Self {
        Self { made: Arc::default(), at: 0, length, breaks: None, raise: None }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.at == self.length {
            let Some(breaks) = &mut self.breaks else { return Poll::Ready(None) };
            return Pin::new(breaks).poll_frame(cx).map(|_| Some(Err(std::io::Error::other("it breaks"))));
        }
        let length = PIECE.min(self.length - self.at);
        let data = piece(self.at, length);
        self.at += length;
        self.made.fetch_add(length, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

/// A piece for each permit.
pub(super) struct Events(
    pub(super) Arc<Semaphore>,
    pub(super) u32,
    pub(super) Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
);

impl Body for Events {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let gate = self.0.clone();
        let waiting = self
            .2
            .get_or_insert_with(|| Box::pin(async move { gate.acquire_owned().await.unwrap().forget() }));
        ready!(waiting.as_mut().poll(cx));
        self.2 = None;
        self.1 += 1;
        Poll::Ready(Some(Ok(Frame::data(format!("data: {}\n\n", self.1).into()))))
    }
}

/// An upstream that speaks one version and does as it is asked.
pub(super) async fn origin<F, Fut>(speaks: Speaks, handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let handler = handler.clone();
            let service = hyper::service::service_fn(move |request| {
                let answer = handler(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                match speaks {
                    Http1 => {
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .with_upgrades()
                            .await;
                    }
                    Http2 => {
                        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await;
                    }
                }
            });
        }
    });
    addr
}

pub(super) async fn front<F, Fut>(out: Speaks, handler: F) -> Front
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let addr = origin(out, handler).await;
    let mut config = UpstreamConfig::default();
    if out == Http2 {
        config.version = HttpVersion::Http2;
    }
    let upstream = Upstream::new("test", [addr.to_string()], config).unwrap();
    let routes = Routes::new([Route::new("/", upstream)]).unwrap();
    Front::serving(Forwarder::new(ProxyConfig::default(), routes), h2c()).await
}

pub(super) fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, std::io::Error>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    body.map_err(std::io::Error::other).boxed_unsync()
}
