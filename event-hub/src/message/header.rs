//! One header's value, of any kind that AMQP has, and its form in JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::envelope::HeaderRef;

/// Whole numbers of all widths are one kind here, and floats of both; nothing else is lost.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(not(feature = "amqp"), allow(dead_code, reason = "others' messages come from a broker"))]
pub(crate) enum HeaderValue {
    Number(i64),
    Text(String),
    /// Text by its kind, but no UTF-8.
    Raw(Vec<u8>),
    Flag(bool),
    Float(f64),
    Decimal {
        scale: u8,
        value: u32,
    },
    /// Seconds since the epoch.
    Time(u64),
    Bytes(Vec<u8>),
    List(Vec<Self>),
    Table(BTreeMap<String, Self>),
    Void,
}

impl HeaderValue {
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Time(seconds) => {
                let time = i64::try_from(*seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
                time.map_or_else(|| seconds.to_string(), |time| time.to_string())
            }
            other => other.to_json().to_string(),
        }
    }

    /// What an attribute of an event can be read from; other kinds are none.
    pub(crate) fn as_ref(&self) -> Option<HeaderRef<'_>> {
        match self {
            Self::Flag(flag) => Some(HeaderRef::Flag(*flag)),
            Self::Number(number) => Some(HeaderRef::Number(*number)),
            Self::Text(text) => Some(HeaderRef::Text(text)),
            Self::Time(seconds) => Some(HeaderRef::Time(*seconds)),
            _ => None,
        }
    }

    /// JSON that people can read and [`HeaderValue::from_json`] reads back: what JSON has no word for is an
    /// object with one field that begins with `$`.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Text(text) => json!(text),
            Self::Raw(bytes) => json!({ "$text": hex::encode(bytes) }),
            Self::Flag(flag) => json!(flag),
            // As text: JSON has no infinities, and its readers may cut digits.
            Self::Float(number) => json!({ "$float": number.to_string() }),
            Self::Decimal { scale, value } => json!({ "$decimal": [scale, value] }),
            Self::Time(seconds) => json!({ "$time": seconds }),
            Self::Bytes(bytes) => json!({ "$bytes": hex::encode(bytes) }),
            Self::List(list) => list.iter().map(Self::to_json).collect(),
            Self::Table(table) => {
                let fields = Value::Object(fields_to_json(table));
                if table.keys().any(|name| name.starts_with('$')) {
                    json!({ "$table": fields })
                } else {
                    fields
                }
            }
            Self::Void => Value::Null,
        }
    }
}

/// A table's fields.
pub(crate) fn fields_to_json(table: &BTreeMap<String, HeaderValue>) -> Map<String, Value> {
    table.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
}

/// A table's fields, from what [`fields_to_json`] made of them.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) fn fields_from_json(fields: &Map<String, Value>) -> Option<BTreeMap<String, HeaderValue>> {
    fields.iter().map(|(name, value)| Some((name.clone(), HeaderValue::from_json(value)?))).collect()
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
impl HeaderValue {
    /// What [`HeaderValue::to_json`] was made of; none when it was made by someone else.
    fn from_json(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Void,
            Value::Bool(flag) => Self::Flag(*flag),
            Value::Number(number) => Self::Number(number.as_i64()?),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(list) => Self::List(list.iter().map(Self::from_json).collect::<Option<_>>()?),
            Value::Object(fields) => match single(fields) {
                Some(("$text", Value::String(text))) => Self::Raw(hex::decode(text).ok()?),
                Some(("$bytes", Value::String(text))) => Self::Bytes(hex::decode(text).ok()?),
                Some(("$float", Value::String(text))) => Self::Float(text.parse().ok()?),
                Some(("$time", seconds)) => Self::Time(seconds.as_u64()?),
                Some(("$decimal", Value::Array(parts))) => Self::Decimal {
                    scale: parts.first()?.as_u64()?.try_into().ok()?,
                    value: parts.get(1)?.as_u64()?.try_into().ok()?,
                },
                Some(("$table", Value::Object(fields))) => Self::Table(fields_from_json(fields)?),
                _ if fields.keys().any(|name| name.starts_with('$')) => return None,
                _ => Self::Table(fields_from_json(fields)?),
            },
        })
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn single(fields: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut all = fields.iter();
    match (all.next(), all.next()) {
        (Some((name, value)), None) => Some((name, value)),
        _ => None,
    }
}

#[cfg(all(test, any(feature = "postgres", feature = "sqlite")))]
mod tests;
