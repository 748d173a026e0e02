//! What lies in Redis.

use super::*;
use crate::mark::MarkName;
use crate::tier::Heard;
use crate::tier::suite::{Ear, LONG, filled, name, payload, slot, until, value};

/// Every name that is written has an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_has_a_life() {
    let Some(url) = devkit::engines::redis().await else { return };
    let config = config(url);
    let node = Node::new(&config);
    let (tier, token) = (&node.tier, Token::draw());
    let slots: Vec<_> = (0..9).map(|_| slot()).collect();
    // Each verb that writes, on a slot of its own.
    let (id, _) = filled(tier, &slots[0], "put").await;
    assert_eq!(tier.take(&slots[0], id, token, LONG, true).await, Taken::Leased);
    assert!(tier.renew(&slots[0], token, LONG).await);
    tier.wait_for(&slots[0]).await;
    let (id, _) = filled(tier, &slots[1], "taken away").await;
    assert_eq!(tier.take(&slots[1], id, token, LONG, false).await, Taken::Leased);
    assert!(matches!(tier.read_or_lease(&slots[2], token, LONG).await, Found::Leased));
    tier.wait_for(&slots[2]).await;
    tier.read_or_lease_many(&slots[3..5], token, LONG).await.unwrap();
    assert_eq!(tier.fill(&slots[3], token, value("filled").1, LONG).await, Filled::Stored);
    let fills = vec![(slots[4].clone(), value("filled").1, LONG)];
    assert_eq!(tier.fill_many(fills, token).await, [Filled::Stored]);
    let (id, _) = filled(tier, &slots[5], "released").await;
    assert_eq!(tier.take(&slots[5], id, token, LONG, true).await, Taken::Leased);
    tier.release(&slots[5], token).await;
    tier.marks(&[name("asked"), name("both")], LONG).await.unwrap();
    tier.end(&Ending::Mark(name("ended"))).await;
    tier.end(&Ending::Mark(name("both"))).await;
    tier.end(&Ending::Key(slots[6].clone())).await;

    let mut raw = Raw::new(url).await;
    let mut longest = 0;
    for pattern in [config.prefix.clone(), format!("{{{}}}", config.prefix)] {
        let keys: Vec<String> = raw.say(&format!("KEYS {pattern}:*")).await;
        assert!(keys.len() >= 4, "{keys:?}");
        for key in keys {
            let life: i64 = raw.say(&format!("PTTL {key}")).await;
            assert!(life > 0, "{key} {life}");
            let value = key.contains(":v:");
            assert!(!value || life <= 600_000, "{key} {life}");
            longest = longest.max(life);
        }
    }
    assert!(longest <= 30 * 24 * 3_600_000);
    tier.end(&Ending::All).await;
    let life: i64 = raw.say(&format!("PTTL {{{}}}:seq", config.prefix)).await;
    assert!(life > 0);
    assert_eq!(node.errors(), 0);
}

