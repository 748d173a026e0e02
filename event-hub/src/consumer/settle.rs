//! One delivery, from its arrival to its settlement.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::consumer::{Consumer, Failures, Process, REDELIVERIES, attempts};
use crate::delay;
use crate::driver::Verdict;
use crate::handler::{
    Action, BoxError, Context, Outcome, Panicked, Received, TimedOut, Undecodable, chain, find,
};
use crate::message::{Delivery, Message};
use crate::telemetry::{self, Processed};

/// How long what was given back, or could not be moved, keeps its place in the window: a pause, so that a
/// consumer that is alone with it does not spin.
const PAUSE: Duration = Duration::from_secs(1);

/// Handles a delivery and says how to settle it. `stop` shortens the pauses.
pub(super) async fn settle<P: Process>(
    consumer: &Arc<Consumer<P>>,
    delivery: Delivery,
    stop: &CancellationToken,
) -> Verdict {
    let cx = attempts::context(&delivery);
    let hook = consumer.hub.join_trace.as_ref();
    let span = telemetry::process(consumer.backend.system(), &consumer.name, &delivery, cx.attempt, hook);
    handle(consumer, &Arc::new(delivery), cx, stop).instrument(span).await
}

async fn handle<P: Process>(
    consumer: &Arc<Consumer<P>>,
    delivery: &Arc<Delivery>,
    mut cx: Context,
    stop: &CancellationToken,
) -> Verdict {
    consumer.metrics.consumed.increment(1);
    if cx.redelivered {
        consumer.metrics.redelivered.increment(1);
    }
    if delivery.returns >= REDELIVERIES && cx.dead_letter.is_none() {
        // It has brought its consumers down, again and again: not once more.
        let error = "delivered again and again without an answer";
        return give_up(consumer, delivery, cx.attempt - 1, ("redelivered", error), stop).await;
    }
    loop {
        let outcome = match attempt(consumer, delivery, &cx, stop).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => {
                let reason = chain(&*error);
                match consumer.config.errors.action(&*error) {
                    Action::Ack => {
                        tracing::info!(attempt = cx.attempt, reason, "event failed, which does not matter");
                        Outcome::Ack
                    }
                    Action::Retry => Outcome::Retry { reason },
                    Action::RetryAfter(delay) => Outcome::RetryAfter { delay, reason },
                    Action::Reject => {
                        let why = find::<Undecodable>(&*error).map_or("rejected", Undecodable::reason);
                        return give_up(consumer, delivery, cx.attempt, (why, &reason), stop).await;
                    }
                    Action::Return => {
                        tracing::info!(attempt = cx.attempt, reason, "event given back");
                        Outcome::Return
                    }
                }
            }
            None => return Verdict::Return,
        };
        let (reason, delay) = match outcome {
            Outcome::Ack => {
                consumer.metrics.acked.increment(1);
                return Verdict::Ack;
            }
            Outcome::Return => {
                consumer.metrics.returned.increment(1);
                pause(PAUSE, stop).await;
                return Verdict::Return;
            }
            Outcome::Reject { reason } => {
                return give_up(consumer, delivery, cx.attempt, ("rejected", &reason), stop).await;
            }
            Outcome::Retry { reason } => (reason, consumer.delay(cx.attempt)),
            Outcome::RetryAfter { delay, reason } => (reason, delay),
        };
        tracing::warn!(attempt = cx.attempt, reason, "event failed");
        tracing::Span::current().record("otel.status_code", "ERROR");
        let endless = matches!(consumer.failures, Failures::Move(None));
        if cx.attempt >= consumer.max_attempts() && !endless {
            return give_up(consumer, delivery, cx.attempt, ("attempts", &reason), stop).await;
        }
        consumer.metrics.retried.increment(1);
        match consumer.failures {
            Failures::Move(_) => {
                let route = delay::route(&delivery.queue, delay);
                let again = attempts::again(delivery, cx.attempt, &reason, route);
                return move_on(consumer, again, stop).await;
            }
            Failures::Stay => {
                if !pause(delay, stop).await {
                    return Verdict::Return;
                }
                cx.attempt += 1;
                cx.redelivered = true;
            }
        }
    }
}

