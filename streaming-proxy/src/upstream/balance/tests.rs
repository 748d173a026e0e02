//! Tests of the choice.

use std::time::Duration;

use super::*;
use crate::config::UpstreamConfig;
use crate::metrics::UpstreamMetrics;

fn endpoints(count: usize) -> Vec<Arc<Endpoint>> {
    let (config, metrics) = (UpstreamConfig::default(), UpstreamMetrics::new(&"test".into()));
    (0..count).map(|_| Arc::new(Endpoint::parse("127.0.0.1:1", &config, &metrics).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn only_what_may_be_lost_tries_an_address_that_failed() {
    // Scenario: the probe is a live request. A POST that is lost in it cannot be sent again.
    let endpoints = endpoints(2);
    endpoints[0].health.failed(true);
    tokio::time::advance(Duration::from_secs(1)).await;
    let pick = |tried: &[Arc<Endpoint>], may_try| {
        let picked = pick(&endpoints, tried, may_try)?;
        endpoints.iter().position(|endpoint| Arc::ptr_eq(endpoint, picked))
    };
    for _ in 0..20 {
        assert_eq!(pick(&[], false), Some(1));
    }
    assert_eq!(pick(&[], true), Some(0), "it is due");
    assert_eq!(pick(&[], true), Some(1), "one tries, the others do not");
    // With nothing else left it goes there all the same.
    assert_eq!(pick(&endpoints[1..], false), Some(0));
}
