//! The sockets: who may connect, which rooms there are, and how events reach them.

mod authority;
mod bridge;

use chassis::Shell;
use chassis::auth::Auth;
use tramline_cache::Cache;
use tramline_session_sync::tickets::Tickets;
use tramline_streaming_proxy::Forwarder;
use tramline_ws_rooms::{Backplane, RoomRule, Rooms, RoomsConfig, SlowPolicy};

use crate::config::Config;
use crate::live;

use self::authority::Gatekeeper;
pub(crate) use self::bridge::{DELIVERY, LAG};

/// The node's rooms. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    rooms: Rooms,
    auth: Auth,
}

impl Sockets {
    /// The rooms of the contract on this node.
    pub(crate) fn open(
        config: &Config,
        auth: &Auth,
        tickets: Option<Tickets>,
        cache: Cache,
        forwarder: Forwarder,
    ) -> Self {
        let mut rooms = RoomsConfig::default();
        rooms.origins.clone_from(&config.origins);
        rooms.rules = vec![
            RoomRule::prefix("user:").server_only().with_presence(),
            RoomRule::prefix("role:").server_only(),
            RoomRule::exact("broadcast").server_only(),
            RoomRule::prefix("payment:").with_presence(),
            // Samples are worth nothing once the next is there: a slow reader gets the newest, and is told.
            RoomRule::exact(live::ROOM).local().on_slow(SlowPolicy::Latest),
        ];
        let gatekeeper = Gatekeeper::new(auth.verifier().clone(), tickets, cache, forwarder);
        Self { rooms: Rooms::new(rooms, gatekeeper, Backplane::memory()), auth: auth.clone() }
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Starts the feed that carries events into the rooms.
    pub(crate) fn bridge(&self, shell: &Shell) {
        bridge::spawn(shell, self.rooms.clone(), self.auth.revocations().clone());
    }
}
