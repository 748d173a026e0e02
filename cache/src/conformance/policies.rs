//! Lives, and what is done at their ends.

use std::future::Future;
use std::time::Duration;

use crate::conformance::harness::{
    Held, Loads, Nodes, Pair, Texts, fail, key, load, policy, until, until_async, until_loaded,
};
use crate::{ErrorKind, Loaded, Outcome, Policy, Refresh};

pub(super) async fn check<F: Future<Output = Nodes>>(nodes: &impl Fn() -> F) {
    let pair = async || nodes().await.pair(&policy());
    nothing_is_kept_only_when_asked_for(pair().await).await;
    a_life_ends(pair().await).await;
    what_is_too_large_is_answered_and_not_kept(pair().await).await;
    what_is_old_is_answered_when_the_load_fails(pair().await).await;
    what_is_old_is_answered_while_it_is_loaded(pair().await).await;
    what_is_old_ends_with_a_load_that_finds_nothing(pair().await).await;
    what_was_ended_is_never_answered_as_old(pair().await).await;
    a_load_that_takes_too_long_ends(pair().await).await;
    an_answer_is_loaded_anew_before_its_end(pair().await).await;
    a_load_says_how_its_answer_is_kept(pair().await).await;
    a_load_says_how_old_its_answer_may_be(pair().await).await;
}

async fn find(node: &Texts, name: &str, value: Option<&'static str>) -> Option<String> {
    let load = move || async move { Ok::<_, std::fmt::Error>(value.map(str::to_owned)) };
    node.get_or_find(&key(name), load).await.expect("no error").map(|value| (*value).clone())
}

async fn nothing_is_kept_only_when_asked_for(pair: Pair) {
    let [a, _] = pair.both();
    assert_eq!(find(a, "one", None).await, None);
    assert_eq!(find(a, "one", Some("x")).await.as_deref(), Some("x"));
    let mut negative = policy();
    negative.negative_ttl = Some(Duration::from_secs(60));
    let [a, b] = pair.with(&negative);
    assert_eq!(find(&a, "two", None).await, None);
    assert_eq!(find(&a, "two", Some("x")).await, None);
    assert_eq!(find(&b, "two", Some("x")).await, None);
    assert_eq!(load(&b, "two", "whoever needs one").await, "whoever needs one");
    assert_eq!(find(&b, "two", None).await.as_deref(), Some("whoever needs one"), "in place of nothing");
    a.set(&key("three"), "x".to_owned()).await;
    a.invalidate(&key("three")).await;
    assert_eq!(find(&a, "three", None).await, None);
    // What is created ends that there was nothing.
    b.set(&key("three"), "created".to_owned()).await;
    until_async(|| async { find(&a, "three", None).await.as_deref() == Some("created") }).await;
}

async fn a_life_ends(pair: Pair) {
    let mut short = policy();
    short.ttl = Duration::from_millis(200);
    let [a, b] = pair.with(&short);
    assert_eq!(load(&a, "one", "old").await, "old");
    until_loaded(&b, "one", "new").await;
    until_loaded(&a, "one", "new").await;
    let [a, _] = pair.with(&Policy::new(Duration::ZERO));
    assert_eq!((load(&a, "two", "1").await, load(&a, "two", "2").await), ("1".to_owned(), "2".to_owned()));
}

async fn what_is_too_large_is_answered_and_not_kept(pair: Pair) {
    let large = "x".repeat(2 * 1024 * 1024);
    for _ in 0..2 {
        let value = large.clone();
        let answer =
            pair.a.get_or_load(&key("one"), move || async move { Ok::<_, std::fmt::Error>(value) }).await;
        assert_eq!(answer.expect("no error").len(), large.len());
    }
    assert_eq!((pair.a.stats().loads, pair.a.stats().unusable, pair.a.stats().entries), (2, 2, 0));
}

fn old_is_fine(pair: &Pair) -> [Texts; 2] {
    let mut policy = policy();
    policy.ttl = Duration::from_millis(150);
    policy.stale_for = Some(Duration::from_secs(50));
    // Nobody is held up for so long between two lines.
    policy.retry_after = Duration::from_secs(3);
    pair.with(&policy)
}

async fn what_is_old_is_answered_when_the_load_fails(pair: Pair) {
    let [a, b] = old_is_fine(&pair);
    assert_eq!(load(&a, "one", "old").await, "old");
    until(|| a.peek(&key("one")).is_none()).await;
    for node in [&a, &b] {
        // The tier goes by its own clock, and what memory has let go may be fresh to it for a moment.
        until_async(|| async {
            assert_eq!(fail(node, "one").await.expect("what is old"), "old");
            node.stats().stale_if_error > 0
        })
        .await;
        let loads = node.stats().loads;
        assert_eq!(fail(node, "one").await.expect("what is old"), "old");
        assert_eq!(node.stats().loads, loads, "not tried again so soon");
    }
    until_loaded(&b, "one", "new").await;
    assert!(a.stats().stale_if_error >= 2);
    // A policy that allows nothing old gets the error.
    let [a, _] = pair.with(&Policy::new(Duration::from_millis(150)));
    assert_eq!(load(&a, "two", "old").await, "old");
    until(|| a.peek(&key("two")).is_none()).await;
    until_async(|| async { fail(&a, "two").await.is_err() }).await;
    assert_eq!(fail(&a, "two").await.expect_err("the load's").kind(), ErrorKind::Load);
}

