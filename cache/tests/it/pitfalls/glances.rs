//! Callers that read the tier for themselves: nobody waits for them, and few do it at once.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{join, join_all, poll_fn};
use tokio::time::{Instant, sleep, timeout};
use tramline_cache::{Loaded, Tag};

use crate::support::{Nodes, Texts, fail, key, load, policy, text};

const LONG: Duration = Duration::from_secs(60);

/// How often each key was loaded.
#[derive(Clone, Default)]
struct Loads(Arc<Mutex<HashMap<String, usize>>>);

impl Loads {
    fn add(&self, keys: &[String]) {
        let mut loads = self.0.lock().unwrap();
        for key in keys {
            *loads.entry(key.clone()).or_default() += 1;
        }
    }

    /// Asks for all of them, each of which is loaded as `value`.
    async fn ask(
        &self,
        cache: &Texts,
        keys: Vec<String>,
        value: &'static str,
    ) -> HashMap<String, Arc<String>> {
        let loads = self.clone();
        let load = move |keys: Vec<String>| async move {
            loads.add(&keys);
            sleep(Duration::from_millis(30)).await;
            Ok::<_, std::fmt::Error>(keys.into_iter().map(|key| (key, value.to_owned())).collect())
        };
        cache.get_many_or_load(&keys, load).await.unwrap()
    }
}

fn keys(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(key).collect()
}

/// So that the next question after many reads first, in its caller's future.
async fn had_all(a: &Texts, b: &Texts) {
    b.set(&key("had"), "had".to_owned()).await;
    a.invalidate(&key("had")).await;
    b.set(&key("had"), "had".to_owned()).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(Loads::default().ask(a, vec![key("had")], "loaded").await[&key("had")].as_str(), "had");
}

async fn polled<F: Future>(future: &mut std::pin::Pin<&mut F>, times: usize) {
    for _ in 0..times {
        assert!(poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await.is_pending());
        tokio::task::yield_now().await;
    }
}

/// Neither here nor in another process: a caller that is not polled, as a future in a list whose turn does not come, has no
/// lease, and no flight.
#[tokio::test(start_paused = true)]
async fn who_reads_for_itself_holds_nothing() {
    let nodes = Nodes::new(2, |config| config.lease_ttl = Duration::from_secs(3_600)).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    had_all(a, b).await;
    nodes.twin.slow(0, Duration::from_millis(50));
    for many in [false, true] {
        for (polls, node) in (1..5).flat_map(|polls| [(polls, b), (polls, a)]) {
            let name = key(format!("{many}-{polls}"));
            // One that ended leaves no trace of itself.
            b.set(&name, "before".to_owned()).await;
            sleep(Duration::from_millis(1)).await;
            let loads = Loads::default();
            let before = if many {
                loads.ask(a, vec![name.clone()], "first").await[&name].to_string()
            } else {
                load(a, &name, "first").await
            };
            assert_eq!(before, "before");
            b.invalidate(&name).await;
            sleep(Duration::from_millis(1)).await;
            let alone = async {
                if many {
                    loads.ask(a, vec![name.clone()], "first").await[&name].to_string()
                } else {
                    load(a, &name, "first").await
                }
            };
            let mut alone = pin!(alone);
            polled(&mut alone, polls).await;
            let begun = Instant::now();
            assert_eq!(load(node, &name, "second").await, "second", "{polls} polls");
            assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
            assert_eq!((node.stats().lease_waits, nodes.stores[0].stats().loading), (0, 0));
            assert_eq!(alone.await, "second", "there by now");
        }
    }
}

/// Whoever goes away leaves to its rest what failed meanwhile, as who stays does.
#[tokio::test(start_paused = true)]
async fn who_goes_away_does_not_load_what_rests() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut lenient = policy(Duration::from_secs(10));
    (lenient.stale_for, lenient.retry_after) = (Some(LONG), LONG);
    let [a, b] = &nodes.texts(&lenient)[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(50));
    for many in [false, true] {
        let name = key(many);
        load(b, &name, "old").await;
        sleep(Duration::from_secs(11)).await;
        had_all(a, b).await;
        let before = a.stats().loads;
        {
            let alone = async {
                if many {
                    Loads::default().ask(a, vec![name.clone()], "new").await;
                } else {
                    load(a, &name, "new").await;
                }
            };
            let mut alone = pin!(alone);
            polled(&mut alone, 1).await;
            assert_eq!(fail(a, &name).await.unwrap(), "old");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(a.stats().loads - before, 1, "many: {many}");
    }
}

