//! What a run tells.

use std::io::Write as _;

use measure::Percentiles;
use serde::Serialize;

/// The figures of one run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// How many deliveries there were in the measured section, or connections.
    pub(super) count: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// CPU time of the server's processes.
    pub(super) cpu_ns: u64,
    /// How much of that was in user space, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_share: Option<f64>,
    /// Context switches of the server's tasks, of both kinds.
    pub(super) switches: u64,
    /// CPU time of the load program.
    pub(super) own_cpu_ns: u64,
    /// Resident memory of the server's processes at its height.
    pub(super) peak_kib: u64,
    /// Resident memory before and after the idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) resident_kib: Option<(u64, u64)>,
    /// From the publisher to the last member, or from the first packet into the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Percentiles>,
    /// Deliveries and the server's CPU time when those were gone who were stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) without_stuck: Option<(u64, u64)>,
    /// What the kernel held for each of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stuck_kib: Option<u64>,
    /// What stops the load program from more connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) most: Option<String>,
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
