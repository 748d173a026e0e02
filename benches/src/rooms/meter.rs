//! What a server costs in one measured section, and what the load program does.

use std::time::Duration;

use super::report::Report;
use crate::clock::Instant;
use crate::process::{self, Usage};

/// The section, from its beginning.
#[derive(Debug)]
pub(super) struct Meter {
    /// The server's first process.
    process: u32,
    before: Usage,
    own: Usage,
    started: Instant,
}

// === impl Meter ===

impl Meter {
    /// Begins.
    ///
    /// # Errors
    ///
    /// If the server is gone.
    pub(super) fn start(process: u32) -> anyhow::Result<Self> {
        let own = Usage::of(std::process::id())?;
        Ok(Self { process, before: Usage::of(process)?, own, started: Instant::now() })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Ends, with so much done.
    ///
    /// # Errors
    ///
    /// If the server is gone.
    pub(super) fn finish(self, count: u64) -> anyhow::Result<Report> {
        let seconds = self.started.elapsed().as_secs_f64();
        let used = Usage::of(self.process)?.since(&self.before);
        let own = Usage::of(std::process::id())?.since(&self.own);
        Ok(Report {
            count,
            seconds,
            cpu_ns: used.cpu_ns,
            user_share: used.user_share,
            switches: used.switches,
            own_cpu_ns: own.cpu_ns,
            peak_kib: process::memory(self.process, "VmHWM")?,
            ..Report::default()
        })
    }
}
