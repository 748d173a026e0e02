//! The history of a message, in headers of our own: brokers keep theirs to themselves, or drop it.

use jiff::Timestamp;

use crate::handler::{Context, DeadLetterInfo};
use crate::message::{Delivery, HeaderValue, Headers, Message};
use crate::topology::DeadLetter;

const ATTEMPTS: &str = "x-tramline-attempts";
const FIRST_FAILED: &str = "x-tramline-first-failed-at";
const LAST_FAILED: &str = "x-tramline-last-failed-at";
const ERROR: &str = "x-tramline-error";
const HANDLER: &str = "x-tramline-handler";
const KEY: &str = "x-tramline-routing-key";
const QUEUE: &str = "x-tramline-queue";
const REASON: &str = "x-tramline-reason";
/// How often the handler of a dead letter has failed at it: its story stays that of the queue it died in.
const RETRIES: &str = "x-tramline-retries";

/// Reasons are cut here: all headers together must fit into one frame, 128 KiB by default.
const ERROR_BYTES: usize = 4096;

/// How often it has failed before: what we counted, and what went back without us.
pub(super) fn failures(delivery: &Delivery) -> u32 {
    counted(&delivery.message).saturating_add(delivery.returns)
}

pub(super) fn context(delivery: &Delivery) -> Context {
    let message = &delivery.message;
    let dead_letter = dead_letter_info(message);
    let failures = match &dead_letter {
        Some(_) => number(message, RETRIES).saturating_add(delivery.returns),
        None => failures(delivery),
    };
    Context {
        queue: delivery.queue.clone(),
        attempt: failures.saturating_add(1),
        redelivered: delivery.redelivered || failures > 0,
        routing_key: message.text(KEY).unwrap_or(&message.key).to_owned(),
        dead_letter,
    }
}

/// Whether it is a dead letter, so that its attempts are those of the queue it died in.
pub(super) fn is_dead(message: &Message) -> bool {
    message.text(REASON).is_some()
        || message.text("x-first-death-reason").is_some_and(|reason| reason != "expired")
}

/// A copy for another try.
pub(super) fn again(delivery: &Delivery, failures: u32, error: &str, route: (String, String)) -> Message {
    let mut message = copy(delivery);
    match dead_letter_info(&delivery.message) {
        Some(info) => {
            // What the broker said of its death is not carried by a copy; from now on it is ours to say.
            keep(&mut message, REASON, Some(info.reason));
            keep(&mut message, QUEUE, info.queue);
            message.headers.insert(RETRIES.to_owned(), HeaderValue::Number(failures.into()));
        }
        None => fail(&mut message, failures, error),
    }
    (message.exchange, message.key) = route;
    message
}

/// A copy for the dead letters.
pub(super) fn dead(
    delivery: &Delivery,
    target: &DeadLetter,
    handler: &str,
    failures: u32,
    (reason, error): (&str, &str),
) -> Message {
    let mut message = copy(delivery);
    fail(&mut message, failures, error);
    for (name, value) in [(REASON, reason), (HANDLER, handler), (QUEUE, &delivery.queue)] {
        message.headers.insert(name.to_owned(), HeaderValue::Text(value.to_owned()));
    }
    message.exchange.clone_from(&target.exchange);
    if let Some(key) = &target.key {
        message.key.clone_from(key);
    }
    message
}

fn dead_letter_info(message: &Message) -> Option<DeadLetterInfo> {
    if !is_dead(message) {
        return None;
    }
    let owned = |name: &str| message.text(name).map(str::to_owned);
    let time = |name: &str| message.text(name).and_then(|at| at.parse().ok());
    // A message that died again after a redrive carries both; ours is the later and fuller one.
    let (reason, queue) = match message.text(REASON) {
        Some(reason) => (reason.to_owned(), owned(QUEUE)),
        None => (owned("x-first-death-reason")?, owned("x-first-death-queue")),
    };
    Some(DeadLetterInfo {
        reason,
        error: owned(ERROR),
        handler: owned(HANDLER),
        attempts: counted(message),
        first_failed_at: time(FIRST_FAILED),
        last_failed_at: time(LAST_FAILED),
        queue,
        routing_key: owned(KEY).or_else(|| message.properties.kind.clone()),
    })
}

fn copy(delivery: &Delivery) -> Message {
    let mut message = delivery.message.clone();
    // The broker's own marks are its to set; it refuses or ignores them from us.
    message.headers.retain(|name, _| !is_broker_s(name));
    let key = HeaderValue::Text(message.key.clone());
    message.headers.entry(KEY.to_owned()).or_insert(key);
    message
}

fn fail(message: &mut Message, failures: u32, error: &str) {
    let now = HeaderValue::Text(Timestamp::now().to_string());
    let headers: &mut Headers = &mut message.headers;
    headers.insert(ATTEMPTS.to_owned(), HeaderValue::Number(failures.into()));
    headers.entry(FIRST_FAILED.to_owned()).or_insert_with(|| now.clone());
    headers.insert(LAST_FAILED.to_owned(), now);
    headers.insert(ERROR.to_owned(), HeaderValue::Text(cut(error).to_owned()));
}

fn keep(message: &mut Message, name: &str, text: Option<String>) {
    if let Some(text) = text {
        message.headers.entry(name.to_owned()).or_insert(HeaderValue::Text(text));
    }
}

fn counted(message: &Message) -> u32 {
    number(message, ATTEMPTS)
}

fn number(message: &Message, name: &str) -> u32 {
    message.number(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn is_broker_s(name: &str) -> bool {
    name.starts_with("x-first-death-")
        || name.starts_with("x-last-death-")
        || ["x-death", "x-delivery-count", "x-acquired-count", "x-opt-"]
            .iter()
            .any(|own| name.starts_with(own))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
