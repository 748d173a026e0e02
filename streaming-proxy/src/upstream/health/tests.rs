//! Tests of [`Health`].

use super::*;

fn health() -> Health {
    Health::new(&UpstreamConfig::default())
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_or_one_refusal() {
    let health = health();
    assert!(!health.failed(false));
    assert!(!health.failed(false));
    health.succeeded();
    assert!(!health.failed(false));
    assert!(health.is_up());
    assert!(!health.failed(false));
    assert!(health.failed(false), "the third in a row");
    assert!(!health.is_up());
    let health = self::health();
    assert!(health.failed(true));
}

#[tokio::test(start_paused = true)]
async fn one_request_tries_and_the_time_doubles() {
    let health = health();
    let mut before = Duration::ZERO;
    for round in 0..8 {
        health.failed(true);
        let Claim::Down(until) = health.claim(true) else { panic!("not passed over in round {round}") };
        let wait = until - Instant::now();
        assert!(wait <= Duration::from_secs(15).mul_f64(1.25), "{wait:?}");
        assert!(round > 4 || wait > before, "{wait:?} after {before:?}");
        before = wait;
        tokio::time::advance(wait).await;
        assert_eq!(health.claim(true), Claim::Probe);
        assert!(matches!(health.claim(true), Claim::Down(_)), "a second request tries too");
    }
    health.succeeded();
    assert_eq!(health.claim(true), Claim::Up);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_tells_is_followed_by_another() {
    let health = health();
    health.failed(true);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(health.claim(true), Claim::Probe);
    tokio::time::advance(UpstreamConfig::default().connect_timeout).await;
    assert_eq!(health.claim(true), Claim::Probe);
}
