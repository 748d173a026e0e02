//! Policies, comparisons and imports through a real management.

use devkit::Fault;
use reqwest::Method;
use serde_json::{Value, json};
use tramline_event_hub::config::ManagementUrl;
use tramline_event_hub::topology::{Binding, Exchange, Policy, Queue, Topology};
use tramline_event_hub::{AmqpConfig, Event, Hub, PublishErrorKind};

use crate::support::managed::Managed;
use crate::support::{soon, until};

fn topology(work: Queue) -> Topology {
    let name = work.name.clone();
    Topology::new()
        .exchange(Exchange::topic("events"))
        .exchange(Exchange::direct("dlx"))
        .queue(Queue::quorum("dlq").with_delivery_limit(None))
        .queue(work.with_dead_letter("dlx", "dead-letter"))
        .binding(Binding::new("dlx", "dead-letter", "dlq"))
        .binding(Binding::new("events", "#", name))
}

fn event() -> Event {
    Event::new("a.b", "test", &json!({})).unwrap()
}

/// What an operator imports is there as the processes want it; they then find nothing to complain of.
#[tokio::test]
async fn definitions_import_into_a_broker_and_nothing_differs() {
    let Some(bed) = Managed::fresh().await else { return };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/deploy/rabbitmq/definitions.json");
    let file = std::fs::read_to_string(path).unwrap();
    let imported = Topology::from_definitions_json(&file, "/").unwrap();
    assert_eq!(imported.unknown, []);
    let wanted = imported.topology;

    // The file's own virtual host, which no other test uses.
    let here = Managed { url: bed.broker.url(), vhost: "%2f".to_owned(), ..bed };
    let (status, answer) = here.ask(Method::POST, "definitions", serde_json::from_str(&file).unwrap()).await;
    assert!(status.is_success(), "{answer}");
    let hub = here.hub();
    let difference = soon("a comparison", hub.compare(&wanted)).await.unwrap();
    assert!(difference.is_empty(), "{difference}");

    // Those without a management declare the same arguments.
    let plain = here.plain_hub();
    let declared = soon("a declaration", plain.declare(&wanted)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    assert!(declared.made.is_empty());
    // Those with one find them frozen, and right.
    let declared = soon("a declaration", hub.declare(&wanted)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    assert!(declared.frozen.contains("admin.events.queue"), "{declared:?}");
    let difference = hub.compare(&wanted).await.unwrap();
    assert!(difference.is_empty(), "{difference}");

    // And what the broker exports of it comes back as the same.
    let (_, export) = here.ask(Method::GET, "definitions", Value::Null).await;
    let again = Topology::from_definitions_json(&export.to_string(), "/").unwrap();
    let difference = wanted.compare(&again.topology);
    assert!(difference.is_empty(), "{difference}");
    plain.shutdown().await;
    hub.shutdown().await;
}

/// Another limit, another length: the queue and what is in it stay.
#[tokio::test]
async fn settings_change_without_another_queue() {
    let Some(bed) = Managed::fresh().await else { return };
    let hub = bed.hub();
    let first = topology(Queue::quorum("work"));
    let declared = soon("a declaration", hub.declare(&first)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    assert!(declared.made("work") && declared.frozen.is_empty());
    assert_eq!(bed.arguments("work").await, json!({ "x-queue-type": "quorum" }));
    let difference = hub.compare(&first).await.unwrap();
    assert!(difference.is_empty(), "{difference}");
    for _ in 0..3 {
        let _receipt = hub.publish(&event()).await.unwrap();
    }

    let changed = topology(Queue::quorum("work").with_delivery_limit(Some(5)).with_max_length(3));
    let difference = hub.compare(&changed).await.unwrap();
    assert_eq!(
        difference.to_string(),
        "different  queue work: delivery-limit is 20 instead of 5, max-length is not set instead of 3"
    );
    let later = bed.hub();
    let declared = soon("the other", later.declare(&changed)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    assert!(!declared.made("work"));
    let difference = later.compare(&changed).await.unwrap();
    assert!(difference.is_empty(), "{difference}");
    // It is in force: full, and the three are still there.
    let full = async {
        while later.publish(&event()).await.is_ok() {}
        later.publish(&event()).await.unwrap_err()
    };
    assert_eq!(soon("a full queue", full).await.kind(), &PublishErrorKind::Nacked);
    assert!(later.queue("work").await.unwrap().unwrap().messages >= 3);

    // The dead-letter queue has no limit, and says so.
    let (_, policy) =
        bed.ask(Method::GET, &format!("policies/{}/tramline%3Adlq", bed.vhost), Value::Null).await;
    assert_eq!(policy["definition"]["delivery-limit"], 1_000_000_000_000_i64, "{policy}");
    hub.shutdown().await;
    later.shutdown().await;
}

/// A queue from before the management was known: left alone, and told.
#[tokio::test]
async fn frozen_arguments_are_left_alone_and_told() {
    let Some(bed) = Managed::fresh().await else { return };
    let plain = bed.plain_hub();
    soon("a declaration", plain.declare(&topology(Queue::quorum("work")))).await.unwrap();
    let before = bed.arguments("work").await;
    assert_eq!(before["x-delivery-limit"], 20);

    let hub = bed.hub();
    let declared = soon("the same", hub.declare(&topology(Queue::quorum("work")))).await.unwrap();
    assert_eq!(declared.conflicts, []);
    assert!(declared.frozen.contains("work"));

    let changed = topology(Queue::quorum("work").with_delivery_limit(Some(5)))
        .queue(Queue::quorum("new"))
        .binding(Binding::new("events", "new", "new"));
    let declared = soon("another", bed.hub().declare(&changed)).await.unwrap();
    let conflicts: Vec<_> = declared.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    assert_eq!(conflicts, ["work"]);
    assert!(declared.made("new"), "the rest is made");
    assert_eq!(bed.arguments("work").await, before);
    let difference = hub.compare(&changed).await.unwrap();
    assert_eq!(difference.different.len(), 1, "{difference}");
    assert!(difference.to_string().contains("delivery-limit is 20 instead of 5"), "{difference}");
    plain.shutdown().await;
    hub.shutdown().await;
}

/// An operator's policy of a higher priority takes a queue's settings away, all of them: that must be seen.
#[tokio::test]
async fn a_policy_that_wins_over_ours_is_told() {
    let Some(bed) = Managed::fresh().await else { return };
    let hub = bed.hub();
    let wanted = topology(Queue::quorum("work"))
        .policy(Policy::queues("theirs", "^work$").with("max-length", 1000).with_priority(3));
    let declared = soon("a declaration", hub.declare(&wanted)).await.unwrap();
    assert_eq!(declared.conflicts, []);
    let difference = hub.compare(&wanted).await.unwrap();
    assert!(difference.is_empty(), "a policy of one's own adds up with the queue's: {difference}");

    let body =
        json!({ "pattern": "work", "apply-to": "all", "priority": 99, "definition": { "max-length": 7 } });
    bed.put(&format!("policies/{}/catch-all", bed.vhost), body).await;
    let body =
        json!({ "pattern": "dlq", "apply-to": "queues", "priority": 1, "definition": { "max-length": 2 } });
    bed.put(&format!("operator-policies/{}/small", bed.vhost), body).await;
    let difference = hub.compare(&wanted).await.unwrap().to_string();
    assert!(difference.contains("dead-letter-exchange is not set instead of dlx"), "{difference}");
    assert!(difference.contains("queue dlq: max-length is 2, and was not asked for"), "{difference}");
    assert!(difference.contains("surplus    policy catch-all"), "{difference}");
    let declared = soon("again", bed.hub().declare(&wanted)).await.unwrap();
    let conflicts: Vec<_> = declared.conflicts.iter().map(|c| (c.name.as_str(), c.text.as_str())).collect();
    assert_eq!(conflicts, [("work", r#"policy "catch-all" of priority 99 wins over its own"#)]);
    hub.shutdown().await;
}

/// What AMQP cannot see: a binding that is gone, one that is too much, an argument.
#[tokio::test]
async fn the_management_sees_bindings_and_arguments_and_amqp_does_not() {
    let Some(bed) = Managed::fresh().await else { return };
    let (hub, plain) = (bed.hub(), bed.plain_hub());
    let wanted = topology(Queue::quorum("work"));
    soon("a declaration", plain.declare(&wanted)).await.unwrap();
    let raw = lapin::Connection::connect(&bed.url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    let none = lapin::types::FieldTable::default;
    channel.queue_unbind("work".into(), "events".into(), "#".into(), none()).await.unwrap();
    let options = lapin::options::QueueBindOptions::default();
    channel.queue_bind("work".into(), "events".into(), "odd".into(), options, none()).await.unwrap();
    let options = lapin::options::QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare("theirs".into(), options, none()).await.unwrap();
    let difference = hub.compare(&wanted).await.unwrap();
    assert_eq!(
        difference.to_string(),
        "missing    binding of queue work to events by \"#\"\n\
         surplus    queue theirs\n\
         surplus    binding of queue work to events by \"odd\""
    );

    // AMQP sees what is there, and says what it does not see.
    let more = wanted.clone().queue(Queue::quorum("later")).exchange(Exchange::fanout("spare"));
    let difference = plain.compare(&more).await.unwrap();
    let missing: Vec<_> = difference.missing.iter().map(ToString::to_string).collect();
    assert_eq!(missing, ["exchange spare", "queue later"]);
    assert_eq!((difference.different.len(), difference.surplus.len(), difference.unseen.len()), (0, 0, 3));
    hub.shutdown().await;
    plain.shutdown().await;
}

/// With the management away nothing new is made, since it would be frozen; what is there goes on.
#[tokio::test]
async fn a_management_that_is_away_stops_only_what_is_new() {
    let Some(bed) = Managed::fresh().await else { return };
    let first = topology(Queue::quorum("work"));
    soon("a declaration", bed.hub().declare(&first)).await.unwrap();

    let (fault, url) = Fault::in_front_of(&bed.broker.management_url().unwrap()).await.unwrap();
    fault.cut();
    let mut config = AmqpConfig::default();
    config.management = Some(ManagementUrl::parse(&url).unwrap());
    let hub = Hub::amqp(&bed.url, config).unwrap();
    let declared = soon("what is there", hub.declare(&first)).await.unwrap();
    assert!(declared.made.is_empty() && declared.conflicts.is_empty(), "{declared:?}");
    let _receipt = hub.publish(&event()).await.unwrap();
    let error = hub.compare(&first).await.unwrap_err();
    assert!(error.to_string().contains("management") && !error.to_string().contains("guest:"), "{error}");

    let declaring = tokio::spawn({
        let hub = hub.clone();
        async move { hub.declare(&Topology::new().queue(Queue::quorum("new"))).await }
    });
    let tries = tokio::time::timeout(std::time::Duration::from_secs(2), declaring);
    let mut declaring = Box::pin(tries);
    assert!((&mut declaring).await.is_err(), "it waits");
    assert_eq!(hub.queue("new").await.unwrap(), None);
    fault.heal();
    until("the queue", || hub.health().connected).await;
    let made = soon("the queue", hub.declare(&Topology::new().queue(Queue::quorum("new")))).await.unwrap();
    assert_eq!(made.conflicts, []);
    assert_eq!(bed.arguments("new").await, json!({ "x-queue-type": "quorum" }));
    hub.shutdown().await;
}

/// A user who may not set policies: its new queue is not made, which is told, and the rest is.
#[tokio::test]
async fn a_refused_policy_is_told_and_its_queue_not_made() {
    let Some(bed) = Managed::fresh().await else { return };
    bed.put("users/meek", json!({ "password": "meek", "tags": "management" })).await;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    bed.put(&format!("permissions/{}/meek", bed.vhost), all).await;
    let url = bed.broker.management_url().unwrap().replace("guest:guest", "meek:meek");
    let mut config = AmqpConfig::default();
    config.management = Some(ManagementUrl::parse(&url).unwrap());
    let hub = Hub::amqp(&bed.url.replace("amqp://", "amqp://meek:meek@"), config).unwrap();
    let declared = soon("a declaration", hub.declare(&topology(Queue::quorum("work")))).await.unwrap();
    let mut names: Vec<_> = declared.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["dlq", "work"]);
    assert!(declared.made.is_empty());
    assert_eq!(hub.queue("work").await.unwrap(), None);
    let difference = hub.compare(&topology(Queue::quorum("work"))).await.unwrap().to_string();
    assert!(difference.contains("missing    queue work\n"), "{difference}");
    assert!(!difference.contains("missing    exchange"), "the rest was made: {difference}");
    hub.shutdown().await;
}
