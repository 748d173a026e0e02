//! Tests of the topology.

mod compare;
mod import;

use std::time::Duration;

use serde_json::Value;

use super::*;

fn small() -> Topology {
    Topology::new()
        .exchange(Exchange::topic("events"))
        .exchange(Exchange::direct("events.dlx"))
        .queue(Queue::quorum("work").with_dead_letter("events.dlx", "dead-letter"))
        .queue(Queue::quorum("events.dlq"))
        .binding(Binding::new("events", "#", "work"))
        .binding(Binding::new("events.dlx", "dead-letter", "events.dlq"))
}

#[test]
fn the_export_carries_every_argument_of_the_contract() {
    let all: Value = serde_json::from_str(&small().to_definitions_json("/")).unwrap();
    let arguments = &all["queues"][0]["arguments"];
    assert_eq!(arguments["x-queue-type"], "quorum");
    assert_eq!(arguments["x-delivery-limit"], 20);
    assert_eq!(arguments["x-dead-letter-exchange"], "events.dlx");
    assert_eq!(arguments["x-dead-letter-routing-key"], "dead-letter");
    assert_eq!(arguments["x-dead-letter-strategy"], "at-least-once");
    assert_eq!(arguments["x-overflow"], "reject-publish");
    assert_eq!(all["bindings"][0]["destination_type"], "queue");
    assert_eq!(all["exchanges"][1]["type"], "direct");
}

/// A limit without dead letters is a number of deliveries after which the broker drops.
#[test]
fn a_queue_without_dead_letters_has_no_limit_unless_told() {
    let limit = |queue: &Queue| queue.arguments()["x-delivery-limit"].to_string();
    assert_eq!(limit(&Queue::quorum("q")), "1000000000000");
    assert_eq!(limit(&Queue::quorum("q").with_dead_letter("dlx", "k")), "20");
    assert_eq!(limit(&Queue::quorum("q").with_delivery_limit(Some(5)).with_dead_letter("dlx", "k")), "5");
    assert_eq!(limit(&Queue::quorum("q").with_delivery_limit(Some(5))), "5", "on purpose");
    let endless = Queue::quorum("q").with_dead_letter("dlx", "k").with_delivery_limit(None);
    assert_eq!(limit(&endless), "1000000000000");
    assert_eq!(Queue::classic("q").with_dead_letter("dlx", "k").delivery_limit, None);
}

/// The way back from the delays is bound by the queue's name.
#[test]
fn a_queue_whose_name_is_a_pattern_is_refused() {
    let check = |queue: Queue| Topology::new().queue(queue).check();
    for name in ["*", "#", "orders.#", "a.*.b"] {
        assert_eq!(check(Queue::quorum(name)).unwrap_err().kind(), ErrorKind::Config, "{name}");
        assert_eq!(check(Queue::classic(name)).unwrap_err().kind(), ErrorKind::Config, "{name}");
    }
    for name in ["orders*", "a.#b", "**"] {
        check(Queue::quorum(name)).unwrap();
    }
    check(Queue::feed("#", Duration::from_secs(1), 1)).unwrap();
}

#[test]
fn merging_a_topology_with_itself_changes_nothing() {
    assert_eq!(small().merge(small()), small());
    assert_eq!(small().with_delays().with_delays(), small().with_delays());
}

#[test]
fn a_feed_is_classic_and_bounded() {
    let feed = Queue::feed("f", Duration::from_secs(600), 100);
    assert!(feed.is_feed());
    let names: Vec<_> = feed.arguments().into_keys().collect();
    assert_eq!(names, ["x-expires", "x-max-length", "x-queue-type"]);
    assert!(!Queue::quorum("q").is_feed());
    assert!(!Queue::classic("q").is_feed());
}
