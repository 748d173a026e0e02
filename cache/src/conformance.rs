//! What holds for every kind of cache. Each check takes two nodes that share what they share: two clones of a
//! memory cache, or two caches on one Redis with their feeds running.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::{Cache, Key, Policy, Tag};

/// Two nodes of one system, empty.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Nodes {
    /// One node.
    pub a: Cache,
    /// The other one.
    pub b: Cache,
}

/// How long anything that must happen may take.
const PATIENCE: Duration = Duration::from_secs(10);

// === impl Nodes ===

impl Nodes {
    /// Two nodes.
    #[must_use]
    pub fn new(a: Cache, b: Cache) -> Self {
        Self { a, b }
    }
}

/// Runs every check, each on nodes of its own.
///
/// # Panics
///
/// When one of them does not hold.
pub async fn check<F: Future<Output = Nodes>>(nodes: impl Fn() -> F) {
    one_load_answers_all_who_ask_meanwhile(nodes().await).await;
    an_answer_serves_the_other_node_too(nodes().await).await;
    errors_are_shared_and_not_kept(nodes().await).await;
    a_caller_that_goes_away_does_not_end_the_load(nodes().await).await;
    a_panic_is_its_callers_and_the_key_stays_usable(nodes().await).await;
    an_invalidated_key_is_loaded_anew(nodes().await).await;
    an_invalidated_tag_ends_all_that_carry_it(nodes().await).await;
    everything_can_be_forgotten(nodes().await).await;
    what_was_loaded_before_an_invalidation_does_not_stay(nodes().await).await;
    a_write_wins_over_a_load_that_began_before_it(nodes().await).await;
    nothing_is_kept_only_when_asked_for(nodes().await).await;
    a_life_ends(nodes().await).await;
    another_version_is_a_miss(nodes().await).await;
    what_is_too_large_is_answered_and_not_kept(nodes().await).await;
    a_key_may_be_asked_for_inside_its_own_load(nodes().await).await;
}

async fn one_load_answers_all_who_ask_meanwhile(Nodes { a, .. }: Nodes) {
    let loads = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let ask = || {
        let (a, loads, go) = (a.clone(), loads.clone(), go.clone());
        tokio::spawn(async move {
            let load = move || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                Ok::<_, ()>("loaded".to_owned())
            };
            a.get_or_load(&key("one"), &policy(), load).await
        })
    };
    let asked: Vec<_> = (0..100).map(|_| ask()).collect();
    until(|| loads.load(Ordering::SeqCst) == 1).await;
    go.notify_one();
    for task in asked {
        let answer = timeout(PATIENCE, task).await.expect("an answer in time").expect("no panic");
        assert_eq!(answer.as_deref(), Ok("loaded"));
    }
    assert_eq!((loads.load(Ordering::SeqCst), a.stats().loads, a.stats().loading), (1, 1, 0));
    assert_eq!(load(&a, "one", "other").await, "loaded", "kept");
}

async fn an_answer_serves_the_other_node_too(Nodes { a, b }: Nodes) {
    assert_eq!(load(&a, "one", "from a").await, "from a");
    assert_eq!(load(&b, "one", "from b").await, "from a");
    assert_eq!(b.get::<String>(&key("one"), &policy()).await.as_deref(), Some("from a"));
    assert_eq!(b.get::<String>(&key("two"), &policy()).await, None);
    b.set(&key("two"), &"set".to_owned(), &policy()).await;
    assert_eq!(load(&a, "two", "from a").await, "set");
    assert_eq!(load(&b, "two", "from b").await, "set");
}

