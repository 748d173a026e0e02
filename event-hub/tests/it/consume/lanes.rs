//! Order by key where the broker takes its deliveries back.

use std::sync::{Arc, Mutex};

use devkit::Fault;
use serde_json::json;
use tokio::sync::Semaphore;
use tramline_event_hub::config::Order;
use tramline_event_hub::{ConsumerConfig, Event, RetryPolicy};

use crate::consume::{House, n, told, until};

/// The connection is cut while the first event of a key is being handled and others wait behind it. All come
/// again; none of them is begun before the first one's handler is through, and the repeats keep their order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_again_does_not_pass_what_still_runs() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, url) = Fault::in_front_of(url).await.unwrap();
    let house = House::amqp(&url);
    house.declare(|queue| queue).await;
    let log = Arc::new(Mutex::new(Vec::<(String, u64, &str)>::new()));
    let gate = Arc::new(Semaphore::new(0));
    let handler = {
        let (log, gate) = (Arc::clone(&log), Arc::clone(&gate));
        move |event: Event| {
            let (log, gate) = (Arc::clone(&log), Arc::clone(&gate));
            async move {
                let (key, n) = (event.partition_key.clone().unwrap(), n(&event));
                log.lock().unwrap().push((key.clone(), n, "begin"));
                if key == "slow" && n == 0 {
                    gate.acquire().await.unwrap().forget();
                }
                log.lock().unwrap().push((key, n, "end"));
            }
        }
    };
    let mut config = ConsumerConfig::default();
    config.order = Some(Order::by_partition_key());
    config.retry = RetryPolicy::in_place();
    let work =
        house.run(|hub, queue, stop| async move { hub.consume(&queue, config, handler, told(stop)).await });
    publish(&house, "slow", 0..10).await;
    let of = |key: &str, what: &str| {
        let log = log.lock().unwrap();
        log.iter().filter(|(k, _, w)| k == key && *w == what).map(|(_, n, _)| *n).collect::<Vec<_>>()
    };
    until("the slow one", || async { of("slow", "begin") == [0] }).await;

    fault.cut();
    until("the loss", || async { !house.hub.health().ready() }).await;
    fault.heal();
    until("the recovery", || async { house.hub.health().ready() }).await;
    publish(&house, "quick", 0..10).await;
    // The broker sends in order: when these are here, what came again is here too.
    until("the quick ones", || async { of("quick", "end") == (0..10).collect::<Vec<_>>() }).await;
    assert_eq!(of("slow", "begin"), [0], "nothing passes it, its own repeat included");

    gate.add_permits(2);
    publish(&house, "slow", 10..11).await;
    until("the last", || async { of("slow", "end").last() == Some(&10) }).await;
    let mut order = of("slow", "begin");
    assert_eq!(order, of("slow", "end"), "one after the other");
    assert_eq!(order[..2], [0, 0], "the first again");
    order.dedup();
    assert_eq!(order, (0..=10).collect::<Vec<_>>());
    work.stop().await.unwrap();
    until("an empty queue", || async { house.waiting("work").await == 0 }).await;
    assert_eq!(house.waiting("dlq").await, 0);
}

async fn publish(house: &House, key: &str, numbers: std::ops::Range<u64>) {
    let event = |n| {
        let mut event = Event::new("a.b", "test", &json!({ "n": n })).unwrap();
        event.partition_key = Some(key.to_owned());
        event
    };
    for answer in house.hub.publish_all(numbers.map(event).collect()).await {
        let _receipt = answer.unwrap();
    }
}
