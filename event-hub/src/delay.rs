//! Delays without head-of-line blocking: a ladder of queues, one per bit of the delay.
//!
//! Level n holds every message for 2^n tenths of a second, so that within a queue the oldest is always the
//! first to go. A message's key starts with the bits of its delay, highest first, and ends with the queue it
//! comes back to: each level's exchange sends it through its queue on a 1 and straight down on a 0. The last
//! exchange leads into the queue. What has none there any more goes to the dead letters, and where none of them can
//! be told, into a queue of its own: a level that cannot get rid of a message keeps it, and thirty-two of those hold
//! up everyone's retries.

use std::time::Duration;

use crate::topic;
use crate::topology::{Binding, DeadLetter, Destination, Exchange, ExchangeKind, Queue, Topology};

/// The shortest delay, and the grain of all others.
pub(crate) const UNIT: Duration = Duration::from_millis(100);

/// The longest delay is 2^18 tenths of a second, some seven hours.
const LEVELS: usize = 18;

/// Where the ladder ends.
const DONE: &str = "tramline.delay.done";

/// Takes what has no queue to come back to, for the dead letters.
const ORPHANS: &str = "tramline.delay.orphans";

/// Takes what not even they take: an exchange and its queue, which nobody reads by himself.
const LOST: &str = "tramline.delay.lost";

/// Where a message goes to come to `queue` after `delay`: exchange and key.
pub(crate) fn route(queue: &str, delay: Duration) -> (String, String) {
    let units = delay.as_millis().div_ceil(UNIT.as_millis()).clamp(1, (1 << LEVELS) - 1);
    let bits: String =
        (0..LEVELS).rev().map(|level| if units >> level & 1 == 1 { "1." } else { "0." }).collect();
    let top = (0..LEVELS).rev().find(|level| units >> level & 1 == 1).unwrap_or(0);
    (level_name(top), bits + queue)
}

/// Adds the ladder, and the way back into each work queue.
pub(crate) fn add_to(mut topology: Topology) -> Topology {
    let targets: Vec<String> = topology
        .queues
        .iter()
        .filter(|queue| !queue.is_feed() && !is_own(&queue.name))
        .map(|queue| queue.name.clone())
        .collect();
    topology = topology
        .exchange(Exchange::fanout(LOST))
        .queue(Queue::quorum(LOST))
        .binding(Binding::new(LOST, "", LOST))
        .exchange(Exchange::fanout(ORPHANS).with_alternate(LOST))
        .exchange(Exchange::topic(DONE).with_alternate(ORPHANS));
    for level in 0..LEVELS {
        let below = if level == 0 { DONE.to_owned() } else { level_name(level - 1) };
        let name = level_name(level);
        let mut queue = Queue::quorum(&name).with_delivery_limit(None);
        queue.dead_letter = Some(DeadLetter { exchange: below.clone(), key: None });
        // TTL of a power of two: the delays add up to any number of units.
        queue.message_ttl = Some(UNIT * (1 << level));
        let passed = "*.".repeat(LEVELS - 1 - level);
        topology = topology
            .exchange(Exchange::topic(&name))
            .queue(queue)
            .binding(Binding::new(&name, format!("{passed}1.#"), &name))
            .binding(Binding::to_exchange(&name, format!("{passed}0.#"), below));
    }
    for queue in targets {
        topology = topology.binding(way_back(&queue));
    }
    let letters: Vec<_> = topology.resolved().queues.into_iter().filter_map(|q| q.dead_letter).collect();
    for letter in letters.into_iter().filter(|letter| letter.exchange != DONE && !is_own(&letter.exchange)) {
        for target in dead_letter_queues(&topology, &letter) {
            topology = topology.binding(Binding::new(ORPHANS, "", target));
        }
    }
    topology
}

/// Leads from the end of the ladder into a queue.
pub(crate) fn way_back(queue: &str) -> Binding {
    // As many stars as bits, not `#`: a queue whose name ends like another's must not get that one's messages.
    Binding::new(DONE, "*.".repeat(LEVELS) + queue, queue)
}

/// Where a dead letter goes, as far as one exchange tells.
fn dead_letter_queues(topology: &Topology, letter: &DeadLetter) -> Vec<String> {
    let kind = topology.exchanges.iter().find(|exchange| exchange.name == letter.exchange).map(|e| e.kind);
    let takes = |pattern: &str| match (kind, letter.key.as_deref()) {
        (Some(ExchangeKind::Fanout), _) => true,
        (Some(ExchangeKind::Topic), Some(key)) => topic::matches(pattern, key),
        (_, key) => key == Some(pattern),
    };
    let bindings = topology.bindings.iter().filter(|b| b.source == letter.exchange && takes(&b.key));
    let queues = bindings.filter_map(|b| match &b.destination {
        Destination::Queue(queue) => Some(queue.clone()),
        Destination::Exchange(_) => None,
    });
    queues.collect()
}

/// Whether it is part of the ladder.
pub(crate) fn is_own(name: &str) -> bool {
    name.starts_with("tramline.delay.")
}

fn level_name(level: usize) -> String {
    format!("tramline.delay.{level:02}")
}

#[cfg(test)]
mod tests;