async fn errors_are_shared_and_not_kept(Nodes { a, b }: Nodes) {
    let go = Arc::new(Notify::new());
    let ask = |error: &'static str| {
        let (a, go) = (a.clone(), go.clone());
        tokio::spawn(async move {
            let load = move || async move {
                go.notified().await;
                Err::<String, _>(error)
            };
            a.get_or_load(&key("one"), &policy(), load).await
        })
    };
    let first = ask("failed");
    until(|| a.stats().loads == 1).await;
    let second = ask("never loaded");
    // One permit serves whoever loads: a second load would wait for ever.
    go.notify_one();
    for task in [first, second] {
        let answer = timeout(PATIENCE, task).await.expect("an answer in time").expect("no panic");
        // The second may have come after the end of the first, and then loads itself.
        assert!(answer.is_err());
        go.notify_one();
    }
    assert_eq!(load(&b, "one", "well").await, "well");
    assert_eq!(load(&a, "one", "again").await, "well");
}

async fn a_caller_that_goes_away_does_not_end_the_load(Nodes { a, b }: Nodes) {
    let (go, wait) = oneshot::channel::<()>();
    let caller = tokio::spawn({
        let a = a.clone();
        async move {
            let load = move || async move {
                let _ = wait.await;
                Ok::<_, ()>("loaded".to_owned())
            };
            a.get_or_load(&key("one"), &policy(), load).await
        }
    });
    until(|| a.stats().loads == 1).await;
    let other = tokio::spawn({
        let a = a.clone();
        async move { load(&a, "one", "other").await }
    });
    tokio::task::yield_now().await;
    caller.abort();
    let _ = caller.await;
    let _ = go.send(());
    let answer = timeout(PATIENCE, other).await.expect("an answer in time").expect("no panic");
    assert_eq!(answer, "loaded");
    assert_eq!(load(&b, "one", "b").await, "loaded");
    assert_eq!(a.stats().loads, 1);
}

async fn a_panic_is_its_callers_and_the_key_stays_usable(Nodes { a, b }: Nodes) {
    let (go, wait) = oneshot::channel::<()>();
    let caller = tokio::spawn({
        let a = a.clone();
        async move {
            let load = move || async move {
                let _ = wait.await;
                assert!(wait_is_over(), "on purpose");
                Ok::<_, ()>(String::new())
            };
            a.get_or_load(&key("one"), &policy(), load).await
        }
    });
    until(|| a.stats().loads == 1).await;
    let other = tokio::spawn({
        let a = a.clone();
        async move { load(&a, "one", "other").await }
    });
    tokio::task::yield_now().await;
    let _ = go.send(());
    assert!(caller.await.expect_err("the caller panics").is_panic());
    let answer = timeout(PATIENCE, other).await.expect("an answer in time").expect("no panic");
    assert_eq!(answer, "other");
    assert_eq!(load(&b, "one", "b").await, "other");
    assert_eq!(a.stats().errors, 1);
}

async fn an_invalidated_key_is_loaded_anew(Nodes { a, b }: Nodes) {
    for node in [&a, &b] {
        assert_eq!(load(node, "one", "old").await, "old");
        assert_eq!(load(node, "two", "stays").await, "stays");
    }
    a.invalidate(&key("one")).await;
    assert_eq!(load(&a, "one", "new").await, "new", "at once where it was called");
    until_loaded(&b, "one", "new").await;
    assert_eq!(load(&b, "two", "other").await, "stays");
}

