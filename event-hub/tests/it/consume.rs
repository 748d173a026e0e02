//! Consuming as its users know it: layers, lanes, breakers, drains.

mod drain;
mod ends;
mod lanes;
mod layers;
mod moves;

use std::future::Future;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, Error, Event, Hub, HubConfig, MemoryConfig};

/// How long a test waits for what must come.
const SOON: Duration = Duration::from_secs(40);

/// A hub with a queue `work` and its dead letters.
struct House {
    hub: Hub,
    prefix: String,
}

/// A consumer that runs beside the test.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

/// Each of these on the memory hub and on RabbitMQ.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::consume::House::memory()).await;
            })*
        }

        mod rabbit {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(url) = devkit::engines::amqp().await else { return };
                super::$name($crate::consume::House::amqp(url)).await;
            })*
        }
    };
}

pub(crate) use both;

// === impl House ===

impl House {
    fn memory() -> Self {
        Self::memory_with(|_| ())
    }

    fn memory_with(change: impl FnOnce(&mut HubConfig)) -> Self {
        let (prefix, config) = names();
        let mut memory = MemoryConfig::default();
        memory.hub = config;
        change(&mut memory.hub);
        Self { hub: Hub::memory(memory), prefix }
    }

    fn amqp(url: &str) -> Self {
        Self::amqp_with(url, |_| ())
    }

    fn amqp_with(url: &str, change: impl FnOnce(&mut HubConfig)) -> Self {
        let (prefix, config) = names();
        let mut amqp = AmqpConfig::default();
        amqp.hub = config;
        change(&mut amqp.hub);
        amqp.backoff_max = Duration::from_millis(200);
        Self { hub: Hub::amqp(url, amqp).unwrap(), prefix }
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn work(&self) -> String {
        self.name("work")
    }

    async fn declare(&self, change: impl FnOnce(Queue) -> Queue) {
        let (events, dlx, dlq) = (self.name("events"), self.name("dlx"), self.name("dlq"));
        let queue = change(Queue::quorum(self.work()).with_dead_letter(&dlx, "dead-letter"));
        let topology = Topology::new()
            .exchange(Exchange::topic(&events))
            .exchange(Exchange::direct(&dlx))
            .queue(Queue::quorum(&dlq))
            .queue(queue)
            .binding(Binding::new(&dlx, "dead-letter", &dlq))
            .binding(Binding::new(&events, "#", self.work()));
        let declared = self.hub.declare(&topology).await.unwrap();
        assert_eq!(declared.conflicts, []);
    }

    async fn publish(&self, numbers: std::ops::Range<u64>) {
        let events = numbers.map(|n| Event::new("a.b", "test", &json!({ "n": n })).unwrap()).collect();
        for answer in self.hub.publish_all(events).await {
            let _receipt = answer.unwrap();
        }
    }

    /// How many wait in a queue.
    async fn waiting(&self, queue: &str) -> u64 {
        self.hub.queue(&self.name(queue)).await.unwrap().unwrap().messages
    }

    /// Runs a future of `hub.consume…` that ends when told.
    fn run<Fut>(&self, consume: impl FnOnce(Hub, String, oneshot::Receiver<()>) -> Fut) -> Running
    where
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        Running { stop, task: tokio::spawn(consume(self.hub.clone(), self.work(), stopped)) }
    }
}

// === impl Running ===

impl Running {
    async fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        soon("the drain", self.task).await.unwrap()
    }
}

fn names() -> (String, HubConfig) {
    let prefix = format!("c{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    let mut config = HubConfig::default();
    config.exchange = format!("{prefix}.events");
    (prefix, config)
}

async fn told(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

fn n(event: &Event) -> u64 {
    event.data::<serde_json::Value>().unwrap()["n"].as_u64().unwrap()
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

async fn until<Fut: Future<Output = bool>>(what: &str, holds: impl Fn() -> Fut) {
    let ask = async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        while !holds().await {
            pause.tick().await;
        }
    };
    soon(what, ask).await;
}
