//! Everything that a relay has in its hands: rows to send, events that are out, answers to write down.

mod book;
mod shares;

use std::collections::HashMap;
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
use crate::outbox::figures::Figures;
use crate::outbox::lanes::Lanes;
use crate::outbox::relay::NEVER;
use crate::outbox::relay::flow::book::{Answer, describe};
use crate::outbox::relay::flow::shares::Shares;
use crate::outbox::relay::walk::Walk;
use crate::outbox::schema::timed_out;
use crate::outbox::store::Changes;

/// Survives sessions: a database that was away for a moment costs no confirm.
pub(crate) struct Flow {
    pub(crate) config: RelayConfig,
    pub(crate) figures: Figures,
    pub(crate) lanes: Lanes,
    pub(crate) walk: Walk,
    /// Which partitions are this relay's.
    pub(crate) shares: Shares,
    hub: Hub,
    /// Events whose confirm is awaited.
    in_flight: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// Events that are confirmed and not settled.
    unsettled: FuturesUnordered<BoxFuture<'static, (i64, bool)>>,
    /// Their rows, with their partitions.
    unsettled_rows: HashMap<i64, u8>,
    changes: Changes,
    /// How often in a row the hub gave no answer. While it is not 0, one event at a time goes as a probe.
    silent: u32,
    paused_until: Option<Instant>,
    /// When the first failed row is due.
    retry_at: Option<Instant>,
}

// === impl Flow ===

impl Flow {
    pub(crate) fn new(hub: Hub, config: RelayConfig, figures: Figures) -> Self {
        // Four long lanes leave half of the room; more than some dozens ahead gain nothing.
        let lane = (config.window / 4).min(64);
        Self {
            config,
            figures,
            lanes: Lanes::new(lane),
            walk: Walk::default(),
            shares: Shares::default(),
            hub,
            in_flight: FuturesUnordered::new(),
            unsettled: FuturesUnordered::new(),
            unsettled_rows: HashMap::new(),
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
        let done = loop {
            tokio::select! {
                biased;
                done = &mut statement => break done.unwrap_or_else(|_| Err(timed_out())),
                () = self.answer() => {}
            }
        };
        if done.is_ok() {
            self.figures.store_answered();
        }
        done
    }

    /// Takes answers for a while.
    pub(crate) async fn progress_for(&mut self, pause: Duration) {
        let mut pause = std::pin::pin!(sleep(pause));
        loop {
            self.tell();
            tokio::select! {
                biased;
                () = &mut pause => return,
                () = self.answer() => {}
            }
        }
    }

    /// Lets monitors see how it is.
    pub(crate) fn tell(&mut self) {
        self.figures.tell(self.silent > 0);
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
        self.figures.in_flight(self.in_flight.len());
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
                    let error = describe(&error);
                    tracing::error!(
                        outbox = self.config.name,
                        seq = row.seq,
                        error,
                        "a row is no event; put aside"
                    );
                    self.park(row.seq, error);
                    continue;
                }
            };
            let hub = self.hub.clone();
            let mut answer = Answer::of(&row);
            let sent = async move {
                answer.result = Some(hub.publish(&event).await);
                answer
            };
            self.in_flight.push(sent.boxed());
        }
        self.figures.in_flight(self.in_flight.len());
    }

    /// How many events are out.
    pub(crate) fn out(&self) -> usize {
        self.in_flight.len()
    }

    /// How many rows a load may bring.
    pub(crate) fn room(&self) -> usize {
        (2 * self.config.window).saturating_sub(self.lanes.len()).max(2)
    }

    /// Whether there is room for a load that is worth its round trip.
    pub(crate) fn wants_rows(&self) -> bool {
        self.lanes.len() <= self.config.window
            && self.paused_until.is_none()
            && self.unsettled.len() < self.config.max_unsettled
            && !self.sending().is_empty()
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

    /// Rows that are sent and must not be sent again: not settled yet, or settled a moment ago and still there.
    pub(crate) fn unsettled_rows(&self) -> Vec<i64> {
        self.unsettled_rows.keys().chain(&self.changes.gone).copied().collect()
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
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flow").field("in_flight", &self.in_flight.len()).finish_non_exhaustive()
    }
}
