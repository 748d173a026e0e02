//! Rooms whose channels Redis does not let us hear: each is tried again after a pause, and none keeps another waiting.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::RoomId;

/// The first pause, and the longest. A right that was given is of use soon after, and thousands of rooms are no load.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(8)];

/// Rooms that are not heard. Each is one of the reader's.
#[derive(Debug, Default)]
pub(super) struct Muted {
    rooms: HashMap<RoomId, Trial>,
}

#[derive(Debug)]
struct Trial {
    /// How often it was refused.
    refused: u32,
    /// When it is tried again; `None` while that is out.
    at: Option<Instant>,
}

// === impl Muted ===

impl Muted {
    /// Redis refuses a room's channel. Says whether that is news.
    pub(super) fn refuse(&mut self, name: &RoomId, now: Instant) -> bool {
        let trial = self.rooms.entry(name.clone()).or_insert(Trial { refused: 0, at: None });
        let [first, longest] = PAUSES;
        let window = first.saturating_mul(1 << trial.refused.min(8)).min(longest);
        trial.refused = trial.refused.saturating_add(1);
        // Drawn from the window's upper half, so that rooms do not come together.
        trial.at = Some(now + window.mul_f64(0.5 + rand::random::<f64>() / 2.0));
        trial.refused == 1
    }

    /// Whether nobody is heard there.
    pub(super) fn has(&self, name: &RoomId) -> bool {
        self.rooms.contains_key(name)
    }

    /// It is heard, or nobody wants to hear it any more.
    pub(super) fn forget(&mut self, name: &RoomId) {
        self.rooms.remove(name);
    }

    /// The connection is gone: all are tried on the next one.
    pub(super) fn clear(&mut self) {
        self.rooms.clear();
    }

    /// How many are not heard.
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Rooms that are to be tried again now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<RoomId> {
        let due = self.rooms.iter_mut().filter(|(_, trial)| trial.at.is_some_and(|at| at <= now));
        due.map(|(name, trial)| {
            trial.at = None;
            name.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_tried_again_after_a_pause_that_grows() {
        let (mut muted, start) = (Muted::default(), Instant::now());
        let room = RoomId::parse("a").unwrap();
        let mut now = start;
        for seconds in [1, 2, 4, 8, 8, 8] {
            let window = Duration::from_secs(seconds);
            assert_eq!(muted.refuse(&room, now), now == start, "news the first time only");
            assert!(muted.due(now + window.mul_f64(0.49)).is_empty(), "{seconds}");
            now += window;
            assert_eq!(muted.due(now), std::slice::from_ref(&room), "{seconds}");
            assert!(muted.due(now).is_empty() && muted.has(&room), "it is out");
        }
        muted.forget(&room);
        assert!(!muted.has(&room) && muted.due(now + PAUSES[1]).is_empty());
    }
}
