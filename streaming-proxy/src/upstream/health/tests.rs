//! Tests of [`Health`].

use super::*;

fn config() -> UpstreamConfig {
    UpstreamConfig::default()
}

fn health(config: &UpstreamConfig) -> Health {
    Health::new(config, &Gauge::noop())
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_a_row_or_one_refusal() {
    let health = health(&config());
    assert!(!health.failed(Failure::Unanswered, true));
    assert!(!health.failed(Failure::Unanswered, true));
    health.succeeded();
    assert!(!health.failed(Failure::Unanswered, true));
    assert!(health.is_up());
    assert!(!health.failed(Failure::Unanswered, true));
    assert!(health.failed(Failure::Unanswered, true), "the third in a row");
    assert!(!health.is_up());
    let health = self::health(&config());
    assert!(health.failed(Failure::Unreachable, true));
}

#[tokio::test(start_paused = true)]
async fn one_that_may_not_go_stays_until_it_may() {
    // Scenario: half of the addresses are out. What answers badly is better than what is left.
    let health = health(&config());
    for _ in 0..10 {
        assert!(!health.failed(Failure::Unanswered, false));
    }
    assert!(health.is_up());
    assert!(health.failed(Failure::Unanswered, true));
    // Nobody can be sent where nobody is.
    assert!(self::health(&config()).failed(Failure::Unreachable, false));
}

#[tokio::test(start_paused = true)]
async fn errors_count_where_they_are_asked_to() {
    let health = health(&config());
    for _ in 0..100 {
        health.failed(Failure::ServerError, true);
    }
    assert!(health.is_up(), "off by default");
    let mut config = config();
    config.server_errors = Some(3);
    let health = self::health(&config);
    for ejected in [false, false, true] {
        assert_eq!(health.failed(Failure::ServerError, true), ejected);
    }
    assert!(!health.is_up());
    let health = self::health(&config);
    health.failed(Failure::ServerError, true);
    health.failed(Failure::ServerError, true);
    health.succeeded();
    assert!(!health.failed(Failure::ServerError, true), "in a row");
}

#[tokio::test(start_paused = true)]
async fn one_request_tries_and_the_time_doubles() {
    let health = health(&config());
    let mut before = Duration::ZERO;
    for round in 0..8 {
        health.failed(Failure::Unreachable, true);
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
    assert!(health.is_quiet());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_tells_is_followed_by_another() {
    let health = health(&config());
    health.failed(Failure::Unreachable, true);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(health.claim(true), Claim::Probe);
    tokio::time::advance(config().connect_timeout).await;
    assert_eq!(health.claim(true), Claim::Probe);
}

#[tokio::test(start_paused = true)]
async fn who_is_back_gets_little_at_first() {
    let mut config = config();
    config.slow_start = Some(Duration::from_secs(10));
    let health = health(&config);
    let share = || health.share(Instant::now());
    assert!((share() - FIRST_SHARE).abs() < 1e-9, "a new one too");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!((share() - 0.5).abs() < 1e-9);
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!((share() - 1.0).abs() < 1e-9);
    assert!(health.is_quiet());
    health.failed(Failure::Unreachable, true);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(health.claim(true), Claim::Probe);
    health.succeeded();
    assert!((share() - FIRST_SHARE).abs() < 1e-9);
    // A success while it starts is no new start.
    tokio::time::advance(Duration::from_secs(5)).await;
    health.succeeded();
    assert!((share() - 0.5).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn checks_need_some_in_a_row_both_ways() {
    let health = health(&config());
    for (good, up, found) in [
        (false, true, None),
        (false, true, None),
        (true, true, None),
        (false, true, None),
        (false, true, None),
        (false, false, Some(false)),
        (false, false, None),
        (true, false, None),
        (false, false, None),
        (true, false, None),
        (true, true, Some(true)),
    ] {
        assert_eq!(health.checked(good, 2, 3), found);
        assert_eq!(health.is_up(), up);
    }
    // An answer to a request is no answer to a check.
    for _ in 0..3 {
        health.checked(false, 2, 3);
    }
    health.succeeded();
    assert!(!health.is_up());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(matches!(health.claim(true), Claim::Unhealthy(_)));
}
