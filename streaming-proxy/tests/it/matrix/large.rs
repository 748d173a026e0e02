//! Bodies that fit into no buffer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncReadExt;

use super::kit::{Http1, Http2, LARGE, MIB, PAIRS, Pieces, boxed, check, front, piece};
use crate::client::{Client, read_head};
use crate::h2client::{H2, next, request, send_all};
use crate::origin::soon;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_ones_up_and_down() {
    for (of, to) in PAIRS {
        let front = front(to, |request: Request<Incoming>| async move {
            let mut body = request.into_body();
            let mut at = 0;
            while let Some(frame) = body.frame().await {
                let data = frame.unwrap().into_data().unwrap();
                check(&data, at);
                at += data.len() as u64;
            }
            assert_eq!(at, LARGE);
            Response::builder().header("content-length", LARGE).body(boxed(Pieces::new(LARGE))).unwrap()
        })
        .await;
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
                for at in (0..LARGE).step_by(usize::try_from(MIB).unwrap()) {
                    client.send(piece(at, MIB)).await;
                }
                let mut at = 0;
                let mut rest = Vec::new();
                let head = soon("a head", read_head(&mut client.stream, &mut rest)).await.unwrap();
                assert!(head.starts_with("HTTP/1.1 200"), "{of:?} {to:?}: {head}");
                while at < LARGE {
                    if rest.is_empty() {
                        assert_ne!(
                            soon("more", client.stream.read_buf(&mut rest)).await.unwrap(),
                            0,
                            "{of:?} {to:?}"
                        );
                    }
                    check(&rest, at);
                    at += rest.len() as u64;
                    rest.clear();
                }
                assert_eq!(at, LARGE);
            }
            Http2 => {
                let client = H2::connect(front.addr).await;
                let (answer, mut stream) = client.begin(request("POST", "/"), true).await;
                for at in (0..LARGE).step_by(usize::try_from(MIB).unwrap()) {
                    send_all(&mut stream, piece(at, MIB), at + MIB == LARGE).await;
                }
                let mut body = soon("a head", answer).await.unwrap().into_body();
                let mut at = 0;
                while let Some(data) = next(&mut body).await {
                    let data = data.unwrap();
                    check(&data, at);
                    at += data.len() as u64;
                }
                assert_eq!(at, LARGE, "{of:?} {to:?}");
            }
        }
    }
}

/// What may be under way: far below the whole. The kernel holds up to 4 MiB for each of four socket ends.
const UNDER_WAY: u64 = 24 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses_holds_the_upstream() {
    for (of, to) in PAIRS {
        let made = Arc::new(AtomicU64::new(0));
        let front = front(to, {
            let made = made.clone();
            move |_| {
                let mut pieces = Pieces::new(LARGE);
                pieces.made = made.clone();
                async move { Response::builder().header("content-length", LARGE).body(boxed(pieces)).unwrap() }
            }
        })
        .await;
        // Whoever produces gets every chance to run ahead.
        let settled = async || {
            let mut before = u64::MAX;
            let mut same = 0;
            while same < 200 {
                tokio::task::yield_now().await;
                let now = made.load(Ordering::SeqCst);
                same = if now == before { same + 1 } else { 0 };
                before = now;
            }
        };
        match of {
            Http1 => {
                let mut client = Client::connect(front.addr).await;
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                client.head().await.unwrap();
                settled().await;
                assert!(made.load(Ordering::SeqCst) <= UNDER_WAY, "{of:?} {to:?}: {made:?}");
            }
            Http2 => {
                // Its own window for all streams must not be what holds the other one up.
                let mut builder = h2::client::Builder::new();
                builder.initial_connection_window_size(1 << 20);
                let client = H2::with(front.addr, &builder).await;
                let (answer, _) = client.begin(request("GET", "/"), false).await;
                let body = soon("a head", answer).await.unwrap().into_body();
                settled().await;
                assert!(made.load(Ordering::SeqCst) <= UNDER_WAY, "{of:?} {to:?}: {made:?}");
                // Another stream of the same connection is not held up.
                let (other, _) = client.begin(request("GET", "/"), false).await;
                let mut other = soon("another head", other).await.unwrap().into_body();
                let mut at = 0;
                while at < 4 * MIB {
                    let data = next(&mut other).await.unwrap().unwrap();
                    check(&data, at);
                    at += data.len() as u64;
                }
                drop(body);
            }
        }
    }
}
