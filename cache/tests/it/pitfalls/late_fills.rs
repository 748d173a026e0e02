//! What was read before an ending must not stay, neither in the shared tier nor in memory.

use std::time::Duration;

use tokio::time::sleep;
use tramline_cache::{Loaded, Store, Tag};

use crate::support::{Held, Nodes, in_tokio_time, key, load, policy, text};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_load_that_read_before_an_ending_fills_nothing() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    // It has read, then the row changes and the value is ended, then it ends.
    let held = Held::begin(a, "one").await;
    b.invalidate(&key("one")).await;
    assert_eq!(held.end(Ok("old")).await.unwrap(), "old", "who asked before may get it");
    for node in [a, b] {
        assert_eq!(node.get(&key("one")).await, None);
    }
    assert_eq!(a.stats().refused, 1);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_read_before_a_write_does_not_undo_it() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    for (name, writer) in [("by-another", b), ("by-itself", a)] {
        let held = Held::begin(a, name).await;
        writer.set(&key(name), "new".to_owned()).await;
        assert_eq!(held.end(Ok("old")).await.unwrap(), "old");
        for node in [a, b] {
            assert_eq!(text(node.get(&key(name)).await), Some("new"), "{name}");
        }
    }
}

/// The tier's answer is on its way while the value is ended: memory must not take it.
#[tokio::test(start_paused = true)]
async fn an_answer_of_the_tier_that_was_ended_on_its_way_does_not_stay() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    for round in 0..60 {
        let name = key(round);
        assert_eq!(load(b, &name, "old").await, "old");
        let reading = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move {
                if round % 2 == 0 { drop(a.get(&name).await) } else { drop(load(&a, &name, "new").await) }
            }
        });
        sleep(Duration::from_millis(round)).await;
        b.invalidate(&name).await;
        reading.await.unwrap();
        sleep(Duration::from_millis(100)).await;
        assert_ne!(text(a.peek(&name)), Some("old"), "round {round}");
    }
}

/// What another node writes between a write's arrival in the tier and the answer to it is the newer of the two.
#[tokio::test(start_paused = true)]
async fn a_write_that_was_overtaken_on_its_way_back_does_not_stay() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    for round in 0..40 {
        let name = key(round);
        let writing = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move { a.set(&name, "old".to_owned()).await }
        });
        crate::support::until_async(async || text(b.get(&name).await) == Some("old")).await;
        match round % 2 {
            0 => b.set(&name, "new".to_owned()).await,
            _ => b.invalidate(&name).await,
        }
        writing.await.unwrap();
        sleep(Duration::from_millis(1)).await;
        assert_ne!(text(a.peek(&name)), Some("old"), "round {round}");
        assert_eq!(load(a, &name, "new").await, "new", "round {round}");
    }
}

/// The same on one node: the writes come to the tier in one order, and their answers in another.
#[tokio::test(start_paused = true)]
async fn two_writes_of_one_node_leave_what_the_tier_has() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    for round in 0..40 {
        let name = key(round);
        let write = |value: &'static str| {
            let (a, name) = (a.clone(), name.clone());
            async move { a.set(&name, value.to_owned()).await }
        };
        futures_util::future::join(write("one"), write("two")).await;
        sleep(Duration::from_millis(1)).await;
        let there = text(b.get(&name).await);
        assert!(there.is_some());
        assert_eq!(text(a.get(&name).await), there, "round {round}");
    }
}

/// A load says at its end which tags its answer has. Who asked after one of them had ended does not get that answer.
#[tokio::test(start_paused = true)]
async fn who_asks_after_a_tag_ended_does_not_get_a_load_that_brings_the_tag() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let late = Tag::of("late");
    let answer = {
        let late = late.clone();
        move |value: &'static str| {
            let late = late.clone();
            move || async move {
                sleep(Duration::from_millis(100)).await;
                Ok::<_, std::fmt::Error>(Loaded::new(value.to_owned()).with_tags([late]))
            }
        }
    };
    for round in 0..4 {
        let name = key(round);
        let first = tokio::spawn({
            let (a, name, answer) = (a.clone(), name.clone(), answer.clone());
            async move { a.get_or_load(&name, answer("old")).await.unwrap() }
        });
        sleep(Duration::from_millis(50)).await;
        nodes.stores[round % 2].invalidate_tag(&late).await;
        // Heard by now.
        sleep(Duration::from_millis(1)).await;
        let node = if round < 2 { a } else { b };
        let (alone, many) = tokio::join!(node.get_or_load(&name, answer("new")), async {
            // The other one leads: it waits for another process's load.
            sleep(Duration::from_millis(1)).await;
            let new = answer("new");
            let load = move |keys: Vec<String>| async move {
                let new = new().await?;
                Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, new.clone())).collect())
            };
            node.get_many_or_load(std::slice::from_ref(&name), load).await
        });
        assert_eq!((alone.unwrap().as_str(), many.unwrap()[&name].as_str()), ("new", "new"), "round {round}");
        assert_eq!(first.await.unwrap().as_str(), "old", "who asked before may get it");
        assert_eq!(load(a, &name, "newer").await, "new");
    }
}

