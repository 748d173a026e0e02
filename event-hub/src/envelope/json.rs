//! Structured mode: the event as one JSON object.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::envelope::parts::{Field, Parts, Scalar, is_json};
use crate::envelope::{Event, JSON};
use crate::error::{Error, ErrorKind};

/// The event, to be written.
struct Out<'a>(&'a Event);

/// The object, as read.
#[derive(Default)]
struct In<'a> {
    parts: Parts,
    data: Option<&'a RawValue>,
    base64: Option<String>,
}

/// An event's attributes beside its texts, roughly.
const ATTRIBUTES: usize = 512;

pub(super) fn write(event: &Event) -> Bytes {
    let mut json = Vec::with_capacity(ATTRIBUTES + event.data.get().len());
    serde_json::to_writer(&mut json, &Out(event)).expect("texts, numbers and raw JSON always serialize");
    json.into()
}

pub(super) fn read(body: &[u8], sent: Option<Timestamp>) -> Result<Event, Error> {
    let In { parts, data, base64 } = serde_json::from_slice(body)
        .map_err(|e| Error::new(ErrorKind::InvalidEvent, "no CloudEvents JSON object").with_source(e))?;
    let data = match (data, base64) {
        (Some(data), None) => data.to_owned(),
        // An event without data is an event; ours has JSON's nothing then.
        (None, None) => RawValue::NULL.to_owned(),
        (None, Some(text)) => decode(&text, parts.content_type())?,
        (Some(_), Some(_)) => {
            return Err(Error::new(ErrorKind::InvalidEvent, "both data and data_base64"));
        }
    };
    parts.into_event(data, sent)
}

/// Some senders wrap what they have as bytes; if it is JSON nevertheless it is as good as any.
fn decode(text: &str, content_type: Option<&str>) -> Result<Box<RawValue>, Error> {
    let refused =
        || Error::new(ErrorKind::InvalidEvent, "data_base64 holds no JSON: binary data is not supported");
    if !content_type.is_none_or(is_json) {
        return Err(refused());
    }
    let bytes = STANDARD.decode(text).map_err(|e| refused().with_source(e))?;
    serde_json::from_slice(&bytes).map_err(|e| refused().with_source(e))
}

// === impl Out ===

impl Serialize for Out<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", event.id.as_str())?;
        map.serialize_entry("source", &event.source)?;
        map.serialize_entry("type", &event.event_type)?;
        let mut optional = |name: &str, value: Option<&str>| match value {
            Some(value) => map.serialize_entry(name, value),
            None => Ok(()),
        };
        optional("subject", event.subject.as_deref())?;
        optional("datacontenttype", Some(event.data_content_type.as_deref().unwrap_or(JSON)))?;
        optional("dataschema", event.data_schema.as_deref())?;
        optional("correlationid", event.correlation_id.as_deref())?;
        optional("causationid", event.causation_id.as_deref())?;
        optional("traceparent", event.traceparent.as_deref())?;
        optional("tracestate", event.tracestate.as_deref())?;
        optional("partitionkey", event.partition_key.as_deref())?;
        map.serialize_entry("time", &event.time)?;
        map.serialize_entry("dataversion", &event.data_version)?;
        for (name, value) in event.extensions.iter() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("data", &event.data)?;
        map.end()
    }
}

// === impl In ===

impl<'de> Deserialize<'de> for In<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = In<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<In<'de>, A::Error> {
        let mut object = In::default();
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::Data => {
                    let data = map.next_value::<&RawValue>()?;
                    if object.data.replace(data).is_some() {
                        return Err(de::Error::custom("data is there twice"));
                    }
                }
                Field::DataBase64 => object.base64 = map.next_value()?,
                field => {
                    // JSON's null says that there is none.
                    if let Some(value) = map.next_value::<Option<Scalar<'_>>>()? {
                        object.parts.set(field, value).map_err(de::Error::custom)?;
                    }
                }
            }
        }
        Ok(object)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an attribute's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Field, E> {
                Ok(Field::of(name))
            }
        }

        deserializer.deserialize_identifier(Name)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Attribute;

        impl<'de> Visitor<'de> for Attribute {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a whole number, true or false")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Flag(flag))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Integer(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
                let number = i64::try_from(number).map_err(|_| E::custom("a whole number out of range"))?;
                Ok(Scalar::Integer(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.to_owned().into()))
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.into()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.into()))
            }
        }

        deserializer.deserialize_any(Attribute)
    }
}