/// What others put where ours would be harms nobody, and is no failure of Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_others_harm_nobody() {
    let Some(url) = devkit::engines::redis().await else { return };
    let config = config(url);
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (slot, token) = (slot(), Token::draw());
    let mut raw = Raw::new(url).await;
    let list = a.name(&slot);
    let _: i64 = raw.say(&format!("RPUSH {list} x")).await;
    let tier = &a.tier;
    assert!(matches!(tier.read(&slot).await, Found::Nothing));
    assert!(matches!(tier.read_or_lease(&slot, token, LONG).await, Found::Nothing));
    let many = tier.read_or_lease_many(std::slice::from_ref(&slot), token, LONG).await.unwrap();
    assert!(matches!(many[..], [Found::Nothing]));
    assert_eq!(tier.take(&slot, token, token, LONG, true).await, Taken::Changed);
    assert_eq!(tier.fill(&slot, token, value("x").1, LONG).await, Filled::Away);
    let fills = vec![(slot.clone(), value("x").1, LONG)];
    assert_eq!(tier.fill_many(fills, token).await, [Filled::Away]);
    tier.release(&slot, token).await;
    tier.wait_for(&slot).await;
    tier.drop_bad(&slot, &Bytes::from_static(b"x")).await;
    let kind: String = raw.say(&format!("TYPE {list}")).await;
    assert_eq!(kind, "list", "it is not ours to remove");
    assert!(a.errors() > 0 && a.is_open());
    filled(&a.tier, &slot, "ours").await;
    assert_eq!(payload(&b.tier, &slot).await.as_deref(), Some("ours"), "unless someone wants it so");

    // The marks and the count, too.
    let names = [name("x"), name("y")];
    let before = a.tier.marks(&names, LONG).await.unwrap();
    let mark = a.redis().calls().names.mark(&names[0]);
    for (n, other) in (1..).zip(["SET MARK garbage", "SET MARK 1.2", "RPUSH MARK x"]) {
        a.tier.end(&Ending::Key(slot.clone())).await;
        let _: i64 = raw.say(&format!("DEL {mark}")).await;
        let _: ::redis::Value = raw.say(&other.replace("MARK", &mark)).await;
        let after = b.tier.marks(&names, LONG).await.unwrap();
        assert_eq!(after.marks, [after.newest, before.marks[1]], "{other}");
        assert_eq!(after.newest.number, before.newest.number + n);
    }
    let count = a.redis().calls().names.count.clone();
    for other in ["RPUSH SEQ x", "HSET SEQ i short", "HSET SEQ n 1.5", "HSET SEQ i 0123456789abcdef"] {
        let _: i64 = raw.say(&format!("DEL {count}")).await;
        let _: ::redis::Value = raw.say(&other.replace("SEQ", &count)).await;
        let before = a.tier.marks(&names, LONG).await.unwrap();
        assert_eq!(before.marks, [before.newest; 2], "{other}");
        b.tier.end(&Ending::Mark(names[0].clone())).await;
        let after = a.tier.marks(&names, LONG).await.unwrap();
        assert_eq!(after.newest.number, before.newest.number + 1);
        assert_eq!(after.newest.incarnation, before.newest.incarnation);
    }
    assert_eq!(b.errors(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_the_numbers_is_found() {
    let Some(url) = devkit::engines::redis().await else { return };
    let config = config(url);
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(url).await;
    let (count, feed) = (a.redis().calls().names.count.clone(), a.redis().calls().names.feed.clone());
    let (mut ear, begin) = Ear::on(&b.tier).await;
    back(&a).await;
    // One that was ended and never said, and another after it.
    let _: i64 = raw.say(&format!("HINCRBY {count} n 1")).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    let mut number = ear.attached().await.number;
    if number == begin.number + 1 {
        // It looked in between, and hears of the other one.
        number = ear.ended().await.1.number;
    }
    assert_eq!(number, begin.number + 2);
    // One after which nothing comes.
    let _: i64 = raw.say(&format!("HINCRBY {count} n 1")).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    assert_eq!(ear.attached().await.number, begin.number + 3);
    // The count is lost: nobody knows what was ended.
    let _: i64 = raw.say(&format!("DEL {count}")).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    let after = ear.attached().await;
    assert_ne!(after.incarnation, begin.incarnation);
    // A kind of ending that only a later version knows.
    let next = format!("{:016x}.{}", after.incarnation, after.number + 1);
    let _: i64 = raw.say(&format!("PUBLISH {feed} e|{next}|node|z|x").replace('|', "\u{a0}")).await;
    let mut publish = cmd("PUBLISH");
    publish.arg(&feed).arg(format!("e {next} node z x"));
    publish.query_async::<i64>(&mut raw.0).await.unwrap();
    assert!(matches!(ear.next().await, Heard::Detached), "the first one says nothing known");
    ear.attached().await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert_eq!(ear.ended().await.0, Ending::Mark(name("x")));
}

/// Messages go to all databases of a Redis.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_databases_do_not_hear_each_other() {
    let Some(url) = devkit::engines::redis().await else { return };
    let config = config(url);
    let (a, b) = (Node::new(&config), Node::new(&at(&format!("{url}/1"), config)));
    let (mut ear_a, _) = Ear::on(&a.tier).await;
    let (mut ear_b, _) = Ear::on(&b.tier).await;
    for round in ["x", "y"] {
        for _ in 0..3 {
            a.tier.end(&Ending::Mark(name(round))).await;
            assert_eq!(ear_a.ended().await.0, Ending::Mark(name(round)));
        }
        b.tier.end(&Ending::Mark(name("b"))).await;
        assert_eq!(ear_b.ended().await.0, Ending::Mark(name("b")));
    }
}

/// Redis forgets scripts when it likes to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_loaded_again() {
    let Some((server, config)) = server().await else { return };
    let node = Node::new(&config);
    let (tier, token) = (&node.tier, Token::draw());
    let mut raw = Raw::new(&server.url()).await;
    let (mut ear, _) = Ear::on(tier).await;
    let slots: Vec<_> = (0..1200).map(|_| slot()).collect();
    macro_rules! forgetful {
        ($call:expr) => {{
            let _: () = raw.say("SCRIPT FLUSH").await;
            $call.await
        }};
    }
    let found = forgetful!(tier.read_or_lease_many(&slots, token, LONG)).unwrap();
    assert!(found.iter().all(|found| matches!(found, Found::Leased)));
    let fills = slots[1..].iter().map(|slot| (slot.clone(), value(&slot.key).1, LONG)).collect();
    let all = forgetful!(tier.fill_many(fills, token));
    assert!(all.len() == 1199 && all.iter().all(|filled| *filled == Filled::Stored));
    assert!(forgetful!(tier.renew(&slots[0], token, LONG)));
    forgetful!(tier.wait_for(&slots[0]));
    assert_eq!(forgetful!(tier.fill(&slots[0], token, value("x").1, LONG)), Filled::Stored);
    assert!(matches!(ear.next().await, Heard::Filled(_)));
    let (id, bytes) = value("put");
    assert!(forgetful!(tier.put(&slots[0], bytes.clone(), LONG)));
    assert_eq!(forgetful!(tier.take(&slots[0], id, token, LONG, true)), Taken::Leased);
    forgetful!(tier.release(&slots[0], token));
    assert_eq!(forgetful!(tier.take(&slots[0], id, token, LONG, true)), Taken::Leased);
    forgetful!(tier.drop_bad(&slots[0], &bytes.into()));
    assert!(matches!(tier.read(&slots[0]).await, Found::Nothing));
    forgetful!(tier.end(&Ending::Key(slots[1].clone())));
    assert!(matches!(tier.read(&slots[1]).await, Found::Nothing));
    assert!(forgetful!(tier.marks(&[name("x")], LONG)).is_some());
    forgetful!(tier.end(&Ending::Mark(name("x"))));
    let [put, ended] = [0, 1].map(|n| Ending::Key(slots[n].clone()));
    for ending in [put, ended, Ending::Mark(name("x"))] {
        assert_eq!(ear.ended().await.0, ending);
    }
    forgetful!(tier.end(&Ending::All));
    assert_eq!(ear.ended().await.0, Ending::All);
    assert!(node.is_open());
    assert_eq!(node.errors(), 0);
}

