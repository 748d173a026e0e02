//! Renewals per session.

use std::num::NonZeroU32;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tramline_streaming_proxy::layer::rate_limit::Quota;

use crate::support::{Bench, Setup, refusal, reopened};

fn three() -> Option<Quota> {
    Some(Quota::new(NonZeroU32::new(3).unwrap(), Duration::from_secs(3_600)))
}

async fn renewals_are_counted_per_session(bench: Bench) {
    let ada = bench.register("ada").await;
    let phone = bench.login(&ada.email, json!({ "id": "phone" })).await;
    let mut token = ada.refresh;
    for left in ["2", "1", "0"] {
        let answer = bench.refresh(&token).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["ratelimit-policy"], "\"refresh-session\";q=3;w=3600");
        let limit = answer.headers["ratelimit"].to_str().unwrap();
        assert!(limit.starts_with(&format!("\"refresh-session\";r={left};t=")), "{limit}");
        token = answer.json["refreshToken"].as_str().unwrap().to_owned();
    }
    let refused = bench.refresh(&token).await;
    assert_eq!(refusal(&refused), (429, "RATE_LIMITED"));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=1_200).contains(&wait), "{wait}");
    assert!(refused.headers["ratelimit"].to_str().unwrap().contains(";r=0;"));
    assert!(!refused.headers.contains_key("set-cookie"), "the token is as good as before");
    assert_eq!(bench.refresh(&phone.refresh).await.status, StatusCode::OK, "another session, another count");
    let unknown = bench.refresh(&"A".repeat(43)).await;
    assert_eq!(refusal(&unknown), (401, "INVALID_REFRESH"), "no session, no count");
}

#[tokio::test]
async fn in_memory() {
    renewals_are_counted_per_session(Bench::with(Setup { rate_limit: three(), ..Setup::default() }).await)
        .await;
}

#[tokio::test]
async fn in_redis_for_all_replicas() {
    let Some(redis) = devkit::engines::redis().await else { return };
    let setup = || Setup { rate_limit: three(), redis: Some(redis), ..Setup::default() };
    renewals_are_counted_per_session(Bench::with(setup()).await).await;

    let (db, folder) = chassis::testing::sqlite();
    let first = Bench::with(Setup { db: Some(db), ..setup() }).await;
    let key_file = first.key_file.clone();
    let second = Bench::with(Setup { db: Some(reopened(&folder)), key_file, ..setup() }).await;
    let mut token = first.register("ada").await.refresh;
    for bench in [&first, &second, &first] {
        token = bench.refresh(&token).await.json["refreshToken"].as_str().unwrap().to_owned();
    }
    assert_eq!(refusal(&second.refresh(&token).await), (429, "RATE_LIMITED"));
}

#[tokio::test]
async fn off_is_off() {
    let bench = Bench::new().await;
    let mut token = bench.register("ada").await.refresh;
    for _ in 0..12 {
        let answer = bench.refresh(&token).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert!(!answer.headers.contains_key("ratelimit"));
        token = answer.json["refreshToken"].as_str().unwrap().to_owned();
    }
}
