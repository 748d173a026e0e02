//! One delivery, from its arrival to its settlement.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::consumer::{Consumer, Failures, Process, REDELIVERIES, attempts};
use crate::delay;
use crate::driver::Verdict;
use crate::handler::{Context, Outcome};
use crate::message::{Delivery, Message};
use crate::trace;

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
    let span = trace::process(consumer.backend.system(), &consumer.name, &delivery, cx.attempt, hook);
    handle(consumer, delivery, cx, stop).instrument(span).await
}

async fn handle<P: Process>(
    consumer: &Arc<Consumer<P>>,
    delivery: Delivery,
    mut cx: Context,
    stop: &CancellationToken,
) -> Verdict {
    if cx.redelivered {
        consumer.metrics.redelivered.increment(1);
    }
    let input = match consumer.process.read(&delivery, &consumer.hub) {
        Ok(input) => input,
        Err(refusal) => {
            let why = (refusal.reason, refusal.error.as_str());
            return give_up(consumer, &delivery, cx.attempt, why, stop).await;
        }
    };
    if delivery.returns >= REDELIVERIES && cx.dead_letter.is_none() {
        // It has brought its consumers down, again and again: not once more.
        let error = "delivered again and again without an answer";
        return give_up(consumer, &delivery, cx.attempt - 1, ("redelivered", error), stop).await;
    }
    if let Some(time) = P::time(&input) {
        let lag = Timestamp::now().duration_since(time).as_secs_f64();
        consumer.metrics.lag.record(lag.max(0.0));
    }
    loop {
        let outcome = call(consumer, input.clone(), cx.clone()).await;
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
                return give_up(consumer, &delivery, cx.attempt, ("rejected", &reason), stop).await;
            }
            Outcome::Retry { reason } => (reason, consumer.delay(cx.attempt)),
            Outcome::RetryAfter { delay, reason } => (reason, delay),
        };
        tracing::warn!(attempt = cx.attempt, reason, "event failed");
        tracing::Span::current().record("otel.status_code", "ERROR");
        let endless = matches!(consumer.failures, Failures::Move(None));
        if cx.attempt >= consumer.max_attempts() && !endless {
            return give_up(consumer, &delivery, cx.attempt, ("attempts", &reason), stop).await;
        }
        consumer.metrics.retried.increment(1);
        match consumer.failures {
            Failures::Move(_) => {
                let route = delay::route(&delivery.queue, delay);
                let again = attempts::again(&delivery, cx.attempt, &reason, route);
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

/// Calls the handler; a panic and a handler that takes too long have failed.
async fn call<P: Process>(consumer: &Arc<Consumer<P>>, input: P::Input, cx: Context) -> Outcome {
    let started = Instant::now();
    // The call itself may panic too, before its future exists.
    let handler = AssertUnwindSafe(async { consumer.process.process(input, cx).await }).catch_unwind();
    let outcome = match timeout(consumer.config.handler_timeout, handler).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => {
            Outcome::Retry { reason: format!("the handler panicked: {}", words(panic.as_ref())) }
        }
        Err(_) => {
            Outcome::Retry { reason: format!("no answer within {:?}", consumer.config.handler_timeout) }
        }
    };
    consumer.metrics.seconds.record(started.elapsed().as_secs_f64());
    outcome
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

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no words")
}
