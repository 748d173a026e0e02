//! What travels between a hub's front and its drivers.

mod body;
mod header;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock, OnceLock};

use jiff::Timestamp;
use tokio::time::Instant;

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
    /// None where it is the type of the event in the body.
    key: Option<Text>,
    pub(crate) body: Body,
    /// Those of an event that is passed on are made when someone asks for them.
    parts: OnceLock<Box<Parts>>,
    /// Of the memory hub: whom to tell when all copies are settled.
    pub(crate) lineage: Option<Lineage>,
}

/// What is beside a message's body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts {
    pub(crate) properties: Properties,
    pub(crate) headers: Headers,
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
    /// When it came to this process.
    pub(crate) arrived: Instant,
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
    #[cfg_attr(
        not(any(feature = "amqp", feature = "postgres", feature = "sqlite", feature = "test-support")),
        allow(dead_code, reason = "a memory hub passes events on as they are")
    )]
    pub(crate) fn new(
        exchange: Text,
        key: Text,
        body: Body,
        properties: Properties,
        headers: Headers,
    ) -> Self {
        let parts = OnceLock::from(Box::new(Parts { properties, headers }));
        Self { exchange, key: Some(key), body, parts, lineage: None }
    }

    /// With the event written out.
    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "a memory hub passes events on as they are"))]
    pub(crate) fn of(event: &Event, exchange: &Text) -> Self {
        Self::written(event, exchange)
    }

    /// With the event as it is, for a hub that is not left.
    pub(crate) fn passing(event: Arc<Event>, exchange: &Text) -> Self {
        if !event.is_read_as_it_is() {
            // What a reader would refuse, or read as something else, goes the long way: it must end here as at a broker.
            return Self::written(&event, exchange);
        }
        let exchange = Text::clone(exchange);
        Self { exchange, key: None, body: event.into(), parts: OnceLock::new(), lineage: None }
    }

    fn written(event: &Event, exchange: &Text) -> Self {
        let parts = Parts::of(event);
        let key = parts.properties.kind.clone().unwrap_or_default();
        Self {
            exchange: Text::clone(exchange),
            key: Some(key),
            body: event.to_json().into(),
            parts: OnceLock::from(Box::new(parts)),
            lineage: None,
        }
    }

    pub(crate) fn key(&self) -> &str {
        let of_event = || self.body.event().map(|event| &*event.event_type);
        self.key.as_deref().or_else(of_event).unwrap_or_default()
    }

    /// Sends it elsewhere.
    pub(crate) fn address(&mut self, exchange: Text, key: Text) {
        (self.exchange, self.key) = (exchange, Some(key));
    }

    pub(crate) fn properties(&self) -> &Properties {
        &self.parts().properties
    }

    pub(crate) fn headers(&self) -> &Headers {
        &self.parts().headers
    }

    pub(crate) fn headers_mut(&mut self) -> &mut Headers {
        &mut self.parts_mut().headers
    }

    #[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "for what leaves the process"))]
    pub(crate) fn into_parts(mut self) -> Parts {
        std::mem::take(self.parts_mut())
    }

    pub(crate) fn parts_mut(&mut self) -> &mut Parts {
        self.parts();
        // Made by the line before.
        self.parts.get_mut().expect("parts")
    }

    fn parts(&self) -> &Parts {
        self.parts
            .get_or_init(|| Box::new(self.body.event().map(|event| Parts::of(event)).unwrap_or_default()))
    }

    /// An event on its first way, of which nobody has asked for more.
    fn passed(&self) -> Option<&Event> {
        if self.parts.get().is_some() { None } else { self.body.event().map(|event| &**event) }
    }

    /// Whether it has no history: it is on its first way.
    pub(crate) fn is_fresh(&self) -> bool {
        self.passed().is_some()
    }

    /// The sender's id.
    pub(crate) fn id(&self) -> Option<&str> {
        match self.passed() {
            Some(event) => Some(event.id.as_str()),
            None => self.properties().message_id.as_deref(),
        }
    }

    /// The type of its event.
    pub(crate) fn kind(&self) -> Option<&str> {
        match self.passed() {
            Some(event) => Some(&event.event_type),
            None => self.properties().kind.as_deref(),
        }
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        match self.passed() {
            Some(event) => correlation_id(event),
            None => self.properties().correlation_id.as_deref(),
        }
    }

    pub(crate) fn traceparent(&self) -> Option<&str> {
        match self.passed() {
            Some(event) => traceparent(event),
            None => self.text(TRACEPARENT),
        }
    }

    /// Why it cannot be sent as an event of ours.
    pub(crate) fn unfit(&self, max_body: usize) -> Option<PublishErrorKind> {
        let key = self.key().len();
        if key > SHORT {
            return Some(PublishErrorKind::TooLarge { what: "type", size: key, max: SHORT });
        }
        let size = self.body.more_than(max_body)?;
        Some(PublishErrorKind::TooLarge { what: "body", size, max: max_body })
    }

    /// The event, in whichever mode it is.
    pub(crate) fn event(&self) -> Result<Arc<Event>, Error> {
        if let Some(event) = self.body.event() {
            return Ok(Arc::clone(event));
        }
        let headers =
            self.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.as_ref()?)));
        let properties = self.properties();
        let sent = properties.timestamp.and_then(|seconds| i64::try_from(seconds).ok());
        let sent = sent.and_then(|seconds| Timestamp::from_second(seconds).ok());
        let kind = properties.content_type.as_deref();
        envelope::read(kind, headers, self.body.bytes(), sent).map(Arc::new)
    }

    pub(crate) fn text(&self, header: &str) -> Option<&str> {
        match self.header(header)? {
            HeaderValue::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn number(&self, header: &str) -> Option<i64> {
        match self.header(header)? {
            HeaderValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn header(&self, name: &str) -> Option<&HeaderValue> {
        // What is passed on has one header, which is seldom asked for.
        if self.is_fresh() && name != TRACEPARENT { None } else { self.headers().get(name) }
    }
}

// === impl Parts ===

impl Parts {
    fn of(event: &Event) -> Self {
        let mut headers = Headers::new();
        if let Some(traceparent) = traceparent(event) {
            headers.insert(TRACEPARENT.to_owned(), HeaderValue::Text(traceparent.to_owned()));
        }
        let properties = Properties {
            message_id: Some(event.id.as_str().into()),
            kind: Some((&*event.event_type).into()),
            app_id: Some(&*event.source).filter(|source| source.len() <= SHORT).map(Text::from),
            correlation_id: correlation_id(event).map(Text::from),
            content_type: Some(Text::clone(&STRUCTURED)),
            timestamp: u64::try_from(event.time.as_second()).ok(),
            lane: event.partition_key.as_ref().map_or(0, hash),
            ..Properties::default()
        };
        Self { properties, headers }
    }
}

/// A longer one is none; the body has it whole.
fn traceparent(event: &Event) -> Option<&str> {
    event.traceparent.as_deref().filter(|text| text.len() <= LONGEST_TRACEPARENT)
}

/// A short string on the wire; the body has it whole.
fn correlation_id(event: &Event) -> Option<&str> {
    event.correlation_id.as_deref().filter(|id| id.len() <= SHORT)
}

static STRUCTURED: LazyLock<Text> = LazyLock::new(|| CONTENT_TYPE.into());

/// What AMQP's short strings can hold: names, keys and properties.
const SHORT: usize = 255;

/// Room for the 55 characters of W3C's version 00 and for what a later one adds.
const LONGEST_TRACEPARENT: usize = 512;

/// The header of W3C's trace context.
const TRACEPARENT: &str = "traceparent";

fn hash(key: &String) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
