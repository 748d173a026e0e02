//! What was out when its channel went comes again, and nothing else is made of it.

use std::time::Duration;

use devkit::Fault;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tramline_event_hub::topology::Queue;
use tramline_event_hub::{ConsumerConfig, Context, Event, Hub, Outcome};

use crate::faults::{config, event, topology};
use crate::support::{name, soon, until};

/// A call of the handler, which waits for what the test answers. Unanswered it acknowledges.
pub(super) struct Call {
    pub(super) n: u64,
    pub(super) attempt: u32,
    pub(super) returns: u32,
    pub(super) redelivered: bool,
    answer: oneshot::Sender<Outcome>,
}

/// A consumer whose every call the test answers.
pub(super) struct Asked {
    calls: mpsc::Receiver<Call>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Call {
    pub(super) fn fail(self) {
        self.answer.send(Outcome::Retry { reason: "on purpose".to_owned() }).unwrap();
    }
}

impl Asked {
    pub(super) fn new(hub: &Hub, queue: &str, config: ConsumerConfig) -> Self {
        let (sender, calls) = mpsc::channel(1000);
        let (stop, stopped) = oneshot::channel::<()>();
        let (hub, queue) = (hub.clone(), queue.to_owned());
        let task = tokio::spawn(async move {
            let handler = move |event: Event, cx: Context| {
                let sender = sender.clone();
                async move {
                    let (answer, answered) = oneshot::channel();
                    let n = event.data::<serde_json::Value>().unwrap()["n"].as_u64().unwrap();
                    let Context { attempt, returns, redelivered, .. } = cx;
                    sender.send(Call { n, attempt, returns, redelivered, answer }).await.unwrap();
                    answered.await.unwrap_or(Outcome::Ack)
                }
            };
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume(&queue, config, handler, shutdown).await.unwrap();
        });
        Self { calls, stop, task }
    }

    pub(super) async fn next(&mut self) -> Call {
        soon("a call", self.calls.recv()).await.unwrap()
    }

    pub(super) async fn end(self) {
        drop(self.stop);
        soon("the drain", self.task).await.unwrap();
    }
}

fn is_active(hub: &Hub) -> bool {
    hub.health().consumers.first().is_some_and(|consumer| consumer.active)
}

async fn waiting(hub: &Hub, queue: &str) -> u64 {
    hub.queue(queue).await.unwrap().unwrap().messages
}

/// The connection goes while handlers run, and the broker delivers again: what the first round says then moves
/// nothing, neither to the dead letters nor to the delays.
#[tokio::test]
async fn what_an_older_channel_delivered_is_not_moved() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let (fault, cut_url) = Fault::in_front_of(&url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&cut_url, settings).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let mut asked = Asked::new(&hub, &queue, ConsumerConfig::default());
    for n in 0..2 {
        let _receipt = hub.publish(&event("a.b", n)).await.unwrap();
    }
    let old = [asked.next().await, asked.next().await];
    fault.cut();
    until("the loss", || !is_active(&hub)).await;
    fault.heal();
    let new = [asked.next().await, asked.next().await];
    assert!(new.iter().all(|call| call.redelivered));

    for Call { n, answer, .. } in old {
        let outcome = match n {
            0 => Outcome::Reject { reason: "never".to_owned() },
            _ => Outcome::RetryAfter { delay: Duration::from_hours(1), reason: "later".to_owned() },
        };
        answer.send(outcome).unwrap();
    }
    drop(new);
    asked.end().await;
    for name in [queue, format!("{prefix}.dlq")] {
        assert_eq!(waiting(&hub, &name).await, 0, "{name}");
    }
    for level in 0..18 {
        assert_eq!(waiting(&hub, &format!("tramline.delay.{level:02}")).await, 0, "level {level}");
    }
    hub.shutdown().await;
}

/// The broker has back what waits for a handler as soon as the channel is gone, however long that lasts: none of
/// it begins meanwhile.
#[tokio::test]
async fn nothing_begins_while_the_channel_is_gone() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, cut_url) = Fault::in_front_of(url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&cut_url, settings).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    for n in 0..10 {
        let _receipt = hub.publish(&event("a.b", n)).await.unwrap();
    }
    let mut one = ConsumerConfig::default();
    one.concurrency = 1;
    let mut asked = Asked::new(&hub, &queue, one);
    let first = asked.next().await;
    soon("all are out", async { while waiting(&hub, &queue).await > 0 {} }).await;

    fault.cut();
    until("the loss", || !is_active(&hub)).await;
    drop(first);
    // One thread: whoever could go on goes on now.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(asked.calls.try_recv().is_err(), "it is the broker's again");
    fault.heal();
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..10 {
        let call = asked.next().await;
        assert!(call.redelivered);
        seen.push(call.n);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    asked.end().await;
    assert_eq!(waiting(&hub, &queue).await, 0);
    hub.shutdown().await;
}
