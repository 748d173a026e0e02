//! What the process takes: memory, processor, files, time. Read at each scrape, from `/proc` where there is one.

use std::fs;

use tokio::time::Instant;

use crate::metrics::SampleValue;
use crate::metrics::registry::Kind;
use crate::metrics::render::{Shown, number};

/// Ticks of `/proc/self/stat` per second: the interface to user space is 100 on every platform in use.
const TICKS: f64 = 100.0;

pub(super) struct Process {
    started: Instant,
}

impl Process {
    pub(super) fn new() -> Self {
        Self { started: Instant::now() }
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let known = [
            (
                "process_cpu_seconds_total",
                Kind::Counter,
                "Processor time used, user and system.",
                cpu_seconds(&stat),
            ),
            (
                "process_open_fds",
                Kind::Gauge,
                "Open file descriptors.",
                fs::read_dir("/proc/self/fd").ok().map(|entries| number(entries.count() as u64)),
            ),
            ("process_resident_memory_bytes", Kind::Gauge, "Resident memory.", resident_bytes(&status)),
            ("process_threads", Kind::Gauge, "Threads.", field(&status, "Threads:")),
            (
                "process_uptime_seconds",
                Kind::Gauge,
                "Time since the metrics recorder was made.",
                Some(self.started.elapsed().as_secs_f64()),
            ),
        ];
        known
            .into_iter()
            .filter_map(|(name, kind, help, value)| {
                let value = match kind {
                    Kind::Counter => SampleValue::Counter(value?),
                    Kind::Gauge | Kind::Histogram => SampleValue::Gauge(value?),
                };
                Some(Shown {
                    name: name.to_owned(),
                    kind,
                    help: help.to_owned(),
                    samples: vec![(Vec::new(), value)],
                })
            })
            .collect()
    }
}

/// Fields 14 and 15, counted behind the command's name, which may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS)
}

fn resident_bytes(status: &str) -> Option<f64> {
    Some(field(status, "VmRSS:")? * 1024.0)
}

fn field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}
