//! An event's attributes while they are being read, from JSON or from headers.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::envelope::extension::{ExtensionValue, Extensions};
use crate::envelope::{Event, EventId, JSON, first_version, short};
use crate::error::{Error, ErrorKind};

/// What a member or a header is called.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Field {
    CausationId,
    CorrelationId,
    Data,
    DataBase64,
    DataContentType,
    DataSchema,
    DataVersion,
    Extension(String),
    Id,
    PartitionKey,
    Source,
    SpecVersion,
    Subject,
    Time,
    TraceParent,
    TraceState,
    Type,
}

/// What an attribute holds, not yet copied.
#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Flag(bool),
    Integer(i64),
    Text(Cow<'a, str>),
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// Whether it was said, and was ours.
    version: bool,
    id: Option<String>,
    source: Option<String>,
    event_type: Option<String>,
    subject: Option<String>,
    pub(super) time: Option<Timestamp>,
    content_type: Option<Cow<'static, str>>,
    schema: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    partition_key: Option<String>,
    data_version: Option<u32>,
    extensions: Extensions,
}

// === impl Field ===

impl Field {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "causationid" => Self::CausationId,
            "correlationid" => Self::CorrelationId,
            "data" => Self::Data,
            "data_base64" => Self::DataBase64,
            "datacontenttype" => Self::DataContentType,
            "dataschema" => Self::DataSchema,
            "dataversion" => Self::DataVersion,
            "id" => Self::Id,
            "partitionkey" => Self::PartitionKey,
            "source" => Self::Source,
            "specversion" => Self::SpecVersion,
            "subject" => Self::Subject,
            "time" => Self::Time,
            "traceparent" => Self::TraceParent,
            "tracestate" => Self::TraceState,
            "type" => Self::Type,
            other => Self::Extension(other.to_owned()),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::CausationId => "causationid",
            Self::CorrelationId => "correlationid",
            Self::Data => "data",
            Self::DataBase64 => "data_base64",
            Self::DataContentType => "datacontenttype",
            Self::DataSchema => "dataschema",
            Self::DataVersion => "dataversion",
            Self::Extension(name) => name,
            Self::Id => "id",
            Self::PartitionKey => "partitionkey",
            Self::Source => "source",
            Self::SpecVersion => "specversion",
            Self::Subject => "subject",
            Self::Time => "time",
            Self::TraceParent => "traceparent",
            Self::TraceState => "tracestate",
            Self::Type => "type",
        }
    }
}

// === impl Scalar ===

impl Scalar<'_> {
    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Flag(_) | Self::Integer(_) => None,
        }
    }
}

impl From<Scalar<'_>> for ExtensionValue {
    fn from(value: Scalar<'_>) -> Self {
        match value {
            Scalar::Flag(flag) => Self::Flag(flag),
            Scalar::Integer(number) => Self::Integer(number),
            Scalar::Text(text) => Self::Text(text.into_owned()),
        }
    }
}

// === impl Parts ===

impl Parts {
    /// Takes one attribute; each may come once.
    pub(super) fn set(&mut self, field: Field, value: Scalar<'_>) -> Result<(), String> {
        let place = match field {
            Field::CausationId => &mut self.causation_id,
            Field::CorrelationId => &mut self.correlation_id,
            Field::DataSchema => &mut self.schema,
            Field::Id => &mut self.id,
            Field::PartitionKey => &mut self.partition_key,
            Field::Source => &mut self.source,
            Field::Subject => &mut self.subject,
            Field::TraceParent => &mut self.traceparent,
            Field::TraceState => &mut self.tracestate,
            Field::Type => &mut self.event_type,
            Field::DataContentType => {
                let Scalar::Text(kind) = value else { return Err(format!("{} is no text", field.name())) };
                // Nearly always this one, which is known without a copy.
                let kind = if kind == JSON { JSON.into() } else { kind.into_owned().into() };
                return once(self.content_type.replace(kind).is_some(), field.name());
            }
            Field::SpecVersion => {
                if value.as_text() != Some("1.0") {
                    return Err(format!("specversion is {}, not 1.0", ExtensionValue::from(value)));
                }
                return once(std::mem::replace(&mut self.version, true), "specversion");
            }
            Field::Time => {
                let time = value.as_text().and_then(|text| text.parse().ok());
                let time = time.ok_or_else(|| {
                    format!("time: {:?} is not one of RFC 3339", ExtensionValue::from(value))
                })?;
                return once(self.time.replace(time).is_some(), "time");
            }
            Field::DataVersion => {
                // Text, too: a gateway that passed it through headers made it one.
                let version = match &value {
                    Scalar::Integer(number) => u32::try_from(*number).ok(),
                    Scalar::Text(text) => text.parse().ok(),
                    Scalar::Flag(_) => None,
                };
                let version = version.ok_or_else(|| {
                    format!("dataversion: {:?} is not a version", ExtensionValue::from(value))
                })?;
                return once(self.data_version.replace(version).is_some(), "dataversion");
            }
            Field::Extension(name) => {
                once(self.extensions.get(&name).is_some(), &name)?;
                return self
                    .extensions
                    .put(name.clone(), value.into())
                    .map_err(|why| format!("{name}: {why}"));
            }
            Field::Data | Field::DataBase64 => return Err(format!("{} is no attribute", field.name())),
        };
        let Scalar::Text(text) = value else { return Err(format!("{} is no text", field.name())) };
        once(place.replace(text.into_owned()).is_some(), field.name())
    }

    /// The content type of the data, when it was said.
    pub(super) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The whole event. `sent` is when it was sent, for one that does not say when it happened.
    pub(super) fn into_event(self, data: Box<RawValue>, sent: Option<Timestamp>) -> Result<Event, Error> {
        let invalid = |what: &str| Error::new(ErrorKind::InvalidEvent, what);
        if !self.version {
            return Err(invalid("no specversion"));
        }
        let event_type = self.event_type.ok_or_else(|| invalid("no type"))?;
        let source = self.source.ok_or_else(|| invalid("no source"))?;
        short("source", &source)?;
        short("type", &event_type)?;
        let kind = self.content_type;
        if kind.as_deref().is_some_and(|kind| !is_json(kind)) {
            return Err(invalid("datacontenttype is not JSON"));
        }
        Ok(Event {
            id: EventId::parse(self.id.ok_or_else(|| invalid("no id"))?)?,
            source,
            event_type,
            subject: self.subject,
            time: self.time.or(sent).unwrap_or_else(Timestamp::now),
            correlation_id: self.correlation_id,
            causation_id: self.causation_id,
            traceparent: self.traceparent,
            tracestate: self.tracestate,
            partition_key: self.partition_key,
            data_version: self.data_version.unwrap_or_else(first_version),
            data_content_type: kind.filter(|kind| kind != JSON).map(Cow::into_owned),
            data_schema: self.schema,
            extensions: self.extensions,
            data,
        })
    }
}

pub(super) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let suffix = kind.len().checked_sub("+json".len()).and_then(|at| kind.get(at..));
    kind.eq_ignore_ascii_case(JSON) || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

fn once(again: bool, name: &str) -> Result<(), String> {
    if again { Err(format!("{name} is there twice")) } else { Ok(()) }
}
