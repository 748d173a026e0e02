//! Publications that came through one of their rooms, so that their other rooms share what was delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::backplane::Fanout;
use crate::publication::Publication;

/// Publications that are remembered. Between the rooms of one, each other node may have put a batch of its own.
const KEPT: usize = 256;
/// Bytes of their events together.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// The newest publications with several rooms, by id. What has been forgotten reaches a connection in each of
/// its rooms as an event, and its client drops the repeat by the id.
#[derive(Debug, Default)]
pub(super) struct Fanouts {
    known: HashMap<Arc<str>, Fanout>,
    order: VecDeque<Arc<str>>,
    bytes: usize,
}

// === impl Fanouts ===

impl Fanouts {
    /// The way of this publication on this node.
    pub(super) fn of(&mut self, publication: Arc<Publication>) -> Fanout {
        if publication.rooms().len() < 2 {
            return Fanout::new(publication);
        }
        if let Some(known) = self.known.get(publication.id())
            && known.publication().rooms() == publication.rooms()
        {
            return known.clone();
        }
        let id: Arc<str> = publication.id().into();
        let size = publication.event().len();
        let fanout = Fanout::new(publication);
        match self.known.insert(Arc::clone(&id), fanout.clone()) {
            Some(other) => self.bytes -= other.publication().event().len(),
            None => self.order.push_back(id),
        }
        self.bytes += size;
        while self.order.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(forgotten) = self.known.remove(&oldest) {
                self.bytes -= forgotten.publication().event().len();
            }
        }
        fanout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::RoomId;

    fn publication(id: &str, rooms: &[&str]) -> Arc<Publication> {
        let rooms = rooms.iter().map(|name| RoomId::parse(name).unwrap()).collect();
        Arc::new(Publication::new(id, rooms, "{}").unwrap())
    }

    fn same(one: &Fanout, other: &Fanout) -> bool {
        Arc::ptr_eq(one.publication(), other.publication())
    }

    #[test]
    fn rooms_of_one_publication_share_its_way_for_a_while() {
        let mut fanouts = Fanouts::default();
        let first = fanouts.of(publication("1", &["a", "b"]));
        assert!(same(&first, &fanouts.of(publication("1", &["a", "b"]))));
        assert!(!same(&first, &fanouts.of(publication("1", &["a"]))));
        let other = fanouts.of(publication("1", &["a", "c"]));
        assert!(!same(&first, &other), "an id with other rooms is another publication");
        for number in 0..KEPT {
            fanouts.of(publication(&format!("n{number}"), &["a", "b"]));
        }
        assert!(!same(&other, &fanouts.of(publication("1", &["a", "c"]))));
        assert_eq!((fanouts.known.len(), fanouts.order.len()), (KEPT, KEPT));
    }

    #[test]
    fn large_ones_are_bounded_by_their_bytes() {
        let mut fanouts = Fanouts::default();
        let rooms: Vec<RoomId> = ["a", "b"].iter().map(|name| RoomId::parse(name).unwrap()).collect();
        let event = format!("{{\"x\":\"{}\"}}", "y".repeat(64 * 1024));
        for number in 0..200 {
            fanouts.of(Arc::new(Publication::new(format!("n{number}"), rooms.clone(), &event).unwrap()));
        }
        assert!(fanouts.bytes <= KEPT_BYTES && fanouts.known.len() < 64, "{}", fanouts.known.len());
    }
}
