//! What is old, and when it is answered all the same.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tramline_cache::{ErrorKind, Loaded, Outcome, Policy, Refresh, Store, Tag};

use crate::support::{Held, Nodes, Texts, fail, in_tokio_time, key, load, policy, text, texts};

const TTL: Duration = Duration::from_secs(1);

fn lenient() -> Policy {
    let mut lenient = policy(TTL);
    lenient.stale_for = Some(Duration::from_secs(10));
    lenient.retry_after = Duration::from_millis(500);
    lenient
}

async fn old(cache: &Texts, name: &str) {
    assert_eq!(load(cache, name, "old").await, "old");
    sleep(TTL).await;
    assert_eq!(cache.peek(&key(name)), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_load_is_waited_for_only_so_long_and_goes_on() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut soft = lenient();
    soft.soft_timeout = Some(Duration::from_millis(50));
    let [a, b] = &nodes.texts(&soft)[..] else { unreachable!() };
    old(a, "one").await;
    let begun = Instant::now();
    let slow = || async {
        sleep(Duration::from_millis(300)).await;
        Ok::<_, std::fmt::Error>(Some("new".to_owned()))
    };
    let answer = a.answer(&key("one"), slow).await.unwrap();
    assert_eq!((answer.outcome, text(answer.value)), (Outcome::Stale, Some("old")));
    assert_eq!(answer.outcome.server_timing(), "cache;desc=stale");
    assert_eq!(begun.elapsed(), Duration::from_millis(50));
    sleep(Duration::from_millis(251)).await;
    for node in [a, b] {
        assert_eq!(text(node.get(&key("one")).await), Some("new"));
    }
    // One that is quick enough is waited for.
    sleep(TTL).await;
    assert_eq!(load(a, "one", "newer").await, "newer");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_failed_is_not_tried_again_at_once_and_old_is_not_for_ever() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&lenient())[..] else { unreachable!() };
    old(a, "one").await;
    for _ in 0..100 {
        assert_eq!(fail(a, "one").await.unwrap(), "old");
        sleep(Duration::from_millis(49)).await;
    }
    // Five seconds, a try every half of one.
    assert!((9..=11).contains(&a.stats().load_errors), "{}", a.stats().load_errors);
    sleep(Duration::from_millis(5_101)).await;
    assert!(fail(a, "one").await.is_err(), "too old");
    assert_eq!(load(a, "one", "new").await, "new");
}

/// By key, by tag and as a whole; on the node itself at once, and on another once it heard of it.
#[tokio::test(start_paused = true)]
async fn what_was_ended_is_never_answered_as_old() {
    let nodes = Nodes::new(2, |_| {}).await;
    let tag = Tag::of("tag");
    let mut tagged = lenient();
    tagged.tags = vec![tag.clone()];
    let [a, b] = &nodes.texts(&tagged)[..] else { unreachable!() };
    for round in 0..6 {
        let name = key(round);
        old(a, &name).await;
        assert_eq!(fail(b, &name).await.unwrap(), "old", "from the tier");
        let (cache, store) = if round % 2 == 0 { (a, &nodes.stores[0]) } else { (b, &nodes.stores[1]) };
        match round / 2 {
            0 => cache.invalidate(&name).await,
            1 => store.invalidate_tag(&tag).await,
            _ => cache.invalidate_all().await,
        }
        sleep(Duration::from_millis(1)).await;
        for node in [a, b] {
            assert!(fail(node, &name).await.is_err(), "round {round}");
        }
    }
}

/// Someone waits for a load, ready to take what is old, while that is ended, or becomes too old.
#[tokio::test(start_paused = true)]
async fn what_ends_while_a_load_is_waited_for_is_not_answered() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut soft = lenient();
    soft.soft_timeout = Some(Duration::from_secs(2));
    soft.stale_for = Some(Duration::from_secs(1));
    let [a] = &nodes.texts(&soft)[..] else { unreachable!() };
    for ended in [true, false] {
        old(a, "one").await;
        let held = Held::begin(a, "one").await;
        sleep(Duration::from_millis(500)).await;
        if ended {
            a.invalidate(&key("one")).await;
        }
        // The soft timeout is over.
        sleep(Duration::from_millis(1_501)).await;
        assert_eq!(held.end(Ok("new")).await.unwrap(), "new", "ended: {ended}");
        a.invalidate(&key("one")).await;
    }
}

