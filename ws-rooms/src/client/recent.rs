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
    /// It is at hand.
    Here(Arc<Value>),
    /// It is not at hand.
    Unknown,
}

// === impl Recent ===

impl Recent {
    /// An event is to be heard in a room.
    pub(super) fn event(&mut self, room: &RoomId, event: &Arc<Value>) -> News {
        let Some(rooms) = self.keep(event) else {
            // Without an id nothing tells a repetition.
            return News { here: true, anywhere: true };
        };
        let news = News { here: !rooms.contains(room), anywhere: rooms.is_empty() };
        if news.here {
            rooms.push(room.clone());
        }
        news
    }

    /// An event came, whether it is heard yet or not: the rooms where it was.
    pub(super) fn keep(&mut self, event: &Arc<Value>) -> Option<&mut Vec<RoomId>> {
        let id = event.get("id").and_then(Value::as_str)?;
        if !self.rooms.contains_key(id) {
            let id: Arc<str> = id.into();
            self.rooms.insert(id.clone(), Vec::new());
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
        }
        self.rooms.get_mut(id)
    }

    /// An event that came in another room is told to be in this one too.
    pub(super) fn position(&self, room: &RoomId, id: &str) -> Elsewhere {
        if self.rooms.get(id).is_some_and(|rooms| rooms.contains(room)) {
            return Elsewhere::Heard;
        }
        match self.whole.iter().find(|(whole, _)| &**whole == id) {
            Some((_, event)) => Elsewhere::Here(event.clone()),
            None => Elsewhere::Unknown,
        }
    }
}
