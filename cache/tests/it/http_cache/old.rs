//! Answers whose life is over.

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;

/// Answers by the switch: first well, then otherwise.
fn switched(
    well: &'static str,
    otherwise: &'static [(&'static str, &'static str)],
) -> (CancellationToken, impl Fn(Request<Full<Bytes>>) -> Ready + Clone + Send) {
    let switch = CancellationToken::new();
    let off = switch.clone();
    let other = numbered(otherwise);
    let service = move |request| {
        if off.is_cancelled() {
            return other(request);
        }
        let answer = Response::builder().header("cache-control", well);
        std::future::ready(Ok(answer.body(full("well")).unwrap()))
    };
    (switch, service)
}

#[tokio::test]
async fn old_answers_stand_in_for_failures_as_long_as_they_say() {
    let mut policy = minute();
    policy.stale_for = Some(Duration::from_secs(30));
    policy.retry_after = Duration::ZERO;
    for (said, until) in
        [("max-age=10", 30), ("max-age=10, stale-if-error=5", 5), ("max-age=10, must-revalidate", 0)]
    {
        let (switch, service) = switched(said, &[(":status", "500")]);
        let site = Site::new(policy.clone(), everything, service);
        site.get("/x", &[]).await;
        switch.cancel();
        if until > 0 {
            site.clock.advance(Duration::from_secs(9 + until));
            let read = site.get("/x", &[]).await;
            assert_eq!((read.body.as_str(), read.from()), ("well", Some("stale")), "{said}");
            assert_eq!(read.field("age"), Some(&*(9 + until).to_string()), "{said}");
        }
        site.clock.advance(Duration::from_secs(if until > 0 { 1 } else { 10 }));
        assert_eq!(site.get("/x", &[]).await.head.status, 500, "{said}");
    }
}

/// What a failure says of itself (frameworks like to say `no-store`) does not make it better than what is old.
#[tokio::test]
async fn failures_that_are_for_one_only_leave_old_answers_alone() {
    let mut policy = minute();
    policy.stale_for = Some(Duration::from_secs(30));
    policy.retry_after = Duration::ZERO;
    let failures: [&'static [_]; 4] = [
        &[(":status", "503"), ("cache-control", "no-store")],
        &[(":status", "500"), ("set-cookie", "session=ada")],
        &[(":status", "502"), ("vary", "cookie")],
        &[(":status", "500"), ("content-length", "2000")],
    ];
    for failure in failures {
        let (switch, service) = switched("max-age=10", failure);
        let site = Site::new(policy.clone(), everything, service);
        site.get("/x", &[]).await;
        switch.cancel();
        site.clock.advance(Duration::from_secs(20));
        for turn in 0..2 {
            let read = site.get("/x", &[]).await;
            assert_eq!((read.body.as_str(), read.from()), ("well", Some("stale")), "{turn} {failure:?}");
        }
        site.clock.advance(Duration::from_secs(20));
        assert!(site.get("/x", &[]).await.head.status.is_server_error(), "{failure:?}");
        assert_eq!(site.asked(), 4, "{failure:?}");
    }
}

/// The same service, where all but the first request wait to be let through.
#[allow(clippy::type_complexity, reason = "said once, and a closure has no other name")]
fn waiting<F, Fut>(
    service: F,
) -> (
    Arc<Notify>,
    impl Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Fut::Output> + Clone + Send + use<F, Fut>,
)
where
    F: Fn(Request<Full<Bytes>>) -> Fut + Clone + Send + 'static,
    Fut: Future + Send + 'static,
{
    let gate = Arc::new(Notify::new());
    gate.notify_one();
    let waits = Arc::clone(&gate);
    let service = move |request| {
        let (waits, answer) = (Arc::clone(&waits), service(request));
        let answer: BoxFuture<'static, Fut::Output> = Box::pin(async move {
            waits.notified().await;
            answer.await
        });
        answer
    };
    (gate, service)
}

