//! A node with an authority that reads everything from the token, and clients on pipes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tramline_ws_rooms::client::Client;
use tramline_ws_rooms::{
    Access, Authority, Backplane, Credential, Identity, PeerInfo, Publication, Refusal, RoomId, RoomRule,
    Rooms, RoomsConfig, SlowPolicy,
};

/// Longer than anything lasts here that comes at all: a test of what does not come ends by itself, and says so. In paused
/// time pings would go on for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// Tokens are `user/role/session`, `user/role/session/seconds`, or `user/role/session/seconds/age`, which says how long
/// ago it was issued; tickets are `user`. A `roomless` one is in no room of the server's.
#[derive(Clone)]
pub(crate) struct Gatekeeper {
    /// `payment:gated` waits for a permit.
    pub(crate) gate: Arc<Semaphore>,
    /// Authentication waits for a permit.
    pub(crate) door: Arc<Semaphore>,
}

impl Default for Gatekeeper {
    fn default() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), door: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)) }
    }
}

impl Authority for Gatekeeper {
    async fn authenticate(&self, credential: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let _permit = self.door.acquire().await;
        let token = match credential {
            Credential::Bearer(token) => token,
            Credential::Ticket(user) => format!("{user}/customer/ticket"),
            _ => return Err(Refusal::unauthenticated()),
        };
        let parts: Vec<&str> = token.split('/').collect();
        let [user, role, session, rest @ ..] = parts.as_slice() else {
            return Err(Refusal::unauthenticated());
        };
        let seconds: u64 = rest.first().map_or(900, |seconds| seconds.parse().unwrap());
        let end = Timestamp::now() + Duration::from_secs(seconds);
        let mut identity = Identity::new(*user, *session, end);
        identity.issued_at =
            rest.get(1).map(|age| Timestamp::now() - Duration::from_secs(age.parse().unwrap()));
        identity.role = (*role).to_owned();
        if *role != "roomless" {
            identity.rooms =
                vec![room(&format!("user:{user}")), room(&format!("role:{role}")), room("broadcast")];
        }
        identity.token = token;
        Ok(identity)
    }

    async fn may_join(&self, identity: &Identity, room: &RoomId) -> Access {
        match room.as_str() {
            "payment:away" => Access::Unavailable,
            "payment:never" => std::future::pending().await,
            "payment:gated" => {
                let _permit = self.gate.acquire().await;
                if identity.role == "guest" { Access::Forbidden } else { Access::Allowed }
            }
            name if name.starts_with("payment:slow-") => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Access::Allowed
            }
            "system:live" if identity.role == "admin" => Access::Allowed,
            name if name.starts_with("payment:") && identity.role != "guest" => Access::Allowed,
            _ => Access::Forbidden,
        }
    }
}

pub(crate) fn config() -> RoomsConfig {
    let mut config = RoomsConfig::default();
    config.origins = vec!["http://localhost:3000".into()];
    config.rules = vec![
        RoomRule::exact("system:live").local().on_slow(SlowPolicy::DropOldest),
        RoomRule::prefix("payment:").with_presence(),
        RoomRule::prefix("user:").server_only(),
        RoomRule::prefix("role:").server_only(),
    ];
    config
}

pub(crate) fn node() -> Rooms {
    Rooms::new(config(), Gatekeeper::default(), Backplane::memory())
}