/// Who heard of a value before it was written may have read the old one since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_whose_script_was_forgotten_is_told_again() {
    let Some((server, config)) = server().await else { return };
    let (a, b, slot) = (Node::new(&config), Node::new(&config), slot());
    let mut raw = Raw::new(&server.url()).await;
    let (mut ear, _) = Ear::on(&b.tier).await;
    back(&a).await;
    let _: () = raw.say("SCRIPT FLUSH").await;
    // So that it knows how to tell, and not how to write.
    let other = Ending::Key(crate::tier::suite::slot());
    b.tier.end(&other).await;
    assert_eq!(ear.ended().await.0, other);
    assert!(a.tier.put(&slot, value("new").1, LONG).await);
    let ended = Ending::Key(slot.clone());
    let (first, second) = (ear.ended().await, ear.ended().await);
    assert_eq!((&first.0, &second.0), (&ended, &ended));
    assert_eq!(payload(&b.tier, &slot).await.as_deref(), Some("new"));
    assert_eq!(a.errors(), 0);
}

/// A full Redis is read, and forgets what it is told to forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_one_is_read_and_forgets() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (kept, put, leased, missing, token) = (slot(), slot(), slot(), slot(), Token::draw());
    filled(&a.tier, &kept, "kept").await;
    filled(&a.tier, &put, "old").await;
    assert!(matches!(a.tier.read_or_lease(&leased, token, LONG).await, Found::Leased));
    let before = a.tier.marks(&[name("x")], LONG).await.unwrap();
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("CONFIG SET maxmemory 1").await;
    assert!(matches!(b.tier.read_or_lease(&missing, token, LONG).await, Found::Nothing));
    assert!(matches!(b.tier.read_or_lease(&kept, token, LONG).await, Found::Slot(_)));
    let many = b.tier.read_or_lease_many(&[kept.clone(), missing.clone()], token, LONG).await.unwrap();
    assert!(matches!(many[..], [Found::Slot(_), Found::Nothing]), "{many:?}");
    assert!(!a.tier.put(&put, value("new").1, LONG).await);
    assert!(matches!(b.tier.read(&put).await, Found::Nothing), "the old one is gone");
    assert_eq!(a.tier.fill(&leased, token, value("new").1, LONG).await, Filled::Away);
    assert!(matches!(b.tier.read(&leased).await, Found::Nothing), "nobody waits for it");
    b.tier.end(&Ending::Key(kept.clone())).await;
    b.tier.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(a.tier.read(&kept).await, Found::Nothing));
    assert_ne!(a.tier.marks(&[name("x")], LONG).await.unwrap().marks[0], before.marks[0]);
    assert!(a.is_open() && b.is_open());
    assert!(a.errors() > 0);
}

