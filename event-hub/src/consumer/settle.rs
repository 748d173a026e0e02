//! One delivery, from its handler's first try to its settlement.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::coop;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::config::{Exhausted, RetryPlace};
use crate::consumer::gate::{Entry, Tried};
use crate::consumer::judge::{Judged, judge};
use crate::consumer::lanes::Job;
use crate::consumer::moves::Tries;
use crate::consumer::{Consumer, Ended, Failures, PAUSE, Process, REDELIVERIES, attempts};
use crate::delay;
use crate::driver::{SubscriptionState, Verdict};
use crate::handler::{BoxError, Outcome, Panicked, TimedOut};
use crate::message::Message;
use crate::publish::PublishErrorKind;
use crate::telemetry::Processed;

/// Where a job stands when its handler's turn is over.
pub(super) enum Step {
    /// Settled so.
    Done(Verdict),
    /// It stands back for the others, since the consumer pauses.
    Later,
    /// The broker has it back already.
    Stale,
    /// The consumer ends: it goes back in its place, with what was never begun.
    Kept,
}

/// One job's turn.
struct Turn<'a, P> {
    consumer: &'a Arc<Consumer<P>>,
    job: &'a mut Job,
    state: &'a SubscriptionState,
    /// Shortens the pauses.
    stop: &'a CancellationToken,
}

/// Handles a job and says how to settle it.
pub(super) async fn settle<P: Process>(
    consumer: &Arc<Consumer<P>>,
    job: &mut Job,
    state: &SubscriptionState,
    stop: &CancellationToken,
) -> Step {
    let attempt = consumer.received(job).standing().attempt;
    let span = AssertUnwindSafe(|| consumer.spans.one(&job.delivery, attempt));
    // The hook is the application's, and not worth an event.
    let span = catch_unwind(span).unwrap_or_else(|panic| {
        let error = Panicked::new(panic.as_ref());
        tracing::error!(consumer = consumer.name, %error, "the span hook failed: the event goes on without a span");
        Span::none()
    });
    consumer.metrics.in_flight.increment(1);
    let _in_flight = InFlight(&consumer.metrics.in_flight);
    Turn { consumer, job, state, stop }.run().instrument(span).await
}

