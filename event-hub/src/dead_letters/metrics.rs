//! What draining and redriving count.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

pub(crate) struct Metrics {
    pub(crate) stored: Counter,
    pub(crate) repeated: Counter,
    pub(crate) redriven: Counter,
    pub(crate) left: Counter,
    pub(crate) held: Gauge,
    pub(crate) rows: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!("event_hub.dead_letters.stored", "Dead letters moved into the database");
        describe_counter!("event_hub.dead_letters.repeated", "Dead letters that were there already");
        describe_counter!("event_hub.dead_letters.redriven", "Dead letters sent back into their queues");
        describe_counter!("event_hub.dead_letters.left", "Dead letters that could not be sent back");
        describe_gauge!("event_hub.dead_letters.held", "Dead letters that cannot be stored at the moment");
        describe_gauge!("event_hub.dead_letters.rows", "Dead letters in the database");
        Self {
            stored: counter!("event_hub.dead_letters.stored"),
            repeated: counter!("event_hub.dead_letters.repeated"),
            redriven: counter!("event_hub.dead_letters.redriven"),
            left: counter!("event_hub.dead_letters.left"),
            held: gauge!("event_hub.dead_letters.held"),
            rows: gauge!("event_hub.dead_letters.rows"),
        }
    }
}
