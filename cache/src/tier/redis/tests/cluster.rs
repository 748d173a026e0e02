//! A cluster of three masters.

use devkit::RedisCluster;

use super::rights::{documented, everything};
use super::*;
use crate::tier::suite::{Ear, LONG, bytes, filled, name, payload, value};

/// A cluster of the test's own, and names on it.
async fn three() -> Option<(RedisCluster, RedisConfig)> {
    devkit::engines::redis().await?;
    let cluster = RedisCluster::start(3).await.unwrap();
    let config = named(RedisConfig::cluster(cluster.urls()));
    Some((cluster, config))
}

async fn raws(cluster: &RedisCluster) -> Vec<Raw> {
    let mut raws = Vec::new();
    for url in cluster.urls() {
        raws.push(Raw::new(&url).await);
    }
    raws
}

/// Where a name lies: the number of the node, and the slot.
pub(super) async fn place(raw: &mut Raw, name: &str) -> (usize, u32) {
    let slot: u32 = raw.say(&format!("CLUSTER KEYSLOT {name}")).await;
    ((0..3).find(|n| slot < (n + 1) * 16_384 / 3).unwrap() as usize, slot)
}

/// One that does not lie where the count does.
async fn elsewhere(node: &Node, raw: &mut Raw) -> (Slot, usize) {
    let (count, _) = place(raw, &node.redis().calls().names.count).await;
    loop {
        let slot = slot();
        let (at, _) = place(raw, &node.name(&slot)).await;
        if at != count {
            return (slot, at);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_spread_and_found_where_they_went() {
    let Some((cluster, config)) = three().await else { return };
    let (a, b, token) = (Node::new(&config), Node::new(&config), Token::draw());
    let slots: Vec<_> = (0..60).map(|_| slot()).collect();
    let found = a.tier.read_or_lease_many(&slots, token, LONG).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Found::Leased)));
    let fills = slots.iter().map(|slot| (slot.clone(), value(&slot.key).1, LONG)).collect();
    let all = a.tier.fill_many(fills, token).await;
    assert!(all.len() == 60 && all.iter().all(|filled| *filled == Filled::Stored));
    let mut raws = raws(&cluster).await;
    for raw in &mut raws {
        assert!(raw.say::<u32>("DBSIZE").await > 5, "on each of them");
    }
    let found = b.tier.read_or_lease_many(&slots, token, LONG).await.unwrap();
    assert!(found.iter().all(|found| matches!(found, Found::Slot(_))));

    // One slot moves: first it is between two, then with the other.
    let moving = a.name(&slots[0]);
    let (from, number) = place(&mut raws[0], &moving).await;
    let to = (from + 1) % 3;
    let [old, new]: [String; 2] = [raws[from].say("CLUSTER MYID").await, raws[to].say("CLUSTER MYID").await];
    let _: () = raws[to].say(&format!("CLUSTER SETSLOT {number} IMPORTING {old}")).await;
    let _: () = raws[from].say(&format!("CLUSTER SETSLOT {number} MIGRATING {new}")).await;
    let port = cluster.nodes()[to].addr().port();
    let _: () = raws[from].say(&format!("MIGRATE 127.0.0.1 {port} {moving} 0 5000")).await;
    assert_eq!(payload(&b.tier, &slots[0]).await.as_deref(), Some(&*slots[0].key), "asked for over there");
    for raw in &mut raws {
        let _: () = raw.say(&format!("CLUSTER SETSLOT {number} NODE {new}")).await;
    }
    assert_eq!(payload(&b.tier, &slots[0]).await.as_deref(), Some(&*slots[0].key), "moved");
    a.tier.end(&Ending::Key(slots[0].clone())).await;
    assert!(matches!(b.tier.read(&slots[0]).await, Found::Nothing));
    assert_eq!((a.errors(), b.errors()), (0, 0));
}

/// The slot of the marks is half moved, as a resharding that was aborted leaves it: a tag that has no mark is refused
/// there, with the count, for as long as somebody leaves it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_ends_though_its_slot_is_half_moved() {
    let Some((cluster, config)) = three().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (mut ear, _) = Ear::on(&b.tier).await;
    a.tier.end(&Ending::Mark(name("known"))).await;
    assert_eq!(ear.ended().await.0, Ending::Mark(name("known")));
    let mut raws = raws(&cluster).await;
    let (from, number) = place(&mut raws[0], &a.redis().calls().names.count).await;
    let to = (from + 1) % 3;
    let [old, new]: [String; 2] = [raws[from].say("CLUSTER MYID").await, raws[to].say("CLUSTER MYID").await];
    let _: () = raws[to].say(&format!("CLUSTER SETSLOT {number} IMPORTING {old}")).await;
    let _: () = raws[from].say(&format!("CLUSTER SETSLOT {number} MIGRATING {new}")).await;
    a.tier.end(&Ending::Mark(name("new"))).await;
    back(&a).await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::All, .. })).await;
    assert_eq!(a.tier.untold().endings, 0);
    a.tier.end(&Ending::Key(slot())).await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Key(_), .. })).await;
    for raw in [from, to] {
        let _: () = raws[raw].say(&format!("CLUSTER SETSLOT {number} STABLE")).await;
    }
}

