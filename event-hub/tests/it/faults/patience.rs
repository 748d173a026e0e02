//! A channel that dies alone, its connection alive: the broker has lost its patience with a handler.

use std::time::Duration;

use tramline_event_hub::topology::Queue;
use tramline_event_hub::{ConsumerConfig, Hub};

use crate::faults::stale::Asked;
use crate::faults::{config, event, topology};
use crate::support::{name, soon, strict, until};

/// A consumer whose channel is gone is not ready, whatever its connection says. It opens again with its prefetch, and
/// what it had not answered is no attempt.
#[tokio::test]
async fn a_channel_that_dies_alone_is_seen_and_opened_again() {
    let Some(broker) = strict().await else { return };
    let url = broker.fresh_vhost().await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    // Long enough to look at.
    settings.backoff_first = Duration::from_secs(3);
    let hub = Hub::amqp(&url, settings).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let mut two = ConsumerConfig::default();
    (two.prefetch, two.concurrency) = (2, 2);
    two.retry.max_attempts = 2;
    two.retry.first_delay = Duration::from_millis(100);
    let mut asked = Asked::new(&hub, &queue, two);
    for n in 0..6 {
        let _receipt = hub.publish(&event("a.b", n)).await.unwrap();
    }
    let old = [asked.next().await, asked.next().await];
    until("the channel's end", || !hub.health().ready()).await;
    let health = hub.health();
    assert!(health.connected && !health.consumers[0].active, "{health:?}");
    let _receipt = hub.publish(&event("a.b", 6)).await.unwrap();
    // The handlers of the old channel still have their places.
    drop(old);
    let mut new = vec![asked.next().await, asked.next().await];
    assert!(hub.health().ready());
    assert_eq!(hub.queue(&queue).await.unwrap().unwrap().messages, 5, "two are out, and no more");
    new.sort_by_key(|call| call.n);
    for call in &new {
        assert_eq!((call.attempt, call.returns, call.redelivered), (1, 1, true));
    }
    // One failure is one attempt of two: it is tried again.
    let failed = new.swap_remove(0);
    let n = failed.n;
    failed.fail();
    drop(new);
    let mut left = 6;
    while left > 0 {
        let call = asked.next().await;
        left -= 1;
        if call.n == n {
            assert_eq!((call.attempt, call.returns), (2, 0));
        }
    }
    asked.end().await;
    let dead = soon("the letters", hub.queue(&format!("{prefix}.dlq"))).await.unwrap().unwrap();
    assert_eq!(dead.messages, 0);
    hub.shutdown().await;
}