/// Calls the handler; a panic and a handler that takes too long have failed. None when it was stopped before.
async fn attempt<P: Process>(
    consumer: &Arc<Consumer<P>>,
    delivery: &Arc<Delivery>,
    cx: &Context,
    stop: &CancellationToken,
) -> Option<Result<Outcome, BoxError>> {
    // What waits here holds its place in the window: the rest stays in the queue until there is room.
    let ready = AssertUnwindSafe(consumer.process.ready()).catch_unwind();
    let ready = match stop.run_until_cancelled(ready).await? {
        Ok(Ok(ready)) => ready,
        Ok(Err(error)) => return Some(Err(error)),
        Err(panic) => return Some(Err(Panicked::new(panic.as_ref()).into())),
    };
    let received = Received::new(Arc::clone(delivery), cx.clone(), Arc::clone(&consumer.origin));
    let started = Instant::now();
    // The call itself may panic too, before its future exists.
    let call = AssertUnwindSafe(async { consumer.process.call(ready, received).await }).catch_unwind();
    let (answer, how) = match timeout(consumer.config.handler_timeout, call).await {
        Ok(Ok(Ok(outcome @ (Outcome::Ack | Outcome::Return)))) => (Ok(outcome), Processed::Well),
        Ok(Ok(answer)) => (answer, Processed::Failed),
        Ok(Err(panic)) => (Err(Panicked::new(panic.as_ref()).into()), Processed::Panicked),
        Err(_) => (Err(TimedOut::after(consumer.config.handler_timeout).into()), Processed::TimedOut),
    };
    consumer.metrics.processed(how, started.elapsed());
    Some(answer)
}

/// Moves to the dead letters what is not tried again.
async fn give_up<P: Process>(
    consumer: &Arc<Consumer<P>>,
    delivery: &Delivery,
    failures: u32,
    (reason, error): (&str, &str),
    stop: &CancellationToken,
) -> Verdict {
    tracing::Span::current().record("otel.status_code", "ERROR");
    tracing::Span::current().record("error.type", reason);
    match &consumer.failures {
        Failures::Move(Some(target)) => {
            tracing::error!(
                reason,
                error,
                attempts = failures,
                queue = delivery.queue,
                "event becomes a dead letter"
            );
            consumer.metrics.dead.increment(1);
            let letter = attempts::dead(delivery, target, &consumer.name, failures, (reason, error));
            move_on(consumer, letter, stop).await
        }
        Failures::Move(None) => {
            // Nowhere to put it, and dropping would lose it: it stays until someone looks.
            tracing::error!(
                reason,
                error,
                queue = delivery.queue,
                "rejected where there are no dead letters: kept"
            );
            let route = delay::route(&delivery.queue, consumer.config.retry.max_delay);
            move_on(consumer, attempts::again(delivery, failures, error, route), stop).await
        }
        Failures::Stay => {
            tracing::error!(reason, error, queue = delivery.queue, "event dropped from a feed");
            consumer.metrics.dropped.increment(1);
            Verdict::Ack
        }
    }
}

/// ORDER: the copy is confirmed before the original is acknowledged; in between it may be there twice, never not.
async fn move_on<P: Process>(
    consumer: &Arc<Consumer<P>>,
    copy: Message,
    stop: &CancellationToken,
) -> Verdict {
    match consumer.backend.publish_one(copy, consumer.deadline()).await {
        Ok(_) => Verdict::Ack,
        Err(error) => {
            tracing::warn!(%error, "event could not be moved: it goes back into its queue");
            pause(PAUSE, stop).await;
            Verdict::Fail
        }
    }
}

/// False when cut short.
async fn pause(time: Duration, stop: &CancellationToken) -> bool {
    stop.run_until_cancelled(sleep(time)).await.is_some()
}
