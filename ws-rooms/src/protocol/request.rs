//! What clients say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::protocol::Position;

/// The longest `id`. A counter or a UUID fits; it is repeated in every answer.
const MAX_ID: usize = 64;
/// The longest token in an `auth` frame; browsers and proxies allow no longer header.
const MAX_TOKEN: usize = 8 * 1024;

/// A frame from client to server.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub enum Request {
    /// Joins a room, or recovers in one that the server joined.
    #[non_exhaustive]
    Subscribe {
        /// The room's name, as written.
        room: String,
        /// Where the client stands.
        #[serde(skip_serializing_if = "Option::is_none")]
        since: Option<Position>,
    },
    /// Leaves a room.
    #[non_exhaustive]
    Unsubscribe {
        /// The room's name.
        room: String,
    },
    /// Asks who is in a room.
    #[non_exhaustive]
    Presence {
        /// The room's name.
        room: String,
    },
    /// Renews the connection with a fresh token of the same user.
    #[non_exhaustive]
    Auth {
        /// The access token.
        token: String,
    },
    /// Asks for a `pong`.
    Ping,
}

/// A request's `id`: a string or a number, repeated as it came.
pub(crate) type Id = Option<Value>;

/// A frame as read.
pub(crate) enum Parsed {
    /// A request.
    Request(Id, Request),
    /// A known type with a field missing or wrong; answered, and not held against the client.
    Incomplete(Id, &'static str),
}

/// Not a JSON object with a known type. Ten of these end the connection.
pub(crate) struct BadFrame {
    pub(crate) id: Id,
    pub(crate) message: &'static str,
}

// Every field is a `Value`: a wrong type in one must not hide the others.
#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: Option<Value>,
    id: Option<Value>,
    room: Option<Value>,
    since: Option<Value>,
    token: Option<Value>,
}

// === impl Request ===

impl Request {
    /// A subscribe without a position.
    #[must_use]
    pub fn subscribe(room: impl Into<String>) -> Self {
        Self::Subscribe { room: room.into(), since: None }
    }

    /// A subscribe that recovers from a position.
    #[must_use]
    pub fn recover(room: impl Into<String>, since: Position) -> Self {
        Self::Subscribe { room: room.into(), since: Some(since) }
    }

    /// An unsubscribe.
    #[must_use]
    pub fn unsubscribe(room: impl Into<String>) -> Self {
        Self::Unsubscribe { room: room.into() }
    }

    /// A question for presence.
    #[must_use]
    pub fn presence(room: impl Into<String>) -> Self {
        Self::Presence { room: room.into() }
    }

    /// A renewal.
    #[must_use]
    pub fn auth(token: impl Into<String>) -> Self {
        Self::Auth { token: token.into() }
    }

    /// The frame's text.
    #[must_use]
    pub fn to_json(&self, id: Option<&str>) -> String {
        #[derive(Serialize)]
        struct WithId<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            id: Option<&'a str>,
            #[serde(flatten)]
            request: &'a Request,
        }
        serde_json::to_string(&WithId { id, request: self }).expect("strings and numbers always serialise")
    }

    /// Reads a frame's text.
    pub(crate) fn parse(text: &str) -> Result<Parsed, BadFrame> {
        let bad = |id, message| Err(BadFrame { id, message });
        // serde would take an array for a struct.
        if !text.trim_start().starts_with('{') {
            return bad(None, "a frame is one JSON object");
        }
        let Ok(raw) = serde_json::from_str::<Raw>(text) else {
            return bad(None, "a frame is one JSON object");
        };
        let id = match raw.id {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) if id.len() <= MAX_ID => Some(Value::String(id)),
            Some(id @ Value::Number(_)) => Some(id),
            Some(_) => return Ok(Parsed::Incomplete(None, "id is a short string or a number")),
        };
        let Some(Value::String(kind)) = raw.kind else {
            return bad(id, "a frame has a type");
        };
        let request = match kind.as_str() {
            "ping" => Self::Ping,
            "auth" => match raw.token {
                Some(Value::String(token)) if token.len() <= MAX_TOKEN => Self::Auth { token },
                _ => return Ok(Parsed::Incomplete(id, "auth needs a token")),
            },
            "subscribe" | "unsubscribe" | "presence" => {
                let Some(Value::String(room)) = raw.room else {
                    return Ok(Parsed::Incomplete(id, "room is a string"));
                };
                match kind.as_str() {
                    "unsubscribe" => Self::Unsubscribe { room },
                    "presence" => Self::Presence { room },
                    _ => match since(raw.since) {
                        Ok(since) => Self::Subscribe { room, since },
                        Err(message) => return Ok(Parsed::Incomplete(id, message)),
                    },
                }
            }
            _ => return bad(id, "unknown type"),
        };
        Ok(Parsed::Request(id, request))
    }
}

fn since(value: Option<Value>) -> Result<Option<Position>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) => {
            serde_json::from_value(value).map(Some).map_err(|_| "since is {\"epoch\":…,\"offset\":…}")
        }
        Some(_) => Err("since is {\"epoch\":…,\"offset\":…}"),
    }
}
