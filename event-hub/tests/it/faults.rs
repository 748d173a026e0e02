//! What a real broker does to us: kills, cuts, cancels, refusals.

mod feeds;
mod moves;
mod patience;
mod refused;
mod stale;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use devkit::{Fault, RabbitMq};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{
    AmqpConfig, ConsumerConfig, Context, Event, Hub, MemoryConfig, Outcome, PublishErrorKind, RetryPolicy,
};

use crate::support::{SOON, name, soon, until};

pub(crate) fn config(prefix: &str) -> AmqpConfig {
    let mut config = AmqpConfig::default();
    config.hub.exchange = format!("{prefix}.events");
    config
}

pub(crate) fn topology(prefix: &str, queues: &[(Queue, &str)]) -> Topology {
    let (events, dlx, dlq) = (format!("{prefix}.events"), format!("{prefix}.dlx"), format!("{prefix}.dlq"));
    let mut topology = Topology::new()
        .exchange(Exchange::topic(&events))
        .exchange(Exchange::direct(&dlx))
        .queue(Queue::quorum(&dlq))
        .binding(Binding::new(&dlx, "dead-letter", &dlq));
    for (queue, key) in queues {
        topology = topology
            .binding(Binding::new(&events, *key, &queue.name))
            .queue(queue.clone().with_dead_letter(&dlx, "dead-letter"));
    }
    topology
}

pub(crate) fn event(kind: &str, n: usize) -> Event {
    Event::new(kind, "faults", &json!({ "n": n })).unwrap()
}

/// A consumer that acknowledges all and tells their ids.
pub(crate) fn listen(
    hub: &Hub,
    queue: &str,
) -> (mpsc::Receiver<(String, Context)>, oneshot::Sender<()>, JoinHandle<()>) {
    let (sender, seen) = mpsc::channel(100_000);
    let (stop, stopped) = oneshot::channel::<()>();
    let (hub, queue) = (hub.clone(), queue.to_owned());
    let task = tokio::spawn(async move {
        let handler = move |event: Event, cx: Context| {
            let sender = sender.clone();
            async move {
                let _ = sender.send((event.id.to_string(), cx)).await;
                Outcome::Ack
            }
        };
        let shutdown = async {
            let _ = stopped.await;
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, shutdown).await.unwrap();
    });
    (seen, stop, task)
}

/// The broker is killed and started again under traffic: what was confirmed is handled, and both sides resume.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_that_was_accepted() {
    if !RabbitMq::installed() {
        return;
    }
    let broker = RabbitMq::start().await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.hub.publish_timeout = Duration::from_secs(3);
    settings.backoff_max = Duration::from_millis(500);
    let hub = Hub::amqp(&broker.url(), settings).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let (mut seen, stop, consumer) = listen(&hub, &queue);

    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    let (end, mut ended) = oneshot::channel::<()>();
    let publisher = tokio::spawn({
        let (hub, accepted) = (hub.clone(), Arc::clone(&accepted));
        async move {
            let mut doubtful = 0;
            for n in 0.. {
                if ended.try_recv() != Err(oneshot::error::TryRecvError::Empty) {
                    break;
                }
                let events: Vec<_> = (0..10).map(|i| event("a.b", n * 10 + i)).collect();
                let ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
                for (id, answer) in ids.into_iter().zip(hub.publish_all(events).await) {
                    // An uncertain one is sent again, the same event with its id, until it is confirmed.
                    let mut answer = answer;
                    while let Err(error) = answer {
                        assert!(error.may_have_arrived(), "{error}");
                        doubtful += 1;
                        answer = hub.publish(&error.into_event()).await;
                    }
                    accepted.lock().unwrap().insert(id);
                }
            }
            doubtful
        }
    });
    let mut got: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..200 {
        let (id, _) = soon("traffic", seen.recv()).await.unwrap();
        *got.entry(id).or_default() += 1;
    }
    broker.kill().await;
    until("the loss to be seen", || !hub.health().ready()).await;
    broker.restart().await.unwrap();
    for _ in 0..200 {
        let (id, _) = soon("traffic after the restart", seen.recv()).await.unwrap();
        *got.entry(id).or_default() += 1;
    }
    drop(end);
    let doubtful = soon("the publisher", publisher).await.unwrap();
    assert!(doubtful > 0, "the kill hit traffic");
    let last = event("a.last", 0);
    let _receipt = hub.publish(&last).await.unwrap();
    while !got.contains_key(last.id.as_str()) {
        let (id, _) = soon("the last event", seen.recv()).await.unwrap();
        *got.entry(id).or_default() += 1;
    }
    while let Ok(Some((id, _))) = timeout(Duration::from_secs(1), seen.recv()).await {
        *got.entry(id).or_default() += 1;
    }
    let missing: Vec<_> =
        accepted.lock().unwrap().iter().filter(|id| !got.contains_key(*id)).cloned().collect();
    assert_eq!(missing, Vec::<String>::new());
    assert!(hub.health().ready());
    drop(stop);
    soon("the drain", consumer).await.unwrap();
    hub.shutdown().await;
}

