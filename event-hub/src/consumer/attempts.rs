//! The history of a message, in headers of our own: brokers keep theirs to themselves, or drop it.

mod broker;

use jiff::Timestamp;
use uuid::Uuid;

use crate::handler::DeadLetterInfo;
use crate::handler::received::Standing;
use crate::message::{Delivery, HeaderValue, Message};
use crate::topology::DeadLetter;

const ATTEMPTS: &str = "x-tramline-attempts";
/// Names one death, whatever becomes of the letter afterwards.
const DEATH: &str = "x-tramline-death";
const ERROR: &str = "x-tramline-error";
const EXCHANGE: &str = "x-tramline-exchange";
const FIRST_FAILED: &str = "x-tramline-first-failed-at";
const HANDLER: &str = "x-tramline-handler";
const KEY: &str = "x-tramline-routing-key";
const LAST_FAILED: &str = "x-tramline-last-failed-at";
const PREVIOUS: &str = "x-tramline-previous-reason";
const QUEUE: &str = "x-tramline-queue";
const REASON: &str = "x-tramline-reason";
/// How often it was sent back to its queue after a death.
const REDRIVES: &str = "x-tramline-redrives";
/// How often the handler of a dead letter has failed at it: its story stays that of the queue it died in.
const RETRIES: &str = "x-tramline-retries";

/// The headers of one life, which end with it.
const LIFE: [&str; 9] = [ATTEMPTS, DEATH, ERROR, FIRST_FAILED, HANDLER, LAST_FAILED, QUEUE, REASON, RETRIES];

/// Reasons are cut here: all headers together must fit into one frame, 128 KiB by default.
const ERROR_BYTES: usize = 4096;

/// Where a message stands.
enum Life {
    /// On its way through a queue.
    Alive,
    /// Dead, and lying elsewhere than where it died.
    Dead(Box<DeadLetterInfo>),
    /// Dead once, and back in the queue it died in: someone wants it tried again, from the beginning.
    Revived,
}

/// Which of the broker's deaths count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deaths {
    /// Not those of age: a queue that only delays ends so, and what it delivers is as alive as before.
    Violent,
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "whoever keeps dead letters asks for all")
    )]
    All,
}

pub(super) fn standing(delivery: &Delivery) -> Standing {
    let message = &delivery.message;
    let life = Life::of(message, &delivery.queue, Deaths::Violent);
    let failures = match &life {
        Life::Alive => number(message, ATTEMPTS),
        Life::Dead(_) => number(message, RETRIES),
        Life::Revived => 0,
    };
    // What went back without us is nobody's failure: most of it had not begun. A bound of its own ends a crash loop.
    Standing {
        attempt: failures.saturating_add(1),
        redelivered: delivery.redelivered || failures > 0,
        dead_letter: match life {
            Life::Dead(info) => Some(info),
            Life::Alive | Life::Revived => None,
        },
    }
}

/// The key that a message was first published with.
pub(crate) fn routing_key(message: &Message) -> &str {
    message.text(KEY).unwrap_or_else(|| message.key())
}

/// A copy for another try.
pub(super) fn again(delivery: &Delivery, failures: u32, error: &str, route: (String, String)) -> Message {
    let life = Life::of(&delivery.message, &delivery.queue, Deaths::Violent);
    let mut message = copy(delivery, &life);
    match life {
        Life::Dead(info) => retain(&mut message, *info, failures),
        Life::Alive | Life::Revived => fail(&mut message, failures, error),
    }
    message.address(route.0.into(), route.1.into());
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
    let life = Life::of(&delivery.message, &delivery.queue, Deaths::Violent);
    let mut message = copy(delivery, &life);
    if let Life::Dead(info) = life {
        // Its keeper has given up on it: the story stays the one it has.
        retain(&mut message, *info, 0);
    } else {
        fail(&mut message, failures, error);
        for (name, value) in [(REASON, reason), (HANDLER, handler), (QUEUE, &*delivery.queue)] {
            message.headers_mut().insert(name.to_owned(), HeaderValue::Text(value.to_owned()));
        }
        message.headers_mut().insert(DEATH.to_owned(), HeaderValue::Text(Uuid::now_v7().to_string()));
    }
    let key = target.key.as_deref().unwrap_or_else(|| message.key()).into();
    message.address((&*target.exchange).into(), key);
    message
}

