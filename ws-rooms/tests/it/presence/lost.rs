//! Who is there, when Redis has lost what it was told.

use std::time::Duration;

use devkit::{Fault, Redis};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tramline_ws_rooms::backplane::{Driver, RedisBackplane, RedisConfig};
use tramline_ws_rooms::{Backplane, Rooms};

use super::news;
use super::redis::enter;
use crate::backplane::{node_on, raw, settings};
use crate::support::{Gatekeeper, Peer, config, publish, room};

async fn listed(peer: &mut Peer, expected: Value) {
    let list = json!({"type": "presence", "id": "list", "room": "payment:1"});
    loop {
        peer.send(list.clone()).await;
        loop {
            let frame = peer.next().await;
            assert!(frame["type"] != "joined" && frame["type"] != "left", "{frame}");
            if frame["id"] == "list" {
                if frame["members"] == expected {
                    return;
                }
                break;
            }
        }
        // No more often than a client may ask.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// A node on a runtime of its own, with bob in `payment:1`; what is returned with it is its backplane.
fn mortal(settings: &RedisConfig) -> (Runtime, RedisBackplane) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let redis = RedisBackplane::new(settings.clone()).unwrap();
    let backplane = Backplane::new(redis.clone());
    runtime.spawn(async move {
        let rooms = Rooms::new(config(), Gatekeeper::default(), backplane);
        let _bob = enter(&rooms, "bob").await;
        std::future::pending::<()>().await;
    });
    (runtime, redis)
}

/// Redis is killed and comes back empty. The nodes write who is there anew: nobody has left or come for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_starts_empty_is_no_news_of_people() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let settings = settings(&server.url());
    let (fault, through) = Fault::in_front_of(&server.url()).await.unwrap();
    let mut far = settings.clone();
    far.url = through;
    let nodes = [node_on(&settings), node_on(&far)];
    let mut ada = enter(&nodes[0], "ada").await;
    let _bob = enter(&nodes[1], "bob").await;
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    let both = json!([{"userId": "ada", "connections": 1}, {"userId": "bob", "connections": 1}]);
    listed(&mut ada, both.clone()).await;
    let mut redis = raw(&server.url()).await;
    fault.cut();
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    server.kill().await;
    server.restart().await.unwrap();
    // One node is back before the other, and does not find its users.
    listed(&mut ada, json!([{"userId": "ada", "connections": 1}])).await;
    fault.heal();
    listed(&mut ada, both).await;
    // Somebody comes and goes: until the one who goes is told, five seconds later, nobody else is.
    let cyd = enter(&nodes[1], "cyd").await;
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("cyd")));
    drop(cyd);
    assert_eq!(news(&mut ada).await, (json!("left"), json!("cyd")));
}

/// Redis comes back empty, and a node with it does not: its users have left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_are_not_written_again_have_left() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let settings = settings(&server.url());
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    let (dead, _redis) = mortal(&settings);
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    dead.shutdown_background();
    let mut redis = raw(&server.url()).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis).await.unwrap();
    server.kill().await;
    server.restart().await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
    listed(&mut ada, json!([{"userId": "ada", "connections": 1}])).await;
}

/// Redis has evicted which rooms a node was in, or that it ever was: who finds its name in a room of theirs sees to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_can_bury_is_found() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    settings.lease = Duration::from_secs(5);
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    let (dead, _redis) = mortal(&settings);
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    dead.shutdown_background();
    let mut redis = raw(url).await;
    let lists: Vec<String> =
        redis::cmd("KEYS").arg(format!("{}*rooms", settings.prefix)).query_async(&mut redis).await.unwrap();
    assert_eq!(lists.len(), 2);
    redis::cmd("DEL").arg(lists).exec_async(&mut redis).await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
    listed(&mut ada, json!([{"userId": "ada", "connections": 1}])).await;
}

/// A node goes down in a drain, in which those who leave have long to come back: longer than it takes until somebody looks
/// after what the node has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leave_that_is_due_late_is_not_forgotten() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    settings.lease = Duration::from_secs(3);
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    let (dead, redis) = mortal(&settings);
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    redis.exit(&room("payment:1"), &"bob".into(), Duration::from_secs(12));
    let leaving = json!([{"userId": "ada", "connections": 1}, {"userId": "bob", "connections": 0}]);
    listed(&mut ada, leaving).await;
    dead.shutdown_background();
    // Nothing here asks who is there, which would let bob leave too.
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
}

/// Somebody came and went, and no channel has said so: the room is compared, as its history is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_not_said_is_found() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    settings.check_every = Duration::from_millis(100);
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    listed(&mut ada, json!([{"userId": "ada", "connections": 1}])).await;
    let (people, mut redis) = (format!("{}{{payment:1}}p", settings.prefix), raw(url).await);
    redis::cmd("HSET").arg(&people).arg("tbob").arg(1).exec_async(&mut redis).await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    redis::cmd("HDEL").arg(&people).arg("tbob").exec_async(&mut redis).await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
}

/// The same in a room that is never silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_not_said_is_found_in_a_busy_room() {
    let Some(url) = devkit::engines::redis().await else { return };
    let mut settings = settings(url);
    // Far longer than the room is silent.
    settings.check_every = Duration::from_secs(2);
    // Nobody waits for ada to read.
    let mut patient = config();
    patient.limits.queued_bytes = 64 << 20;
    let rooms = Rooms::new(patient, Gatekeeper::default(), Backplane::redis(settings.clone()).unwrap());
    let mut ada = enter(&rooms, "ada").await;
    listed(&mut ada, json!([{"userId": "ada", "connections": 1}])).await;
    let busy = tokio::spawn(async move {
        for number in 0_u64.. {
            publish(&rooms, &["payment:1"], &number.to_string()).await;
        }
    });
    let (people, mut redis) = (format!("{}{{payment:1}}p", settings.prefix), raw(url).await);
    redis::cmd("HSET").arg(&people).arg("tbob").arg(1).exec_async(&mut redis).await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    redis::cmd("HDEL").arg(&people).arg("tbob").exec_async(&mut redis).await.unwrap();
    assert_eq!(news(&mut ada).await, (json!("left"), json!("bob")));
    busy.abort();
}
