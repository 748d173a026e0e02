//! A queue's kind, as the broker has it.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use reqwest::Method;
use serde_json::{Value, json};
use tramline_event_hub::topology::{Queue, Topology};

use crate::support::managed::Managed;
use crate::support::soon;

/// Declares a queue as one does who says nothing of its kind.
async fn declare(channel: &lapin::Channel, queue: &str) -> Result<(), lapin::Error> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.map(drop)
}

async fn channel(url: &str) -> lapin::Channel {
    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    raw.create_channel().await.unwrap()
}

/// Earlier builds said nothing of a classic queue's kind, and others still do: nobody is in anybody's way.
#[tokio::test]
async fn a_classic_queue_is_the_same_with_and_without_its_kind() {
    let Some(bed) = Managed::fresh().await else { return };
    let channel = channel(&bed.url).await;
    declare(&channel, "old").await.unwrap();
    assert_eq!(bed.arguments("old").await, json!({}));
    let wanted = Topology::new().queue(Queue::classic("old")).queue(Queue::classic("new"));
    let (plain, hub) = (bed.plain_hub(), bed.hub());
    for hub in [&plain, &hub] {
        let declared = soon("a declaration", hub.declare(&wanted)).await.unwrap();
        assert!(declared.conflicts.is_empty() && declared.frozen.is_empty(), "{declared:?}");
    }
    assert_eq!(bed.arguments("new").await, json!({ "x-queue-type": "classic" }));
    let difference = hub.compare(&wanted).await.unwrap();
    assert!(difference.holds(), "{difference}");
    declare(&channel, "new").await.unwrap();
    plain.shutdown().await;
    hub.shutdown().await;
}

/// A virtual host may make quorum queues of those whose kind nobody names; a feed must not become one.
#[tokio::test]
async fn a_default_of_the_virtual_host_changes_nothing() {
    let Some(bed) = Managed::fresh().await else { return };
    // One of its own, since it takes that when it is made; RabbitMQ 3.10 has another word for it than later ones.
    let bed = Managed { url: format!("{}q", bed.url), vhost: format!("{}q", bed.vhost), ..bed };
    let quorum = json!({ "defaultqueuetype": "quorum", "default_queue_type": "quorum" });
    bed.put(&format!("vhosts/{}", bed.vhost), quorum).await;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    bed.put(&format!("permissions/{}/guest", bed.vhost), all).await;
    let channel = channel(&bed.url).await;
    declare(&channel, "theirs").await.unwrap();
    let hub = bed.plain_hub();
    let wanted = Topology::new().queue(Queue::classic("work")).queue(Queue::feed(
        "feed",
        Duration::from_secs(600),
        1000,
    ));
    let declared = soon("a declaration", hub.declare(&wanted)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    let kind = async |queue: &str| {
        let path = format!("queues/{}/{queue}?columns=type", bed.vhost);
        bed.ask(Method::GET, &path, Value::Null).await.1["type"].clone()
    };
    assert_eq!(kind("theirs").await, "quorum", "or this test shows nothing");
    assert_eq!((kind("work").await, kind("feed").await), (json!("classic"), json!("classic")));
    hub.shutdown().await;
}