pub(crate) fn node_with(config: RoomsConfig) -> Rooms {
    Rooms::new(config, Gatekeeper::default(), Backplane::memory())
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

pub(crate) fn peer() -> PeerInfo {
    PeerInfo::new(IpAddr::from([192, 0, 2, 1]))
}

/// Publishes an event whose id is `id`.
pub(crate) async fn publish(rooms: &Rooms, to: &[&str], id: &str) {
    rooms.publish(publication(to, id)).await.unwrap();
}

pub(crate) fn publication(to: &[&str], id: &str) -> Publication {
    let event = json!({"specversion": "1.0", "id": id, "type": "test.made"}).to_string();
    Publication::new(id, to.iter().map(|name| room(name)).collect(), event).unwrap()
}

/// One event of some size.
pub(crate) fn bulky(to: &[&str], id: &str, bytes: usize) -> Publication {
    let event = json!({"id": id, "data": "x".repeat(bytes)}).to_string();
    Publication::new(id, to.iter().map(|name| room(name)).collect(), event).unwrap()
}

/// The server's end and the client's of a link that carries so many bytes a second to the client, for as long as asked,
/// and any number back.
pub(crate) fn slow_link(bytes_per_second: usize, lasts: Duration) -> (DuplexStream, DuplexStream) {
    let (server_end, mut link) = tokio::io::duplex(1_024);
    let (mut other_end, client_end) = tokio::io::duplex(1_024);
    tokio::spawn(async move {
        let (mut from_server, mut to_server) = tokio::io::split(&mut link);
        let (mut from_client, mut to_client) = tokio::io::split(&mut other_end);
        let down = async {
            let mut tenth = vec![0; bytes_per_second / 10];
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            loop {
                ticks.tick().await;
                let Ok(read @ 1..) = from_server.read(&mut tenth).await else { return };
                to_client.write_all(&tenth[..read]).await.unwrap();
            }
        };
        let up = tokio::io::copy(&mut from_client, &mut to_server);
        tokio::select! {
            () = down => return,
            _ = up => return,
            () = tokio::time::sleep(lasts) => {}
        }
        // From here on nothing passes, and neither end hears of it.
        std::future::pending::<()>().await;
    });
    (server_end, client_end)
}

/// A client on a pipe, and the server's side as a task that ends with the close code.
pub(crate) struct Peer {
    pub(crate) client: Client<DuplexStream>,
    pub(crate) server: JoinHandle<u16>,
    pub(crate) welcome: Value,
}

impl Peer {
    pub(crate) async fn connect(rooms: &Rooms, token: &str) -> Self {
        Self::connect_with_pipe(rooms, token, 64 * 1024).await
    }

    /// The pipe is what the operating system's socket buffers are otherwise.
    pub(crate) async fn connect_with_pipe(rooms: &Rooms, token: &str, pipe: usize) -> Self {
        let credential = Credential::Bearer(token.into());
        let admission = rooms.admit(credential, peer()).await.unwrap();
        let (near, far) = tokio::io::duplex(pipe);
        let rooms = rooms.clone();
        let server = tokio::spawn(async move { rooms.serve(admission, far).await });
        let mut peer = Self { client: Client::over(near).await, server, welcome: Value::Null };
        peer.welcome = peer.expect("welcome").await;
        peer
    }

    /// Behind a [`slow_link`].
    pub(crate) async fn connect_over_slow_link(
        rooms: &Rooms,
        token: &str,
        bytes_per_second: usize,
        lasts: Duration,
    ) -> Self {
        let admission = rooms.admit(Credential::Bearer(token.into()), peer()).await.unwrap();
        let (server_end, client_end) = slow_link(bytes_per_second, lasts);
        let rooms = rooms.clone();
        let server = tokio::spawn(async move { rooms.serve(admission, server_end).await });
        let mut peer = Self { client: Client::over(client_end).await, server, welcome: Value::Null };
        peer.welcome = peer.expect("welcome").await;
        peer
    }

    /// The next frame, pings aside.
    pub(crate) async fn next(&mut self) -> Value {
        let told = async {
            loop {
                let frame = self.frame().await.expect("a frame, not the end");
                if frame["type"] != "ping" {
                    return frame;
                }
            }
        };
        timeout(PATIENCE, told).await.expect("a frame that is no ping")
    }

    pub(crate) async fn frame(&mut self) -> Option<Value> {
        let text = timeout(PATIENCE, self.client.next_text()).await.expect("a frame, or the end").unwrap()?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The next frame, which is of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], kind, "{frame}");
        frame
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.client.send_text(frame.to_string()).await.unwrap();
    }

    pub(crate) async fn ask(&mut self, frame: Value) -> Value {
        self.send(frame).await;
        self.next().await
    }

    /// Everything up to the end; the code of the close frame.
    pub(crate) async fn rest(&mut self) -> (Vec<Value>, Option<u16>) {
        let mut frames = Vec::new();
        let all = async {
            while let Ok(Some(text)) = self.client.next_text().await {
                frames.push(serde_json::from_str(&text).unwrap());
            }
        };
        timeout(PATIENCE, all).await.expect("the connection ends");
        (frames, self.client.close_code())
    }

    /// Proves that nothing else is queued: what comes next is the answer to a ping.
    pub(crate) async fn quiet(&mut self) {
        self.send(json!({"type": "ping", "id": "quiet"})).await;
        let frame = self.next().await;
        assert_eq!(frame, json!({"type": "pong", "id": "quiet"}));
    }

    /// Where a room stood at the welcome.
    pub(crate) fn place(&self, room: &str) -> Value {
        let rooms = self.welcome["rooms"].as_array().unwrap();
        let found = rooms.iter().find(|entry| entry["room"] == room).unwrap();
        json!({"epoch": found["epoch"], "offset": found["offset"]})
    }
}

/// Lets every task run until all of them wait.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

impl Peer {
    /// Collects the frames of `user:ada` that come before the answer to a ping.
    pub(crate) async fn frame_until_pong(&mut self, frames: &mut Vec<Value>) {
        self.send(json!({"type": "ping", "id": "until"})).await;
        loop {
            let frame = self.next().await;
            if frame == json!({"type": "pong", "id": "until"}) {
                return;
            }
            if frame["room"] == "user:ada" {
                frames.push(frame);
            }
        }
    }
}
