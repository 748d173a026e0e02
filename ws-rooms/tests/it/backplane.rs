//! Backplanes: the suite, and Redis when it fails.

mod apart;
mod faults;
mod full;
mod restart;
mod rights;
mod split;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::Value;
use serde_json::json;
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::conformance::{Capabilities, Nodes, run};
use tramline_ws_rooms::{Backplane, ErrorKind, Rooms};

use crate::support::{Gatekeeper, Peer, config, publication, publish};

/// Names of the test's own.
pub(crate) fn settings(url: &str) -> RedisConfig {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let mut settings = RedisConfig::new(url);
    settings.prefix = format!("test:{}:{}:", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    // A busy machine is no reason to give up here.
    settings.patience = Duration::from_secs(8);
    settings
}

pub(crate) fn node_on(settings: &RedisConfig) -> Rooms {
    Rooms::new(config(), Gatekeeper::default(), Backplane::redis(settings.clone()).unwrap())
}

/// A node that is there already: one whose patience is short has not all of it for its first connection too.
pub(crate) async fn ready_on(settings: &RedisConfig) -> (Rooms, Backplane) {
    let backplane = Backplane::redis(settings.clone()).unwrap();
    let rooms = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
    until(|| backplane.is_up()).await;
    (rooms, backplane)
}

/// A connection beside the backplane's, which waits for longer than the driver does by itself.
pub(crate) async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    let time = Some(Duration::from_secs(20));
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(time).set_connection_timeout(time);
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection_with_config(&patient).await.unwrap()
}

/// Waits for something that other tasks bring about.
pub(crate) async fn until(reached: impl Fn() -> bool) {
    let waited = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("reached in time");
}

/// The next events of `broadcast` are these, in this order and without a hole after `from`.
pub(crate) async fn expect_events(peer: &mut Peer, from: u64, ids: &[&str]) {
    for (offset, id) in (from + 1..).zip(ids) {
        let event = peer.expect("event").await;
        assert_eq!((&event["offset"], &event["event"]["id"]), (&json!(offset), &json!(id)));
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_backplane_conforms() {
    let make = || {
        let backplane = Backplane::memory();
        Nodes::new(backplane.clone(), backplane)
    };
    run(make, &Capabilities::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_conforms() {
    let Some(url) = devkit::engines::redis().await else { return };
    for sharded in [true, false] {
        let make = || {
            let mut settings = settings(url);
            settings.sharded = sharded;
            let redis = || Backplane::redis(settings.clone()).unwrap();
            Nodes::new(redis(), redis())
        };
        run(make, &Capabilities::default()).await;
    }
}

/// A cluster of one node, which refuses what touches several slots at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_conforms_as_a_cluster() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = devkit::Redis::start_cluster().await.unwrap();
    for sharded in [true, false] {
        let make = || {
            let mut settings = settings(&server.url());
            settings.sharded = sharded;
            let redis = || Backplane::redis(settings.clone()).unwrap();
            Nodes::new(redis(), redis())
        };
        run(make, &Capabilities::default()).await;
    }
}

/// A history of a few events: what is kept is recovered whole, what is not is not recovered in part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_bounded_by_count_and_by_bytes() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut by_count = settings(url);
    by_count.history.count = 3;
    let mut by_bytes = settings(url);
    by_bytes.history.bytes = 3 * 1_200;
    for settings in [by_count, by_bytes] {
        let rooms = node_on(&settings);
        let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
        let epoch = ada.place("broadcast")["epoch"].clone();
        for number in 0..6 {
            let event = crate::support::bulky(&["broadcast"], &format!("e{number}"), 1_000);
            rooms.publish(event).await.unwrap();
            ada.expect("event").await;
        }
        for (offset, whole) in [(2, false), (3, true), (5, true), (6, true)] {
            let since = json!({"epoch": epoch, "offset": offset});
            let answer = ada.ask(json!({"type": "subscribe", "room": "broadcast", "since": since})).await;
            assert_eq!(answer["recovered"], json!(whole), "{answer}");
            let events = answer["events"].as_array().unwrap().len();
            assert_eq!(events, if whole { 6 - offset } else { 0 });
        }
        let mut redis = raw(url).await;
        let stream = format!("{}{{broadcast}}s", settings.prefix);
        let kept: usize = redis::cmd("XLEN").arg(stream).query_async(&mut redis).await.unwrap();
        assert_eq!(kept, 3);
    }
}

/// Rooms, ids and histories end some day; only the count of losses stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_in_redis_has_a_life() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    publish(&rooms, &["broadcast", "user:ada", "payment:1"], "e1").await;
    ada.expect("event").await;
    let mut redis = raw(url).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("{}*", settings.prefix)).query_async(&mut redis).await.unwrap();
    assert!(keys.len() >= 10, "{keys:?}");
    for key in keys {
        let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut redis).await.unwrap();
        assert!(life > 0 && life <= 3_600_000, "{key} {life}");
    }
}

