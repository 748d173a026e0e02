//! The cells that handles write to. All are atomics: a request never waits for a scrape.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{CounterFn, GaugeFn, HistogramFn};

#[derive(Debug, Default)]
pub(super) struct CounterCell(AtomicU64);

#[derive(Debug, Default)]
pub(super) struct GaugeCell(Float);

#[derive(Debug)]
pub(super) struct HistogramCell {
    bounds: Box<[f64]>,
    /// One more than bounds: the last is for what is above them all.
    counts: Box<[AtomicU64]>,
    sum: Float,
}

/// An atomic `f64`.
#[derive(Debug, Default)]
struct Float(AtomicU64);

// === impl CounterCell ===

impl CounterCell {
    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl CounterFn for CounterCell {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }
}

// === impl GaugeCell ===

impl GaugeCell {
    pub(super) fn value(&self) -> f64 {
        self.0.load()
    }
}

impl GaugeFn for GaugeCell {
    fn increment(&self, value: f64) {
        self.0.add(value);
    }

    fn decrement(&self, value: f64) {
        self.0.add(-value);
    }

    fn set(&self, value: f64) {
        self.0.0.store(value.to_bits(), Ordering::Relaxed);
    }
}

// === impl HistogramCell ===

impl HistogramCell {
    pub(super) fn new(bounds: &[f64]) -> Self {
        Self {
            bounds: bounds.into(),
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: Float::default(),
        }
    }

    /// The count, the sum, and the cumulated buckets. The count is the buckets' own, so that they agree.
    pub(super) fn value(&self) -> (u64, f64, Vec<(f64, u64)>) {
        let mut total = 0;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        for (index, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            if let Some(&bound) = self.bounds.get(index) {
                buckets.push((bound, total));
            }
        }
        (total, self.sum.load(), buckets)
    }
}

impl HistogramFn for HistogramCell {
    fn record(&self, value: f64) {
        // One value that is no number would spoil the sum for ever.
        if !value.is_finite() {
            return;
        }
        let index = self.bounds.partition_point(|&bound| bound < value);
        self.counts[index].fetch_add(1, Ordering::Relaxed);
        self.sum.add(value);
    }
}

// === impl Float ===

impl Float {
    fn load(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, value: f64) {
        if !value.is_finite() {
            return;
        }
        // Never refuses: the closure always answers.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
            Some((f64::from_bits(bits) + value).to_bits())
        });
    }
}
