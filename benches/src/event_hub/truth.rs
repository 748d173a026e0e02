//! What the hub tells its publishers, compared with what the queues really hold.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use measure::truth::{ACCEPTED, IN_FLIGHT, REFUSED, ROOM, Told, destination, judge};
use measure::{EXCHANGE, NOWHERE, Report, Wrong};
use tokio::sync::Notify;
use tramline_event_hub::handler::Data;
use tramline_event_hub::topology::{Binding, Exchange, Queue, Topology};
use tramline_event_hub::{AmqpConfig, ConsumerConfig, Event, Hub, Outcome, PublishErrorKind};

use crate::event_hub::order::Order;
use crate::event_hub::{Load, Section, bed};

type Answers = Vec<(u64, &'static str, Told)>;

/// Tasks that share the hub.
const TASKS: usize = 8;

/// A hub with one queue that takes everything and one that is soon full.
pub(super) async fn open(load: &Load) -> anyhow::Result<Hub> {
    let mut config = AmqpConfig::default();
    config.hub = bed::hub(load);
    let hub = Hub::amqp(&load.args.url, config)?;
    let [accepting, refusing] = queues(load);
    let topology = Topology::new()
        .exchange(Exchange::topic(EXCHANGE))
        .binding(Binding::new(EXCHANGE, ACCEPTED, &accepting))
        .queue(Queue::quorum(accepting))
        .binding(Binding::new(EXCHANGE, REFUSED, &refusing))
        .queue(Queue::quorum(refusing).with_max_length(ROOM as usize));
    let declared = hub.declare(&topology).await?;
    ensure!(declared.conflicts.is_empty(), "declared differently: {:?}", declared.conflicts);
    Ok(hub)
}

/// Several tasks on one hub, whose publishes are accepted, refused and returned.
pub(super) async fn concurrent(load: &Load) -> anyhow::Result<Report> {
    let hub = open(load).await?;
    let section = Section::start(load, None)?;
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (hub, next, events) = (hub.clone(), Arc::clone(&next), load.args.events);
            tokio::spawn(async move {
                let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                let numbers = numbers.take_while(|number| *number < events);
                publish_all(&hub, numbers.map(|number| (number, destination(number)))).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.append(&mut task.await??);
    }
    finish(load, hub, section, &answers).await
}

/// One task, every other of whose publishes leads nowhere.
pub(super) async fn mandatory(load: &Load) -> anyhow::Result<Report> {
    let hub = open(load).await?;
    let section = Section::start(load, None)?;
    let numbers =
        (0..load.args.events).map(|number| (number, if number % 2 == 0 { ACCEPTED } else { NOWHERE }));
    let answers = publish_all(&hub, numbers).await?;
    finish(load, hub, section, &answers).await
}

/// How often `publish_all` returns before the queue holds all that was accepted, and how many are missing then.
pub(super) async fn waiting(load: &Load) -> anyhow::Result<Report> {
    let hub = open(load).await?;
    let [accepting, _] = queues(load);
    let section = Section::start(load, None)?;
    let (mut early, mut wrong, mut accepted) = (0, Wrong::default(), 0);
    for round in 0..load.args.events {
        let keys = (0..21).map(|n| if n == 20 { NOWHERE } else { ACCEPTED });
        let events = keys.enumerate().map(|(n, key)| event(round * 21 + n as u64, key));
        let answers = hub.publish_all(events.collect::<anyhow::Result<Vec<_>>>()?).await;
        accepted += answers.iter().filter(|answer| answer.is_ok()).count() as u64;
        let stored = hub.queue(&accepting).await?.context("the queue is gone")?.messages;
        early += u64::from(stored < accepted);
        wrong.unanswered += accepted.saturating_sub(stored);
    }
    let report = Report { early: Some(early), wrong: Some(wrong), ..section.finish(load.args.events)? };
    hub.shutdown().await;
    Ok(report)
}

/// So many in flight.
async fn publish_all(
    hub: &Hub,
    numbers: impl Iterator<Item = (u64, &'static str)>,
) -> anyhow::Result<Answers> {
    let mut answers = Vec::new();
    let mut out = FuturesUnordered::new();
    for (number, to) in numbers {
        if out.len() == IN_FLIGHT {
            answers.extend(out.next().await.transpose()?);
        }
        out.push(ask(hub, number, to));
    }
    while let Some(answer) = out.next().await {
        answers.push(answer?);
    }
    Ok(answers)
}

async fn ask(hub: &Hub, number: u64, to: &'static str) -> anyhow::Result<(u64, &'static str, Told)> {
    let told = match hub.publish(&event(number, to)?).await {
        Ok(_receipt) => Told::Accepted,
        Err(error) => match error.kind() {
            PublishErrorKind::Nacked => Told::Refused,
            PublishErrorKind::Returned { .. } => Told::Returned,
            _ => Told::Nothing,
        },
    };
    Ok((number, to, told))
}

fn event(number: u64, to: &str) -> anyhow::Result<Event> {
    Ok(Event::new(to, "bench", &Order { number, sent: 0 })?)
}

async fn finish(load: &Load, hub: Hub, section: Section, answers: &Answers) -> anyhow::Result<Report> {
    let mut report = section.finish(load.args.events)?;
    ensure!(answers.len() as u64 == load.args.events, "{} answers", answers.len());
    report.wrong = Some(judge(answers, &stored(load, &hub).await?));
    hub.shutdown().await;
    Ok(report)
}

/// The numbers of all events that the queues hold.
async fn stored(load: &Load, hub: &Hub) -> anyhow::Result<HashSet<u64>> {
    let stored: Arc<Mutex<HashSet<u64>>> = Arc::default();
    for queue in queues(load) {
        let left = AtomicU64::new(hub.queue(&queue).await?.context("the queue is gone")?.messages);
        if left.load(Ordering::Relaxed) == 0 {
            continue;
        }
        let done = Arc::new(Notify::new());
        let handler = {
            let (stored, done) = (Arc::clone(&stored), Arc::clone(&done));
            move |Data(order): Data<Order>| {
                stored.lock().unwrap_or_else(PoisonError::into_inner).insert(order.number);
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    done.notify_one();
                }
                async { Outcome::Ack }
            }
        };
        hub.consume(&queue, ConsumerConfig::default(), handler, done.notified()).await?;
    }
    Ok(std::mem::take(&mut *stored.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn queues(load: &Load) -> [String; 2] {
    [ACCEPTED, REFUSED].map(|key| format!("{}.{key}", load.args.queue))
}
