//! A Redis that is stopped, hangs, is killed and comes back, or is cut off.

use devkit::Fault;
use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::tier::Heard;
use crate::tier::suite::{Ear, LONG, bytes, filled, name, payload, slot, until, value};

/// Keys are what users are called by, and URLs hold passwords; both end up in logs by way of `{:?}`.
#[tokio::test]
async fn what_is_shown_of_a_store_is_no_key_and_no_secret() {
    use crate::{CacheConfig, Store, StoreConfig, Tag};
    let config = RedisConfig::new("redis://ada:secret@127.0.0.1:1");
    let store = Store::redis(config.clone(), StoreConfig::default()).unwrap();
    let cache = store.cache::<String, String>(CacheConfig::new("mails")).unwrap();
    let ada = "ada@example.com".to_owned();
    cache.invalidate(&ada).await;
    store.invalidate_tag(&Tag::new("mail", &ada)).await;
    let wrong = Store::redis(RedisConfig::new("redis://ada:secret@[/"), StoreConfig::default());
    let error = wrong.unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    let shown = format!("{store:?} {store:#?} {cache:?} {config:?} {error:?} {error} {source}");
    assert!(!shown.contains("ada") && !shown.contains("secret"), "{shown}");
    assert!(shown.contains("mails.1"), "what waits to be told: {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_yet_is_used_when_it_is() {
    let Some((server, config)) = server().await else { return };
    let slot = slot();
    filled(&Node::new(&config).tier, &slot, "old").await;
    server.stop().await;
    let node = Node::new(&config);
    let mut ear = Ear::listen(&node.tier);
    let token = Token::draw();
    assert!(matches!(node.tier.read(&slot).await, Found::Away));
    assert!(matches!(node.tier.read_or_lease(&slot, token, LONG).await, Found::Away));
    assert!(node.tier.read_or_lease_many(std::slice::from_ref(&slot), token, LONG).await.is_none());
    assert!(node.tier.marks(&[name("x")], LONG).await.is_none());
    assert_eq!(node.tier.take(&slot, token, token, LONG, true).await, Taken::Away);
    assert_eq!(node.tier.fill(&slot, token, value("x").1, LONG).await, Filled::Away);
    let fills = vec![(slot.clone(), value("x").1, LONG); 2];
    assert_eq!(node.tier.fill_many(fills, token).await, [Filled::Away; 2]);
    assert!(!node.tier.put(&slot, value("new").1, LONG).await);
    assert_eq!(node.tier.now(), 0);
    server.restart().await.unwrap();
    assert!(matches!(first(&node, &slot).await, Found::Nothing), "told before it is read");
    assert!(matches!(ear.next().await, Heard::Attached(_)), "nobody said that it was heard before");
}

/// Killed: everything is refused at once, and what was ended meanwhile is ended before anything is read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_one_is_told_what_it_missed() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (by_key, by_put) = (slot(), slot());
    filled(&a.tier, &by_key, "old").await;
    filled(&a.tier, &by_put, "old").await;
    let many: Vec<_> = (0..600).map(|_| slot()).collect();
    for slot in &many {
        filled(&a.tier, slot, "old").await;
    }
    let before = b.tier.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b.tier).await;
    server.kill().await;
    assert!(matches!(ear.next().await, Heard::Detached));
    until(async || matches!(a.tier.read(&by_key).await, Found::Away)).await;
    let asked = a.errors();
    for _ in 0..1_000 {
        assert!(matches!(a.tier.read(&by_key).await, Found::Away));
    }
    assert!(a.errors() < asked + 50, "known to be away, it is not asked each time");
    a.tier.end(&Ending::Key(by_key.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    let many: Vec<_> = many.iter().cloned().map(Ending::Key).collect();
    a.tier.end_many(&many).await;
    assert!(!a.tier.put(&by_put, value("new").1, LONG).await);
    server.restart().await.unwrap();
    assert!(matches!(first(&a, &by_key).await, Found::Nothing));
    assert!(matches!(first(&a, &by_put).await, Found::Nothing));
    for ending in &many {
        let Ending::Key(slot) = ending else { unreachable!() };
        assert!(matches!(a.tier.read(slot).await, Found::Nothing));
    }
    back(&b).await;
    assert!(matches!(b.tier.read(&by_key).await, Found::Nothing));
    let after = b.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
    ear.attached().await;
    filled(&a.tier, &by_key, "new").await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Key(slot), .. } if *slot == by_key))
        .await;
}

