//! Events heard a moment ago, by id.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::protocol::RoomId;

/// Ids remembered; the oldest goes. As many as a room's history holds, so that a whole recovery is covered.
const IDS: usize = 256;
/// Events kept whole; the oldest goes. A `position` follows its `event` closely, and an event may have 64 KiB.
const WHOLE: usize = 32;

/// Which events were heard, and in which rooms.
#[derive(Debug, Default)]
pub(super) struct Recent {
    rooms: HashMap<Arc<str>, Vec<RoomId>>,
    /// The ids of `rooms`, the oldest first.
    order: VecDeque<Arc<str>>,
    whole: VecDeque<(Arc<str>, Arc<Value>)>,
}

/// Whether an event is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct News {
    /// In its room.
    pub(super) here: bool,
    /// In all rooms.
    pub(super) anywhere: bool,
}

/// What is known of an event that came in another room.
#[derive(Debug)]
pub(super) enum Elsewhere {
    /// It was heard in this room too.
    Heard,
    /// It is new here.
    New(Arc<Value>),
    /// It is not at hand.
    Unknown,
}

// === impl Recent ===

impl Recent {
    /// An event came in a room.
    pub(super) fn event(&mut self, room: &RoomId, event: &Arc<Value>) -> News {
        let Some(id) = event.get("id").and_then(Value::as_str) else {
            // Without an id nothing tells a repetition.
            return News { here: true, anywhere: true };
        };
        if let Some(rooms) = self.rooms.get_mut(id) {
            let here = !rooms.contains(room);
            if here {
                rooms.push(room.clone());
            }
            return News { here, anywhere: false };
        }
        let id: Arc<str> = id.into();
        self.rooms.insert(id.clone(), vec![room.clone()]);
        self.order.push_back(id.clone());
        if self.order.len() > IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.rooms.remove(&oldest);
        }
        self.whole.push_back((id, event.clone()));
        if self.whole.len() > WHOLE {
            self.whole.pop_front();
        }
        News { here: true, anywhere: true }
    }

    /// An event that came in another room is told to be in this one too.
    pub(super) fn position(&mut self, room: &RoomId, id: &str) -> Elsewhere {
        let rooms = self.rooms.get_mut(id);
        if rooms.as_ref().is_some_and(|rooms| rooms.contains(room)) {
            return Elsewhere::Heard;
        }
        let Some((_, event)) = self.whole.iter().find(|(whole, _)| &**whole == id) else {
            return Elsewhere::Unknown;
        };
        if let Some(rooms) = rooms {
            rooms.push(room.clone());
        }
        Elsewhere::New(event.clone())
    }
}
