//! What servers say, typed: for clients, tests and tools.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind};
use crate::protocol::{GapReason, NotRecovered, RoomId};

/// A frame from server to client. Unknown types and fields are kept out of the way, as the
/// protocol asks: a newer server must not break an older client.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "typescript",
    derive(ts_rs::TS),
    ts(tag = "type", rename_all = "lowercase", rename_all_fields = "camelCase", optional_fields)
)]
#[non_exhaustive]
pub enum ServerFrame {
    /// The first frame.
    Welcome(Welcome),
    /// An event in a room.
    Event(Numbered),
    /// An event that came already in another room.
    Position(Moved),
    /// Something was dropped.
    Gap(Gap),
    /// A user's first connection in a room.
    Joined(UserMoved),
    /// A user's last connection left a room.
    Left(UserMoved),
    /// A sign of life, with the token's end when that is near.
    Ping {
        /// When the token ends.
        #[cfg_attr(feature = "typescript", ts(optional, type = "string"))]
        expires_at: Option<Timestamp>,
    },
    /// The answer to `ping`.
    Pong,
    /// The answer to `subscribe`.
    Subscribed(Subscribed),
    /// The answer to `unsubscribe`, or a room that was taken away.
    Unsubscribed {
        /// The request's id.
        #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
        id: Option<Value>,
        /// The room, as it was asked for.
        room: String,
        /// Why, when nobody asked.
        reason: Option<String>,
    },
    /// The answer to `presence`.
    Presence(PresenceList),
    /// The answer to `auth`.
    Authenticated(Authenticated),
    /// A request failed.
    Error(ErrorFrame),
    /// The connection is about to be closed.
    Goodbye(Goodbye),
    /// A type that this version does not know.
    #[cfg_attr(feature = "typescript", ts(skip))]
    Unknown(String),
}

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field:meta])* $member:ident: $ty:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(optional_fields))]
        #[non_exhaustive]
        pub struct $name { $($(#[$field])* pub $member: $ty,)* }
    )*};
}

frames! {
    /// `welcome`.
    Welcome {
        /// This connection's id.
        connection_id: String,
        /// The user.
        user_id: String,
        /// The rooms that the server joined, each with its place from the start.
        rooms: Vec<RoomPosition>,
        /// After this many seconds without a frame the link is in doubt.
        heartbeat_seconds: u64,
        /// When the token ends.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        expires_at: Timestamp,
        /// What the server allows.
        limits: WireLimits,
    }
    /// A room and the place that the connection has in it.
    RoomPosition {
        /// The room.
        room: RoomId,
        /// Its numbering.
        epoch: String,
        /// Its last offset.
        offset: u64,
    }
    /// The limits that a client should keep to.
    WireLimits {
        /// Bytes in a frame.
        frame_bytes: usize,
        /// Rooms per connection.
        rooms: usize,
        /// Messages per second.
        messages_per_second: u32,
        /// Bytes that may wait for the client.
        queued_bytes: usize,
    }
    /// `event`.
    Numbered {
        /// The room.
        room: RoomId,
        /// The event's number in it.
        offset: u64,
        /// The event itself.
        #[cfg_attr(feature = "typescript", ts(type = "RoomEvent"))]
        event: Value,
    }
    /// `position`.
    Moved {
        /// The room.
        room: RoomId,
        /// The offset it moved to.
        offset: u64,
        /// The event's id.
        id: String,
    }
    /// `gap`.
    Gap {
        /// The room.
        room: RoomId,
        /// Its numbering from here on.
        epoch: String,
        /// The offset after which events follow again.
        offset: u64,
        /// Why.
        reason: GapReason,
    }
    /// `joined` and `left`.
    UserMoved {
        /// The room.
        room: RoomId,
        /// The user.
        user_id: String,
    }
    /// `subscribed`.
    Subscribed {
        /// The request's id.
        #[serde(default)]
        #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
        id: Option<Value>,
        /// The room.
        room: RoomId,
        /// Its numbering.
        epoch: String,
        /// Live events follow from the next offset on.
        offset: u64,
        /// Whether `events` holds everything missed; absent when nothing was asked for.
        #[serde(default)]
        recovered: Option<bool>,
        /// Why not.
        #[serde(default)]
        reason: Option<NotRecovered>,
        /// What was missed.
        #[serde(default)]
        events: Vec<Recovered>,
    }
    /// An event in a recovery.
    Recovered {
        /// The event's number.
        offset: u64,
        /// The event itself.
        #[cfg_attr(feature = "typescript", ts(type = "RoomEvent"))]
        event: Value,
    }
    /// `presence`.
    PresenceList {
        /// The request's id.
        #[serde(default)]
        #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
        id: Option<Value>,
        /// The room.
        room: RoomId,
        /// Who is there, by user id: the first 1,000.
        members: Vec<Member>,
        /// How many users are there, when `members` are not all.
        #[serde(default)]
        total: Option<usize>,
    }
    /// A user in a room.
    Member {
        /// The user.
        user_id: String,
        /// How many of the user's connections are there.
        connections: u32,
    }
    /// `authenticated`.
    Authenticated {
        /// The request's id.
        #[serde(default)]
        #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
        id: Option<Value>,
        /// When the new token ends.
        #[cfg_attr(feature = "typescript", ts(type = "string"))]
        expires_at: Timestamp,
        /// The rooms that the server has joined now.
        #[serde(default)]
        rooms: Vec<RoomPosition>,
    }
    /// `error`.
    ErrorFrame {
        /// The request's id.
        #[serde(default)]
        #[cfg_attr(feature = "typescript", ts(optional, type = "string | number"))]
        id: Option<Value>,
        /// A stable code.
        code: String,
        /// A sentence for people.
        message: String,
        /// Whether to try again.
        retry: bool,
    }
    /// `goodbye`.
    Goodbye {
        /// The code of the close frame that follows.
        code: u16,
        /// Why.
        reason: String,
        /// When to come back.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    }
}

// === impl ServerFrame ===

impl ServerFrame {
    /// Reads a frame's text.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Protocol`] when it is no JSON object with a `type`, or a known type lacks a field.
    pub fn parse(text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            r#type: String,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Ping {
            expires_at: Option<Timestamp>,
        }
        #[derive(Deserialize)]
        struct Unsubscribed {
            id: Option<Value>,
            room: String,
            reason: Option<String>,
        }
        fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
            serde_json::from_str(text).map_err(|error| Error::with(ErrorKind::Protocol, error))
        }
        let head: Head = read(text)?;
        Ok(match head.r#type.as_str() {
            "welcome" => Self::Welcome(read(text)?),
            "event" => Self::Event(read(text)?),
            "position" => Self::Position(read(text)?),
            "gap" => Self::Gap(read(text)?),
            "joined" => Self::Joined(read(text)?),
            "left" => Self::Left(read(text)?),
            "ping" => Self::Ping { expires_at: read::<Ping>(text)?.expires_at },
            "pong" => Self::Pong,
            "subscribed" => Self::Subscribed(read(text)?),
            "unsubscribed" => {
                let Unsubscribed { id, room, reason } = read(text)?;
                Self::Unsubscribed { id, room, reason }
            }
            "presence" => Self::Presence(read(text)?),
            "authenticated" => Self::Authenticated(read(text)?),
            "error" => Self::Error(read(text)?),
            "goodbye" => Self::Goodbye(read(text)?),
            _ => Self::Unknown(head.r#type),
        })
    }
}
