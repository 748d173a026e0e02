//! Ends: drained, dropped, and what happens around a handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tracing_subscriber::layer::SubscriberExt as _;
use tramline_event_hub::config::SpanHook;
use tramline_event_hub::handler::RawDelivery;
use tramline_event_hub::{ConsumerConfig, Context, Event, Outcome};

use crate::consume::{House, n, soon, told, until};

/// What a drain gives back was tried by nobody: neither what waited, nor what its deadline cut short, was taken
/// back without an answer. (Brokers before RabbitMQ 4.3 count whatever goes back, so this is the memory hub's.)
#[tokio::test]
async fn a_drain_counts_nothing() {
    let house = House::memory();
    house.declare(|queue| queue).await;
    let mut config = ConsumerConfig::default();
    config.drain_timeout = Duration::from_millis(100);
    let (sender, mut begun) = mpsc::channel(100);
    let hang = move |event: Event| {
        let sender = sender.clone();
        async move {
            sender.send(n(&event)).await.unwrap();
            std::future::pending::<Outcome>().await
        }
    };
    for _ in 0..3 {
        let (config, hang) = (config.clone(), hang.clone());
        let work =
            house.run(|hub, queue, stop| async move { hub.consume(&queue, config, hang, told(stop)).await });
        if house.waiting("work").await == 0 {
            house.publish(0..20).await;
        }
        for _ in 0..8 {
            soon("a handler", begun.recv()).await.unwrap();
        }
        work.stop().await.unwrap();
        until("all back", || async { house.waiting("work").await == 20 }).await;
    }
    assert_eq!(returns(&house, 20).await, [0; 20]);
}

/// A consumer that is dropped gave no answer to what it had begun, which is told; what waited is untouched.
#[tokio::test]
async fn a_drop_counts_what_was_begun() {
    let house = House::memory();
    house.declare(|queue| queue).await;
    let (sender, mut begun) = mpsc::channel(100);
    let hang = move |event: Event| {
        let sender = sender.clone();
        async move {
            sender.send(n(&event)).await.unwrap();
            std::future::pending::<Outcome>().await
        }
    };
    let work = house.run(|hub, queue, stop| async move {
        hub.consume(&queue, ConsumerConfig::default(), hang, told(stop)).await
    });
    house.publish(0..20).await;
    for _ in 0..8 {
        soon("a handler", begun.recv()).await.unwrap();
    }
    work.task.abort();
    until("all back", || async { house.waiting("work").await == 20 }).await;
    let returns = returns(&house, 20).await;
    assert_eq!(returns.iter().filter(|returns| **returns == 1).count(), 8, "{returns:?}");
    assert_eq!(returns.iter().filter(|returns| **returns == 0).count(), 12, "{returns:?}");
}

/// A consumer that is dropped leaves no entry in health behind, whether somebody asks or not.
#[tokio::test]
async fn a_drop_leaves_nothing_in_health() {
    let house = House::memory();
    house.declare(|queue| queue).await;
    let config = ConsumerConfig::default();
    let queue = house.work();
    for _ in 0..3 {
        let run = house.hub.consume(&queue, config.clone(), async || (), std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(10), run).await.is_err());
    }
    assert_eq!(house.hub.health().consumers, []);
}

/// The application's span hook panics: its events are handled all the same.
async fn a_panicking_span_hook_costs_no_event(house: House, asked: &AtomicBool) {
    // The hook is asked only where somebody listens.
    let listener = tracing_subscriber::registry().with(tracing_subscriber::filter::LevelFilter::INFO);
    let _listening = tracing::subscriber::set_default(listener);
    // With one listener alone, `tracing` asks whichever thread comes first whether anybody listens.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    house.declare(|queue| queue).await;
    let (sender, mut seen) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| async move {
        let handler = move |event: Event, cx: Context| {
            let sender = sender.clone();
            async move { sender.send((n(&event), cx.attempt)).await }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
    });
    let mut event = Event::new("a.b", "test", &json!({ "n": 1 })).unwrap();
    event.traceparent = Some(format!("00-{:032x}-{:016x}-01", 7, 7));
    let _receipt = house.hub.publish(&event).await.unwrap();
    assert_eq!(soon("the event", seen.recv()).await, Some((1, 1)));
    assert!(asked.load(Ordering::SeqCst), "the hook had its chance");
    work.stop().await.unwrap();
    assert_eq!((house.waiting("work").await, house.waiting("dlq").await), (0, 0));
}

