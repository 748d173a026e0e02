//! Lanes by key, and one active consumer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::config::{Breaker, ConsumerConfig, Exhausted, Order, RetryPlace, RetryPolicy, Trip};
use crate::conformance::{Bed, n, number, soon, until};
use crate::envelope::Event;
use crate::error::ErrorKind;
use crate::feed::Feed;
use crate::handler::{Action, Context, ErrorTable, Outcome};
use crate::topology::{Binding, Queue, Topology};

/// Events of a key one after the other, failures tried again in place; other keys pass them meanwhile.
pub async fn keeps_the_order_of_each_key(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let gate = Arc::new(Semaphore::new(0));
    let running: Arc<Mutex<BTreeMap<String, bool>>> = Arc::default();
    let (sender, mut done) = mpsc::channel(200);
    let handler = {
        let gate = Arc::clone(&gate);
        move |event: Event, cx: Context| {
            let key = event.partition_key.clone().expect("all have one");
            let (gate, running, sender) = (Arc::clone(&gate), Arc::clone(&running), sender.clone());
            async move {
                let n = n(&event);
                let before = running.lock().expect("no panic").insert(key.clone(), true);
                assert_ne!(before, Some(true), "two of {key} at once");
                if key == "a" && n == 0 {
                    gate.acquire().await.expect("open").forget();
                }
                tokio::task::yield_now().await;
                running.lock().expect("no panic").insert(key.clone(), false);
                if key == "b" && n.is_multiple_of(7) && cx.attempt < 3 {
                    return Outcome::Retry { reason: "not yet".to_owned() };
                }
                sender.send((key, n, cx.attempt)).await.expect("the test listens");
                Outcome::Ack
            }
        }
    };
    let mut work = bed.consume_with("work", ordered(), handler);
    for n in 0..20 {
        for key in ["a", "b", "c", "d", "e"] {
            publish(bed, key, n).await;
        }
    }
    let mut seen: BTreeMap<String, Vec<(u64, u32)>> = BTreeMap::new();
    for i in 0..100 {
        if i == 80 {
            assert!(!seen.contains_key("a"), "one key waits, and only it");
            gate.add_permits(1);
        }
        let (key, n, attempt) = soon("an event", done.recv()).await.expect("the consumer runs");
        seen.entry(key).or_default().push((n, attempt));
    }
    for (key, all) in seen {
        let tries = |n: u64| if key == "b" && n.is_multiple_of(7) { 3 } else { 1 };
        assert_eq!(all, (0..20).map(|n| (n, tries(n))).collect::<Vec<_>>(), "of {key}");
    }
    work.stop().await;
}

/// What fails too often in place, or for too long, is a dead letter, and its key goes on.
pub async fn a_key_goes_on_after_a_dead_letter(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut config = ordered();
    config.retry.max_attempts = 2;
    let mut work = bed.consume("work", config, async |event, _| match n(&event) {
        0 => Outcome::Retry { reason: "never".to_owned() },
        1 => Outcome::Return,
        _ => Outcome::Ack,
    });
    for n in 0..3 {
        publish(bed, "a", n).await;
    }
    for (number, attempt) in [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)] {
        let (event, cx) = work.next().await;
        assert_eq!((n(&event), cx.attempt), (number, attempt));
    }
    work.nothing().await;
    work.stop().await;
    for (number, error) in [(0, "never"), (1, "given back")] {
        let (raw, cx) = bed.next_dead_letter().await;
        let info = cx.dead_letter.expect("it is one");
        assert_eq!(n(&raw.event().expect("an event")), number);
        assert_eq!(
            (info.reason.as_str(), info.attempts, info.error.as_deref()),
            ("attempts", 2, Some(error))
        );
    }

    let mut config = ordered();
    config.retry.max_attempts = 100;
    config.retry.place = RetryPlace::Here { max_time: Duration::from_secs(3) };
    let mut work = bed.consume("work", config, async |_, _| Outcome::Retry { reason: "never".to_owned() });
    publish(bed, "a", 3).await;
    let (_, cx) = bed.next_dead_letter().await;
    let attempts = cx.dead_letter.expect("it is one").attempts;
    assert!((2..100).contains(&attempts), "{attempts} tries of at least 50 ms within 3 s");
    work.stop().await;
}

/// A consumer that must not pass a failed event ends at it: told by its result and in health. Nothing is lost or
/// overtaken, and the next consumer begins with it.
pub async fn an_ordered_consumer_can_halt(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let mut config = ordered();
    config.retry.max_attempts = 2;
    config.order = Some(Order { exhausted: Exhausted::Stop, ..Order::by_partition_key() });
    for n in 0..50 {
        publish(bed, "a", n).await;
    }
    let broken = Arc::new(AtomicBool::new(true));
    let handler = {
        let broken = Arc::clone(&broken);
        move |event: Event, _: Context| {
            let fails = n(&event) == 3 && broken.load(Ordering::SeqCst);
            async move { if fails { Outcome::Reject { reason: "no".to_owned() } } else { Outcome::Ack } }
        }
    };
    let mut work = bed.consume("work", config.clone(), handler.clone());
    for i in 0..4 {
        assert_eq!(n(&work.next().await.0), i);
    }
    let error = soon("the end", &mut work.task).await.expect("no panic").expect_err("it halted");
    assert_eq!(error.kind(), ErrorKind::Halted);
    assert!(work.seen.try_recv().is_err(), "nothing was tried behind it");
    let health = bed.hub.health();
    assert!(!health.ready());
    let halted: Vec<_> = health.consumers.iter().filter_map(|c| c.halted.as_deref()).collect();
    assert_eq!(halted, ["rejected: no"]);

    broken.store(false, Ordering::SeqCst);
    let mut work = bed.consume("work", config, handler);
    for i in 3..50 {
        assert_eq!(n(&work.next().await.0), i, "in order, from where it halted");
    }
    until("health", || async { bed.hub.health().ready() }).await;
    work.nothing().await;
    work.stop().await;
    let letters = bed.hub.queue(&bed.name("dlq")).await.expect("the broker answers").expect("it is there");
    assert_eq!(letters.messages, 0);
}

