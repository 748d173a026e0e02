//! How old an answer may be, and by which clock.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::sleep;
use tramline_cache::{Clock, Loaded, Outcome, Store, StoreConfig};

use crate::support::{Nodes, Texts, key, load, policy, text, texts};

/// A herd that was filled together does not expire together, and nothing lives longer than was promised.
#[tokio::test]
async fn lives_are_spread_and_never_longer_than_said() {
    let clock = Clock::manual();
    let mut config = StoreConfig::default();
    config.clock = clock.clone();
    let mut spread = policy(Duration::from_secs(100));
    spread.jitter = 0.5;
    let cache = texts(&Store::memory(config), &spread);
    for n in 0..1_000 {
        load(&cache, &key(n), "x").await;
    }
    let alive = || (0..1_000).filter(|n| cache.peek(&key(n)).is_some()).count();
    clock.advance(Duration::from_secs(50) - Duration::from_millis(1));
    assert_eq!(alive(), 1_000);
    clock.advance(Duration::from_secs(25));
    assert!((350..650).contains(&alive()), "{}", alive());
    clock.advance(Duration::from_secs(25) + Duration::from_millis(1));
    assert_eq!(alive(), 0);
}

/// A write says how long it lives as a load does, in all tiers.
#[tokio::test(start_paused = true)]
async fn a_write_lives_as_long_as_it_says() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    a.set(&key("one"), Loaded::new("x".to_owned()).with_ttl(Duration::from_secs(2))).await;
    sleep(Duration::from_millis(1_999)).await;
    for node in [a, b] {
        assert_eq!(text(node.get(&key("one")).await), Some("x"));
    }
    sleep(Duration::from_millis(1)).await;
    for node in [a, b] {
        assert_eq!(node.get(&key("one")).await, None);
    }
}

/// A value's age is the tier's: neither a node whose clock is elsewhere nor a copy in memory makes it younger.
#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_elsewhere_keeps_nothing_for_longer() {
    let mut nodes = Nodes::new(1, |_| {}).await;
    let elsewhere = Clock::manual();
    elsewhere.advance(Duration::from_secs(1_000_000));
    nodes.join(|config| config.clock = elsewhere.clone()).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(10)))[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    assert_eq!(load(a, "two", "old").await, "old");
    sleep(Duration::from_secs(9)).await;
    assert_eq!(load(b, "one", "new").await, "old");
    // A second is left of it, by b's own clock.
    elsewhere.advance(Duration::from_millis(999));
    assert_eq!(text(b.peek(&key("one"))), Some("old"));
    elsewhere.advance(Duration::from_millis(2));
    assert_eq!(b.peek(&key("one")), None);
    sleep(Duration::from_millis(1_001)).await;
    // b's clock stood; the tier's went on.
    assert_eq!(b.get(&key("two")).await, None);
    assert_eq!(load(b, "two", "new").await, "new");
}

/// A node that hears nothing, without a word, answers what another ended for `detached_age` and the time to notice.
#[tokio::test(start_paused = true)]
async fn a_deaf_node_answers_nothing_that_is_older_than_it_may_be() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    assert_eq!(load(b, "one", "old").await, "old");
    nodes.twin.deafen(1);
    a.invalidate(&key("one")).await;
    assert_eq!(load(b, "one", "new").await, "old", "it cannot know");
    sleep(Duration::from_secs(3) + Duration::from_millis(2_100)).await;
    assert!(!nodes.stores[1].stats().attached, "it noticed");
    assert_eq!(b.peek(&key("one")), None);
    assert_eq!(load(b, "one", "new").await, "new");
    // It goes on: what is in memory is trusted for a while.
    assert_eq!(load(b, "one", "newer").await, "new");
    a.invalidate(&key("one")).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(load(b, "one", "newer").await, "newer");
    nodes.twin.heal(1);
    sleep(Duration::from_millis(1)).await;
    assert!(nodes.stores[1].stats().attached);
    assert_eq!(b.peek(&key("one")), None, "something may have been missed");
}

