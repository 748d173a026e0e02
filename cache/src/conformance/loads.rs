//! One load.

use std::future::Future;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::conformance::harness::{
    Held, Loads, Nodes, PATIENCE, Pair, fail, key, load, policy, try_load, until,
};
use crate::{ErrorKind, Outcome};

pub(super) async fn check<F: Future<Output = Nodes>>(nodes: &impl Fn() -> F) {
    let pair = async || nodes().await.pair(&policy());
    one_load_answers_all_who_ask_meanwhile(pair().await).await;
    an_answer_serves_the_other_node_too(pair().await).await;
    errors_are_shared_and_not_kept(pair().await).await;
    a_caller_that_goes_away_does_not_end_the_load(pair().await).await;
    a_panic_is_an_error_for_all_who_waited(pair().await).await;
    a_key_may_be_asked_for_inside_its_own_load(pair().await).await;
    an_answer_says_where_it_came_from(pair().await).await;
}

async fn one_load_answers_all_who_ask_meanwhile(pair: Pair) {
    let loads = Loads::default();
    let (go, wait) = watch::channel(false);
    let ask = |n: usize| {
        let node = if n.is_multiple_of(2) { pair.a.clone() } else { pair.b.clone() };
        let (loads, mut wait) = (loads.clone(), wait.clone());
        tokio::spawn(async move {
            let load = move || async move {
                loads.add();
                wait.wait_for(|go| *go).await.map(|_| "loaded".to_owned())
            };
            node.get_or_load(&key("one"), load).await.map(|value| (*value).clone())
        })
    };
    let asked: Vec<_> = (0..100).map(ask).collect();
    until(|| loads.count() == 1).await;
    go.send(true).expect("someone waits");
    for task in asked {
        let answer = timeout(PATIENCE, task).await.expect("an answer in time").expect("no panic");
        assert_eq!(answer.expect("no error"), "loaded");
    }
    assert_eq!((loads.count(), pair.stores.a.stats().loading), (1, 0));
    assert_eq!(load(&pair.a, "one", "other").await, "loaded", "kept");
}

async fn an_answer_serves_the_other_node_too(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    assert_eq!(load(a, "one", "from a").await, "from a");
    assert_eq!(load(b, "one", "from b").await, "from a");
    assert_eq!(b.get(&key("one")).await.as_deref().map(String::as_str), Some("from a"));
    assert_eq!(b.get(&key("two")).await, None);
    b.set(&key("two"), "set".to_owned()).await;
    assert_eq!(load(a, "two", "from a").await, "set");
    assert_eq!(
        b.peek(&key("two")).as_deref().map(String::as_str),
        Some("set"),
        "its own writes are in memory"
    );
    assert_eq!(load(b, "two", "from b").await, "set");
    if !pair.is_alone() {
        assert_eq!((b.stats().loads, b.stats().hits_shared), (0, 1));
    }
}

async fn errors_are_shared_and_not_kept(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let first = Held::begin(a, "one").await;
    let second = tokio::spawn({
        let a = a.clone();
        async move { try_load(&a, "one", "of its own").await }
    });
    tokio::task::yield_now().await;
    let error = first.end(Err(std::fmt::Error)).await.expect_err("the load's");
    assert_eq!(error.kind(), ErrorKind::Load);
    assert_eq!(error.load::<std::fmt::Error>(), Some(&std::fmt::Error));
    // It may have come after the end of the first, and then loads itself.
    match second.await.expect("no panic") {
        Ok(value) => assert_eq!(value, "of its own"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Load),
    }
    a.invalidate(&key("one")).await;
    assert_eq!(load(b, "one", "well").await, "well");
    assert_eq!(load(a, "one", "again").await, "well");
    assert!(fail(a, "two").await.is_err());
    assert_eq!(load(b, "two", "well").await, "well", "the lease was given back");
}

async fn a_caller_that_goes_away_does_not_end_the_load(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let held = Held::begin(a, "one").await;
    let other = tokio::spawn({
        let a = a.clone();
        async move { load(&a, "one", "other").await }
    });
    tokio::task::yield_now().await;
    held.end_without_caller("loaded").await;
    let answer = timeout(PATIENCE, other).await.expect("an answer in time").expect("no panic");
    assert_eq!(answer, "loaded");
    assert_eq!(load(b, "one", "b").await, "loaded");
    assert_eq!(a.stats().loads, 1);
}

async fn a_panic_is_an_error_for_all_who_waited(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let panics = || async {
        assert!(std::hint::black_box(false), "on purpose");
        Ok::<_, std::fmt::Error>(String::new())
    };
    let error = a.get_or_load(&key("one"), panics).await.expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(load(b, "one", "b").await, "b", "the key and its lease are free");
    assert_eq!(a.stats().load_errors, 1);
}

async fn a_key_may_be_asked_for_inside_its_own_load(pair: Pair) {
    let Pair { a, .. } = &pair;
    let inner = a.clone();
    let outer = move || async move {
        let nested = || async { Ok::<_, std::fmt::Error>("inner".to_owned()) };
        let inside = inner.get_or_load(&key("one"), nested).await?;
        let keys = [key("one"), key("two")];
        let others = inner.get_many_or_load(&keys, |keys| async move {
            Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "many".to_owned())).collect())
        });
        let others = others.await?;
        Ok::<_, crate::Error>(format!("{inside} and {} in outer", others.len()))
    };
    let answer = timeout(PATIENCE, a.get_or_load(&key("one"), outer)).await.expect("no deadlock");
    assert_eq!(*answer.expect("no error"), "inner and 2 in outer");
    assert_eq!(load(a, "one", "other").await, "inner and 2 in outer");
}

async fn an_answer_says_where_it_came_from(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let load = || async { Ok::<_, std::fmt::Error>(Some("loaded".to_owned())) };
    let outcomes = [
        a.answer(&key("one"), load).await.expect("no error").outcome,
        a.answer(&key("one"), load).await.expect("no error").outcome,
        b.answer(&key("one"), load).await.expect("no error").outcome,
    ];
    assert_eq!(outcomes, [Outcome::Miss, Outcome::Hit, Outcome::Hit]);
    let [miss, hit, _] = outcomes.map(Outcome::server_timing);
    assert_eq!((miss, hit), ("cache;desc=miss", "cache;desc=hit"));
}
