//! What an upstream of HTTP/2 allows, before it has said so.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::h2_upstream::{answer, fine, front, http2};
use crate::h2raw::{HEADERS, PREFACE, Raw, SETTINGS};
use crate::origin::{raw, soon};

#[tokio::test]
async fn until_an_upstream_says_how_many_streams_there_are_it_has_one() {
    // Scenario: a request comes while a connection has just been opened, and the upstream's settings are on their way.
    for (most, connections) in [(1, 2), (100, 1)] {
        let (asked, settle) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let opened = Arc::new(AtomicUsize::new(0));
        let origin = raw({
            let (asked, settle, opened) = (asked.clone(), settle.clone(), opened.clone());
            move |stream, connection| {
                let (asked, settle) = (asked.clone(), settle.clone());
                opened.fetch_add(1, Ordering::SeqCst);
                async move {
                    if connection > 0 {
                        return fine(stream).await;
                    }
                    let mut raw = Raw { stream };
                    let mut preface = [0; PREFACE.len()];
                    raw.stream.read_exact(&mut preface).await.unwrap();
                    let first = raw.until(HEADERS).await.unwrap().stream;
                    asked.notify_one();
                    settle.notified().await;
                    raw.send(SETTINGS, 0, 0, &[&3_u16.to_be_bytes()[..], &u32::to_be_bytes(most)].concat())
                        .await;
                    // The first is not answered before the second was asked, wherever that is.
                    while let Some(request) = raw.until(HEADERS).await {
                        answer(&mut raw, request.stream).await;
                        answer(&mut raw, first).await;
                    }
                }
            }
        })
        .await;
        let front = front(&[origin], http2()).await;
        let post = || http::Request::post("http://a/").body(String::new()).unwrap();
        let first = tokio::spawn(front.forwarder.clone().oneshot(post()));
        soon("the first", asked.notified()).await;
        let mut second = pin!(front.forwarder.clone().oneshot(post()));
        let is_pending = poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await;
        assert!(is_pending);
        settle.notify_one();
        assert_eq!(soon("the second", second).await.unwrap().status(), 200);
        assert_eq!(opened.load(Ordering::SeqCst), connections);
        first.abort();
    }
}