/// Some of its scripts are known to none, some to one only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_loaded_by_all() {
    let Some((cluster, config)) = three().await else { return };
    let (node, token) = (Node::new(&config), Token::draw());
    back(&node).await;
    for raw in &mut raws(&cluster).await {
        let _: () = raw.say("SCRIPT FLUSH").await;
    }
    let slots: Vec<_> = (0..30).map(|_| slot()).collect();
    node.tier.read_or_lease_many(&slots, token, LONG).await.unwrap();
    let fills = slots.iter().map(|slot| (slot.clone(), value(&slot.key).1, LONG)).collect();
    let all = node.tier.fill_many(fills, token).await;
    assert!(all.iter().all(|filled| *filled == Filled::Stored), "{all:?}");
    for raw in &mut raws(&cluster).await {
        let _: () = raw.say("SCRIPT FLUSH").await;
    }
    node.tier.end(&Ending::Mark(name("x"))).await;
    assert_eq!(node.errors(), 0);
    assert!(node.is_open());
}

/// A cluster is there when all of it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_lacks_a_part_is_away_and_told_what_it_missed() {
    let Some((cluster, config)) = three().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(&cluster.urls()[0]).await;
    let (slot, at) = elsewhere(&a, &mut raw).await;
    let there = loop {
        let (there, other) = elsewhere(&a, &mut raw).await;
        if other != at {
            break there;
        }
    };
    filled(&a.tier, &slot, "old").await;
    let before = b.tier.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b.tier).await;
    cluster.nodes()[at].kill().await;
    until(async || matches!(a.tier.read(&slot).await, Found::Away)).await;
    a.tier.end(&Ending::Key(slot.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    // The others go on answering for a while; who comes now does not begin with them alone.
    let late = Node::new(&config);
    assert!(matches!(late.tier.read(&there).await, Found::Away));
    cluster.nodes()[at].restart().await.unwrap();
    assert!(matches!(first(&a, &slot).await, Found::Nothing));
    back(&b).await;
    // Each may find only now that it is connected to that one anew, and be away for a moment.
    until(async || {
        let after = b.tier.marks(&[name("x")], LONG).await;
        assert!(after.iter().all(|after| after.marks[0] != before.marks[0]));
        after.is_some()
    })
    .await;
    until(async || a.tier.put(&slot, value("new").1, LONG).await).await;
    ended_until_heard(&a, &mut ear, &Ending::Key(slot)).await;
}

/// The driver connects anew to a part of it and says nothing: what that part may have lost is told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_was_lost_for_a_moment_is_noticed() {
    let Some((cluster, config)) = three().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(&cluster.urls()[0]).await;
    let (slot, at) = elsewhere(&a, &mut raw).await;
    let (mut ear, _) = Ear::on(&a.tier).await;
    filled(&b.tier, &slot, "old").await;
    let old = bytes(&b.tier, &slot).await.unwrap();
    let mut part = Raw::new(&cluster.urls()[at]).await;
    a.tier.end(&Ending::Key(slot.clone())).await;
    // As if it had never been ended.
    let mut set = cmd("SET");
    set.arg(a.name(&slot)).arg(&old[..]).arg("PX").arg(600_000);
    set.query_async::<()>(&mut part.0).await.unwrap();
    let _: i64 = part.say("CLIENT KILL TYPE normal SKIPME yes").await;
    until(async || {
        payload(&b.tier, &slot).await.is_none() && !matches!(b.tier.read(&slot).await, Found::Away)
    })
    .await;
    // It may be another master by now, with another count.
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    ear.attached().await;
}