/// A copy to take a dead letter's place in its queue, with this name for its death when it has none.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn replace(delivery: &Delivery, death: &str) -> Message {
    let life = Life::of(&delivery.message, &delivery.queue, Deaths::All);
    let mut message = copy(delivery, &Life::Alive);
    message.headers_mut().entry(DEATH.to_owned()).or_insert_with(|| HeaderValue::Text(death.to_owned()));
    if let Life::Dead(info) = life {
        let failures = number(&message, RETRIES);
        retain(&mut message, *info, failures);
    }
    message.address("".into(), (&*delivery.queue).into());
    message
}

/// How a letter in a queue of dead letters died, if it says so.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn story(delivery: &Delivery) -> Option<DeadLetterInfo> {
    match Life::of(&delivery.message, &delivery.queue, Deaths::All) {
        Life::Dead(info) => Some(*info),
        Life::Alive | Life::Revived => None,
    }
}

/// What a letter without a story says of itself.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn untold(message: &Message) -> DeadLetterInfo {
    describe(message, ("unknown".to_owned(), None), None)
}

/// What tells this death from every other: the name we gave it, or a description that no other fits.
///
/// None when nothing does. The broker's marks count in seconds, so that they need the message's id beside them.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn death(delivery: &Delivery) -> Option<Vec<String>> {
    let message = &delivery.message;
    let own = |name: &str| message.text(name).unwrap_or_default().to_owned();
    let id = message.id().map(str::to_owned);
    let mark = broker::death(message, Deaths::All);
    let later = mark.filter(|mark| mark.is_failure() || message.text(REASON).is_none());
    match (later, id) {
        (Some(mark), Some(id)) if mark.time > 0 => {
            let redrives = number(message, REDRIVES).to_string();
            let (time, count) = (mark.time.to_string(), mark.count.to_string());
            Some(vec![id, own(DEATH), redrives, mark.queue, mark.reason, time, count])
        }
        (Some(_), _) => None,
        (None, _) if message.text(DEATH).is_some() => Some(vec![own(DEATH)]),
        // Of a version that gave no names: its times are exact enough.
        (None, id) if message.text(LAST_FAILED).is_some() => {
            Some(vec![id.unwrap_or_default(), own(QUEUE), own(REASON), own(LAST_FAILED)])
        }
        (None, _) => None,
    }
}

/// Begins a new life: the headers of the last go, but for how often and why.
pub(crate) fn revive(message: &mut Message) {
    let reason = told(message, Deaths::All).map(|(reason, _)| reason);
    let mark = broker::death(message, Deaths::All);
    let (exchange, key) = mark.map(|mark| (mark.exchange, mark.key)).unwrap_or_default();
    // Where it came from first: its key is a queue's name from now on.
    for (name, text) in [(KEY, key.or_else(|| kind(message))), (EXCHANGE, exchange)] {
        if let Some(text) = text {
            message.headers_mut().entry(name.to_owned()).or_insert(HeaderValue::Text(text));
        }
    }
    let redrives = number(message, REDRIVES).saturating_add(1);
    message.headers_mut().retain(|name, _| !is_broker_s(name) && !LIFE.contains(&name.as_str()));
    message.headers_mut().insert(REDRIVES.to_owned(), HeaderValue::Number(redrives.into()));
    if let Some(reason) = reason {
        message.headers_mut().insert(PREVIOUS.to_owned(), HeaderValue::Text(reason));
    }
}

// === impl Life ===

impl Life {
    fn of(message: &Message, lies_in: &str, deaths: Deaths) -> Self {
        // Every death leaves headers of this kind, its own or ours: most messages have none.
        if message.is_fresh() || !message.headers().keys().any(|name| name.starts_with("x-")) {
            return Self::Alive;
        }
        let Some((reason, queue)) = told(message, deaths) else { return Self::Alive };
        if queue.as_deref() == Some(lies_in) {
            return Self::Revived;
        }
        Self::Dead(Box::new(describe(message, (reason, queue), broker::death(message, deaths))))
    }
}

