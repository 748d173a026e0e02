//! Reading definitions: our own, and a broker's.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::small;
use crate::topology::{
    AppliesTo, Binding, DeadLetter, Destination, Exchange, ExchangeKind, Overflow, Policy, Queue, QueueKind,
    Topology,
};

fn back(topology: &Topology, vhost: &str) -> Topology {
    let imported = Topology::from_definitions_json(&topology.to_definitions_json(vhost), vhost).unwrap();
    assert_eq!(imported.unknown, [], "our own words");
    imported.topology
}

#[test]
fn the_export_comes_back_as_it_was() {
    let topology = small()
        .queue(Queue::feed("feed", Duration::from_secs(600), 100))
        .queue(Queue::classic("plain"))
        .queue(Queue::quorum("free").with_delivery_limit(None).with_single_active_consumer())
        .exchange(Exchange::topic("events").with_alternate("spare"))
        .policy(Policy::queues("p", "^work$").with("max-length", 7).with_priority(3))
        .with_delays();
    assert_eq!(back(&topology, "/"), topology);
    assert_eq!(back(&topology, "other"), topology);
}

fn queues() -> impl Strategy<Value = Queue> {
    let name = "[a-z.]{1,20}";
    let target = prop::option::of((name, prop::option::of(name)));
    let millis = prop::option::of(1_u64..u64::from(u32::MAX));
    let numbers =
        (prop::option::of(any::<u32>()), millis.clone(), millis, prop::option::of(1_usize..1_000_000));
    (name, any::<bool>(), any::<bool>(), target, numbers, 0..3_usize).prop_map(
        |(name, quorum, single, target, (limit, ttl, expires, max), overflow)| {
            let mut queue = if quorum { Queue::quorum(name) } else { Queue::classic(name) };
            queue.single_active_consumer = single;
            queue.delivery_limit = limit.filter(|_| quorum);
            queue.dead_letter = target.map(|(exchange, key)| DeadLetter { exchange, key });
            queue.message_ttl = ttl.map(Duration::from_millis);
            queue.expires = expires.map(Duration::from_millis);
            queue.max_length = max;
            queue.overflow =
                [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx][overflow];
            queue
        },
    )
}

proptest! {
    #[test]
    fn any_queue_comes_back_as_it_was(queue in queues()) {
        let topology = Topology::new().queue(queue);
        prop_assert_eq!(&back(&topology, "/"), &topology);
        prop_assert!(topology.compare(&topology).is_empty());
    }
}

/// As a broker of 3.10 writes them, with what we have no words for.
fn foreign() -> serde_json::Value {
    json!({
        "rabbit_version": "3.10.8", "rabbitmq_version": "3.10.8", "product_name": "RabbitMQ",
        "users": [{ "name": "guest", "password_hash": "secret", "tags": ["administrator"] }],
        "vhosts": [{ "name": "/" }, { "name": "mine" }],
        "permissions": [{ "user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*" }],
        "topic_permissions": [], "parameters": [],
        "global_parameters": [{ "name": "internal_cluster_id", "value": "rabbitmq-cluster-id-x" }],
        "policies": [
            { "vhost": "mine", "name": "limit", "pattern": "^jobs$", "apply-to": "queues", "priority": 1,
              "definition": { "delivery-limit": 4, "ha-params": ["a"] } },
            { "vhost": "mine", "name": "ahead", "pattern": "(?=x)", "apply-to": "queues", "priority": 1,
              "definition": {} },
            { "vhost": "/", "name": "elsewhere", "pattern": "", "apply-to": "all", "priority": 0,
              "definition": {} },
        ],
        "queues": [
            { "name": "jobs", "vhost": "mine", "durable": true, "auto_delete": false,
              "arguments": { "x-queue-type": "quorum", "x-max-in-memory-length": 5 } },
            { "name": "log", "vhost": "mine", "durable": true, "auto_delete": false,
              "arguments": { "x-queue-type": "stream" } },
            { "name": "gone", "vhost": "mine", "durable": false, "auto_delete": false, "arguments": {} },
            { "name": "elsewhere", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {} },
        ],
        "exchanges": [
            { "name": "events", "vhost": "mine", "type": "topic", "durable": true, "auto_delete": false,
              "internal": false, "arguments": {} },
            { "name": "by.header", "vhost": "mine", "type": "headers", "durable": true, "auto_delete": false,
              "internal": false, "arguments": {} },
        ],
        "bindings": [
            { "source": "events", "vhost": "mine", "destination": "jobs", "destination_type": "queue",
              "routing_key": "a.#", "arguments": {} },
            { "source": "by.header", "vhost": "mine", "destination": "jobs", "destination_type": "queue",
              "routing_key": "", "arguments": { "x-match": "all" } },
        ],
    })
}

