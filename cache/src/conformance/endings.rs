//! What ends values, and what must not come back.

use std::collections::HashMap;
use std::future::Future;

use tokio::time::timeout;

use crate::conformance::harness::{
    Held, Nodes, PATIENCE, Pair, Texts, key, load, policy, tag, until_async, until_loaded,
};
use crate::{Loaded, Policy};

pub(super) async fn check<F: Future<Output = Nodes>>(nodes: &impl Fn() -> F) {
    let pair = async || nodes().await.pair(&policy());
    an_ended_key_is_loaded_anew(pair().await).await;
    an_ended_tag_takes_all_that_carry_it(pair().await).await;
    tags_that_a_load_brings_count(pair().await).await;
    everything_can_be_forgotten(pair().await).await;
    many_end_at_once(pair().await).await;
    many_tags_end_at_once(pair().await).await;
    what_was_loaded_before_an_ending_does_not_stay(pair().await).await;
    a_tag_that_ended_during_the_load_counts_though_it_came_with_it(pair().await).await;
    a_write_wins_over_a_load_that_began_before_it(pair().await).await;
}

async fn an_ended_key_is_loaded_anew(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    for node in pair.both() {
        assert_eq!(load(node, "one", "old").await, "old");
        assert_eq!(load(node, "two", "stays").await, "stays");
    }
    a.invalidate(&key("one")).await;
    assert_eq!(load(a, "one", "new").await, "new", "at once where it was called");
    until_loaded(b, "one", "new").await;
    assert_eq!(load(b, "two", "other").await, "stays");
}

async fn an_ended_tag_takes_all_that_carry_it(pair: Pair) {
    let tagged = |tags: &[&str]| {
        let mut policy = policy();
        policy.tags = tags.iter().map(|name| tag(name)).collect();
        pair.with(&policy)
    };
    let (xy, yx, y) = (tagged(&["x", "y"]), tagged(&["y", "x"]), tagged(&["y"]));
    let asked = async |node: usize, value: &'static str| {
        [
            load(&xy[node], "one", value).await,
            load(&yx[node], "two", value).await,
            load(&y[node], "three", value).await,
        ]
    };
    for node in [0, 1] {
        assert_eq!(asked(node, "old").await, ["old"; 3]);
    }
    pair.stores.b.invalidate_tag(&tag("x")).await;
    assert_eq!(asked(1, "new").await, ["new", "new", "old"]);
    until_async(|| async { asked(0, "new").await == ["new", "new", "old"] }).await;
    // A tag that nobody carries.
    pair.stores.b.invalidate_tag(&tag("z")).await;
    assert_eq!(asked(1, "newer").await, ["new", "new", "old"]);
}

async fn late(node: &Texts, name: &str, value: &'static str) -> String {
    let load = move || async move {
        Ok::<_, std::fmt::Error>(Loaded::new(value.to_owned()).with_tags([tag("late")]))
    };
    (*node.get_or_load(&key(name), load).await.expect("no error")).clone()
}

async fn tags_that_a_load_brings_count(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    for node in pair.both() {
        assert_eq!(late(node, "one", "old").await, "old");
        assert_eq!(load(node, "two", "stays").await, "stays");
    }
    pair.stores.a.invalidate_tag(&tag("late")).await;
    assert_eq!(late(a, "one", "new").await, "new");
    until_async(|| async { late(b, "one", "new").await == "new" }).await;
    assert_eq!(load(b, "two", "other").await, "stays");
}

async fn everything_can_be_forgotten(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    for node in pair.both() {
        assert_eq!(load(node, "one", "old").await, "old");
    }
    a.invalidate_all().await;
    assert_eq!(load(a, "one", "new").await, "new");
    until_loaded(b, "one", "new").await;
    b.invalidate_all().await;
    assert_eq!(load(b, "one", "newer").await, "newer");
    until_loaded(a, "one", "newer").await;
}

/// More than one trip of them, one of which is being loaded.
async fn many_end_at_once(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    let names: Vec<String> = (0..600).map(|n| n.to_string()).collect();
    let others = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let old = |keys: Vec<String>| async move {
        Ok::<_, std::fmt::Error>(
            keys.into_iter().map(|key| (key, "old".to_owned())).collect::<HashMap<_, _>>(),
        )
    };
    for node in pair.both() {
        node.get_many_or_load(&names, old).await.expect("no error");
        for name in others {
            assert_eq!(load(node, name, "stays").await, "stays");
        }
    }
    let held = Held::begin(a, "loads").await;
    let ended: Vec<_> =
        names.iter().map(String::as_str).chain(["loads", "nobody has it", "7"]).map(key).collect();
    a.invalidate_many(&ended).await;
    for name in ["0", "299", "599", "loads"] {
        assert_eq!(load(a, name, "new").await, "new", "at once where it was called");
        until_loaded(b, name, "new").await;
    }
    let _ = held.end(Ok("old")).await;
    assert_eq!(load(a, "loads", "newer").await, "new", "what was loaded before stays away");
    for node in pair.both() {
        for name in &names {
            until_loaded(node, name, "new").await;
        }
        // What ends in memory may take a few with it, whose hashes are alike.
        let mut stay = 0;
        for name in others {
            stay += usize::from(load(node, name, "other").await == "stays");
        }
        assert!(stay > others.len() / 2, "{stay}");
    }
    b.invalidate_many(&[]).await;
    assert_eq!(load(b, "0", "newer").await, "new");
}

