//! What a load program tells.

use std::collections::BTreeMap;
use std::io::Write as _;

use crate::latency::Latency;

/// Figures by name; the rows of `cargo dev bench cache` say which they show.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<String, f64>);

// === impl Figures ===

impl Figures {
    /// Adds one.
    pub fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    /// Adds percentiles in µs as `p50`, `p99` and `max`, with this before their names.
    pub fn set_latency(&mut self, before: &str, latency: Latency) {
        let percentiles = latency.percentiles();
        for (name, value) in [("p50", percentiles.p50), ("p99", percentiles.p99), ("max", percentiles.max)] {
            self.set(&format!("{before}{name}"), value);
        }
    }

    /// Prints them as the one line that `cargo dev bench` reads.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub fn print(&self) -> anyhow::Result<()> {
        writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(&self.0)?)?;
        Ok(())
    }
}

/// The middle one.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "counts, and hours in ns: below 2^53")]
pub(super) fn number(count: impl TryInto<u64>) -> f64 {
    count.try_into().unwrap_or_default() as f64
}
