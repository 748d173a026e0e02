//! A Redis whose memory is full, and that may evict nothing.

use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tramline_event_hub::feed::Feed;
use tramline_event_hub::handler::{BoxError, Received};
use tramline_event_hub::topology::{Exchange, Topology};
use tramline_event_hub::{Event, Handler, Hub, MemoryConfig, Outcome};
use tramline_ws_rooms::{Bridge, BridgeRule, ErrorKind};

use super::apart::Alone;
use super::{expect_events, node_on};
use crate::support::{Peer, publication, publish};

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
