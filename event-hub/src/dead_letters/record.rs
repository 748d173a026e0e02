//! From a delivery to a row, and from a row to a message.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::consumer::attempts;
use crate::message::{Delivery, Message, Properties, Text, fields_from_json, fields_to_json};

/// What is written of a letter.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) death: String,
    pub(crate) found_in: String,
    pub(crate) queue: Option<String>,
    pub(crate) exchange: Option<String>,
    pub(crate) routing_key: Option<String>,
    pub(crate) event_id: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) reason: String,
    pub(crate) error: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) first_failed_at: Option<i64>,
    pub(crate) last_failed_at: Option<i64>,
    pub(crate) died_at: i64,
    pub(crate) stored_at: i64,
    pub(crate) redrives: i64,
    pub(crate) previous_reason: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) properties: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

/// What is read of a letter that goes back.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) id: i64,
    pub(crate) queue: Option<String>,
    pub(crate) properties: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

// === impl Record ===

impl Record {
    /// The row of a letter whose death is told by `death`.
    pub(crate) fn of(delivery: &Delivery, death: &str) -> Self {
        let message = &delivery.message;
        let now = Timestamp::now();
        let told = attempts::story(delivery);
        let died_at = told.as_ref().and_then(|info| info.last_failed_at).unwrap_or(now);
        let info = told.unwrap_or_else(|| attempts::untold(message));
        let event = Named::of(message);
        let own = message.properties();
        Self {
            death: death.to_owned(),
            found_in: plain(&delivery.queue),
            queue: info.queue.as_deref().map(plain),
            exchange: info.exchange.as_deref().or(Some(&message.exchange)).map(plain),
            routing_key: info.routing_key.as_deref().or(Some(message.key())).map(plain),
            event_id: event.id.as_deref().or(own.message_id.as_deref()).map(plain),
            event_type: event.kind.as_deref().or(own.kind.as_deref()).map(plain),
            reason: plain(&info.reason),
            error: info.error.as_deref().map(plain),
            handler: info.handler.as_deref().map(plain),
            attempts: info.attempts.into(),
            first_failed_at: info.first_failed_at.map(Timestamp::as_microsecond),
            last_failed_at: info.last_failed_at.map(Timestamp::as_microsecond),
            died_at: died_at.as_microsecond(),
            stored_at: now.as_microsecond(),
            redrives: info.redrives.into(),
            previous_reason: info.previous_reason.as_deref().map(plain),
            content_type: own.content_type.as_deref().map(plain),
            properties: Value::Object(properties(own)).to_string(),
            headers: Value::Object(fields_to_json(message.headers())).to_string(),
            body: message.body.bytes().to_vec(),
        }
    }
}

// === impl Claimed ===

impl Claimed {
    /// The letter on its way back, into the queue it died in and no other.
    ///
    /// # Errors
    ///
    /// Why it cannot go.
    pub(crate) fn message(self) -> Result<Message, &'static str> {
        let queue = self.queue.ok_or("nobody said which queue it died in")?;
        let read = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
        let headers = read(&self.headers).and_then(|fields| fields_from_json(&fields));
        let properties = read(&self.properties).and_then(|fields| properties_from(&fields));
        let (Some(headers), Some(properties)) = (headers, properties) else {
            return Err("its row has been changed, and cannot be read");
        };
        let body = Bytes::from(self.body).into();
        let mut message = Message::new(Text::default(), queue.into(), body, properties, headers);
        attempts::revive(&mut message);
        Ok(message)
    }
}

/// A column's JSON, for those who look.
pub(crate) fn object(text: String) -> Map<String, Value> {
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => fields,
        // Someone has written here by hand: shown as it is.
        _ => Map::from_iter([("$unreadable".to_owned(), Value::String(text))]),
    }
}

/// One death's name in the table.
pub(crate) fn death(delivery: &Delivery) -> Option<String> {
    let parts = attempts::death(delivery)?;
    if let [name] = &parts[..]
        && let Some(hash) = name.strip_prefix(GIVEN)
    {
        return Some(plain(hash));
    }
    let mut hash = Sha256::new();
    for part in &parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // The queue too: one death may be told in two of them.
    hash.update(&*delivery.queue);
    hash.update(delivery.message.body.bytes());
    Some(hex::encode(hash.finalize()))
}

/// The name that a copy gets, so that it is known as what it is a copy of.
pub(crate) fn given(death: &str) -> String {
    format!("{GIVEN}{death}")
}

/// Begins a name that is to be taken as it is.
const GIVEN: &str = "=";

/// The two of an event's names that people look for; a body that is no event has none.
#[derive(Default, serde::Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl Named {
    fn of(message: &Message) -> Self {
        match message.event() {
            Ok(event) => {
                Self { id: Some(event.id.as_str().to_owned()), kind: Some(event.event_type.clone()) }
            }
            // Not one of ours, or one that died of that.
            Err(_) => serde_json::from_slice(message.body.bytes()).unwrap_or_default(),
        }
    }
}

/// A column's text: PostgreSQL refuses U+0000, and a letter that cannot be stored comes again for ever.
fn plain(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn properties(own: &Properties) -> Map<String, Value> {
    let all = [
        ("messageId", own.message_id.as_deref().map(|text| json!(text))),
        ("type", own.kind.as_deref().map(|text| json!(text))),
        ("appId", own.app_id.as_deref().map(|text| json!(text))),
        ("correlationId", own.correlation_id.as_deref().map(|text| json!(text))),
        ("contentType", own.content_type.as_deref().map(|text| json!(text))),
        ("contentEncoding", own.content_encoding.as_deref().map(|text| json!(text))),
        ("replyTo", own.reply_to.as_deref().map(|text| json!(text))),
        ("priority", own.priority.map(|number| json!(number))),
        ("timestamp", own.timestamp.map(|seconds| json!(seconds))),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn properties_from(fields: &Map<String, Value>) -> Option<Properties> {
    let text = |name: &str| match fields.get(name) {
        None => Some(None),
        Some(value) => value.as_str().map(|text| Some(Text::from(text))),
    };
    let number = |name: &str| match fields.get(name) {
        None => Some(None),
        Some(value) => value.as_u64().map(Some),
    };
    Some(Properties {
        message_id: text("messageId")?,
        kind: text("type")?,
        app_id: text("appId")?,
        correlation_id: text("correlationId")?,
        content_type: text("contentType")?,
        content_encoding: text("contentEncoding")?,
        reply_to: text("replyTo")?,
        priority: number("priority")?.map(u8::try_from).transpose().ok()?,
        timestamp: number("timestamp")?,
        ..Properties::default()
    })
}
