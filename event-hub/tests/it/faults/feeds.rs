//! Feeds through what a broker does to them.

use std::time::Duration;

use devkit::{Fault, Permissions};
use tokio::sync::mpsc;
use tramline_event_hub::feed::{Feed, Place};
use tramline_event_hub::topology::Queue;
use tramline_event_hub::{ConsumerConfig, Event, Hub};

use crate::faults::{config, event, topology};
use crate::support::{name, soon, strict, until};

/// A feed that runs beside the test: its places, and the ids that it was given.
fn follow(hub: &Hub, name: String) -> (mpsc::Receiver<Place>, mpsc::Receiver<String>) {
    let (tell, places) = mpsc::channel(100);
    let (sender, seen) = mpsc::channel(100);
    let hub = hub.clone();
    tokio::spawn(async move {
        let handler = move |event: Event| {
            let sender = sender.clone();
            async move { sender.send(event.id.to_string()).await }
        };
        let place = move |place| tell.try_send(place).unwrap();
        let feed = Feed::new(name, ["#"]);
        hub.consume_feed(feed, ConsumerConfig::default(), handler, place, std::future::pending()).await
    });
    (places, seen)
}

/// The connection goes: the feed is back at its own queue, which kept what came meanwhile.
#[tokio::test]
async fn a_feed_comes_back_to_its_own_queue() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, cut_url) = Fault::in_front_of(url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let (hub, other) = (Hub::amqp(&cut_url, settings).unwrap(), Hub::amqp(url, config(&prefix)).unwrap());
    other.declare(&topology(&prefix, &[(Queue::quorum(format!("{prefix}.work")), "#")])).await.unwrap();
    let (mut places, mut seen) = follow(&hub, format!("{prefix}.feed"));
    let queue = format!("{prefix}.feed");
    assert_eq!(soon("its place", places.recv()).await, Some(Place::Made { queue: queue.clone() }));
    for _ in 0..3 {
        fault.cut();
        until("the loss", || !hub.health().consumers[0].active).await;
        let sent = event("a.b", 1);
        let _receipt = other.publish(&sent).await.unwrap();
        fault.heal();
        assert_eq!(soon("its place", places.recv()).await, Some(Place::Kept { queue: queue.clone() }));
        // What was handled as the connection was cut comes once more.
        while soon("what came meanwhile", seen.recv()).await.unwrap() != sent.id.as_str() {}
    }
    hub.shutdown().await;
    other.shutdown().await;
}

/// A user who may not read: that is told, and is no reason for another name and another queue.
#[tokio::test]
async fn a_feed_that_may_not_be_read_keeps_its_name_and_says_why() {
    let Some(broker) = strict().await else { return };
    let vhost = broker.fresh_vhost().await.unwrap();
    let prefix = name();
    let owner = Hub::amqp(&vhost, config(&prefix)).unwrap();
    owner.declare(&topology(&prefix, &[(Queue::quorum(format!("{prefix}.work")), "#")])).await.unwrap();
    let exchange = format!("^{prefix}[.]events$");
    let url = broker.user(&vhost, "blind", Permissions::new(".*", ".*", &exchange)).await.unwrap();
    let hub = Hub::amqp(&url, config(&prefix)).unwrap();
    let (_places, _seen) = follow(&hub, format!("{prefix}.feed"));
    let told = || hub.health().consumers.first().and_then(|consumer| consumer.trouble.clone());
    until("the trouble", || told().is_some()).await;
    let trouble = told().unwrap();
    assert!(trouble.contains("ACCESS_REFUSED") && trouble.contains(&format!("{prefix}.feed'")), "{trouble}");
    assert!(!hub.health().ready() && hub.health().connected);
    hub.shutdown().await;
    owner.shutdown().await;
}
