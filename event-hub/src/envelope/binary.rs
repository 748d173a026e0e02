//! Binary mode: the attributes as AMQP headers, the data as the body.
//!
//! CloudEvents binds to AMQP 1.0 with the prefix `cloudEvents:` or `cloudEvents_`, and SDKs write both on
//! RabbitMQ too (Java's Spring converter, Python). The binding for RabbitMQ itself, which Knative and Python
//! have, says `ce-`. We read them all and write none: what we send is structured.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::envelope::parts::{Field, Parts, Scalar, is_json};
use crate::envelope::{Event, json};
use crate::error::{Error, ErrorKind};

/// A header's value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeaderRef<'a> {
    Flag(bool),
    Number(i64),
    /// Seconds since the epoch.
    Time(u64),
    Text(&'a str),
}

/// The prefixes in use; senders differ in case.
const PREFIXES: [&str; 3] = ["cloudevents:", "cloudevents_", "ce-"];

/// What the content type of every structured form begins with.
const STRUCTURED: &str = "application/cloudevents";

/// Reads a message, in whichever mode it is. `sent` stands in for a time that it does not tell.
pub(crate) fn read<'a>(
    content_type: Option<&str>,
    headers: impl Iterator<Item = (&'a str, HeaderRef<'a>)> + Clone,
    body: &Bytes,
    sent: Option<Timestamp>,
) -> Result<Event, Error> {
    if let Some(kind) = content_type
        && starts_with(kind, STRUCTURED)
    {
        let format = kind[STRUCTURED.len()..].split(';').next().unwrap_or_default().trim();
        // Without a format it is JSON, the one that everybody must know.
        return if format.is_empty() || format.eq_ignore_ascii_case("+json") {
            json::read(body, sent)
        } else {
            Err(Error::new(ErrorKind::InvalidEvent, format!("{kind} is a form that is not understood")))
        };
    }
    let is_binary = |(name, _): (&str, _)| attribute(name).is_some_and(|name| name.eq("specversion"));
    if headers.clone().any(is_binary) {
        return binary(content_type, headers, body, sent);
    }
    // Nothing said what it is, as with a client that only knows JSON.
    json::read(body, sent)
}

fn binary<'a>(
    content_type: Option<&str>,
    headers: impl Iterator<Item = (&'a str, HeaderRef<'a>)>,
    body: &Bytes,
    sent: Option<Timestamp>,
) -> Result<Event, Error> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidEvent, format!("CloudEvents headers: {why}"));
    let mut parts = Parts::default();
    for (name, value) in headers {
        let Some(name) = attribute(name) else { continue };
        let field = Field::of(&name);
        if field == Field::DataContentType && content_type.is_some() {
            // Some repeat it here; the message's own says it.
            continue;
        }
        if field == Field::Time && parts.time.is_none() {
            parts.time = time(value);
            if parts.time.is_some() {
                continue;
            }
        }
        let value = match value {
            HeaderRef::Flag(flag) => Scalar::Flag(flag),
            HeaderRef::Number(number) => Scalar::Integer(number),
            HeaderRef::Text(text) => Scalar::Text(text.into()),
            HeaderRef::Time(seconds) => Scalar::Text(from_seconds(seconds).into()),
        };
        parts.set(field, value).map_err(invalid)?;
    }
    if let Some(kind) = content_type {
        parts.set(Field::DataContentType, Scalar::Text(kind.into())).map_err(invalid)?;
    }
    if let Some(kind) = parts.content_type().filter(|kind| !is_json(kind)) {
        return Err(invalid(format!("data of {kind}, not JSON")));
    }
    let data = if body.is_empty() {
        RawValue::NULL.to_owned()
    } else {
        serde_json::from_slice(body).map_err(|e| invalid("the body is no JSON".to_owned()).with_source(e))?
    };
    parts.into_event(data, sent)
}

/// The attribute that a header stands for.
fn attribute(header: &str) -> Option<String> {
    let prefix = PREFIXES.iter().find(|prefix| starts_with(header, prefix))?;
    Some(header[prefix.len()..].to_ascii_lowercase())
}

fn starts_with(text: &str, start: &str) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// A time that is no text: AMQP 1.0 counts milliseconds, AMQP 0-9-1's own type seconds.
fn time(value: HeaderRef<'_>) -> Option<Timestamp> {
    match value {
        HeaderRef::Number(milliseconds) => Timestamp::from_millisecond(milliseconds).ok(),
        HeaderRef::Time(seconds) => Timestamp::from_second(i64::try_from(seconds).ok()?).ok(),
        HeaderRef::Flag(_) | HeaderRef::Text(_) => None,
    }
}

fn from_seconds(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}
