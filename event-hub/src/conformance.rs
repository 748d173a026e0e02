//! One meaning for every broker: the checks that the memory hub and RabbitMQ both pass.
//!
//! Each check is an async function over a [`Bed`] of its own. Run them all on a hub of yours with [`run`];
//! they need a few seconds, since delays are waited for.

mod consuming;
mod failing;
mod feeds;
mod handlers;
mod ordering;
mod outages;
mod publishing;
mod versions;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::config::{ConsumerConfig, HubConfig, RetryPolicy};
use crate::envelope::Event;
use crate::error::Error;
use crate::handler::{Context, Handler, Outcome, RawDelivery};
use crate::hub::Hub;
use crate::topology::{Binding, Exchange, Queue, Topology};

pub use crate::conformance::consuming::*;
pub use crate::conformance::failing::*;
pub use crate::conformance::feeds::*;
pub use crate::conformance::handlers::*;
pub use crate::conformance::ordering::*;
pub use crate::conformance::outages::*;
pub use crate::conformance::publishing::*;
pub use crate::conformance::versions::*;

/// A hub with names that no other test uses.
#[derive(Debug)]
#[non_exhaustive]
pub struct Bed {
    /// The hub under test.
    pub hub: Hub,
    /// What its names start with.
    pub prefix: String,
}

/// A consumer that runs beside the check.
#[derive(Debug)]
pub(crate) struct Running {
    /// What it was given, in order of arrival.
    seen: mpsc::Receiver<(Event, Context)>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

type Check = for<'a> fn(&'a Bed) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// How long a check waits for what must come.
const SOON: Duration = Duration::from_secs(20);

/// How long it watches for what must not come.
const A_WHILE: Duration = Duration::from_millis(300);

macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        /// Every check, by name.
        const CHECKS: &[(&str, Check)] = &[$((stringify!($name), |bed| Box::pin($name(bed)))),*];
    };
}

checks! {
    routes_by_topic, tells_what_is_returned, answers_each_of_many, refuses_an_undeclared_exchange,
    keeps_for_a_late_consumer, holds_the_prefetch, shares_work, drains, gives_back_when_dropped,
    gives_back_on_return, refuses_an_unknown_queue, reports_its_health,
    handlers_take_what_they_ask_for, errors_follow_the_table,
    keeps_the_order_of_each_key, a_key_goes_on_after_a_dead_letter, an_ordered_consumer_can_halt,
    one_consumer_is_active_at_a_time, refuses_contradictions,
    an_outage_empties_nothing, bad_events_are_no_outage, an_error_can_pause_the_consumer,
    retries_after_delays, delays_do_not_block_each_other, dead_letters_keep_their_story, poison_becomes_a_dead_letter,
    panics_and_hangs_are_failures, dead_letters_stay_until_handled,
    a_feed_keeps_its_place, a_feed_in_use_is_left_alone, a_full_feed_tells,
    old_versions_reach_new_handlers, unknown_versions_become_dead_letters, binary_cloudevents_are_handled,
}

/// Runs every check, each on a hub of its own from `make`, which must use the configuration it is given.
///
/// # Panics
///
/// When a check fails, with its name on standard error.
pub async fn run(make: impl Fn(HubConfig) -> Hub) {
    for (name, check) in CHECKS {
        let bed = Bed::new(&make);
        tracing::info!(name, "conformance check");
        check(&bed).await;
        bed.hub.shutdown().await;
    }
}

/// The names of the checks.
#[must_use]
pub fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|(name, _)| *name).collect()
}

// === impl Bed ===

impl Bed {
    /// A bed on a hub from `make`, which must use the configuration it is given.
    pub fn new(make: impl Fn(HubConfig) -> Hub) -> Self {
        let prefix = format!("t{}", &Uuid::new_v4().simple().to_string()[..10]);
        let upcasts = known_versions();
        let config = HubConfig { exchange: format!("{prefix}.events"), upcasts, ..HubConfig::default() };
        Self { hub: make(config), prefix }
    }