async fn what_is_old_is_answered_while_it_is_loaded(pair: Pair) {
    let mut swr = policy();
    swr.stale_for = Some(Duration::from_secs(50));
    swr.soft_timeout = Some(Duration::ZERO);
    let [a, b] = pair.with(&swr);
    // What comes after it is not over before it is asked for.
    let short =
        || async { Ok::<_, std::fmt::Error>(Loaded::new(key("old")).with_ttl(Duration::from_millis(150))) };
    assert_eq!(*a.get_or_load(&key("one"), short).await.expect("no error"), "old");
    // By the tier's own clock too.
    until_async(|| async { a.get(&key("one")).await.is_none() }).await;
    let loads = a.stats().loads;
    let held = Held::begin(&a, "one").await;
    for node in [&a, &b] {
        assert_eq!(load(node, "one", "of another").await, "old");
    }
    let first = held.end(Ok("new")).await.expect("no error");
    assert_eq!(first, "old", "who brought the load did not wait for it");
    for node in [&a, &b] {
        until_async(|| async { load(node, "one", "of another").await == "new" }).await;
    }
    if !pair.is_alone() {
        // The other node saw that this one loads.
        assert_eq!(b.stats().loads, 0);
    }
    assert_eq!(a.stats().loads, loads + 1);
}

async fn what_is_old_ends_with_a_load_that_finds_nothing(pair: Pair) {
    let [a, b] = old_is_fine(&pair);
    assert_eq!(load(&a, "one", "old").await, "old");
    until(|| a.peek(&key("one")).is_none()).await;
    // The tier goes by its own clock.
    until_async(|| async { find(&a, "one", None).await.is_none() }).await;
    for node in [&a, &b] {
        assert!(fail(node, "one").await.is_err());
    }
}

async fn what_was_ended_is_never_answered_as_old(pair: Pair) {
    let [a, b] = old_is_fine(&pair);
    for node in [&a, &b] {
        assert_eq!(load(node, "one", "old").await, "old");
    }
    a.invalidate(&key("one")).await;
    assert!(fail(&a, "one").await.is_err());
    until_async(|| async { fail(&b, "one").await.is_err() }).await;
    // The same while it is loaded.
    assert_eq!(load(&a, "two", "old").await, "old");
    // By the tier's own clock too.
    until_async(|| async { a.get(&key("two")).await.is_none() }).await;
    let held = Held::begin(&a, "two").await;
    a.invalidate(&key("two")).await;
    assert!(held.end(Err(std::fmt::Error)).await.is_err());
}

async fn a_load_that_takes_too_long_ends(pair: Pair) {
    let mut hasty = policy();
    hasty.hard_timeout = Duration::from_millis(100);
    let [a, b] = pair.with(&hasty);
    let never = || std::future::pending::<Result<String, std::fmt::Error>>();
    let error = a.get_or_load(&key("one"), never).await.expect_err("it never ends");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(load(&b, "one", "b").await, "b", "the key and its lease are free");
    assert_eq!(pair.stores.a.stats().loading, 0);
}

async fn an_answer_is_loaded_anew_before_its_end(pair: Pair) {
    let mut eager = policy();
    eager.ttl = Duration::from_secs(8);
    eager.refresh = Refresh::At { share: 0.02 };
    let [a, b] = pair.with(&eager);
    assert_eq!(load(&a, "one", "1").await, "1");
    assert_eq!(load(&b, "one", "2").await, "1");
    // Nobody waits for it: all answers meanwhile are the old one.
    until_async(|| async { load(&a, "one", "2").await == "2" }).await;
    assert!((a.stats().refreshes, b.stats().refreshes) >= (1, 0));
    assert_eq!(a.stats().misses, 1, "nobody waited");
    if !pair.is_alone() {
        until_async(|| async { load(&b, "one", "3").await != "1" }).await;
    }
}

async fn a_load_says_how_its_answer_is_kept(pair: Pair) {
    let [a, _] = pair.both();
    let loads = Loads::default();
    let ask = async |how: fn(String) -> Loaded<String>| {
        let loads = loads.clone();
        let load = move || async move { Ok::<_, std::fmt::Error>(Some(how(loads.add().to_string()))) };
        a.answer(&key("one"), load).await.expect("no error")
    };
    assert_eq!(ask(Loaded::not_kept).await.outcome, Outcome::Miss);
    assert_eq!(ask(Loaded::not_kept).await.outcome, Outcome::Miss);
    let long = |value| Loaded::new(value).with_ttl(Duration::from_secs(60));
    let short = |value| Loaded::new(value).with_ttl(Duration::from_millis(150));
    assert_eq!(ask(long).await.value.as_deref().map(String::as_str), Some("3"));
    assert_eq!(ask(short).await.outcome, Outcome::Hit);
    a.invalidate(&key("one")).await;
    assert_eq!(ask(short).await.value.as_deref().map(String::as_str), Some("4"));
    until_async(|| async { ask(short).await.value.as_deref().map(String::as_str) == Some("5") }).await;
}

async fn a_load_says_how_old_its_answer_may_be(pair: Pair) {
    // Less than the policy's fifty seconds: nothing at all, and what is over before it is tried again.
    for (name, stale) in [("one", Duration::ZERO), ("two", Duration::from_millis(300))] {
        let [a, b] = old_is_fine(&pair);
        let load =
            move || async move { Ok::<_, std::fmt::Error>(Loaded::new(key("old")).with_stale_for(stale)) };
        a.get_or_load(&key(name), load).await.expect("no error");
        for node in [&a, &b] {
            until_async(|| async { fail(node, name).await.is_err() }).await;
        }
    }
    // It is a bound, and no permission.
    let [a, _] = pair.both();
    let ttl = Duration::from_millis(150);
    let long = move || async move {
        Ok::<_, std::fmt::Error>(
            Loaded::new(key("old")).with_ttl(ttl).with_stale_for(Duration::from_secs(50)),
        )
    };
    a.get_or_load(&key("three"), long).await.expect("no error");
    until_async(|| async { fail(a, "three").await.is_err() }).await;
}
