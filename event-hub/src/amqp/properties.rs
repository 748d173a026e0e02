//! Our messages in AMQP's properties and headers, and back.

use std::sync::Arc;

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery as Delivered;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use tokio::time::Instant;

use crate::amqp::declare::short;
use crate::message::{Delivery, HeaderValue, Headers, Message, Parts, Properties, Text, Token};

/// Written to disk before it is confirmed.
const PERSISTENT: u8 = 2;

/// Ours alone: which publish on its channel it was, so that a return finds its way back.
const SEQUENCE: &str = "x-tramline-sequence";

/// A message in pieces, as lapin takes it.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

pub(super) fn outgoing(message: Message, sequence: u64) -> Outgoing {
    let (exchange, key) = (short(&*message.exchange), short(message.key()));
    let body = message.body.bytes().clone();
    let Parts { properties: own, headers } = message.into_parts();
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(short(name), write(value));
    }
    table.insert(short(SEQUENCE), AMQPValue::LongLongInt(sequence.cast_signed()));
    let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(table);
    if let Some(id) = own.message_id {
        properties = properties.with_message_id(short(&*id));
    }
    if let Some(kind) = own.kind {
        properties = properties.with_type(short(&*kind));
    }
    if let Some(app) = own.app_id {
        properties = properties.with_app_id(short(&*app));
    }
    if let Some(id) = own.correlation_id {
        properties = properties.with_correlation_id(short(&*id));
    }
    if let Some(kind) = own.content_type {
        properties = properties.with_content_type(short(&*kind));
    }
    if let Some(encoding) = own.content_encoding {
        properties = properties.with_content_encoding(short(&*encoding));
    }
    if let Some(queue) = own.reply_to {
        properties = properties.with_reply_to(short(&*queue));
    }
    if let Some(priority) = own.priority {
        properties = properties.with_priority(priority);
    }
    if let Some(seconds) = own.timestamp {
        properties = properties.with_timestamp(seconds);
    }
    Outgoing { exchange, key, properties, body }
}

/// How many bytes its properties and headers take in their frame.
pub(super) fn header_size(message: &Message) -> usize {
    let own = message.properties();
    let texts = [
        &own.message_id,
        &own.kind,
        &own.app_id,
        &own.correlation_id,
        &own.content_type,
        &own.content_encoding,
        &own.reply_to,
    ];
    let texts: usize = texts.into_iter().flatten().map(|text| 1 + text.len()).sum();
    let sequence = field(SEQUENCE.len(), 8);
    FIXED
        + texts
        + own.priority.map_or(0, |_| 1)
        + own.timestamp.map_or(0, |_| 8)
        + table(message.headers())
        + sequence
}

/// A name, a kind, a value.
fn field(name: usize, value: usize) -> usize {
    2 + name + value
}

fn table(fields: &Headers) -> usize {
    4 + fields.iter().map(|(name, value)| field(name.len(), size(value))).sum::<usize>()
}

fn size(value: &HeaderValue) -> usize {
    match value {
        HeaderValue::Number(_) | HeaderValue::Float(_) | HeaderValue::Time(_) => 8,
        HeaderValue::Text(text) => 4 + text.len(),
        HeaderValue::Raw(bytes) | HeaderValue::Bytes(bytes) => 4 + bytes.len(),
        HeaderValue::Flag(_) => 1,
        HeaderValue::Decimal { .. } => 5,
        HeaderValue::List(list) => 4 + list.iter().map(|value| 1 + size(value)).sum::<usize>(),
        HeaderValue::Table(fields) => table(fields),
        HeaderValue::Void => 0,
    }
}

/// Class, weight, size of the body, flags, and the delivery mode.
const FIXED: usize = 2 + 2 + 8 + 2 + 1;

/// Which publish a returned message was.
pub(super) fn sequence(properties: &BasicProperties) -> Option<u64> {
    match properties.headers().as_ref()?.inner().get(SEQUENCE)? {
        AMQPValue::LongLongInt(number) => Some(number.cast_unsigned()),
        _ => None,
    }
}

/// Turns what a subscription is given into deliveries.
///
/// Most names are the same in one message after the other: each is kept, to be shared by the next that has it.
#[derive(Debug)]
pub(super) struct Reader {
    queue: Text,
    generation: u64,
    exchange: Text,
    key: Text,
    kind: Text,
    app_id: Text,
    content_type: Text,
}

// === impl Reader ===

impl Reader {
    pub(super) fn new(queue: &str, generation: u64) -> Self {
        let none = Text::default();
        Self {
            queue: queue.into(),
            generation,
            exchange: Text::clone(&none),
            key: Text::clone(&none),
            kind: Text::clone(&none),
            app_id: Text::clone(&none),
            content_type: none,
        }
    }

