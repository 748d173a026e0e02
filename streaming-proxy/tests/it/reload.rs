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
