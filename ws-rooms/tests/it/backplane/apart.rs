//! What Redis refuses, or is late with, for one room is that room's own trouble.

use std::time::Duration;

use devkit::Redis;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tramline_event_hub::{Event, Outcome};
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::{Backplane, Bridge, BridgeRule, ErrorKind, Rooms};

use super::{expect_events, node_on, raw, settings};
use crate::support::{Gatekeeper, Peer, config, publication, publish};

/// A Redis of the test's own, so that its connections can be counted.
pub(super) struct Alone {
    pub(super) server: Redis,
    pub(super) redis: MultiplexedConnection,
    pub(super) settings: RedisConfig,
    pub(super) rooms: Rooms,
}

impl Alone {
    pub(super) async fn start(patience: Duration) -> Option<Self> {
        devkit::engines::redis().await?;
        let server = Redis::start().await.unwrap();
        let mut settings = settings(&server.url());
        settings.patience = patience;
        let redis = raw(&server.url()).await;
        let rooms = node_on(&settings);
        Some(Self { server, redis, settings, rooms })
    }

    /// Puts something under a room's key that is none of ours.
    async fn spoil(&mut self, room: &str, end: &str) {
        let key = format!("{}{{{room}}}{end}", self.settings.prefix);
        redis::cmd("SET").arg(key).arg("somebody else's").exec_async(&mut self.redis).await.unwrap();
    }

    async fn mend(&mut self, room: &str, end: &str) {
        let key = format!("{}{{{room}}}{end}", self.settings.prefix);
        redis::cmd("DEL").arg(key).exec_async(&mut self.redis).await.unwrap();
    }

    pub(super) async fn set(&mut self, name: &str, value: &str) {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec_async(&mut self.redis).await.unwrap();
    }

    /// A number that Redis counts.
    async fn info(&mut self, section: &str, field: &str) -> u64 {
        let info: String = redis::cmd("INFO").arg(section).query_async(&mut self.redis).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let digits = line.map(|line| line.trim_start_matches("calls="));
        let number = digits.and_then(|digits| digits.split(',').next());
        number.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    }

    async fn connections(&mut self) -> u64 {
        self.info("stats", "total_connections_received").await
    }
}

/// Asks, no more often than a client may, until the answer is as expected.
async fn ask_until(
    peer: &mut Peer,
    frame: &serde_json::Value,
    expected: impl Fn(&serde_json::Value) -> bool,
) {
    while !expected(&peer.ask(frame.clone()).await) {
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Somebody else's value under one room's key: its publishers hear so, the others are in the same round trips.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_cannot_be_written_keeps_no_other_from_it() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    publish(&alone.rooms, &["broadcast"], "e0").await;
    alone.spoil("payment:1", "i").await;
    let before = alone.connections().await;
    let sent = (1..=40).map(|number| {
        let rooms = alone.rooms.clone();
        tokio::spawn(async move {
            let to = if number % 2 == 0 { "broadcast" } else { "payment:1" };
            (to, rooms.publish(publication(&[to], &format!("e{number}"))).await)
        })
    });
    for sent in futures_util::future::join_all(sent).await {
        let (to, result) = sent.unwrap();
        match to {
            "broadcast" => drop(result.unwrap()),
            _ => assert_eq!(result.unwrap_err().kind(), ErrorKind::Backplane),
        }
    }
    for offset in 1..=21 {
        assert_eq!(ada.expect("event").await["offset"], json!(offset));
    }
    assert_eq!(alone.connections().await, before, "nobody had to connect again");
    alone.mend("payment:1", "i").await;
    publish(&alone.rooms, &["payment:1"], "e1").await;
}

/// A room that cannot be read is not joined, and is tried again; nobody else's subscription ends for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_cannot_be_read_ends_no_session() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    let since = ada.place("broadcast");
    // All connections of the node are there: those that listen and read, and those that write events and people.
    let list = json!({"type": "presence", "room": "payment:2"});
    ada.ask(json!({"type": "subscribe", "room": "payment:2"})).await;
    ask_until(&mut ada, &list, |answer| answer["members"].as_array().map(Vec::len) == Some(1)).await;
    publish(&alone.rooms, &["broadcast"], "e0").await;
    expect_events(&mut ada, 0, &["e0"]).await;
    alone.spoil("payment:1", "m").await;
    let before = alone.connections().await;
    let join = json!({"type": "subscribe", "room": "payment:1"});
    let answer = ada.ask(join.clone()).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
    let recover = json!({"type": "subscribe", "room": "payment:1", "since": since});
    assert_eq!(ada.ask(recover).await["code"], "UNAVAILABLE");
    publish(&alone.rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 1, &["e1"]).await;
    alone.mend("payment:1", "m").await;
    ask_until(&mut ada, &join, |answer| answer["type"] == "subscribed").await;
    publish(&alone.rooms, &["payment:1"], "e2").await;
    assert_eq!(ada.expect("event").await["room"], "payment:1");
    assert_eq!(alone.connections().await, before, "nobody had to connect again");
}

