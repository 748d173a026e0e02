//! What bare lapin tells its publishers, compared with what the queues really hold.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueuePurgeOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, PublisherConfirm};
use measure::truth::{ACCEPTED, IN_FLIGHT, REFUSED, Told, destination, judge};
use measure::{Args, EXCHANGE, Meter, NOWHERE, Report};
use tokio::time::timeout;

type Answers = Vec<(u64, &'static str, Told)>;

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tasks that share the channel.
const TASKS: u64 = 8;

/// Several tasks on one channel, whose publishes are accepted, refused and returned.
pub async fn concurrent(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    let meter = begin(args, &channel).await?;
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (channel, next, events) = (channel.clone(), Arc::clone(&next), args.events);
            tokio::spawn(async move {
                let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                let numbers = numbers.take_while(|number| *number < events);
                publish_all(&channel, numbers.map(|number| (number, destination(number)))).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.append(&mut task.await??);
    }
    finish(args, meter, &answers).await
}

/// One task, every other of whose publishes leads nowhere.
pub async fn mandatory(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    let meter = begin(args, &channel).await?;
    let numbers = (0..args.events).map(|number| (number, if number % 2 == 0 { ACCEPTED } else { NOWHERE }));
    let answers = publish_all(&channel, numbers).await?;
    finish(args, meter, &answers).await
}

/// How often `wait_for_confirms` returns before all are confirmed, and how many are not by then.
pub async fn waiting(args: &Args) -> anyhow::Result<Report> {
    let (_connection, channel) = crate::channel(args).await?;
    let meter = begin(args, &channel).await?;
    let (mut early, mut unconfirmed) = (0, 0);
    for round in 0..args.events {
        let mut out = Vec::new();
        // The last leads nowhere, and is answered while the others are being written to disk.
        for n in 0..21 {
            let to = if n == 20 { NOWHERE } else { ACCEPTED };
            out.push(publish(&channel, round * 21 + n, to).await?);
        }
        channel.wait_for_confirms().await?;
        let mut late = 0;
        for confirm in out {
            let mut confirm = Box::pin(confirm);
            if (&mut confirm).now_or_never().is_none() {
                late += 1;
                confirm.await?;
            }
        }
        early += u64::from(late > 0);
        unconfirmed += late;
    }
    let mut report = meter.finish(args.events)?;
    report.early = Some(early);
    report.wrong = Some(measure::Wrong { unanswered: unconfirmed, ..Default::default() });
    Ok(report)
}

async fn begin(args: &Args, channel: &Channel) -> anyhow::Result<Meter> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for queue in queues(args) {
        channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
    }
    Meter::start(args.broker)
}

/// In the order of the numbers, so many in flight.
async fn publish_all(
    channel: &Channel,
    numbers: impl Iterator<Item = (u64, &'static str)>,
) -> anyhow::Result<Answers> {
    let mut answers = Vec::new();
    let mut out = VecDeque::new();
    for (number, to) in numbers {
        if out.len() == IN_FLIGHT {
            answers.extend(answer(out.pop_front()).await?);
        }
        out.push_back((number, to, publish(channel, number, to).await?));
    }
    while !out.is_empty() {
        answers.extend(answer(out.pop_front()).await?);
    }
    Ok(answers)
}

async fn publish(channel: &Channel, number: u64, to: &str) -> anyhow::Result<PublisherConfirm> {
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    Ok(channel.basic_publish(EXCHANGE.into(), to.into(), options, &number.to_be_bytes(), properties).await?)
}

async fn answer(
    waiting: Option<(u64, &'static str, PublisherConfirm)>,
) -> anyhow::Result<Option<(u64, &'static str, Told)>> {
    let Some((number, to, confirm)) = waiting else { return Ok(None) };
    let told = match timeout(PATIENCE, confirm).await {
        Err(_) => Told::Nothing,
        Ok(confirmation) => match confirmation? {
            Confirmation::Ack(None) => Told::Accepted,
            Confirmation::Ack(Some(_)) => Told::Returned,
            Confirmation::Nack(_) => Told::Refused,
            Confirmation::NotRequested => Told::Nothing,
        },
    };
    Ok(Some((number, to, told)))
}

async fn finish(args: &Args, meter: Meter, answers: &Answers) -> anyhow::Result<Report> {
    let mut report = meter.finish(args.events)?;
    ensure!(answers.len() as u64 == args.events, "{} answers", answers.len());
    report.wrong = Some(judge(answers, &stored(args).await?));
    Ok(report)
}

/// The numbers of all messages that the queues hold.
async fn stored(args: &Args) -> anyhow::Result<HashSet<u64>> {
    let (_connection, channel) = crate::channel(args).await?;
    let mut stored = HashSet::new();
    for queue in queues(args) {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let tag = queue.as_str().into();
        let mut consumer =
            channel.basic_consume(queue.as_str().into(), tag, options, FieldTable::default()).await?;
        for _ in 0..found.message_count() {
            let delivery = consumer.next().await.context("the consumer ended")??;
            stored.insert(u64::from_be_bytes(delivery.data.as_slice().try_into()?));
        }
    }
    Ok(stored)
}

fn queues(args: &Args) -> [String; 2] {
    [ACCEPTED, REFUSED].map(|key| format!("{}.{key}", args.queue))
}
