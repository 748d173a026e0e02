//! The envelope: CloudEvents 1.0 in structured JSON.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{Error, ErrorKind};

/// The content type of an event's body on the wire.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// What identifies an event, and what the inbox keeps apart repeats by.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct EventId(String);

/// One event. Its type is also its routing key.
///
/// `Debug` leaves the data out, which may be personal.
#[derive(Clone)]
#[non_exhaustive]
pub struct Event {
    /// Unique; a UUID v7 when made by [`Event::new`].
    pub id: EventId,
    /// Who says so: the service's name.
    pub source: String,
    /// What happened, in dotted words from the general to the particular, as `payments.payment.created`.
    pub event_type: String,
    /// What it happened to, inside the source.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// The request or process that it belongs to.
    pub correlation_id: Option<String>,
    /// The event or request that caused it.
    pub causation_id: Option<String>,
    /// The W3C trace context in which it was made.
    pub traceparent: Option<String>,
    /// The rest of the W3C trace context.
    pub tracestate: Option<String>,
    /// Events of one key keep their order on the way out of an outbox.
    pub partition_key: Option<String>,
    /// The version of the schema of `data`.
    pub data_version: u32,
    /// The payload, as the JSON it came in. [`Event::data`] reads it.
    pub data: Box<RawValue>,
}

/// The longest id, type and correlation id: an AMQP short string counts its bytes in one.
const SHORT: usize = 255;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    specversion: &'a str,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    datacontenttype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partitionkey: Option<String>,
    #[serde(default = "first_version")]
    dataversion: u32,
    #[serde(borrow)]
    data: std::borrow::Cow<'a, RawValue>,
}

// === impl EventId ===

impl EventId {
    /// A new id, a UUID v7.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// An id that came from elsewhere.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is empty or longer than 255 bytes.
    pub fn parse(id: impl Into<String>) -> Result<Self, Error> {
        let id = id.into();
        short("id", &id)?;
        Ok(Self(id))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for EventId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<EventId> for String {
    fn from(id: EventId) -> Self {
        id.0
    }
}

// === impl Event ===

impl Event {
    /// An event that happens now, with an id of its own and data version 1.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when the data is no JSON, or type or source is empty or too long.
    pub fn new(
        event_type: impl Into<String>,
        source: impl Into<String>,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Self, Error> {
        let (event_type, source) = (event_type.into(), source.into());
        short("type", &event_type)?;
        short("source", &source)?;
        let data = serde_json::value::to_raw_value(data)
            .map_err(|e| Error::new(ErrorKind::InvalidEvent, "data").with_source(e))?;
        Ok(Self {
            id: EventId::random(),
            source,
            event_type,
            subject: None,
            time: Timestamp::now(),
            correlation_id: None,
            causation_id: None,
            traceparent: None,
            tracestate: None,
            partition_key: None,
            data_version: first_version(),
            data,
        })
    }

    /// Says what it happened to.
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Joins it to a request or process.
    #[must_use]
    pub fn with_correlation(mut self, id: impl Into<String>) -> Self {
        self.correlation_id = Some(id.into());
        self
    }

    /// Names its cause.
    #[must_use]
    pub fn with_causation(mut self, id: impl Into<String>) -> Self {
        self.causation_id = Some(id.into());
        self
    }

    /// Sets the W3C trace context.
    #[must_use]
    pub fn with_trace(mut self, traceparent: Option<String>, tracestate: Option<String>) -> Self {
        self.traceparent = traceparent;
        self.tracestate = tracestate;
        self
    }

    /// Sets the key within which an outbox keeps order.
    #[must_use]
    pub fn with_partition_key(mut self, key: impl Into<String>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// Sets the version of the data's schema.
    #[must_use]
    pub fn with_version(mut self, version: u32) -> Self {
        self.data_version = version;
        self
    }

    /// Reads the payload.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is not of that shape.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.data.get()).map_err(|e| {
            Error::new(ErrorKind::InvalidEvent, format!("data of {}", self.event_type)).with_source(e)
        })
    }

    /// The event as one CloudEvents JSON object.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        let wire = Wire {
            specversion: "1.0",
            id: self.id.0.clone(),
            source: self.source.clone(),
            event_type: self.event_type.clone(),
            subject: self.subject.clone(),
            time: self.time,
            datacontenttype: Some("application/json".to_owned()),
            correlationid: self.correlation_id.clone(),
            causationid: self.causation_id.clone(),
            traceparent: self.traceparent.clone(),
            tracestate: self.tracestate.clone(),
            partitionkey: self.partition_key.clone(),
            dataversion: self.data_version,
            data: std::borrow::Cow::Borrowed(&self.data),
        };
        serde_json::to_vec(&wire).expect("strings, a number and raw JSON always serialize").into()
    }

    /// Reads one CloudEvents JSON object.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is none, of another specversion, or not JSON data.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        let wire: Wire<'_> = serde_json::from_slice(body)
            .map_err(|e| Error::new(ErrorKind::InvalidEvent, "no CloudEvents JSON object").with_source(e))?;
        if wire.specversion != "1.0" {
            return Err(Error::new(ErrorKind::InvalidEvent, "specversion is not 1.0"));
        }
        short("source", &wire.source)?;
        short("type", &wire.event_type)?;
        if wire.datacontenttype.as_deref().is_some_and(|kind| !is_json(kind)) {
            return Err(Error::new(ErrorKind::InvalidEvent, "datacontenttype is not JSON"));
        }
        Ok(Self {
            id: EventId::parse(wire.id)?,
            source: wire.source,
            event_type: wire.event_type,
            subject: wire.subject,
            time: wire.time,
            correlation_id: wire.correlationid,
            causation_id: wire.causationid,
            traceparent: wire.traceparent,
            tracestate: wire.tracestate,
            partition_key: wire.partitionkey,
            data_version: wire.dataversion,
            data: wire.data.into_owned(),
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id.0)
            .field("type", &self.event_type)
            .field("source", &self.source)
            .field("data_version", &self.data_version)
            .finish_non_exhaustive()
    }
}

fn first_version() -> u32 {
    1
}

fn short(what: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() || value.len() > SHORT {
        return Err(Error::new(ErrorKind::InvalidEvent, format!("{what} must have 1 to {SHORT} bytes")));
    }
    Ok(())
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
}

#[cfg(test)]
mod tests;
