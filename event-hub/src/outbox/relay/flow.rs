//! Everything that a relay has in its hands: rows to send, events that are out, answers to write down.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep, timeout};

use crate::envelope::Event;
use crate::hub::Hub;
use crate::outbox::RelayConfig;
use crate::outbox::lanes::Lanes;
use crate::outbox::metrics::Metrics;
use crate::outbox::relay::{NEVER, timed_out};
use crate::outbox::store::{Changes, Failed, now};
use crate::publish::{PublishError, PublishErrorKind, Receipt};

/// Survives sessions: a database that was away for a moment costs no confirm.
pub(crate) struct Flow {
    pub(crate) config: RelayConfig,
    pub(crate) metrics: Metrics,
    pub(crate) lanes: Lanes,
    hub: Hub,
    /// Events whose confirm is awaited.
    in_flight: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Events that are confirmed and not settled.
    unsettled: FuturesUnordered<BoxFuture<'static, (i64, bool)>>,
    unsettled_rows: HashSet<i64>,
    changes: Changes,
    /// How often in a row the hub gave no answer. While it is not 0, one event at a time goes as a probe.
    silent: u32,
    paused_until: Option<Instant>,
    /// When the first failed row is due.
    retry_at: Option<Instant>,
}

struct Answer {
    seq: i64,
    attempts: u32,
    result: Result<Receipt, PublishError>,
}

/// The longest text of an error that a row keeps.
const ERROR_LEN: usize = 500;

// === impl Flow ===

impl Flow {
    pub(crate) fn new(hub: Hub, config: RelayConfig, metrics: Metrics) -> Self {
        // Four long lanes leave half of the room; more than some dozens ahead gain nothing.
        let lane = (config.window / 4).min(64);
        Self {
            config,
            metrics,
            lanes: Lanes::new(lane),
            hub,
            in_flight: FuturesUnordered::new(),
            unsettled: FuturesUnordered::new(),
            unsettled_rows: HashSet::new(),
            changes: Changes::default(),
            silent: 0,
            paused_until: None,
            retry_at: None,
        }
    }

    /// Runs a statement, and takes answers meanwhile.
    pub(crate) async fn store<T>(
        &mut self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut statement = std::pin::pin!(timeout(self.config.store_timeout, statement));
        loop {
            tokio::select! {
                biased;
                done = &mut statement => return done.unwrap_or_else(|_| Err(timed_out())),
                () = self.answer() => {}
            }
        }
    }

    /// Takes answers for a while.
    pub(crate) async fn progress_for(&mut self, pause: Duration) {
        let mut pause = std::pin::pin!(sleep(pause));
        loop {
            tokio::select! {
                biased;
                () = &mut pause => return,
                () = self.answer() => {}
            }
        }
    }

    /// Waits for an answer, and takes all that are there; never returns when none is awaited.
    ///
    /// CANCEL SAFETY: an answer is taken and booked without a wait in between.
    pub(crate) async fn answer(&mut self) {
        tokio::select! {
            biased;
            Some(answer) = self.in_flight.next(), if !self.in_flight.is_empty() => self.book(answer),
            Some((seq, settled)) = self.unsettled.next(), if !self.unsettled.is_empty() => self.settle(seq, settled),
            () = std::future::pending() => {}
        }
        while let Some(Some(answer)) = self.in_flight.next().now_or_never() {
            self.book(answer);
        }
        // Bounded, so that confirms are not kept waiting by a long row of settled ones.
        for _ in 0..self.config.window {
            let Some(Some((seq, settled))) = self.unsettled.next().now_or_never() else { break };
            self.settle(seq, settled);
        }
        self.metrics.in_flight(self.in_flight.len());
    }

    /// Sends as much as may be out.
    pub(crate) fn send(&mut self) {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.paused_until = None;
        let window = if self.silent > 0 { 1 } else { self.config.window };
        while self.in_flight.len() < window
            && self.in_flight.len() + self.unsettled.len() < self.config.max_unsettled
        {
            let Some(row) = self.lanes.take(self.silent > 0) else { break };
            let event = match Event::from_json(&row.body) {
                Ok(event) => event,
                Err(error) => {
                    self.metrics.parked();
                    let error = describe(&error);
                    tracing::error!(
                        outbox = self.config.name,
                        seq = row.seq,
                        error,
                        "a row is no event; put aside"
                    );
                    self.changes.parked.push((row.seq, error));
                    continue;
                }
            };
            let hub = self.hub.clone();
            let (seq, attempts) = (row.seq, row.attempts);
            let sent = async move { Answer { seq, attempts, result: hub.publish(&event).await } };
            self.in_flight.push(sent.boxed());
        }
        self.metrics.in_flight(self.in_flight.len());
    }

