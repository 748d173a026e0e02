//! What a node counts. Label values are bounded: codes and reasons, never users or rooms.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use metrics::{Counter, Gauge, Histogram};

/// Handles made once, and the same numbers for [`RoomsStats`](crate::RoomsStats).
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) rooms: Gauge,
    delivered: Counter,
    dropped: Counter,
    pub(crate) lag: Histogram,
    queued: Gauge,
    queued_bytes: AtomicUsize,
    delivered_total: AtomicU64,
    dropped_total: AtomicU64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        metrics::describe_gauge!("ws.connections", "Open sockets");
        metrics::describe_gauge!("ws.rooms", "Rooms with members on this node");
        metrics::describe_gauge!("ws.queue.bytes", "Bytes that wait for sockets");
        metrics::describe_counter!("ws.deliveries", "Event and position frames that sockets have taken");
        metrics::describe_counter!("ws.dropped", "Frames dropped for slow readers");
        metrics::describe_counter!("ws.closes", "Connections ended, by close code");
        metrics::describe_counter!("ws.refused", "Upgrades refused, by problem code");
        metrics::describe_counter!(
            "ws.joins.refused",
            "Rooms that the application gave and a connection did not take"
        );
        metrics::describe_counter!("ws.presence.unseen", "Connections in rooms that list no more users");
        metrics::describe_histogram!(
            "ws.delivery.lag",
            metrics::Unit::Seconds,
            "From publish until the socket has taken the frame, of the oldest in a write"
        );
        Self {
            connections: metrics::gauge!("ws.connections"),
            rooms: metrics::gauge!("ws.rooms"),
            delivered: metrics::counter!("ws.deliveries"),
            dropped: metrics::counter!("ws.dropped"),
            lag: metrics::histogram!("ws.delivery.lag"),
            queued: metrics::gauge!("ws.queue.bytes"),
            queued_bytes: AtomicUsize::new(0),
            delivered_total: AtomicU64::new(0),
            dropped_total: AtomicU64::new(0),
        }
    }

    pub(crate) fn queued(&self, bytes: usize) {
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn unqueued(&self, bytes: usize) {
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn deliver(&self, frames: u64) {
        self.delivered.increment(frames);
        self.delivered_total.fetch_add(frames, Ordering::Relaxed);
    }

    pub(crate) fn drop_frames(&self, frames: u64) {
        if frames == 0 {
            return;
        }
        self.dropped.increment(frames);
        self.dropped_total.fetch_add(frames, Ordering::Relaxed);
    }

    pub(crate) fn closed(&self, code: u16) {
        metrics::counter!("ws.closes", "code" => code_label(code)).increment(1);
    }

    pub(crate) fn refused(&self, code: &'static str) {
        metrics::counter!("ws.refused", "code" => code).increment(1);
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge of bytes far below 2^52")]
    pub(crate) fn show(&self, connections: usize, rooms: usize) {
        self.connections.set(connections as f64);
        self.rooms.set(rooms as f64);
        self.queued.set(self.queued_bytes() as f64);
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn delivered_total(&self) -> u64 {
        self.delivered_total.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped_total(&self) -> u64 {
        self.dropped_total.load(Ordering::Relaxed)
    }
}

/// A close code as a label. An application's own codes share one, or each would be a series.
pub(crate) fn code_label(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1006 => "1006",
        1007 => "1007",
        1009 => "1009",
        4001 => "4001",
        4003 => "4003",
        4004 => "4004",
        4009 => "4009",
        4101 => "4101",
        4108 => "4108",
        4129 => "4129",
        4200 => "4200",
        4201 => "4201",
        4202 => "4202",
        _ => "other",
    }
}
