//! A letter, as it is listed and shown.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// A stored dead letter, without its content.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Letter {
    /// Its number in the store; never used again.
    pub id: i64,
    /// The queue it was found in.
    pub found_in: String,
    /// The queue it died in, and goes back to. None when nobody said.
    pub queue: Option<String>,
    /// The exchange it was first published to.
    pub exchange: Option<String>,
    /// The key it was first published with.
    pub routing_key: Option<String>,
    /// The event's id, or the message's.
    pub event_id: Option<String>,
    /// The event's type, or the message's.
    pub event_type: Option<String>,
    /// Why it died, see [`DeadLetterInfo::reason`](crate::handler::DeadLetterInfo::reason); `unknown` when nobody said.
    pub reason: String,
    /// The error chain of the last failure.
    pub error: Option<String>,
    /// The consumer that gave up.
    pub handler: Option<String>,
    /// How often it was tried in its last life.
    pub attempts: u32,
    /// When it failed first in its last life.
    pub first_failed_at: Option<Timestamp>,
    /// When it failed last.
    pub last_failed_at: Option<Timestamp>,
    /// When it died, as far as is known; else when it was stored.
    pub died_at: Timestamp,
    /// When it was stored.
    pub stored_at: Timestamp,
    /// How often it had been sent back before.
    pub redrives: u32,
    /// Why it had died before that.
    pub previous_reason: Option<String>,
    /// The sender's content type.
    pub content_type: Option<String>,
    /// How many bytes its body has.
    pub size: u64,
    /// Why it could not be sent back, the last time that was tried.
    pub redrive_error: Option<String>,
}

/// What a letter holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Content {
    /// The body, byte for byte.
    pub body: Bytes,
    /// All headers. What JSON has no word for is an object with one field that begins with `$`:
    /// `$bytes` and `$text` (hexadecimal), `$float`, `$decimal`, `$time` (seconds), `$table`.
    pub headers: Map<String, Value>,
    /// AMQP's own properties, those that were set.
    pub properties: Map<String, Value>,
}

/// One page of a list, the latest first.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The letters.
    pub letters: Vec<Letter>,
    /// Where the next page begins; none at the end.
    pub next: Option<Cursor>,
}

/// A place in the list: letters that come or go meanwhile neither repeat nor hide others.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Cursor(pub(crate) i64);

// === impl Cursor ===

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