#[test]
fn what_we_have_no_words_for_is_kept_out_and_listed() {
    let imported = Topology::from_definitions_json(&foreign().to_string(), "mine").unwrap();
    let mut jobs = Queue::bare("jobs", QueueKind::Quorum);
    jobs.overflow = Overflow::DropHead;
    let limit = Policy::queues("limit", "^jobs$").with("delivery-limit", 4).with_priority(1);
    let expected = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(jobs)
        .binding(Binding::new("events", "a.#", "jobs"))
        .policy(limit);
    assert_eq!(imported.topology, expected);
    let mut listed: Vec<_> = imported
        .unknown
        .iter()
        .map(|unknown| match &unknown.item {
            Some(item) => format!("{item}: {}", unknown.text),
            None => unknown.text.clone(),
        })
        .collect();
    listed.sort();
    assert_eq!(
        listed,
        [
            r#"binding of queue jobs to by.header by "": it has arguments"#,
            "exchange by.header: type headers",
            "global_parameters: 1",
            "permissions: 1",
            r#"policy ahead: pattern "(?=x)""#,
            r#"policy limit: ha-params: ["a"]"#,
            "queue gone: not durable",
            "queue jobs: argument x-max-in-memory-length: 5",
            "queue log: type stream",
            "users: 1",
        ]
    );
}

/// What was kept out but is wanted is there as something else; it is not missing.
#[test]
fn what_is_there_as_something_else_is_not_missing() {
    let wanted = Topology::new().exchange(Exchange::topic("events")).queue(Queue::quorum("log"));
    let imported = Topology::from_definitions_json(&foreign().to_string(), "mine").unwrap();
    let difference = imported.against(&wanted);
    assert_eq!(difference.missing, []);
    assert_eq!(
        difference.different[0].to_string(),
        "queue log: found as is type stream, and was not asked for"
    );
    assert!(!difference.unseen.iter().any(|line| line.contains("log")), "{difference}");
    assert!(difference.unseen.iter().any(|line| line == "users: 1"), "{difference}");
}

/// RabbitMQ 4 limits what nobody has limited; older ones do not. Without a version it is our own file.
#[test]
fn a_broker_of_4_has_a_limit_where_nothing_is_said() {
    let mut file = foreign();
    file["rabbitmq_version"] = json!("4.1.2");
    file["rabbit_version"] = json!("4.1.2");
    let limit = |file: &serde_json::Value, queue: &str| {
        let imported = Topology::from_definitions_json(&file.to_string(), "mine").unwrap();
        imported.topology.resolved().find_queue(queue).unwrap().delivery_limit
    };
    assert_eq!(limit(&file, "jobs"), Some(4), "a policy says it");
    file["policies"] = json!([]);
    assert_eq!(limit(&file, "jobs"), Some(20), "nobody says it");
    file["queues"][0]["arguments"]["x-delivery-limit"] = json!(-1);
    assert_eq!(limit(&file, "jobs"), None, "no limit is said");
    assert_eq!(
        limit(
            &{
                let mut old = foreign();
                old["policies"] = json!([]);
                old
            },
            "jobs"
        ),
        None
    );
}

/// The dead-letter queue must keep its letters however often they are returned.
#[test]
fn no_limit_is_said_aloud_in_a_way_that_every_broker_takes() {
    let queue = Queue::quorum("events.dlq").with_delivery_limit(None);
    let limit = &queue.arguments()["x-delivery-limit"];
    assert_eq!(limit, &super::Setting::Number(1_000_000_000_000), "not -1, which 3.x refuses");
}

#[test]
fn what_is_no_definitions_file_is_refused() {
    for bad in ["", "[]", "{\"queues\": 7}", "{\"queues\": [{}]}"] {
        let error = Topology::from_definitions_json(bad, "/").unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Config, "{bad:?}");
    }
    let error = Topology::from_definitions_json(&small().to_definitions_json("mine"), "/").unwrap_err();
    assert!(error.to_string().contains("mine"), "{error}");
}

/// The management's answer for one virtual host does not repeat its name.
#[test]
fn entries_without_a_virtual_host_are_of_the_one_asked_for() {
    let file = json!({ "queues": [{ "name": "q", "arguments": {} }], "exchanges": [
        { "name": "e", "type": "fanout" }, { "name": "amq.topic", "type": "topic" }, { "name": "", "type": "direct" } ],
        "bindings": [{ "source": "", "destination": "q", "destination_type": "queue", "routing_key": "q" },
            { "source": "e", "destination": "f", "destination_type": "exchange", "routing_key": "" }] });
    let topology = Topology::from_definitions_json(&file.to_string(), "any").unwrap().topology;
    assert_eq!(topology.exchanges, [Exchange::fanout("e")]);
    assert_eq!(topology.exchanges[0].kind, ExchangeKind::Fanout);
    assert_eq!(topology.queues, [Queue::classic("q")]);
    let onward = Destination::Exchange("f".to_owned());
    assert_eq!(
        topology.bindings,
        [Binding { source: "e".to_owned(), destination: onward, key: String::new() }]
    );
    assert_eq!(AppliesTo::parse("streams"), None);
}
