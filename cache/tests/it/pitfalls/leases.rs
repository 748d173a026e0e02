//! A lease is given back by who holds it, and by nobody else.

use std::collections::HashMap;
use std::time::Duration;

use tramline_cache::{StoreConfig, Tag};

use crate::support::{Held, Nodes, fail, key, load, policy, text, texts};

/// A holder that lost its lease, and comes to its end while another holds it.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_is_not_given_back_nor_used() {
    for ends_well in [true, false] {
        let nodes = Nodes::new(3, |config| {
            config.lease_ttl = Duration::from_secs(1);
            config.lease_wait = Duration::from_secs(30);
        })
        .await;
        let [a, b, c] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
        let lost = Held::begin(a, "one").await;
        nodes.twin.cut(0);
        let held = Held::begin(b, "one").await;
        nodes.twin.heal(0);
        let waiting = tokio::spawn({
            let c = c.clone();
            async move { load(&c, "one", "of c").await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _ = lost.end(if ends_well { Ok("of a") } else { Err(std::fmt::Error) }).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(!waiting.is_finished(), "b has it, and renews it");
        assert_eq!(held.end(Ok("of b")).await.unwrap(), "of b");
        assert_eq!(waiting.await.unwrap(), "of b");
        assert_eq!(text(a.get(&key("one")).await), Some("of b"));
    }
}

/// Who hears of a failure and asks again, here or elsewhere, finds the lease free, however slow the way to the tier is.
#[tokio::test(start_paused = true)]
async fn a_lease_is_free_before_the_failure_is_told() {
    let nodes = Nodes::new(2, |config| config.lease_ttl = Duration::from_secs(60)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(60)))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(40));
    for round in 0..10 {
        let keys = [key(format!("{round}-one")), key(format!("{round}-two"))];
        if round % 2 == 0 {
            assert!(fail(a, &keys[0]).await.is_err());
        } else {
            let fails = |_| async { Err::<HashMap<String, String>, _>(std::fmt::Error) };
            assert!(a.get_many_or_load(&keys, fails).await.is_err());
        }
        for key in &keys {
            assert_eq!(load(b, key, "b").await, "b");
        }
    }
    assert_eq!(b.stats().lease_waits, 0);
}

/// What is written with a mark that was read long ago is alive for as long as it may be, to who reads the mark then.
#[tokio::test(start_paused = true)]
async fn a_mark_outlives_what_was_written_with_it() {
    let nodes = Nodes::new(2, |config| config.max_ttl = Duration::from_secs(10)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(10)))[..] else { unreachable!() };
    assert_eq!(load(a, "first", "a").await, "a");
    tokio::time::sleep(Duration::from_millis(9_900)).await;
    assert_eq!(load(a, "one", "a").await, "a");
    // A mark that is made anew is another one from here on.
    nodes.stores[0].invalidate_tag(&Tag::of("other")).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(load(b, "one", "b").await, "a");
}

/// Marks are forgotten by the tier when nobody asks for them; a node that knows them asks in time.
#[tokio::test(start_paused = true)]
async fn nodes_agree_for_longer_than_marks_live() {
    let mut nodes = Nodes::new(2, |config| config.max_ttl = Duration::from_secs(10)).await;
    let [a, b] = &nodes.texts(&policy(Duration::from_secs(10)))[..] else { unreachable!() };
    for n in 0..60 {
        assert_eq!(load(a, &key(n), "a").await, "a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(load(b, &key(n), "b").await, "a", "{n}");
        // A mark that is made anew is another one from here on.
        nodes.stores[1].invalidate_tag(&Tag::of("other")).await;
        if n % 20 == 19 {
            // One that knows nothing yet.
            nodes.join(|config| config.max_ttl = Duration::from_secs(10)).await;
            let c = &texts(nodes.stores.last().unwrap(), &policy(Duration::from_secs(10)));
            assert_eq!(load(c, &key(n), "c").await, "a", "{n}");
            assert_eq!(load(c, &key(format!("c{n}")), "c").await, "c");
            assert_eq!(load(a, &key(format!("c{n}")), "a").await, "c", "{n}");
        }
    }
}

/// A mark that was ended lives for a day, if it did not live for longer before, whatever values live for. Who has heard of
/// each ending, and knows what it stands at, asks for it all the same before it is forgotten.
#[tokio::test(start_paused = true)]
async fn a_mark_that_was_heard_is_read_before_it_is_forgotten() {
    let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
    let settings = |config: &mut StoreConfig| config.max_ttl = hours(30);
    let later = async || {
        tokio::time::advance(hours(25)).await;
        // All is heard again.
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    let mut nodes = Nodes::new(2, settings).await;
    let long = policy(hours(30));
    let [a, b] = &nodes.texts(&long)[..] else { unreachable!() };
    assert_eq!(load(a, "first", "a").await, "a", "it is made, and lives for 60 hours");
    for _ in 0..2 {
        later().await;
        b.invalidate_all().await;
    }
    later().await;
    // A mark that is made anew is another one from here on.
    nodes.stores[1].invalidate_tag(&Tag::of("other")).await;
    assert_eq!(load(a, "one", "a").await, "a");
    nodes.join(settings).await;
    let c = texts(nodes.stores.last().unwrap(), &long);
    assert_eq!(load(&c, "one", "c").await, "a");
}