/// Hangs: one bounded wait, then none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_one_costs_one_wait() {
    let Some((server, mut config)) = server().await else { return };
    config.response_timeout = Duration::from_secs(2);
    let (a, b) = (Node::new(&config), Node::new(&config));
    let slot = slot();
    back(&a).await;
    back(&b).await;
    filled(&a.tier, &slot, "old").await;
    let before = a.tier.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b.tier).await;
    let before_it = a.errors();
    server.pause();
    let begun = tokio::time::Instant::now();
    a.tier.end(&Ending::Key(slot.clone())).await;
    assert!(begun.elapsed() >= config.response_timeout, "it was waited for");
    assert!(!a.is_open());
    for _ in 0..1_000 {
        assert!(matches!(a.tier.read(&slot).await, Found::Away));
    }
    assert!(a.errors() <= before_it + 2, "a look after it at most, and no other wait");
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    server.resume();
    assert!(matches!(first(&a, &slot).await, Found::Nothing));
    back(&b).await;
    let after = b.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
    ear.attached().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_comes_back_empty_is_another() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let slot = slot();
    filled(&a.tier, &slot, "old").await;
    let before = a.tier.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, begin) = Ear::on(&b.tier).await;
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("FLUSHALL").await;
    server.kill().await;
    server.restart().await.unwrap();
    assert!(matches!(ear.next().await, Heard::Detached));
    let newest = ear.attached().await;
    assert_ne!(newest.incarnation, begin.incarnation);
    back(&a).await;
    assert!(matches!(a.tier.read(&slot).await, Found::Nothing));
    let after = a.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_eq!(after.newest.incarnation, newest.incarnation);
    assert!(after.marks[0] == after.newest && after.marks[0] != before.marks[0]);
}

/// Only one node is cut off, without a word to either side: the pings find out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_feed_is_noticed() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&RedisConfig { response_timeout: Duration::from_secs(1), ..at(&url, config) });
    let slot = slot();
    filled(&near.tier, &slot, "old").await;
    let (mut ear, begin) = Ear::on(&far.tier).await;
    fault.half_open();
    near.tier.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    far.tier.end(&Ending::Key(slot.clone())).await;
    assert_eq!(payload(&near.tier, &slot).await.as_deref(), Some("old"), "it cannot know");
    fault.heal();
    until(async || matches!(near.tier.read(&slot).await, Found::Nothing)).await;
    assert!(ear.attached().await.number > begin.number);
    near.tier.end(&Ending::Mark(name("x"))).await;
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Mark(_), .. })).await;
}

/// The feed's connection alone is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_is_cut_begins_again() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (mut ear, begin) = Ear::on(&b.tier).await;
    back(&a).await;
    let mut raw = Raw::new(&server.url()).await;
    let _: i64 = raw.say("CLIENT KILL TYPE pubsub").await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    // It begins with what ended meanwhile, or hears of it.
    let mut number = ear.attached().await.number;
    if number == begin.number {
        let (ending, mark) = ear.ended().await;
        assert_eq!(ending, Ending::Mark(name("x")));
        number = mark.number;
    }
    assert_eq!(number, begin.number + 1);
    assert!(b.is_open());
}

