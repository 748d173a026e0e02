//! Limits in memory and in Redis: the same meaning.

use std::convert::Infallible;

use http::{Request, Response};
use tower::{Layer, ServiceExt};
use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig, OnFailure, Quota, RateLimitLayer};

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

/// What both kinds must do.
async fn meaning(limiter: &Limiter) {
    for left in [2, 1, 0] {
        let decision = limiter.check("a").await;
        assert!(decision.is_allowed());
        assert_eq!(decision.remaining(), Some(left));
    }
    let refused = limiter.check("a").await;
    assert!(!refused.is_allowed());
    assert_eq!(refused.remaining(), Some(0));
    let wait = refused.retry_after().unwrap().as_secs_f64();
    assert!((1100.0..=1200.0).contains(&wait), "{wait}");
    assert!(limiter.check("b").await.is_allowed(), "keys are separate");
    let mut headers = http::HeaderMap::new();
    refused.write(&mut headers);
    assert_eq!(headers["ratelimit-policy"], "\"api\";q=3;w=3600");
    assert!(headers.contains_key("retry-after"));
}

#[tokio::test]
async fn memory() {
    let quota = Quota::parse("3/hour").unwrap();
    meaning(&Limiter::memory("api", quota, LimiterConfig::default())).await;
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn redis_is_shared_by_processes() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut config = LimiterConfig::default();
    config.prefix = unique("limits");
    config.redis_timeout = std::time::Duration::from_secs(5);
    let quota = Quota::parse("3/hour").unwrap();
    let limiter = Limiter::redis(url, "api", quota, config.clone()).unwrap();
    meaning(&limiter).await;
    let other = Limiter::redis(url, "api", quota, config).unwrap();
    assert!(!other.check("a").await.is_allowed(), "the other process has its own bucket");
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn memory_decides_while_redis_is_away_and_redis_when_it_is_back() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let redis = devkit::Redis::start().await.unwrap();
    let mut config = LimiterConfig::default();
    config.redis_pause = std::time::Duration::ZERO;
    config.redis_timeout = std::time::Duration::from_secs(10);
    let quota = Quota::parse("2/hour").unwrap();
    let limiter = Limiter::redis(&redis.url(), "api", quota, config).unwrap();
    assert_eq!(limiter.check("a").await.remaining(), Some(1));
    redis.stop().await;
    assert_eq!(limiter.check("a").await.remaining(), Some(1), "memory starts with a full bucket");
    assert_eq!(limiter.check("a").await.remaining(), Some(0));
    assert!(!limiter.check("a").await.is_allowed(), "the limit holds without Redis");
    redis.restart().await.unwrap();
    crate::origin::soon("Redis decides again", async {
        while !limiter.check("a").await.is_allowed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_layer_refuses_and_tells() {
    let quota = Quota::parse("1/hour").unwrap();
    let layer = RateLimitLayer::new(
        Limiter::memory("api", quota, LimiterConfig::default()),
        |request: &Request<()>| request.headers().get("x-user")?.to_str().ok().map(str::to_owned),
        |_, _| Response::builder().status(429).body("slow down").unwrap(),
    );
    let service =
        layer.layer(tower::service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new("ok")) }));
    let call = |user: Option<&str>| {
        let mut request = Request::builder();
        if let Some(user) = user {
            request = request.header("x-user", user);
        }
        service.clone().oneshot(request.body(()).unwrap())
    };
    // The hour, less what a busy machine has spent of it.
    let an_hour = |seconds: &str| (3_500..=3_600).contains(&seconds.parse::<u32>().unwrap());
    let first = call(Some("u")).await.unwrap();
    assert_eq!(first.status(), 200);
    let told = first.headers()["ratelimit"].to_str().unwrap();
    assert!(told.strip_prefix("\"api\";r=0;t=").is_some_and(an_hour), "{told}");
    let second = call(Some("u")).await.unwrap();
    assert_eq!((second.status().as_u16(), *second.body()), (429, "slow down"));
    assert!(an_hour(second.headers()["retry-after"].to_str().unwrap()), "{second:?}");
    let outside = call(None).await.unwrap();
    assert!(outside.status().is_success() && !outside.headers().contains_key("ratelimit"));
}

/// Limiters of two a minute, one on a Redis where nobody listens, one on a Redis that takes everything and says nothing.
async fn without_redis(on_failure: OnFailure) -> [Limiter; 2] {
    let (dead, dead_addr) = crate::origin::listen().await;
    drop(dead);
    let hung = crate::origin::raw(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    [dead_addr, hung].map(|addr| {
        let mut config = LimiterConfig::default();
        config.on_failure = on_failure;
        config.redis_pause = std::time::Duration::from_secs(90);
        Limiter::redis(&format!("redis://{addr}"), "away", Quota::parse("2/min").unwrap(), config).unwrap()
    })
}

#[tokio::test]
async fn without_redis_the_process_counts_for_itself() {
    for limiter in without_redis(OnFailure::default()).await {
        for remaining in [1, 0] {
            assert_eq!(limiter.check("a").await.remaining(), Some(remaining));
        }
        let refused = limiter.check("a").await;
        assert!(!refused.is_allowed() && !refused.is_failure());
    }
}

#[tokio::test]
async fn without_redis_an_open_limit_allows() {
    for limiter in without_redis(OnFailure::Open).await {
        for _ in 0..5 {
            let decision = limiter.check("a").await;
            assert!(decision.is_allowed() && decision.remaining().is_none());
            let mut headers = http::HeaderMap::new();
            decision.write(&mut headers);
            assert!(headers.is_empty(), "it claims nothing: {headers:?}");
        }
    }
}

#[tokio::test]
async fn without_redis_a_closed_limit_refuses() {
    for limiter in without_redis(OnFailure::Closed).await {
        for _ in 0..2 {
            let decision = limiter.check("a").await;
            assert!(!decision.is_allowed() && decision.is_failure() && decision.remaining().is_none());
            let mut headers = http::HeaderMap::new();
            decision.write(&mut headers);
            assert_eq!(headers.len(), 1, "{headers:?}");
            assert_eq!(headers["retry-after"], "90");
        }
    }
}