/// The connection is cut while a handler runs: its acknowledgement is of an older channel and harms nothing.
#[tokio::test]
async fn a_cut_connection_is_recovered_and_old_acknowledgements_are_dropped() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, cut_url) = Fault::in_front_of(url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&cut_url, settings).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();

    let (sender, mut seen) = mpsc::channel(100);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (stop, stopped) = oneshot::channel::<()>();
    let consumer = tokio::spawn({
        let (hub, gate, queue) = (hub.clone(), Arc::clone(&gate), queue.clone());
        async move {
            let handler = move |event: Event, cx: Context| {
                let (sender, gate) = (sender.clone(), Arc::clone(&gate));
                async move {
                    sender.send((event.id.to_string(), cx.redelivered)).await.unwrap();
                    gate.acquire().await.unwrap().forget();
                    Outcome::Ack
                }
            };
            let shutdown = async {
                let _ = stopped.await;
            };
            hub.consume(&queue, ConsumerConfig::default(), handler, shutdown).await.unwrap();
        }
    });
    let first = event("a.b", 1);
    let _receipt = hub.publish(&first).await.unwrap();
    assert_eq!(soon("it", seen.recv()).await.unwrap(), (first.id.to_string(), false));

    fault.cut();
    until("the loss", || !hub.health().ready()).await;
    fault.heal();
    assert_eq!(soon("it again", seen.recv()).await.unwrap(), (first.id.to_string(), true));
    // Both handlers finish: the first one's acknowledgement names a tag that the new channel uses too.
    gate.add_permits(100);
    let second = event("a.b", 2);
    let _receipt = hub.publish(&second).await.unwrap();
    assert_eq!(soon("the next", seen.recv()).await.unwrap(), (second.id.to_string(), false));
    soon("all settled", async {
        loop {
            let stats = hub.queue(&queue).await.unwrap().unwrap();
            if stats.messages == 0 && hub.health().ready() {
                break;
            }
        }
    })
    .await;
    drop(stop);
    soon("the drain", consumer).await.unwrap();
    let (mut rest, _stop, _task) = listen(&hub, &queue);
    assert!(timeout(Duration::from_millis(300), rest.recv()).await.is_err(), "all were acknowledged");
    hub.shutdown().await;
}

/// The hub may start before its broker; publishes wait their time and say that it was not enough.
#[tokio::test]
async fn a_broker_that_comes_later_is_found() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, cut_url) = Fault::in_front_of(url).await.unwrap();
    fault.cut();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.hub.publish_timeout = Duration::from_millis(300);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&cut_url, settings).unwrap();
    assert!(!hub.health().ready());
    let declaring = tokio::spawn({
        let (hub, prefix) = (hub.clone(), prefix.clone());
        async move {
            let queue = format!("{prefix}.work");
            hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap().made(&queue)
        }
    });
    let sent = event("a.b", 1);
    let late = async {
        loop {
            match hub.publish(&sent).await {
                // Not until the declaration has begun.
                Err(error) if error.is_returned() => tokio::task::yield_now().await,
                answer => break answer,
            }
        }
    };
    let error = soon("the timeout", late).await.unwrap_err();
    assert_eq!(error.kind(), &PublishErrorKind::Timeout);
    fault.heal();
    assert!(soon("the declaration", declaring).await.unwrap());
    let _receipt = soon("a confirm", async {
        loop {
            if let Ok(receipt) = hub.publish(&sent).await {
                break receipt;
            }
        }
    })
    .await;
    assert!(hub.health().ready());
    hub.shutdown().await;
    assert_eq!(hub.publish(&sent).await.unwrap_err().kind(), &PublishErrorKind::Closed);
}

