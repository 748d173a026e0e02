//! A cluster whose replica takes over.

use devkit::RedisCluster;

use super::cluster::place;
use super::*;
use crate::tier::Heard;
use crate::tier::suite::{Ear, LONG, filled, name, payload};

/// Three masters with a replica each, and names on them.
async fn replicated() -> Option<(RedisCluster, RedisConfig)> {
    devkit::engines::redis().await?;
    let cluster = RedisCluster::start_with_replicas(3).await.unwrap();
    let config = named(RedisConfig::cluster(cluster.urls()));
    Some((cluster, config))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_place_of_a_value_loses_no_ending_of_ours() {
    takes_over(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_does_that_of_the_count() {
    takes_over(true).await;
}

/// The replica does not hear the last words of its master, which is killed then.
async fn takes_over(counts: bool) {
    let Some((cluster, config)) = replicated().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(&cluster.urls()[0]).await;
    let (count, _) = place(&mut raw, &a.redis().calls().names.count).await;
    // All of them lie where something will be lost.
    let lost = if counts { count } else { (count + 1) % 3 };
    let mut slots = Vec::new();
    while slots.len() < 3 {
        let slot = slot();
        if place(&mut raw, &a.name(&slot)).await.0 == lost {
            slots.push(slot);
        }
    }
    let [late, away, kept] = &slots[..] else { unreachable!() };
    // By one that tells nothing again.
    let writer = Node::new(&config);
    for slot in &slots {
        filled(&writer.tier, slot, "old").await;
    }
    drop(writer);
    let before = b.tier.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b.tier).await;
    let (master, replica) = (&cluster.nodes()[lost], &cluster.replicas()[lost]);
    let mut raw = Raw::new(&master.url()).await;
    // It waits for what this connection has written, and with that for what came before.
    for slot in &slots {
        let _: i64 = raw.say(&format!("PEXPIRE {} 600000", a.name(slot))).await;
    }
    assert_eq!(raw.say::<i64>("WAIT 1 10000").await, 1, "it has what is old");
    // Nor does it find them in its socket.
    replica.pause();
    let _: i64 = raw.say("CLIENT KILL TYPE replica").await;
    a.tier.end(&Ending::Key(late.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert!(a.is_open());
    master.kill().await;
    replica.resume();
    a.tier.end(&Ending::Key(away.clone())).await;
    assert!(!a.is_open());
    cluster.failed_over(lost).await.unwrap();
    assert!(matches!(first(&a, late).await, Found::Nothing), "told again");
    assert!(matches!(first(&a, away).await, Found::Nothing), "told at last");
    // The driver may connect anew once more, and be away for a moment.
    assert!(matches!(first(&a, kept).await, Found::Slot(_)), "nobody ended this one");
    back(&b).await;
    let after = b.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    ear.attached().await;
    back(&a).await;
    filled(&a.tier, late, "new").await;
    until(async || payload(&b.tier, late).await.as_deref() == Some("new")).await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Key(ended), .. } if ended == late))
        .await;

    // The old one comes back as a replica.
    master.restart().await.unwrap();
    cluster.follows(lost).await.unwrap();
    let c = Node::new(&config);
    assert_eq!(payload(&c.tier, late).await.as_deref(), Some("new"));
    assert!(b.is_open());
}
