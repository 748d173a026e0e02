//! From the registry to samples, and from samples to text.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use metrics::Unit;

use crate::metrics::registry::{Cell, Family, Kind, Labels, Registry};
use crate::metrics::{Sample, SampleValue};

/// The media type of [`MetricsHandle::render`](crate::metrics::MetricsHandle::render).
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric as it is shown.
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) help: String,
    pub(super) samples: Vec<(Labels, SampleValue)>,
}

pub(super) fn samples(registry: &Registry) -> Vec<Sample> {
    let mut all = Vec::new();
    for shown in collect(registry) {
        let name = shown.name;
        all.extend(shown.samples.into_iter().map(|(labels, value)| Sample {
            name: name.clone(),
            labels,
            value,
        }));
    }
    all
}

pub(super) fn text(registry: &Registry) -> String {
    let mut out = String::new();
    for shown in collect(registry) {
        let name = &shown.name;
        let kind = match shown.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a `String` does not fail.
        let _ = writeln!(out, "# HELP {name} {}", escape_help(&shown.help));
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for (labels, value) in &shown.samples {
            match value {
                SampleValue::Counter(value) | SampleValue::Gauge(value) => {
                    line(&mut out, name, "", labels, None, *value);
                }
                SampleValue::Histogram { count, sum, buckets } => {
                    for (bound, below) in buckets {
                        let le = bound.to_string();
                        line(&mut out, name, "_bucket", labels, Some(&le), number(*below));
                    }
                    let count = number(*count);
                    line(&mut out, name, "_bucket", labels, Some("+Inf"), count);
                    line(&mut out, name, "_sum", labels, None, *sum);
                    line(&mut out, name, "_count", labels, None, count);
                }
            }
        }
    }
    out
}

/// Everything there is, in the order of names, the labels completed.
fn collect(registry: &Registry) -> Vec<Shown> {
    let mut all = Vec::new();
    let mut overflow = Vec::new();
    {
        let families = registry.read();
        for (base, family) in families.iter() {
            let mut samples: Vec<_> =
                family.series.iter().map(|(labels, cell)| (labels.clone(), value(cell))).collect();
            samples.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(cell) = &family.overflow {
                let labels = vec![("overflow".to_owned(), "true".to_owned())];
                samples.push((labels, value(cell)));
                let labels = vec![("metric".to_owned(), base.clone())];
                overflow.push((labels, SampleValue::Counter(number(family.overflowed))));
            }
            // A metric that was only described has nothing to show.
            if !samples.is_empty() {
                all.push(Shown {
                    name: shown_name(base, family),
                    kind: family.kind,
                    help: help(base, family),
                    samples,
                });
            }
        }
    }
    let refused = number(registry.refused.load(Ordering::Relaxed));
    for (name, help, samples) in [
        (
            "metrics_refused_total",
            "Registrations refused: too many metrics, or one name used as two kinds.",
            vec![(Vec::new(), SampleValue::Counter(refused))],
        ),
        (
            "metrics_series_overflow_total",
            "Registrations that went into a metric's overflow series because it was full.",
            overflow,
        ),
    ] {
        if !samples.is_empty() {
            all.push(Shown { name: name.to_owned(), kind: Kind::Counter, help: help.to_owned(), samples });
        }
    }
    all.extend(registry.process.shown());
    if let Some(service) = &registry.service {
        let samples = all.iter_mut().flat_map(|shown| &mut shown.samples);
        for (labels, _) in samples {
            if labels.iter().all(|(name, _)| name != "service") {
                labels.push(("service".to_owned(), service.clone()));
                labels.sort();
            }
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn value(cell: &Cell) -> SampleValue {
    match cell {
        Cell::Counter(cell) => SampleValue::Counter(number(cell.value())),
        Cell::Gauge(cell) => SampleValue::Gauge(cell.value()),
        Cell::Histogram(cell) => {
            let (count, sum, buckets) = cell.value();
            SampleValue::Histogram { count, sum, buckets }
        }
    }
}

fn shown_name(base: &str, family: &Family) -> String {
    let unit = match family.unit {
        Some(Unit::Seconds) => "_seconds",
        Some(Unit::Milliseconds) => "_milliseconds",
        Some(Unit::Microseconds) => "_microseconds",
        Some(Unit::Nanoseconds) => "_nanoseconds",
        Some(Unit::Bytes) => "_bytes",
        _ => "",
    };
    let unit = if base.ends_with(unit) { "" } else { unit };
    let total = if family.kind == Kind::Counter { "_total" } else { "" };
    format!("{base}{unit}{total}")
}

fn help(base: &str, family: &Family) -> String {
    // A checker of expositions wants a text for each metric, also for those that a dependency never described.
    if family.help.is_empty() { format!("{}.", base.replace('_', " ")) } else { family.help.clone() }
}

fn line(out: &mut String, name: &str, suffix: &str, labels: &Labels, le: Option<&str>, value: f64) {
    out.push_str(name);
    out.push_str(suffix);
    let all = labels.iter().map(|(name, value)| (&**name, &**value));
    let mut open = false;
    for (name, value) in all.chain(le.map(|le| ("le", le))) {
        out.push(if open { ',' } else { '{' });
        open = true;
        let _ = write!(out, "{name}=\"{}\"", escape_value(value));
    }
    if open {
        out.push('}');
    }
    if value.is_nan() {
        out.push_str(" NaN\n");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { " +Inf\n" } else { " -Inf\n" });
    } else {
        let _ = writeln!(out, " {value}");
    }
}

fn escape_value(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn escape_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[allow(clippy::cast_precision_loss, reason = "the format has only floats; counts are exact up to 2^53")]
pub(super) fn number(value: u64) -> f64 {
    value as f64
}