/// What the tier has is read twice at most, however many ask for it at once.
#[tokio::test(start_paused = true)]
async fn a_thousand_who_ask_for_what_the_tier_has_read_it_twice() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    nodes.twin.slow(0, Duration::from_millis(50));
    for round in 0..20 {
        let name = key(round);
        b.set(&name, "there".to_owned()).await;
        // It is heard.
        sleep(Duration::from_millis(1)).await;
        let before = a.stats();
        let asked = (0..1_000).map(|n| {
            let (a, name) = (a.clone(), name.clone());
            tokio::spawn(async move {
                sleep(Duration::from_micros(n * 150)).await;
                load(&a, &name, "loaded").await
            })
        });
        for answer in join_all(asked.collect::<Vec<_>>()).await {
            assert_eq!(answer.unwrap(), "there");
        }
        let after = a.stats();
        // As JSON.
        assert!(after.read_bytes - before.read_bytes <= 2 * 7, "{}", after.read_bytes - before.read_bytes);
        let hits = |stats: tramline_cache::Stats| stats.hits_memory + stats.hits_shared;
        assert_eq!((hits(after) - hits(before), after.loads), (1_000, 0));
    }
}

/// Many at once after overlapping keys, some of whom go away.
#[tokio::test(start_paused = true)]
async fn questions_after_the_same_keys_load_each_of_them_once() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    for round in 0..60 {
        had_all(a, b).await;
        nodes.twin.slow(0, Duration::from_millis(20));
        let begin = round * 1_000;
        let loads = Loads::default();
        let asked: Vec<_> = [begin..begin + 60, begin + 30..begin + 90, begin + 45..begin + 50]
            .map(|range| {
                let (a, loads) = (a.clone(), loads.clone());
                tokio::spawn(async move { loads.ask(&a, keys(range), "loaded").await.len() })
            })
            .into();
        sleep(Duration::from_millis(u64::from(round) + 1)).await;
        if round % 2 == 0 {
            asked[0].abort();
        }
        let lens: Vec<_> = join_all(asked).await.into_iter().map(Result::ok).collect();
        assert_eq!(lens[1..], [Some(60), Some(5)], "round {round}");
        // What was asked for goes on without who asked.
        crate::until(|| keys(begin..begin + 90).iter().all(|key| a.peek(key).is_some())).await;
        let loads = loads.0.lock().unwrap();
        assert!(loads.values().all(|times| *times == 1), "round {round}: {loads:?}");
        nodes.twin.slow(0, Duration::ZERO);
    }
}

/// A question after many goes on without its caller, too.
#[tokio::test(start_paused = true)]
async fn callers_of_many_without_patience_do_not_starve_their_keys() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    had_all(a, b).await;
    nodes.twin.slow(0, Duration::from_millis(400));
    let (begun, loads) = (Instant::now(), Loads::default());
    while a.peek(&key("1")).is_none() {
        let _ = timeout(Duration::from_millis(20), loads.ask(a, keys(0..3), "loaded")).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(a.stats().loads, 1);
}

/// What was read of many before one of them ended, or a tag, does not stay.
#[tokio::test(start_paused = true)]
async fn what_ends_while_many_are_read_does_not_stay() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let tag = Tag::of("tag");
    for round in 0..60 {
        had_all(a, b).await;
        nodes.twin.slow(0, Duration::from_millis(40));
        let [plain, tagged] = [key(format!("{round}-plain")), key(format!("{round}-tagged"))];
        b.set(&plain, "old".to_owned()).await;
        b.set(&tagged, Loaded::new("old".to_owned()).with_tags([tag.clone()])).await;
        let reading = tokio::spawn({
            let (a, keys) = (a.clone(), vec![plain.clone(), tagged.clone()]);
            async move { Loads::default().ask(&a, keys, "new").await }
        });
        sleep(Duration::from_millis(round)).await;
        join(b.invalidate(&plain), nodes.stores[1].invalidate_tag(&tag)).await;
        let found = reading.await.unwrap();
        assert_eq!(found.len(), 2);
        sleep(Duration::from_millis(100)).await;
        for name in [&plain, &tagged] {
            assert_ne!(text(a.peek(name)), Some("old"), "round {round}");
        }
        nodes.twin.slow(0, Duration::ZERO);
    }
}

/// Whatever lies there: each of many is judged for itself.
#[tokio::test(start_paused = true)]
async fn each_of_many_is_judged_for_itself() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut short = policy(LONG);
    short.negative_ttl = Some(LONG);
    short.stale_for = Some(LONG);
    let [a, b] = &nodes.texts(&short)[..] else { unreachable!() };
    had_all(a, b).await;
    let (ended, lives) = (Tag::of("ended"), Tag::of("lives"));
    let tagged = |tags: &[Tag]| Loaded::new("there".to_owned()).with_tags(tags.to_vec());
    b.set(&key("plain"), "there".to_owned()).await;
    b.set(&key("both"), tagged(&[ended.clone(), lives.clone()])).await;
    b.set(&key("ended"), tagged(std::slice::from_ref(&ended))).await;
    b.set(&key("lives"), tagged(std::slice::from_ref(&lives))).await;
    b.set(&key("short"), Loaded::new("there".to_owned()).with_ttl(Duration::from_millis(5))).await;
    assert_eq!(crate::support::find(b, "negative", None).await, None);
    nodes.stores[1].invalidate_tag(&ended).await;
    sleep(Duration::from_millis(10)).await;
    let names = ["plain", "both", "ended", "lives", "short", "negative", "nobody", "plain"].map(key);
    let loads = Loads::default();
    let found = loads.ask(a, names.to_vec(), "loaded").await;
    let value = |name: &str| found.get(&key(name)).map(|value| value.as_str());
    assert_eq!(["plain", "lives"].map(value), [Some("there"); 2]);
    assert_eq!(["both", "ended", "short", "nobody"].map(value), [Some("loaded"); 4]);
    assert_eq!(value("negative"), None);
    assert_eq!(loads.0.lock().unwrap().len(), 4);
    // A second time all of it is in memory.
    let before = a.stats();
    assert_eq!(loads.ask(a, names.to_vec(), "again").await.len(), 6);
    assert_eq!((a.stats().hits_shared, a.stats().loads), (before.hits_shared, before.loads));
}

