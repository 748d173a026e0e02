//! Three nodes on one backplane.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tramline_ws_rooms::{
    Access, Authority, Backplane, Credential, Identity, PeerInfo, Refusal, RoomId, RoomRule, Rooms,
    RoomsConfig,
};

pub(crate) struct Nodes {
    config: RoomsConfig,
    backplane: Backplane,
    nodes: Mutex<Vec<Rooms>>,
}

impl Nodes {
    pub(crate) fn new(origin: String) -> Self {
        let mut config = RoomsConfig::default();
        config.origins = vec![origin];
        config.rules =
            vec![RoomRule::prefix("payment:").with_presence(), RoomRule::prefix("user:").server_only()];
        // A test does not wait for a deploy's minute.
        config.drain_spread = Duration::from_millis(500);
        let backplane = Backplane::memory();
        let nodes = (0..3).map(|_| Rooms::new(config.clone(), Gatekeeper, backplane.clone())).collect();
        Self { config, backplane, nodes: Mutex::new(nodes) }
    }

    pub(crate) fn all(&self) -> Vec<Rooms> {
        self.nodes.lock().expect("nobody panics with it").clone()
    }

    /// A node by its number; the first one for a number that there is not.
    pub(crate) fn node(&self, number: usize) -> Rooms {
        let nodes = self.all();
        nodes.get(number).unwrap_or(&nodes[0]).clone()
    }

    /// Puts a new node in the place of this one, which is returned: as a deploy does.
    pub(crate) fn replace(&self, number: usize) -> Rooms {
        let new = Rooms::new(self.config.clone(), Gatekeeper, self.backplane.clone());
        let mut nodes = self.nodes.lock().expect("nobody panics with it");
        std::mem::replace(&mut nodes[number], new)
    }
}

/// Reads everything from the token.
struct Gatekeeper;

impl Authority for Gatekeeper {
    async fn authenticate(&self, credential: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let Credential::Bearer(user) = credential else { return Err(Refusal::unauthenticated()) };
        match user.as_str() {
            "expired" => return Err(Refusal::unauthenticated()),
            "forbidden" => return Err(Refusal::forbidden("not you")),
            "away" => return Err(Refusal::unavailable("not now", Duration::from_secs(3))),
            _ => {}
        }
        let mut identity = Identity::new(&user, &user, Timestamp::now() + Duration::from_secs(900));
        let rooms = [format!("user:{user}"), "broadcast".to_owned()];
        identity.rooms =
            rooms.iter().map(|name| RoomId::parse(name).expect("a user's id is a name")).collect();
        Ok(identity)
    }

    async fn may_join(&self, _: &Identity, room: &RoomId) -> Access {
        if room.as_str().starts_with("payment:") { Access::Allowed } else { Access::Forbidden }
    }
}
