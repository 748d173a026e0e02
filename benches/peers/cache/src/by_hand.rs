//! What one writes without a cache library: quick_cache before redis-rs, values as JSON, with an end and a count of hits.
//!
//! It loads nothing, ends nothing, agrees with nobody and waits for Redis as long as redis-rs does: the floor of whatever
//! keeps typed values in both places.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, ensure};
use coarsetime::{Duration, Instant};
use measure::cache::{Ask, Figures, Hits, MANY, VALUE, crowd, key, value};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;

use crate::clients::{calls, connect};
use crate::memory::runtime;

#[derive(Clone)]
struct Memory(Arc<Entries>);

struct Entries {
    entries: Cache<String, Entry, ByWeight>,
    hits: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    value: Arc<String>,
    until: Instant,
    weight: u32,
}

#[derive(Clone)]
struct ByWeight;

/// As ours: so many bytes, with what an entry costs beside its value.
const WEIGHT: u64 = 16 * 1024 * 1024;
const OVERHEAD: u64 = 200;
const TYPICAL: u64 = 1024;

const TTL: u64 = 3600;

// === impl Memory ===

impl Memory {
    fn new() -> Self {
        let expected = usize::try_from(WEIGHT / TYPICAL).expect("some thousands");
        let entries = Cache::with_weighter(expected, WEIGHT, ByWeight);
        Self(Arc::new(Entries { entries, hits: AtomicU64::new(0) }))
    }

    fn get(&self, key: &str) -> Option<Arc<String>> {
        let entry = self.0.entries.get(key)?;
        if Instant::now_without_cache_update() >= entry.until {
            return None;
        }
        self.0.hits.fetch_add(1, Ordering::Relaxed);
        Some(entry.value)
    }

    fn keep(&self, key: String, value: &Arc<String>) -> anyhow::Result<()> {
        let weight = u32::try_from(key.len() + value.len())?;
        let until = Instant::now_without_cache_update() + Duration::from_secs(TTL);
        self.0.entries.insert(key, Entry { value: Arc::clone(value), until, weight });
        Ok(())
    }
}

// === impl ByWeight ===

impl Weighter<String, Entry> for ByWeight {
    fn weight(&self, _: &String, entry: &Entry) -> u64 {
        u64::from(entry.weight) + OVERHEAD
    }
}

pub(crate) async fn hits(ask: &Ask) -> anyhow::Result<Figures> {
    let hits = Hits::new(ask);
    let memory = Memory::new();
    for key in hits.keys() {
        memory.keep(key.clone(), &Arc::new(value()))?;
    }
    let measured = move || {
        hits.measure(|turn| {
            runtime().block_on(async {
                for key in turn {
                    drop(black_box(async { memory.get(key) }.await.expect("it has it")));
                }
            });
        })
    };
    Ok(tokio::task::spawn_blocking(measured).await?)
}

pub(crate) async fn get(ask: &Ask, tasks: usize) -> anyhow::Result<Figures> {
    let calls = calls(ask, tasks);
    let connection = filled(ask, calls).await?;
    let memory = Memory::new();
    crowd(tasks, calls, 1, move |number| {
        let (mut connection, memory) = (connection.clone(), memory.clone());
        async move {
            let key = key(number);
            ensure!(memory.get(&key).is_none(), "each is asked for once");
            let found: Option<Vec<u8>> = connection.get(&key).await?;
            let value = Arc::new(serde_json::from_slice::<String>(&found.context("it is not there")?)?);
            memory.keep(key, &value)?;
            ensure!(value.len() == VALUE, "not the value");
            Ok(())
        }
    })
    .await
}

pub(crate) async fn many(ask: &Ask, calls: usize) -> anyhow::Result<Figures> {
    let calls = ask.times(calls);
    let connection = filled(ask, calls * MANY).await?;
    let memory = Memory::new();
    crowd(1, calls, MANY, move |number| {
        let (mut connection, memory) = (connection.clone(), memory.clone());
        async move {
            let keys: Vec<String> = (number * MANY..(number + 1) * MANY).map(key).collect();
            let values = get_many(&mut connection, &memory, &keys).await?;
            ensure!(values.len() == MANY, "not all of them");
            Ok(())
        }
    })
    .await
}

async fn get_many(
    connection: &mut MultiplexedConnection,
    memory: &Memory,
    keys: &[String],
) -> anyhow::Result<HashMap<String, Arc<String>>> {
    ensure!(keys.iter().all(|key| memory.get(key).is_none()), "each is asked for once");
    let found: Vec<Option<Vec<u8>>> = connection.mget(keys).await?;
    let mut values = HashMap::with_capacity(keys.len());
    for (key, found) in keys.iter().zip(found) {
        let value = Arc::new(serde_json::from_slice::<String>(&found.context("it is not there")?)?);
        memory.keep(key.clone(), &value)?;
        values.insert(key.clone(), value);
    }
    Ok(values)
}

/// A connection to a Redis that has so many keys.
async fn filled(ask: &Ask, keys: usize) -> anyhow::Result<MultiplexedConnection> {
    let connection = connect(ask).await?;
    let filling = connection.clone();
    crowd(64, keys, 1, move |number| {
        let mut connection = filling.clone();
        async move {
            let value = serde_json::to_vec(&value())?;
            connection.set(key(number), value).await.context("cannot fill")
        }
    })
    .await?;
    Ok(connection)
}
