//! The suite for backplanes (feature `test-support`): what [`Driver`](crate::backplane::Driver)
//! promises, seen from sockets.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! use tramline_ws_rooms::Backplane;
//! use tramline_ws_rooms::conformance::{Capabilities, run};
//!
//! run(Backplane::memory, &Capabilities::default()).await;
//! # }
//! ```

#![allow(clippy::missing_panics_doc, reason = "a test suite reports by panicking")]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use tokio::io::DuplexStream;

use crate::auth::{Access, Authority, Credential, Identity, PeerInfo};
use crate::backplane::Backplane;
use crate::client::Client;
use crate::config::RoomsConfig;
use crate::protocol::{GapReason, NotRecovered, Position, Request, RoomId, ServerFrame, Subscribed};
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::rooms::Rooms;

/// What a backplane under test can do.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Capabilities {
    /// Handles from one call of `make` may be cloned onto several nodes, which share numbers.
    pub several_nodes: bool,
    /// Events that a room keeps; the suite publishes more to see the rest trimmed.
    pub history: usize,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self { several_nodes: true, history: 256 }
    }
}

/// Runs the whole suite on fresh backplanes; panics with what is wrong.
pub async fn run(make: impl Fn() -> Backplane, can: &Capabilities) {
    numbers_count_by_one(make()).await;
    an_id_counts_once(make()).await;
    an_id_outlives_its_event(make(), can).await;
    recovery_is_whole_or_nothing(make(), can).await;
    a_lost_place_is_told(make()).await;
    a_skipped_event_is_a_gap(make()).await;
    if can.several_nodes {
        nodes_share_numbers(make()).await;
    }
}

async fn numbers_count_by_one(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    for offset in 1..=5 {
        publish(&node, &["a", "b"], &format!("n{offset}")).await;
    }
    let mut at = [0, 0];
    for _ in 0..10 {
        let (room, offset) = match next(&mut reader).await {
            ServerFrame::Event(event) => (event.room, event.offset),
            ServerFrame::Position(moved) => (moved.room, moved.offset),
            other => panic!("not an event: {other:?}"),
        };
        let index = usize::from(room.as_str() == "b");
        at[index] += 1;
        assert_eq!(offset, at[index], "a hole in {room}");
    }
    assert_eq!(at, [5, 5]);
}

async fn an_id_counts_once(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    for id in ["x", "x", "y"] {
        publish(&node, &["a"], id).await;
    }
    for (offset, id) in [(1, "x"), (2, "y")] {
        let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
        assert_eq!((event.offset, event.event["id"].as_str()), (offset, Some(id)));
    }
}

/// A source may deliver again what the history has dropped since.
async fn an_id_outlives_its_event(backplane: Backplane, can: &Capabilities) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let ids: Vec<String> = (0..=can.history).map(|number| format!("o{number}")).collect();
    let again = [ids[0].clone(), "last".to_owned()];
    for (offset, id) in (1..).zip(ids.iter().chain([&again[1]])) {
        if *id == again[1] {
            publish(&node, &["a"], &again[0]).await;
        }
        publish(&node, &["a"], id).await;
        let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
        assert_eq!((event.offset, event.event["id"].as_str()), (offset, Some(id.as_str())));
    }
}

async fn recovery_is_whole_or_nothing(backplane: Backplane, can: &Capabilities) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let start = subscribe(&mut reader, None).await;
    let epoch = start.epoch.as_str();
    for number in 0..3 {
        publish(&node, &["a"], &format!("r{number}")).await;
    }
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 1))).await;
    assert_eq!((answer.recovered, answer.offset), (Some(true), 3));
    let offsets: Vec<u64> = answer.events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, [2, 3]);
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 3))).await;
    assert_eq!((answer.recovered, answer.events.len()), (Some(true), 0));
    for (since, reason) in
        [(Position::new("another", 0), NotRecovered::Epoch), (Position::new(epoch, 4), NotRecovered::Epoch)]
    {
        let answer = subscribe(&mut reader, Some(since)).await;
        assert_eq!((answer.reason, answer.events.len()), (Some(reason), 0));
    }
    for number in 0..=can.history {
        publish(&node, &["a"], &format!("t{number}")).await;
    }
    let answer = subscribe(&mut reader, Some(Position::new(epoch, 1))).await;
    assert_eq!((answer.recovered, answer.events.len()), (Some(false), 0));
    assert!(matches!(answer.reason, Some(NotRecovered::Trimmed | NotRecovered::TooMany)));
}

