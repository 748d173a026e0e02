//! The sockets: who may connect, which rooms there are, and how events reach them.

mod authority;
mod bridge;
mod joining;

use chassis::Shell;
use chassis::auth::Auth;
use chassis::config::ConfigError;
use tramline_cache::Store;
use tramline_observability::health::Need;
use tramline_session_sync::tickets::Tickets;
use tramline_streaming_proxy::Forwarder;
use tramline_ws_rooms::{Backplane, RoomRule, Rooms, RoomsConfig, SlowPolicy};

use crate::config::Config;
use crate::live;

use self::authority::Gatekeeper;
pub(crate) use self::bridge::{DELIVERY, LAG};
use self::joining::{Admins, Parties};

/// The node's rooms. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    rooms: Rooms,
    auth: Auth,
}

/// What the sockets share with other processes, if anything.
pub(crate) struct Engines {
    pub(crate) tickets: Option<Tickets>,
    pub(crate) cache: Store,
    pub(crate) backplane: Backplane,
}

impl Sockets {
    /// The rooms of the contract on this node.
    pub(crate) fn open(
        config: &Config,
        shell: &Shell,
        auth: &Auth,
        engines: Engines,
        forwarder: Forwarder,
    ) -> Result<Self, ConfigError> {
        let Engines { tickets, cache, backplane } = engines;
        let parties =
            Parties::new(&cache, forwarder).map_err(|fault| ConfigError::new("REDIS_URL", fault))?;
        let mut rooms = RoomsConfig::default();
        rooms.origins.clone_from(&config.origins);
        rooms.rules = vec![
            RoomRule::prefix("user:").server_only().with_presence(),
            RoomRule::prefix("role:").server_only(),
            RoomRule::exact("broadcast").server_only(),
            RoomRule::prefix("payment:").with_presence().authorised_by(parties),
            // Samples are worth nothing once the next is there: a slow reader gets the newest, and is told.
            RoomRule::exact(live::ROOM).local().on_slow(SlowPolicy::Latest).authorised_by(Admins),
        ];
        let numbered = backplane.clone();
        // Optional: without it sockets are refused or wait, and all else goes on.
        shell.health().check("rooms", Need::Optional, move || {
            let up = numbered.is_up();
            async move { if up { Ok(()) } else { Err("the rooms' backplane is away") } }
        });
        let gatekeeper = Gatekeeper::new(auth.verifier().clone(), tickets);
        Ok(Self { rooms: Rooms::new(rooms, gatekeeper, backplane), auth: auth.clone() })
    }

    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Starts the feed that carries events into the rooms.
    pub(crate) fn bridge(&self, shell: &Shell) {
        bridge::spawn(shell, self.rooms.clone(), self.auth.revocations().clone());
    }
}
