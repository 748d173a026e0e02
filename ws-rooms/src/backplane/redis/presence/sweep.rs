//! What nodes have left in rooms that nobody could bury them from: Redis has evicted their list of rooms, or their lease.
//!
//! Each node looks through its own rooms for names without a lease. A node that lives may be without one for a moment,
//! until it finds that out itself; who is without one after a whole lease is gone.

use std::collections::{HashMap, HashSet};

use ::redis::RedisResult;
use tokio::time::Instant;

use crate::protocol::RoomId;

use super::attendance::BATCH;
use super::keeper::{AGAIN, Keeper};
use crate::backplane::redis::connection::Link;

/// When rooms are looked through, and what was found.
pub(super) struct Sweep {
    at: Instant,
    /// Names without a lease that stood in rooms the last time.
    suspects: HashSet<String>,
}

// === impl Sweep ===

impl Sweep {
    pub(super) fn new() -> Self {
        Self { at: Instant::now() + AGAIN, suspects: HashSet::new() }
    }

    /// A node has gone. Those who are suspected keep their time.
    pub(super) fn soon(&mut self) {
        if self.suspects.is_empty() {
            self.at = self.at.min(Instant::now());
        }
    }
}

impl Keeper {
    /// Looks through the rooms of this node when it is time.
    pub(super) async fn look_through(&mut self, link: &Link) -> RedisResult<()> {
        if self.sweep.at > Instant::now() {
            return Ok(());
        }
        let rooms = self.attendance.rooms();
        let mut suspects = HashSet::new();
        for rooms in rooms.chunks(BATCH) {
            self.keep_lease(link).await?;
            let mut pipe = ::redis::pipe();
            for room in rooms {
                pipe.add_command(self.scripts().nodes(&self.place(link, room)));
            }
            let answers = link.each::<Vec<String>>(&mut pipe).await?;
            let mut gone: HashMap<String, Vec<RoomId>> = HashMap::new();
            for (room, names) in rooms.iter().zip(answers) {
                for name in names.unwrap_or_default() {
                    if self.nodes.contains(&name) {
                        continue;
                    }
                    if self.sweep.suspects.contains(&name) {
                        gone.entry(name).or_default().push(room.clone());
                    } else {
                        suspects.insert(name);
                    }
                }
            }
            for (node, rooms) in gone {
                tracing::warn!(rooms = rooms.len(), "a node is gone that nobody has buried");
                let mut pipe = ::redis::pipe();
                self.bury_in(&mut pipe, link, &node, &rooms);
                link.each::<::redis::Value>(&mut pipe).await?;
                self.orphan(rooms);
            }
        }
        let again = if suspects.is_empty() { AGAIN } else { self.connector.config.lease };
        self.sweep = Sweep { at: Instant::now() + again, suspects };
        Ok(())
    }
}