/// What a slow load read is as old as its beginning, however late it came.
#[tokio::test(start_paused = true)]
async fn what_a_slow_load_brought_is_as_old_as_its_beginning() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    nodes.twin.cut(1);
    let held = crate::support::Held::begin(b, "one").await;
    sleep(Duration::from_millis(2_500)).await;
    a.invalidate(&key("one")).await;
    assert_eq!(held.end(Ok("old")).await.unwrap(), "old");
    assert_eq!(text(b.peek(&key("one"))), Some("old"));
    sleep(Duration::from_millis(501)).await;
    assert_eq!(b.peek(&key("one")), None);
}

/// What ends a tag of one's own is known before the feed says so, also when older endings of others come in between.
#[tokio::test(start_paused = true)]
async fn a_feed_that_is_behind_does_not_bring_back_what_a_node_ended_itself() {
    let nodes = Nodes::new(2, |_| {}).await;
    let tag = tramline_cache::Tag::of("tag");
    let mut tagged = policy(Duration::from_secs(600));
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    nodes.twin.lag(0, Duration::from_millis(100));
    nodes.stores[1].invalidate_tag(&tag).await;
    // After the other's ending, which a has not heard, and before its own.
    b.set(&key("one"), "old".to_owned()).await;
    sleep(Duration::from_millis(50)).await;
    nodes.stores[0].invalidate_tag(&tag).await;
    for after in 0..200 {
        assert_eq!(a.get(&key("one")).await, None, "{after} ms after it");
        sleep(Duration::from_millis(1)).await;
    }
}

/// A write while the tier is away stands in memory, and ends there what is older, once it is back.
#[tokio::test(start_paused = true)]
async fn a_write_while_a_node_is_cut_off_ends_what_the_tier_has() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    for node in [a, b] {
        assert_eq!(load(node, "one", "old").await, "old");
    }
    nodes.twin.cut(0);
    a.set(&key("one"), "new".to_owned()).await;
    assert_eq!(text(a.peek(&key("one"))), Some("new"));
    assert_eq!(load(b, "one", "new").await, "old", "it cannot know");
    nodes.twin.heal(0);
    sleep(Duration::from_millis(1)).await;
    for node in [b, a] {
        assert_eq!(load(node, "one", "new").await, "new");
    }
}

/// Whoever stops to listen, in whatever way, knows that it hears nothing.
#[tokio::test(start_paused = true)]
async fn a_store_that_runs_no_more_trusts_memory_only_so_long() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    assert_eq!(load(b, "one", "old").await, "old");
    nodes.stop(1).await;
    assert!(!nodes.stores[1].stats().attached);
    a.invalidate(&key("one")).await;
    assert_eq!(load(b, "one", "new").await, "old");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(load(b, "one", "new").await, "new");
}

/// An answer says how long ago it was loaded, whichever tier has it and whoever loaded it, be it before this process began.
#[tokio::test(start_paused = true)]
async fn an_answer_says_how_old_it_is() {
    let mut nodes = Nodes::new(1, |_| {}).await;
    let mut stale = policy(Duration::from_secs(100));
    stale.stale_for = Some(Duration::from_secs(100));
    stale.retry_after = Duration::from_secs(10);
    let a = &nodes.texts(&stale)[0];
    let age = async |node: &Texts| {
        let load = || async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, std::fmt::Error>(Some("loaded".to_owned()))
        };
        let answer = node.answer(&key("one"), load).await.unwrap();
        (answer.outcome, answer.age.as_secs())
    };
    assert_eq!(age(a).await, (Outcome::Miss, 0), "though the load took a second");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(age(a).await, (Outcome::Hit, 20));
    nodes.join(|_| {}).await;
    let b = &texts(&nodes.stores[1], &stale);
    assert_eq!(age(b).await, (Outcome::Hit, 20), "from the tier");
    sleep(Duration::from_secs(70)).await;
    assert_eq!([age(a).await, age(b).await], [(Outcome::Hit, 90); 2], "from memory");
    sleep(Duration::from_secs(11)).await;
    for node in [a, b] {
        let fails = || async { Err::<Option<String>, _>(std::fmt::Error) };
        let answer = node.answer(&key("one"), fails).await.unwrap();
        assert_eq!((answer.outcome, answer.age.as_secs()), (Outcome::StaleIfError, 101));
    }
    sleep(Duration::from_secs(5)).await;
    assert_eq!([age(a).await, age(b).await], [(Outcome::StaleIfError, 106); 2], "not tried again yet");
    a.set(&key("one"), "set".to_owned()).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!([age(a).await, age(b).await], [(Outcome::Hit, 3); 2]);
}

