//! Origins that are killed and started again, one after the other, while requests come.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::server::{RequestBody, ServerConfig, serve};
use tramline_streaming_proxy::{ProxyConfig, UpstreamConfig};

use crate::client::Client;
use crate::origin::{Front, listen, soon};

/// An origin that says what it was sent, and counts.
struct Origin {
    addr: SocketAddr,
    served: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Origin {
    fn start(listener: TcpListener) -> Self {
        let (addr, served) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = served.clone();
        let service = tower::service_fn(move |request: Request<RequestBody>| {
            let count = count.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body =
                    request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                count.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from([path.as_bytes(), &body].concat()))))
            }
        });
        let server = tokio::spawn(serve(listener, service, ServerConfig::default(), std::future::pending()));
        Self { addr, served, server }
    }

    fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    /// Kills it in the middle of whatever it does.
    async fn kill(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }
}

/// Requests one after the other, each of which must be answered whole.
async fn load(front: SocketAddr, number: usize, stop: Arc<AtomicBool>) -> usize {
    let mut client = Client::connect(front).await;
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        let path = format!("/{number}/{count}");
        let (request, wanted) = if count % 3 == 0 {
            let body = format!("body of {path}");
            let length = body.len();
            (
                format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}"),
                format!("{path}{body}"),
            )
        } else {
            (format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), path)
        };
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, wanted.as_str()), "{}", answer.head);
        count += 1;
    }
    count
}

#[tokio::test]
async fn no_request_fails_while_origins_are_killed_one_after_the_other() {
    let mut origins = Vec::new();
    for _ in 0..3 {
        origins.push(Origin::start(listen().await.0));
    }
    let addresses: Vec<_> = origins.iter().map(|origin| origin.addr).collect();
    let mut config = UpstreamConfig::default();
    // So that the test is not long: by default one that was away is asked again after half a second.
    (config.avoid, config.avoid_max) = (Duration::from_millis(5), Duration::from_millis(20));
    let front = Front::with(&addresses, config, Timeouts::default(), ProxyConfig::default()).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8).map(|number| tokio::spawn(load(front.addr, number, stop.clone()))).collect();
    for round in 0..9 {
        let which = round % 3;
        let before = origins[which].served();
        soon("it has requests", async {
            while origins[which].served() < before + 20 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        origins[which].kill().await;
        let others = |origins: &[Origin]| -> usize { origins.iter().map(Origin::served).sum() };
        let before = others(&origins);
        soon("the others have its requests", async {
            while others(&origins) < before + 50 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let addr = origins[which].addr;
        origins[which] = Origin::start(TcpListener::bind(addr).await.unwrap());
        soon("it is found again", async {
            while origins[which].served() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for client in clients {
        answered += soon("a client", client).await.unwrap();
    }
    assert!(answered >= 9 * 70, "{answered}");
}
