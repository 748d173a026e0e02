//! Tests of the ladder.

use proptest::prelude::*;

use super::*;

/// Follows a message through the ladder, adding up the waits.
fn walk(topology: &Topology, exchange: &str, key: &str) -> (Duration, Vec<String>) {
    let mut waited = Duration::ZERO;
    let mut at = exchange.to_owned();
    loop {
        let next: Vec<_> =
            topology.bindings.iter().filter(|b| b.source == at && topic::matches(&b.key, key)).collect();
        if at == DONE {
            let ends = next.iter().map(|b| match &b.destination {
                Destination::Queue(queue) | Destination::Exchange(queue) => queue.clone(),
            });
            return (waited, ends.collect());
        }
        assert_eq!(next.len(), 1, "one way on from {at} with {key}");
        at = match &next[0].destination {
            Destination::Exchange(exchange) => exchange.clone(),
            Destination::Queue(queue) => {
                let queue = topology.find_queue(queue).unwrap();
                waited += queue.message_ttl.unwrap();
                queue.dead_letter.clone().unwrap().exchange
            }
        };
    }
}

proptest! {
    #[test]
    fn every_delay_adds_up_and_comes_back_to_its_queue_alone(millis in 0_u64..26_000_000) {
        let topology = add_to(
            Topology::new().queue(Queue::quorum("events.queue")).queue(Queue::quorum("admin.events.queue")),
        );
        let (exchange, key) = route("admin.events.queue", Duration::from_millis(millis));
        let (waited, ends) = walk(&topology, &exchange, &key);
        prop_assert_eq!(ends, vec!["admin.events.queue".to_owned()]);
        let wanted = u128::from(millis).div_ceil(100).max(1) * 100;
        prop_assert_eq!(waited.as_millis(), wanted);
    }
}

#[test]
fn longer_delays_are_cut_to_the_longest() {
    let topology = add_to(Topology::new().queue(Queue::quorum("q")));
    let (exchange, key) = route("q", Duration::from_hours(1000));
    assert_eq!(walk(&topology, &exchange, &key).0, UNIT * ((1 << LEVELS) - 1));
}

/// Whatever the dead letters' exchange is like, an orphan comes to rest: a level of the ladder keeps what it cannot
/// pass on, and holds up all retries.
#[test]
fn an_orphan_always_has_a_home() {
    let home = |topology: Topology| {
        let topology = add_to(topology);
        let bound = |source: &str| -> Vec<String> {
            let bindings = topology.bindings.iter().filter(|b| b.source == source);
            let name = |b: &Binding| match &b.destination {
                Destination::Queue(queue) | Destination::Exchange(queue) => queue.clone(),
            };
            bindings.map(name).collect()
        };
        assert_eq!(bound(LOST), [LOST], "for when the others are gone");
        assert_eq!(topology.find_queue(LOST).unwrap().delivery_limit, None);
        bound(ORPHANS)
    };
    let work = |key: Option<&str>| {
        let mut work = Queue::quorum("work");
        work.dead_letter = Some(DeadLetter { exchange: "dlx".to_owned(), key: key.map(str::to_owned) });
        Topology::new().queue(work).queue(Queue::quorum("dlq"))
    };
    let bound = |exchange: Exchange, pattern: &str, key: Option<&str>| {
        work(key).exchange(exchange).binding(Binding::new("dlx", pattern, "dlq"))
    };
    assert!(home(Topology::new().queue(Queue::quorum("work"))).is_empty());
    assert!(home(work(Some("dead"))).is_empty());
    assert_eq!(home(bound(Exchange::direct("dlx"), "dead", Some("dead"))), ["dlq"]);
    assert!(home(bound(Exchange::direct("dlx"), "dead", None)).is_empty());
    assert_eq!(home(bound(Exchange::topic("dlx"), "dead.#", Some("dead.letter"))), ["dlq"]);
    assert_eq!(home(bound(Exchange::fanout("dlx"), "", None)), ["dlq"]);
}
