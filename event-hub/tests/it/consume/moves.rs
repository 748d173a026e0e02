//! Moving an event to a retry or to the dead letters, when that takes more than one try.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tramline_event_hub::config::{Breaker, Trip};
use tramline_event_hub::harness::{Ended, Harness};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Error, Event, Outcome};

/// A queue `work`, whose dead letters have little room.
async fn harness() -> Harness {
    let harness = Harness::new();
    let topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .exchange(Exchange::direct("dlx"))
        .queue(Queue::quorum("dlq").with_max_length(1))
        .queue(Queue::quorum("work").with_dead_letter("dlx", "dead-letter"))
        .binding(Binding::new("dlx", "dead-letter", "dlq"))
        .binding(Binding::new("events", "#", "work"));
    harness.hub().declare(&topology).await.unwrap();
    harness
}

/// A consumer whose n-th call, from 0 on, ends as `answer` says.
fn run(
    harness: &Harness,
    queue: &'static str,
    config: ConsumerConfig,
    answer: impl Fn(u32) -> Outcome + Send + Sync + 'static,
) -> (Arc<AtomicU32>, oneshot::Sender<()>, JoinHandle<Result<(), Error>>) {
    let (hub, calls) = (harness.hub().clone(), Arc::<AtomicU32>::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let counted = Arc::clone(&calls);
    let task = tokio::spawn(async move {
        let handler = move |_: Event| {
            let outcome = answer(counted.fetch_add(1, Ordering::SeqCst));
            async move { outcome }
        };
        let shutdown = async {
            let _ = stopped.await;
        };
        hub.consume(queue, config, handler, shutdown).await
    });
    (calls, stop, task)
}

async fn publish(harness: &Harness, n: u32) {
    let event = Event::new("a.b", "test", &json!({ "n": n })).unwrap();
    let _receipt = harness.hub().publish(&event).await.unwrap();
}

/// A full queue of dead letters takes nothing, so that there is no doubt: the event goes back and is handled again, its
/// consumer's health says why, and the move is told once, when it has succeeded.
#[tokio::test(start_paused = true)]
async fn what_finds_the_dead_letters_full_goes_back() {
    let harness = harness().await;
    let (calls, stop, task) =
        run(&harness, "work", ConsumerConfig::default(), |_| Outcome::Reject { reason: "no".to_owned() });
    publish(&harness, 1).await;
    harness.until_ended("work", "a.b", Ended::DeadLettered, 1).await;
    // No room for a second letter.
    publish(&harness, 2).await;
    let trouble = || harness.hub().health().consumers[0].trouble.clone();
    // A quarter of an hour, of this clock.
    for _ in 0..900 {
        if calls.load(Ordering::SeqCst) >= 5 && trouble().is_some() {
            break;
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(calls.load(Ordering::SeqCst) >= 5, "it is handled again");
    assert!(trouble().unwrap().contains("a queue is full"));
    assert!(harness.hub().health().ready());
    assert_eq!(harness.ended("work", "a.b", Ended::DeadLettered), 1, "not before it is there");

    let (_, stop_letters, letters) = run(&harness, "dlq", ConsumerConfig::default(), |_| Outcome::Ack);
    harness.until_ended("work", "a.b", Ended::DeadLettered, 2).await;
    harness.until_handled("dlq", "a.b", 2).await;
    drop((stop, stop_letters));
    task.await.unwrap().unwrap();
    letters.await.unwrap().unwrap();
    assert_eq!(harness.dead_letters("work").len(), 2);
    assert!(harness.hub().queues().iter().all(|queue| queue.messages == 0 && queue.unacknowledged == 0));
}

/// What goes once round while its consumer pauses is told as that, and as no attempt.
#[tokio::test(start_paused = true)]
async fn a_round_while_the_consumer_pauses_is_told() {
    let harness = harness().await;
    let mut config = ConsumerConfig::default();
    let mut breaker = Breaker::default();
    breaker.trip = Trip::Consecutive(1);
    config.breaker = Some(breaker);
    let answer = |call| match call {
        0..3 => Outcome::Retry { reason: "away".to_owned() },
        _ => Outcome::Ack,
    };
    let (_, stop, task) = run(&harness, "work", config, answer);
    publish(&harness, 1).await;
    harness.until_handled("work", "a.b", 1).await;
    drop(stop);
    task.await.unwrap().unwrap();
    let told: Vec<_> = harness.deliveries("work").into_iter().map(|d| (d.attempt, d.ended)).collect();
    let postponed = (2, Ended::Postponed);
    assert_eq!(told, [(1, Ended::Retried), postponed, postponed, (2, Ended::Acked)]);
}
