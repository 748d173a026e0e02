//! Samples of one kind of time.

use std::time::Duration;

use crate::report::Percentiles;

/// Samples, kept whole: a run has some ten thousand.
#[derive(Clone, Debug, Default)]
pub struct Latency(Vec<Duration>);

// === impl Latency ===

impl Latency {
    /// Room for so many.
    #[must_use]
    pub fn with_capacity(samples: usize) -> Self {
        Self(Vec::with_capacity(samples))
    }

    /// Adds one.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The percentiles; zeros without samples.
    #[must_use]
    pub fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let at = |percent: usize| {
            let rank = (self.0.len() * percent).div_ceil(100).max(1) - 1;
            self.0.get(rank).map_or(0.0, |sample| sample.as_secs_f64() * 1e6)
        };
        Percentiles { p50: at(50), p95: at(95), p99: at(99), max: at(100) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latency = Latency::with_capacity(200);
        (1..=200).rev().for_each(|n| latency.add(Duration::from_micros(n)));
        let Percentiles { p50, p95, p99, max } = latency.percentiles();
        assert_eq!([p50, p95, p99, max].map(f64::round), [100.0, 190.0, 198.0, 200.0]);
        assert!(Latency::default().percentiles().max.abs() < f64::EPSILON);
    }
}
