//! Families of series, within their bounds.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use metrics::{Counter, Gauge, Histogram, Key, Unit};

use crate::metrics::series::{CounterCell, GaugeCell, HistogramCell};
use crate::metrics::{DURATION_BUCKETS, RecorderConfig, process};

/// Longest label value; what is beyond is cut. Values come from code and are short.
const MAX_VALUE: usize = 256;
/// From a cache line to what a proxy may pass: powers of four.
const BYTE_BUCKETS: &[f64] = &[
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const COUNT_BUCKETS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

pub(super) struct Registry {
    families: RwLock<BTreeMap<String, Family>>,
    pub(super) service: Option<String>,
    max_series: usize,
    max_metrics: usize,
    buckets: HashMap<String, Vec<f64>>,
    /// Metrics refused: too many, or one name used as two kinds.
    pub(super) refused: AtomicU64,
    pub(super) process: process::Process,
}

/// All series of one metric.
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) unit: Option<Unit>,
    pub(super) help: String,
    pub(super) series: HashMap<Labels, Cell>,
    /// Where all go that came when the family was full.
    pub(super) overflow: Option<Cell>,
    /// How often that happened.
    pub(super) overflowed: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone)]
pub(super) enum Cell {
    Counter(Arc<CounterCell>),
    Gauge(Arc<GaugeCell>),
    Histogram(Arc<HistogramCell>),
}

/// Sorted by name, one value a name.
pub(super) type Labels = Vec<(String, String)>;

// === impl Registry ===

impl Registry {
    pub(super) fn new(config: &RecorderConfig) -> Self {
        let named = config.buckets.iter();
        Self {
            families: RwLock::default(),
            service: config.service.clone(),
            max_series: config.max_series,
            max_metrics: config.max_metrics,
            buckets: named.map(|(name, bounds)| (base_name(name), sorted(bounds))).collect(),
            refused: AtomicU64::new(0),
            process: process::Process::new(),
        }
    }

    pub(super) fn describe(&self, name: &str, kind: Kind, unit: Option<Unit>, help: &str) {
        let mut families = self.write();
        let Some(family) = self.family(&mut families, name, kind) else {
            return;
        };
        family.unit = unit;
        help.clone_into(&mut family.help);
    }

    pub(super) fn counter(&self, key: &Key) -> Counter {
        match self.cell(key, Kind::Counter) {
            Some(Cell::Counter(cell)) => Counter::from_arc(cell),
            _ => Counter::noop(),
        }
    }

    pub(super) fn gauge(&self, key: &Key) -> Gauge {
        match self.cell(key, Kind::Gauge) {
            Some(Cell::Gauge(cell)) => Gauge::from_arc(cell),
            _ => Gauge::noop(),
        }
    }

    pub(super) fn histogram(&self, key: &Key) -> Histogram {
        match self.cell(key, Kind::Histogram) {
            Some(Cell::Histogram(cell)) => Histogram::from_arc(cell),
            _ => Histogram::noop(),
        }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Family>> {
        self.families.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Family>> {
        self.families.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, key: &Key, kind: Kind) -> Option<Cell> {
        let labels = labels(key);
        let name = base_name(key.name());
        if let Some(family) = self.read().get(&name)
            && family.kind == kind
            && let Some(cell) = family.series.get(&labels)
        {
            return Some(cell.clone());
        }
        let mut families = self.write();
        let family = self.family(&mut families, key.name(), kind)?;
        if let Some(cell) = family.series.get(&labels) {
            return Some(cell.clone());
        }
        let make = |unit: Option<Unit>| match kind {
            Kind::Counter => Cell::Counter(Arc::default()),
            Kind::Gauge => Cell::Gauge(Arc::default()),
            Kind::Histogram => Cell::Histogram(Arc::new(HistogramCell::new(self.bounds(&name, unit)))),
        };
        if family.series.len() >= self.max_series {
            family.overflowed += 1;
            let unit = family.unit;
            return Some(family.overflow.get_or_insert_with(|| make(unit)).clone());
        }
        let cell = make(family.unit);
        family.series.insert(labels, cell.clone());
        Some(cell)
    }

    fn family<'a>(
        &self,
        families: &'a mut BTreeMap<String, Family>,
        name: &str,
        kind: Kind,
    ) -> Option<&'a mut Family> {
        let name = base_name(name);
        let full = families.len() >= self.max_metrics;
        if full && !families.contains_key(&name) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let family = families.entry(name).or_insert_with(|| Family {
            kind,
            unit: None,
            help: String::new(),
            series: HashMap::new(),
            overflow: None,
            overflowed: 0,
        });
        if family.kind != kind {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(family)
    }

    fn bounds(&self, name: &str, unit: Option<Unit>) -> &[f64] {
        match (self.buckets.get(name), unit) {
            (Some(bounds), _) => bounds,
            (None, Some(Unit::Bytes)) => BYTE_BUCKETS,
            (None, Some(Unit::Count)) => COUNT_BUCKETS,
            (None, _) => DURATION_BUCKETS,
        }
    }
}

/// The name without what the kind and the unit add: `a.b` and `a_b_total` are one metric.
fn base_name(name: &str) -> String {
    let mut base = sanitize(name, |c| c == ':');
    if let Some(stem) = base.strip_suffix("_total") {
        base.truncate(stem.len());
    }
    base
}

fn labels(key: &Key) -> Labels {
    let mut labels: Labels = key
        .labels()
        .filter(|label| !label.value().is_empty())
        .map(|label| (sanitize(label.key(), |_| false), cut(label.value())))
        .collect();
    // Of two labels with one name the first stays.
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    labels.dedup_by(|a, b| a.0 == b.0);
    labels
}

fn sanitize(name: &str, also: impl Fn(char) -> bool) -> String {
    let mut clean = String::with_capacity(name.len());
    for c in name.chars() {
        if clean.is_empty() && c.is_ascii_digit() {
            clean.push('_');
        }
        let good = c.is_ascii_alphanumeric() || c == '_' || also(c);
        clean.push(if good { c } else { '_' });
    }
    clean
}

fn cut(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}

fn sorted(bounds: &[f64]) -> Vec<f64> {
    let mut bounds: Vec<f64> = bounds.iter().copied().filter(|b| b.is_finite()).collect();
    bounds.sort_by(f64::total_cmp);
    bounds.dedup();
    bounds
}
