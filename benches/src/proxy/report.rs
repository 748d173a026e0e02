//! What a run tells.

use std::io::Write as _;

use measure::Percentiles;
use serde::Serialize;

/// The figures of one run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// How many answers there were in the measured section.
    pub(super) answers: u64,
    /// How many bytes of bodies.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// CPU time of the proxy's processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_ns: Option<u64>,
    /// How much of that was in user space, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_share: Option<f64>,
    /// Context switches of the proxy's tasks, of both kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) switches: Option<u64>,
    /// Resident memory of the proxy's processes at its height.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_kib: Option<u64>,
    /// Resident memory before and after the idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resident_kib: Option<(u64, u64)>,
    /// From the request to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
}

// === impl Report ===

impl Report {
    /// Prints it as the one line that `cargo dev bench` reads.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(self)?)?;
        Ok(())
    }
}
