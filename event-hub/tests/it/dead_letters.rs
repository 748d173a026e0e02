//! Dead letters out of their queue and back, on both hubs and both databases.

mod crash;
mod nameless;
mod redrive;
mod shovel;
mod store;
pub(crate) mod strange;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::dead_letters::{self, DeadLetters, DrainConfig, Filter, Letter, RedriveConfig};
pub(crate) use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{
    AmqpConfig, ConsumerConfig, Context, Event, Hub, HubConfig, MemoryConfig, Outcome, RetryPolicy,
};

use crate::database::Database;

const SOON: Duration = Duration::from_secs(60);

/// A hub, a database, and letters between them.
pub(crate) struct Bed {
    pub(crate) hub: Hub,
    pub(crate) db: Database,
    pub(crate) letters: DeadLetters,
    prefix: String,
}

/// Consumers that are told what to answer.
pub(crate) struct Consumer {
    pub(crate) seen: mpsc::Receiver<(Event, Context)>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Runs each test on both hubs with both databases.
macro_rules! on_all {
    ($($test:ident),* $(,)?) => {
        mod memory_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(db) = crate::database::Database::sqlite().await else { return };
                super::$test(crate::dead_letters::Bed::memory(db).await).await;
            })*
        }
        mod memory_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(db) = crate::database::Database::postgres().await else { return };
                super::$test(crate::dead_letters::Bed::memory(db).await).await;
            })*
        }
        mod rabbit_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(url) = devkit::engines::amqp().await else { return };
                let Some(db) = crate::database::Database::sqlite().await else { return };
                super::$test(crate::dead_letters::Bed::rabbit(db, url).await).await;
            })*
        }
        mod rabbit_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let Some(url) = devkit::engines::amqp().await else { return };
                let Some(db) = crate::database::Database::postgres().await else { return };
                super::$test(crate::dead_letters::Bed::rabbit(db, url).await).await;
            })*
        }
    };
}
pub(crate) use on_all;

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) fn event(kind: &str, n: u64) -> Event {
    Event::new(kind, "letters", &json!({ "n": n })).unwrap()
}

pub(crate) fn n(event: &Event) -> u64 {
    event.data::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()
}

/// As fast as it goes, for tests that do not look at the pace.
pub(crate) fn fast() -> RedriveConfig {
    let mut config = RedriveConfig::default();
    config.per_second = 5_000.0;
    config.lease = Duration::from_millis(1);
    config
}

// === impl Bed ===

impl Bed {
    pub(crate) async fn memory(db: Database) -> Self {
        let prefix = prefix();
        let mut config = MemoryConfig::default();
        config.hub = hub_config(&prefix);
        Self::on(Hub::memory(config), db, prefix).await
    }

    pub(crate) async fn rabbit(db: Database, url: &str) -> Self {
        let prefix = prefix();
        let mut config = AmqpConfig::default();
        config.hub = hub_config(&prefix);
        Self::on(Hub::amqp(url, config).unwrap(), db, prefix).await
    }