/// The same for who is there: the others' lists, and the keeper's batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_refused_ends_no_session() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:2"})).await;
    let listed = |room: &str| json!({"type": "presence", "room": room});
    let alone_is = |user: &str| {
        let members = json!([{"userId": user, "connections": 1}]);
        move |answer: &serde_json::Value| answer["members"] == members
    };
    ask_until(&mut ada, &listed("payment:2"), alone_is("ada")).await;
    alone.spoil("payment:1", "p").await;
    let before = alone.connections().await;
    let mut bob = Peer::connect(&alone.rooms, "bob/customer/s2").await;
    for room in ["payment:1", "payment:2"] {
        assert_eq!(bob.ask(json!({"type": "subscribe", "room": room})).await["type"], "subscribed");
    }
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    assert_eq!(bob.ask(listed("payment:1")).await["code"], "UNAVAILABLE");
    assert_eq!(bob.ask(listed("payment:2")).await["members"].as_array().unwrap().len(), 2);
    alone.mend("payment:1", "p").await;
    ask_until(&mut bob, &listed("payment:1"), alone_is("bob")).await;
    assert_eq!(alone.connections().await, before);
}

/// A list that comes too late is an answer that nobody gets, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_late_ends_no_session() {
    let Some(mut alone) = Alone::start(Duration::from_secs(2)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    publish(&alone.rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    let list = json!({"type": "presence", "room": "payment:1"});
    ask_until(&mut ada, &list, |answer| answer["members"].as_array().map(Vec::len) == Some(1)).await;
    // Right behind a renewal, so that the next one is not late too: Redis is asked every four seconds whether it lives.
    let renewals = alone.info("commandstats", "cmdstat_expire").await;
    while alone.info("commandstats", "cmdstat_expire").await == renewals {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = alone.connections().await;
    let mut pause = redis::cmd("CLIENT");
    pause.arg("PAUSE").arg(60_000).arg("WRITE").exec_async(&mut alone.redis).await.unwrap();
    assert_eq!(ada.ask(list.clone()).await["code"], "UNAVAILABLE");
    // Whoever waits for the answer with a clock of its own has given up by then too.
    tokio::time::sleep(Duration::from_millis(300)).await;
    redis::cmd("CLIENT").arg("UNPAUSE").exec_async(&mut alone.redis).await.unwrap();
    ask_until(&mut ada, &list, |answer| answer["type"] == "presence").await;
    publish(&alone.rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 1, &["e2"]).await;
    assert_eq!(alone.connections().await, before);
}

/// An event for more rooms than an event may have: all of them are told, and not one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_for_too_many_rooms_is_told_to_all_of_them_at_once() {
    const USERS: usize = 250;
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut config = config();
    config.limits.connections_per_address = 1_000;
    let rooms = Rooms::new(config, Gatekeeper::default(), Backplane::redis(alone.settings.clone()).unwrap());
    let mut users = Vec::new();
    for user in 0..USERS {
        users.push(Peer::connect(&rooms, &format!("u{user}/customer/s{user}")).await);
    }
    publish(&rooms, &["broadcast"], "e1").await;
    let many = (0..USERS).map(|user| format!("user:u{user}"));
    let bridge = Bridge::new(rooms.clone(), vec![BridgeRule::new("#", many).unwrap()]);
    let event = Event::new("news", "test", &json!({})).unwrap();
    let before = alone.info("stats", "total_reads_processed").await;
    assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Reject { .. }));
    let reads = alone.info("stats", "total_reads_processed").await - before;
    assert!(reads < 50, "{reads} readings of sockets for {USERS} rooms");
    // Delivered again, it counts once.
    assert!(matches!(bridge.carry(&event).await.unwrap(), Outcome::Reject { .. }));
    for (user, peer) in users.iter_mut().enumerate() {
        expect_events(peer, 0, &["e1"]).await;
        let gap = peer.expect("gap").await;
        let told = (&gap["room"], &gap["offset"], &gap["reason"]);
        assert_eq!(told, (&json!(format!("user:u{user}")), &json!(1), &json!("source")));
        peer.quiet().await;
    }
}
