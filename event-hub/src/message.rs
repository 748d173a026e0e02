//! What travels between a hub's front and its drivers.

mod body;
mod header;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;

use crate::envelope::{self, CONTENT_TYPE, Event};
use crate::error::Error;
use crate::memory::Lineage;
use crate::publish::PublishErrorKind;

pub(crate) use crate::message::body::Body;
pub(crate) use crate::message::header::HeaderValue;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use crate::message::header::{fields_from_json, fields_to_json};

/// A name or an attribute. Most of them are the same in one message after the other.
pub(crate) type Text = Arc<str>;

/// A message on its way to an exchange, or out of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) exchange: Text,
    pub(crate) key: Text,
    pub(crate) body: Body,
    pub(crate) properties: Properties,
    pub(crate) headers: Headers,
    /// Of the memory hub: whom to tell when all copies are settled.
    pub(crate) lineage: Option<Lineage>,
}

/// AMQP's own properties, as far as we use them.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "the memory hub carries them only"))]
pub(crate) struct Properties {
    pub(crate) message_id: Option<Text>,
    pub(crate) kind: Option<Text>,
    pub(crate) app_id: Option<Text>,
    pub(crate) correlation_id: Option<Text>,
    pub(crate) content_type: Option<Text>,
    pub(crate) content_encoding: Option<Text>,
    pub(crate) reply_to: Option<Text>,
    pub(crate) priority: Option<u8>,
    /// Seconds since the epoch.
    pub(crate) timestamp: Option<u64>,
    /// Messages of one number keep their order on the way out. Not on the wire.
    pub(crate) lane: u64,
}

pub(crate) type Headers = BTreeMap<String, HeaderValue>;

/// A message that came out of a queue and waits to be settled. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Arc<Message>,
    pub(crate) queue: Text,
    pub(crate) redelivered: bool,
    /// How often this copy went back before, where the queue counts.
    pub(crate) returns: u32,
    pub(crate) token: Token,
}

/// Names a delivery to its subscription. One of an older channel's settles nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Token {
    pub(crate) generation: u64,
    pub(crate) tag: u64,
}

// === impl Message ===

impl Message {
    /// With the event written out.
    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "a memory hub passes events on as they are"))]
    pub(crate) fn of(event: &Event, exchange: &Text) -> Self {
        Self::new(event, exchange, event.to_json().into())
    }

    /// With the event as it is, for a hub that is not left.
    pub(crate) fn passing(event: Arc<Event>, exchange: &Text) -> Self {
        let mut message = Self::new(&event, exchange, Body::default());
        // What a reader would refuse, or read as something else, goes the long way: it must end here as at a broker.
        message.body = if event.is_read_as_it_is() { event.into() } else { event.to_json().into() };
        message
    }

    fn new(event: &Event, exchange: &Text, body: Body) -> Self {
        let mut headers = Headers::new();
        // A longer one is none; the body has it whole.
        if let Some(traceparent) = event.traceparent.as_ref().filter(|text| text.len() <= TRACEPARENT) {
            headers.insert("traceparent".to_owned(), HeaderValue::Text(traceparent.clone()));
        }
        let kind = Text::from(&*event.event_type);
        Self {
            exchange: Text::clone(exchange),
            key: Text::clone(&kind),
            body,
            properties: Properties {
                message_id: Some(event.id.as_str().into()),
                kind: Some(kind),
                app_id: Some(&*event.source).filter(|source| source.len() <= SHORT).map(Text::from),
                // A short string on the wire; the body has it whole.
                correlation_id: event
                    .correlation_id
                    .as_deref()
                    .filter(|id| id.len() <= SHORT)
                    .map(Text::from),
                content_type: Some(Text::clone(&STRUCTURED)),
                timestamp: u64::try_from(event.time.as_second()).ok(),
                lane: event.partition_key.as_ref().map_or(0, hash),
                ..Properties::default()
            },
            headers,
            lineage: None,
        }
    }

    /// Why it cannot be sent as an event of ours.
    pub(crate) fn unfit(&self, max_body: usize) -> Option<PublishErrorKind> {
        let key = self.key.len();
        if key > SHORT {
            return Some(PublishErrorKind::TooLarge { what: "type", size: key, max: SHORT });
        }
        let size = self.body.more_than(max_body)?;
        Some(PublishErrorKind::TooLarge { what: "body", size, max: max_body })
    }

    /// The event, in whichever mode it is.
    pub(crate) fn event(&self) -> Result<Arc<Event>, Error> {
        if let Some(event) = self.body.event() {
            return Ok(event);
        }
        let headers = self.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)));
        let sent = self.properties.timestamp.and_then(|seconds| i64::try_from(seconds).ok());
        let sent = sent.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let kind = self.properties.content_type.as_deref();
        envelope::read(kind, headers, self.body.bytes(), sent).map(Arc::new)
    }

    pub(crate) fn text(&self, header: &str) -> Option<&str> {
        match self.headers.get(header)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, header: &str) -> Option<i64> {
        match self.headers.get(header)? {
            HeaderValue::Number(number) => Some(*number),
            _ => None,
        }
    }
}

static STRUCTURED: LazyLock<Text> = LazyLock::new(|| CONTENT_TYPE.into());

/// What AMQP's short strings can hold: names, keys and properties.
const SHORT: usize = 255;

/// Room for the 55 characters of W3C's version 00 and for what a later one adds.
const TRACEPARENT: usize = 512;

fn hash(key: &String) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