/// A replica that takes over has not heard the last words of the lost one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_are_told_again_to_a_new_connection() {
    let Some((server, config)) = server().await else { return };
    let (a, b) = (Node::new(&config), Node::new(&config));
    let slot = slot();
    filled(&a.tier, &slot, "old").await;
    let old = bytes(&b.tier, &slot).await.unwrap();
    let before = a.tier.marks(&[name("x")], LONG).await.unwrap();
    let mut raw = Raw::new(&server.url()).await;
    a.tier.end(&Ending::Key(slot.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    // As if it had never been ended.
    let mut set = cmd("SET");
    set.arg(a.name(&slot)).arg(&old[..]).arg("PX").arg(600_000);
    set.query_async::<()>(&mut raw.0).await.unwrap();
    let mark = a.redis().calls().names.mark(&name("x"));
    let _: () = raw.say(&format!("SET {mark} {} PX 600000", before.marks[0])).await;
    let _: i64 = raw.say("CLIENT KILL TYPE normal SKIPME yes").await;
    until(async || matches!(a.tier.read(&slot).await, Found::Away)).await;
    assert!(matches!(first(&a, &slot).await, Found::Nothing));
    let after = a.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
}

/// Whoever wanted it ended did not wait for the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_ending_is_told_all_the_same() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&at(&url, config));
    let [ended, put, first_of_many, last_of_many] = [(); 4].map(|()| slot());
    for slot in [&ended, &put, &first_of_many, &last_of_many] {
        filled(&near.tier, slot, "old").await;
    }
    back(&far).await;
    fault.half_open();
    let ending = Ending::Key(ended.clone());
    // The last one is not even sent.
    let mut many: Vec<_> = (0..600).map(|_| Ending::Key(slot())).collect();
    (many[0], many[599]) = (Ending::Key(first_of_many.clone()), Ending::Key(last_of_many.clone()));
    let put_new = far.tier.put(&put, value("new").1, LONG);
    let all = async { tokio::join!(far.tier.end(&ending), put_new, far.tier.end_many(&many)) };
    assert!(all.now_or_never().is_none());
    // What was on its way is lost.
    fault.cut();
    fault.heal();
    assert!(matches!(first(&far, &ended).await, Found::Nothing));
    for slot in [ended, put, first_of_many, last_of_many] {
        assert!(matches!(near.tier.read(&slot).await, Found::Nothing));
    }
}

/// What was sent over a connection that was given up may arrive after what came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_that_arrives_too_late_is_none() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&RedisConfig { response_timeout: Duration::from_millis(500), ..at(&url, config) });
    let slot = slot();
    filled(&near.tier, &slot, "old").await;
    back(&far).await;
    let mut raw = Raw::new(&server.url()).await;
    let seen = format!("HGET {} n", near.redis().calls().names.count);
    fault.half_open();
    assert!(!far.tier.put(&slot, value("late").1, LONG).await);
    assert!(near.tier.put(&slot, value("newer").1, LONG).await);
    let before: u64 = raw.say(&seen).await;
    let given_up = near.tier.now();
    until(async || near.tier.now() > given_up + 1_000).await;
    fault.heal();
    // What is told with it arrives.
    until(async || Raw(raw.0.clone()).say::<u64>(&seen).await > before).await;
    assert_eq!(payload(&near.tier, &slot).await.as_deref(), Some("newer"));
    assert!(matches!(first(&far, &slot).await, Found::Nothing), "it is remembered all the same");
}

/// Nobody knows when the other end has seen the last of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_connection_waits_until_no_put_of_the_last_one_can_happen() {
    let Some((server, mut config)) = server().await else { return };
    config.response_timeout = Duration::from_secs(2);
    let node = Node::new(&config);
    let slot = slot();
    back(&node).await;
    let sent = node.tier.now();
    filled(&node.tier, &slot, "x").await;
    let mut raw = Raw::new(&server.url()).await;
    let _: i64 = raw.say("CLIENT KILL TYPE normal SKIPME yes").await;
    until(async || matches!(node.tier.read(&slot).await, Found::Away)).await;
    back(&node).await;
    // Either look at the clock may be off by some.
    assert!(node.tier.now() >= sent + 1_900);
}

