//! Frames from the server as text. Each is built once and shared by all who get it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::config::RoomsConfig;
use crate::protocol::frame::{Member, RoomPosition, WireLimits};
use crate::protocol::request::Id;
use crate::protocol::{Close, GapReason, NotRecovered, Position, RoomId};

pub(crate) use crate::protocol::text::Text;
#[cfg(feature = "test-support")]
pub(crate) use crate::protocol::text::frame;

/// What a recovery found: the events with their offsets, or why there are none.
pub(crate) type Found<'a> = Result<Vec<(u64, &'a str)>, NotRecovered>;

pub(crate) fn event(room: &RoomId, offset: u64, event: &str) -> Text {
    // By hand: the event is JSON already, and a room's name needs no escapes.
    let offset = offset.to_string();
    let parts =
        [r#"{"type":"event","room":""#, room.as_str(), r#"","offset":"#, &offset, r#","event":"#, event, "}"];
    Text::build(parts.iter().map(|part| part.len()).sum(), |frame| {
        parts.iter().for_each(|part| frame.extend_from_slice(part.as_bytes()));
    })
}

pub(crate) fn position(room: &RoomId, offset: u64, id: &str) -> Text {
    #[derive(Serialize)]
    struct Frame<'a> {
        room: &'a RoomId,
        offset: u64,
        id: &'a str,
    }
    encode("position", &None, &Frame { room, offset, id })
}

pub(crate) fn gap(room: &RoomId, at: &Position, reason: GapReason) -> Text {
    #[derive(Serialize)]
    struct Frame<'a> {
        room: &'a RoomId,
        epoch: &'a str,
        offset: u64,
        reason: GapReason,
    }
    let frame = Frame { room, epoch: &at.epoch, offset: at.offset, reason };
    encode("gap", &None, &frame)
}

pub(crate) fn welcome(
    config: &RoomsConfig,
    connection: &str,
    user: &str,
    rooms: &[RoomPosition],
    expires_at: Timestamp,
) -> Text {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame<'a> {
        connection_id: &'a str,
        user_id: &'a str,
        rooms: &'a [RoomPosition],
        heartbeat_seconds: u64,
        expires_at: Timestamp,
        limits: WireLimits,
    }
    let limits = &config.limits;
    let frame = Frame {
        connection_id: connection,
        user_id: user,
        rooms,
        heartbeat_seconds: config.heartbeat.frame_after.as_secs(),
        expires_at,
        limits: WireLimits {
            frame_bytes: limits.frame_bytes,
            rooms: limits.rooms_per_connection,
            messages_per_second: limits.messages_per_second,
            queued_bytes: limits.queued_bytes,
        },
    };
    encode("welcome", &None, &frame)
}

pub(crate) fn subscribed(id: &Id, room: &RoomId, at: &Position, found: Option<&Found<'_>>) -> Text {
    #[derive(Serialize)]
    struct Entry<'a> {
        offset: u64,
        event: &'a RawValue,
    }
    #[derive(Serialize)]
    struct Frame<'a> {
        room: &'a RoomId,
        epoch: &'a str,
        offset: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovered: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<NotRecovered>,
        events: Vec<Entry<'a>>,
    }
    let events = match found {
        Some(Ok(events)) => events
            .iter()
            .filter_map(|(offset, event)| {
                // INVARIANT: a `Publication` holds JSON, so nothing is filtered here.
                let event = serde_json::from_str(event).ok()?;
                Some(Entry { offset: *offset, event })
            })
            .collect(),
        _ => Vec::new(),
    };
    let frame = Frame {
        room,
        epoch: &at.epoch,
        offset: at.offset,
        recovered: found.map(Result::is_ok),
        reason: found.and_then(|found| found.as_ref().err().copied()),
        events,
    };
    encode("subscribed", id, &frame)
}

pub(crate) fn unsubscribed(id: &Id, room: &str, reason: Option<&'static str>) -> Text {
    #[derive(Serialize)]
    struct Frame<'a> {
        room: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    }
    encode("unsubscribed", id, &Frame { room, reason })
}

/// `total`: when `members` are not all.
pub(crate) fn presence(id: &Id, room: &RoomId, members: &[Member], total: Option<usize>) -> Text {
    #[derive(Serialize)]
    struct Frame<'a> {
        room: &'a RoomId,
        members: &'a [Member],
        #[serde(skip_serializing_if = "Option::is_none")]
        total: Option<usize>,
    }
    encode("presence", id, &Frame { room, members, total })
}

pub(crate) fn authenticated(id: &Id, expires_at: Timestamp, rooms: &[RoomPosition]) -> Text {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame<'a> {
        expires_at: Timestamp,
        rooms: &'a [RoomPosition],
    }
    encode("authenticated", id, &Frame { expires_at, rooms })
}

pub(crate) fn user_moved(kind: &'static str, room: &RoomId, user: &str) -> Text {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame<'a> {
        room: &'a RoomId,
        user_id: &'a str,
    }
    encode(kind, &None, &Frame { room, user_id: user })
}

pub(crate) fn ping(expires_at: Option<Timestamp>) -> Text {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame {
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    }
    encode("ping", &None, &Frame { expires_at })
}

pub(crate) fn pong(id: &Id) -> Text {
    #[derive(Serialize)]
    struct Frame {}
    encode("pong", id, &Frame {})
}

pub(crate) fn error(id: &Id, code: &str, message: &str, retry: bool) -> Text {
    #[derive(Serialize)]
    struct Frame<'a> {
        code: &'a str,
        message: &'a str,
        retry: bool,
    }
    let frame = Frame { code, message, retry };
    encode("error", id, &frame)
}

pub(crate) fn goodbye(close: &Close) -> Text {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Frame<'a> {
        code: u16,
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    }
    let millis = |delay: Duration| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let frame = Frame {
        code: close.code,
        reason: close.wire_reason(),
        retry_after_ms: close.retry_after.map(millis),
    };
    encode("goodbye", &None, &frame)
}

fn encode<T: Serialize>(kind: &'static str, id: &Id, frame: &T) -> Text {
    #[derive(Serialize)]
    struct Tagged<'a, T> {
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a Value>,
        #[serde(flatten)]
        frame: &'a T,
    }
    // Most frames that are not events are this small, and the others grow.
    Text::build(128, |text| {
        serde_json::to_writer(text, &Tagged { r#type: kind, id: id.as_ref(), frame })
            .expect("frames hold only what JSON can say");
    })
}
