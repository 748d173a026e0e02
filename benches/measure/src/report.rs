//! What a load program tells.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// The figures of one run.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "made by the programs of this repository alone")]
pub struct Report {
    /// How many events were handled in the measured section.
    pub events: u64,
    /// How long it took.
    pub seconds: f64,
    /// CPU time of the client, user and system, in µs.
    pub client_us: u64,
    /// CPU time of the broker, in µs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broker_us: Option<u64>,
    /// From the publish to the confirm, or to the handler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Percentiles>,
    /// How often memory was allocated, and how many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocations: Option<(u64, u64)>,
    /// Answers that were not true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrong: Option<Wrong>,
    /// Rounds in which «all are confirmed» was said too early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early: Option<u64>,
}

/// Percentiles, in µs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[allow(clippy::exhaustive_structs, reason = "made by the programs of this repository alone")]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// What 95 of 100 stay below.
    pub p95: f64,
    /// What 99 of 100 stay below.
    pub p99: f64,
    /// The worst.
    pub max: f64,
}

/// Answers that were not true, by kind.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::exhaustive_structs, reason = "made by the programs of this repository alone")]
pub struct Wrong {
    /// Told accepted, and in no queue: lost without a word.
    pub falsely_accepted: u64,
    /// Told refused or returned, and in a queue: sent again, it is there twice.
    pub falsely_refused: u64,
    /// Told the wrong kind of failure.
    pub misnamed: u64,
    /// No answer at all.
    pub unanswered: u64,
}

// === impl Report ===

impl Report {
    /// Prints it as the one line that `cargo dev bench` reads.
    ///
    /// # Errors
    ///
    /// If standard output is closed.
    pub fn print(&self) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(self)?)?;
        Ok(())
    }
}

// === impl Wrong ===

impl Wrong {
    /// All of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.falsely_accepted + self.falsely_refused + self.misnamed + self.unanswered
    }
}
