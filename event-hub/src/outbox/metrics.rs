//! The relay's metrics. The label `outbox` tells the outboxes of one process apart.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use crate::outbox::parts::Parts;
use crate::outbox::store::{Depth, now};

pub(crate) struct Metrics {
    sent: Counter,
    failed: Counter,
    parked: Counter,
    store_errors: Counter,
    store_up: Gauge,
    active: Sum,
    partitions: Sum,
    moved: Counter,
    alarm: Gauge,
    lag: Histogram,
    waiting_rows: Gauge,
    unsettled_rows: Gauge,
    parked_rows: Gauge,
    oldest: Gauge,
    in_flight: Sum,
}

/// A relay's part of a gauge that the relays of one process share.
struct Sum {
    gauge: Gauge,
    part: f64,
}

// === impl Metrics ===

impl Metrics {
    pub(crate) fn new(name: &str) -> Self {
        describe_counter!("tramline_outbox_sent_total", "Events that the hub confirmed");
        describe_counter!(
            "tramline_outbox_failed_total",
            "Events that were not confirmed, and are sent again"
        );
        describe_counter!("tramline_outbox_parked_total", "Rows put aside: unreadable, or refused too often");
        describe_counter!(
            "tramline_outbox_partitions_moved_total",
            "Partitions that this relay took or handed over"
        );
        describe_counter!("tramline_outbox_store_errors_total", "Failures of the outbox's database");
        describe_gauge!(
            "tramline_outbox_store_up",
            "1 while the outbox's database answers; at 0 rows and age are those seen last"
        );
        describe_gauge!("tramline_outbox_active", "Relays of this process that have partitions to send");
        describe_gauge!("tramline_outbox_partitions", "Partitions that this process's relays send");
        describe_gauge!("tramline_outbox_alarm", "1 while too much waits, or for too long");
        describe_histogram!("tramline_outbox_lag_seconds", "From an event's row to its confirm");
        describe_gauge!("tramline_outbox_rows", "Rows of the whole outbox by state");
        describe_gauge!("tramline_outbox_oldest_seconds", "Age of the oldest row that waits");
        describe_gauge!("tramline_outbox_in_flight", "Events whose confirm is awaited");
        let rows = |state: &'static str| gauge!("tramline_outbox_rows", "outbox" => name.to_owned(), "state" => state);
        Self {
            sent: counter!("tramline_outbox_sent_total", "outbox" => name.to_owned()),
            failed: counter!("tramline_outbox_failed_total", "outbox" => name.to_owned()),
            parked: counter!("tramline_outbox_parked_total", "outbox" => name.to_owned()),
            store_errors: counter!("tramline_outbox_store_errors_total", "outbox" => name.to_owned()),
            store_up: gauge!("tramline_outbox_store_up", "outbox" => name.to_owned()),
            active: Sum::of(gauge!("tramline_outbox_active", "outbox" => name.to_owned())),
            partitions: Sum::of(gauge!("tramline_outbox_partitions", "outbox" => name.to_owned())),
            moved: counter!("tramline_outbox_partitions_moved_total", "outbox" => name.to_owned()),
            alarm: gauge!("tramline_outbox_alarm", "outbox" => name.to_owned()),
            lag: histogram!("tramline_outbox_lag_seconds", "outbox" => name.to_owned()),
            waiting_rows: rows("waiting"),
            unsettled_rows: rows("unsettled"),
            parked_rows: rows("parked"),
            oldest: gauge!("tramline_outbox_oldest_seconds", "outbox" => name.to_owned()),
            in_flight: Sum::of(gauge!("tramline_outbox_in_flight", "outbox" => name.to_owned())),
        }
    }

    pub(crate) fn sent(&self, created_at: i64) {
        self.sent.increment(1);
        self.lag.record(since(created_at).as_secs_f64());
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

    pub(crate) fn store_up(&self, up: bool) {
        self.store_up.set(u32::from(up));
    }

    pub(crate) fn in_flight(&mut self, events: usize) {
        self.in_flight.set(u32::try_from(events).unwrap_or(u32::MAX));
    }

    /// `held` now, after `moved` of them came or went.
    pub(crate) fn partitions(&mut self, held: Parts, moved: u32) {
        self.moved.increment(u64::from(moved));
        self.partitions.set(held.len());
        self.active.set(u32::from(!held.is_empty()));
    }

    pub(crate) fn alarm(&self, on: bool) {
        self.alarm.set(u32::from(on));
    }

    pub(crate) fn depth(&self, depth: Depth) {
        let number = |rows: i64| u32::try_from(rows).unwrap_or(u32::MAX);
        self.waiting_rows.set(number(depth.waiting));
        self.unsettled_rows.set(number(depth.unsettled));
        self.parked_rows.set(number(depth.parked));
    }

    pub(crate) fn oldest(&self, age: Duration) {
        self.oldest.set(age.as_secs_f64());
    }
}

// === impl Sum ===

impl Sum {
    fn of(gauge: Gauge) -> Self {
        Self { gauge, part: 0.0 }
    }

    fn set(&mut self, part: u32) {
        let part = f64::from(part);
        self.gauge.increment(part - std::mem::replace(&mut self.part, part));
    }
}

impl Drop for Sum {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// The time since then, by the table's clock.
pub(crate) fn since(micros: i64) -> Duration {
    Duration::from_micros(now().saturating_sub(micros).max(0).unsigned_abs())
}
