//! The breaker: an outage is not the events' fault.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::config::{Breaker, ConsumerConfig, Trip};
use crate::conformance::{Bed, n, number, quick, soon, until};
use crate::envelope::Event;
use crate::handler::{Action, Context, Data, ErrorTable, Outcome};
use crate::health::BreakerState;

/// Every event fails for a while: the consumer pauses, tries one now and then, and goes on when that succeeds.
/// Nothing becomes a dead letter, and only what was tried before the pause has an attempt counted.
pub async fn an_outage_empties_nothing(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let down = Arc::new(AtomicBool::new(true));
    let calls = Arc::new(AtomicU32::new(0));
    let firsts: Arc<Mutex<BTreeMap<u64, u32>>> = Arc::default();
    let (sender, mut done) = mpsc::channel(300);
    let handler = {
        let (down, calls, firsts) = (Arc::clone(&down), Arc::clone(&calls), Arc::clone(&firsts));
        move |event: Event, cx: Context| {
            calls.fetch_add(1, Ordering::SeqCst);
            firsts.lock().expect("no panic").entry(n(&event)).or_insert(cx.attempt);
            let (down, sender) = (down.load(Ordering::SeqCst), sender.clone());
            async move {
                if down {
                    return Err("the database is away");
                }
                sender.send((n(&event), cx.attempt)).await.expect("the test listens");
                Ok(())
            }
        }
    };
    let mut work = bed.consume_with("work", breaking(20), handler);
    let events = (0..200).map(|i| number("a.b", i)).collect();
    for answer in bed.hub.publish_all(events).await {
        let _receipt = answer.expect("confirmed");
    }
    until("the pause", || async { state(bed) == BreakerState::Open }).await;
    assert!(bed.hub.health().ready(), "the process is as well as it can be");
    let before = calls.load(Ordering::SeqCst);
    assert!(before >= 20, "{before} tries");
    // More probes than an event has attempts.
    until("probes", || async { calls.load(Ordering::SeqCst) >= before + 10 }).await;
    assert_ne!(state(bed), BreakerState::Closed);

    down.store(false, Ordering::SeqCst);
    let mut attempts = BTreeMap::new();
    while attempts.len() < 200 {
        let (n, attempt) = soon("an event", done.recv()).await.expect("the consumer runs");
        assert_eq!(attempts.insert(n, attempt), None, "handled once");
    }
    assert_eq!(state(bed), BreakerState::Closed);
    assert!(firsts.lock().expect("no panic").values().all(|attempt| *attempt == 1), "untried is uncounted");
    let counted = attempts.values().filter(|attempt| **attempt > 1).count();
    assert!(counted <= 27 && attempts.values().all(|attempt| *attempt <= 2), "{attempts:?}");
    work.stop().await;
    let dead = bed.hub.queue(&bed.name("dlq")).await.expect("the broker answers").expect("it is there");
    assert_eq!(dead.messages, 0);
}

/// What is no event, or not of the handler's shape, or rejected by it, is the event's fault: the consumer goes on.
pub async fn bad_events_are_no_outage(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let (sender, mut done) = mpsc::channel(100);
    let handler = move |Data(n): Data<u64>| {
        let sender = sender.clone();
        async move {
            sender.send(n).await.expect("the test listens");
            if n == 1 { Outcome::Reject { reason: "no".to_owned() } } else { Outcome::Ack }
        }
    };
    let mut work = bed.consume_with("work", breaking(3), handler);
    for i in 0..20 {
        bed.publish("a.misshapen", i).await;
        let event = Event::new("a.rejected", "conformance", &1).expect("a good event");
        let _receipt = bed.hub.publish(&event).await.expect("confirmed");
        assert_eq!(soon("a rejection", done.recv()).await, Some(1));
    }
    let event = Event::new("a.good", "conformance", &2).expect("a good event");
    let _receipt = bed.hub.publish(&event).await.expect("confirmed");
    assert_eq!(soon("the good one", done.recv()).await, Some(2));
    assert_eq!(state(bed), BreakerState::Closed);
    let dlq = bed.name("dlq");
    until("the dead letters", || async {
        bed.hub.queue(&dlq).await.is_ok_and(|q| q.is_some_and(|q| q.messages == 40))
    })
    .await;
    work.stop().await;
}

/// One error can tell by itself that nothing goes: its event pauses the consumer, and no attempt is counted.
pub async fn an_error_can_pause_the_consumer(bed: &Bed) {
    bed.declare(&[("work", "#")]).await;
    let errors = ErrorTable::new().when("away", |error| error.to_string() == "away", Action::Pause);
    let config = ConsumerConfig { errors, concurrency: 1, ..breaking(1000) };
    let calls = Arc::new(AtomicU32::new(0));
    let (sender, mut done) = mpsc::channel(10);
    let handler = move |event: Event, cx: Context| {
        let (call, sender) = (calls.fetch_add(1, Ordering::SeqCst), sender.clone());
        async move {
            if call < 5 {
                return Err("away");
            }
            sender.send((n(&event), cx.attempt)).await.expect("the test listens");
            Ok(())
        }
    };
    let mut work = bed.consume_with("work", config, handler);
    bed.publish("a.b", 7).await;
    until("the pause", || async { state(bed) == BreakerState::Open }).await;
    assert_eq!(soon("it in the end", done.recv()).await, Some((7, 1)));
    until("the end of the pause", || async { state(bed) == BreakerState::Closed }).await;
    work.stop().await;
}

/// Three tries for each event, short pauses.
fn breaking(failures: u32) -> ConsumerConfig {
    let breaker = Breaker {
        trip: Trip::Consecutive(failures),
        first_pause: Duration::from_millis(200),
        max_pause: Duration::from_millis(400),
    };
    let mut config = ConsumerConfig { breaker: Some(breaker), ..quick() };
    // What has failed must not come again before the breaker has seen enough.
    (config.retry.first_delay, config.retry.max_delay) = (Duration::from_secs(5), Duration::from_secs(5));
    config
}

fn state(bed: &Bed) -> BreakerState {
    bed.hub.health().consumers.first().map(|consumer| consumer.breaker).unwrap_or_default()
}