    fn name(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    /// Declares work queues with their keys, and the dead-letter queue `dlq`.
    async fn declare(&self, queues: &[(&str, &str)]) {
        let (events, dlx, dlq) = (self.name("events"), self.name("dlx"), self.name("dlq"));
        let mut topology = Topology::new()
            .exchange(Exchange::topic(&events))
            .exchange(Exchange::direct(&dlx))
            .queue(Queue::quorum(&dlq))
            .binding(Binding::new(&dlx, "dead-letter", &dlq));
        for (queue, key) in queues {
            let name = self.name(queue);
            topology = topology
                .queue(Queue::quorum(&name).with_dead_letter(&dlx, "dead-letter"))
                .binding(Binding::new(&events, *key, &name));
        }
        let declared = self.hub.declare(&topology).await.expect("the topology can be declared");
        assert_eq!(declared.conflicts, [], "nothing is in the way");
    }

    /// Publishes `n` as an event of that type.
    async fn publish(&self, kind: &str, n: u64) -> Event {
        let event = number(kind, n);
        let _receipt = self.hub.publish(&event).await.expect("the event is confirmed");
        event
    }

    fn consume<F, Fut>(&self, queue: &str, config: ConsumerConfig, answer: F) -> Running
    where
        F: Fn(Event, Context) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Outcome> + Send + 'static,
    {
        let (sender, seen) = mpsc::channel(10_000);
        let answer = Arc::new(answer);
        let handler = move |event: Event, cx: Context| {
            let (sender, answer) = (sender.clone(), Arc::clone(&answer));
            async move {
                let _ = sender.send((event.clone(), cx.clone())).await;
                answer(event, cx).await
            }
        };
        Running { seen, ..self.consume_with(queue, config, handler) }
    }

    /// Runs a handler that tells by itself what it has seen.
    fn consume_with<M: 'static>(
        &self,
        queue: &str,
        config: ConsumerConfig,
        handler: impl Handler<M>,
    ) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let (hub, queue) = (self.hub.clone(), self.name(queue));
        let task = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume(&queue, config, handler, shutdown).await
        });
        Running { seen: mpsc::channel(1).1, stop: Some(stop), task }
    }

    /// Takes the next dead letter.
    async fn next_dead_letter(&self) -> (RawDelivery, Context) {
        let (sender, mut seen) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel::<()>();
        // One, even if the next comes before the stop.
        let sender = Arc::new(Mutex::new(Some(sender)));
        let handler = move |raw: RawDelivery, cx: Context| {
            let sender = sender.lock().expect("no panic").take();
            async move {
                match sender.is_some_and(|sender| sender.try_send((raw, cx)).is_ok()) {
                    true => Outcome::Ack,
                    false => Outcome::Return,
                }
            }
        };
        let config = ConsumerConfig { prefetch: 1, concurrency: 1, ..ConsumerConfig::default() };
        let queue = self.name("dlq");
        let run = self.hub.consume(&queue, config, handler, async {
            let _ = stopped.await;
        });
        let take = async {
            let letter = soon("a dead letter", seen.recv()).await.expect("the consumer runs");
            drop(stop);
            letter
        };
        let (result, letter) = tokio::join!(run, take);
        result.expect("the dead letters can be consumed");
        letter
    }
}

// === impl Running ===

impl Running {
    async fn next(&mut self) -> (Event, Context) {
        soon("an event", self.seen.recv()).await.expect("the consumer runs")
    }

    async fn nothing(&mut self) {
        let more = timeout(A_WHILE, self.seen.recv()).await;
        assert!(more.is_err(), "unexpected: {more:?}");
    }

    async fn stop(&mut self) {
        self.stop.take();
        soon("the drain", &mut self.task).await.expect("no panic").expect("drained");
    }
}

fn number(kind: &str, n: u64) -> Event {
    Event::new(kind, "conformance", &json!({ "n": n })).expect("a good event")
}

fn n(event: &Event) -> u64 {
    event.data::<serde_json::Value>().expect("JSON")["n"].as_u64().expect("a number")
}

/// One at a time, failing fast.
fn quick() -> ConsumerConfig {
    ConsumerConfig {
        retry: RetryPolicy {
            max_attempts: 3,
            first_delay: Duration::from_millis(100),
            max_delay: Duration::from_millis(200),
            ..RetryPolicy::default()
        },
        ..ConsumerConfig::default()
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Asks until it holds.
async fn until<Fut: Future<Output = bool>>(what: &str, ask: impl Fn() -> Fut) {
    let asking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        while !ask().await {
            pause.tick().await;
        }
    };
    soon(what, asking).await;
}