/// The time of one answer is for one piece.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_at_once_over_a_slow_line_is_no_failure() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&RedisConfig { response_timeout: Duration::from_secs(3), ..at(&url, config) });
    back(&far).await;
    let slots: Vec<_> = (0..12_000).map(|_| slot()).collect();
    let token = Token::draw();
    near.tier.read_or_lease_many(&slots, token, LONG).await.unwrap();
    let (_, bytes) = value(&"x".repeat(500));
    let fills = slots.iter().map(|slot| (slot.clone(), bytes.clone(), LONG)).collect();
    near.tier.fill_many(fills, token).await;
    let large: Vec<_> = (0..16).map(|_| slot()).collect();
    far.tier.read_or_lease_many(&large, token, LONG).await.unwrap();
    // More than four seconds for each of them as a whole.
    fault.throttle(1_500_000);
    let found = far.tier.read_or_lease_many(&slots, token, LONG).await.unwrap();
    assert!(found.len() == slots.len() && found.iter().all(|found| matches!(found, Found::Slot(_))));
    let (_, bytes) = value(&"x".repeat(400_000));
    let fills = large.iter().map(|slot| (slot.clone(), bytes.clone(), LONG)).collect();
    assert_eq!(far.tier.fill_many(fills, token).await, [Filled::Stored; 16]);
    assert!(far.is_open());
}

/// However many endings come while those before them are told, by those who end and by those who write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endings_without_end_do_not_keep_it_away() {
    let Some((server, mut config)) = server().await else { return };
    // Each time it comes back it is waited for, for so long.
    config.response_timeout = Duration::from_secs(2);
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let far = Node::new(&at(&url, config));
    back(&far).await;
    fault.delay(Duration::from_millis(20));
    let ending = (0..4).map(|n| {
        let tier = far.tier.clone();
        AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                if n % 2 == 0 {
                    tier.end(&Ending::Key(slot())).await;
                } else {
                    tier.put(&slot(), value("x").1, LONG).await;
                }
                // It is refused at once for as long as it is away.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }))
    });
    let ending: Vec<_> = ending.collect();
    for _ in 0..3 {
        fault.cut();
        until(async || !far.is_open()).await;
        fault.heal();
        fault.delay(Duration::from_millis(20));
        back(&far).await;
    }
    drop(ending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_to_tell_is_everything() {
    let Some((server, mut config)) = server().await else { return };
    config.max_pending = 10;
    let (a, b) = (Node::new(&config), Node::new(&config));
    let before = b.tier.marks(&[name("x")], LONG).await.unwrap();
    back(&a).await;
    server.stop().await;
    for n in 0..20 {
        a.tier.end(&Ending::Mark(name(&n.to_string()))).await;
    }
    server.restart().await.unwrap();
    back(&a).await;
    back(&b).await;
    let after = b.tier.marks(&[name("x")], LONG).await.unwrap();
    assert_eq!(after.marks[0], after.newest);
    assert_ne!(after.marks[0].incarnation, before.marks[0].incarnation);
}

/// It was the master, and is a replica now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_no_writes_any_more_is_left() {
    let Some((server, config)) = server().await else { return };
    let node = Node::new(&config);
    let (old, token) = (slot(), Token::draw());
    filled(&node.tier, &old, "old").await;
    let mut raw = Raw::new(&server.url()).await;
    // Of a master that is not there.
    let _: () = raw.say("REPLICAOF 127.0.0.1 1").await;
    assert!(matches!(node.tier.read_or_lease(&slot(), token, LONG).await, Found::Away));
    node.tier.end(&Ending::Key(old.clone())).await;
    for _ in 0..200 {
        assert!(matches!(node.tier.read(&old).await, Found::Away), "nor is it read");
    }
    let _: () = raw.say("REPLICAOF NO ONE").await;
    assert!(matches!(first(&node, &old).await, Found::Nothing));
}

