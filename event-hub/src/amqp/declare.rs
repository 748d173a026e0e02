//! Making the topology at the broker.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use futures_util::{StreamExt as _, stream};
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::time::timeout;

use crate::amqp::{Setup, failure, passive};
use crate::error::{Error, ErrorKind};
use crate::topology::setting::Settings;
use crate::topology::{
    Binding, Conflict, Declared, Destination, Exchange, ExchangeKind, Item, Queue, Setting, Topology,
};

/// So many round trips fit into the time that a connection may take, on the slowest line that we care for.
const STEPS: usize = 20;

/// How many queues are looked for at once: each look has a channel of its own, since a refusal closes it.
const LOOKS: usize = 16;

/// One thing to declare.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Exchange(&'a Exchange),
    Queue(&'a Queue, Form),
    Binding(&'a Binding),
}

/// How much a declaration says of a queue.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Its kind; policies say the rest.
    Bare,
    Whole,
}

/// What to declare, and how.
#[derive(Debug)]
pub(super) struct Plan {
    /// Without policies: a declaration cannot say them.
    pub(super) topology: Topology,
    /// Queues that are declared without their settings, since policies say them.
    pub(super) bare: BTreeSet<String>,
    /// All that was at the broker before, if someone could see it.
    pub(super) seen: Option<Topology>,
}

/// Makes all that is remembered, in a time that grows with it: one thing after the other, where one is refused.
pub(super) async fn declare_again(setup: &Setup, connection: &Connection) -> Result<Declared, Error> {
    // ORDER: before the clock starts: the other connection may be at it, and has its own time.
    let _alone = setup.declaring.lock().await;
    let topology = setup.topology().clone();
    let things = topology.exchanges.len() + topology.queues.len() + topology.bindings.len();
    let patience = setup.config.connect_timeout * u32::try_from(1 + things / STEPS).unwrap_or(u32::MAX);
    let late = |_| Err(Error::new(ErrorKind::Timeout, "declaring the topology"));
    timeout(patience, make(setup, connection, &topology)).await.unwrap_or_else(late)
}

/// Makes what is missing. What exists otherwise is left alone and reported.
pub(super) async fn declare(
    setup: &Setup,
    connection: &Connection,
    topology: &Topology,
) -> Result<Declared, Error> {
    let _alone = setup.declaring.lock().await;
    make(setup, connection, topology).await
}

async fn make(setup: &Setup, connection: &Connection, topology: &Topology) -> Result<Declared, Error> {
    let failed = |error| Error::new(ErrorKind::Broker, "declaring the topology").with_source(error);
    let mut declared = Declared::default();
    let ours = topology.queues.iter().filter(|queue| !crate::delay::is_own(&queue.name));
    let looks: Vec<_> = ours.map(|queue| is_missing(connection, queue.name.clone())).collect();
    let mut looks = stream::iter(looks).buffer_unordered(LOOKS);
    while let Some(missing) = looks.next().await {
        declared.made.extend(missing);
    }
    let plan = plan(setup, connection, topology, &mut declared).await?;
    // All at once first: one round trip per kind. Only a refusal makes us go step by step.
    if let Err(error) = pipelined(connection, &plan).await {
        if failure::refusal(&error).is_none() && !connection.status().connected() {
            return Err(failed(error));
        }
        one_by_one(connection, &plan, &mut declared).await.map_err(failed)?;
    }
    stranded(connection, &plan, &mut declared).await.map_err(failed)?;
    // Whoever asks next is told, also of what a reconnect has made.
    setup.made().append(&mut declared.made);
    Ok(declared)
}

#[cfg_attr(not(feature = "management"), allow(clippy::unused_async, reason = "the management is asked here"))]
async fn plan(
    setup: &Setup,
    connection: &Connection,
    topology: &Topology,
    declared: &mut Declared,
) -> Result<Plan, Error> {
    #[cfg(feature = "management")]
    if let Some(management) = &setup.management {
        let vhost = connection.status().vhost();
        return crate::amqp::policed::plan(management, vhost.as_str(), topology, declared).await;
    }
    #[cfg(not(feature = "management"))]
    let _ = (setup, connection, declared);
    Ok(Plan { topology: topology.resolved(), bare: BTreeSet::new(), seen: None })
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

/// Gives a queue's name back when it is not there.
async fn is_missing(connection: &Connection, queue: String) -> Option<String> {
    matches!(find(connection, &queue).await, Ok(None)).then_some(queue)
}

pub(super) async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<lapin::Queue, lapin::Error> {
    declare_with(channel, queue, queue.arguments()).await
}

async fn declare_with(
    channel: &Channel,
    queue: &Queue,
    arguments: Settings,
) -> Result<lapin::Queue, lapin::Error> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(&queue.name), options, table(arguments)).await
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

