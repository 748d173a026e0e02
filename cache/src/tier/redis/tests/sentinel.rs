//! A master with a replica, watched by three sentinels.

use std::sync::atomic::AtomicU64;

use devkit::RedisSentinels;

use super::rights::{documented, everything};
use super::*;
use crate::tier::Heard;
use crate::tier::redis::connection::Server;
use crate::tier::suite::{Ear, filled, name, payload};

async fn watched() -> Option<(RedisSentinels, RedisConfig)> {
    devkit::engines::redis().await?;
    let watched = RedisSentinels::start().await.unwrap();
    // One of them does not exist.
    let urls = std::iter::once("redis://127.0.0.1:1".to_owned()).chain(watched.urls());
    let config = named(RedisConfig::sentinel(urls, RedisSentinels::MASTER));
    Some((watched, config))
}

/// The replica does not hear the last words of its master, which is killed then; the sentinels make it the master.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_loses_no_ending_of_ours() {
    let Some((watched, config)) = watched().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (late, away) = (slot(), slot());
    filled(&a.tier, &late, "old").await;
    filled(&a.tier, &away, "old").await;
    let before = b.tier.marks(&[name("x")], crate::tier::suite::LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b.tier).await;
    let [master, replica] = watched.servers();
    let mut raw = Raw::new(&master.url()).await;
    // It waits for what this connection has written, and with that for what came before.
    let _: i64 = raw.say(&format!("PEXPIRE {} 600000", a.name(&away))).await;
    assert_eq!(raw.say::<i64>("WAIT 1 10000").await, 1, "it has what is old");
    let mut raw = Raw::new(&replica.url()).await;
    let _: () = raw.say("REPLICAOF 127.0.0.1 1").await;
    a.tier.end(&Ending::Key(late.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    master.kill().await;
    a.tier.end(&Ending::Key(away.clone())).await;
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    watched.failed_over().await.unwrap();
    assert!(matches!(first(&a, &late).await, Found::Nothing), "told again");
    assert!(matches!(first(&a, &away).await, Found::Nothing), "told at last");
    back(&b).await;
    let after = b.tier.marks(&[name("x")], crate::tier::suite::LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
    ear.attached().await;
    filled(&a.tier, &late, "new").await;
    assert_eq!(payload(&b.tier, &late).await.as_deref(), Some("new"));
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Key(ended), .. } if *ended == late))
        .await;

    // The old one comes back as what it was, until the sentinels tell it what it is now.
    master.restart().await.unwrap();
    watched.follows().await.unwrap();
    let c = Node::new(&config);
    assert_eq!(payload(&c.tier, &late).await.as_deref(), Some("new"));
    assert!(b.is_open());
}

/// The feed and the commands go to the new master when the old one lives on as its replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_steps_down_is_left() {
    let Some((watched, config)) = watched().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let slot = slot();
    filled(&a.tier, &slot, "old").await;
    let (mut ear, _) = Ear::on(&b.tier).await;
    let mut raw = Raw::new(&watched.urls()[0]).await;
    let _: () = raw.say(&format!("SENTINEL FAILOVER {}", RedisSentinels::MASTER)).await;
    watched.failed_over().await.unwrap();
    watched.follows().await.unwrap();
    until(async || a.tier.put(&slot, crate::tier::suite::value("new").1, crate::tier::suite::LONG).await)
        .await;
    until(async || payload(&b.tier, &slot).await.as_deref() == Some("new")).await;
    let raw = Raw::new(&watched.servers()[1].url()).await;
    until(async || {
        let mut raw = Raw(raw.0.clone());
        let heard: (String, i64) = raw.say(&format!("PUBSUB NUMSUB {}", a.redis().calls().names.feed)).await;
        heard.1 == 1
    })
    .await;
    ended_until_heard(&a, &mut ear, &Ending::Mark(name("x"))).await;
}

