//! The exchanges, queues and bindings of the system, as a value.

use tramline_event_hub::feed::Feed;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};

/// The topic exchange that every event is published to.
pub const EXCHANGE: &str = "events";
/// The direct exchange that dead letters go through.
pub const DEAD_LETTER_EXCHANGE: &str = "events.dlx";
/// The key of every dead letter.
pub const DEAD_LETTER_KEY: &str = "dead-letter";
/// Where dead letters wait for the admin service.
pub const DEAD_LETTER_QUEUE: &str = "events.dlq";

/// The auth service's work: activity.
pub const AUTH_QUEUE: &str = "auth.events.queue";
/// The payments service's work: aggregates, and its copy of the users.
pub const PAYMENTS_QUEUE: &str = "payments.events.queue";
/// The admin service's work: audit, users, dashboard.
pub const ADMIN_QUEUE: &str = "admin.events.queue";
/// The profile service's work: profiles made and purged.
pub const PROFILE_QUEUE: &str = "profile.events.queue";

/// What a process that checks tokens must hear of.
pub const REVOCATION_KEYS: &[&str] = &["auth.session.#", "auth.user.updated", "auth.user.deleted"];

const WORK_QUEUES: &[(&str, &[&str])] = &[
    (AUTH_QUEUE, &["auth.#"]),
    (PAYMENTS_QUEUE, &["payments.#", "auth.user.#"]),
    (ADMIN_QUEUE, &["#"]),
    (PROFILE_QUEUE, &["auth.user.#"]),
];

/// Everything shared: both exchanges, the four work queues, the dead-letter queue.
///
/// Every process declares all of it before its relay or consumers start, so that the queue of a
/// service that never ran already collects. Feeds are not in it: each process declares its own.
#[must_use]
pub fn topology() -> Topology {
    let base = Topology::new()
        .exchange(Exchange::topic(EXCHANGE))
        .exchange(Exchange::direct(DEAD_LETTER_EXCHANGE))
        .queue(Queue::quorum(DEAD_LETTER_QUEUE).with_delivery_limit(None))
        .binding(Binding::new(DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY, DEAD_LETTER_QUEUE));
    WORK_QUEUES
        .iter()
        .fold(base, |topology, (name, keys)| {
            let queue = Queue::quorum(*name).with_dead_letter(DEAD_LETTER_EXCHANGE, DEAD_LETTER_KEY);
            keys.iter().fold(topology.queue(queue), |topology, key| {
                topology.binding(Binding::new(EXCHANGE, *key, *name))
            })
        })
        .with_delays()
}

/// The feed of one gateway process: every event. The hub's defaults for feeds are the contract's: ten minutes
/// of absence, 100,000 events.
#[must_use]
pub fn gateway_feed(instance: &str) -> Feed {
    Feed::new(format!("gateway.{instance}.events"), ["#"])
}

/// The feed of one process that checks tokens: what ends them.
#[must_use]
pub fn revocation_feed(service: &str, instance: &str) -> Feed {
    Feed::new(format!("revocations.{service}.{instance}"), REVOCATION_KEYS.iter().copied())
}

#[cfg(test)]
mod tests;