impl<P: Process> Turn<'_, P> {
    async fn run(mut self) -> Step {
        let consumer = self.consumer;
        if let Some(parked) = self.job.parked.take() {
            self.not_its_time(parked.elapsed());
        } else {
            consumer.metrics.consumed.increment(1);
            let returns = self.job.delivery.returns;
            let cx = consumer.received(self.job).standing();
            if cx.redelivered {
                consumer.metrics.redelivered.increment(1);
            }
            if consumer.config.gives_up_poison && returns >= REDELIVERIES && cx.dead_letter.is_none() {
                // It has brought its consumers down, again and again: not once more.
                let error = "delivered again and again without an answer";
                let attempts = (cx.attempt - 1).saturating_add(returns);
                return self.give_up(attempts, ("redelivered", error)).await;
            }
        }
        loop {
            let came = self.job.tried.map(|_| Instant::now());
            let pass = match consumer.gate.pass(self.patience(), self.stop).await {
                Entry::Pass(pass) => pass,
                Entry::Late => return self.send_around("held back while the consumer paused").await,
                Entry::Stopped => return Step::Kept,
            };
            self.not_its_time(came.map(|came| came.elapsed()).unwrap_or_default());
            if self.is_stale() {
                return Step::Stale;
            }
            if self.stays() {
                self.job.tried.get_or_insert_with(Instant::now);
            }
            let attempt = consumer.received(self.job).standing().attempt;
            // Stopped before it began: the pass is given back with it.
            let Some(answer) = self.call().await else { return Step::Kept };
            let Judged { outcome, label, hopeless } = judge(&consumer.config.errors, answer, attempt);
            let outcome = match outcome {
                // Given back it would let the next of its key pass.
                Outcome::Return if consumer.config.order.is_some() => {
                    Outcome::RetryAfter { delay: PAUSE, reason: "given back".to_owned() }
                }
                outcome => outcome,
            };
            let tried = match &outcome {
                _ if hopeless => Tried::Hopeless,
                Outcome::Ack => Tried::Well,
                Outcome::Retry { .. } | Outcome::RetryAfter { .. } => Tried::Badly,
                Outcome::Reject { .. } | Outcome::Return => Tried::Neither,
            };
            let uncounted = pass.report(tried) || hopeless;
            if outcome != Outcome::Ack && self.is_stale() {
                // The broker has it back already: a copy, a letter or a halt would be beside what comes again.
                tracing::warn!(attempt, ?outcome, "event failed after its channel was lost: it comes again");
                return Step::Stale;
            }
            let (reason, delay) = match outcome {
                Outcome::Ack => {
                    consumer.ended(&self.job.delivery, attempt, Ended::Acked, None);
                    return Step::Done(Verdict::Ack);
                }
                Outcome::Return => {
                    consumer.ended(&self.job.delivery, attempt, Ended::Returned, None);
                    return if self.pause(PAUSE).await { Step::Done(Verdict::Return) } else { Step::Kept };
                }
                Outcome::Reject { reason } => return self.give_up(attempt, (label, &reason)).await,
                Outcome::Retry { reason } => (reason, consumer.delay(attempt)),
                Outcome::RetryAfter { delay, reason } => (reason, delay),
            };
            tracing::warn!(attempt, reason, uncounted, "event failed");
            Span::current().record("otel.status_code", "ERROR");
            if uncounted {
                // The consumer is ill and not the event: others take their turn at finding out when that is over.
                if consumer.config.order.is_some() {
                    self.job.parked = Some(Instant::now());
                    return Step::Later;
                }
                if self.stays() {
                    continue;
                }
                return self.send_around(&reason).await;
            }
            if self.is_exhausted(attempt, delay) {
                return self.give_up(attempt, ("attempts", &reason)).await;
            }
            if !self.stays() {
                let route = delay::route(&self.job.delivery.queue, delay);
                let copy = attempts::again(&self.job.delivery, attempt, &reason, route);
                return self.move_on(copy, (Ended::Retried, attempt, &reason)).await;
            }
            consumer.ended(&self.job.delivery, attempt, Ended::Retried, Some(&reason));
            if !self.pause(delay).await {
                return Step::Kept;
            }
            consumer.received(self.job).count_try();
        }
    }

    /// Calls the handler; a panic and a handler that takes too long have failed. None when it was stopped before.
    async fn call(&mut self) -> Option<Result<Outcome, BoxError>> {
        let consumer = self.consumer;
        // What waits here holds its place in the window: the rest stays in the queue until there is room.
        let ready = AssertUnwindSafe(consumer.process.ready()).catch_unwind();
        let ready = tokio::select! {
            // Nearly always at once: then nothing need watch for the stop.
            biased;
            ready = ready => ready,
            () = self.stop.cancelled() => return None,
        };
        let ready = match ready {
            Ok(Ok(ready)) => ready,
            Ok(Err(error)) => return Some(Err(error)),
            Err(panic) => return Some(Err(Panicked::new(panic.as_ref()).into())),
        };
        let received = consumer.received(self.job).for_a_try();
        let started = Instant::now();
        // The call itself may panic too, before its future exists.
        let call = AssertUnwindSafe(async { consumer.process.call(ready, received).await }).catch_unwind();
        let (answer, how) = match in_time(consumer.config.handler_timeout, started, call).await {
            Ok(Ok(Ok(outcome @ (Outcome::Ack | Outcome::Return)))) => (Ok(outcome), Processed::Well),
            Ok(Ok(answer)) => (answer, Processed::Failed),
            Ok(Err(panic)) => (Err(Panicked::new(panic.as_ref()).into()), Processed::Panicked),
            Err(Late) => (Err(TimedOut::after(consumer.config.handler_timeout).into()), Processed::TimedOut),
        };
        self.job.took = started.elapsed();
        consumer.metrics.processed(how, self.job.took);
        Some(answer)
    }

    /// Whether it waits for its next try in its place.
    fn stays(&self) -> bool {
        matches!(self.consumer.failures, Failures::Stay)
            || matches!(self.consumer.config.retry.place, RetryPlace::Here { .. })
    }

    /// Until when it may wait for the end of a pause; order has no other place for it.
    fn patience(&self) -> Option<Instant> {
        (!self.stays()).then(|| self.job.delivery.arrived + HOLD)
    }

    fn is_stale(&self) -> bool {
        self.job.generation() != self.state.generation.load(Ordering::Acquire)
    }

    fn is_exhausted(&self, attempt: u32, delay: Duration) -> bool {
        if matches!(self.consumer.failures, Failures::Move(None)) && self.consumer.config.order.is_none() {
            // Nowhere to put it.
            return false;
        }
        let over = match self.consumer.config.retry.place {
            RetryPlace::Here { max_time } => {
                self.job.tried.is_some_and(|since| since.elapsed() + delay > max_time)
            }
            RetryPlace::Delayed => false,
        };
        over || attempt >= self.consumer.max_attempts()
    }

    /// Waits of the whole consumer are no time of its own.
    fn not_its_time(&mut self, time: Duration) {
        if let Some(tried) = &mut self.job.tried {
            *tried += time;
        }
    }

    /// Moves to the dead letters what is not tried again.
    async fn give_up(&self, failures: u32, (reason, error): (&str, &str)) -> Step {
        let consumer = self.consumer;
        let delivery = &self.job.delivery;
        let queue = &*delivery.queue;
        Span::current().record("otel.status_code", "ERROR");
        Span::current().record("error.type", reason);
        if let Some(Exhausted::Stop) = consumer.config.order.as_ref().map(|order| order.exhausted)
            && self.job.key.is_some()
        {
            tracing::error!(reason, error, attempts = failures, queue, "event failed: the consumer halts");
            consumer.halt.halt(&format!("{reason}: {error}"));
            return Step::Kept;
        }
        match &consumer.failures {
            Failures::Move(Some(target)) => {
                tracing::error!(reason, error, attempts = failures, queue, "event becomes a dead letter");
                let letter = attempts::dead(delivery, target, &consumer.name, failures, (reason, error));
                self.move_on(letter, (Ended::DeadLettered, failures, error)).await
            }
            Failures::Move(None) => {
                // Nowhere to put it, and dropping would lose it: it stays until someone looks.
                tracing::error!(reason, error, queue, "rejected where there are no dead letters: kept");
                let route = delay::route(queue, consumer.config.retry.max_delay);
                let copy = attempts::again(delivery, failures, error, route);
                self.move_on(copy, (Ended::Retried, failures, error)).await
            }
            Failures::Stay => {
                tracing::error!(reason, error, queue, "event dropped from a feed");
                consumer.ended(delivery, failures, Ended::Dropped, Some(error));
                Step::Done(Verdict::Ack)
            }
        }
    }

    /// Sends it once round through the delay queues, without an attempt counted.
    async fn send_around(&mut self, why: &str) -> Step {
        let attempt = self.consumer.received(self.job).standing().attempt;
        let pause = self.consumer.gate.pause_left();
        let route = delay::route(&self.job.delivery.queue, pause);
        let copy = attempts::again(&self.job.delivery, attempt - 1, why, route);
        self.move_on(copy, (Ended::Postponed, attempt, why)).await
    }

    /// ORDER: the copy is confirmed before the original is acknowledged; in between it may be there twice, never not.
    async fn move_on(&self, copy: Message, (how, attempt, why): (Ended, u32, &str)) -> Step {
        let mut tries = Tries::of(&self.state.moves, self.job.delivery.returns);
        // The broker has a stale one back already, and a copy would be beside it.
        while !self.is_stale() {
            let answer = self.consumer.backend.publish_one(copy.clone(), self.consumer.deadline()).await;
            let (pause, verdict) = match answer {
                Ok(_) => {
                    self.consumer.ended(&self.job.delivery, attempt, how, Some(why));
                    return Step::Done(Verdict::Ack);
                }
                // The hub is shut down: it will take no copy any more.
                Err(PublishErrorKind::Closed) => return Step::Kept,
                Err(error) => {
                    tracing::warn!(%error, "event could not be moved: it stays in its queue");
                    // Room will come: not to be counted until the queue gives it up.
                    let full = error == PublishErrorKind::Full;
                    (tries.failed(&error), if full { Verdict::Return } else { Verdict::Fail })
                }
            };
            let goes_on = self.pause_in_place(pause).await;
            if tries.may_have_arrived() {
                // Given back it would be handled beside its copy. At a drain it has until the deadline to be sure.
                if !goes_on {
                    sleep(PAUSE).await;
                }
                continue;
            }
            if self.consumer.config.order.is_none() {
                return Step::Done(verdict);
            }
            // Given back it would let the next of its key pass.
            if !goes_on {
                return Step::Kept;
            }
        }
        Step::Stale
    }

    /// As [`Turn::pause`], and over soon after the channel is lost.
    async fn pause_in_place(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while !self.is_stale() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if !self.pause(left.min(PAUSE)).await {
                return false;
            }
        }
        true
    }

    /// False when cut short.
    async fn pause(&self, time: Duration) -> bool {
        self.stop.run_until_cancelled(sleep(time)).await.is_some()
    }
}

/// A call that took too long.
struct Late;

/// As tokio's `timeout`, with a timer only for what is not ready at once, as most handlers of a fast queue are.
async fn in_time<F: Future>(most: Duration, started: Instant, call: F) -> Result<F::Output, Late> {
    let (mut call, mut late) = (pin!(call), pin!(None));
    poll_fn(|cx| {
        if let Poll::Ready(answer) = call.as_mut().poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        if late.is_none() {
            // A timeout without end is none. It has a budget of its own: a handler may use up all of its task's.
            late.set(started.checked_add(most).map(|at| coop::unconstrained(sleep_until(at))));
        }
        match late.as_mut().as_pin_mut() {
            Some(late) => late.poll(cx).map(|()| Err(Late)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Counts down on every way out, aborts included.
struct InFlight<'a>(&'a metrics::Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// How long a delivery is held while its consumer pauses: a third of the 30 min after which a broker takes it back.
const HOLD: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests;
