//! Making the topology at the broker.

use futures_util::future::try_join_all;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};

use crate::amqp::{Setup, failure};
use crate::topology::setting::Settings;
use crate::topology::{
    Binding, Conflict, Declared, Destination, Exchange, ExchangeKind, Queue, Setting, Topology,
};

/// One thing to declare.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Exchange(&'a Exchange),
    Queue(&'a Queue),
    Binding(&'a Binding),
}

/// Makes what is missing. What exists otherwise is left alone and reported.
pub(super) async fn declare(
    setup: &Setup,
    connection: &Connection,
    topology: &Topology,
) -> Result<Declared, lapin::Error> {
    let _alone = setup.declaring.lock().await;
    let mut declared = Declared::default();
    for queue in topology.queues.iter().filter(|queue| !crate::delay::is_own(&queue.name)) {
        if let Ok(None) = find(connection, &queue.name).await {
            declared.made.insert(queue.name.clone());
        }
    }
    // All at once first: one round trip per kind. Only a refusal makes us go step by step.
    if let Err(error) = pipelined(connection, topology).await {
        if failure::refusal(&error).is_none() && !connection.status().connected() {
            return Err(error);
        }
        one_by_one(connection, topology, &mut declared).await?;
    }
    // Whoever asks next is told, also of what a reconnect has made.
    setup.made().append(&mut declared.made);
    Ok(declared)
}

/// Looks for a queue: its ready messages and consumers.
pub(super) async fn find(connection: &Connection, queue: &str) -> Result<Option<(u32, u32)>, lapin::Error> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = match channel.queue_declare(short(queue), options, FieldTable::default()).await {
        Ok(queue) => Some((queue.message_count(), queue.consumer_count())),
        // A queue whose node is away answers 404 too, but it is there.
        Err(error) => match failure::refusal(&error) {
            Some((404, text)) if !text.contains("down or inaccessible") => return Ok(None),
            _ => return Err(error),
        },
    };
    channel.close(200, "done".into()).await?;
    Ok(found)
}

pub(super) async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<lapin::Queue, lapin::Error> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(&queue.name), options, table(queue.arguments())).await
}

pub(super) async fn bind(channel: &Channel, binding: &Binding) -> Result<(), lapin::Error> {
    let (source, key, none) = (short(&binding.source), short(&binding.key), FieldTable::default());
    match &binding.destination {
        Destination::Exchange(name) => {
            channel.exchange_bind(short(name), source, key, ExchangeBindOptions::default(), none).await
        }
        Destination::Queue(name) => {
            channel.queue_bind(short(name), source, key, QueueBindOptions::default(), none).await
        }
    }
}

pub(super) fn short(text: &str) -> ShortString {
    // INVARIANT: names and keys were measured in `Hub::declare` and `Event::new`.
    ShortString::try_new(text).unwrap_or_default()
}

async fn pipelined(connection: &Connection, topology: &Topology) -> Result<(), lapin::Error> {
    let channel = connection.create_channel().await?;
    // ORDER: what a binding names must be there before it.
    try_join_all(topology.exchanges.iter().map(|e| step(&channel, Step::Exchange(e)))).await?;
    try_join_all(topology.queues.iter().map(|q| step(&channel, Step::Queue(q)))).await?;
    try_join_all(topology.bindings.iter().map(|b| step(&channel, Step::Binding(b)))).await?;
    channel.close(200, "done".into()).await
}

async fn one_by_one(
    connection: &Connection,
    topology: &Topology,
    declared: &mut Declared,
) -> Result<(), lapin::Error> {
    let exchanges = topology.exchanges.iter().map(Step::Exchange);
    let queues = topology.queues.iter().map(Step::Queue);
    let bindings = topology.bindings.iter().map(Step::Binding);
    let mut channel = connection.create_channel().await?;
    for what in exchanges.chain(queues).chain(bindings) {
        let Err(error) = step(&channel, what).await else { continue };
        let Some((code, text)) = failure::refusal(&error) else { return Err(error) };
        let name = match what {
            Step::Exchange(exchange) => exchange.name.clone(),
            Step::Queue(queue) => queue.name.clone(),
            Step::Binding(binding) => format!("{} → {:?}", binding.source, binding.destination),
        };
        tracing::error!(name, code, text, "declared differently at the broker: left alone");
        declared.made.remove(&name);
        declared.conflicts.push(Conflict { name, text: text.to_owned() });
        // A refusal closes the channel.
        channel = connection.create_channel().await?;
    }
    channel.close(200, "done".into()).await
}

async fn step(channel: &Channel, what: Step<'_>) -> Result<(), lapin::Error> {
    match what {
        Step::Exchange(exchange) => {
            let kind = match exchange.kind {
                ExchangeKind::Direct => lapin::ExchangeKind::Direct,
                ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
                ExchangeKind::Topic => lapin::ExchangeKind::Topic,
            };
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(short(&exchange.name), kind, options, table(exchange.arguments())).await
        }
        Step::Queue(queue) => declare_queue(channel, queue).await.map(drop),
        Step::Binding(binding) => bind(channel, binding).await,
    }
}

fn table(arguments: Settings) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Setting::Flag(flag) => AMQPValue::Boolean(flag),
            Setting::Number(number) => AMQPValue::LongLongInt(number),
            Setting::Text(text) => AMQPValue::LongString(text.into()),
        };
        table.insert(short(&name), value);
    }
    table
}