    /// How many events are out, or answered and not written down.
    pub(crate) fn out(&self) -> usize {
        self.in_flight.len()
    }

    /// How many rows a load may bring.
    pub(crate) fn room(&self) -> usize {
        (2 * self.config.window).saturating_sub(self.lanes.len()).max(1)
    }

    /// Whether there is room for a load that is worth its round trip.
    pub(crate) fn wants_rows(&self) -> bool {
        self.lanes.len() <= self.config.window
            && self.paused_until.is_none()
            && self.unsettled.len() < self.config.max_unsettled
    }

    pub(crate) fn loaded(&mut self) {
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.retry_at = None;
        }
    }

    pub(crate) fn retry_at(&self) -> Instant {
        self.retry_at.unwrap_or_else(|| Instant::now() + NEVER)
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(crate) fn unsettled_rows(&self) -> Vec<i64> {
        self.unsettled_rows.iter().copied().collect()
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(crate) fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    pub(crate) fn put_back(&mut self, mut changes: Changes) {
        self.changes.gone.append(&mut changes.gone);
        self.changes.confirmed.append(&mut changes.confirmed);
        self.changes.failed.append(&mut changes.failed);
        self.changes.parked.append(&mut changes.parked);
    }

    /// The table knows: the keys of these rows are free.
    pub(crate) fn release(&mut self, changes: &Changes) {
        for seq in
            changes.gone.iter().chain(&changes.confirmed).chain(changes.parked.iter().map(|(seq, _)| seq))
        {
            self.lanes.done(*seq);
        }
        for failed in &changes.failed {
            self.lanes.hold(failed.seq);
        }
    }

    fn book(&mut self, Answer { seq, attempts, result }: Answer) {
        match result {
            Ok(receipt) => {
                self.metrics.sent();
                self.silent = 0;
                self.paused_until = None;
                let mut settled = async move { (seq, receipt.settled().await.is_ok()) }.boxed();
                match (&mut settled).now_or_never() {
                    Some((_, true)) => self.changes.gone.push(seq),
                    // The hub went away: the next life sends it again.
                    Some((_, false)) => self.changes.confirmed.push(seq),
                    None => {
                        self.changes.confirmed.push(seq);
                        self.unsettled_rows.insert(seq);
                        self.unsettled.push(settled);
                    }
                }
            }
            Err(error) => {
                self.metrics.failed();
                let attempt = attempts.saturating_add(1);
                let delay =
                    if matches!(error.kind(), PublishErrorKind::Returned { .. } | PublishErrorKind::Nacked) {
                        self.config.delay(attempt, self.config.max_delay)
                    } else {
                        // Not the event's fault: the relay pauses as a whole, and the event waits only so long
                        // that the next probe is another one.
                        self.silence();
                        self.config.delay(1, self.config.max_delay)
                    };
                if attempt.is_power_of_two() {
                    tracing::warn!(outbox = self.config.name, seq, attempt, %error, "not sent; trying again");
                }
                let due = Instant::now() + delay;
                self.retry_at = Some(self.retry_at.map_or(due, |at| at.min(due)));
                let micros = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
                let due_at = now().saturating_add(micros);
                self.changes.failed.push(Failed { seq, due_at, error: describe(&error) });
            }
        }
    }

    fn settle(&mut self, seq: i64, settled: bool) {
        self.unsettled_rows.remove(&seq);
        if settled {
            self.changes.gone.push(seq);
        }
    }

    fn silence(&mut self) {
        // A window of events that went silent together is one silence.
        if self.paused_until.is_some() {
            return;
        }
        self.silent = self.silent.saturating_add(1);
        self.paused_until = Some(Instant::now() + self.config.delay(self.silent, self.config.max_pause));
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("in_flight", &self.in_flight.len()).finish_non_exhaustive()
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    // PostgreSQL stores no U+0000, and one refused text would keep all others from being written down.
    text = text.replace('\0', "\u{fffd}");
    if text.len() > ERROR_LEN {
        text.truncate(text.floor_char_boundary(ERROR_LEN));
    }
    text
}
