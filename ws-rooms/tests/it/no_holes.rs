//! Whatever happens, offsets have no holes and every event comes once.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tramline_ws_rooms::{RoomRule, Rooms, SlowPolicy};

use crate::support::{Peer, config, node_with, publication, settle};

const ROOMS: [&str; 4] = ["user:ada", "role:customer", "broadcast", "payment:1"];

#[derive(Clone, Debug)]
enum Step {
    /// Into the rooms of this mask.
    Publish(u8),
    /// Without reading first: what is under way is lost with the link.
    Reconnect,
    Read,
    /// And answered before anything else happens, or not.
    Recover(usize, bool),
    Leave,
    NewEpochs,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1_u8..16).prop_map(Step::Publish),
        2 => Just(Step::Reconnect),
        2 => Just(Step::Read),
        2 => (0_usize..4, any::<bool>()).prop_map(|(room, answered)| Step::Recover(room, answered)),
        1 => Just(Step::Leave),
        1 => Just(Step::NewEpochs),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A client that keeps its places as the protocol says, and complains.
#[derive(Default)]
struct Reader {
    places: HashMap<String, (Value, u64)>,
    /// How often each event came live, per connection.
    live: HashMap<String, u32>,
    /// The ids known per room, by number.
    known: HashMap<(String, String, u64), String>,
    /// Rooms that were to be loaded anew.
    reloads: u32,
}

impl Reader {
    fn take(&mut self, frame: &Value) {
        let room = frame["room"].as_str().unwrap_or_default().to_owned();
        let offset = frame["offset"].as_u64().unwrap_or_default();
        match frame["type"].as_str().unwrap() {
            kind @ ("event" | "position") => {
                let id = if kind == "event" { &frame["event"]["id"] } else { &frame["id"] };
                let id = id.as_str().unwrap().to_owned();
                let (epoch, last) = self.places.get_mut(&room).expect("a known room");
                assert_eq!(offset, *last + 1, "a hole in {room}: {frame}");
                *last = offset;
                let epoch = epoch.to_string();
                let times = self.live.entry(id.clone()).or_insert(0);
                if kind == "event" {
                    *times += 1;
                    assert_eq!(*times, 1, "twice on one connection: {frame}");
                } else {
                    assert_eq!(*times, 1, "a position before its event: {frame}");
                }
                self.knows(room, epoch, offset, &id);
            }
            "gap" => {
                self.reloads += 1;
                self.places.insert(room, (frame["epoch"].clone(), offset));
            }
            "subscribed" => {
                let epoch = frame["epoch"].clone();
                let events = frame["events"].as_array().unwrap();
                if frame["recovered"] == true {
                    let (before, last) = &self.places[&room];
                    assert_eq!(*before, epoch);
                    // What came live since the request's `since` is in there again.
                    let first = offset + 1 - events.len() as u64;
                    assert!(first <= *last + 1, "a hole in a recovery of {room}");
                    for (entry, number) in events.iter().zip(first..) {
                        assert_eq!(entry["offset"], number);
                        let id = entry["event"]["id"].as_str().unwrap();
                        self.knows(room.clone(), epoch.to_string(), number, id);
                    }
                } else {
                    assert!(events.is_empty());
                    self.reloads += 1;
                }
                self.places.insert(room, (epoch, offset));
            }
            _ => {}
        }
    }

    /// One number, one event, for ever.
    fn knows(&mut self, room: String, epoch: String, offset: u64, id: &str) {
        let known = self.known.entry((room, epoch, offset)).or_insert_with(|| id.to_owned());
        assert_eq!(known, id);
    }
}

