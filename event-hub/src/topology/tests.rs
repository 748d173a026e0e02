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
    assert_eq!(names, ["x-expires", "x-max-length"]);
    assert!(!Queue::quorum("q").is_feed());
    assert!(!Queue::classic("q").is_feed());
}