async fn a_lost_place_is_told(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    publish(&node, &["a"], "before").await;
    next(&mut reader).await;
    node.new_epochs().await;
    let mut told = Vec::new();
    for _ in 0..2 {
        let ServerFrame::Gap(gap) = next(&mut reader).await else { panic!("a gap is due") };
        told.push(gap);
    }
    let gap = told.iter().find(|gap| gap.room.as_str() == "a").expect("every room is told");
    publish(&node, &["a"], "after").await;
    let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
    assert_eq!(event.offset, gap.offset + 1);
}

async fn a_skipped_event_is_a_gap(backplane: Backplane) {
    let node = node(backplane);
    let mut reader = connect(&node).await;
    let start = subscribe(&mut reader, None).await;
    publish(&node, &["a"], "before").await;
    next(&mut reader).await;
    let room = RoomId::parse("a").expect("a valid name");
    for _ in 0..2 {
        node.skip("skipped", std::slice::from_ref(&room), GapReason::Source)
            .await
            .expect("the backplane is there");
    }
    publish(&node, &["a"], "after").await;
    let ServerFrame::Gap(gap) = next(&mut reader).await else { panic!("a gap is due") };
    assert_eq!((gap.offset, gap.reason), (2, GapReason::Source));
    let ServerFrame::Event(event) = next(&mut reader).await else { panic!("an event is due") };
    assert_eq!(event.offset, 3, "once for its id");
    for (offset, whole) in [(0, false), (1, false), (2, true), (3, true)] {
        let answer = subscribe(&mut reader, Some(Position::new(start.epoch.as_str(), offset))).await;
        assert_eq!(answer.recovered, Some(whole), "from {offset} on");
    }
}

async fn nodes_share_numbers(backplane: Backplane) {
    let (east, west) = (node(backplane.clone()), node(backplane));
    let mut readers = [connect(&east).await, connect(&west).await];
    publish(&east, &["a"], "e").await;
    publish(&west, &["a"], "w").await;
    publish(&east, &["a"], "w").await;
    publish(&east, &["a"], "last").await;
    let mut seen = Vec::new();
    for reader in &mut readers {
        let mut ids = Vec::new();
        for offset in 1..=3 {
            let ServerFrame::Event(event) = next(reader).await else { panic!("an event is due") };
            assert_eq!(event.offset, offset);
            ids.push(event.event["id"].clone());
        }
        seen.push(ids);
    }
    assert_eq!(seen[0], seen[1], "one order for all nodes");
}

/// Lets everybody in, into the rooms `a` and `b`.
struct Open;

impl Authority for Open {
    async fn authenticate(&self, _: Credential, _: &PeerInfo) -> Result<Identity, Refusal> {
        let end = Timestamp::now() + Duration::from_secs(900);
        let mut identity = Identity::new("user", "session", end);
        identity.rooms = vec![room("a"), room("b")];
        Ok(identity)
    }

    async fn may_join(&self, _: &Identity, _: &RoomId) -> Access {
        Access::Allowed
    }
}

fn node(backplane: Backplane) -> Rooms {
    Rooms::new(RoomsConfig::default(), Open, backplane)
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).expect("a valid name")
}

async fn connect(node: &Rooms) -> Client<DuplexStream> {
    let peer = PeerInfo::new([127, 0, 0, 1].into());
    let admitted = node.admit(Credential::Bearer(String::new()), peer).await;
    let admission = admitted.expect("everybody is let in");
    let (near, far) = tokio::io::duplex(256 * 1024);
    let node = node.clone();
    tokio::spawn(async move { node.serve(admission, far).await });
    let mut client = Client::over(near).await;
    assert!(matches!(next(&mut client).await, ServerFrame::Welcome(_)));
    client
}

async fn publish(node: &Rooms, rooms: &[&str], id: &str) {
    let event = json!({ "id": id }).to_string();
    let rooms = rooms.iter().map(|name| room(name)).collect();
    let publication = Publication::new(id, rooms, event).expect("a JSON object");
    node.publish(publication).await.expect("the backplane is there");
}

/// The next frame, within what a network may take.
async fn next(client: &mut Client<DuplexStream>) -> ServerFrame {
    let frame = tokio::time::timeout(Duration::from_secs(10), client.next()).await;
    frame.expect("a frame is due").expect("a whole frame").expect("an open connection")
}

async fn subscribe(client: &mut Client<DuplexStream>, since: Option<Position>) -> Subscribed {
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