async fn an_invalidated_tag_ends_all_that_carry_it(Nodes { a, b }: Nodes) {
    let ask = async |node: &Cache, name: &str, tags: &[&str], value: &'static str| {
        let policy = policy().with_tags(tags.iter().map(|name| tag(name))).expect("few tags");
        node.get_or_load(&key(name), &policy, move || async move { Ok::<_, ()>(value.to_owned()) }).await
    };
    let asked = async |node: &Cache, value: &'static str| {
        [
            ask(node, "one", &["x", "y"], value).await.expect("no error"),
            ask(node, "two", &["y", "x"], value).await.expect("no error"),
            ask(node, "three", &["y"], value).await.expect("no error"),
        ]
    };
    for node in [&a, &b] {
        assert_eq!(asked(node, "old").await, ["old"; 3]);
    }
    b.invalidate_tag(&tag("x")).await;
    assert_eq!(asked(&b, "new").await, ["new", "new", "old"]);
    let heard = async {
        while asked(&a, "new").await != ["new", "new", "old"] {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.expect("heard in time");
    // A tag that nobody carries.
    b.invalidate_tag(&tag("z")).await;
    assert_eq!(asked(&b, "newer").await, ["new", "new", "old"]);
}

async fn everything_can_be_forgotten(Nodes { a, b }: Nodes) {
    for node in [&a, &b] {
        assert_eq!(load(node, "one", "old").await, "old");
    }
    a.invalidate_all().await;
    assert_eq!(load(&a, "one", "new").await, "new");
    until_loaded(&b, "one", "new").await;
}

/// The load has read, then someone changes the source and invalidates, then the load ends.
async fn what_was_loaded_before_an_invalidation_does_not_stay(Nodes { a, b }: Nodes) {
    let policy = policy().with_tags([tag("x")]).expect("few tags");
    for round in 0..6 {
        let name = round.to_string();
        let (go, wait) = oneshot::channel::<()>();
        let before = a.stats().loads;
        let old = tokio::spawn({
            let (a, policy, name) = (a.clone(), policy.clone(), name.clone());
            async move {
                let load = move || async move {
                    let _ = wait.await;
                    Ok::<_, ()>("old".to_owned())
                };
                a.get_or_load(&key(&name), &policy, load).await
            }
        });
        until(|| a.stats().loads == before + 1).await;
        let node = if round % 2 == 0 { &a } else { &b };
        match round / 2 {
            0 => node.invalidate(&key(&name)).await,
            1 => node.invalidate_tag(&tag("x")).await,
            _ => node.invalidate_all().await,
        }
        if round % 2 == 0 {
            // Who asks after the invalidation does not get what was asked for before it.
            let new = || async { Ok::<_, ()>("new".to_owned()) };
            let answer = timeout(PATIENCE, a.get_or_load(&key(&name), &policy, new)).await;
            assert_eq!(
                answer.expect("does not wait for the old load").as_deref(),
                Ok("new"),
                "round {round}"
            );
        }
        let _ = go.send(());
        assert_eq!(old.await.expect("no panic").as_deref(), Ok("old"), "who asked before may get it");
        for node in [&a, &b] {
            let new = || async { Ok::<_, ()>("new".to_owned()) };
            assert_eq!(
                node.get_or_load(&key(&name), &policy, new).await.as_deref(),
                Ok("new"),
                "round {round}"
            );
        }
    }
    assert!(a.stats().stale > 0);
}

async fn a_write_wins_over_a_load_that_began_before_it(Nodes { a, b }: Nodes) {
    for node in [&a, &b] {
        let name = format!("by-{}", if std::ptr::eq(node, &a) { "a" } else { "b" });
        let (go, wait) = oneshot::channel::<()>();
        let before = a.stats().loads;
        let old = tokio::spawn({
            let (a, name) = (a.clone(), name.clone());
            async move {
                let load = move || async move {
                    let _ = wait.await;
                    Ok::<_, ()>("old".to_owned())
                };
                a.get_or_load(&key(&name), &policy(), load).await
            }
        });
        until(|| a.stats().loads == before + 1).await;
        node.set(&key(&name), &"written".to_owned(), &policy()).await;
        let _ = go.send(());
        let _ = old.await;
        assert_eq!(load(&a, &name, "other").await, "written");
        assert_eq!(load(&b, &name, "other").await, "written");
    }
}

async fn nothing_is_kept_only_when_asked_for(Nodes { a, b }: Nodes) {
    let ask = async |node: &Cache, name: &str, policy: &Policy, value: Option<u32>| {
        node.get_or_load(&key(name), policy, move || async move { Ok::<_, ()>(value) })
            .await
            .expect("no error")
    };
    let negative = policy().with_negative_ttl(Duration::from_secs(60));
    assert_eq!(ask(&a, "one", &policy(), None).await, None);
    assert_eq!(ask(&a, "one", &policy(), Some(1)).await, Some(1));
    assert_eq!(ask(&a, "two", &negative, None).await, None);
    assert_eq!(ask(&a, "two", &negative, Some(1)).await, None);
    assert_eq!(ask(&b, "two", &negative, Some(1)).await, None);
    a.invalidate(&key("two")).await;
    assert_eq!(ask(&a, "two", &negative, Some(1)).await, Some(1));
}

async fn a_life_ends(Nodes { a, b }: Nodes) {
    let mut short = Policy::new(Duration::from_millis(80));
    short.jitter = 0.0;
    let ask = async |node: &Cache, value: &'static str| {
        node.get_or_load(&key("one"), &short, move || async move { Ok::<_, ()>(value.to_owned()) }).await
    };
    assert_eq!(ask(&a, "old").await.as_deref(), Ok("old"));
    for node in [&b, &a] {
        let over = async {
            while ask(node, "new").await.as_deref() != Ok("new") {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, over).await.expect("the old value's life ends");
    }
    let zero = Policy::new(Duration::ZERO);
    let ask =
        async |value: u32| a.get_or_load(&key("two"), &zero, move || async move { Ok::<_, ()>(value) }).await;
    assert_eq!((ask(1).await, ask(2).await), (Ok(1), Ok(2)));
}

async fn another_version_is_a_miss(Nodes { a, b }: Nodes) {
    assert_eq!(load(&a, "one", "text").await, "text");
    let mut newer = policy();
    newer.version = 2;
    let number = || async { Ok::<_, ()>(7_u32) };
    assert_eq!(b.get_or_load(&key("one"), &newer, number).await, Ok(7));
    assert_eq!(a.get_or_load(&key("one"), &newer, number).await, Ok(7));
}

async fn what_is_too_large_is_answered_and_not_kept(Nodes { a, .. }: Nodes) {
    let large = "x".repeat(2 * 1024 * 1024);
    for _ in 0..2 {
        let value = large.clone();
        let answer = a.get_or_load(&key("one"), &policy(), move || async move { Ok::<_, ()>(value) }).await;
        assert_eq!(answer.map(|value| value.len()), Ok(large.len()));
    }
    assert_eq!((a.stats().loads, a.stats().unusable, a.stats().entries), (2, 2, 0));
}

async fn a_key_may_be_asked_for_inside_its_own_load(Nodes { a, .. }: Nodes) {
    let inner = a.clone();
    let outer = || async move {
        let nested = || async { Ok::<_, ()>("inner".to_owned()) };
        let inside = inner.get_or_load(&key("one"), &policy(), nested).await?;
        Ok::<_, ()>(format!("{inside} in outer"))
    };
    let answer = timeout(PATIENCE, a.get_or_load(&key("one"), &policy(), outer)).await.expect("no deadlock");
    assert_eq!(answer.as_deref(), Ok("inner in outer"));
    assert_eq!(load(&a, "one", "other").await, "inner in outer");
}

fn key(name: &str) -> Key {
    Key::new("conformance", &[name]).expect("a short name")
}

fn tag(name: &str) -> Tag {
    Tag::new("conformance", &[name]).expect("a short name")
}

fn policy() -> Policy {
    Policy::new(Duration::from_secs(60))
}

/// Never, but not so that the compiler knows.
fn wait_is_over() -> bool {
    std::hint::black_box(false)
}

async fn load(node: &Cache, name: &str, value: &'static str) -> String {
    let load = move || async move { Ok::<_, ()>(value.to_owned()) };
    let answer = timeout(PATIENCE, node.get_or_load(&key(name), &policy(), load)).await;
    answer.expect("an answer in time").expect("no error")
}

/// What one node invalidates the other hears a moment later.
async fn until_loaded(node: &Cache, name: &str, value: &'static str) {
    let heard = async {
        while load(node, name, value).await != value {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, heard).await.expect("heard in time");
}

async fn until(reached: impl Fn() -> bool) {
    let waited = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waited).await.expect("reached in time");
}
