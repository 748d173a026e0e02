//! Every answer is compared with what the queues really hold.
//!
//! Three defects of bare lapin 4.12 are behind these tests; `cargo dev bench event-hub --rows truth` shows them
//! beside the hub. With several tasks on a channel a confirm is credited to another publish, since tags and
//! frames are taken under two locks. With `mandatory`, a return is credited to whichever confirm completes
//! next. And `wait_for_confirms` waits for the last publish alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::Notify;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Event, Hub, Outcome, PublishErrorKind};

use crate::support::{name, soon};

/// What a publisher was told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Told {
    Accepted,
    Refused,
    Returned,
    Else,
}

/// By the event's id: its key, and what was told of it.
type Answers = BTreeMap<String, (&'static str, Told)>;

const ACCEPTED: &str = "truth.accepted";
const REFUSED: &str = "truth.refused";
const NOWHERE: &str = "truth.nowhere";

/// So many publishes of one task are out.
const IN_FLIGHT: usize = 50;

/// A hub with one queue that takes everything, and one that is soon full and refuses.
async fn bed(url: &str) -> (Hub, [String; 2]) {
    let prefix = name();
    let mut config = AmqpConfig::default();
    config.hub.exchange = format!("{prefix}.events");
    // The machine may be busy: a late answer is none of this test's matters.
    config.hub.publish_timeout = crate::support::SOON;
    let exchange = config.hub.exchange.clone();
    let hub = Hub::amqp(url, config).unwrap();
    let queues = [format!("{prefix}.accepting"), format!("{prefix}.refusing")];
    let topology = Topology::new()
        .exchange(Exchange::topic(&exchange))
        .queue(Queue::quorum(&queues[0]))
        .queue(Queue::quorum(&queues[1]).with_max_length(200))
        .binding(Binding::new(&exchange, ACCEPTED, &queues[0]))
        .binding(Binding::new(&exchange, REFUSED, &queues[1]));
    assert_eq!(hub.declare(&topology).await.unwrap().conflicts, []);
    (hub, queues)
}

async fn ask(hub: &Hub, key: &'static str) -> (String, (&'static str, Told)) {
    let event = Event::new(key, "truth", &json!({ "key": key })).unwrap();
    let told = match hub.publish(&event).await {
        Ok(_receipt) => Told::Accepted,
        Err(error) => match error.kind() {
            PublishErrorKind::Nacked => Told::Refused,
            PublishErrorKind::Returned { key: returned, .. } if returned == key => Told::Returned,
            _ => Told::Else,
        },
    };
    (event.id.to_string(), (key, told))
}

async fn ask_all(hub: &Hub, keys: impl Iterator<Item = &'static str>) -> Answers {
    let (mut answers, mut out) = (Answers::new(), FuturesUnordered::new());
    for key in keys {
        if out.len() == IN_FLIGHT {
            answers.extend(out.next().await);
        }
        out.push(ask(hub, key));
    }
    while let Some(answer) = out.next().await {
        answers.extend([answer]);
    }
    answers
}

/// Takes all out of the queues: the ids that they held.
async fn stored(hub: &Hub, queues: &[String]) -> BTreeSet<String> {
    let stored: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    for queue in queues {
        let count = hub.queue(queue).await.unwrap().unwrap().messages;
        let wanted = stored.lock().unwrap().len() as u64 + count;
        let done = Arc::new(Notify::new());
        let handler = {
            let (stored, done) = (Arc::clone(&stored), Arc::clone(&done));
            move |event: Event| {
                let mut stored = stored.lock().unwrap();
                stored.insert(event.id.to_string());
                if stored.len() as u64 == wanted {
                    done.notify_one();
                }
                async { Outcome::Ack }
            }
        };
        if count > 0 {
            let run = hub.consume(queue, ConsumerConfig::default(), handler, done.notified());
            soon("what the queue holds", run).await.unwrap();
        }
    }
    let stored = std::mem::take(&mut *stored.lock().unwrap());
    assert!(!stored.is_empty());
    stored
}

/// What was told and is not so.
fn lies(answers: &Answers, stored: &BTreeSet<String>) -> Vec<(String, &'static str, Told)> {
    let true_of = |id: &String, key, told| match told {
        Told::Accepted => stored.contains(id),
        Told::Refused => !stored.contains(id) && key == REFUSED,
        Told::Returned => !stored.contains(id) && key == NOWHERE,
        Told::Else => false,
    };
    let lie = |(id, (key, told)): (&String, &(&'static str, Told))| {
        (!true_of(id, *key, *told)).then(|| (id.clone(), *key, *told))
    };
    answers.iter().filter_map(lie).collect()
}

fn count(answers: &Answers, told: Told) -> usize {
    answers.values().filter(|(_, found)| *found == told).count()
}

/// 40,000 publishes of eight tasks that share a hub, a third accepted, a third to a queue that is soon full, a
/// third unroutable: no answer is another publish's.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn none_of_40_000_concurrent_answers_is_wrong() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (hub, queues) = bed(url).await;
    let mut tasks = Vec::new();
    for task in 0..8_usize {
        let hub = hub.clone();
        tasks.push(tokio::spawn(async move {
            // No period of the window: neighbours on the channel differ from round to round.
            let keys = (0..5000_usize).map(move |n| [ACCEPTED, REFUSED, NOWHERE][(n * n + n / 7 + task) % 3]);
            ask_all(&hub, keys).await
        }));
    }
    let mut answers = Answers::new();
    for task in tasks {
        answers.append(&mut task.await.unwrap());
    }
    assert_eq!(answers.len(), 40_000);
    let stored = stored(&hub, &queues).await;
    assert_eq!(lies(&answers, &stored), []);
    assert_eq!(count(&answers, Told::Accepted), stored.len());
    for told in [Told::Accepted, Told::Refused, Told::Returned] {
        assert!(count(&answers, told) > 5000, "the mix has all three: {} {told:?}", count(&answers, told));
    }
    hub.shutdown().await;
}

/// One task, 50 publishes out at a time, every other one unroutable: a return is told to its own publish.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_10_000_mandatory_answers_is_wrong() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (hub, queues) = bed(url).await;
    let keys = (0..10_000).map(|n| if n % 2 == 0 { ACCEPTED } else { NOWHERE });
    let answers = ask_all(&hub, keys).await;
    assert_eq!(answers.len(), 10_000);
    let stored = stored(&hub, &queues).await;
    assert_eq!(lies(&answers, &stored), []);
    assert_eq!((stored.len(), count(&answers, Told::Returned)), (5000, 5000));
    hub.shutdown().await;
}

/// When `publish_all` is back, the queue holds all that it says, however soon its last event was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publish_all_is_never_back_too_early() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (hub, [accepting, _]) = bed(url).await;
    for round in 1..=100 {
        let keys = (0..21).map(|n| if n == 20 { NOWHERE } else { ACCEPTED });
        let events = keys.map(|key| Event::new(key, "truth", &json!({})).unwrap()).collect();
        let answers = hub.publish_all(events).await;
        let accepted: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(accepted, [[true; 20].as_slice(), &[false]].concat());
        assert_eq!(hub.queue(&accepting).await.unwrap().unwrap().messages, round * 20);
    }
    hub.shutdown().await;
}
