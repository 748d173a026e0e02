//! Which events go to which rooms, as data.

use serde_json::{Map, Value};
use tramline_event_hub::{Event, topic};

use crate::error::{Error, ErrorKind};
use crate::protocol::RoomId;

/// Where the events of some types go.
///
/// ```
/// use tramline_ws_rooms::BridgeRule;
/// # fn main() -> Result<(), tramline_ws_rooms::Error> {
/// let rule = BridgeRule::new("payments.payment.*", ["user:{senderId}", "role:admin", "payment:{paymentId}"])?;
/// # drop(rule);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct BridgeRule {
    pattern: String,
    rooms: Vec<Template>,
}

/// A room's name with fields in it.
#[derive(Clone, Debug)]
struct Template(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Field(String),
}

// === impl BridgeRule ===

impl BridgeRule {
    /// Events whose type matches a topic's pattern (`*` is one word, `#` any number of them) go to these rooms, in this
    /// order: a connection gets the event in the first that it is in.
    ///
    /// `{name}` in a room stands for a field of the event's data, a text or a whole number. An event that has no such
    /// field, or one that makes no room's name, does not go to that room, which `ws.bridge.unplaced` counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when the pattern is empty, a brace has no other or nothing within, or what stands outside
    /// of braces can be no part of a room's name.
    pub fn new<R: AsRef<str>>(
        pattern: impl Into<String>,
        rooms: impl IntoIterator<Item = R>,
    ) -> Result<Self, Error> {
        let pattern = pattern.into();
        if pattern.is_empty() {
            return Err(Error::with(ErrorKind::Config, "a rule of no events"));
        }
        let rooms = rooms.into_iter().map(|room| Template::parse(room.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { pattern, rooms })
    }

    pub(super) fn matches(&self, event_type: &str) -> bool {
        topic::matches(&self.pattern, event_type)
    }

    /// The rooms of an event, in order.
    pub(super) fn rooms(&self, event: &Event) -> Vec<RoomId> {
        // What is no object has no fields.
        let data: Map<String, Value> = event.data().unwrap_or_default();
        let rooms: Vec<_> = self.rooms.iter().filter_map(|room| room.fill(&data)).collect();
        let unplaced = self.rooms.len() - rooms.len();
        if unplaced > 0 {
            metrics::counter!("ws.bridge.unplaced").increment(unplaced as u64);
            let event_type = event.event_type.as_str();
            tracing::debug!(event_type, unplaced, "an event without the fields that name its rooms");
        }
        rooms
    }
}

// === impl Template ===

impl Template {
    fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::with(ErrorKind::Config, format!("{why}: {text}"));
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or_else(|| wrong("a brace that is not closed"))?;
            if name.is_empty() || name.contains('{') {
                return Err(wrong("braces without a field's name"));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Field(name.to_owned()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self(pieces);
        // A closing brace by itself is no character of a name either.
        let example = template.write(|_| Some("x".to_owned()));
        match example.map(|name| RoomId::parse(&name)) {
            Some(Ok(_)) => Ok(template),
            _ => Err(wrong("no room has such a name")),
        }
    }

    fn fill(&self, data: &Map<String, Value>) -> Option<RoomId> {
        let name = self.write(|field| match data.get(field)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            _ => None,
        })?;
        RoomId::parse(&name).ok()
    }

    fn write(&self, field: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Field(known) => name.push_str(&field(known)?),
            }
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests;