/// Of two consumers one is active. It keeps what it has until its handler is through; then the other goes on, in
/// order.
pub async fn one_consumer_is_active_at_a_time(bed: &Bed) {
    bed.declare(&[]).await;
    let work = bed.name("work");
    let topology = Topology::new()
        .queue(
            Queue::quorum(&work)
                .with_dead_letter(bed.name("dlx"), "dead-letter")
                .with_single_active_consumer(),
        )
        .binding(Binding::new(bed.name("events"), "#", &work));
    assert_eq!(bed.hub.declare(&topology).await.expect("declared").conflicts, []);
    let gate = Arc::new(Semaphore::new(5));
    let config = ConsumerConfig { concurrency: 1, ..ConsumerConfig::default() };
    let mut one = bed.consume("work", config.clone(), {
        let gate = Arc::clone(&gate);
        move |_, _| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                Outcome::Ack
            }
        }
    });
    let consumers = async |count| {
        // The broker counts the active one only.
        until("the consumers", || async {
            let consumers = bed.hub.health().consumers;
            consumers.len() == count && consumers.iter().all(|consumer| consumer.active)
        })
        .await;
    };
    consumers(1).await;
    let mut two = bed.consume("work", config, async |_, _| Outcome::Ack);
    consumers(2).await;
    for n in 0..60 {
        bed.publish("a.b", n).await;
    }
    for i in 0..6 {
        assert_eq!(n(&one.next().await.0), i);
    }
    two.nothing().await;
    one.stop.take();
    two.nothing().await;
    one.nothing().await;
    gate.add_permits(1);
    for i in 6..60 {
        assert_eq!(n(&two.next().await.0), i, "in order, and what was acknowledged not again");
    }
    two.nothing().await;
    one.stop().await;
    two.stop().await;
}

/// What contradicts itself is refused at the start.
pub async fn refuses_contradictions(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let alone = bed.name("alone");
    let topology = Topology::new().queue(Queue::quorum(&alone));
    bed.hub.declare(&topology).await.expect("declared");
    let base = ConsumerConfig::default;
    let share = |failed, of| Some(Breaker { trip: Trip::Share { failed, of }, ..Breaker::default() });
    let restless = Breaker { first_pause: Duration::ZERO, ..Breaker::default() };
    let long = RetryPlace::Here { max_time: Duration::from_hours(1) };
    let cases = [
        ("fewer than handlers", ConsumerConfig { prefetch: 7, concurrency: 8, ..base() }),
        ("no handler", ConsumerConfig { concurrency: 0, ..base() }),
        ("order and delay", ConsumerConfig { order: Some(Order::by_partition_key()), ..base() }),
        ("an hour in place", ConsumerConfig { retry: RetryPolicy { place: long, ..base().retry }, ..base() }),
        (
            "a pause without a breaker",
            ConsumerConfig { breaker: None, errors: ErrorTable::new().otherwise(Action::Pause), ..base() },
        ),
        ("more than all", ConsumerConfig { breaker: share(1.1, 10), ..base() }),
        ("no share", ConsumerConfig { breaker: share(f64::NAN, 10), ..base() }),
        ("a share of none", ConsumerConfig { breaker: share(0.5, 0), ..base() }),
        ("a pause of nothing", ConsumerConfig { breaker: Some(restless), ..base() }),
    ];
    for (what, config) in cases {
        let result = bed.hub.consume(&bed.name("work"), config, async || Outcome::Ack, async {}).await;
        assert_eq!(result.expect_err(what).kind(), ErrorKind::Config, "{what}");
    }
    let result = bed.hub.consume(&alone, ordered(), async || Outcome::Ack, async {}).await;
    assert_eq!(result.expect_err("no dead letters").kind(), ErrorKind::Config);
    for name in ["a.#", "*.b", "#"] {
        let result = bed.hub.declare(&Topology::new().queue(Queue::quorum(name))).await;
        assert_eq!(result.expect_err(name).kind(), ErrorKind::Config);
    }
    for feed in [Feed::new("", ["#"]), Feed::new("feed", ["k".repeat(256)])] {
        let run = bed.hub.consume_feed(feed, base(), async || Outcome::Ack, |_| (), async {});
        assert_eq!(run.await.expect_err("a name or a key").kind(), ErrorKind::Config);
    }
    bed.hub.consume(&bed.name("work"), ordered(), async || Outcome::Ack, async {}).await.expect("fine");
}

/// By partition key, four at once, failing fast.
fn ordered() -> ConsumerConfig {
    ConsumerConfig {
        concurrency: 4,
        order: Some(Order::by_partition_key()),
        retry: RetryPolicy {
            first_delay: Duration::from_millis(50),
            max_delay: Duration::from_millis(100),
            ..RetryPolicy::in_place()
        },
        ..ConsumerConfig::default()
    }
}

async fn publish(bed: &Bed, key: &str, n: u64) {
    let mut event = number("a.b", n);
    event.partition_key = Some(key.to_owned());
    let _receipt = bed.hub.publish(&event).await.expect("the event is confirmed");
}
