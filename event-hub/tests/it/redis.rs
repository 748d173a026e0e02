//! Events to Redis Pub/Sub and back, on a real Redis.

mod back;
mod bounds;
mod echo;
mod faults;
mod out;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use tramline_event_hub::redis::{
    BridgeConfig, BridgeMonitor, BridgeStatus, MirrorConfig, PubSub, PubSubConfig,
};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{ConsumerConfig, Error, Event, Hub, MemoryConfig, Outcome};

use crate::support::{SOON, soon};

/// The names of one test, on servers that others use as well.
struct Place {
    prefix: String,
    hub: Hub,
}

/// What runs until it is told to stop.
struct Running {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

/// A listener of the older system.
struct Listener {
    heard: mpsc::Receiver<(String, Vec<u8>)>,
    task: JoinHandle<()>,
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

// === impl Place ===

impl Place {
    /// On a memory hub.
    async fn memory() -> Self {
        Self::on(Hub::memory(MemoryConfig::default()), &crate::support::name()).await
    }

    /// Everything that matters starts with the prefix, but the exchange, which is the hub's.
    async fn on(hub: Hub, prefix: &str) -> Self {
        let place = Self { prefix: prefix.to_owned(), hub };
        place.hub.declare(&place.topology(place.mirror_queue())).await.unwrap();
        place
    }

    fn mirror_queue(&self) -> Queue {
        PubSub::queue(self.queue("mirror"), self.queue("dlx"), "dead-letter")
    }

    fn topology(&self, mirror: Queue) -> Topology {
        Topology::new()
            .exchange(Exchange::topic("events"))
            .exchange(Exchange::direct(self.queue("dlx")))
            .queue(Queue::quorum(self.queue("dlq")).with_delivery_limit(None))
            .binding(Binding::new(self.queue("dlx"), "dead-letter", self.queue("dlq")))
            .queue(mirror)
            .binding(Binding::new("events", self.channel("#"), self.queue("mirror")))
            .queue(Queue::quorum(self.queue("work")))
            .binding(Binding::new("events", self.channel("#"), self.queue("work")))
    }

    fn queue(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn channel(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn event(&self, name: &str, n: usize) -> Event {
        Event::new(self.channel(name), "new", &json!({ "n": n })).unwrap()
    }

    async fn waiting(&self, queue: &str) -> u64 {
        self.hub.queue(&self.queue(queue)).await.unwrap().unwrap().messages
    }

    fn mirror(&self, redis: &PubSub, config: MirrorConfig) -> Running {
        let (redis, hub, queue) = (redis.clone(), self.hub.clone(), self.queue("mirror"));
        Running::start(|stop| async move { redis.mirror(&hub, &queue, config, stop.cancelled()).await })
    }

    /// A bridge that is subscribed.
    async fn bridge(&self, redis: &PubSub) -> (Running, BridgeMonitor) {
        self.bridge_with(redis, BridgeConfig::patterns([self.channel("*")])).await
    }

    async fn bridge_with(&self, redis: &PubSub, config: BridgeConfig) -> (Running, BridgeMonitor) {
        let bridge = redis.bridge(&self.hub, config).unwrap();
        let mut monitor = bridge.monitor();
        let running = Running::start(|stop| async move { bridge.run(stop.cancelled()).await });
        let status = seen(&mut monitor, |status| status.attached).await;
        assert!(status.ready(), "{status:?}");
        (running, monitor)
    }

    /// What comes into the queue `work`.
    fn work(&self) -> (Running, mpsc::Receiver<Event>) {
        let (sender, events) = mpsc::channel(10_000);
        let (hub, queue) = (self.hub.clone(), self.queue("work"));
        let handler = move |event: Event| {
            let sender = sender.clone();
            async move {
                sender.send(event).await.unwrap();
                Outcome::Ack
            }
        };
        let mut config = ConsumerConfig::default();
        config.concurrency = 1;
        let running =
            Running::start(
                |stop| async move { hub.consume(&queue, config, handler, stop.cancelled()).await },
            );
        (running, events)
    }
}

// === impl Running ===

impl Running {
    fn start<F: Future<Output = Result<(), Error>> + Send + 'static>(
        run: impl FnOnce(CancellationToken) -> F,
    ) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(run(stop.clone())), stop }
    }

