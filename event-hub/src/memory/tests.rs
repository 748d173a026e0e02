//! Tests of the embedded broker where it differs from one outside: room, settlement, time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::config::{ConsumerConfig, MemoryConfig, QueueCapacity};
use crate::envelope::Event;
use crate::handler::{Context, Outcome, RawDelivery};
use crate::hub::Hub;
use crate::publish::{PublishErrorKind, Receipt};
use crate::topology::{Binding, Exchange, Queue, Topology};

fn hub(capacity: usize) -> Hub {
    let config = MemoryConfig { queue_capacity: QueueCapacity(capacity), ..MemoryConfig::default() };
    Hub::memory(config)
}

async fn declare(hub: &Hub, queues: &[Queue]) {
    let mut topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .exchange(Exchange::direct("dlx"))
        .queue(Queue::quorum("dlq"))
        .binding(Binding::new("dlx", "dead-letter", "dlq"));
    for queue in queues {
        topology = topology.binding(Binding::new("events", "#", &queue.name)).queue(queue.clone());
    }
    hub.declare(&topology).await.unwrap();
}

fn work(name: &str) -> Queue {
    Queue::quorum(name).with_dead_letter("dlx", "dead-letter")
}

fn event(n: u32) -> Event {
    Event::new("a.b", "test", &json!({ "n": n })).unwrap()
}

async fn publish(hub: &Hub, n: u32) -> Receipt {
    hub.publish(&event(n)).await.unwrap()
}

