//! Nodes that let everybody in, and their readers.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::io::DuplexStream;

use crate::auth::{Access, Authority, Credential, Identity, PeerInfo};
use crate::backplane::Backplane;
use crate::client::Client;
use crate::config::{RoomRule, RoomsConfig};
use crate::protocol::{Position, Request, RoomId, ServerFrame, Subscribed};
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::rooms::Rooms;

/// Lets everybody in, into the rooms `a` and `b`.
pub(super) struct Open;

impl Authority for Open {
    async fn authenticate(&self, credential: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let end = Timestamp::now() + Duration::from_secs(900);
        let Credential::Bearer(user) = credential else { return Err(Refusal::unauthenticated()) };
        let mut identity = Identity::new(user, "session", end);
        identity.rooms = vec![room("a"), room("b")];
        Ok(identity)
    }

    async fn may_join(&self, _: &Identity, _: &RoomId) -> Access {
        Access::Allowed
    }
}

pub(super) fn node(backplane: Backplane) -> Rooms {
    let rules = vec![RoomRule::exact("people").with_presence()];
    let config = RoomsConfig { rules, ..RoomsConfig::default() };
    Rooms::new(config, Open, backplane)
}

pub(super) fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a valid name")
}

pub(super) async fn connect(node: &Rooms) -> Client<DuplexStream> {
    connect_at(node, "a").await.0
}

/// A connection, and where a room stood at its welcome.
pub(super) async fn connect_at(node: &Rooms, room: &str) -> (Client<DuplexStream>, Position) {
    connect_as(node, "user", room).await
}

/// The same for a user.
pub(super) async fn connect_as(node: &Rooms, user: &str, room: &str) -> (Client<DuplexStream>, Position) {
    let peer = PeerInfo::new([127, 0, 0, 1].into());
    let admitted = node.admit(Credential::Bearer(user.to_owned()), peer).await;
    let admission = admitted.expect("everybody is let in");
    let (near, far) = tokio::io::duplex(256 * 1024);
    let node = node.clone();
    tokio::spawn(async move { node.serve(admission, far).await });
    let mut client = Client::over(near).await;
    let ServerFrame::Welcome(welcome) = next(&mut client).await else { panic!("a welcome is due") };
    let place =
        welcome.rooms.iter().find(|place| place.room.as_str() == room).expect("a room of the server's");
    let place = Position::new(place.epoch.as_str(), place.offset);
    (client, place)
}

pub(super) async fn publish(node: &Rooms, rooms: &[&str], id: &str) {
    let event = json!({ "id": id }).to_string();
    let rooms = rooms.iter().map(|name| room(name)).collect();
    let publication = Publication::new(id, rooms, event).expect("a JSON object");
    node.publish(publication).await.expect("the backplane is there");
}

/// The next frame, within what a network may take.
pub(super) async fn next(client: &mut Client<DuplexStream>) -> ServerFrame {
    let frame = tokio::time::timeout(Duration::from_secs(60), client.next()).await;
    frame.expect("a frame is due").expect("a whole frame").expect("an open connection")
}

pub(super) async fn subscribe(client: &mut Client<DuplexStream>, since: Option<Position>) -> Subscribed {
    let request = match since {
        Some(since) => Request::recover("a", since),
        None => Request::subscribe("a"),
    };
    client.send(&request, None).await.expect("an open connection");
    loop {
        if let ServerFrame::Subscribed(answer) = next(client).await {
            return answer;
        }
    }
}
