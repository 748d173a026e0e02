//! The harness, as a test of a service would use it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tramline_event_hub::harness::{Ended, Harness};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Context, Event, Hub, HubConfig, Outcome};

async fn declare(harness: &Harness, prefix: &str) {
    let (events, dlx) = (format!("{prefix}.events"), format!("{prefix}.dlx"));
    let (work, dlq) = (format!("{prefix}.work"), format!("{prefix}.dlq"));
    let topology = Topology::new()
        .exchange(Exchange::topic(&events))
        .exchange(Exchange::direct(&dlx))
        .queue(Queue::quorum(&dlq))
        .binding(Binding::new(&dlx, "dead-letter", &dlq))
        .queue(Queue::quorum(&work).with_dead_letter(&dlx, "dead-letter"))
        .binding(Binding::new(&events, "thing.#", &work));
    harness.hub().declare(&topology).await.unwrap();
}

/// Publishes a few, handles them in every way, and asks.
async fn answers_for_all_that_went_through(harness: &Harness, prefix: &str) {
    declare(harness, prefix).await;
    let (hub, work) = (harness.hub().clone(), format!("{prefix}.work"));
    let (stop, stopped) = oneshot::channel::<()>();
    let service = {
        let work = work.clone();
        tokio::spawn(async move {
            let handler = async |event: Event, cx: Context| {
                let n = event.data::<Value>().unwrap()["n"].as_u64();
                match (n, cx.attempt) {
                    (Some(1), 1) => Outcome::Retry { reason: "not yet".to_owned() },
                    (Some(2), _) => Outcome::Reject { reason: "never".to_owned() },
                    _ => Outcome::Ack,
                }
            };
            let mut config = ConsumerConfig::default();
            config.retry.first_delay = Duration::from_millis(100);
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume(&work, config, handler, shutdown).await
        })
    };
    let mut ids = Vec::new();
    for n in 0..3 {
        let event = Event::new("thing.done", "harness", &json!({ "n": n })).unwrap();
        ids.push(event.id.to_string());
        let _receipt = harness.hub().publish(&event).await.unwrap();
    }
    let other = Event::new("thing.other", "harness", &json!({})).unwrap();
    assert!(harness.hub().publish_all(vec![other]).await.iter().all(Result::is_ok));
    let unrouted = Event::new("unrouted", "harness", &json!({})).unwrap();
    harness.hub().publish(&unrouted).await.unwrap_err();

    harness.until_published("thing.other", 1).await;
    harness.until_handled(&work, "thing.done", 2).await;
    harness.until_handled(&work, "thing.other", 1).await;
    harness.until_ended(&work, "thing.done", Ended::DeadLettered, 1).await;
    assert_eq!((harness.published("thing.done"), harness.published("unrouted")), (3, 0));
    let published: Vec<_> = harness.events("thing.done").iter().map(|event| event.id.to_string()).collect();
    assert_eq!(published, ids);
    assert_eq!(harness.handled(&work, "thing.done"), 2);
    assert_eq!(harness.ended(&work, "thing.done", Ended::Retried), 1);
    assert_eq!(harness.ended(&work, "thing.done", Ended::Returned), 0);
    let letters = harness.dead_letters(&work);
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].event_id.as_deref(), letters[0].attempt), (Some(ids[2].as_str()), 1));
    assert_eq!(letters[0].reason.as_deref(), Some("never"));
    let tries: Vec<_> = harness
        .deliveries(&work)
        .into_iter()
        .filter(|delivered| delivered.event_id.as_deref() == Some(ids[1].as_str()))
        .map(|delivered| (delivered.attempt, delivered.ended, delivered.reason))
        .collect();
    assert_eq!(tries, [(1, Ended::Retried, Some("not yet".to_owned())), (2, Ended::Acked, None)]);
    drop(stop);
    service.await.unwrap().unwrap();
    harness.hub().shutdown().await;
}

#[tokio::test]
async fn answers_on_the_memory_hub() {
    let mut config = HubConfig::default();
    config.exchange = "h.events".to_owned();
    let harness = Harness::over(config, |hub| {
        let mut memory = tramline_event_hub::MemoryConfig::default();
        memory.hub = hub;
        Hub::memory(memory)
    });
    answers_for_all_that_went_through(&harness, "h").await;
}

#[tokio::test]
async fn answers_on_a_broker() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = format!("h{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    let mut config = HubConfig::default();
    config.exchange = format!("{prefix}.events");
    let harness = Harness::over(config, |hub| {
        let mut amqp = AmqpConfig::default();
        amqp.hub = hub;
        Hub::amqp(url, amqp).unwrap()
    });
    answers_for_all_that_went_through(&harness, &prefix).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "waited in vain for 2 × thing.done Acked in work; there were published {\"thing.done\": 1}"
)]
async fn says_what_came_instead() {
    let harness = Harness::new();
    let topology = Topology::new()
        .exchange(Exchange::topic("events"))
        .queue(Queue::quorum("work"))
        .binding(Binding::new("events", "#", "work"));
    harness.hub().declare(&topology).await.unwrap();
    harness.hub().publish(&Event::new("thing.done", "harness", &1).unwrap()).await.unwrap();
    harness.until_handled("work", "thing.done", 2).await;
}
