//! Who is there, when Redis's user may not publish it.

use std::time::Duration;

use devkit::Redis;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::news;
use super::redis::enter;
use crate::backplane::{node_on, raw, settings};

/// The right to a room's channel is taken back while people are in it: who leaves, or dies with a node, is taken out all
/// the same, and is told as soon as it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_room_without_its_channel_is_let_out() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut admin = raw(&server.url()).await;
    let mut settings = settings(&server.url().replace("://", "://node:any@"));
    settings.lease = Duration::from_secs(5);
    let prefix = settings.prefix.clone();
    let channel = format!("&{prefix}{{payment:1}}c");
    let mut rights = async |more: &[&str]| {
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("node").arg(&["on", "nopass", "allkeys", "allcommands", "resetchannels"]);
        command.arg(format!("&{prefix}try")).arg(format!("&{prefix}revocations"));
        for room in ["broadcast", "role:customer", "user:ada", "user:bob", "user:cyd"] {
            command.arg(format!("&{prefix}{{{room}}}c"));
        }
        command.arg(more).exec_async(&mut admin).await.unwrap();
    };
    rights(&[&channel]).await;
    let rooms = node_on(&settings);
    let mut ada = enter(&rooms, "ada").await;
    let bob = enter(&rooms, "bob").await;
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("bob")));
    let dead = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let other = settings.clone();
    dead.spawn(async move {
        let rooms = node_on(&other);
        let _cyd = enter(&rooms, "cyd").await;
        std::future::pending::<()>().await;
    });
    assert_eq!(news(&mut ada).await, (json!("joined"), json!("cyd")));
    let mut redis = raw(&server.url()).await;
    let people = format!("{prefix}{{payment:1}}p");
    let fields: Vec<String> = redis::cmd("HKEYS").arg(&people).query_async(&mut redis).await.unwrap();
    let node = fields.iter().find_map(|field| field.strip_prefix('n')?.strip_suffix(":cyd")).unwrap();
    // A room of the node that dies which nothing can be taken out of, whatever may be published there.
    let (list, spoilt) = (format!("{prefix}{{n:{node}}}rooms"), format!("{prefix}{{payment:2}}p"));
    redis::cmd("SADD").arg(&list).arg("payment:2").exec_async(&mut redis).await.unwrap();
    redis::cmd("SET").arg(&spoilt).arg("somebody else's").exec_async(&mut redis).await.unwrap();
    rights(&[]).await;
    drop(bob);
    dead.shutdown_background();
    let let_out = async {
        loop {
            let fields: Vec<String> = redis::cmd("HKEYS").arg(&people).query_async(&mut redis).await.unwrap();
            if !fields.iter().any(|field| field.ends_with("bob") || field.ends_with("cyd")) {
                return;
            }
            pause().await;
        }
    };
    timeout(Duration::from_secs(30), let_out).await.expect("they are let out");
    let listed: Vec<String> = redis::cmd("SMEMBERS").arg(&list).query_async(&mut redis).await.unwrap();
    assert!(listed.contains(&"payment:2".to_owned()), "what was refused is not forgotten: {listed:?}");
    redis::cmd("DEL").arg(&spoilt).exec_async(&mut redis).await.unwrap();
    let buried = async {
        while redis::cmd("EXISTS").arg(&list).query_async(&mut redis).await.unwrap() {
            pause().await;
        }
    };
    timeout(Duration::from_secs(30), buried).await.expect("asked for again");
    rights(&[&channel]).await;
    let mut told = [news(&mut ada).await, news(&mut ada).await];
    told.sort_unstable_by_key(|(_, user)| user.to_string());
    assert_eq!(told, ["bob", "cyd"].map(|user| (json!("left"), json!(user))));
}

/// No more often than a node would ask.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}
