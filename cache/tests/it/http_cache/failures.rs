//! One load for all, and what becomes of them when it fails.

use std::io;

use futures_util::future::{BoxFuture, join_all};
use http::StatusCode;
use tokio::sync::Notify;
use tramline_cache::{Error, ErrorKind};

use super::*;

/// Answers when it is let.
pub(super) fn gated<E: Send + 'static>(
    gate: &Arc<Notify>,
    answer: fn() -> Result<Response<Body>, E>,
) -> impl Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Result<Response<Body>, E>> + Clone + Send + use<E> {
    let gate = Arc::clone(gate);
    move |_| {
        let gate = Arc::clone(&gate);
        Box::pin(async move {
            gate.notified().await;
            answer()
        })
    }
}

pub(super) async fn all<E: Send + 'static>(
    site: &Site<E>,
    gate: &Notify,
    many: usize,
) -> Vec<Result<Answer, E>> {
    let asking = join_all((0..many).map(|_| site.send(request("GET", "/x", &[]))));
    let opening = async {
        tokio::task::yield_now().await;
        gate.notify_one();
    };
    futures_util::future::join(asking, opening).await.0
}

/// As `all`, of a service that fails: who waited asks again.
pub(super) async fn twice<E: Send + 'static>(
    site: &Site<E>,
    gate: &Notify,
    many: usize,
) -> Vec<Result<Answer, E>> {
    let asking = join_all((0..many).map(|_| site.send(request("GET", "/x", &[]))));
    let opening = async {
        tokio::task::yield_now().await;
        gate.notify_one();
        until(|| site.asked() == 2).await;
        gate.notify_one();
    };
    futures_util::future::join(asking, opening).await.0
}

