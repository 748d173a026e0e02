//! Another table while requests pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tramline_streaming_proxy::{Route, Routes, Upstream, UpstreamConfig};

use crate::client::{Client, get, read_head};
use crate::origin::{Front, listen, raw, soon};

/// A table as it is read from a file: everything in it is new.
fn table(addresses: &[SocketAddr], config: &UpstreamConfig) -> Routes {
    let addresses = addresses.iter().map(ToString::to_string);
    let upstream = Upstream::new("test", addresses, config.clone()).unwrap();
    Routes::new([Route::new("/", upstream.clone()), Route::new("/other", upstream)]).unwrap()
}

#[tokio::test]
async fn pools_bounds_and_health_survive() {
    let connections = Arc::new(AtomicUsize::new(0));
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let upstream = raw({
        let (connections, gate, arrived) = (connections.clone(), gate.clone(), arrived.clone());
        move |mut stream, _| {
            connections.fetch_add(1, Ordering::SeqCst);
            let (gate, arrived) = (gate.clone(), arrived.clone());
            async move {
                let mut buffer = Vec::new();
                while let Some(head) = read_head(&mut stream, &mut buffer).await {
                    if head.starts_with("GET /slow") {
                        arrived.add_permits(1);
                        gate.acquire().await.unwrap().forget();
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                }
            }
        }
    })
    .await;
    let mut config = UpstreamConfig::default();
    config.max_in_flight = 1;
    config.max_waiting = 0;
    let front = Front::with(&[upstream], config.clone(), Default::default(), Default::default()).await;
    front.forwarder.set_routes(table(&[upstream], &config));
    assert_eq!(get(front.addr, "/").await.text(), "ok");
    front.forwarder.set_routes(table(&[upstream], &config));
    assert_eq!(get(front.addr, "/other").await.text(), "ok");
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection is kept over the swap");

    // What is in flight by the old table counts in the new one, and is not cut.
    let mut slow = Client::connect(front.addr).await;
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    soon("arrived", arrived.acquire()).await.unwrap().forget();
    front.forwarder.set_routes(table(&[upstream], &config));
    assert_eq!(get(front.addr, "/other").await.status, 503);
    gate.add_permits(1);
    assert_eq!(slow.answer().await.text(), "ok");

    // An address that failed is still passed over when others come to it.
    let (free, away) = listen().await;
    drop(free);
    front.forwarder.set_routes(table(&[away], &config));
    assert_eq!(get(front.addr, "/").await.status, 502);
    front.forwarder.set_routes(table(&[away, upstream], &config));
    let available =
        || front.forwarder.routes().iter().map(|route| route.upstream.available()).collect::<Vec<_>>();
    assert_eq!(available(), [1, 1]);

    // Another configuration is another upstream.
    config.max_in_flight = 2;
    front.forwarder.set_routes(table(&[away, upstream], &config));
    assert_eq!(available(), [2, 2]);
}

/// Scenario: a table in TOML is replaced by one in which the route of a running download is gone. The download goes on to
/// its last byte, the client's connection serves the next request by the new table, and the upstream's kept connection
/// serves it.
#[tokio::test]
async fn a_download_and_a_kept_connection_outlive_their_table() {
    let connections = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Semaphore::new(0));
    let upstream = raw({
        let (connections, gate) = (connections.clone(), gate.clone());
        move |mut stream, _| {
            connections.fetch_add(1, Ordering::SeqCst);
            let gate = gate.clone();
            async move {
                let mut buffer = Vec::new();
                while let Some(head) = read_head(&mut stream, &mut buffer).await {
                    if head.starts_with("GET /large") {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await.unwrap();
                        gate.acquire().await.unwrap().forget();
                        stream.write_all(b"full").await.unwrap();
                    } else {
                        let target = head.split(' ').nth(1).unwrap();
                        let length = target.len();
                        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{target}");
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            }
        }
    })
    .await;
    let table = |route: &str| {
        let text = format!("[upstreams.test]\nfrom = \"TEST\"\n[[routes]]\nupstream = \"test\"\n{route}");
        Routes::from_toml(&text, |name| (name == "TEST").then(|| upstream.to_string())).unwrap()
    };
    let front = Front::new(upstream).await;
    front.forwarder.set_routes(table("prefix = \"/\""));
    // One connection to the upstream is kept, another one is in use.
    let mut kept = Client::connect(front.addr).await;
    let mut download = Client::connect(front.addr).await;
    kept.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(kept.answer().await.text(), "/a");
    download.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(download.head().await.unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(download.exactly(4).await.unwrap(), b"half");
    kept.send("GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(kept.answer().await.text(), "/b");
    assert_eq!(connections.load(Ordering::SeqCst), 2);

    front.forwarder.set_routes(table("pattern = \"/new/{x}\"\ntemplate = \"/{x}\""));
    kept.send("GET /new/c HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(kept.answer().await.text(), "/c");
    assert_eq!(kept.answer().await.status, 404);
    gate.add_permits(1);
    assert_eq!(download.exactly(4).await.unwrap(), b"full");
    download.send("GET /new/d HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(download.answer().await.text(), "/d");
    assert_eq!(connections.load(Ordering::SeqCst), 2, "no connection was opened for the new table");
}
