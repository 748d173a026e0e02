//! What the broker itself wrote on a message that it dead-lettered.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Deaths;
use crate::delay;
use crate::message::{HeaderValue, Message};

/// One death, as the broker tells it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) queue: String,
    pub(super) reason: String,
    pub(super) exchange: Option<String>,
    pub(super) key: Option<String>,
    /// Seconds since the epoch; 0 when unknown.
    pub(super) time: u64,
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "part of a death's name in the table of dead letters")
    )]
    pub(super) count: i64,
}

/// The death that counts: the last failure at a consumer, else the first of the others.
///
/// The ladder of delays is no death, though the broker makes no difference.
pub(super) fn death(message: &Message, deaths: Deaths) -> Option<Mark> {
    let counts =
        |mark: &Mark| !delay::is_own(&mark.queue) && (deaths == Deaths::All || mark.reason != "expired");
    let mut marks: Vec<Mark> = marks(message).into_iter().filter(counts).collect();
    match marks.iter().position(Mark::is_failure) {
        Some(last) => Some(marks.swap_remove(last)),
        None => marks.pop(),
    }
}

/// All that the broker tells, the latest first.
fn marks(message: &Message) -> Vec<Mark> {
    if let Some(HeaderValue::List(list)) = message.headers().get("x-death") {
        let tables = list.iter().filter_map(|entry| match entry {
            HeaderValue::Table(table) => Mark::read(table),
            _ => None,
        });
        return tables.collect();
    }
    ["x-last-death", "x-first-death"].iter().filter_map(|prefix| Mark::short(message, prefix)).collect()
}

// === impl Mark ===

impl Mark {
    /// Whether a consumer failed at it, rather than that it aged or made room.
    pub(super) fn is_failure(&self) -> bool {
        self.reason == "rejected" || self.reason == "delivery_limit"
    }

    pub(super) fn at(&self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.time).ok().filter(|seconds| *seconds > 0)?;
        Timestamp::from_second(seconds).ok()
    }

    fn read(table: &BTreeMap<String, HeaderValue>) -> Option<Self> {
        let text = |name: &str| match table.get(name) {
            Some(HeaderValue::Text(text)) => Some(text.clone()),
            _ => None,
        };
        Some(Self {
            queue: text("queue")?,
            reason: text("reason")?,
            exchange: text("exchange"),
            key: match table.get("routing-keys") {
                Some(HeaderValue::List(keys)) => match keys.first() {
                    Some(HeaderValue::Text(key)) => Some(key.clone()),
                    _ => None,
                },
                _ => None,
            },
            time: match table.get("time") {
                Some(HeaderValue::Time(seconds)) => *seconds,
                _ => 0,
            },
            count: match table.get("count") {
                Some(HeaderValue::Number(count)) => *count,
                _ => 0,
            },
        })
    }

    fn short(message: &Message, prefix: &str) -> Option<Self> {
        let text = |what: &str| message.text(&format!("{prefix}-{what}")).map(str::to_owned);
        Some(Self {
            queue: text("queue")?,
            reason: text("reason")?,
            exchange: text("exchange"),
            key: None,
            time: 0,
            count: 0,
        })
    }
}
