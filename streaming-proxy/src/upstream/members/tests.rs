//! Tests of [`Members`].

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::*;
use crate::metrics::UpstreamMetrics;
use crate::upstream::pool::Connection;
use crate::upstream::resolve::LookUp;

/// What `shop.test` means, and how often that was asked.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<(Vec<SocketAddr>, usize)>>);

impl Zone {
    fn set(&self, address: SocketAddr) {
        self.0.lock().unwrap().0 = vec![address];
    }

    /// Until it was asked so often, and who asked has told it.
    async fn asked(&self, times: usize) {
        while self.0.lock().unwrap().1 < times {
            tokio::task::yield_now().await;
        }
    }
}

fn config() -> UpstreamConfig {
    // Looked up once; from then on the test says when.
    UpstreamConfig { resolve_every: Duration::from_secs(24 * 3600), ..UpstreamConfig::default() }
}

fn given(zone: &Zone, metrics: &ResilienceMetrics) -> Vec<Arc<Endpoint>> {
    let zone = zone.clone();
    let look_up: LookUp = Arc::new(move |_, _| {
        let mut zone = zone.0.lock().unwrap();
        zone.1 += 1;
        let found = zone.0.clone();
        Box::pin(async move { Ok(found) })
    });
    let of = UpstreamMetrics::new(&"test".into());
    vec![Arc::new(Endpoint::parse("shop.test:80", &config(), &of, metrics, &look_up).unwrap())]
}

/// Looks up what the zone says now, and tells nobody.
async fn look_up(members: &Members, metrics: &ResilienceMetrics) {
    let name = members.given()[0].name().unwrap().clone();
    name.watch(Duration::ZERO, metrics.look_ups.clone(), || false).await;
}

/// Whether a connection that has served a request is kept for another one; and the upstream's side of it.
async fn keeps(endpoint: &Endpoint) -> (bool, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(1024);
    let (sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    endpoint.pool().put(Connection::new(sender, driver.abort_handle(), Duration::from_secs(60)));
    (endpoint.pool().take(Duration::MAX).is_some(), theirs)
}

#[tokio::test(start_paused = true)]
async fn an_address_that_left_one_table_is_kept_for_the_other_until_it_has_left_both() {
    // Scenario: a name whose address is away for a moment. The table of before looks then, and the one that has
    // succeeded it only when the address is back.
    let addresses: [SocketAddr; 2] = ["127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
    let zone = Zone::default();
    zone.set(addresses[0]);
    let metrics = Arc::new(ResilienceMetrics::new("test"));
    let before = Members::new(given(&zone, &metrics));
    before.start(&config(), &metrics);
    zone.asked(1).await;
    let after = Members::new(given(&zone, &metrics)).succeeding(&before);
    after.start(&config(), &metrics);
    zone.asked(2).await;
    let shared = after.now()[0].clone();
    assert!(Arc::ptr_eq(&shared, &before.now()[0]) && shared.address() == Some(addresses[0]));
    assert!(keeps(&shared).await.0);

    zone.set(addresses[1]);
    look_up(&before, &metrics).await;
    before.renew(&metrics);
    assert_eq!(before.now()[0].address(), Some(addresses[1]));
    assert!(keeps(&shared).await.0, "the other table has it");

    after.renew(&metrics);
    assert!(!keeps(&shared).await.0, "nobody has it");
}