/// Another one of its nodes will do, one of the list is not there at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_begins_again_elsewhere() {
    let Some((cluster, config)) = three().await else { return };
    let urls = cluster.urls().into_iter().chain(["redis://127.0.0.1:1".to_owned()]);
    let far = RedisConfig { servers: RedisConfig::cluster(urls).servers, ..config.clone() };
    let (a, b) = (Node::new(&config), Node::new(&far));
    let (mut ear, begin) = Ear::on(&b.tier).await;
    let mut raws = raws(&cluster).await;
    join_all(raws.iter_mut().map(|raw| raw.say::<i64>("CLIENT KILL TYPE pubsub"))).await;
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    assert!(ear.attached().await.number >= begin.number);
    // It may have begun with a node that throws it out again.
    ended_until_heard(&a, &mut ear, &Ending::Mark(name("x"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_rights_more_are_enough() {
    let Some((cluster, config)) = three().await else { return };
    let mut errors = Vec::new();
    for (user, more) in
        [("enough", "+cluster|slots +client|id"), ("few", "+cluster|slots"), ("less", "+client|id")]
    {
        let rights = documented().join(" ").replace("tramline:cache", &config.prefix);
        for raw in &mut raws(&cluster).await {
            let _: () = raw.say(&format!("ACL SETUSER {user} reset on >secret {rights} {more}")).await;
        }
        let urls = cluster.urls();
        let urls = urls.iter().map(|url| url.replace("redis://", &format!("redis://{user}:secret@")));
        let node = Node::new(&RedisConfig { servers: RedisConfig::cluster(urls).servers, ..config.clone() });
        everything(&node).await;
        errors.push(node.errors());
    }
    assert!(errors[0] == 0 && errors[1] > 0 && errors[2] > 0, "{errors:?}");
}

/// Each value is by the clock of its node, and the one that we know is another's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_refuse_no_write_and_let_no_late_one_through() {
    let Some((_cluster, config)) = three().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    back(&a).await;
    back(&b).await;
    for ahead in [false, true] {
        let by = Duration::from_secs(3_600);
        let now = tokio::time::Instant::now();
        let wrong = b.tier.now() * 1000;
        let wrong = if ahead { wrong + 3_600_000_000 } else { wrong - 3_600_000_000 };
        a.redis().link.clock().learn(now, now, wrong);
        let off = a.tier.now().abs_diff(b.tier.now());
        assert!(off > millis(by) - 60_000, "{off}");
        let (slot, token) = (slot(), Token::draw());
        filled(&a.tier, &slot, "first").await;
        assert_eq!(payload(&b.tier, &slot).await.as_deref(), Some("first"));
        // The first half of a write, and the second one after something that came later.
        let seize = a.redis().calls().seize(&slot, &lease(token), 60_000);
        for ended in [true, false] {
            a.redis().link.run(&seize).await.unwrap();
            assert!(payload(&b.tier, &slot).await.is_none(), "what is old is gone");
            if ended {
                b.tier.end(&Ending::Key(slot.clone())).await;
            } else {
                filled(&b.tier, &slot, "newer").await;
            }
            let late = value("late").1;
            assert_eq!(a.tier.fill(&slot, token, late, LONG).await, Filled::Refused);
            let there = payload(&b.tier, &slot).await;
            assert_eq!(there.as_deref(), if ended { None } else { Some("newer") });
        }
        // And a first half that is late: something is ended that need not be, and nobody waits for long.
        let seize = a.redis().calls().seize(&slot, &lease(token), 1);
        a.redis().link.run(&seize).await.unwrap();
        until(async || matches!(b.tier.read(&slot).await, Found::Nothing)).await;
    }
}

/// What is ended by the count's node and what lies elsewhere: who is told that something is new finds it so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_hears_of_a_value_on_another_node_finds_it() {
    let Some((cluster, config)) = three().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(&cluster.urls()[0]).await;
    let (slot, at) = elsewhere(&a, &mut raw).await;
    filled(&a.tier, &slot, "old").await;
    // Whoever is paused tells nobody anything.
    let mut paused = Raw::new(&cluster.urls()[at]).await;
    let numsub = format!("PUBSUB NUMSUB {}", a.redis().calls().names.feed);
    let mut ear = loop {
        let (ear, _) = Ear::on(&b.tier).await;
        let (_, heard_there): (String, u32) = paused.say(&numsub).await;
        if heard_there == 0 {
            break ear;
        }
    };
    for put in [true, false] {
        // The value's node takes its time, and the count's does not.
        cluster.nodes()[at].pause();
        let changing = tokio::spawn({
            let (tier, slot) = (a.tier.clone(), slot.clone());
            async move {
                if put {
                    assert!(tier.put(&slot, value("new").1, LONG).await);
                } else {
                    tier.end(&Ending::Key(slot)).await;
                }
            }
        });
        // What is asked after it of the count's node is answered.
        tokio::task::yield_now().await;
        for _ in 0..3 {
            b.tier.end(&Ending::Mark(name("x"))).await;
            assert_eq!(ear.ended().await.0, Ending::Mark(name("x")), "nothing is told before it is so");
        }
        assert!(!changing.is_finished());
        cluster.nodes()[at].resume();
        assert_eq!(ear.ended().await.0, Ending::Key(slot.clone()));
        assert_eq!(payload(&b.tier, &slot).await.as_deref(), put.then_some("new"));
        changing.await.unwrap();
    }
}