async fn connect(rooms: &Rooms, reader: &mut Reader, pipe: usize) -> Peer {
    let mut peer = Peer::connect_with_pipe(rooms, "ada/customer/s1", pipe).await;
    reader.live.clear();
    let places: Vec<(String, Value)> = ROOMS
        .iter()
        .filter_map(|room| {
            let (epoch, offset) = reader.places.get(*room)?;
            Some(((*room).to_owned(), json!({"epoch": epoch, "offset": offset})))
        })
        .collect();
    if places.is_empty() {
        for room in &ROOMS[..3] {
            let place = peer.place(room);
            let offset = place["offset"].as_u64().unwrap();
            reader.places.insert((*room).to_owned(), (place["epoch"].clone(), offset));
        }
    } else {
        // Live frames from the new welcome's places on may come before the answers.
        let known = std::mem::take(&mut reader.places);
        for room in &ROOMS[..3] {
            let place = peer.place(room);
            let offset = place["offset"].as_u64().unwrap();
            reader.places.insert((*room).to_owned(), (place["epoch"].clone(), offset));
        }
        for (room, since) in places {
            let ask = json!({"type": "subscribe", "room": room, "since": since});
            peer.send(ask).await;
            let (epoch, offset) = known[&room].clone();
            loop {
                let frame = peer.next().await;
                if frame["type"] == "subscribed" {
                    reader.places.insert(room, (epoch, offset));
                    reader.take(&frame);
                    break;
                }
                reader.take(&frame);
            }
        }
    }
    peer
}

async fn read(peer: &mut Peer, reader: &mut Reader) {
    peer.send(json!({"type": "ping", "id": "read"})).await;
    loop {
        let frame = peer.next().await;
        if frame["type"] == "pong" {
            return;
        }
        reader.take(&frame);
    }
}

async fn play(steps: Vec<Step>, drops: Option<SlowPolicy>) {
    let mut config = config();
    config.limits.messages_per_second = 10_000;
    let mut pipe = 64 * 1024;
    if let Some(policy) = drops {
        // Some ten events wait at most, and the link holds two.
        config.rules.insert(0, RoomRule::prefix("").on_slow(policy));
        config.limits.queued_bytes = 1_500;
        pipe = 256;
    }
    let rooms = node_with(config);
    let mut reader = Reader::default();
    let mut peer = connect(&rooms, &mut reader, pipe).await;
    let mut expected: HashMap<&str, u64> = HashMap::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Publish(mask) => {
                let to: Vec<&str> =
                    (0..4).filter(|bit| mask & (1 << bit) != 0).map(|bit| ROOMS[bit]).collect();
                rooms.publish(publication(&to, &format!("e{number}"))).await.unwrap();
                for room in to {
                    *expected.entry(room).or_default() += 1;
                }
            }
            Step::Reconnect => {
                drop(peer);
                settle().await;
                peer = connect(&rooms, &mut reader, pipe).await;
            }
            Step::Read => read(&mut peer, &mut reader).await,
            Step::Recover(index, answered) => {
                let room = ROOMS[index];
                let mut ask = json!({"type": "subscribe", "room": room});
                if let Some((epoch, offset)) = reader.places.get(room) {
                    ask["since"] = json!({"epoch": epoch, "offset": offset});
                }
                peer.send(ask).await;
                if answered {
                    settle().await;
                }
            }
            Step::Leave => {
                read(&mut peer, &mut reader).await;
                peer.send(json!({"type": "unsubscribe", "room": "payment:1"})).await;
                read(&mut peer, &mut reader).await;
                reader.places.remove("payment:1");
            }
            Step::NewEpochs => {
                rooms.new_epochs().await;
                expected.clear();
            }
        }
    }
    read(&mut peer, &mut reader).await;
    for room in &ROOMS[..3] {
        let (epoch, offset) = &reader.places[*room];
        assert_eq!(*offset, expected.get(room).copied().unwrap_or(0), "the end of {room}");
        if reader.reloads == 0 {
            for number in 1..=*offset {
                let key = ((*room).to_owned(), epoch.to_string(), number);
                assert!(reader.known.contains_key(&key), "{room} #{number} never came");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn offsets_have_no_holes(
        steps in steps(),
        drops in proptest::option::of(prop_oneof![Just(SlowPolicy::DropOldest), Just(SlowPolicy::Latest)]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(play(steps, drops));
    }
}
