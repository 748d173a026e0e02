//! Tests of what caches forget, and of how long they keep.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::time::{sleep, timeout};
use tramline_cache::{CacheConfig, Clock, Policy};
use tramline_event_hub::{ConsumerConfig, Hub, MemoryConfig};
use tramline_observability::Lifecycle;

use super::*;
use crate::config::{Process, Vars};

/// Notes what it was told to forget, in one row with what was done before.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Forget for Notes {
    async fn forget(&self, event: &Event) {
        self.note(format!("forget {}", event.subject.as_deref().unwrap_or_default()));
    }
}

/// Only what was taken is forgotten, after it was handled and before it is acked.
#[tokio::test]
async fn what_was_taken_is_forgotten_before_the_ack() {
    let hub = Hub::memory(MemoryConfig::default());
    hub.declare(&contracts::topology()).await.unwrap();
    let notes = Notes::default();
    let handled = notes.clone();
    let handler = move |event: Event, _: Context| {
        let (notes, subject) = (handled.clone(), event.subject.unwrap_or_default());
        async move {
            notes.note(format!("handle {subject}"));
            if subject == "bad" { Outcome::Reject { reason: "bad".to_owned() } } else { Outcome::Ack }
        }
    };
    let consumer = {
        let (hub, handler) = (hub.clone(), forgetting(notes.clone(), handler));
        let mut config = ConsumerConfig::default();
        config.concurrency = 1;
        tokio::spawn(async move {
            hub.consume(contracts::PROFILE_QUEUE, config, handler, std::future::pending()).await
        })
    };
    let mut others = Vec::new();
    for queue in [
        contracts::ADMIN_QUEUE,
        contracts::AUTH_QUEUE,
        contracts::PAYMENTS_QUEUE,
        contracts::DEAD_LETTER_QUEUE,
    ] {
        let hub = hub.clone();
        let ack = async |_: Context| Outcome::Ack;
        others.push(tokio::spawn(async move {
            hub.consume(queue, ConsumerConfig::default(), ack, std::future::pending()).await
        }));
    }
    for subject in ["one", "bad", "two"] {
        let event =
            Event::new("auth.user.updated", "/x", &json!({})).unwrap().with_subject(subject.to_owned());
        hub.publish(&event).await.unwrap().settled().await.unwrap();
        let last = notes.0.lock().unwrap().last().cloned().unwrap();
        assert_eq!(
            last,
            if subject == "bad" { "handle bad".to_owned() } else { format!("forget {subject}") }
        );
    }
    assert_eq!(
        *notes.0.lock().unwrap(),
        ["handle one", "forget one", "handle bad", "handle two", "forget two"]
    );
    for task in others.into_iter().chain([consumer]) {
        task.abort();
    }
}

/// How often a value is loaded that is asked for again after three seconds.
async fn loads(common: &Common) -> u64 {
    let mut config = config(common);
    config.clock = Clock::tokio();
    let mut kept = CacheConfig::new("kept");
    kept.policy = Policy::new(Duration::from_secs(60));
    let cache = Store::memory(config).cache::<u64, u64>(kept).unwrap();
    for _ in 0..2 {
        cache.get_or_load(&1, || async { Ok::<_, std::fmt::Error>(1) }).await.unwrap();
        tokio::time::advance(Duration::from_secs(3)).await;
    }
    cache.stats().loads
}

#[tokio::test(start_paused = true)]
async fn lives_are_short_where_replicas_cannot_tell() {
    let redis = ("REDIS_URL", "redis://127.0.0.1:1");
    let own = [("RABBITMQ_URL", "amqp://127.0.0.1:1"), ("JWKS_URL", "http://127.0.0.1:1/jwks.json")];
    let common =
        |vars: &[(&str, &str)]| Common::from_vars(&Vars::new(vars.to_vec()), &Process::payments()).unwrap();
    assert_eq!(loads(&common(&own)).await, 2, "a process of its own, and nobody to tell");
    assert_eq!(loads(&common(&[own[0], own[1], redis])).await, 1, "told by Redis");
    assert_eq!(loads(&Common::embedded(&Process::payments())).await, 1, "nobody else is there");
}

/// What a consumer leaves behind with its last event is not cut off.
#[tokio::test(start_paused = true)]
async fn the_cache_ends_after_the_consumers() {
    let hub = Hub::memory(MemoryConfig::default());
    let shell = Shell::new(Common::embedded(&Process::payments()), hub, Lifecycle::new());
    let store = Store::memory(StoreConfig::default());
    let cache = store.cache::<u64, u64>(CacheConfig::new("kept")).unwrap();
    shell.cache(&store);
    let asked = cache.clone();
    shell.lifecycle().spawn(Phase::Consumers, "last", move |stop| async move {
        stop.cancelled().await;
        // The last event.
        sleep(Duration::from_secs(1)).await;
        let slow = || async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, std::fmt::Error>(1)
        };
        // Nobody waits for the answer.
        timeout(Duration::from_millis(1), asked.get_or_load(&1, slow)).await.unwrap_err();
    });
    shell.lifecycle().drain(Duration::from_secs(60)).await;
    assert_eq!(cache.peek(&1).as_deref(), Some(&1));
}
