//! Upstreams for tests, and a proxy in front of them.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::Layer;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::layer::respond::RespondLayer;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{Forwarder, Peer, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

/// What a wait for something that must happen may take. Nothing waits for it to pass. Less than any limit has by default
/// that could end what a test waits for in the limit's place: the shortest is that of pings, 25 s.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// An address where nobody listens. Nobody else gets it either, as long as this is held.
pub(crate) fn nowhere() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// An upstream that runs `script` for every connection, with its number from 0.
pub(crate) async fn raw<F, Fut>(script: F) -> SocketAddr
where
    F: Fn(TcpStream, usize) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        let mut count = 0;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(script(stream, count));
            count += 1;
        }
    });
    addr
}

/// A real hyper upstream.
pub(crate) async fn real<F, Fut, B>(handler: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (listener, addr) = listen().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let handler = handler.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request| {
                    let answer = handler(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .half_close(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    addr
}

/// A proxy behind its own server, stopped when dropped.
pub(crate) struct Front {
    pub(crate) addr: SocketAddr,
    pub(crate) forwarder: Forwarder,
    pub(crate) stop: Option<oneshot::Sender<()>>,
    pub(crate) server: JoinHandle<()>,
}

impl Front {
    pub(crate) async fn new(upstream: SocketAddr) -> Self {
        Self::with(&[upstream], UpstreamConfig::default(), Timeouts::default(), ProxyConfig::default()).await
    }

    pub(crate) async fn timed(upstream: SocketAddr, timeouts: Timeouts) -> Self {
        Self::with(&[upstream], UpstreamConfig::default(), timeouts, ProxyConfig::default()).await
    }

    pub(crate) async fn with(
        upstreams: &[SocketAddr],
        config: UpstreamConfig,
        timeouts: Timeouts,
        proxy: ProxyConfig,
    ) -> Self {
        let upstream = Upstream::new("test", upstreams.iter().map(ToString::to_string), config).unwrap();
        let routes = Routes::new([Route::new("/", upstream).with_timeouts(timeouts)]).unwrap();
        Self::serving(Forwarder::new(proxy, routes), ServerConfig::default()).await
    }

    pub(crate) async fn serving(forwarder: Forwarder, config: ServerConfig) -> Self {
        let (listener, addr) = listen().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let server =
            tokio::spawn(serve(listener, RespondLayer::new().layer(forwarder.clone()), config, async move {
                let _ = stopped.await;
            }));
        Self { addr, forwarder, stop: Some(stop), server }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A server without a proxy, which answers who sent the request. Stopped when dropped.
pub(crate) struct Bare {
    pub(crate) addr: SocketAddr,
    pub(crate) server: JoinHandle<()>,
    pub(crate) stop: Option<oneshot::Sender<()>>,
}

impl Bare {
    pub(crate) async fn new(config: ServerConfig) -> Self {
        Self::answering(config, |peer| peer.addr.to_string()).await
    }

    pub(crate) async fn answering(
        config: ServerConfig,
        answer: impl Fn(Peer) -> String + Clone + Send + 'static,
    ) -> Self {
        let (listener, addr) = listen().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let service = tower::service_fn(move |request: Request<RequestBody>| {
            let text = answer(*request.extensions().get::<Peer>().unwrap());
            async move { Ok::<_, Infallible>(Response::new(text)) }
        });
        let server = tokio::spawn(serve(listener, service, config, async move {
            let _ = stopped.await;
        }));
        Self { addr, server, stop: Some(stop) }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A flag that a dropped value raises.
pub(crate) struct Raise(pub(crate) Arc<tokio::sync::Notify>);

impl Drop for Raise {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