/// One cache by several policies: each handle answers by its own.
#[tokio::test(start_paused = true)]
async fn handles_of_one_cache_go_by_their_own_policies() {
    let nodes = Nodes::new(1, |_| {}).await;
    let [a] = &nodes.texts(&lenient())[..] else { unreachable!() };
    let strict = a.with_policy(policy(TTL)).unwrap();
    let mut eager = policy(TTL);
    eager.refresh = Refresh::At { share: 0.0 };
    let eager = a.with_policy(eager).unwrap();
    let mut short = policy(Duration::from_millis(100));
    short.tags = vec![Tag::of("short")];
    let short = a.with_policy(short).unwrap();
    // What is old for one is an error for the other.
    old(a, "one").await;
    assert!(fail(&strict, "one").await.is_err());
    assert_eq!(fail(a, "one").await.unwrap(), "old");
    assert!(fail(&strict, "one").await.is_err(), "also while the other one is patient with it");
    // What one keeps the others find, with the life and the tags of who kept it.
    assert_eq!(load(&short, "two", "short").await, "short");
    assert_eq!(load(a, "two", "other").await, "short");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(load(a, "two", "longer").await, "longer");
    nodes.stores[0].invalidate_tag(&Tag::of("short")).await;
    assert_eq!(text(a.peek(&key("two"))), Some("longer"));
    assert_eq!(load(&short, "three", "short").await, "short");
    nodes.stores[0].invalidate_tag(&Tag::of("short")).await;
    assert_eq!(a.peek(&key("three")), None);
    // What one loads anew is new for all.
    assert_eq!(load(&eager, "four", "1").await, "1");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(load(&eager, "four", "2").await, "1");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(load(&strict, "four", "3").await, "2");
    // A policy that cannot be used is refused.
    for wrong in [
        |policy: &mut Policy| policy.jitter = 1.1,
        |policy: &mut Policy| policy.hard_timeout = Duration::ZERO,
    ] {
        let mut policy = Policy::default();
        wrong(&mut policy);
        assert!(a.with_policy(policy).is_err());
    }
}

/// A load that succeeds says more than what is old, even when nothing of it is kept: that it failed would be something
/// else. In memory, in the tier, and for many at once.
#[tokio::test(start_paused = true)]
async fn a_load_of_which_nothing_is_kept_ends_what_is_old() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&lenient())[..] else { unreachable!() };
    let alone = texts(&Store::memory(in_tokio_time()), &lenient());
    for (asked, others) in [(a, vec![a, b]), (&alone, vec![&alone])] {
        for round in 0..4 {
            let name = key(round);
            old(asked, &name).await;
            let load = move || async move {
                Ok::<_, Infallible>(match round {
                    0 => None,
                    1 => Some(Loaded::not_kept("new".to_owned())),
                    _ => Some(Loaded::new("x".repeat(2 * 1024 * 1024))),
                })
            };
            if round < 3 {
                assert_eq!(asked.answer(&name, load).await.unwrap().outcome, Outcome::Miss);
            } else {
                let load = |_| async { Ok::<_, Infallible>(HashMap::<String, String>::new()) };
                assert!(asked.get_many_or_load(std::slice::from_ref(&name), load).await.unwrap().is_empty());
            }
            for other in &others {
                assert!(fail(other, &name).await.is_err(), "round {round}");
            }
        }
    }
}

/// What is old is for who would load, and not for who only looks.
#[tokio::test(start_paused = true)]
async fn what_is_old_is_not_answered_to_who_only_looks() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&lenient())[..] else { unreachable!() };
    old(a, "one").await;
    for node in [a, b] {
        assert_eq!(node.get(&key("one")).await, None);
        assert_eq!(node.peek(&key("one")), None);
    }
    assert_eq!(fail(b, "one").await.unwrap(), "old", "the tier has it");
}

/// Who has nothing in memory takes what the tier has after the same patience, alone and for many.
#[tokio::test(start_paused = true)]
async fn what_the_tier_has_that_is_old_is_answered_while_it_is_loaded() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut soft = lenient();
    soft.soft_timeout = Some(Duration::from_millis(100));
    let [a, b] = &nodes.texts(&soft)[..] else { unreachable!() };
    for many in [false, true] {
        let name = key(many);
        old(a, &name).await;
        let begun = Instant::now();
        let found = if many {
            let never = |_| std::future::pending::<Result<HashMap<String, String>, Infallible>>();
            b.get_many_or_load(std::slice::from_ref(&name), never).await.unwrap().remove(&name)
        } else {
            let never = || std::future::pending::<Result<Option<String>, Infallible>>();
            b.get_or_find(&name, never).await.unwrap()
        };
        assert_eq!((text(found), begun.elapsed()), (Some("old"), Duration::from_millis(100)));
    }
}

/// What is old is answered for many as for one when the load fails, and that it failed is not tried again at once.
#[tokio::test(start_paused = true)]
async fn what_is_old_is_answered_when_the_load_of_many_fails() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&lenient())[..] else { unreachable!() };
    old(a, "one").await;
    for node in [a, b] {
        for _ in 0..3 {
            let fails = |_| async { Err::<HashMap<String, String>, _>(std::fmt::Error) };
            let found = node.get_many_or_load(&[key("one")], fails).await.unwrap();
            assert_eq!(found[&key("one")].as_str(), "old");
        }
        assert_eq!((node.stats().load_errors, node.stats().stale_if_error), (1, 3));
    }
}

