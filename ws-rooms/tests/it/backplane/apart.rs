//! What Redis refuses, or is late with, for one room is that room's own trouble.

use std::time::Duration;

use devkit::Redis;
use redis::Value;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tramline_event_hub::feed::Feed;
use tramline_event_hub::handler::{BoxError, Received};
use tramline_event_hub::topology::{Exchange, Topology};
use tramline_event_hub::{Event, Handler, Hub, MemoryConfig, Outcome};
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::{Bridge, BridgeRule, ErrorKind, Rooms};

use super::{expect_events, node_on, raw, settings};
use crate::support::{Peer, publication, publish};

/// A Redis of the test's own, so that its connections can be counted.
struct Alone {
    server: Redis,
    redis: MultiplexedConnection,
    settings: RedisConfig,
    rooms: Rooms,
}

impl Alone {
    async fn start(patience: Duration) -> Option<Self> {
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

    async fn set(&mut self, name: &str, value: &str) {
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
    pause.arg("PAUSE").arg(2_300).arg("WRITE").exec_async(&mut alone.redis).await.unwrap();
    assert_eq!(ada.ask(list.clone()).await["code"], "UNAVAILABLE");
    ask_until(&mut ada, &list, |answer| answer["type"] == "presence").await;
    publish(&alone.rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 1, &["e2"]).await;
    assert_eq!(alone.connections().await, before);
}

/// A Redis that is full and may evict nothing takes an event whole or not at all, and goes on letting people read and
/// leave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_takes_nothing_by_halves() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    let place = ada.place("broadcast");
    publish(&alone.rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    let join = json!({"type": "subscribe", "room": "payment:1"});
    assert_eq!(ada.ask(join.clone()).await["type"], "subscribed");
    let mut bob = Peer::connect(&alone.rooms, "bob/customer/s4").await;
    bob.send(join).await;
    assert_eq!(ada.expect("joined").await["userId"], "bob");
    alone.set("maxmemory", "1").await;
    let key = |end: &str| format!("{}{{broadcast}}{end}", alone.settings.prefix);
    let (head, stream) = (key("m"), key("s"));
    let dump = async |redis: &mut MultiplexedConnection| -> (Value, Value) {
        let mut pipe = redis::pipe();
        pipe.cmd("HGETALL").arg(&head).cmd("XRANGE").arg(&stream).arg("-").arg("+");
        pipe.query_async(redis).await.unwrap()
    };
    let before = dump(&mut alone.redis).await;
    let error = alone.rooms.publish(publication(&["broadcast"], "e2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backplane);
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("OOM"), "{error:?}");
    assert_eq!(dump(&mut alone.redis).await, before);
    // What is there already is no news, and can be read, also by those who come now.
    publish(&alone.rooms, &["broadcast"], "e1").await;
    let mut late = Peer::connect(&alone.rooms, "ada/customer/s2").await;
    let answer = late.ask(json!({"type": "subscribe", "room": "broadcast", "since": place})).await;
    assert_eq!(answer["events"].as_array().map(Vec::len), Some(1), "{answer}");
    // Also on a node that is new, and where nobody says any more how nodes publish.
    let word = format!("{}publish", alone.settings.prefix);
    redis::cmd("DEL").arg(word).exec_async(&mut alone.redis).await.unwrap();
    let mut far = Peer::connect(&node_on(&alone.settings), "ada/customer/s3").await;
    let answer = far.ask(json!({"type": "subscribe", "room": "broadcast", "since": place})).await;
    assert_eq!(answer["events"].as_array().map(Vec::len), Some(1), "{answer}");
    // Nothing is asked for that it would refuse, again and again.
    drop(bob);
    assert_eq!(ada.expect("left").await["userId"], "bob");
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut alone.redis).await.unwrap();
    let sadd = info.lines().find(|line| line.starts_with("cmdstat_sadd:")).expect("people came");
    assert!(sadd.contains("rejected_calls=0,"), "{sadd}");
    alone.set("maxmemory", "0").await;
    publish(&alone.rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 1, &["e2"]).await;
    drop(alone.server);
}

/// Tells of each try.
struct Watched(Bridge, mpsc::Sender<bool>);

impl Handler for Watched {
    async fn handle(&self, received: Received) -> Result<Outcome, BoxError> {
        let handled = self.0.handle(received).await;
        let _ = self.1.try_send(handled.is_ok());
        handled
    }
}

/// A feed drops what was tried too often, and nobody would hear of it: what passes is no try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_waits_for_a_redis_that_takes_nothing() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    let hub = Hub::memory(MemoryConfig::default());
    hub.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    let (tries, mut tried) = mpsc::channel(100);
    let (stop, stopped) = oneshot::channel::<()>();
    let (placed, mut place) = mpsc::channel(100);
    let consuming = tokio::spawn({
        let (hub, rooms) = (hub.clone(), alone.rooms.clone());
        async move {
            let bridge = Bridge::new(rooms, vec![BridgeRule::new("#", ["broadcast"]).unwrap()]);
            let mut config = Bridge::consumer();
            config.retry.max_attempts = 1;
            config.breaker.as_mut().unwrap().max_pause = Duration::from_millis(10);
            let place = move |_| _ = placed.try_send(());
            let stopped = async { drop(stopped.await) };
            hub.consume_feed(Feed::new("node", ["#"]), config, Watched(bridge, tries), place, stopped).await
        }
    });
    place.recv().await.unwrap();
    alone.set("maxmemory", "1").await;
    let events = [1, 2].map(|number| Event::new("news", "test", &json!({ "number": number })).unwrap());
    hub.publish(&events[0]).await.unwrap();
    assert!(!tried.recv().await.unwrap());
    alone.set("maxmemory", "0").await;
    hub.publish(&events[1]).await.unwrap();
    expect_events(&mut ada, 0, &events.each_ref().map(|event| event.id.as_str())).await;
    drop(stop);
    consuming.await.unwrap().unwrap();
}

/// A loss is counted also by a Redis that is full, and nobody who publishes waits behind it. Rooms are numbered anew once
/// there is memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_counts_a_loss() {
    let Some(mut alone) = Alone::start(Duration::from_secs(8)).await else { return };
    let mut ada = Peer::connect(&alone.rooms, "ada/customer/s1").await;
    publish(&alone.rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    alone.set("maxmemory", "1").await;
    tokio::time::timeout(Duration::from_secs(60), alone.rooms.new_epochs()).await.expect("it is counted");
    let losses = format!("{}losses", alone.settings.prefix);
    let losses: u64 = redis::cmd("GET").arg(losses).query_async(&mut alone.redis).await.unwrap();
    assert_eq!(losses, 1);
    let error = alone.rooms.publish(publication(&["broadcast"], "e2")).await.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("OOM"), "at once: {error:?}");
    alone.set("maxmemory", "0").await;
    for _ in ["broadcast", "user:ada", "role:customer"] {
        let gap = ada.expect("gap").await;
        let before = ada.place(gap["room"].as_str().unwrap());
        assert!(gap["epoch"] != before["epoch"] && gap["reason"] == "source", "{gap}");
    }
    publish(&alone.rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 0, &["e2"]).await;
}
