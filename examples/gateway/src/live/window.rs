//! Metrics as they stand, and what happened between two moments of them.

use std::collections::BTreeMap;
use std::iter::Sum;

use serde::Serialize;
use tramline_observability::metrics::{Sample, SampleValue};

use crate::sockets::{DELIVERY, LAG};

/// What the live room shows of the metrics, counted since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Cumulative {
    /// Requests at this gateway.
    pub(super) gateway: Latency,
    /// Requests at the services: their own view in one process, the proxy's otherwise.
    pub(super) service: Latency,
    /// Events, from their own time to this gateway.
    pub(super) hub: Latency,
    /// Events, from this gateway's feed to their last room.
    pub(super) rooms: Latency,
    /// By the cache's name.
    pub(super) caches: BTreeMap<String, Questions>,
}

/// What caches were asked: a hit needed no load, be it from memory or from Redis.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Questions {
    pub(super) hits: u64,
    pub(super) misses: u64,
}

/// A distribution by its buckets.
#[derive(Clone, Debug, Default)]
pub(super) struct Latency {
    pub(super) count: u64,
    /// Upper bounds and how many values are at or below each.
    buckets: Vec<(f64, u64)>,
}

const HTTP: &str = "http_server_request_duration_seconds";
const UPSTREAM: &str = "streaming_proxy_request_duration_seconds";
const CACHE: &str = "cache_requests_total";

impl Cumulative {
    pub(super) fn read(samples: &[Sample]) -> Self {
        let mut read = Self::default();
        let mut proxied = Latency::default();
        let (lag, delivery) = (exposed(LAG), exposed(DELIVERY));
        for sample in samples {
            let label = |name: &str| sample.labels.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            match &sample.value {
                SampleValue::Histogram { count, buckets, .. } => {
                    let into = match sample.name.as_str() {
                        HTTP if label("service") == Some("gateway") => &mut read.gateway,
                        HTTP => &mut read.service,
                        UPSTREAM => &mut proxied,
                        name if name == lag => &mut read.hub,
                        name if name == delivery => &mut read.rooms,
                        _ => continue,
                    };
                    into.add(*count, buckets);
                }
                SampleValue::Counter(value) if sample.name == CACHE => {
                    // A count of requests has no fraction.
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a whole count"
                    )]
                    let value = *value as u64;
                    let cache = read.caches.entry(label("cache").unwrap_or_default().to_owned()).or_default();
                    match label("from") {
                        Some("load") => cache.misses += value,
                        // Nothing was loaded for it, nor found.
                        Some("absent") => {}
                        _ => cache.hits += value,
                    }
                }
                _ => {}
            }
        }
        if read.service.count == 0 {
            read.service = proxied;
        }
        read
    }
}

impl<'a> Sum<&'a Self> for Questions {
    fn sum<I: Iterator<Item = &'a Self>>(questions: I) -> Self {
        questions.fold(Self::default(), |sum, one| Self {
            hits: sum.hits + one.hits,
            misses: sum.misses + one.misses,
        })
    }
}

impl Latency {
    fn add(&mut self, count: u64, buckets: &[(f64, u64)]) {
        self.count += count;
        if self.buckets.is_empty() {
            self.buckets = buckets.to_vec();
        } else {
            for (own, other) in self.buckets.iter_mut().zip(buckets) {
                own.1 += other.1;
            }
        }
    }

    /// What was added since `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (own, other) in buckets.iter_mut().zip(&earlier.buckets) {
            own.1 = own.1.saturating_sub(other.1);
        }
        Self { count: self.count.saturating_sub(earlier.count), buckets }
    }

    /// A quantile in seconds, between the bounds of its bucket by proportion; `None` without values.
    #[expect(clippy::cast_precision_loss, reason = "counts of a minute are far below 2^52")]
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let rank = quantile * self.count as f64;
        let (mut lower, mut below) = (0.0, 0);
        for &(upper, at_or_below) in &self.buckets {
            if at_or_below as f64 >= rank && at_or_below > below {
                let share = (rank - below as f64) / (at_or_below - below) as f64;
                return Some(lower + (upper - lower) * share.clamp(0.0, 1.0));
            }
            (lower, below) = (upper, at_or_below);
        }
        // Above the last bound: at least that.
        Some(lower)
    }
}

/// A metric's name as the exposition writes it.
fn exposed(name: &str) -> String {
    format!("{}_seconds", name.replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::ready;

    use tramline_cache::{Cache, CacheConfig, Store, StoreConfig};
    use tramline_observability::metrics::{Recorder, RecorderConfig};

    use super::{Cumulative, Latency, Questions};

    fn latency(buckets: &[(f64, u64)], count: u64) -> Latency {
        Latency { count, buckets: buckets.to_vec() }
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let latency = latency(&[(0.01, 50), (0.1, 99), (1.0, 100)], 100);
        assert_eq!(latency.quantile(0.5), Some(0.01));
        let p99 = latency.quantile(0.99).unwrap();
        assert!((0.01..=0.1).contains(&p99), "{p99}");
        assert_eq!(Latency::default().quantile(0.5), None);
    }

    #[test]
    fn a_window_forgets_what_was_before_it() {
        let before = latency(&[(0.01, 100), (1.0, 100)], 100);
        let after = latency(&[(0.01, 100), (1.0, 104)], 104);
        let window = after.since(&before);
        assert_eq!(window.count, 4);
        assert!(window.quantile(0.5).unwrap() > 0.01);
    }

    /// By the name that the caches give and the recorder shows.
    #[tokio::test]
    async fn the_hits_are_those_of_the_caches() {
        let recorder = Recorder::new(&RecorderConfig::default());
        let handle = recorder.handle();
        let _recording = metrics::set_default_local_recorder(&recorder);
        let store = Store::memory(StoreConfig::default());
        let cache: Cache<u64, u64> = store.cache(CacheConfig::new("numbers")).unwrap();
        for _ in 0..3 {
            cache.get_or_load(&1, || ready(Ok::<u64, Infallible>(1))).await.unwrap();
        }
        cache.get(&2).await;
        store.run(ready(())).await;
        let read = Cumulative::read(&handle.snapshot());
        let Questions { hits, misses } = read.caches["numbers"];
        assert_eq!((hits, misses), (2, 1));
    }
}
