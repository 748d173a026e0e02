//! What stands in a room's stream, and what is said on its channel.
//!
//! A body is `<bytes of the id> <rooms, joined by commas>\n<id><event>`. A message is `E <epoch> <offset> <body>` for an
//! event and `G <epoch> <offset> <reason>\n` for a place where something is missing.

use std::sync::Arc;

use crate::protocol::{GapReason, Position, RoomId};
use crate::publication::Publication;

/// What a channel says.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) at: Position,
    pub(super) what: What<'a>,
}

#[derive(Debug)]
pub(super) enum What<'a> {
    Event(&'a [u8]),
    Gap(GapReason),
}

/// How long a [`body`] may be, which is little less.
pub(super) fn size(publication: &Publication) -> usize {
    let rooms = publication.rooms().iter().map(|room| room.as_str().len() + 1);
    publication.event().len() + publication.id().len() + 24 + rooms.sum::<usize>()
}

/// The text of an event for its streams.
pub(super) fn body(publication: &Publication) -> Vec<u8> {
    let (id, event) = (publication.id(), publication.event());
    let mut body = Vec::with_capacity(size(publication));
    body.extend_from_slice(id.len().to_string().as_bytes());
    for (index, room) in publication.rooms().iter().enumerate() {
        body.push(if index == 0 { b' ' } else { b',' });
        body.extend_from_slice(room.as_str().as_bytes());
    }
    body.push(b'\n');
    body.extend_from_slice(id.as_bytes());
    body.extend_from_slice(event.as_bytes());
    body
}

/// Reads a body; `None` when it is none of ours.
pub(super) fn read_body(body: &[u8]) -> Option<Arc<Publication>> {
    let end = body.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(&body[..end]).ok()?;
    let (length, rooms) = head.split_once(' ')?;
    let (id, event) = body[end + 1..].split_at_checked(length.parse().ok()?)?;
    let id = std::str::from_utf8(id).ok()?;
    let rooms = rooms.split(',').map(RoomId::parse).collect::<Result<Vec<_>, _>>().ok()?;
    Publication::new(id, rooms, event).ok().map(Arc::new)
}

/// Reads a message; `None` when it is none of ours.
pub(super) fn read(message: &[u8]) -> Option<Message<'_>> {
    let mut parts = message.splitn(4, |byte| *byte == b' ');
    let (kind, epoch, offset, rest) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let text = |part| std::str::from_utf8(part).ok();
    let at = Position::new(text(epoch)?, text(offset)?.parse().ok()?);
    let what = match (kind, rest) {
        (b"E", body) => What::Event(body),
        (b"G", b"source\n") => What::Gap(GapReason::Source),
        (b"G", b"slow\n") => What::Gap(GapReason::Slow),
        (b"G", b"trimmed\n") => What::Gap(GapReason::Trimmed),
        _ => return None,
    };
    Some(Message { at, what })
}

#[cfg(test)]
mod tests;
