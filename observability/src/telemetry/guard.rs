//! The end of telemetry: what is queued is sent, within a limit, and what was lost is said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::sync::oneshot;
use tracing::Dispatch;

use crate::telemetry::writer::LineWriter;

/// How long dropping a guard, without [`Guard::shutdown`], waits for the log to be written: a process that
/// ends by an error should still say which.
const DROP_LIMIT: Duration = Duration::from_millis(500);

/// Keep it in `main` until everything else has stopped, then call [`shutdown`](Self::shutdown).
#[derive(Debug)]
#[must_use = "telemetry ends with its guard"]
pub struct Guard {
    pub(super) installed: bool,
    /// Kept alive beside a subscriber that is not the process's; see [`Telemetry::build`](crate::Telemetry::build).
    pub(super) second: Option<Dispatch>,
    provider: Option<SdkTracerProvider>,
    lines: LineWriter,
    counts: Arc<Counts>,
}

/// What became of the last spans and lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FlushReport {
    /// Spans that the collector has accepted since the start.
    pub exported: u64,
    /// Spans that ended and never arrived, since the start.
    pub lost: u64,
    /// Log lines dropped since the start because nobody read them in time.
    pub lines_dropped: u64,
    /// Whether the limit passed before everything was out.
    pub timed_out: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) ended: AtomicU64,
    pub(super) exported: AtomicU64,
}

// === impl Guard ===

impl Guard {
    pub(super) fn new(provider: SdkTracerProvider, lines: LineWriter, counts: Arc<Counts>) -> Self {
        Self { installed: false, second: None, provider: Some(provider), lines, counts }
    }

    /// Whether [`Telemetry::init`](crate::Telemetry::init) became the process's subscriber.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.installed
    }

    /// Sends the spans and writes the lines that wait, for at most `limit`, on a thread of its own.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the thread goes on for at most `limit`; its report is lost.
    pub async fn shutdown(mut self, limit: Duration) -> FlushReport {
        let (done, report) = oneshot::channel();
        let (provider, lines) = (self.provider.take(), self.lines.clone());
        let counts = Arc::clone(&self.counts);
        let started = thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
            // The caller may be gone; the flush is worth doing all the same.
            let _ = done.send(flush(provider.as_ref(), &lines, &counts, limit));
        });
        let late = FlushReport { timed_out: true, ..report_of(&self.counts, &self.lines) };
        if started.is_err() {
            return late;
        }
        // The thread keeps the limit; a quarter more in case it does not.
        match tokio::time::timeout(limit + limit / 4, report).await {
            Ok(Ok(report)) => report,
            _ => late,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.provider.take() {
            // Off this thread: the last handle of the exporter's client must not go inside a runtime.
            let _ = thread::Builder::new().spawn(move || provider.shutdown_with_timeout(DROP_LIMIT));
            self.lines.flush(DROP_LIMIT);
        }
    }
}

// === impl FlushReport ===

impl FlushReport {
    /// Whether nothing was lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.timed_out && self.lost == 0 && self.lines_dropped == 0
    }
}

fn flush(
    provider: Option<&SdkTracerProvider>,
    lines: &LineWriter,
    counts: &Counts,
    limit: Duration,
) -> FlushReport {
    // Three quarters for the network, the rest for the log, which also tells what the network lost.
    let spans = provider.is_none_or(|provider| provider.shutdown_with_timeout(limit / 4 * 3).is_ok());
    let report = report_of(counts, lines);
    if report.lost > 0 {
        tracing::warn!(lost = report.lost, exported = report.exported, "spans were lost");
    }
    let lines_written = lines.flush(limit / 4);
    FlushReport { timed_out: !(spans && lines_written), ..report_of(counts, lines) }
}

fn report_of(counts: &Counts, lines: &LineWriter) -> FlushReport {
    let exported = counts.exported.load(Ordering::Relaxed);
    FlushReport {
        exported,
        lost: counts.ended.load(Ordering::Relaxed).saturating_sub(exported),
        lines_dropped: lines.dropped(),
        timed_out: false,
    }
}
