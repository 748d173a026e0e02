//! Events as they are published, through a queue of this process's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tramline_event_hub::feed::{Feed, Place};
use tramline_event_hub::handler::RawDelivery;
use tramline_event_hub::topology::Destination;
use tramline_event_hub::{ConsumerConfig, Context, Outcome};
use uuid::Uuid;

use crate::args::{Common, Tail};
use crate::connect::WrongCall;
use crate::say::{say, tell};
use crate::{Done, connect, topology};

/// How long its queue outlives it, after a lost connection or its end.
const EXPIRES: Duration = Duration::from_secs(15);

/// How much waits for a slow reader before the oldest goes.
const LENGTH: usize = 10_000;

pub(crate) async fn run(
    common: &Common,
    options: Tail,
    interrupted: impl Future<Output = ()>,
) -> anyhow::Result<Done> {
    let sources = sources(&options)?;
    let hub = connect::hub(common, &options.exchange).await?;
    let (sender, mut lines) = mpsc::channel(100);
    let stop = CancellationToken::new();
    let mut feeds = JoinSet::new();
    for (exchange, keys) in sources {
        let mut feed = Feed::new(format!("tramline-events.tail.{}", Uuid::new_v4().simple()), keys);
        (feed.exchange, feed.expires, feed.max_length) = (Some(exchange), EXPIRES, LENGTH);
        let mut config = ConsumerConfig::default();
        // One after the other, as they come.
        (config.concurrency, config.name) = (1, Some("tramline-events tail".to_owned()));
        let (hub, sender, json) = (hub.clone(), sender.clone(), common.json);
        let handler = move |delivery: RawDelivery, cx: Context| {
            let sender = sender.clone();
            let line = if json { as_json(&delivery, &cx) } else { as_text(&delivery, &cx) };
            async move {
                match sender.send(line).await {
                    Ok(()) => Outcome::Ack,
                    Err(_) => Outcome::Return,
                }
            }
        };
        let stopped = stop.clone().cancelled_owned();
        feeds.spawn(async move { hub.consume_feed(feed, config, handler, place, stopped).await });
    }
    drop(sender);
    let mut interrupted = pin!(interrupted);
    let mut left = options.count;
    let ended = loop {
        if left == Some(0) {
            break Ok(());
        }
        tokio::select! {
            biased;
            () = &mut interrupted => break Ok(()),
            Some(ended) = feeds.join_next() => match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(error.into()),
                Err(error) => break Err(error.into()),
            },
            line = lines.recv() => match line {
                Some(line) => {
                    if let Err(error) = say(&line) {
                        break Err(error);
                    }
                    left = left.map(|left| left - 1);
                }
                None => break Ok(()),
            },
        }
    };
    // ORDER: nobody waits for us any more, and then everybody leaves.
    drop(lines);
    stop.cancel();
    while feeds.join_next().await.is_some() {}
    hub.shutdown().await;
    ended.map(|()| Done::All)
}

/// What to listen to: the keys of each exchange.
fn sources(options: &Tail) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let Some(queue) = &options.queue else {
        return Ok(BTreeMap::from([(options.exchange.clone(), options.bind.clone())]));
    };
    let file = options.definitions.as_ref().context("--definitions")?;
    let known = topology::read(file, &options.vhost)?;
    let mut sources = BTreeMap::<String, Vec<String>>::new();
    for binding in known.bindings {
        if binding.destination == Destination::Queue(queue.clone()) {
            sources.entry(binding.source).or_default().push(binding.key);
        }
    }
    if sources.is_empty() {
        return Err(WrongCall(format!("nothing leads to the queue {queue} in {}", file.display())).into());
    }
    Ok(sources)
}

fn place(place: Place) {
    match place {
        Place::Full { .. } => tell("too slow: some events were dropped"),
        Place::Made { queue } => tell(&format!("listening through {queue}")),
        _ => {}
    }
}

fn as_text(delivery: &RawDelivery, cx: &Context) -> String {
    match delivery.event() {
        Ok(event) => format!("{} {} {} {}", event.time, event.event_type, event.id, event.data.get()),
        Err(_) => format!(
            "- {} {} {}",
            cx.routing_key,
            delivery.message_id.as_deref().unwrap_or("-"),
            body(delivery)
        ),
    }
}

fn as_json(delivery: &RawDelivery, cx: &Context) -> String {
    let headers: Map<String, Value> =
        delivery.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let mut line = json!({ "routingKey": cx.routing_key, "headers": headers });
    match delivery.event().ok().and_then(|event| serde_json::from_slice::<Value>(&event.to_json()).ok()) {
        Some(event) => line["event"] = event,
        None => line["body"] = Value::from(body(delivery)),
    }
    line.to_string()
}

/// Text as it is; anything else in hexadecimal digits.
fn body(delivery: &RawDelivery) -> String {
    std::str::from_utf8(&delivery.body)
        .map_or_else(|_| format!("0x{}", hex::encode(&delivery.body)), str::to_owned)
}