/// A hook that panics on a handler's span, and whether it did.
fn panicking() -> (SpanHook, Arc<AtomicBool>) {
    let asked = Arc::new(AtomicBool::new(false));
    let hook = SpanHook::new({
        let asked = Arc::clone(&asked);
        move |span, _| {
            if span.metadata().is_some_and(|metadata| metadata.name() == "process") {
                asked.store(true, Ordering::SeqCst);
                panic!("on purpose");
            }
        }
    });
    (hook, asked)
}

#[tokio::test]
async fn a_panicking_span_hook_costs_no_event_in_memory() {
    let (hook, asked) = panicking();
    let house = House::memory_with(|config| config.join_trace = Some(hook));
    a_panicking_span_hook_costs_no_event(house, &asked).await;
}

#[tokio::test]
async fn a_panicking_span_hook_costs_no_event_on_rabbitmq() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (hook, asked) = panicking();
    let house = House::amqp_with(url, |config| config.join_trace = Some(hook));
    a_panicking_span_hook_costs_no_event(house, &asked).await;
}

/// A handler of bodies gets what is no event, also from a queue that is nobody's dead letters.
#[tokio::test]
async fn bodies_need_not_be_events() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let house = House::amqp(url);
    house.declare(|queue| queue).await;
    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    let (exchange, key) = (house.name("events"), "a.b");
    let properties = lapin::BasicProperties::default();
    let options = lapin::options::BasicPublishOptions::default();
    let publish =
        channel.basic_publish(exchange.as_str().into(), key.into(), options, b"no event", properties);
    let _confirm = publish.await.unwrap();
    let (sender, mut seen) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| async move {
        let handler = move |raw: RawDelivery| {
            let sender = sender.clone();
            async move { sender.send(raw.body).await }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
    });
    assert_eq!(soon("the body", seen.recv()).await.unwrap(), &b"no event"[..]);
    work.stop().await.unwrap();
    assert_eq!(house.waiting("dlq").await, 0);
}

/// Handlers that run at the stop publish what they have to, and are acknowledged before the consumer leaves.
async fn a_drain_lets_handlers_finish(house: House) {
    house.declare(|queue| queue).await;
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut begun) = mpsc::channel(10);
    let work = house.run(|hub, queue, stop| {
        let gate = Arc::clone(&gate);
        async move {
            let publisher = hub.clone();
            let handler = move |event: Event| {
                let (hub, gate, sender) = (publisher.clone(), Arc::clone(&gate), sender.clone());
                async move {
                    if event.event_type == "a.caused" {
                        return Outcome::Return;
                    }
                    sender.send(()).await.unwrap();
                    gate.acquire().await.unwrap().forget();
                    let caused = Event::new("a.caused", "test", &json!({ "n": 0 })).unwrap();
                    let _receipt = hub.publish(&caused).await.unwrap();
                    Outcome::Ack
                }
            };
            hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
        }
    });
    house.publish(0..4).await;
    for _ in 0..4 {
        soon("a handler", begun.recv()).await.unwrap();
    }
    let (stop, task) = (work.stop, work.task);
    drop(stop);
    gate.add_permits(4);
    soon("the drain", task).await.unwrap().unwrap();
    until("what they published", || async { house.waiting("work").await == 4 }).await;
}

crate::consume::both! { a_drain_lets_handlers_finish }

/// Takes all that is there and tells how often each was taken back without an answer. None of it is an attempt.
async fn returns(house: &House, count: usize) -> Vec<u32> {
    let (sender, mut seen) = mpsc::channel(100);
    let work = house.run(|hub, queue, stop| async move {
        let handler = move |cx: Context| {
            let sender = sender.clone();
            assert_eq!(cx.attempt, 1);
            async move { sender.send(cx.returns).await }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, told(stop)).await
    });
    let mut returns = Vec::new();
    for _ in 0..count {
        returns.push(soon("an event", seen.recv()).await.unwrap());
    }
    work.stop().await.unwrap();
    returns
}