    pub(super) fn read(&mut self, delivered: Delivered, arrived: Instant) -> Delivery {
        let properties = &delivered.properties;
        let headers = properties.headers().as_ref().map(headers).unwrap_or_default();
        let returns = match headers.get("x-delivery-count") {
            // Not of this queue, but of the one that someone has moved it from.
            _ if !delivered.redelivered => 0,
            Some(HeaderValue::Number(count)) => u32::try_from(*count).unwrap_or(0),
            // A classic queue does not count; it only knows that there was a first time.
            _ => 1,
        };
        let own = |text: &Option<ShortString>| text.as_ref().map(|text| Text::from(text.as_str()));
        let properties = Properties {
            message_id: own(properties.message_id()),
            kind: properties.kind().as_ref().map(|kind| same(&mut self.kind, kind)),
            app_id: properties.app_id().as_ref().map(|app| same(&mut self.app_id, app)),
            correlation_id: own(properties.correlation_id()),
            content_type: properties.content_type().as_ref().map(|kind| same(&mut self.content_type, kind)),
            content_encoding: own(properties.content_encoding()),
            reply_to: own(properties.reply_to()),
            priority: *properties.priority(),
            timestamp: *properties.timestamp(),
            lane: 0,
        };
        let exchange = same(&mut self.exchange, &delivered.exchange);
        let key = same(&mut self.key, &delivered.routing_key);
        let message = Message::new(exchange, key, Bytes::from(delivered.data).into(), properties, headers);
        Delivery {
            queue: Text::clone(&self.queue),
            redelivered: delivered.redelivered,
            returns,
            arrived,
            token: Token { generation: self.generation, tag: delivered.delivery_tag },
            message: Arc::new(message),
        }
    }
}

/// The text of the last message, when this one has the same.
fn same(last: &mut Text, text: &ShortString) -> Text {
    if **last != *text.as_str() {
        *last = text.as_str().into();
    }
    Text::clone(last)
}

fn headers(table: &FieldTable) -> Headers {
    let own = table.inner().iter().filter(|(name, _)| name.as_str() != SEQUENCE);
    own.map(|(name, found)| (name.as_str().to_owned(), read(found))).collect()
}

fn read(value: &AMQPValue) -> HeaderValue {
    match value {
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => HeaderValue::Text(text.to_owned()),
            Err(_) => HeaderValue::Raw(text.as_bytes().to_vec()),
        },
        AMQPValue::ShortString(text) => HeaderValue::Text(text.as_str().to_owned()),
        AMQPValue::ShortShortInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::ShortShortUInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::ShortInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::ShortUInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::LongInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::LongUInt(n) => HeaderValue::Number((*n).into()),
        AMQPValue::LongLongInt(n) => HeaderValue::Number(*n),
        AMQPValue::Boolean(flag) => HeaderValue::Flag(*flag),
        AMQPValue::Float(n) => HeaderValue::Float((*n).into()),
        AMQPValue::Double(n) => HeaderValue::Float(*n),
        AMQPValue::DecimalValue(n) => HeaderValue::Decimal { scale: n.scale, value: n.value },
        AMQPValue::Timestamp(seconds) => HeaderValue::Time(*seconds),
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::FieldArray(list) => HeaderValue::List(list.as_slice().iter().map(read).collect()),
        AMQPValue::FieldTable(table) => HeaderValue::Table(
            table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), read(value))).collect(),
        ),
        AMQPValue::Void => HeaderValue::Void,
    }
}

fn write(value: HeaderValue) -> AMQPValue {
    match value {
        HeaderValue::Number(number) => AMQPValue::LongLongInt(number),
        HeaderValue::Text(text) => AMQPValue::LongString(text.into()),
        HeaderValue::Raw(bytes) => AMQPValue::LongString(bytes.into()),
        HeaderValue::Flag(flag) => AMQPValue::Boolean(flag),
        HeaderValue::Float(number) => AMQPValue::Double(number),
        HeaderValue::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
        HeaderValue::Time(seconds) => AMQPValue::Timestamp(seconds),
        HeaderValue::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
        HeaderValue::List(list) => {
            AMQPValue::FieldArray(FieldArray::from(list.into_iter().map(write).collect::<Vec<_>>()))
        }
        HeaderValue::Table(fields) => {
            let mut table = FieldTable::default();
            for (name, value) in fields {
                table.insert(short(name), write(value));
            }
            AMQPValue::FieldTable(table)
        }
        HeaderValue::Void => AMQPValue::Void,
    }
}

#[cfg(test)]
mod tests;