/// Someone deletes the queue under its consumer: it is made again, and consumed again.
#[tokio::test]
async fn a_deleted_queue_is_recovered() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let hub = Hub::amqp(url, config(&prefix)).unwrap();
    let queue = format!("{prefix}.work");
    hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let (mut seen, _stop, _task) = listen(&hub, &queue);
    let first = event("a.b", 1);
    let _receipt = hub.publish(&first).await.unwrap();
    assert_eq!(soon("it", seen.recv()).await.unwrap().0, first.id.to_string());

    let raw = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await.unwrap();
    let channel = raw.create_channel().await.unwrap();
    channel.queue_delete(queue.as_str().into(), lapin::options::QueueDeleteOptions::default()).await.unwrap();

    let second = event("a.b", 2);
    soon("a route again", async { while hub.publish(&second).await.is_err() {} }).await;
    assert_eq!(soon("the next", seen.recv()).await.unwrap().0, second.id.to_string());
    hub.shutdown().await;
}

/// A queue that exists with other settings is reported; the rest is made.
#[tokio::test]
async fn a_conflict_does_not_stop_the_rest() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let hub = Hub::amqp(url, config(&prefix)).unwrap();
    let (odd, fine) = (format!("{prefix}.odd"), format!("{prefix}.fine"));
    hub.declare(&topology(&prefix, &[(Queue::quorum(&odd), "odd")])).await.unwrap();
    let other = Queue::quorum(&odd).with_delivery_limit(Some(3));
    let declared =
        hub.declare(&topology(&prefix, &[(other, "odd"), (Queue::quorum(&fine), "fine")])).await.unwrap();
    assert!(declared.made(&fine) && !declared.made(&odd));
    let conflicts: Vec<_> = declared.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    assert_eq!(conflicts, [odd.as_str()]);
    let _receipt = hub.publish(&event("fine", 1)).await.unwrap();
    hub.shutdown().await;
}

/// A handler that takes its process down each time ends in the dead letters, not in an endless loop.
async fn crash_loops_end(hub: Hub, prefix: &str) {
    let queue = format!("{prefix}.work");
    hub.declare(&topology(prefix, &[(Queue::quorum(&queue), "#")])).await.unwrap();
    let sent = event("a.b", 1);
    let _receipt = hub.publish(&sent).await.unwrap();
    let started = Instant::now();
    let mut crashes = 0;
    let (letters, mut dead) = mpsc::channel(1);
    let dlq = tokio::spawn({
        let (hub, dlq) = (hub.clone(), format!("{prefix}.dlq"));
        async move {
            let handler = move |_: Event, cx: Context| {
                let letters = letters.clone();
                async move {
                    letters.send(cx.dead_letter).await.unwrap();
                    Outcome::Ack
                }
            };
            hub.consume(&dlq, ConsumerConfig::default(), handler, std::future::pending()).await
        }
    });
    let info = loop {
        let (sender, mut seen) = mpsc::channel(1);
        let handler = move |_: Event, _: Context| {
            let sender = sender.clone();
            async move {
                sender.send(()).await.unwrap();
                std::future::pending::<Outcome>().await
            }
        };
        let mut config = ConsumerConfig::default();
        config.retry = RetryPolicy::default();
        let run = hub.consume(&queue, config, handler, std::future::pending());
        tokio::select! {
            _ = run => unreachable!("it has no end"),
            // The consumer goes without an answer, as in a crash.
            _ = seen.recv() => crashes += 1,
            info = dead.recv() => break info.unwrap(),
        }
        assert!(crashes < 30 && started.elapsed() < SOON, "{crashes} crashes and no end");
    };
    let info = info.expect("a dead letter");
    assert_eq!((crashes, info.reason.as_str(), info.attempts), (19, "redelivered", 19));
    dlq.abort();
}

#[tokio::test]
async fn crash_loops_end_on_rabbitmq() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let prefix = name();
    let hub = Hub::amqp(url, config(&prefix)).unwrap();
    crash_loops_end(hub, &prefix).await;
}

#[tokio::test]
async fn crash_loops_end_in_memory() {
    let prefix = name();
    let mut memory = MemoryConfig::default();
    memory.hub.exchange = format!("{prefix}.events");
    crash_loops_end(Hub::memory(memory), &prefix).await;
}