pub(super) fn short(text: impl Into<String>) -> ShortString {
    // INVARIANT: names and keys were measured in `Hub::declare` and `Event::new`.
    ShortString::try_new(text).unwrap_or_default()
}

async fn pipelined(connection: &Connection, plan: &Plan) -> Result<(), lapin::Error> {
    let topology = &plan.topology;
    let channel = connection.create_channel().await?;
    // ORDER: what a binding names must be there before it.
    try_join_all(topology.exchanges.iter().map(|e| step(&channel, Step::Exchange(e)))).await?;
    try_join_all(topology.queues.iter().map(|q| step(&channel, Step::Queue(q, plan.form(q))))).await?;
    try_join_all(topology.bindings.iter().map(|b| step(&channel, Step::Binding(b)))).await?;
    channel.close(200, "done".into()).await
}

async fn one_by_one(
    connection: &Connection,
    plan: &Plan,
    declared: &mut Declared,
) -> Result<(), lapin::Error> {
    let topology = &plan.topology;
    let exchanges = topology.exchanges.iter().map(Step::Exchange);
    let queues = topology.queues.iter().map(|queue| Step::Queue(queue, plan.form(queue)));
    let bindings = topology.bindings.iter().map(Step::Binding);
    let mut channel = connection.create_channel().await?;
    for what in exchanges.chain(queues).chain(bindings) {
        let Err(error) = step(&channel, what).await else { continue };
        let Some((code, text)) = failure::refusal(&error) else { return Err(error) };
        let name = match what {
            Step::Exchange(exchange) => exchange.name.clone(),
            Step::Queue(queue, _) => queue.name.clone(),
            Step::Binding(binding) => Item::binding(binding).to_string(),
        };
        tracing::error!(name, code, text, "declared differently at the broker: left alone");
        declared.made.remove(&name);
        declared.conflicts.push(Conflict { name, text: text.to_owned() });
        // A refusal closes the channel.
        channel = connection.create_channel().await?;
    }
    channel.close(200, "done".into()).await
}

/// Tells whose dead letters have nowhere to go: each would close the channel that moves them, or stay for ever.
async fn stranded(connection: &Connection, plan: &Plan, declared: &mut Declared) -> Result<(), lapin::Error> {
    let all = plan.seen.clone().unwrap_or_default().merge(plan.topology.clone());
    let mut there = BTreeMap::new();
    for mut stranded in all.stranded(&plan.topology) {
        let exchange = stranded.target.exchange.clone();
        // Someone else's exchange, which may be of a kind that a topology has no word for.
        if stranded.missing {
            let known = match there.get(&exchange) {
                Some(known) => *known,
                None => match passive::is_there(connection, &Exchange::direct(&exchange)).await {
                    Ok(known) => known,
                    // It says something else of it than that it is not there.
                    Err(error) if failure::refusal(&error).is_some() => true,
                    Err(error) => return Err(error),
                },
            };
            there.insert(exchange.clone(), known);
            stranded.missing = !known;
            if known {
                continue;
            }
        }
        let Conflict { name, text } = stranded.clone().conflict();
        if stranded.missing || plan.seen.is_some() {
            tracing::error!(name, text, "its dead letters have nowhere to go");
            declared.conflicts.push(Conflict { name, text });
        } else {
            // AMQP shows no bindings: another's queue may be bound there.
            tracing::warn!(name, exchange, "nothing that is declared here takes its dead letters");
        }
    }
    Ok(())
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
        Step::Queue(queue, Form::Whole) => declare_queue(channel, queue).await.map(drop),
        Step::Queue(queue, Form::Bare) => {
            declare_with(channel, queue, queue.frozen_arguments()).await.map(drop)
        }
        Step::Binding(binding) => bind(channel, binding).await,
    }
}

// === impl Plan ===

impl Plan {
    fn form(&self, queue: &Queue) -> Form {
        if self.bare.contains(&queue.name) { Form::Bare } else { Form::Whole }
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