/// Consumes until `count` events were answered with `outcome`. What comes before the end is seen goes back.
async fn consume(hub: &Hub, queue: &str, count: usize, outcome: Outcome) {
    let (done, taken, gate) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)), outcome);
    let handler = {
        let done = Arc::clone(&done);
        move |_: RawDelivery, _: Context| {
            let one_more = taken.fetch_add(1, Ordering::Relaxed) >= count;
            done.add_permits(1);
            let outcome = gate.clone();
            async move { if one_more { std::future::pending().await } else { outcome } }
        }
    };
    let mut config = ConsumerConfig { prefetch: 1, concurrency: 1, ..ConsumerConfig::default() };
    config.drain_timeout = Duration::ZERO;
    let needed = u32::try_from(count).unwrap();
    let enough = async {
        done.acquire_many(needed).await.unwrap().forget();
    };
    hub.consume(queue, config, handler, enough).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_full_work_queue_makes_its_publisher_wait_and_a_feed_does_not() {
    let hub = hub(2);
    declare(&hub, &[work("work"), Queue::feed("feed", Duration::from_secs(600), 1)]).await;
    publish(&hub, 1).await;
    publish(&hub, 2).await;
    let third = tokio::spawn({
        let hub = hub.clone();
        async move { hub.publish(&event(3)).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!third.is_finished(), "it waits for room");
    consume(&hub, "work", 1, Outcome::Ack).await;
    assert!(third.await.unwrap().is_ok());
    let error = hub.publish(&event(4)).await.unwrap_err();
    assert_eq!(error.kind(), &PublishErrorKind::Full, "nobody makes room");
    let feed = hub.queue("feed").await.unwrap().unwrap();
    assert_eq!((feed.messages, feed.dropped), (1, 2), "the feed never held it up");
    assert_eq!(hub.queue("work").await.unwrap().unwrap().messages, 2);
}

#[tokio::test(start_paused = true)]
async fn a_receipt_is_settled_when_every_work_queue_has_acknowledged() {
    let hub = hub(10);
    declare(&hub, &[work("one"), work("two"), Queue::feed("feed", Duration::from_secs(600), 10)]).await;
    let receipt = publish(&hub, 1).await;
    let mut settled = tokio::spawn(receipt.settled());
    consume(&hub, "one", 1, Outcome::Ack).await;
    assert!(timeout(Duration::from_secs(1), &mut settled).await.is_err(), "the other queue has it still");
    // A failure moves it into the delays and to the dead letters: it is not settled on the way.
    let retry = Outcome::RetryAfter { delay: Duration::from_secs(60), reason: "later".to_owned() };
    consume(&hub, "two", 1, retry).await;
    assert!(timeout(Duration::from_secs(30), &mut settled).await.is_err(), "it is in the delays");
    consume(&hub, "two", 1, Outcome::Reject { reason: "no".to_owned() }).await;
    assert!(timeout(Duration::from_secs(1), &mut settled).await.is_err(), "it is a dead letter");
    consume(&hub, "dlq", 1, Outcome::Ack).await;
    settled.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_only_feeds_want_is_settled_at_once() {
    let hub = hub(10);
    declare(&hub, &[Queue::feed("feed", Duration::from_secs(600), 10)]).await;
    publish(&hub, 1).await.settled().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_goes_does_not_call_its_events_settled() {
    let hub = hub(10);
    declare(&hub, &[work("work")]).await;
    let receipt = publish(&hub, 1).await;
    hub.shutdown().await;
    drop(hub);
    let error = receipt.settled().await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_unused_feed_goes_away_and_a_used_one_stays() {
    let hub = hub(10);
    declare(&hub, &[work("work"), Queue::feed("feed", Duration::from_secs(600), 10)]).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let using = tokio::spawn({
        let hub = hub.clone();
        async move {
            let handler = async || Outcome::Ack;
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume("feed", ConsumerConfig::default(), handler, shutdown).await
        }
    });
    tokio::time::sleep(Duration::from_secs(5000)).await;
    assert!(hub.queue("feed").await.unwrap().is_some());
    drop(stop);
    using.await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert!(hub.queue("feed").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(hub.queue("feed").await.unwrap().is_none());
    publish(&hub, 1).await;
}

#[tokio::test(start_paused = true)]
async fn expired_messages_become_dead_letters_in_order() {
    let hub = hub(10);
    declare(&hub, &[work("short").with_message_ttl(Duration::from_secs(10))]).await;
    for n in 0..3 {
        publish(&hub, n).await;
    }
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(hub.queue("dlq").await.unwrap().unwrap().messages, 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hub.queue("dlq").await.unwrap().unwrap().messages, 3);
    assert_eq!(hub.queue("short").await.unwrap().unwrap().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn the_broker_s_own_moves_wait_for_nobody() {
    // The work queue is full again when the delayed ones come back: they overtake its bound, or the
    // consumer that waits for room and the publishers that it waits for would hold each other.
    let hub = hub(2);
    declare(&hub, &[work("work")]).await;
    publish(&hub, 1).await;
    publish(&hub, 2).await;
    let later = Outcome::RetryAfter { delay: Duration::from_secs(1), reason: "later".to_owned() };
    consume(&hub, "work", 2, later).await;
    publish(&hub, 3).await;
    publish(&hub, 4).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hub.queue("work").await.unwrap().unwrap().messages, 4);
    consume(&hub, "work", 4, Outcome::Ack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_each_event_is_handled_once_and_settled() {
    let hub = hub(50);
    declare(&hub, &[work("work")]).await;
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let consumer = tokio::spawn({
        let (hub, seen) = (hub.clone(), Arc::clone(&seen));
        async move {
            let handler = move |event: Event, _: Context| {
                seen.lock().unwrap().push(event.id);
                async { Outcome::Ack }
            };
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume("work", ConsumerConfig::default(), handler, shutdown).await
        }
    });
    let mut publishers = Vec::new();
    for _ in 0..8 {
        let hub = hub.clone();
        publishers.push(tokio::spawn(async move {
            for n in 0..500 {
                publish(&hub, n).await.settled().await.unwrap();
            }
        }));
    }
    for publisher in publishers {
        timeout(Duration::from_secs(20), publisher).await.unwrap().unwrap();
    }
    drop(stop);
    consumer.await.unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 4000);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 4000);
}

/// The queue is there from the first look on, and nothing led into it until the exchange came: events may have passed.
#[tokio::test(start_paused = true)]
async fn a_feed_that_waited_for_its_exchange_is_new() {
    let hub = Hub::memory(MemoryConfig::default());
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let feed = crate::feed::Feed::new("feed", ["a.#"]);
    let consuming = tokio::spawn({
        let hub = hub.clone();
        let handler = |_: Event| async { Outcome::Ack };
        let place = move |place| tell.try_send(place).unwrap();
        async move {
            hub.consume_feed(feed, ConsumerConfig::default(), handler, place, std::future::pending()).await
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(told.try_recv().is_err(), "there is no exchange yet");
    hub.declare(&Topology::new().exchange(Exchange::topic("events"))).await.unwrap();
    assert_eq!(told.recv().await, Some(crate::feed::Place::Made { queue: "feed".to_owned() }));
    consuming.abort();
}

/// What the broker moves away makes no room: else nothing would bound what is in it.
#[tokio::test(start_paused = true)]
async fn what_expires_keeps_its_place_until_it_is_settled() {
    let hub = hub(2);
    declare(&hub, &[work("work").with_message_ttl(Duration::from_secs(1))]).await;
    publish(&hub, 1).await;
    publish(&hub, 2).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(hub.queue("dlq").await.unwrap().unwrap().messages, 2, "both are dead letters");
    let error = hub.publish(&event(3)).await.unwrap_err();
    assert_eq!(error.kind(), &PublishErrorKind::Full);
    consume(&hub, "dlq", 1, Outcome::Ack).await;
    publish(&hub, 4).await;
}

/// A retry that is back must find a place in the delays again, though all of those there are its own kind.
#[tokio::test(start_paused = true)]
async fn what_is_back_from_the_delays_keeps_no_place_there() {
    let hub = hub(1);
    declare(&hub, &[work("work")]).await;
    publish(&hub, 1).await;
    for _ in 0..3 {
        let retry = Outcome::RetryAfter { delay: Duration::from_millis(100), reason: "later".to_owned() };
        consume(&hub, "work", 1, retry).await;
    }
    consume(&hub, "work", 1, Outcome::Ack).await;
}