#[tokio::test]
async fn old_answers_are_given_while_the_new_one_is_made() {
    let mut policy = minute();
    policy.stale_for = Some(Duration::from_secs(30));
    policy.soft_timeout = Some(Duration::ZERO);
    let (gate, service) = waiting(numbered(&[("cache-control", "max-age=10, stale-while-revalidate=5")]));
    let site = Site::new(policy, everything, service);
    site.get("/x", &[]).await;
    site.clock.advance(Duration::from_secs(14));
    let read = site.get("/x", &[]).await;
    assert_eq!((read.body.as_str(), read.from()), ("1", Some("stale")));
    gate.notify_one();
    until(|| site.asked() == 2 && site.store.stats().loading == 0).await;
    let read = site.get("/x", &[]).await;
    assert_eq!((read.body.as_str(), read.from()), ("2", Some("hit")));
    site.clock.advance(Duration::from_secs(15));
    gate.notify_one();
    assert_eq!(site.get("/x", &[]).await.from(), Some("miss"), "its time is over");
}

#[tokio::test]
async fn what_is_old_does_not_come_back_after_an_answer_that_is_not_kept() {
    let mut policy = minute();
    policy.stale_for = Some(Duration::from_secs(600));
    policy.soft_timeout = Some(Duration::ZERO);
    for gone in [&[(":status", "404")][..], &[("cache-control", "no-store")], &[(":status", "401")]] {
        let (switch, service) = switched("max-age=10", gone);
        let (gate, service) = waiting(service);
        let site = Site::new(policy.clone(), everything, service);
        site.get("/x", &[]).await;
        switch.cancel();
        site.clock.advance(Duration::from_secs(11));
        assert_eq!(site.get("/x", &[]).await.from(), Some("stale"));
        gate.notify_one();
        until(|| site.cache.stats().entries == 0).await;
        gate.notify_one();
        assert_eq!(site.get("/x", &[]).await.from(), Some("miss"), "{gone:?}");
    }
}

/// What is wrong with one request says nothing of what is kept for the others.
#[tokio::test]
async fn a_bad_request_does_not_push_out_what_is_kept() {
    let service = async |request: Request<Full<Bytes>>| {
        let status = request.headers().get("x-bad").map_or("200", |status| status.to_str().unwrap());
        Ok(Response::builder().status(status).body(full(status.to_owned())).unwrap())
    };
    for status in ["400", "405", "406", "408", "415", "417", "421", "425", "429", "431"] {
        let mut policy = minute();
        policy.refresh = tramline_cache::Refresh::At { share: 0.5 };
        let site = Site::new(policy, everything, service);
        site.get("/x", &[]).await;
        site.clock.advance(Duration::from_secs(40));
        // The refresh is asked with what he says who hit.
        assert_eq!(site.get("/x", &[("x-bad", status)]).await.body, "200");
        until(|| site.asked() == 2 && site.store.stats().loading == 0).await;
        assert_eq!(site.cache.stats().entries, 1, "{status}");
        assert_eq!(site.get("/x", &[]).await.body, "200");

        // What is old stays for the others, and the bad one gets his own answer. The next one is not put off for it, where
        // it is not that too many ask.
        let next = if ["408", "421", "425", "429"].contains(&status) { "stale" } else { "miss" };
        for (fields, from) in [(&[("x-bad", "500")][..], "stale"), (&[], next)] {
            let mut policy = minute();
            policy.stale_for = Some(Duration::from_secs(600));
            policy.retry_after = Duration::from_secs(600);
            let site = Site::new(policy, everything, service);
            site.get("/x", &[]).await;
            site.clock.advance(Duration::from_secs(61));
            let read = site.get("/x", &[("x-bad", status)]).await;
            assert_eq!((read.head.status.as_str(), read.from()), (status, Some("miss")));
            let read = site.get("/x", fields).await;
            assert_eq!((read.body.as_str(), read.from()), ("200", Some(from)), "{status}");
        }
    }
}
