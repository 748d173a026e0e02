//! What is loaded anew before its end.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tramline_cache::{Clock, Policy, Refresh};

use crate::support::{Count, Held, Nodes, Texts, fail, find, key, load, policy, text};

/// Ten seconds, and anew from the fifth on.
fn eager() -> Policy {
    let mut eager = policy(Duration::from_secs(10));
    eager.refresh = Refresh::At { share: 0.5 };
    eager
}

/// Everyone asks all the time, on all nodes; answers how long anyone waited at most.
async fn asked(caches: &[Texts], span: Duration, loads: &Count) -> Duration {
    let end = Instant::now() + span;
    let asking = caches.iter().cycle().take(caches.len() * 5).map(|cache| async move {
        let mut waited = Duration::ZERO;
        while Instant::now() < end {
            let begun = Instant::now();
            let loads = loads.clone();
            let load = move || async move {
                let many = loads.add();
                sleep(Duration::from_millis(50)).await;
                Ok::<_, std::fmt::Error>(many.to_string())
            };
            cache.get_or_load(&key("one"), load).await.unwrap();
            waited = waited.max(begun.elapsed());
            sleep(Duration::from_millis(7)).await;
        }
        waited
    });
    join_all(asking).await.into_iter().max().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_one_load_for_all_nodes_and_nobody_waits_for_it() {
    for refresh in [Refresh::At { share: 0.8 }, Refresh::Early { beta: 1.0 }] {
        let nodes = Nodes::new(3, |_| {}).await;
        let mut eager = policy(Duration::from_secs(10));
        eager.refresh = refresh;
        let caches = nodes.texts(&eager);
        let loads = Count::default();
        assert_eq!(load(&caches[0], "warm", "up").await, "up");
        asked(&caches, Duration::from_millis(100), &loads).await;
        assert_eq!(loads.get(), 1);
        // Nine seconds more: its end is not reached, and it is loaded anew once by one of them, if at all.
        let waited = asked(&caches, Duration::from_millis(9_700), &loads).await;
        assert_eq!(waited, Duration::ZERO, "{refresh:?}");
        let waited = asked(&caches, Duration::from_millis(500), &loads).await;
        assert_eq!((waited, loads.get()), (Duration::ZERO, 2), "{refresh:?}");
        let refreshed: u64 = caches.iter().map(|cache| cache.stats().loads).sum();
        assert_eq!(refreshed, 3);
    }
}

/// A refresh that fails costs nobody anything, and is not tried again at once.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_not_tried_again_at_once() {
    let nodes = Nodes::new(1, |_| {}).await;
    let mut patient = eager();
    patient.retry_after = Duration::from_secs(2);
    let [a] = &nodes.texts(&patient)[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    sleep(Duration::from_secs(6)).await;
    for _ in 0..100 {
        assert_eq!(fail(a, "one").await.unwrap(), "old");
        sleep(Duration::from_millis(15)).await;
    }
    assert_eq!((a.stats().refreshes, a.stats().load_errors), (1, 1));
    sleep(Duration::from_millis(600)).await;
    assert_eq!(load(a, "one", "new").await, "old");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(text(a.peek(&key("one"))), Some("new"));
}

/// A refresh that finds that there is nothing any more ends what is fresh still.
#[tokio::test(start_paused = true)]
async fn a_refresh_of_which_nothing_is_kept_ends_what_is_there() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&eager())[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    sleep(Duration::from_secs(6)).await;
    assert_eq!(find(a, "one", None).await.as_deref(), Some("old"));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(a.peek(&key("one")), None);
    assert!(fail(b, "one").await.is_err(), "the tier has it no more");
}

