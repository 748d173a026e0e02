//! The topology beside what is committed for operators.

use std::time::Duration;

use super::*;

/// What an operator imports is what the processes declare.
#[test]
fn the_definitions_for_operators_are_the_export() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/rabbitmq/definitions.json");
    let export = topology().to_definitions_json("/");
    if std::env::var_os("TRAMLINE_BLESS").is_some() {
        std::fs::write(path, &export).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == export,
        "definitions.json differs from the export: run `TRAMLINE_BLESS=1 cargo test -p contracts`"
    );
}

#[test]
fn work_queues_dead_letter_at_least_once_and_feeds_expire() {
    let topology = topology();
    for (name, _) in WORK_QUEUES {
        let queue = topology.find_queue(name).unwrap();
        assert_eq!(queue.delivery_limit, Some(20), "{name}");
        let dead_letter = queue.dead_letter.as_ref().unwrap();
        assert_eq!(dead_letter.exchange, DEAD_LETTER_EXCHANGE);
        assert_eq!(dead_letter.key.as_deref(), Some(DEAD_LETTER_KEY));
    }
    let feed = revocation_feed("payments", "one");
    assert_eq!(feed.name, "revocations.payments.one");
    assert_eq!(feed.max_length, 100_000);
    assert_eq!(feed.expires, Duration::from_secs(600));
    assert_eq!(feed.keys, REVOCATION_KEYS);
}
