//! A server of rooms that can be stopped, with and without TLS.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use tramline_ws_rooms::{PeerInfo, Rooms};

/// Rooms behind a port. Connections that were upgraded are the rooms' affair.
pub(super) struct Server {
    pub(super) rooms: Rooms,
    pub(super) addr: SocketAddr,
    accepting: AbortOnDropHandle<()>,
}

// === impl Server ===

impl Server {
    pub(super) async fn start(rooms: Rooms) -> Self {
        Self::listen(rooms, 0, None).await
    }

    /// On a port that another one had.
    pub(super) async fn start_at(rooms: Rooms, port: u16) -> Self {
        Self::listen(rooms, port, None).await
    }

    pub(super) async fn start_with_tls(rooms: Rooms, config: rustls::ServerConfig) -> Self {
        Self::listen(rooms, 0, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(rooms: Rooms, port: u16, tls: Option<TlsAcceptor>) -> Self {
        // Tokio sets SO_REUSEADDR, so the port of a server that has just gone is free.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = tokio::spawn(accept(listener, tls, rooms.clone()));
        Self { rooms, addr, accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Closes the port, which is free then.
    pub(super) async fn stop(self) {
        self.accepting.abort();
        let _ = self.accepting.await;
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}/ws", self.addr)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, rooms: Rooms) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, from) = listener.accept().await.unwrap();
        let (rooms, tls) = (rooms.clone(), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, from, rooms).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, from, rooms).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(stream: S, from: SocketAddr, rooms: Rooms)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let rooms = rooms.clone();
        async move {
            let answer = rooms.upgrade(request, PeerInfo::new(from.ip())).await;
            Ok::<_, Infallible>(match answer {
                Ok(response) => response.map(|()| Full::new(Bytes::new())),
                Err(refusal) => {
                    let mut response = Response::new(Full::from(refusal.code));
                    *response.status_mut() = refusal.status;
                    refusal.apply_headers(response.headers_mut());
                    response
                }
            })
        }
    });
    let builder = hyper::server::conn::http1::Builder::new();
    let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