    async fn stop(self) -> Result<(), Error> {
        self.stop.cancel();
        soon("a drain", self.task).await.unwrap()
    }
}

// === impl Listener ===

impl Listener {
    async fn of(url: &str, pattern: &str) -> Self {
        let client = ::redis::Client::open(url).unwrap();
        let mut feed = soon("a listener", client.get_async_pubsub()).await.unwrap();
        soon("a subscription", feed.psubscribe(pattern)).await.unwrap();
        let (sender, heard) = mpsc::channel(10_000);
        let task = tokio::spawn(async move {
            let mut messages = feed.into_on_message();
            while let Some(message) = messages.next().await {
                let body = message.get_payload_bytes().to_vec();
                if sender.send((message.get_channel_name().to_owned(), body)).await.is_err() {
                    return;
                }
            }
        });
        Self { heard, task }
    }

    async fn next(&mut self) -> (String, Value) {
        let (channel, body) = soon("a message", self.heard.recv()).await.expect("the listener is connected");
        (channel, serde_json::from_slice(&body).unwrap())
    }

    /// The number in the data of each of so many CloudEvents.
    async fn numbers(&mut self, count: usize) -> Vec<u64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            numbers.push(self.next().await.1["data"]["n"].as_u64().unwrap());
        }
        numbers
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Log ===

impl Log {
    fn start() -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG);
        let guard = tracing::subscriber::set_default(subscriber.finish());
        // With one listener alone, `tracing` asks whichever thread comes first whether anybody listens.
        (log, (guard, Dispatch::new(tracing_subscriber::registry())))
    }

    /// The lines that hold all of these.
    fn lines(&self, words: &[&str]) -> usize {
        let log = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Finds out about a Redis that is back, soon. A busy machine is no reason to take one for gone.
fn hasty() -> PubSubConfig {
    let mut config = PubSubConfig::default();
    config.response_timeout = Duration::from_secs(10);
    config.connect_timeout = Duration::from_secs(10);
    config.backoff_first = Duration::from_millis(10);
    config.backoff_max = Duration::from_millis(100);
    config
}

fn open(url: &str) -> PubSub {
    PubSub::new(url, hasty()).unwrap()
}

/// For a Redis that falls silent.
fn open_impatient(url: &str) -> PubSub {
    let mut config = hasty();
    config.response_timeout = Duration::from_secs(3);
    PubSub::new(url, config).unwrap()
}

/// A sender of the older system.
async fn say(url: &str, channel: &str, body: impl AsRef<[u8]>) -> u64 {
    let client = ::redis::Client::open(url).unwrap();
    // The driver's own half a second is not enough on a busy machine.
    let patient = ::redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(SOON))
        .set_connection_timeout(Some(SOON));
    let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
    let mut publish = ::redis::cmd("PUBLISH");
    publish.arg(channel).arg(body.as_ref()).query_async(&mut connection).await.unwrap()
}

/// Waits until the bridge is so, and not for ever.
async fn seen(monitor: &mut BridgeMonitor, wanted: impl Fn(&BridgeStatus) -> bool) -> BridgeStatus {
    let mut last = monitor.status();
    let look = monitor.wait_for(|status| {
        last = status.clone();
        wanted(status)
    });
    let seen = tokio::time::timeout(SOON, look).await;
    seen.unwrap_or_else(|_| panic!("waited in vain, the last was {last:?}"))
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    soon("an event", events.recv()).await.unwrap()
}

fn number(event: &Event) -> u64 {
    event.data::<Value>().unwrap()["n"].as_u64().unwrap()
}