/// It begins when the question does, and what the first read found old is what may be answered.
#[tokio::test(start_paused = true)]
async fn patience_begins_with_the_question() {
    let nodes = Nodes::new(2, |_| {}).await;
    let mut patient = policy(LONG);
    patient.stale_for = Some(LONG);
    patient.soft_timeout = Some(Duration::from_millis(150));
    let [a, b] = &nodes.texts(&patient)[..] else { unreachable!() };
    // The cache's mark is known from here on.
    assert_eq!(load(a, "warm", "warm").await, "warm");
    nodes.twin.slow(0, Duration::from_millis(100));
    for round in 0..20 {
        let name = key(round);
        b.set(&name, Loaded::new("old".to_owned()).with_ttl(Duration::from_millis(5))).await;
        sleep(Duration::from_millis(10)).await;
        let begun = Instant::now();
        let load = || async {
            sleep(Duration::from_secs(5)).await;
            Ok::<_, std::fmt::Error>("new".to_owned())
        };
        assert_eq!(a.get_or_load(&name, load).await.unwrap().as_str(), "old");
        let took = begun.elapsed();
        // One read takes 200 ms at most, and then it is time.
        assert!((150..=202).contains(&took.as_millis()), "round {round}: {took:?}");
    }
}

/// What there is by the time at which its caller goes away is not loaded again.
#[tokio::test(start_paused = true)]
async fn who_goes_away_does_not_load_what_memory_has() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    for many in [false, true] {
        had_all(a, b).await;
        let (name, loads) = (key(many), Loads::default());
        nodes.twin.slow(0, Duration::from_millis(50));
        let before = a.stats();
        {
            let alone = async {
                if many {
                    loads.ask(a, vec![name.clone(), name.clone()], "first").await;
                } else {
                    load(a, &name, "first").await;
                }
            };
            let mut alone = pin!(alone);
            polled(&mut alone, 1).await;
            nodes.twin.cut(0);
            assert_eq!(load(a, &name, "second").await, "second", "in memory alone");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(
            (a.stats().loads - before.loads, text(a.peek(&name))),
            (1, Some("second")),
            "many: {many}"
        );
        assert_eq!(a.stats().hits_memory, before.hits_memory);
        nodes.twin.heal(0);
        nodes.twin.slow(0, Duration::ZERO);
        crate::until(|| nodes.stores[0].stats().attached).await;
    }
}

/// What lies in memory and is over is read with what is not there, in one trip and without leases.
#[tokio::test(start_paused = true)]
async fn what_is_over_in_memory_is_read_as_what_is_not_there() {
    let nodes = Nodes::new(2, |_| {}).await;
    let [a, b] = &nodes.texts(&policy(LONG))[..] else { unreachable!() };
    let loads = Loads::default();
    for set in [false, true] {
        loads.ask(b, keys(0..100), "old").await;
        had_all(a, b).await;
        assert_eq!(loads.ask(a, keys(0..100), "unused").await.len(), 100);
        if set {
            // They end, and stay where they are.
            join_all(keys(0..100).iter().map(|key| b.set(key, "new".to_owned()))).await;
            sleep(Duration::from_millis(1)).await;
        } else {
            sleep(LONG).await;
            assert_eq!(loads.ask(b, keys(0..100), "new").await.len(), 100);
        }
        had_all(a, b).await;
        b.set(&key("beside"), "new".to_owned()).await;
        sleep(Duration::from_millis(1)).await;
        let (before, asked) = (a.stats(), nodes.twin.asked(0));
        let found = loads.ask(a, [keys(0..100), vec![key("beside")]].concat(), "loaded").await;
        assert!(found.len() == 101 && found.values().all(|value| value.as_str() == "new"), "set: {set}");
        let after = a.stats();
        assert_eq!((after.hits_shared - before.hits_shared, after.loads - before.loads), (101, 0));
        assert_eq!(nodes.twin.asked(0) - asked, 1, "set: {set}");
    }
}
