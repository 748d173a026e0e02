//! Bounded metrics behind the `metrics` facade, shown as Prometheus text and as a snapshot.
//!
//! A metric has at most so many series; what would be one more goes into a series of its own, labelled
//! `overflow="true"`, and is counted in `metrics_series_overflow_total`. So totals stay right, and memory stays
//! bounded, whatever a caller puts into a label.

mod process;
mod registry;
mod render;
mod series;

use std::fmt;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};

use crate::error::{Error, ErrorKind};
use crate::metrics::registry::{Kind, Registry};

pub use crate::metrics::render::CONTENT_TYPE;

/// A recorder for the `metrics` facade.
#[derive(Clone)]
pub struct Recorder(Arc<Registry>);

/// How a [`Recorder`] behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// Added as the label `service` to each series that has none.
    pub service: Option<String>,
    /// Series that a metric may have. The default, 1,000, is some 20 routes × 10 statuses × 5 services.
    pub max_series: usize,
    /// Metrics that there may be; names come from code, so that the default, 1,000, is only a backstop.
    pub max_metrics: usize,
    /// Upper bounds of histogram buckets for metrics by name (as given to the facade), where the defaults do
    /// not fit. By default the unit decides: [`DURATION_BUCKETS`] unless it is bytes or a count.
    pub buckets: Vec<(String, Vec<f64>)>,
}

/// Reads a [`Recorder`].
#[derive(Clone)]
pub struct MetricsHandle(Arc<Registry>);

/// One series at one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// The metric's name in the exposition, such as `http_server_request_duration_seconds`.
    pub name: String,
    /// Its labels, sorted by name.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: SampleValue,
}

/// The value of a [`Sample`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SampleValue {
    /// A number that only grows.
    Counter(f64),
    /// A number that goes up and down.
    Gauge(f64),
    /// A distribution.
    #[non_exhaustive]
    Histogram {
        /// Values recorded.
        count: u64,
        /// Their sum.
        sum: f64,
        /// Upper bounds and how many values are at or below each; `+Inf` is [`count`](Self::Histogram::count).
        buckets: Vec<(f64, u64)>,
    },
}

/// Bucket bounds for durations in seconds: those of the semantic conventions.
pub const DURATION_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

// === impl Recorder ===

impl Recorder {
    /// A recorder that is not installed: for tests, with `metrics::set_default_local_recorder`.
    #[must_use]
    pub fn new(config: &RecorderConfig) -> Self {
        Self(Arc::new(Registry::new(config)))
    }

    /// Makes it the process's recorder. Metrics registered before go nowhere, so do this first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RecorderTaken`] if the process has one already.
    pub fn install(self) -> Result<MetricsHandle, Error> {
        let handle = self.handle();
        metrics::set_global_recorder(self).map_err(|_| Error::new(ErrorKind::RecorderTaken))?;
        Ok(handle)
    }

    /// The process's recorder, installed at the first call; later calls get the same and their `config` is
    /// not looked at.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RecorderTaken`] if the process has one that is not ours.
    pub fn global(config: &RecorderConfig) -> Result<MetricsHandle, Error> {
        // INVARIANT: the cell holds what was tried, so that two threads agree on one recorder.
        static GLOBAL: OnceLock<Option<MetricsHandle>> = OnceLock::new();
        GLOBAL
            .get_or_init(|| Self::new(config).install().ok())
            .clone()
            .ok_or_else(|| Error::new(ErrorKind::RecorderTaken))
    }

    /// A handle that reads it.
    #[must_use]
    pub fn handle(&self) -> MetricsHandle {
        MetricsHandle(Arc::clone(&self.0))
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(key.as_str(), Kind::Counter, unit, &text);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(key.as_str(), Kind::Gauge, unit, &text);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.0.describe(key.as_str(), Kind::Histogram, unit, &text);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.0.counter(key)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.gauge(key)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.histogram(key)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

// === impl RecorderConfig ===

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { service: None, max_series: 1_000, max_metrics: 1_000, buckets: Vec::new() }
    }
}

// === impl MetricsHandle ===

impl MetricsHandle {
    /// Everything as Prometheus text (version 0.0.4, see [`CONTENT_TYPE`]), the process's own metrics
    /// included. Takes milliseconds for thousands of series: not on a runtime thread.
    #[must_use]
    pub fn render(&self) -> String {
        render::text(&self.0)
    }

    /// Everything as values, for a live view.
    #[must_use]
    pub fn snapshot(&self) -> Vec<Sample> {
        render::samples(&self.0)
    }
}

impl fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsHandle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
