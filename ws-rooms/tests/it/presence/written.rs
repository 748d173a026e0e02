//! What is written of people, when Redis refuses it, loses it, or is told late.

use std::net::SocketAddr;
use std::time::Duration;

use devkit::Redis;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::redis::enter;
use crate::backplane::{node_on, raw, settings};
use crate::support::Peer;

/// Waits until a field of a hash is there.
async fn stands(redis: &mut MultiplexedConnection, key: &str, field: &str) {
    let there = async {
        while !redis::cmd("HEXISTS").arg(key).arg(field).query_async::<bool>(redis).await.unwrap() {
            pause().await;
        }
    };
    timeout(Duration::from_secs(30), there).await.unwrap_or_else(|_| panic!("{key} has no {field}"));
}

/// No more often than a node would ask.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Redis refuses to write who comes into one room: it is asked again, and nobody else has to come for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_written_later() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let prefix = &settings.prefix;
    let mut redis = raw(url).await;
    let people = format!("{prefix}{{payment:2}}p");
    redis::cmd("SET").arg(&people).arg("somebody else's").exec_async(&mut redis).await.unwrap();
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let answer = ada.ask(json!({"type": "subscribe", "room": "payment:2"})).await;
    assert_eq!(answer["type"], "subscribed");
    // Behind this the room itself was to be written, in the same breath.
    let tried = async {
        loop {
            let lists: Vec<String> =
                redis::cmd("KEYS").arg(format!("{prefix}{{n:*rooms")).query_async(&mut redis).await.unwrap();
            if !lists.is_empty() {
                return;
            }
            pause().await;
        }
    };
    timeout(Duration::from_secs(30), tried).await.expect("the node writes");
    let kind: String = redis::cmd("TYPE").arg(&people).query_async(&mut redis).await.unwrap();
    assert_eq!(kind, "string", "refused, and nothing of it done");
    redis::cmd("DEL").arg(&people).exec_async(&mut redis).await.unwrap();
    stands(&mut redis, &people, "tada").await;
}

/// A Redis starts anew without its last writes, and the lease of the node stands in it: all is written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_new_redis_has_lost_is_written_again() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut settings = settings(&server.url());
    settings.lease = Duration::from_secs(600);
    let rooms = node_on(&settings);
    let _ada = enter(&rooms, "ada").await;
    let people = format!("{}{{payment:1}}p", settings.prefix);
    let mut redis = raw(&server.url()).await;
    stands(&mut redis, &people, "tada").await;
    redis::cmd("DEL").arg(&people).exec_async(&mut redis).await.unwrap();
    server.kill().await;
    server.restart().await.unwrap();
    let mut redis = raw(&server.url()).await;
    let leases: usize =
        redis::cmd("ZCARD").arg(format!("{}nodes", settings.prefix)).query_async(&mut redis).await.unwrap();
    assert_eq!(leases, 1, "the lease has not been lost");
    stands(&mut redis, &people, "tada").await;
}

/// A way to Redis on which a command with these words waits: it is told of, and goes on when the answer is dropped.
async fn held(to: SocketAddr, words: [String; 2]) -> (String, mpsc::Receiver<oneshot::Sender<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (tell, words) = (tell.clone(), words.clone());
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.unwrap();
                let ((mut from_near, mut to_near), (mut from_far, mut to_far)) =
                    (near.into_split(), far.into_split());
                let back = tokio::spawn(async move { copy(&mut from_far, &mut to_near).await });
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(read @ 1..) = from_near.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..read]);
                    if words.iter().all(|word| text.contains(word.as_str())) {
                        let (go, goes) = oneshot::channel();
                        tell.send(go).await.unwrap();
                        let _ = goes.await;
                    }
                    to_far.write_all(&buffer[..read]).await.unwrap();
                }
                back.abort();
            });
        }
    });
    (url, told)
}

/// A node that is taken for gone writes once more, after its room has been seen to and before the room leaves its list:
/// nobody would find that later, so it is seen to again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gone_node_writes_late_is_taken_back_too() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut redis = raw(&server.url()).await;
    let mut settings = settings(&server.url());
    let prefix = settings.prefix.clone();
    let (people, nodes, list) =
        (format!("{prefix}{{payment:1}}p"), format!("{prefix}nodes"), format!("{prefix}{{n:ghost}}rooms"));
    let (url, mut told) = held(server.addr(), ["SREM".to_owned(), list.clone()]).await;
    (settings.url, settings.lease) = (url, Duration::from_secs(3));
    let rooms = node_on(&settings);
    let _ada = enter(&rooms, "ada").await;
    // What a node writes of one who comes.
    let come = async |redis: &mut MultiplexedConnection, user: &str| {
        let mut pipe = redis::pipe();
        pipe.cmd("SADD").arg(&list).arg("payment:1");
        pipe.cmd("HSET").arg(&people).arg(format!("nghost:{user}")).arg(1).arg(format!("t{user}")).arg(1);
        pipe.cmd("HINCRBY").arg(&people).arg("c").arg(1);
        pipe.exec_async(redis).await.unwrap();
    };
    stands(&mut redis, &people, "tada").await;
    come(&mut redis, "bob").await;
    redis::cmd("ZADD").arg(&nodes).arg(1).arg("ghost").exec_async(&mut redis).await.unwrap();
    let go = timeout(Duration::from_secs(30), told.recv()).await.expect("it is buried").unwrap();
    let fields: Vec<String> = redis::cmd("HKEYS").arg(&people).query_async(&mut redis).await.unwrap();
    assert!(!fields.contains(&"nghost:bob".to_owned()), "the room has been seen to: {fields:?}");
    come(&mut redis, "cyd").await;
    drop(go);
    let buried = async {
        while redis::cmd("ZSCORE")
            .arg(&nodes)
            .arg("ghost")
            .query_async::<Option<f64>>(&mut redis)
            .await
            .unwrap()
            .is_some()
        {
            pause().await;
        }
    };
    timeout(Duration::from_secs(30), buried).await.expect("buried");
    let fields: Vec<String> = redis::cmd("HKEYS").arg(&people).query_async(&mut redis).await.unwrap();
    assert!(!fields.iter().any(|field| field.starts_with("nghost:")), "nothing of it is left: {fields:?}");
}