/// A mark that Redis lost ends what carries it, unless nothing was ended since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_mark_is_no_old_one() {
    let Some(url) = devkit::engines::redis().await else { return };
    let node = Node::new(&config(url));
    let names = [name("x"), MarkName::of_cache("users.1")];
    let before = node.tier.marks(&names, LONG).await.unwrap();
    let mut raw = Raw::new(url).await;
    let lose = format!("DEL {}", node.redis().calls().names.mark(&names[0]));
    let _: i64 = raw.say(&lose).await;
    let same = node.tier.marks(&names, LONG).await.unwrap();
    assert_eq!(same.marks, before.marks, "nothing was ended");
    node.tier.end(&Ending::Mark(names[0].clone())).await;
    let _: i64 = raw.say(&lose).await;
    let after = node.tier.marks(&names, LONG).await.unwrap();
    assert_eq!(after.marks, [after.newest, before.marks[1]]);
    assert_ne!(after.newest, before.newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_is_that_of_redis() {
    let Some(url) = devkit::engines::redis().await else { return };
    let node = Node::new(&config(url));
    assert_eq!(node.tier.now(), 0);
    node.tier.read(&slot()).await;
    let mut raw = Raw::new(url).await;
    let now = async |raw: &mut Raw| {
        let (seconds, micros): (u64, u64) = raw.say("TIME").await;
        seconds * 1000 + micros / 1000
    };
    until(async || {
        let mut raw = Raw(raw.0.clone());
        let before = now(&mut raw).await;
        let ours = node.tier.now();
        let after = now(&mut raw).await;
        (before.saturating_sub(2)..=after + 2).contains(&ours)
    })
    .await;
    let _ = now(&mut raw).await;
}

#[tokio::test]
async fn only_the_configuration_can_be_wrong() {
    let metrics = Arc::new(StoreMetrics::new());
    let bad = |change: fn(&mut RedisConfig)| {
        let mut config = RedisConfig::new("redis://127.0.0.1:1");
        change(&mut config);
        Redis::new(config, metrics.clone()).unwrap_err().kind()
    };
    let changes: [fn(&mut RedisConfig); 6] = [
        |config| config.servers = RedisConfig::new("http://localhost").servers,
        |config| config.servers = RedisConfig::new("").servers,
        |config| config.prefix = "a b".to_owned(),
        |config| config.response_timeout = Duration::ZERO,
        |config| config.connect_timeout = Duration::ZERO,
        |config| config.max_backoff = Duration::ZERO,
    ];
    for change in changes {
        assert_eq!(bad(change), crate::error::ErrorKind::Config);
    }
}

/// By another client, while it lives: what was ended before, and what was heard of it, is another Redis's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_flushed_is_another() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let mut raw = Raw::new(&server.url()).await;
    let (mut ear, mut begin) = Ear::on(&b.tier).await;
    for flush in ["FLUSHDB", "FLUSHALL"] {
        let slot = slot();
        filled(&a.tier, &slot, "old").await;
        ear.until(|heard| matches!(heard, Heard::Ended { .. })).await;
        let before = a.tier.marks(&[name("x")], LONG).await.unwrap();
        let _: () = raw.say(flush).await;
        // Nobody ends anything: the count says so.
        assert!(matches!(ear.next().await, Heard::Detached));
        let newest = ear.attached().await;
        assert_ne!(newest.incarnation, begin.incarnation);
        assert!(matches!(a.tier.read(&slot).await, Found::Nothing));
        let after = a.tier.marks(&[name("x")], LONG).await.unwrap();
        assert!(after.marks[0] == after.newest && after.marks[0] != before.marks[0]);
        assert_eq!(after.newest.incarnation, newest.incarnation);
        begin = newest;
    }
    assert_eq!((a.errors(), b.errors()), (0, 0));
}
