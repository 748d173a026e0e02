//! Pauses between attempts: full jitter under a doubling bound.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Endless; each pause is drawn between zero and its bound, so that many clients do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    builder: ExponentialBuilder,
    bounds: ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, max: Duration) -> Self {
        let builder = ExponentialBuilder::new().with_min_delay(first).with_max_delay(max).without_max_times();
        Self { builder, bounds: builder.build(), max }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let bound = self.bounds.next().unwrap_or(self.max);
        bound.mul_f64(rand::random_range(0.0..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.bounds = self.builder.build();
    }
}