/// A sentinel that has not heard of the newest master names one that is a replica by now. Redis itself says so, and the others know
/// better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_for_the_master_says_whether_it_is() {
    let Some((watched, config)) = watched().await else { return };
    let (urls, replica) = (watched.urls(), watched.servers()[1].url());
    let port = replica.trim_end_matches('/').rsplit(':').next().unwrap();
    let mut raw = Raw::new(&urls[0]).await;
    let _: () = raw.say(&format!("SENTINEL REMOVE {}", RedisSentinels::MASTER)).await;
    let _: () = raw.say(&format!("SENTINEL MONITOR {} 127.0.0.1 {port} 2", RedisSentinels::MASTER)).await;
    let by = |urls: &[String]| {
        let servers = RedisConfig::sentinel(urls.to_vec(), RedisSentinels::MASTER).servers;
        Server::new(&RedisConfig { servers, ..config.clone() }).unwrap()
    };
    let misled = by(&urls[..1]);
    let said = misled.connect().await.unwrap_err().to_string();
    assert!(said.contains("master no more"), "{said}");
    assert!(misled.subscribe("any").await.is_err());
    let all = by(&urls);
    for _ in 0..10 {
        let role = all.connect().await.unwrap().ask(&cmd("ROLE")).await.unwrap();
        let (role, ..): (String, Value, Value) = ::redis::from_redis_value(role).unwrap();
        assert_eq!(role, "master");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_has_a_user_of_its_own() {
    let Some((watched, config)) = watched().await else { return };
    let rights = documented().join(" ").replace("tramline:cache", &config.prefix);
    let mut raw = Raw::new(&watched.servers()[0].url()).await;
    let mut errors = Vec::new();
    for (user, more) in [("enough", "+role"), ("few", "-role")] {
        let _: () = raw.say(&format!("ACL SETUSER {user} reset on >secret {rights} {more}")).await;
        let master = format!("redis://{user}:secret@{}", RedisSentinels::MASTER);
        let servers = RedisConfig::sentinel(watched.urls(), master).servers;
        let node = Node::new(&RedisConfig { servers, ..config.clone() });
        everything(&node).await;
        errors.push(node.errors());
    }
    assert!(errors[0] == 0 && errors[1] > 0, "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_nobody_knows_is_a_redis_that_is_away() {
    let Some((watched, config)) = watched().await else { return };
    let servers = RedisConfig::sentinel(watched.urls(), "other").servers;
    let node = Node::new(&RedisConfig { servers, ..config });
    assert!(matches!(node.tier.read(&slot()).await, Found::Away));
    let wrong = [RedisConfig::sentinel(watched.urls(), ""), RedisConfig::sentinel([""; 0], "main")];
    for config in wrong {
        let metrics = Arc::new(StoreMetrics::new());
        assert_eq!(Redis::new(config, metrics).unwrap_err().kind(), crate::error::ErrorKind::Config);
    }
}

/// A master that has lost its replica takes no writes: there may be another one by now, and what is said there is not heard
/// here. That its feed answers says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_alone_is_no_proof_where_another_may_be_the_master() {
    let Some((watched, config)) = watched().await else { return };
    let node = Node::new(&config);
    back(&node).await;
    let [master, replica] = watched.servers();
    let now = Arc::new(AtomicU64::new(1));
    let (hear, mut heard) = tokio::sync::mpsc::channel(1_000);
    let listening = tokio::spawn({
        let (tier, now) = (Arc::clone(&node.tier), Arc::clone(&now));
        async move {
            let hear = |what| hear.try_send(what).expect("a test hears all");
            tier.listen(hear, || now.load(Ordering::SeqCst), std::future::pending()).await;
        }
    });
    let _listening = tokio_util::task::AbortOnDropHandle::new(listening);
    until(async || node.is_open()).await;
    assert!(matches!(heard.recv().await, Some(Heard::Attached(_))));
    let mut raw = Raw::new(&master.url()).await;
    let _: () = raw.say("CONFIG SET min-replicas-to-write 1").await;
    replica.kill().await;
    until(async || node.tier.marks(&[name("x")], crate::tier::suite::LONG).await.is_none()).await;
    now.store(2, Ordering::SeqCst);
    let before = node.errors();
    // Three looks that were refused, each of which its feed had answered before.
    until(async || node.errors() >= before + 3).await;
    while let Ok(heard) = heard.try_recv() {
        assert!(matches!(heard, Heard::Whole(1)), "{heard:?}");
    }
    assert!(node.is_open());
}