/// A load says at its end which tags its answer has, and its node heard nothing when one of them ended.
#[tokio::test(start_paused = true)]
async fn a_load_that_brings_tags_while_its_node_was_deaf_leaves_nothing() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let late = Tag::of("late");
    for many in [false, true] {
        let name = key(many);
        let old = Loaded::new("old".to_owned()).with_tags([late.clone()]);
        let asked = tokio::spawn({
            let (b, name) = (b.clone(), name.clone());
            async move {
                let slow = Duration::from_secs(10);
                if many {
                    let load = move |keys: Vec<String>| async move {
                        sleep(slow).await;
                        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, old.clone())).collect())
                    };
                    b.get_many_or_load(&[name], load).await.unwrap().len()
                } else {
                    let load = move || async move {
                        sleep(slow).await;
                        Ok::<_, std::fmt::Error>(old)
                    };
                    b.get_or_load(&name, load).await.unwrap().len()
                }
            }
        });
        sleep(Duration::from_secs(1)).await;
        nodes.twin.deafen(1);
        nodes.stores[0].invalidate_tag(&late).await;
        sleep(Duration::from_secs(3)).await;
        nodes.twin.heal(1);
        asked.await.unwrap();
        assert!(nodes.stores[1].stats().attached);
        assert_eq!(b.peek(&name), None);
        for node in [a, b] {
            assert_eq!(load(node, &name, "new").await, "new");
        }
    }
}

/// The same with an answer of the tier: that its tags are those which ended shows when it is read, and who came meanwhile is
/// a follower by then.
#[tokio::test(start_paused = true)]
async fn who_asks_after_a_tag_ended_does_not_get_what_the_tier_had_before() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    for round in 0..80 {
        // A tag of its own, which a has to ask for.
        let (name, tag) = (key(round), Tag::new("tag", &round));
        b.set(&name, Loaded::new("old".to_owned()).with_tags([tag.clone()])).await;
        sleep(Duration::from_millis(1)).await;
        let first = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move { load(&a, &name, "new").await }
        });
        sleep(Duration::from_millis(2 * round)).await;
        nodes.stores[1].invalidate_tag(&tag).await;
        // Heard by now.
        sleep(Duration::from_millis(1)).await;
        assert_eq!(load(a, &name, "new").await, "new", "round {round}");
        first.await.unwrap();
    }
}

/// A load of which nothing is kept ends what is old, and not what was written while it ran.
#[tokio::test(start_paused = true)]
async fn a_load_of_nothing_does_not_take_a_write_with_it() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let alone = crate::support::texts(&Store::memory(in_tokio_time()), &policy(LONG));
    for cache in [a, &alone] {
        let nothing = tokio::spawn({
            let cache = cache.clone();
            async move {
                let load = || async {
                    sleep(Duration::from_millis(100)).await;
                    Ok::<_, std::fmt::Error>(None::<String>)
                };
                cache.get_or_find(&key("one"), load).await
            }
        });
        sleep(Duration::from_millis(50)).await;
        cache.set(&key("one"), "written".to_owned()).await;
        assert_eq!(nothing.await.unwrap().unwrap(), None);
        assert_eq!(text(cache.peek(&key("one"))), Some("written"));
    }
}

/// A tier that is slow, or hangs, does not keep old values alive where they were ended.
#[tokio::test(start_paused = true)]
async fn an_ending_counts_in_memory_before_the_tier_has_heard_of_it() {
    let nodes = Nodes::new(1, |_| {}).await;
    let tag = Tag::of("tag");
    let mut tagged = policy(LONG);
    tagged.tags = vec![tag.clone()];
    let [a] = &nodes.texts(&tagged)[..] else { unreachable!() };
    for round in 0..4 {
        assert_eq!(load(a, "one", "old").await, "old");
        nodes.twin.slow(0, Duration::from_secs(10));
        let ending = tokio::spawn({
            let (a, store, tag) = (a.clone(), nodes.stores[0].clone(), tag.clone());
            async move {
                match round {
                    0 => a.invalidate(&key("one")).await,
                    1 => store.invalidate_tag(&tag).await,
                    2 => a.invalidate_all().await,
                    _ => a.set(&key("one"), "new".to_owned()).await,
                }
            }
        });
        tokio::task::yield_now().await;
        assert_eq!(a.peek(&key("one")), None, "round {round}");
        assert!(!ending.is_finished());
        ending.await.unwrap();
        nodes.twin.slow(0, Duration::ZERO);
    }
}