    async fn on(hub: Hub, db: Database, prefix: String) -> Self {
        let letters = open(&db).await;
        let bed = Self { hub, db, letters, prefix };
        let (events, dlx, dlq) = (bed.name("events"), bed.name("dlx"), bed.name("dlq"));
        let mut topology = Topology::new()
            .exchange(Exchange::topic(&events))
            .exchange(Exchange::direct(&dlx))
            .queue(Queue::quorum(&dlq).with_delivery_limit(None))
            .binding(Binding::new(&dlx, "dead-letter", &dlq));
        for queue in ["work", "other"] {
            topology = topology
                .queue(Queue::quorum(bed.name(queue)).with_dead_letter(&dlx, "dead-letter"))
                .binding(Binding::new(&events, "#", bed.name(queue)));
        }
        let declared = bed.hub.declare(&topology).await.unwrap();
        assert_eq!(declared.conflicts, []);
        bed
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    pub(crate) async fn publish(&self, event: &Event) {
        let _receipt = self.hub.publish(event).await.unwrap();
    }

    /// Consumes a queue with this answer.
    pub(crate) fn consume(
        &self,
        queue: &str,
        answer: impl Fn(&Event, &Context) -> Outcome + Send + Sync + 'static,
    ) -> Consumer {
        let (sender, seen) = mpsc::channel(10_000);
        let answer = Arc::new(answer);
        let handler = move |event: Event, cx: Context| {
            let (sender, answer) = (sender.clone(), Arc::clone(&answer));
            async move {
                let outcome = answer(&event, &cx);
                sender.send((event, cx)).await.unwrap();
                outcome
            }
        };
        let mut config = ConsumerConfig::default();
        config.name = Some("worker".to_owned());
        let mut retry = RetryPolicy::default();
        (retry.max_attempts, retry.first_delay) = (2, Duration::from_millis(100));
        config.retry = retry;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (hub, queue) = (self.hub.clone(), self.name(queue));
        let task = tokio::spawn(async move { hub.consume(&queue, config, handler, stopped).await.unwrap() });
        Consumer { seen, stop, task }
    }

    pub(crate) fn reject(&self, queue: &str) -> Consumer {
        self.consume(queue, |_, _| Outcome::Reject { reason: "no: because".to_owned() })
    }

    pub(crate) fn acknowledge(&self, queue: &str) -> Consumer {
        self.consume(queue, |_, _| Outcome::Ack)
    }

    /// Moves what is in the queue of dead letters, until so many have been stored in all.
    pub(crate) async fn drain(&self, wanted: u64) {
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let (letters, dlq) = (self.letters.clone(), self.name("dlq"));
        let counted = async {
            while letters.count(&Filter::new()).await.unwrap() < wanted {
                tokio::task::yield_now().await;
            }
            // A stop between a commit and its acknowledgement would leave them in both places.
            self.until_gone("dlq").await;
            stop.cancel();
        };
        let drain = self.letters.drain(&self.hub, &dlq, DrainConfig::default(), |_| {}, stopped);
        let both = tokio::time::timeout(SOON, async { tokio::join!(drain, counted) }).await;
        let Ok((drained, ())) = both else {
            let (there, queue) = (self.letters.count(&Filter::new()).await, self.hub.queue(&dlq).await);
            panic!("{there:?} letters of {wanted}, and {queue:?}");
        };
        drained.unwrap();
    }

    /// Makes dead letters of `work` and stores them.
    pub(crate) async fn dead(&self, count: u64) -> Vec<Event> {
        let rejecting = self.reject("work");
        let events: Vec<_> = (0..count).map(|n| event("orders.order.placed", n)).collect();
        for answer in self.hub.publish_all(events.clone()).await {
            drop(answer.unwrap());
        }
        self.drain(count).await;
        rejecting.stop().await;
        events
    }

    pub(crate) async fn all(&self) -> Vec<Letter> {
        self.letters.list(&Filter::new(), None, 1000).await.unwrap().letters
    }

    /// Waits until the queue has something to give out.
    pub(crate) async fn until_waiting(&self, queue: &str) {
        let queue = self.name(queue);
        let asked = async {
            while self.hub.queue(&queue).await.unwrap().unwrap().messages == 0 {
                tokio::task::yield_now().await;
            }
        };
        soon("something in the queue", asked).await;
    }

    pub(crate) async fn until_gone(&self, queue: &str) {
        let queue = self.name(queue);
        let asked = async {
            loop {
                let stats = self.hub.queue(&queue).await.unwrap().unwrap();
                if stats.messages + stats.unacknowledged == 0 {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        soon("an empty queue", asked).await;
    }
}

// === impl Consumer ===

impl Consumer {
    pub(crate) async fn next(&mut self) -> (Event, Context) {
        soon("an event", self.seen.recv()).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

/// The letters of a database, migrated.
pub(crate) async fn open(db: &Database) -> DeadLetters {
    match db {
        Database::Postgres(pool) => {
            dead_letters::postgres::migrate(pool).await.unwrap();
            dead_letters::postgres::open(pool.clone())
        }
        Database::Sqlite(pool, _) => {
            dead_letters::sqlite::migrate(pool).await.unwrap();
            dead_letters::sqlite::open(pool.clone())
        }
    }
}

fn prefix() -> String {
    format!("l{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

fn hub_config(prefix: &str) -> HubConfig {
    let mut config = HubConfig::default();
    config.exchange = format!("{prefix}.events");
    config
}