/// It reads its data from the disk, a millisecond for each key, and answers `LOADING` until it has them. What it has then is
/// as old as the disk's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_loads_its_data_is_away_and_told_what_it_missed() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let settings = ["--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"];
    let server = devkit::Redis::start_with(&settings).await.unwrap();
    let config = config(&server.url());
    let (a, b) = (Node::new(&config), Node::new(&config));
    let (ended, kept) = (slot(), slot());
    // By one that tells nothing again.
    let writer = Node::new(&config);
    filled(&writer.tier, &ended, "old").await;
    filled(&writer.tier, &kept, "kept").await;
    drop(writer);
    back(&a).await;
    let (mut ear, _) = Ear::on(&b.tier).await;
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("DEBUG POPULATE 3000 filler 10").await;
    let _: () = raw.say("CONFIG SET key-load-delay 1000").await;
    let reload = tokio::spawn(async move { raw.say::<()>("DEBUG RELOAD").await });
    until(async || matches!(a.tier.read(&kept).await, Found::Away)).await;
    a.tier.end(&Ending::Key(ended.clone())).await;
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert!(!reload.is_finished() && !a.is_open(), "while it loads");
    reload.await.unwrap();
    assert!(matches!(first(&a, &ended).await, Found::Nothing));
    assert!(matches!(first(&a, &kept).await, Found::Slot(_)));
    ear.until(|heard| matches!(heard, Heard::Ended { ending: Ending::Key(key), .. } if *key == ended)).await;
    back(&b).await;
    assert!(matches!(b.tier.read(&ended).await, Found::Nothing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_asked_for_suddenly_is_a_redis_that_is_away() {
    let Some((server, config)) = server().await else { return };
    let node = Node::new(&config);
    let slot = slot();
    filled(&node.tier, &slot, "old").await;
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("CONFIG SET requirepass secret").await;
    let _: i64 = raw.say("CLIENT KILL TYPE normal SKIPME yes").await;
    until(async || matches!(node.tier.read(&slot).await, Found::Away)).await;
    node.tier.end(&Ending::Key(slot.clone())).await;
    let mut empty = cmd("CONFIG");
    empty.arg("SET").arg("requirepass").arg("");
    empty.query_async::<()>(&mut raw.0).await.unwrap();
    assert!(matches!(first(&node, &slot).await, Found::Nothing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_ends_with_the_shutdown() {
    let Some((_server, config)) = server().await else { return };
    let node = Node::new(&config);
    let heard = std::sync::Mutex::new(Vec::new());
    let attached = tokio::sync::Notify::new();
    let hear = |what| {
        heard.lock().unwrap().push(what);
        attached.notify_one();
    };
    node.tier.listen(hear, || 7, attached.notified()).await;
    let heard = heard.into_inner().unwrap();
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Whole(7), Heard::Detached]), "{heard:?}");
}

/// A question of two trips, whose second one its caller sends too late: Redis is as well as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_looks_late_says_nothing_of_redis() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let config = RedisConfig { response_timeout: Duration::from_secs(1), ..at(&url, config) };
    let node = Node::new(&config);
    back(&node).await;
    let mut raw = Raw::new(&server.url()).await;
    let _: () = raw.say("SCRIPT FLUSH").await;
    let (names, begun) = ([name("x")], tokio::time::Instant::now());
    let mut late = std::pin::pin!(node.tier.marks(&names, LONG));
    // Whoever is held up between two lines here finds no answer that came meanwhile.
    fault.hold_answers();
    assert!(futures_util::poll!(late.as_mut()).is_pending());
    fault.heal();
    while begun.elapsed() < config.response_timeout + Duration::from_millis(200) {
        let _: () = raw.say("PING").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fault.hold_answers();
    assert!(late.await.is_none(), "it was too late");
    assert_eq!((node.errors(), node.is_open()), (0, true));
    fault.heal();
    assert!(node.tier.marks(&names, LONG).await.is_some());
}
