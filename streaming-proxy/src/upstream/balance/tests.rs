//! Tests of the choice.

use std::time::Duration;

use metrics::with_local_recorder;

use super::*;
use crate::metrics::UpstreamMetrics;
use crate::resilience::metrics::ResilienceMetrics;
use crate::upstream::health::Failure;

fn endpoints(count: usize, config: &UpstreamConfig) -> Vec<Arc<Endpoint>> {
    with_local_recorder(&metrics::NoopRecorder, || {
        let metrics = (UpstreamMetrics::new(&"test".into()), ResilienceMetrics::new("test"));
        let parse = |n| {
            Endpoint::parse(
                &format!("10.0.0.{n}:1"),
                config,
                &metrics.0,
                &metrics.1,
                &crate::upstream::resolve::system(),
            )
            .unwrap()
        };
        (0..count).map(|n| Arc::new(parse(n))).collect()
    })
}

/// The place of what is picked; `None` for nowhere.
fn pick(balancer: &Balancer, endpoints: &[Arc<Endpoint>], tried: &[usize], ask: Ask) -> Option<usize> {
    let tried: Vec<_> = tried.iter().map(|index| endpoints[*index].clone()).collect();
    match balancer.pick(endpoints, &tried, ask) {
        Picked::At(picked) => endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, picked)),
        Picked::Nowhere => None,
        Picked::Out(_) => panic!("all are out"),
    }
}

const MAY_NOT: Ask = Ask { may_try: false, only_up: false, key: None };
const MAY_TRY: Ask = Ask { may_try: true, ..MAY_NOT };

