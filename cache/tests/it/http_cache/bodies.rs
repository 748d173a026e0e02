//! Bodies that are long, slow, broken, or more than bytes.

use std::sync::Mutex;

use http::StatusCode;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::{Notify, mpsc};

use super::failures::{gated, twice};
use super::*;

/// A body that says what it is sent.
fn streamed(frames: mpsc::Receiver<Result<Frame<Bytes>, BoxError>>) -> Body {
    let frames =
        futures_util::stream::unfold(frames, async |mut frames| Some((frames.recv().await?, frames)));
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// The frames of a body, all there is of it.
fn body(frames: Vec<Result<Frame<Bytes>, BoxError>>) -> Body {
    BodyExt::boxed_unsync(StreamBody::new(futures_util::stream::iter(frames)))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from(text)))
}

#[tokio::test]
async fn a_body_that_breaks_midway_is_not_kept_and_every_waiter_hears_of_it() {
    let gate = Arc::new(Notify::new());
    let broken = || Ok::<_, Infallible>(Response::new(body(vec![data("half"), Err("cut".into())])));
    let site = Site::new(minute(), everything, gated(&gate, broken));
    let (mut cut, mut told) = (0, 0);
    // Who waited asks again, one for all of them.
    for answer in twice(&site, &gate, 5).await {
        let Ok(answer) = answer;
        match answer.status() {
            StatusCode::OK => {
                let mut body = answer.into_body();
                assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "half");
                assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "cut");
                cut += 1;
            }
            StatusCode::BAD_GATEWAY => told += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((cut, told, site.asked(), site.cache.stats().entries), (2, 3, 2, 0));
}

#[tokio::test]
async fn a_body_shorter_than_it_says_is_broken() {
    let site = Site::new(minute(), everything, async |_| {
        Ok::<_, Infallible>(
            Response::builder().header("content-length", "5").body(body(vec![data("four")])).unwrap(),
        )
    });
    let Ok(answer) = site.send(request("GET", "/x", &[])).await;
    assert!(answer.into_body().collect().await.is_err());
    assert_eq!(site.cache.stats().entries, 0);
}

#[tokio::test]
async fn bodies_over_the_bound_are_passed_on_whole_and_not_kept() {
    let exact = "x".repeat(1000);
    let over: &'static str = "x".repeat(1001).leak();
    for stated in [true, false] {
        let site = Site::new(minute(), everything, move |request: Request<Full<Bytes>>| {
            let long = request.uri().path() == "/long";
            let text = if long { over } else { &over[1..] };
            let (left, right) = text.split_at(500);
            let body = if stated { full(text) } else { body(vec![data(left), data(right)]) };
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        for (path, expected, from) in [
            ("/long", over, "miss"),
            ("/long", over, "miss"),
            ("/short", &exact, "miss"),
            ("/short", &exact, "hit"),
        ] {
            let read = site.get(path, &[]).await;
            assert_eq!(read.from(), Some(from), "{path} {stated}");
            assert!(read.body == expected, "{path} {stated}");
        }
    }
}

/// However small the pieces are, no more is held than their bytes.
#[tokio::test(start_paused = true)]
async fn pieces_are_held_as_one() {
    for many in [1000, 1001] {
        let site = Site::new(minute(), everything, move |_| {
            let pieces = (0..many).flat_map(|_| [data(""), data("x")]).chain([data("")]);
            std::future::ready(Ok::<_, Infallible>(Response::new(body(pieces.collect()))))
        });
        let Ok(answer) = site.send(request("GET", "/x", &[])).await;
        let piece = answer.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(piece.len(), many);
        assert_eq!(site.cache.stats().entries, u64::from(many == 1000));
    }
}

/// It never waits, and never ends.
#[tokio::test]
async fn a_body_that_says_nothing_for_ever_is_passed_on() {
    let site = Site::new(minute(), everything, numbered(&[]));
    let service = service_fn(async |_: Request<Full<Bytes>>| {
        let nothing = futures_util::stream::repeat_with(|| data(""));
        Ok::<Response<Body>, Infallible>(Response::new(BodyExt::boxed_unsync(StreamBody::new(nothing))))
    });
    let mut config = HttpCacheConfig::default();
    config.body_timeout = Duration::from_millis(5);
    let service = HttpCacheLayer::new(site.cache.clone(), config, everything).layer(service);
    let Ok(answer) = service.oneshot(request("GET", "/x", &[])).await;
    assert!(answer.into_body().frame().await.unwrap().unwrap().into_data().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_without_end_is_passed_on_as_it_comes() {
    let (frames, body) = mpsc::channel(8);
    let body = Arc::new(Mutex::new(Some(body)));
    let site = Site::new(minute(), everything, move |_| {
        let body = streamed(body.lock().unwrap().take().unwrap());
        std::future::ready(Ok::<_, Infallible>(Response::new(body)))
    });
    frames.send(data("one")).await.unwrap();
    let Ok(answer) = site.send(request("GET", "/x", &[])).await;
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    frames.send(data("two")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(body);
    assert!(frames.send(data("three")).await.is_err(), "who goes away ends it");
    assert_eq!(site.cache.stats().entries, 0);
}

#[tokio::test]
async fn trailers_are_not_lost() {
    let site = Site::new(minute(), everything, async |_| {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        Ok::<_, Infallible>(Response::new(body(vec![data("one"), Ok(Frame::trailers(trailers))])))
    });
    for _ in 0..2 {
        let Ok(answer) = site.send(request("GET", "/x", &[])).await;
        let whole = answer.into_body().collect().await.unwrap();
        assert_eq!(whole.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(whole.to_bytes(), "one");
    }
}
