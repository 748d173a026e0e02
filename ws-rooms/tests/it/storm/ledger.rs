//! What stands at each place of each room, by the word of all clients.

use std::collections::HashMap;
use std::sync::Mutex;

/// Places and ids that clients have seen. Two clients that see different things at one place, or one thing at two
/// places of a room, are a failure.
#[derive(Default)]
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    at: HashMap<(String, u64), u64>,
    of: HashMap<(String, u64), u64>,
}

impl Ledger {
    pub(crate) fn note(&self, room: &str, offset: u64, event: u64) {
        let mut inner = self.inner.lock().unwrap();
        let at = *inner.at.entry((room.to_owned(), offset)).or_insert(event);
        assert_eq!(at, event, "two events at {offset} of {room}");
        let of = *inner.of.entry((room.to_owned(), event)).or_insert(offset);
        assert_eq!(of, offset, "event {event} twice in {room}");
    }

    pub(crate) fn places(&self) -> usize {
        self.inner.lock().unwrap().at.len()
    }
}

#[test]
#[should_panic(expected = "two events at 1 of a")]
fn two_events_at_one_place_are_seen() {
    let ledger = Ledger::default();
    ledger.note("a", 1, 1);
    ledger.note("b", 1, 2);
    ledger.note("a", 1, 2);
}

#[test]
#[should_panic(expected = "event 1 twice in a")]
fn one_event_at_two_places_is_seen() {
    let ledger = Ledger::default();
    ledger.note("a", 1, 1);
    ledger.note("b", 2, 1);
    ledger.note("a", 2, 1);
}