async fn many_tags_end_at_once(pair: Pair) {
    let tagged = |name: &str| {
        let mut policy = policy();
        policy.tags = vec![tag(name)];
        pair.with(&policy)
    };
    let (x, y, z) = (tagged("x"), tagged("y"), tagged("z"));
    let asked = async |node: usize, value: &'static str| {
        let [x, y, z] = [&x[node], &y[node], &z[node]];
        [load(x, "one", value).await, load(y, "two", value).await, load(z, "three", value).await]
    };
    for node in [0, 1] {
        assert_eq!(asked(node, "old").await, ["old"; 3]);
    }
    let held = Held::begin(&x[0], "loads").await;
    pair.stores.a.invalidate_tags(&[tag("x"), tag("y"), tag("nobody's")]).await;
    assert_eq!(asked(0, "new").await, ["new", "new", "old"]);
    until_async(|| async { asked(1, "new").await == ["new", "new", "old"] }).await;
    let _ = held.end(Ok("old")).await;
    assert_eq!(load(&x[0], "loads", "new").await, "new", "what was loaded before does not stay");
    pair.stores.a.invalidate_tags(&[]).await;
    assert_eq!(asked(0, "newer").await, ["new", "new", "old"]);
}

/// The load has read, then someone changes the source and ends the value, then the load ends.
async fn what_was_loaded_before_an_ending_does_not_stay(pair: Pair) {
    let mut tagged = policy();
    tagged.tags = vec![tag("x")];
    let [a, b] = pair.with(&tagged);
    for round in 0..6 {
        let name = round.to_string();
        let held = Held::begin(&a, &name).await;
        let (node, store) = if round % 2 == 0 { (&a, &pair.stores.a) } else { (&b, &pair.stores.b) };
        match round / 2 {
            0 => node.invalidate(&key(&name)).await,
            1 => store.invalidate_tag(&tag("x")).await,
            _ => node.invalidate_all().await,
        }
        if round % 2 == 0 {
            // Who asks after the ending does not get what was asked for before it, nor waits for it.
            assert_eq!(load(&a, &name, "new").await, "new", "round {round}");
        }
        let old = held.end(Ok("old")).await;
        assert_eq!(old.expect("no error"), "old", "who asked before may get it");
        // The other node's ending is heard a moment later.
        until_async(|| async { load(&a, &name, "new").await == "new" }).await;
        assert_eq!(load(&b, &name, "new").await, "new", "round {round}");
    }
}

async fn a_tag_that_ended_during_the_load_counts_though_it_came_with_it(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    for (round, store) in [&pair.stores.a, &pair.stores.b].into_iter().enumerate() {
        let name = format!("late-{round}");
        let ended = store.clone();
        let load = move || async move {
            // What it read is old from here on.
            ended.invalidate_tag(&tag("late")).await;
            Ok::<_, std::fmt::Error>(Loaded::new("old".to_owned()).with_tags([tag("late")]))
        };
        let old = timeout(PATIENCE, a.get_or_load(&key(&name), load)).await.expect("in time");
        assert_eq!(*old.expect("no error"), "old");
        until_async(|| async { late(a, &name, "new").await == "new" }).await;
        assert_eq!(late(b, &name, "new").await, "new", "round {round}");
    }
}

async fn a_write_wins_over_a_load_that_began_before_it(pair: Pair) {
    let Pair { a, b, .. } = &pair;
    for (name, node) in [("by-a", a), ("by-b", b)] {
        let held = Held::begin(a, name).await;
        node.set(&key(name), "written".to_owned()).await;
        let _ = held.end(Ok("old")).await;
        until_async(|| async { load(a, name, "other").await == "written" }).await;
        assert_eq!(load(b, name, "other").await, "written");
    }
    let zero = pair.a.with_policy(Policy::new(std::time::Duration::ZERO)).expect("a policy");
    zero.set(&key("by-a"), "never kept".to_owned()).await;
    assert_eq!(load(a, "by-a", "loaded").await, "loaded", "what is there is older than what is not kept");
}
