//! Many keys at once.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use crate::ErrorKind;
use crate::conformance::harness::{Held, Loads, Nodes, Pair, Texts, key, load, policy};

pub(super) async fn check<F: Future<Output = Nodes>>(nodes: &impl Fn() -> F) {
    let pair = async || nodes().await.pair(&policy());
    what_nobody_has_is_one_load(pair().await).await;
    what_others_are_loading_is_not_loaded_again(pair().await).await;
    what_the_load_leaves_out_is_nothing(pair().await).await;
    a_load_of_many_that_fails_leaves_what_was_there(pair().await).await;
    many_that_end_meanwhile_do_not_stay(pair().await).await;
}

fn keys(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// Everything but what `leave` names, and how often it was called.
async fn ask(node: &Texts, keys: &[String], value: &'static str, loads: &Loads) -> HashMap<String, String> {
    let loads = loads.clone();
    let load = move |keys: Vec<String>| async move {
        loads.add();
        Ok::<_, std::fmt::Error>(
            keys.into_iter().filter(|key| key != "nothing").map(|key| (key, value.to_owned())).collect(),
        )
    };
    let found = node.get_many_or_load(keys, load).await.expect("no error");
    found.into_iter().map(|(key, value)| (key, (*value).clone())).collect()
}

async fn what_nobody_has_is_one_load(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let loads = Loads::default();
    let found = ask(a, &keys(0..100), "1", &loads).await;
    assert_eq!((found.len(), loads.count()), (100, 1));
    // Some in memory, some nowhere, some twice.
    let mut twice = keys(50..150);
    twice.extend(keys(60..70));
    let found = ask(a, &twice, "2", &loads).await;
    assert_eq!((found.len(), loads.count()), (100, 2));
    assert_eq!(
        (found.get("99").map(String::as_str), found.get("100").map(String::as_str)),
        (Some("1"), Some("2"))
    );
    let found = ask(b, &keys(0..150), "3", &loads).await;
    assert_eq!((found.len(), loads.count()), (150, 2), "all in one of the tiers");
    assert_eq!(load(b, "7", "other").await, "1");
    assert_eq!(ask(b, &[], "4", &loads).await.len(), 0);
    if !pair.is_alone() {
        assert_eq!((b.stats().hits_shared, b.stats().misses), (150, 0));
    }
}

async fn what_others_are_loading_is_not_loaded_again(pair: Pair) {
    let Pair { a, .. } = &pair;
    let held = Held::begin(a, "1").await;
    let loads = Loads::default();
    let batch = tokio::spawn({
        let (a, loads) = (a.clone(), loads.clone());
        async move { ask(&a, &keys(0..3), "batch", &loads).await }
    });
    tokio::task::yield_now().await;
    assert_eq!(held.end(Ok("alone")).await.expect("no error"), "alone");
    let found = batch.await.expect("no panic");
    assert_eq!((found.len(), loads.count()), (3, 1));
    assert!(found.get("0").is_some_and(|value| value == "batch"));
    assert!(found.get("1").is_some_and(|value| value == "alone"));
}

async fn what_the_load_leaves_out_is_nothing(pair: Pair) {
    let loads = Loads::default();
    let [a, _] = pair.both();
    let two = ["nothing".to_owned(), "some".to_owned()];
    assert_eq!(ask(a, &two, "1", &loads).await.len(), 1);
    assert_eq!(ask(a, &two, "1", &loads).await.len(), 1);
    assert_eq!(loads.count(), 2, "asked for again");
    let mut negative = policy();
    negative.negative_ttl = Some(Duration::from_secs(60));
    let [a, b] = pair.with(&negative);
    for node in [&a, &b] {
        assert_eq!(ask(node, &two, "1", &loads).await.len(), 1);
    }
    assert_eq!(loads.count(), 3, "kept");
}

async fn a_load_of_many_that_fails_leaves_what_was_there(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let fails = |_| async { Err::<HashMap<String, String>, _>(std::fmt::Error) };
    let error = a.get_many_or_load(&keys(0..3), fails).await.expect_err("the load's");
    assert_eq!(error.kind(), ErrorKind::Load);
    assert_eq!(load(b, "1", "b").await, "b", "the leases were given back");
    let panics = |_| async {
        assert!(std::hint::black_box(false), "on purpose");
        Ok::<HashMap<String, String>, std::fmt::Error>(HashMap::new())
    };
    let error = a.get_many_or_load(&keys(0..3), panics).await.expect_err("it panicked");
    assert_eq!(error.kind(), ErrorKind::Panicked);
    assert_eq!(ask(a, &keys(0..3), "a", &Loads::default()).await.len(), 3);
}

async fn many_that_end_meanwhile_do_not_stay(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let ended = b.clone();
    let load_old = move |keys: Vec<String>| async move {
        ended.invalidate(&key("1")).await;
        Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, "old".to_owned())).collect())
    };
    let found = a.get_many_or_load(&keys(0..3), load_old).await.expect("no error");
    assert_eq!(found.len(), 3);
    for node in pair.both() {
        crate::conformance::harness::until_loaded(node, "1", "new").await;
        assert_eq!(load(node, "0", "new").await, "old");
    }
}