/// Who is not told to be content with what is old after a while loads beside the other process in the end.
#[tokio::test(start_paused = true)]
async fn without_a_soft_timeout_another_process_is_waited_for_and_then_not() {
    for soft in [None, Some(Duration::from_secs(5))] {
        let nodes = Nodes::new(2, |config| config.lease_wait = Duration::from_secs(2)).await;
        let mut patient = lenient();
        patient.soft_timeout = soft;
        let [a, b] = &nodes.texts(&patient)[..] else { unreachable!() };
        old(a, "one").await;
        let held = Held::begin(a, "one").await;
        let begun = Instant::now();
        assert_eq!(load(b, "one", "b").await, "b");
        assert!((2_000..2_150).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        assert_eq!((b.stats().loads, b.stats().stale), (1, 0));
        assert_eq!(held.end(Ok("a")).await.unwrap(), "a");
    }
}

/// The time that a caller of many waits is one time, not one for each of its keys.
#[tokio::test(start_paused = true)]
async fn the_soft_timeout_of_many_is_that_of_one() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut soft = lenient();
    soft.soft_timeout = Some(Duration::from_millis(100));
    let [a] = &nodes.texts(&soft)[..] else { unreachable!() };
    let keys: Vec<String> = (0..20).map(key).collect();
    for key in &keys {
        load(a, key, "old").await;
    }
    sleep(TTL).await;
    let begun = Instant::now();
    let never = |_| std::future::pending::<Result<HashMap<String, String>, Infallible>>();
    let found = a.get_many_or_load(&keys, never).await.unwrap();
    assert_eq!((found.len(), begun.elapsed()), (20, Duration::from_millis(100)));
}

/// Another process loads: the stale answer comes after the time that a caller waits for a load, not before; and what is
/// answered meanwhile does not cost the tier a question each.
#[tokio::test(start_paused = true)]
async fn a_load_of_another_process_is_waited_for_as_long_as_ones_own() {
    for wait in [Duration::ZERO, Duration::from_millis(300)] {
        let nodes = Nodes::new(2, |_| {}).await;
        let mut soft = lenient();
        soft.soft_timeout = Some(wait);
        soft.retry_after = Duration::from_millis(200);
        let [a, b] = &nodes.texts(&soft)[..] else { unreachable!() };
        old(a, "one").await;
        let held = Held::begin(a, "one").await;
        let begun = Instant::now();
        assert_eq!(load(b, "one", "of another").await, "old");
        assert_eq!(begun.elapsed(), wait);
        // Longer than another process is waited for where there is nothing old.
        while begun.elapsed() < Duration::from_secs(4) {
            assert_eq!(load(b, "one", "of another").await, "old");
            sleep(Duration::from_millis(7)).await;
        }
        let read = b.stats().read_bytes / "\"old\"".len() as u64;
        assert!(read < 100, "{read}");
        assert_eq!(b.stats().loads, 0);
        assert_eq!(held.end(Ok("new")).await.unwrap(), "old");
        sleep(Duration::from_millis(201)).await;
        load(b, "one", "of another").await;
        sleep(Duration::from_millis(1)).await;
        assert_eq!(load(b, "one", "of another").await, "new");
    }
}

/// Without Redis too what is old stands in for a load that fails: for as long as memory is believed, and never for what
/// was ended here.
#[tokio::test(start_paused = true)]
async fn old_is_answered_without_redis_as_long_as_it_is_believed() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut lenient = policy(Duration::from_secs(60));
    lenient.stale_for = Some(Duration::from_secs(3_600));
    let [a, b] = &nodes.texts(&lenient)[..] else { unreachable!() };
    for name in ["one", "two", "three", "four"] {
        assert_eq!(load(b, name, "old").await, "old");
    }
    sleep(Duration::from_secs(61)).await;
    nodes.twin.cut(1);
    sleep(Duration::from_millis(1)).await;
    assert!(!nodes.stores[1].stats().attached);
    assert_eq!(fail(b, "one").await.unwrap(), "old");
    b.invalidate(&key("two")).await;
    assert_eq!(fail(b, "two").await.unwrap_err().kind(), ErrorKind::Load);
    // Ended elsewhere, which nobody tells.
    a.invalidate(&key("three")).await;
    sleep(Duration::from_millis(8_900)).await;
    assert_eq!(fail(b, "three").await.unwrap(), "old");
    let held = Held::begin(b, "four").await;
    sleep(Duration::from_millis(1_100)).await;
    assert!(held.end(Err(std::fmt::Error)).await.is_err(), "it was believed when the load began");
    for name in ["one", "two", "three"] {
        assert_eq!(fail(b, name).await.unwrap_err().kind(), ErrorKind::Load);
    }
    nodes.twin.heal(1);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(fail(b, "three").await.unwrap_err().kind(), ErrorKind::Load, "told");
    assert_eq!(fail(b, "one").await.unwrap(), "old", "Redis has it still");
}
