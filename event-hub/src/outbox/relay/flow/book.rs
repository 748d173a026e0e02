//! What the hub answered, booked.

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::outbox::metrics::since;
use crate::outbox::relay::flow::Flow;
use crate::outbox::store::{Failed, Row, now};
use crate::publish::{PublishError, PublishErrorKind, Receipt};

/// The hub's answer to one row's event.
pub(crate) struct Answer {
    seq: i64,
    part: u8,
    created_at: i64,
    attempts: u32,
    refused: u32,
    refused_since: i64,
    pub(crate) result: Option<Result<Receipt, PublishError>>,
}

/// The longest text of an error that a row keeps.
const ERROR_LEN: usize = 500;

// === impl Answer ===

impl Answer {
    pub(crate) fn of(row: &Row) -> Self {
        let Row { seq, part, created_at, attempts, refused, refused_since, .. } = *row;
        Self { seq, part, created_at, attempts, refused, refused_since, result: None }
    }
}

// === impl Flow ===

impl Flow {
    pub(super) fn book(&mut self, answer: Answer) {
        match answer.result {
            Some(Ok(receipt)) => self.book_confirm(answer.seq, answer.part, answer.created_at, receipt),
            Some(Err(ref error)) => self.book_failure(&answer, error),
            None => {}
        }
    }

    fn book_confirm(&mut self, seq: i64, part: u8, created_at: i64, receipt: Receipt) {
        self.figures.sent(created_at);
        self.silent = 0;
        self.paused_until = None;
        let mut settled = async move { (seq, receipt.settled().await.is_ok()) }.boxed();
        match (&mut settled).now_or_never() {
            Some((_, true)) => self.changes.gone.push(seq),
            // The hub went away: the next life sends it again.
            Some((_, false)) => self.unsettle(seq, part),
            None => {
                self.unsettle(seq, part);
                self.unsettled_rows.insert(seq, part);
                self.unsettled.push(settled);
            }
        }
    }

    fn unsettle(&mut self, seq: i64, part: u8) {
        if self.owns(part) {
            self.changes.confirmed.push(seq);
        } else {
            // The row is another relay's, which sends it again; it still goes when this copy is settled.
            self.lanes.done(seq);
        }
    }

    fn book_failure(&mut self, answer: &Answer, error: &PublishError) {
        let seq = answer.seq;
        let text = describe(error);
        self.figures.failed(&text);
        let refused = error.is_refusal();
        // The hub is there, and says no: to this event, or to one that was out beside it. Each is told apart when it
        // comes again.
        let answered = refused || matches!(error.kind(), PublishErrorKind::Refused { .. });
        if !answered {
            // Not the event's fault: the relay pauses as a whole, and the event waits only so long that the
            // next probe is another one.
            self.silence();
        }
        if !self.owns(answer.part) {
            // Who has its partition now tries for itself.
            self.lanes.done(seq);
            return;
        }
        let attempt = answer.attempts.saturating_add(1);
        let (mut refusals, mut refused_since) = (answer.refused, answer.refused_since);
        if refused {
            refusals = refusals.saturating_add(1);
            if refused_since == 0 {
                refused_since = now();
            }
            if self.is_enough(refusals, refused_since) {
                tracing::error!(outbox = self.config.name, seq, refusals, %error, "refused too often; put aside");
                self.park(seq, text);
                return;
            }
        }
        if attempt.is_power_of_two() {
            tracing::warn!(outbox = self.config.name, seq, attempt, %error, "not sent; trying again");
        }
        // One that was only out beside the refused one has not failed.
        let delay = self.config.delay(if refused { attempt } else { 1 }, self.config.max_delay);
        let due = Instant::now() + delay;
        self.retry_at = Some(self.retry_at.map_or(due, |at| at.min(due)));
        let micros = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
        let due_at = now().saturating_add(micros);
        self.changes.failed.push(Failed { seq, due_at, refused: refusals, refused_since, error: text });
    }

    /// Whether so many refusals, since then, are too many.
    fn is_enough(&self, refusals: u32, refused_since: i64) -> bool {
        self.config.park_after.is_some_and(|most| refusals >= most.max(1))
            || self.config.park_after_age.is_some_and(|most| since(refused_since) >= most)
    }

    pub(super) fn park(&mut self, seq: i64, reason: String) {
        self.figures.parked();
        self.changes.parked.push((seq, reason));
    }

    pub(super) fn settle(&mut self, seq: i64, settled: bool) {
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

pub(super) fn describe(error: &dyn std::error::Error) -> String {
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
