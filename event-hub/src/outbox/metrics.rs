//! The relay's metrics. The label `outbox` tells the outboxes of one process apart.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

use crate::outbox::store::{Depth, now};

pub(crate) struct Metrics {
    sent: Counter,
    failed: Counter,
    parked: Counter,
    store_errors: Counter,
    active: Gauge,
    waiting_rows: Gauge,
    unsettled_rows: Gauge,
    parked_rows: Gauge,
    oldest: Gauge,
    in_flight: Gauge,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(name: &str) -> Self {
        describe_counter!("tramline_outbox_sent_total", "Events that the hub confirmed");
        describe_counter!(
            "tramline_outbox_failed_total",
            "Events that were not confirmed, and are sent again"
        );
        describe_counter!("tramline_outbox_parked_total", "Rows put aside because they cannot be read");
        describe_counter!("tramline_outbox_store_errors_total", "Failures of the outbox's database");
        describe_gauge!("tramline_outbox_active", "1 where this process's relay is the active one");
        describe_gauge!("tramline_outbox_rows", "Rows by state: waiting, unsettled, parked");
        describe_gauge!("tramline_outbox_oldest_seconds", "Age of the oldest row that waits");
        describe_gauge!("tramline_outbox_in_flight", "Events whose confirm is awaited");
        let rows = |state: &'static str| gauge!("tramline_outbox_rows", "outbox" => name.to_owned(), "state" => state);
        Self {
            sent: counter!("tramline_outbox_sent_total", "outbox" => name.to_owned()),
            failed: counter!("tramline_outbox_failed_total", "outbox" => name.to_owned()),
            parked: counter!("tramline_outbox_parked_total", "outbox" => name.to_owned()),
            store_errors: counter!("tramline_outbox_store_errors_total", "outbox" => name.to_owned()),
            active: gauge!("tramline_outbox_active", "outbox" => name.to_owned()),
            waiting_rows: rows("waiting"),
            unsettled_rows: rows("unsettled"),
            parked_rows: rows("parked"),
            oldest: gauge!("tramline_outbox_oldest_seconds", "outbox" => name.to_owned()),
            in_flight: gauge!("tramline_outbox_in_flight", "outbox" => name.to_owned()),
        }
    }

    pub(crate) fn sent(&self) {
        self.sent.increment(1);
    }

    pub(crate) fn failed(&self) {
        self.failed.increment(1);
    }

    pub(crate) fn parked(&self) {
        self.parked.increment(1);
    }

    pub(crate) fn store_error(&self) {
        self.store_errors.increment(1);
    }

    pub(crate) fn in_flight(&self, events: usize) {
        self.in_flight.set(u32::try_from(events).unwrap_or(u32::MAX));
    }

    pub(crate) fn active(&self) {
        self.active.set(1);
    }

    /// Another relay tells the depth now; two that did would be added up.
    pub(crate) fn standby(&self) {
        self.active.set(0);
        self.depth(Depth::default());
    }

    pub(crate) fn depth(&self, depth: Depth) {
        let number = |rows: i64| u32::try_from(rows).unwrap_or(u32::MAX);
        self.waiting_rows.set(number(depth.waiting));
        self.unsettled_rows.set(number(depth.unsettled));
        self.parked_rows.set(number(depth.parked));
        let age = depth.oldest.map_or(0, |oldest| (now() - oldest).max(0));
        self.oldest.set(std::time::Duration::from_micros(age.unsigned_abs()).as_secs_f64());
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
