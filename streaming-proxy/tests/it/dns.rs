//! Names that are looked up again and again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::{Notify, Semaphore};
use tramline_streaming_proxy::config::Balance;
use tramline_streaming_proxy::server::ServerConfig;
use tramline_streaming_proxy::{Forwarder, ProxyConfig, Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, get, read_head};
use crate::origin::{Front, raw, soon};

/// What a name means, for a resolver of a test; nothing is an error.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<Vec<SocketAddr>>>);

impl Zone {
    fn set(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }
}

async fn front(zone: &Zone) -> (Front, Upstream) {
    let mut config = UpstreamConfig::default();
    config.resolve_every = Duration::from_millis(1);
    config.balance = Balance::RoundRobin;
    let zone = zone.clone();
    let look_up = move |host: String, port: u16| {
        assert_eq!((host.as_str(), port), ("shop.test", 8080));
        let found = zone.0.lock().unwrap().clone();
        async move { if found.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(found) } }
    };
    let upstream = Upstream::with_resolver("test", ["shop.test:8080"], config, look_up).unwrap();
    let routes = Routes::new([Route::new("/", upstream.clone())]).unwrap();
    (Front::serving(Forwarder::new(ProxyConfig::default(), routes), ServerConfig::default()).await, upstream)
}

/// Answers with its name and the `Host` that it was asked for; `/large` waits in its middle.
async fn origin(name: &'static str, gate: Arc<Semaphore>, closed: Arc<Notify>) -> SocketAddr {
    raw(move |mut stream, _| {
        let (gate, closed) = (gate.clone(), closed.clone());
        async move {
            let mut buffer = Vec::new();
            while let Some(head) = read_head(&mut stream, &mut buffer).await {
                if head.starts_with("GET /large") {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await.unwrap();
                    gate.acquire().await.unwrap().forget();
                    stream.write_all(b"full").await.unwrap();
                    continue;
                }
                assert!(head.to_ascii_lowercase().contains("\r\nhost: shop.test:8080\r\n"), "{head}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            closed.notify_one();
        }
    })
    .await
}

async fn plain(name: &'static str) -> SocketAddr {
    origin(name, Arc::new(Semaphore::new(0)), Arc::new(Notify::new())).await
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    soon(what, async {
        while !done().await {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_with_two_addresses_is_two_and_an_answer_without_one_changes_nothing() {
    let zone = Zone::default();
    zone.set(&[plain("a").await, plain("b").await]);
    let (front, upstream) = front(&zone).await;
    // The first waits for the look-up.
    let first = get(front.addr, "/").await;
    assert_eq!(first.status, 200);
    until("both are there", async || upstream.available() == 2).await;
    for _ in 0..3 {
        let mut both =
            [get(front.addr, "/").await.text().to_owned(), get(front.addr, "/").await.text().to_owned()];
        both.sort();
        assert_eq!(both, ["a", "b"]);
    }
    assert_eq!(upstream.addresses().collect::<Vec<_>>(), ["shop.test:8080"]);
    zone.set(&[]);
    for _ in 0..20 {
        assert_eq!(get(front.addr, "/").await.status, 200);
    }
    assert_eq!(upstream.available(), 2);
}

#[tokio::test]
async fn an_address_that_left_ends_what_it_does_and_gets_nothing_new() {
    let (gate, closed) = (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()));
    let old = origin("old", gate.clone(), closed.clone()).await;
    let new = plain("new").await;
    let zone = Zone::default();
    zone.set(&[old]);
    let (front, _) = front(&zone).await;
    let mut download = Client::connect(front.addr).await;
    download.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(download.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(download.exactly(4).await.unwrap(), b"half");
    assert_eq!(get(front.addr, "/").await.text(), "old");
    zone.set(&[new]);
    until("the new one is asked", async || get(front.addr, "/").await.text() == "new").await;
    for _ in 0..20 {
        assert_eq!(get(front.addr, "/").await.text(), "new");
    }
    // The connection that was kept is closed; the one with the download is not.
    soon("the kept one", closed.notified()).await;
    gate.add_permits(1);
    assert_eq!(download.exactly(4).await.unwrap(), b"full");
    soon("the other one", closed.notified()).await;
}

#[tokio::test]
async fn a_name_that_is_not_found_is_told_and_found_later() {
    let zone = Zone::default();
    let (front, _) = front(&zone).await;
    for _ in 0..2 {
        let answer = get(front.addr, "/").await;
        assert_eq!((answer.status, answer.header("proxy-status")), (502, Some("tramline; error=dns_error")));
    }
    zone.set(&[plain("a").await]);
    until("it is found", async || get(front.addr, "/").await.status == 200).await;
}

#[tokio::test]
async fn what_was_found_outlives_another_table() {
    // Scenario: the resolver is away when a table is reloaded.
    let zone = Zone::default();
    zone.set(&[plain("a").await]);
    let (front, _) = front(&zone).await;
    assert_eq!(get(front.addr, "/").await.text(), "a");
    let mut config = UpstreamConfig::default();
    config.resolve_every = Duration::from_millis(1);
    config.balance = Balance::RoundRobin;
    let away = |_, _| async { Err(io::ErrorKind::TimedOut.into()) };
    let addresses = ["shop.test:8080", "127.0.0.1:9"];
    let upstream = Upstream::with_resolver("test", addresses, config, away).unwrap();
    front.forwarder.set_routes(Routes::new([Route::new("/x", upstream)]).unwrap());
    assert_eq!(get(front.addr, "/x").await.text(), "a");
}
