//! What a relay tells about itself: metrics, the alarm, and the state that a monitor sees.

use std::fmt;

use tokio::sync::watch;

use crate::outbox::RelayConfig;
use crate::outbox::alarm::Alarm;
use crate::outbox::metrics::{Metrics, since};
use crate::outbox::parts::Parts;
use crate::outbox::status::{RelayMonitor, RelayStatus};
use crate::outbox::store::Depth;

pub(crate) struct Figures {
    name: String,
    metrics: Metrics,
    alarm: Alarm,
    /// What is told next.
    status: RelayStatus,
    told: watch::Sender<RelayStatus>,
    /// When the oldest row that was seen last was written: it ages also while nobody can look.
    oldest: Option<i64>,
    hub_error: Option<String>,
    store_error: Option<String>,
}

/// Each state is counted up to so many rows, so that the figures of a long outage cost no more than those of a
/// short one.
const COUNTED: u64 = 100_000;

// === impl Figures ===

impl Figures {
    pub(crate) fn new(config: &RelayConfig) -> Self {
        Self {
            name: config.name.clone(),
            metrics: Metrics::new(&config.name),
            alarm: Alarm::new(config),
            status: RelayStatus::default(),
            told: watch::Sender::new(RelayStatus::default()),
            oldest: None,
            hub_error: None,
            store_error: None,
        }
    }

    pub(crate) fn monitor(&self) -> RelayMonitor {
        RelayMonitor::new(self.told.subscribe())
    }

    /// Lets monitors see what changed.
    pub(crate) fn tell(&mut self, paused: bool) {
        self.status.paused = paused;
        let status = &self.status;
        self.told.send_if_modified(|told| {
            let modified = told != status;
            if modified {
                told.clone_from(status);
            }
            modified
        });
    }

    pub(crate) fn sent(&mut self, created_at: i64) {
        self.metrics.sent(created_at);
        self.status.sent += 1;
        if self.hub_error.take().is_some() {
            self.status.last_error.clone_from(&self.store_error);
        }
    }

    pub(crate) fn failed(&mut self, error: &str) {
        self.metrics.failed();
        self.hub_error = Some(error.to_owned());
        self.status.last_error.clone_from(&self.hub_error);
    }

    pub(crate) fn parked(&self) {
        self.metrics.parked();
    }

    pub(crate) fn in_flight(&mut self, events: usize) {
        self.metrics.in_flight(events);
    }

    /// The database failed; what this relay had is no longer its own.
    pub(crate) fn store_failed(&mut self, error: &sqlx::Error, failures: u32) {
        self.metrics.store_error();
        if failures == 1 {
            tracing::warn!(outbox = self.name, %error, "the outbox's database failed; trying again");
        } else {
            tracing::debug!(outbox = self.name, %error, failures, "the outbox's database failed again");
        }
        self.store_error = Some(error.to_string());
        self.status.last_error.clone_from(&self.store_error);
        self.metrics.store_up(false);
        // Told at once by whoever sees it, since nobody may be able to report.
        self.look(true);
    }

    pub(crate) fn store_answered(&mut self) {
        self.metrics.store_up(true);
        if self.store_error.take().is_some() {
            self.status.last_error.clone_from(&self.hub_error);
        }
    }

    pub(crate) fn shares(&mut self, held: Parts, relays: u32) {
        let before = self.status.partitions;
        self.metrics.partitions(held, before.abs_diff(held.len()));
        self.status.partitions = held.len();
        self.status.relays = relays;
    }

    /// How far to count.
    pub(crate) fn counted(&self) -> i64 {
        i64::try_from(self.alarm.rows().unwrap_or(0).max(COUNTED)).unwrap_or(i64::MAX)
    }

    /// The whole outbox's depth, as each of its relays tells it. One of them `reports` a change of the alarm.
    pub(crate) fn depth(&mut self, depth: Depth, reports: bool) {
        let status = &mut self.status;
        status.waiting = depth.waiting.unsigned_abs();
        status.unsettled = depth.unsettled.unsigned_abs();
        status.parked = depth.parked.unsigned_abs();
        self.oldest = depth.oldest;
        self.metrics.depth(depth);
        self.look(reports);
    }

    /// Looks at the age of what was seen last, and whether that is an alarm. Without a database there is no news, but
    /// what waited then waits still, and longer: an outage must not look like an empty outbox.
    fn look(&mut self, reports: bool) {
        let status = &mut self.status;
        status.oldest = self.oldest.map(since);
        let changed = self.alarm.look(status.waiting, status.oldest);
        status.alarm = self.alarm.on();
        self.metrics.oldest(status.oldest.unwrap_or_default());
        self.metrics.alarm(status.alarm);
        if !changed || !reports {
            return;
        }
        let (waiting, oldest) = (status.waiting, status.oldest.unwrap_or_default());
        if status.alarm {
            tracing::warn!(outbox = self.name, waiting, ?oldest, "the outbox is deep or old");
        } else {
            tracing::info!(outbox = self.name, waiting, ?oldest, "the outbox is as it should be again");
        }
    }

    /// Nothing is this relay's any more. What it saw last stays what is known.
    pub(crate) fn standby(&mut self) {
        self.shares(Parts::NONE, 0);
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Figures").field("status", &self.status).finish_non_exhaustive()
    }
}