fn describe(
    message: &Message,
    (reason, queue): (String, Option<String>),
    mark: Option<broker::Mark>,
) -> DeadLetterInfo {
    let owned = |name: &str| message.text(name).map(str::to_owned);
    let time = |name: &str| message.text(name).and_then(|at| at.parse().ok());
    let died_at = mark.as_ref().and_then(broker::Mark::at);
    let (exchange, key) = mark.map(|mark| (mark.exchange, mark.key)).unwrap_or_default();
    DeadLetterInfo {
        reason,
        error: owned(ERROR),
        handler: owned(HANDLER),
        attempts: number(message, ATTEMPTS),
        first_failed_at: time(FIRST_FAILED),
        last_failed_at: time(LAST_FAILED).max(died_at),
        queue,
        routing_key: owned(KEY).or(key).or_else(|| kind(message)),
        exchange: owned(EXCHANGE).or(exchange),
        redrives: number(message, REDRIVES),
        previous_reason: owned(PREVIOUS),
    }
}

/// The reason of the last death, and the queue of it.
fn told(message: &Message, deaths: Deaths) -> Option<(String, Option<String>)> {
    let broker_s = broker::death(message, deaths);
    let ours = message.text(REASON).map(|reason| (reason.to_owned(), message.text(QUEUE).map(str::to_owned)));
    match (ours, broker_s) {
        // Our copies carry no marks of the broker's, so these are later; but a letter that has only aged, or
        // made room, in a queue of dead letters has not died again.
        (Some(ours), Some(mark)) if !mark.is_failure() => Some(ours),
        (_, Some(mark)) => Some((mark.reason, Some(mark.queue))),
        (ours, None) => ours,
    }
}

fn copy(delivery: &Delivery, life: &Life) -> Message {
    let mut message = Message::clone(&delivery.message);
    if matches!(life, Life::Revived) {
        revive(&mut message);
    }
    // The broker's own marks are its to set; it refuses or ignores them from us.
    let origin = [(KEY, message.key().to_owned()), (EXCHANGE, message.exchange.to_string())];
    let headers = message.headers_mut();
    headers.retain(|name, _| !is_broker_s(name));
    for (name, value) in origin {
        headers.entry(name.to_owned()).or_insert(HeaderValue::Text(value));
    }
    message
}

/// Keeps a story in a copy: what the broker said of a death is not carried by one, and is ours to say from now on.
fn retain(message: &mut Message, info: DeadLetterInfo, retries: u32) {
    let said = [
        (LAST_FAILED, info.last_failed_at.map(|at| at.to_string())),
        (REASON, Some(info.reason)),
        (QUEUE, info.queue),
        (KEY, info.routing_key),
        (EXCHANGE, info.exchange),
    ];
    for (name, text) in said {
        if let Some(text) = text {
            message.headers_mut().insert(name.to_owned(), HeaderValue::Text(text));
        }
    }
    message.headers_mut().insert(RETRIES.to_owned(), HeaderValue::Number(retries.into()));
    // From now on the times are ours, and not exact enough to tell deaths apart.
    let name = || HeaderValue::Text(Uuid::now_v7().to_string());
    message.headers_mut().entry(DEATH.to_owned()).or_insert_with(name);
}

fn fail(message: &mut Message, failures: u32, error: &str) {
    let now = HeaderValue::Text(Timestamp::now().to_string());
    let headers = message.headers_mut();
    headers.insert(ATTEMPTS.to_owned(), HeaderValue::Number(failures.into()));
    headers.entry(FIRST_FAILED.to_owned()).or_insert_with(|| now.clone());
    headers.insert(LAST_FAILED.to_owned(), now);
    headers.insert(ERROR.to_owned(), HeaderValue::Text(cut(error).to_owned()));
}

fn kind(message: &Message) -> Option<String> {
    message.kind().map(str::to_owned)
}

fn number(message: &Message, name: &str) -> u32 {
    message.number(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

fn is_broker_s(name: &str) -> bool {
    // An order to the broker to send it to other keys too, which it has obeyed once.
    ["CC", "BCC"].contains(&name)
        || name.starts_with("x-first-death-")
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
