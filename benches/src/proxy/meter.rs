//! What a proxy costs in one measured section.

use std::time::Duration;

use super::report::Report;
use crate::clock::Instant;
use crate::process::{self, Usage};

/// The section, from its beginning.
#[derive(Debug)]
pub(super) struct Meter {
    /// The proxy's first process, when its cost is wanted.
    process: Option<u32>,
    before: Option<Usage>,
    started: Instant,
}

// === impl Meter ===

impl Meter {
    /// Begins.
    ///
    /// # Errors
    ///
    /// If the proxy is gone.
    pub(super) fn start(process: Option<u32>) -> anyhow::Result<Self> {
        let before = process.map(Usage::of).transpose()?;
        Ok(Self { process, before, started: Instant::now() })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends, with so many answers and bytes of bodies.
    ///
    /// # Errors
    ///
    /// If the proxy is gone.
    pub(super) fn finish(self, answers: u64, bytes: u64) -> anyhow::Result<Report> {
        let seconds = self.started.elapsed().as_secs_f64();
        let mut report = Report { answers, bytes, seconds, ..Report::default() };
        if let (Some(process), Some(before)) = (self.process, self.before) {
            let used = Usage::of(process)?.since(&before);
            report.cpu_ns = Some(used.cpu_ns);
            report.switches = Some(used.switches);
            report.user_share = used.user_share;
            report.peak_kib = Some(process::memory(process, "VmHWM")?);
        }
        Ok(report)
    }
}
