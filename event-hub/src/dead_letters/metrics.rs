//! What draining and redriving count.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

pub(crate) struct Metrics {
    pub(crate) stored: Counter,
    pub(crate) repeated: Counter,
    pub(crate) redriven: Counter,
    pub(crate) left: Counter,
    pub(crate) held: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe_counter!("tramline_dead_letters_stored_total", "Dead letters moved into the database");
        describe_counter!("tramline_dead_letters_repeated_total", "Dead letters that were there already");
        describe_counter!("tramline_dead_letters_redriven_total", "Dead letters sent back into their queues");
        describe_counter!("tramline_dead_letters_left_total", "Dead letters that could not be sent back");
        describe_gauge!("tramline_dead_letters_held", "Dead letters that cannot be stored at the moment");
        Self {
            stored: counter!("tramline_dead_letters_stored_total"),
            repeated: counter!("tramline_dead_letters_repeated_total"),
            redriven: counter!("tramline_dead_letters_redriven_total"),
            left: counter!("tramline_dead_letters_left_total"),
            held: gauge!("tramline_dead_letters_held"),
        }
    }
}