/// Two clocks say how old a value is, and neither is exact: a value that seems a little younger than it was is the same.
#[tokio::test(start_paused = true)]
async fn a_clock_that_runs_ahead_a_little_does_not_make_a_value_new() {
    let clock = Clock::manual();
    let nodes = Nodes::new(1, |config| config.clock = clock.clone()).await;
    let [a] = &nodes.texts(&eager())[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    sleep(Duration::from_secs(6)).await;
    clock.advance(Duration::from_millis(6_040));
    assert_eq!(load(a, "one", "new").await, "old");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(text(a.peek(&key("one"))), Some("new"));
}

/// What a load takes is known to who did not load: its refresh begins as early.
#[tokio::test(start_paused = true)]
async fn how_long_a_load_took_is_known_everywhere() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut early = policy(Duration::from_secs(600));
    // As early as a load that takes any time at all can say.
    early.refresh = Refresh::Early { beta: 1e9 };
    let [a, b] = &nodes.texts(&early)[..] else { unreachable!() };
    for (name, takes) in [("quick", 0), ("slow", 1_000)] {
        let load = move || async move {
            sleep(Duration::from_millis(takes)).await;
            Ok::<_, std::fmt::Error>("old".to_owned())
        };
        a.get_or_load(&key(name), load).await.unwrap();
        for _ in 0..3 {
            crate::support::load(b, name, "new").await;
            sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!((text(b.peek(&key("quick"))), text(b.peek(&key("slow")))), (Some("old"), Some("new")));
}

/// Another process loads it anew: that is not asked for again by each caller, and is no load of ours.
#[tokio::test(start_paused = true)]
async fn what_another_process_refreshes_is_left_to_it() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&eager())[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    assert_eq!(load(b, "one", "of another").await, "old");
    sleep(Duration::from_secs(6)).await;
    let held = Held::begin(a, "one").await;
    let read = b.stats().read_bytes;
    for _ in 0..200 {
        assert_eq!(load(b, "one", "of another").await, "old");
        sleep(Duration::from_millis(7)).await;
    }
    // In 1.4 s, with a second between two tries.
    assert_eq!((b.stats().read_bytes - read) / "\"old\"".len() as u64, 2);
    assert_eq!((b.stats().refreshes, b.stats().loads), (0, 0));
    assert_eq!(held.end(Ok("new")).await.unwrap(), "old");
    sleep(Duration::from_secs(1)).await;
    load(b, "one", "of another").await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(text(b.peek(&key("one"))), Some("new"));
    assert_eq!((a.stats().refreshes, b.stats().refreshes), (1, 0));
}

/// A refresh that finds its value over by then has nothing that may be answered meanwhile: it waits for who loads, as any
/// other question does.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_comes_too_late_waits_for_another_one() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&eager())[..] else { unreachable!() };
    assert_eq!(load(a, "one", "old").await, "old");
    assert_eq!(load(b, "one", "of another").await, "old");
    sleep(Duration::from_millis(9_900)).await;
    let held = Held::begin(a, "one").await;
    assert_eq!(load(b, "one", "of another").await, "old");
    // Before what goes on behind that caller has its turn.
    tokio::time::advance(Duration::from_millis(200)).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!((b.stats().lease_waits, b.stats().loads), (1, 0));
    assert_eq!(held.end(Ok("new")).await.unwrap(), "old");
    sleep(Duration::from_secs(2)).await;
    assert_eq!((text(b.peek(&key("one"))), b.stats().loads), (Some("new"), 0));
}

/// How long a load took goes with its answer: whoever finds it in the tier refreshes by that, too.
#[tokio::test(start_paused = true)]
async fn who_did_not_load_it_knows_how_long_that_took() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut early = policy(Duration::from_secs(10));
    early.refresh = Refresh::Early { beta: 1.0 };
    let [a, b] = &nodes.texts(&early)[..] else { unreachable!() };
    let slow = || async {
        sleep(Duration::from_secs(2)).await;
        Ok::<_, std::fmt::Error>("old".to_owned())
    };
    a.get_or_load(&key("one"), slow).await.unwrap();
    let begun = Instant::now();
    while b.stats().refreshes == 0 && begun.elapsed() < Duration::from_millis(9_900) {
        assert_eq!(load(b, "one", "new").await, "old");
        sleep(Duration::from_millis(10)).await;
    }
    // Not once in a thousand questions, each of which refreshes with a chance of e^(-left / 2 s): never.
    assert_eq!((b.stats().refreshes, b.stats().misses), (1, 0));
}