/// A process that is stopped for a while, or has no time, does not know of it: whoever asks first when it goes on is no
/// better off than with a node that is deaf. What was heard of until then is worth as much as what was asked for then.
#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_answers_nothing_older_than_it_may() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    assert_eq!(load(b, "one", "old").await, "old");
    assert_eq!(load(b, "two", "old").await, "old");
    sleep(Duration::from_secs(60)).await;
    nodes.stand(1, true);
    a.invalidate(&key("one")).await;
    assert_eq!(load(b, "one", "new").now_or_never().as_deref(), Some("old"), "it cannot know");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(load(b, "one", "new").now_or_never().as_deref(), Some("old"), "as for a deaf one");
    sleep(Duration::from_millis(3_001)).await;
    assert!(nodes.stores[1].stats().attached, "nobody told it");
    assert_eq!(b.peek(&key("one")), None);
    assert_eq!(load(b, "one", "new").await, "new");
    assert_eq!(text(b.peek(&key("one"))), Some("new"), "for a while");
    assert_eq!(b.peek(&key("two")), None, "it may have ended as well");
    // It goes on, hears what it missed, and knows that it is all.
    nodes.stand(1, false);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(text(b.peek(&key("two"))), Some("old"));
    assert_eq!(nodes.stores[1].stats().flushes, 1, "nothing was missed");
}

/// What a name stands at in the tier is believed no longer than what memory has.
#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_asks_for_the_marks_that_it_knew() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let tag = tramline_cache::Tag::of("tag");
    let mut tagged = policy(Duration::from_secs(600));
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    assert_eq!(load(b, "known", "x").await, "x");
    assert_eq!(load(a, "one", "old").await, "old");
    assert_eq!(load(a, "two", "old").await, "old");
    nodes.stand(1, true);
    nodes.stores[0].invalidate_tag(&tag).await;
    assert_eq!(text(b.get(&key("one")).await), Some("old"), "it cannot know");
    sleep(Duration::from_millis(3_001)).await;
    assert_eq!(b.get(&key("two")).await, None);
    assert_eq!(load(b, "two", "new").await, "new");
    sleep(Duration::from_millis(3_000)).await;
    assert_eq!(b.peek(&key("one")), None);
}

/// What others ended before was heard, so memory is as good as at that moment, however long ago it was filled: the
/// moment Redis goes away is none in which a process should lose all that it has.
#[tokio::test(start_paused = true)]
async fn what_was_heard_of_until_now_is_believed_for_a_while() {
    let nodes = Nodes::new(2, |config| config.detached_age = Duration::from_secs(3)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(600)))[..] else { unreachable!() };
    for n in 0..100 {
        load(b, &key(n), "old").await;
    }
    sleep(Duration::from_secs(60)).await;
    a.invalidate(&key(0)).await;
    sleep(Duration::from_millis(1)).await;
    // Some of them may have gone with the one that was ended.
    let alive: Vec<String> = (0..100).map(key).filter(|name| b.peek(name).is_some()).collect();
    assert!((90..100).contains(&alive.len()) && b.peek(&key(0)).is_none(), "{}", alive.len());
    let known = || alive.iter().filter(|name| b.peek(name).is_some()).count();
    nodes.twin.cut(1);
    sleep(Duration::from_millis(1)).await;
    assert!(!nodes.stores[1].stats().attached);
    let before = b.stats();
    assert_eq!((known(), b.peek(&key(0))), (alive.len(), None), "what was ended before it was ended");
    a.invalidate(&alive[0]).await;
    for name in &alive {
        assert_eq!(load(b, name, "new").now_or_never().as_deref(), Some("old"));
    }
    assert_eq!((b.stats().loads, b.stats().misses), (before.loads, before.misses));
    // The last look may have been a second ago.
    sleep(Duration::from_millis(1_990)).await;
    assert_eq!(known(), alive.len());
    sleep(Duration::from_millis(1_010)).await;
    assert_eq!(known(), 0);
    assert_eq!(load(b, &alive[0], "new").await, "new");
    nodes.twin.heal(1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(known(), 0, "something may have been missed");
}