#[tokio::test]
async fn many_who_ask_at_once_ask_once() {
    let gate = Arc::new(Notify::new());
    let site =
        Site::new(minute(), everything, gated(&gate, || Ok::<_, Infallible>(Response::new(full("one")))));
    for answer in all(&site, &gate, 100).await {
        let Ok(answer) = answer;
        assert_eq!(read(answer).await.body, "one");
    }
    assert_eq!((site.asked(), site.cache.stats().loads), (1, 1));
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_end_the_load() {
    let (gate, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (open, told) = (Arc::clone(&gate), Arc::clone(&begun));
    let site = Site::new(minute(), everything, move |_| {
        let (open, told) = (Arc::clone(&open), Arc::clone(&told));
        async move {
            told.notify_one();
            open.notified().await;
            Ok::<_, Infallible>(Response::new(full("kept")))
        }
    });
    let first = tokio::spawn(site.service.clone().oneshot(request("GET", "/x", &[])));
    begun.notified().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.notify_one();
    until(|| site.cache.stats().entries == 1).await;
    let read = site.get("/x", &[]).await;
    assert_eq!((read.body.as_str(), read.from(), site.asked()), ("kept", Some("hit"), 1));
}

#[tokio::test]
async fn the_services_own_error_goes_to_whose_request_it_was_and_the_others_hear_of_it() {
    let gate = Arc::new(Notify::new());
    let refuse = || Err(io::Error::new(io::ErrorKind::ConnectionRefused, "down"));
    let site: Site<io::Error> = Site::new(minute(), everything, gated(&gate, refuse));
    let (own, others): (Vec<_>, Vec<_>) = twice(&site, &gate, 5).await.into_iter().partition(Result::is_err);
    // His who asked first, and his who asked again for those who had waited.
    assert_eq!((own.len(), others.len()), (2, 3));
    for own in own {
        assert_eq!(own.unwrap_err().kind(), io::ErrorKind::ConnectionRefused, "itself, not a copy");
    }
    for other in others {
        let other = other.unwrap();
        assert_eq!(other.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(other.headers()["cache-control"], "no-store");
        assert_eq!(other.extensions().get::<Error>().unwrap().kind(), ErrorKind::Load);
    }
    assert_eq!((site.asked(), site.cache.stats().entries), (2, 0), "and once more");
}

#[tokio::test]
async fn failures_answer_all_who_waited_and_are_not_kept() {
    let gate = Arc::new(Notify::new());
    let down = || Ok::<_, Infallible>(Response::builder().status(503).body(full("down")).unwrap());
    let site = Site::new(minute(), everything, gated(&gate, down));
    for answer in twice(&site, &gate, 5).await {
        let Ok(answer) = answer;
        assert_eq!(answer.status(), 503);
        assert_eq!(read(answer).await.body, "down");
    }
    assert_eq!(
        (site.asked(), site.cache.stats().entries),
        (2, 0),
        "once for all, and once more for who waited"
    );
}

/// The request of one may be at fault: he must not be able to hold a page down for the others.
#[tokio::test]
async fn who_waited_for_a_request_that_failed_asks_again_with_his_own() {
    for status in ["500", "400"] {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (told, let_go) = (Arc::clone(&begun), Arc::clone(&go));
        let site = Site::new(minute(), everything, move |request: Request<Full<Bytes>>| {
            let (told, let_go) = (Arc::clone(&told), Arc::clone(&let_go));
            let bad = request.headers().contains_key("x-bad");
            async move {
                if bad {
                    told.notify_one();
                    let_go.notified().await;
                    return Ok(Response::builder().status(status).body(full("bad")).unwrap());
                }
                Ok::<_, Infallible>(Response::new(full("well")))
            }
        });
        let bad = tokio::spawn(site.service.clone().oneshot(request("GET", "/x", &[("x-bad", "1")])));
        begun.notified().await;
        let waiting = join_all((0..5).map(|_| site.get("/x", &[])));
        let letting = async {
            tokio::task::yield_now().await;
            go.notify_one();
        };
        for read in futures_util::future::join(waiting, letting).await.0 {
            assert_eq!((read.head.status.as_u16(), read.body.as_str()), (200, "well"), "{status}");
        }
        assert_eq!(bad.await.unwrap().unwrap().status().as_str(), status);
        assert_eq!(site.asked(), 2, "{status}: one for all of them");
    }
}

#[tokio::test]
async fn a_panic_is_500() {
    let site = Site::new(minute(), everything, async |_| -> Result<Response<Body>, Infallible> {
        panic!("planned")
    });
    assert_eq!(site.get("/x", &[]).await.head.status, 500);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_too_long_is_504() {
    let site = Site::new(minute(), everything, async |_| -> Result<Response<Body>, Infallible> {
        std::future::pending().await
    });
    assert_eq!(site.get("/x", &[]).await.head.status, 504);
}

/// Nobody waits for a hanging request of somebody else for much longer than for his own.
#[tokio::test(start_paused = true)]
async fn who_came_late_to_a_request_that_hangs_asks_with_his_own() {
    let site = Site::new(minute(), everything, async |request: Request<Full<Bytes>>| {
        if request.headers().contains_key("x-bad") {
            return std::future::pending().await;
        }
        Ok::<_, Infallible>(Response::new(full("well")))
    });
    let ask = async |after: u64, fields: &[(&str, &str)]| {
        sleep(Duration::from_secs(after)).await;
        let read = site.get("/x", fields).await;
        read.head.status.as_u16()
    };
    let well = [10, 16, 29].map(|after| ask(after, &[]));
    let (bad, well) = futures_util::future::join(ask(0, &[("x-bad", "1")]), join_all(well)).await;
    assert_eq!((bad, &well[..]), (504, &[504, 200, 200][..]));
    assert_eq!(site.asked(), 2, "one for both");
}

/// Never ready.
#[derive(Clone)]
struct Busy;

impl tower::Service<Request<Full<Bytes>>> for Busy {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Pending
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> Self::Future {
        panic!("called though it is not ready")
    }
}

#[tokio::test]
async fn what_is_kept_is_answered_though_the_service_is_busy() {
    use futures_util::FutureExt;
    let site = Site::new(minute(), everything, numbered(&[]));
    site.get("/x", &[]).await;
    let busy = HttpCacheLayer::new(site.cache.clone(), HttpCacheConfig::default(), everything).layer(Busy);
    let Ok(kept) = busy.clone().oneshot(request("GET", "/x", &[])).await;
    assert_eq!(read(kept).await.body, "1");
    assert!(busy.clone().oneshot(request("GET", "/y", &[])).now_or_never().is_none());
    assert!(busy.oneshot(request("POST", "/x", &[])).now_or_never().is_none());
}