/// Redis gave up a history for want of memory, or a room's head with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_redis_evicts_is_told() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let start = ada.place("broadcast");
    publish(&rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    let mut redis = raw(url).await;
    let key = |end: &str| format!("{}{{broadcast}}{end}", settings.prefix);
    let _: Value = redis::cmd("DEL").arg(key("s")).query_async(&mut redis).await.unwrap();
    publish(&rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 1, &["e2"]).await;
    let answer = ada.ask(json!({"type": "subscribe", "room": "broadcast", "since": start})).await;
    assert_eq!((&answer["recovered"], &answer["reason"]), (&json!(false), &json!("trimmed")));
    let _: Value = redis::cmd("DEL").arg(key("m")).query_async(&mut redis).await.unwrap();
    publish(&rooms, &["broadcast"], "e3").await;
    let gap = ada.expect("gap").await;
    assert_eq!(gap["reason"], "trimmed");
    assert_ne!(gap["epoch"], start["epoch"]);
    // The gap may stand before the event, or cover it.
    if gap["offset"] == 0 {
        expect_events(&mut ada, 0, &["e3"]).await;
    }
    publish(&rooms, &["broadcast"], "e3").await;
    publish(&rooms, &["broadcast"], "e4").await;
    expect_events(&mut ada, 1, &["e4"]).await;
}

/// A deploy has everybody come back at once: more recoveries than are asked for at a time wait for their turn, and all of
/// them are whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_come_back_at_once_are_answered() {
    let Some(url) = devkit::engines::redis().await else { return };
    let rooms = node_on(&settings(url));
    let mut first = Peer::connect(&rooms, "ada/customer/s0").await;
    let answer = first.ask(json!({"type": "subscribe", "room": "broadcast"})).await;
    let since = json!({"epoch": answer["epoch"], "offset": answer["offset"]});
    publish(&rooms, &["broadcast"], "e1").await;
    let mut peers = Vec::new();
    for user in 0..10 {
        for session in 1..10 {
            peers.push(Peer::connect(&rooms, &format!("user{user}/customer/s{session}")).await);
        }
    }
    let asks = peers.iter_mut().map(async |peer| {
        let answer = peer.ask(json!({"type": "subscribe", "room": "broadcast", "since": since})).await;
        (answer["recovered"] == json!(true), answer["events"].as_array().map(Vec::len))
    });
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer, (true, Some(1)));
    }
}

/// A room that everybody leaves and somebody joins at once is compared with its head like any other, which keeps it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_was_left_for_a_moment_is_still_compared() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    (settings.linger, settings.check_every) = (Duration::from_millis(10), Duration::from_millis(10));
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for kind in ["subscribe", "unsubscribe", "subscribe"] {
        ada.ask(json!({"type": kind, "room": "payment:1"})).await;
    }
    publish(&rooms, &["payment:1"], "e1").await;
    let mut redis = raw(url).await;
    // Long enough for the second in which rooms are looked over. The ids live as long: the event may be delivered again.
    for end in ["m", "i", "m", "i"] {
        let key = format!("{}{{payment:1}}{end}", settings.prefix);
        let _: Value = redis::cmd("PEXPIRE").arg(&key).arg(60_000).query_async(&mut redis).await.unwrap();
        let renewed = async {
            loop {
                let life: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut redis).await.unwrap();
                if life > 60_000 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), renewed).await.expect("it is read again");
    }
}

/// Nodes that publish where the others do not listen would be silent for them: they get no connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_agree_on_how_to_publish() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let rooms = node_on(&settings);
    Peer::connect(&rooms, "ada/customer/s1").await;
    let mut other = settings.clone();
    other.sharded = false;
    other.patience = Duration::from_millis(300);
    let backplane = Backplane::redis(other).unwrap();
    let stranger = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
    let error = stranger.publish(publication(&["broadcast"], "e1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backplane);
    assert!(!backplane.is_up());
}

#[test]
fn settings_that_cannot_be_used_are_refused() {
    let mut braces = RedisConfig::new("redis://127.0.0.1");
    braces.prefix = "a{b}".to_owned();
    let with_patience = |patience| {
        let mut settings = RedisConfig::new("redis://127.0.0.1");
        settings.patience = patience;
        settings
    };
    let (none, endless) = (with_patience(Duration::ZERO), with_patience(Duration::MAX));
    for settings in [RedisConfig::new("http://127.0.0.1"), RedisConfig::new(""), braces, none, endless] {
        assert_eq!(Backplane::redis(settings).unwrap_err().kind(), ErrorKind::Config);
    }
    let secret = format!("{:?}", RedisConfig::new("redis://:secret@127.0.0.1"));
    assert!(!secret.contains("secret"), "{secret}");
}
