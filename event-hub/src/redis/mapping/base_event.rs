//! The envelope that event libraries for Node have in common.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::{Event, EventId};
use crate::error::{Error, ErrorKind};
use crate::redis::mapping::{Rename, no_event};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Out<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    version: String,
    timestamp: Timestamp,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<&'a str>,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct In<'a> {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    version: Option<String>,
    timestamp: Option<Timestamp>,
    source: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// Where an event keeps the envelope's metadata, as JSON text.
const METADATA: &str = "metadata";

// === impl Out ===

impl<'a> Out<'a> {
    /// The type is the channel's word, as its listeners know it.
    pub(super) fn of(event: &'a Event, channel: &'a str) -> Self {
        let metadata = event.extensions.get(METADATA).and_then(|value| value.as_text());
        Self {
            id: event.id.as_str(),
            event_type: channel,
            version: format!("{}.0", event.data_version),
            timestamp: event.time,
            source: &event.source,
            correlation_id: event.correlation_id.as_deref(),
            causation_id: event.causation_id.as_deref(),
            data: &event.data,
            // Text of someone else's, perhaps.
            metadata: metadata.and_then(|json| serde_json::from_str(json).ok()),
        }
    }
}

pub(super) fn read(body: &[u8], source: &str, to_type: &Rename) -> Result<Event, Error> {
    let read: In<'_> = serde_json::from_slice(body).map_err(|e| no_event("no such envelope", e))?;
    let source = read.source.as_deref().unwrap_or(source);
    let mut event = Event::new(to_type(&read.event_type), source, read.data)?;
    event.id = EventId::parse(read.id)?;
    if let Some(version) = read.version {
        event.data_version = major(&version)?;
    }
    event.time = read.timestamp.unwrap_or(event.time);
    event.correlation_id = read.correlation_id;
    event.causation_id = read.causation_id;
    if let Some(metadata) = read.metadata {
        event.extensions.insert(METADATA, metadata.get())?;
    }
    Ok(event)
}

/// Of «2.1» the 2: data of one major version is read alike.
fn major(version: &str) -> Result<u32, Error> {
    let number = version.split('.').next().and_then(|major| major.parse().ok());
    number.ok_or_else(|| Error::new(ErrorKind::InvalidEvent, format!("version {version:?}")))
}