/// The same for what was asked for before the ending, and arrives before the tier has heard of it.
#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_when_an_ending_began_does_not_stay() {
    let nodes = Nodes::new(2, |_| {}).await;
    let tag = Tag::of("tag");
    let mut tagged = policy(LONG);
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    let mut arrived = 0;
    for round in 0..120 {
        let name = key(round);
        // It knows the marks, and asks for the value alone.
        load(a, "other", "other").await;
        b.set(&name, "old".to_owned()).await;
        sleep(Duration::from_millis(1)).await;
        nodes.twin.slow(0, Duration::from_millis(40));
        let reading = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move { text(a.get(&name).await) }
        });
        sleep(Duration::from_millis(round % 40)).await;
        nodes.twin.slow(0, Duration::from_secs(10));
        let ending = tokio::spawn({
            let (a, store, tag, name) = (a.clone(), nodes.stores[0].clone(), tag.clone(), name.clone());
            async move {
                match round % 3 {
                    0 => a.invalidate(&name).await,
                    1 => store.invalidate_tag(&tag).await,
                    _ => a.invalidate_all().await,
                }
            }
        });
        sleep(Duration::from_millis(41)).await;
        if !ending.is_finished() && reading.is_finished() {
            arrived += 1;
            assert_eq!(a.peek(&name), None, "round {round}");
        }
        ending.await.unwrap();
        reading.await.unwrap();
        nodes.twin.slow(0, Duration::ZERO);
    }
    assert!(arrived > 20, "{arrived}");
}

/// A tier that refuses what a load brings knows of an ending that this node has not heard of yet.
#[tokio::test(start_paused = true)]
async fn what_the_tier_refuses_does_not_stay_in_memory() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.lag(0, Duration::from_secs(10));
    const SLOW: Duration = Duration::from_millis(100);
    let one = async {
        let load = || async {
            sleep(SLOW).await;
            Ok::<_, std::fmt::Error>("old".to_owned())
        };
        a.get_or_load(&key("one"), load).await.unwrap();
    };
    let many = async {
        let load = |keys: Vec<String>| async {
            sleep(SLOW).await;
            Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "old".to_owned())).collect())
        };
        a.get_many_or_load(&[key("two"), key("three")], load).await.unwrap();
    };
    let ended = async {
        sleep(SLOW / 2).await;
        for name in ["one", "two"] {
            b.invalidate(&key(name)).await;
        }
    };
    tokio::join!(one, many, ended);
    assert_eq!(["one", "two", "three"].map(|name| text(a.peek(&key(name)))), [None, None, Some("old")]);
    assert_eq!(a.stats().refused, 2);
}

/// What is read from the tier after an ending began, and before the tier has it, is old; the feed says so too late.
#[tokio::test(start_paused = true)]
async fn what_is_read_while_it_is_being_ended_does_not_stay() {
    let nodes = Nodes::new(2, |_| {}).await;
    let tag = Tag::of("tag");
    let mut tagged = policy(LONG);
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    nodes.twin.lag(0, Duration::from_millis(500));
    for round in 0..120 {
        let name = key(round);
        b.set(&name, "old".to_owned()).await;
        let ending = async {
            match round % 3 {
                0 => a.invalidate(&name).await,
                1 => nodes.stores[0].invalidate_tag(&tag).await,
                _ => a.invalidate_all().await,
            }
            assert_eq!(a.peek(&name), None, "round {round}");
            assert_eq!(a.get(&name).await, None, "round {round}");
        };
        let reading = async {
            for _ in 0..5 {
                drop(a.get(&name).await);
            }
        };
        tokio::join!(ending, reading);
        sleep(Duration::from_secs(1)).await;
    }
}

/// A tag that a load brings for the first time has no mark yet, and what was ended before the load is no reason not to
/// keep what it brings: neither a key that another node has ended, nor one of our own.
#[tokio::test(start_paused = true)]
async fn what_ended_before_a_load_does_not_keep_a_new_tag_out_of_the_tier() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    for (n, ends) in [b, a].into_iter().enumerate() {
        ends.invalidate(&key("other")).await;
        sleep(Duration::from_millis(1)).await;
        let tagged = move || async move {
            Ok::<_, std::fmt::Error>(Loaded::new("a".to_owned()).with_tags([Tag::of(&format!("new {n}"))]))
        };
        a.get_or_load(&key(n), tagged).await.unwrap();
        assert_eq!(text(b.get(&key(n)).await), Some("a"), "ended by {n}");
    }
}
