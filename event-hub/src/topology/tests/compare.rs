//! What a comparison tells, and what it must not.

use std::time::Duration;

use super::small;
use crate::topology::{
    Binding, Destination, Exchange, ExchangeKind, Overflow, Policy, Queue, QueueKind, Topology,
};

#[test]
fn a_topology_does_not_differ_from_itself_in_any_order() {
    let mut turned = small().with_delays();
    turned.queues.reverse();
    turned.bindings.reverse();
    let difference = small().with_delays().compare(&turned);
    assert!(difference.is_empty() && difference.holds(), "{difference}");
    assert_eq!(difference.to_string(), "no difference");
}

#[test]
fn every_kind_of_difference_is_told_by_its_name() {
    let wanted = small().policy(Policy::queues("short", "^work$").with("max-length", 7));
    let mut found = small()
        .exchange(Exchange::topic("other"))
        .queue(Queue::quorum("theirs"))
        .binding(Binding::to_exchange("events", "a.#", "other"));
    found.exchanges[1].kind = ExchangeKind::Fanout;
    found.queues.retain(|queue| queue.name != "events.dlq");
    found.queues[0].dead_letter = None;
    found.queues[0].single_active_consumer = true;
    found.bindings.remove(0);
    let difference = wanted.compare(&found);
    assert!(!difference.holds());
    assert_eq!(
        difference.to_string(),
        r##"missing    queue events.dlq
missing    binding of queue work to events by "#"
missing    policy short
different  exchange events.dlx: type is fanout instead of direct
different  queue work: dead-letter-exchange is not set instead of events.dlx, dead-letter-routing-key is not set instead of dead-letter, dead-letter-strategy is not set instead of at-least-once, max-length is not set instead of 7, single-active-consumer is true, and was not asked for
surplus    exchange other
surplus    queue theirs
surplus    binding of exchange other to events by "a.#""##
    );
}

#[test]
fn each_setting_of_a_queue_is_compared() {
    type Set = fn(&mut Queue);
    let sets: [(&str, Set); 9] = [
        ("queue-type", |q| q.kind = QueueKind::Classic),
        ("single-active-consumer", |q| q.single_active_consumer = true),
        ("delivery-limit", |q| q.delivery_limit = None),
        ("dead-letter-exchange", |q| q.dead_letter = None),
        ("dead-letter-strategy", |q| q.dead_letter_strategy = super::DeadLetterStrategy::AtMostOnce),
        ("message-ttl", |q| q.message_ttl = Some(Duration::from_secs(1))),
        ("expires", |q| q.expires = Some(Duration::from_secs(1))),
        ("max-length", |q| q.max_length = Some(1)),
        ("overflow", |q| q.overflow = Overflow::DropHead),
    ];
    for (name, set) in sets {
        let mut found = small();
        set(&mut found.queues[0]);
        let difference = small().compare(&found);
        let told: Vec<_> = difference
            .different
            .iter()
            .flat_map(|change| &change.settings)
            .map(|s| s.name.as_str())
            .collect();
        assert!(told.contains(&name), "{name}: {difference}");
    }
}

/// What a tool gets.
#[test]
fn a_difference_serializes() {
    let found = small().queue(Queue::quorum("work").with_delivery_limit(Some(3)));
    let json = serde_json::to_value(small().compare(&found)).unwrap();
    assert_eq!(json["missing"], serde_json::json!([]));
    assert_eq!(json["different"][0]["item"], serde_json::json!({ "item": "queue", "name": "work" }));
    let limit = json["different"][0]["settings"].as_array().unwrap();
    assert!(limit.iter().any(|s| s["name"] == "delivery-limit" && s["wanted"] == 20 && s["found"] == 3));
    let binding = Topology::new().compare(&Topology::new().binding(Binding::new("e", "k", "q")));
    let json = serde_json::to_value(binding).unwrap();
    let expected =
        serde_json::json!({ "item": "binding", "source": "e", "destination": { "queue": "q" }, "key": "k" });
    assert_eq!(json["surplus"][0], expected);
}

/// An argument and a policy that say the same are the same.
#[test]
fn policies_count_as_what_they_come_to() {
    let bare = Queue::bare("work", QueueKind::Quorum);
    let policy = Policy::queues("all work", "^work")
        .with("delivery-limit", 20)
        .with("dead-letter-exchange", "events.dlx")
        .with("dead-letter-routing-key", "dead-letter")
        .with("dead-letter-strategy", "at-least-once")
        .with("overflow", "reject-publish");
    let found = small().queue(bare).policy(policy);
    let difference = small().compare(&found);
    assert!(difference.holds(), "{difference}");
    assert_eq!(difference.surplus.len(), 1, "the policy itself: {difference}");

    // One that wins takes everything, as at the broker.
    let stronger = Policy::queues("stronger", "or").with("max-length", 5).with_priority(11);
    let difference = small().compare(&found.policy(stronger));
    let names: Vec<_> = difference.different[0].settings.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&"dead-letter-exchange") && names.contains(&"max-length"), "{difference}");
}

#[test]
fn arguments_and_policies_add_up_as_at_the_broker() {
    let queue = Queue::quorum("q").with_dead_letter("mine", "k").with_max_length(10);
    let policy = Policy::queues("p", "q")
        .with("max-length", 3)
        .with("delivery-limit", 50)
        .with("dead-letter-exchange", "theirs")
        .with("overflow", "drop-head");
    let resolved = Topology::new().queue(queue).policy(policy).resolved();
    let queue = resolved.find_queue("q").unwrap();
    assert_eq!((queue.max_length, queue.delivery_limit), (Some(3), Some(20)), "the lower number");
    assert_eq!(queue.dead_letter.as_ref().unwrap().exchange, "mine", "the argument");
    assert_eq!(queue.overflow, Overflow::DropHead, "a quorum queue asks the policy first");
    assert_eq!(resolved.policies, []);
}

#[test]
fn a_policy_gives_an_exchange_its_alternate() {
    let mut policy = Policy::queues("p", "^events$").with("alternate-exchange", "spare");
    let topology = small().policy(policy.clone());
    assert_eq!(topology.resolved().exchanges[0].alternate, None, "it is for queues");
    policy.applies_to = super::AppliesTo::All;
    let topology = small().policy(policy);
    assert_eq!(topology.resolved().exchanges[0].alternate.as_deref(), Some("spare"));
    assert_eq!(topology.resolved().exchanges[1].alternate, None);
    assert_eq!(topology.bindings[0].destination, Destination::Queue("work".to_owned()));
}

#[test]
fn a_pattern_that_cannot_be_read_is_refused() {
    let error = small().policy(Policy::queues("odd", "(")).check().unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Config);
    assert!(error.to_string().contains("odd"), "{error}");
}
