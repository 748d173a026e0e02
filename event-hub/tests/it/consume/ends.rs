//! Ends that nobody asked for, and ends that meet each other.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use devkit::Fault;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tramline_event_hub::feed::Feed;
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Context, ErrorKind, Event, Hub, Outcome};

use crate::consume::{House, n, soon, told, until};

crate::consume::both! {
    a_panicking_place_is_not_swallowed, a_handler_that_blocks_does_not_hold_the_end, a_drain_is_no_attempt,
}

/// The application panics where a feed tells its place: whoever runs the feed hears of it.
async fn a_panicking_place_is_not_swallowed(house: House) {
    house.declare(|queue| queue).await;
    let (hub, feed) = (house.hub.clone(), Feed::new(house.name("feed"), ["#"]));
    let task = tokio::spawn(async move {
        let place = |_| panic!("on purpose");
        hub.consume_feed(feed, ConsumerConfig::default(), async || (), place, std::future::pending()).await
    });
    let error = soon("the panic", task).await.unwrap_err();
    assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"on purpose"));
    house.hub.shutdown().await;
}

/// A handler blocks its thread, which nobody can abort: the consumer ends at its deadline all the same, and the event
/// goes back.
async fn a_handler_that_blocks_does_not_hold_the_end(house: House) {
    house.declare(|queue| queue).await;
    let (release, blocked): (Sender<()>, Receiver<()>) = channel();
    let blocked = Arc::new(Mutex::new(blocked));
    let (sender, mut begun) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| async move {
        let handler = move |_: Event| {
            let (blocked, sender) = (Arc::clone(&blocked), sender.clone());
            async move {
                sender.send(()).await.unwrap();
                let _ = blocked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                Outcome::Ack
            }
        };
        let mut config = ConsumerConfig::default();
        config.drain_timeout = Duration::from_millis(100);
        config.concurrency = 1;
        hub.consume(&queue, config, handler, told(stop)).await
    });
    house.publish(0..1).await;
    soon("the handler", begun.recv()).await.unwrap();
    work.stop().await.unwrap();
    let (sender, mut seen) = mpsc::channel(10);
    let next = house.run(|hub, queue, stop| async move {
        let handler = move |event: Event, cx: Context| {
            let sender = sender.clone();
            async move { sender.send((n(&event), cx.attempt)).await }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
    });
    assert_eq!(soon("it again", seen.recv()).await, Some((0, 1)));
    drop(release);
    next.stop().await.unwrap();
    house.hub.shutdown().await;
}

/// Running handlers finish, their acknowledgements are sent, and the rest goes back: whoever takes it next has its
/// first try, on every broker.
async fn a_drain_is_no_attempt(house: House) {
    house.declare(|queue| queue).await;
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut begun) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| {
        let gate = Arc::clone(&gate);
        async move {
            let handler = move |event: Event| {
                let (gate, sender) = (Arc::clone(&gate), sender.clone());
                async move {
                    sender.send(n(&event)).await.unwrap();
                    gate.acquire().await.unwrap().forget();
                    Outcome::Ack
                }
            };
            let mut config = ConsumerConfig::default();
            config.concurrency = 2;
            hub.consume(&queue, config, handler, told(stop)).await
        }
    });
    house.publish(0..10).await;
    let mut handled = Vec::new();
    for _ in 0..2 {
        handled.push(soon("a handler", begun.recv()).await.unwrap());
    }
    let (stop, task) = (work.stop, work.task);
    drop(stop);
    gate.add_permits(10);
    soon("the drain", task).await.unwrap().unwrap();
    while let Ok(also) = begun.try_recv() {
        handled.push(also);
    }
    until("the rest back", || async { house.waiting("work").await == 10 - handled.len() as u64 }).await;
    let (sender, mut seen) = mpsc::channel(10);
    let next = house.run(|hub, queue, stop| async move {
        let handler = move |event: Event, cx: Context| {
            let sender = sender.clone();
            async move { sender.send((n(&event), cx.attempt)).await }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
    });
    while handled.len() < 10 {
        let (n, attempt) = soon("the rest", seen.recv()).await.unwrap();
        assert!(attempt == 1 && !handled.contains(&n), "{n} {attempt} {handled:?}");
        handled.push(n);
    }
    next.stop().await.unwrap();
    house.hub.shutdown().await;
}

/// Two hold the hub and shut it down at the same time: neither cuts short what the other waits for.
#[tokio::test]
async fn two_shutdowns_at_once_lose_no_confirm() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, url) = Fault::in_front_of(url).await.unwrap();
    let house = House::amqp(&url);
    house.declare(|queue| queue).await;
    let _receipt = house.hub.publish(&Event::new("a.b", "test", &json!({ "n": 0 })).unwrap()).await.unwrap();
    fault.delay(Duration::from_millis(300));
    let events = (1..20).map(|n| Event::new("a.b", "test", &json!({ "n": n })).unwrap()).collect();
    let other = house.hub.clone();
    let publishing = house.hub.publish_all(events);
    let ends = async {
        // The publishes go first: both ends stand in the same task.
        tokio::task::yield_now().await;
        tokio::join!(house.hub.shutdown(), other.shutdown());
    };
    let (answers, ()) = tokio::join!(publishing, ends);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    house.hub.shutdown().await;
}

/// The hub is shut down under its consumers: they end and say so, and what they had goes back.
#[tokio::test]
async fn a_hub_that_is_shut_down_ends_its_consumers() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let house = House::amqp(url);
    house.declare(|queue| queue).await;
    let (sender, mut begun) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| async move {
        let handler = move |_: Event| {
            let sender = sender.clone();
            async move {
                sender.send(()).await.unwrap();
                std::future::pending::<Outcome>().await
            }
        };
        let mut config = ConsumerConfig::default();
        config.drain_timeout = Duration::from_millis(100);
        hub.consume(&queue, config, handler, told(stop)).await
    });
    house.publish(0..1).await;
    soon("the handler", begun.recv()).await.unwrap();
    soon("the end", house.hub.shutdown()).await;
    let error = soon("the consumer's end", work.task).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    soon("once more", house.hub.shutdown()).await;

    let mut amqp = AmqpConfig::default();
    amqp.hub.exchange = house.name("events");
    let next = Hub::amqp(url, amqp).unwrap();
    let back = async { while next.queue(&house.work()).await.unwrap().unwrap().messages == 0 {} };
    soon("it back", back).await;
    next.shutdown().await;
}
