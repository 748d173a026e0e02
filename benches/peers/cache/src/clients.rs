//! Clients of Redis without a cache: what Redis and the way to it cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, ensure};
use fred::interfaces::{ClientLike as _, KeysInterface as _};
use futures_util::StreamExt as _;
use measure::cache::{Ask, Figures, MANY, VALUE, crowd, invalidator, key, value, watcher};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

/// As many calls as ours has in these rows.
pub(crate) fn calls(ask: &Ask, tasks: usize) -> usize {
    ask.times(if tasks == 1 { 20_000 } else { 200_000 })
}

/// redis-rs on one multiplexed connection.
pub(crate) async fn get(ask: &Ask, tasks: usize) -> anyhow::Result<Figures> {
    let calls = calls(ask, tasks);
    let connection = filled(ask, calls).await?;
    crowd(tasks, calls, 1, move |number| {
        let mut connection = connection.clone();
        async move {
            let value: Option<String> = connection.get(key(number)).await?;
            ensure!(value.is_some_and(|value| value.len() == VALUE), "not the value");
            Ok(())
        }
    })
    .await
}

/// The same, a hundred keys at once.
pub(crate) async fn mget(ask: &Ask, calls: usize) -> anyhow::Result<Figures> {
    let calls = ask.times(calls);
    let connection = filled(ask, calls * MANY).await?;
    crowd(1, calls, MANY, move |number| {
        let mut connection = connection.clone();
        async move {
            let keys: Vec<String> = (number * MANY..(number + 1) * MANY).map(key).collect();
            let values: Vec<Option<String>> = connection.mget(keys).await?;
            ensure!(values.iter().flatten().count() == MANY, "not all of them");
            Ok(())
        }
    })
    .await
}

/// fred with one connection.
pub(crate) async fn fred(ask: &Ask, tasks: usize) -> anyhow::Result<Figures> {
    let calls = calls(ask, tasks);
    filled(ask, calls).await?;
    let client = fred::types::Builder::from_config(fred::types::config::Config::from_url(&ask.url)?).build()?;
    client.init().await?;
    crowd(tasks, calls, 1, move |number| {
        let client = client.clone();
        async move {
            let value: Option<String> = client.get(key(number)).await?;
            ensure!(value.is_some_and(|value| value.len() == VALUE), "not the value");
            Ok(())
        }
    })
    .await
}

/// A word on a channel, as Redis itself tells it.
pub(crate) async fn publisher(ask: &Ask) -> anyhow::Result<Figures> {
    let connection = connect(ask).await?;
    invalidator(ask, async || {
        let heard: u32 = connection.clone().publish(CHANNEL, key(0)).await?;
        ensure!(heard == 1, "the child does not hear");
        Ok(())
    })
    .await
}

/// Hears it.
pub(crate) async fn subscriber(ask: &Ask) -> anyhow::Result<()> {
    let mut hearing = redis::Client::open(ask.url.as_str())?.get_async_pubsub().await?;
    hearing.subscribe(CHANNEL).await?;
    let there = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&there);
    tokio::spawn(async move {
        let mut messages = hearing.on_message();
        while messages.next().await.is_some() {
            heard.store(false, Ordering::Release);
        }
    });
    let filled = Arc::clone(&there);
    let fill = async || {
        filled.store(true, Ordering::Release);
        Ok(())
    };
    watcher(fill, move || there.load(Ordering::Acquire)).await
}

const CHANNEL: &str = "bench";

/// A connection to a Redis that has so many keys.
async fn filled(ask: &Ask, keys: usize) -> anyhow::Result<MultiplexedConnection> {
    let connection = connect(ask).await?;
    let filling = connection.clone();
    crowd(64, keys, 1, move |number| {
        let mut connection = filling.clone();
        async move { connection.set(key(number), value()).await.context("cannot fill") }
    })
    .await?;
    Ok(connection)
}

pub(crate) async fn connect(ask: &Ask) -> anyhow::Result<MultiplexedConnection> {
    Ok(redis::Client::open(ask.url.as_str())?.get_multiplexed_async_connection().await?)
}
