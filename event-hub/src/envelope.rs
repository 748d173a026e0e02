//! The envelope: CloudEvents 1.0, written as structured JSON, read in structured or binary mode.

mod binary;
mod extension;
mod id;
mod json;
mod parts;

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind};
use crate::schema::Versioned;

pub(crate) use crate::envelope::binary::{HeaderRef, read};
pub use crate::envelope::extension::{ExtensionValue, Extensions};
pub use crate::envelope::id::EventId;

/// The content type of an event's body on the wire.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

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
    /// The version of the schema of `data`, see [`schema`](crate::schema).
    pub data_version: u32,
    /// The data's own content type, when it is another JSON than plain `application/json`.
    pub data_content_type: Option<String>,
    /// Where the data's schema can be found, as a URI.
    pub data_schema: Option<String>,
    /// Attributes that have no field here, of this sender or of another.
    pub extensions: Extensions,
    /// The payload, as the JSON it came in. [`Event::data`] reads it.
    pub data: Box<RawValue>,
}

/// What `datacontenttype` says of plain JSON.
const JSON: &str = "application/json";

/// The longest id, type and correlation id: an AMQP short string counts its bytes in one.
const SHORT: usize = 255;

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
            data_content_type: None,
            data_schema: None,
            extensions: Extensions::default(),
            data,
        })
    }

    /// As [`Event::new`], with the type and the version that the payload's own type says.
    ///
    /// # Errors
    ///
    /// As [`Event::new`].
    pub fn of<T: Versioned + Serialize>(source: impl Into<String>, data: &T) -> Result<Self, Error> {
        Ok(Self::new(T::TYPE, source, data)?.with_version(T::VERSION))
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

    /// Sets an extension attribute.
    ///
    /// # Errors
    ///
    /// As [`Extensions::insert`].
    pub fn with_extension(mut self, name: &str, value: impl Into<ExtensionValue>) -> Result<Self, Error> {
        self.extensions.insert(name, value)?;
        Ok(self)
    }

    /// Reads the payload as it is, of whatever version.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is not of that shape.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.shape(&self.data)
    }

    pub(crate) fn shape<T: DeserializeOwned>(&self, data: &RawValue) -> Result<T, Error> {
        serde_json::from_str(data.get()).map_err(|e| {
            Error::new(ErrorKind::InvalidEvent, format!("data of {}", self.event_type)).with_source(e)
        })
    }

    /// The event as one CloudEvents JSON object.
    #[must_use]
    pub fn to_json(&self) -> Bytes {
        json::write(self)
    }

    /// Whether its JSON has no more than so many bytes, as far as that is seen without writing it.
    pub(crate) fn is_within(&self, most: usize) -> bool {
        // Room for names and times; a byte of text takes six where it has to be escaped.
        const NAMES: usize = 1024;
        let texts = [
            &self.subject,
            &self.correlation_id,
            &self.causation_id,
            &self.traceparent,
            &self.tracestate,
            &self.partition_key,
            &self.data_content_type,
            &self.data_schema,
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let texts = texts + self.id.size() + self.source.len() + self.event_type.len();
        self.extensions.is_empty() && self.data.get().len() + 6 * texts + NAMES <= most
    }

    /// Whether [`Event::from_json`] takes what [`Event::to_json`] writes of it, and makes the same of it. Fields are
    /// free for all to set.
    pub(crate) fn is_read_as_it_is(&self) -> bool {
        self.data_content_type.is_none()
            && [self.id.size(), self.event_type.len(), self.source.len()].iter().all(|size| is_short(*size))
    }

    /// Reads one CloudEvents JSON object. One without a time happened now; one without data has `null`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is none, of another specversion, or its data is not JSON.
    pub fn from_json(body: &[u8]) -> Result<Self, Error> {
        json::read(body, None)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id.as_str())
            .field("type", &self.event_type)
            .field("source", &self.source)
            .field("data_version", &self.data_version)
            .finish_non_exhaustive()
    }
}

fn first_version() -> u32 {
    1
}

fn is_short(size: usize) -> bool {
    (1..=SHORT).contains(&size)
}

fn short(what: &str, value: &str) -> Result<(), Error> {
    if !is_short(value.len()) {
        return Err(Error::new(ErrorKind::InvalidEvent, format!("{what} must have 1 to {SHORT} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