/// How many of `of` each of four gets.
fn shares(balancer: &Balancer, endpoints: &[Arc<Endpoint>], of: usize) -> Vec<usize> {
    let mut shares = vec![0; endpoints.len()];
    for _ in 0..of {
        shares[pick(balancer, endpoints, &[], MAY_TRY).unwrap()] += 1;
    }
    shares
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_lost_tries_an_address_that_failed() {
    // Scenario: the probe is a live request. A POST that is lost in it cannot be sent again.
    let config = UpstreamConfig::default();
    let (balancer, endpoints) = (Balancer::new(&config), endpoints(2, &config));
    endpoints[0].health.failed(Failure::Unreachable, true);
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..20 {
        assert_eq!(pick(&balancer, &endpoints, &[], MAY_NOT), Some(1));
    }
    assert_eq!(pick(&balancer, &endpoints, &[], MAY_TRY), Some(0), "it is due");
    assert_eq!(pick(&balancer, &endpoints, &[], MAY_TRY), Some(1), "one tries, the others do not");
    // With nothing else left it goes there all the same.
    assert_eq!(pick(&balancer, &endpoints, &[1], MAY_NOT), Some(0));
    assert_eq!(pick(&balancer, &endpoints, &[1], Ask { only_up: true, ..MAY_NOT }), None);
    assert_eq!(pick(&balancer, &endpoints, &[0, 1], MAY_TRY), None);
}

#[tokio::test(start_paused = true)]
async fn the_slow_one_gets_the_least() {
    let config = UpstreamConfig::default();
    let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
    for endpoint in &endpoints {
        endpoint.latency.answered(Duration::from_millis(10));
    }
    endpoints[2].latency.answered(Duration::from_millis(500));
    let shares = shares(&balancer, &endpoints, 4000);
    assert_eq!(shares[2], 0, "whichever is drawn with it is faster");
    assert!(
        shares.iter().enumerate().all(|(index, share)| index == 2 || (1000..1700).contains(share)),
        "{shares:?}"
    );
    // As busy as it is fast.
    let _turns: Vec<_> = {
        let mut turns = Vec::new();
        for _ in 0..100 {
            turns.push(endpoints[0].clone().turn().await.unwrap());
        }
        turns
    };
    assert_eq!(self::shares(&balancer, &endpoints, 1000)[0], 0);
}

#[tokio::test(start_paused = true)]
async fn in_turns_each_has_the_same_and_those_out_none() {
    let config = UpstreamConfig { balance: Balance::RoundRobin, ..UpstreamConfig::default() };
    let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
    assert_eq!(shares(&balancer, &endpoints, 400), [100, 100, 100, 100]);
    endpoints[1].health.failed(Failure::Unreachable, true);
    assert_eq!(shares(&balancer, &endpoints, 300), [100, 0, 100, 100]);
}

#[tokio::test(start_paused = true)]
async fn all_that_start_slowly_have_the_same() {
    let mut config = UpstreamConfig::default();
    (config.balance, config.slow_start) = (Balance::RoundRobin, Some(Duration::from_secs(10)));
    let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
    let shares = shares(&balancer, &endpoints, 4000);
    assert!(shares.iter().all(|share| (800..1200).contains(share)), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn all_that_checks_are_against_share_what_comes() {
    // Scenario: what every check asks for is away, and the addresses are not.
    for balance in [Balance::RoundRobin, Balance::Fastest] {
        let config = UpstreamConfig { balance: balance.clone(), ..UpstreamConfig::default() };
        let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
        for endpoint in &endpoints {
            endpoint.health.checked(false, 1, 1);
        }
        let shares = shares(&balancer, &endpoints, 4000);
        assert!(shares.iter().all(|share| (800..1200).contains(share)), "{balance} {shares:?}");
        assert_eq!(pick(&balancer, &endpoints, &[], Ask { only_up: true, ..MAY_NOT }), None);
        // One that is fine has it all.
        endpoints[2].health.checked(true, 1, 1);
        assert_eq!(self::shares(&balancer, &endpoints, 100), [0, 0, 100, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_starts_slowly_has_less_and_then_its_share() {
    for balance in [Balance::RoundRobin, Balance::Fastest] {
        let mut config = UpstreamConfig::default();
        (config.balance, config.slow_start) = (balance.clone(), Some(Duration::from_secs(10)));
        let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
        tokio::time::advance(Duration::from_secs(60)).await;
        for endpoint in &endpoints {
            endpoint.latency.answered(Duration::from_millis(10));
            endpoint.health.share(Instant::now());
        }
        endpoints[3].health.failed(Failure::Unreachable, true);
        endpoints[3].health.succeeded();
        let shares = shares(&balancer, &endpoints, 4000);
        assert!(shares[3] < 250, "{balance} {shares:?}");
        tokio::time::advance(Duration::from_secs(10)).await;
        let shares = self::shares(&balancer, &endpoints, 4000);
        assert!((800..1200).contains(&shares[3]), "{balance} {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_key_goes_to_the_same_address_while_that_is_fine() {
    let config = UpstreamConfig { balance: Balance::Client, ..UpstreamConfig::default() };
    let (balancer, endpoints) = (Balancer::new(&config), endpoints(4, &config));
    let of = |key| pick(&balancer, &endpoints, &[], Ask { key: Some(key), ..MAY_NOT }).unwrap();
    let owners: Vec<_> = (0..400).map(of).collect();
    assert_eq!(owners, (0..400).map(of).collect::<Vec<_>>());
    endpoints[2].health.failed(Failure::Unreachable, true);
    for (key, owner) in owners.iter().enumerate() {
        let now = of(key as u64);
        assert!(now != 2 && (*owner == 2 || *owner == now), "{key}");
    }
    endpoints[2].health.succeeded();
    assert_eq!(owners, (0..400).map(of).collect::<Vec<_>>(), "what it had is its own again");
    // Without a key anywhere.
    assert!(shares(&balancer, &endpoints, 4000).iter().all(|share| *share > 500));
}

#[tokio::test(start_paused = true)]
async fn when_all_are_out_it_fails_fast_where_that_is_asked_for_and_one_tries() {
    for count in [1, 3] {
        let mut config = UpstreamConfig::default();
        let trying = (Balancer::new(&config), endpoints(count, &config));
        config.fail_fast = true;
        let failing = (Balancer::new(&config), endpoints(count, &config));
        for endpoint in trying.1.iter().chain(&failing.1) {
            endpoint.health.failed(Failure::Unreachable, true);
        }
        assert!(matches!(trying.0.pick(&trying.1, &[], MAY_NOT), Picked::At(_)));
        let Picked::Out(back) = failing.0.pick(&failing.1, &[], MAY_TRY) else { panic!("it was sent") };
        tokio::time::advance(back - Instant::now()).await;
        // Also one that changes something, where nothing else comes.
        assert!(matches!(failing.0.pick(&failing.1, &[], MAY_NOT), Picked::At(_)));
        // The others' time may be over by then as well; each has one.
        let sent =
            (0..10).filter(|_| matches!(failing.0.pick(&failing.1, &[], MAY_NOT), Picked::At(_))).count();
        assert!(sent < count, "{sent} of {count}");
    }
}
