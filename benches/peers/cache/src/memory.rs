//! Caches in memory alone.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::bail;
use cached::ShardedLruTtlCache;
use measure::cache::{Ask, Figures, Hits, KEPT, value, zipf};

use crate::Client;

/// As ours: it ends, though not while we look.
const TTL: Duration = Duration::from_secs(3600);

/// More than the row has.
const ROOM: usize = 20_000;

pub(crate) async fn hits(client: Client, ask: &Ask) -> anyhow::Result<Figures> {
    let hits = Hits::new(ask);
    let pairs: Vec<_> = hits.keys().iter().map(|key| (key.clone(), Arc::new(value()))).collect();
    match client {
        Client::QuickCache => {
            let cache = quick_cache::sync::Cache::new(ROOM);
            pairs.into_iter().for_each(|(key, value)| cache.insert(key, value));
            Ok(hits.measure(|turn| turn.for_each(|key| drop(black_box(cache.get(key).expect("it has it"))))))
        }
        Client::Cached => {
            let cache = ShardedLruTtlCache::builder().max_size(ROOM).ttl(TTL).build()?;
            for (key, value) in pairs {
                cache.set(key, value);
            }
            Ok(hits.measure(|turn| turn.for_each(|key| drop(black_box(cache.get(key).expect("it has it"))))))
        }
        Client::Moka => {
            let cache = moka::sync::Cache::builder().max_capacity(ROOM as u64).time_to_live(TTL).build();
            pairs.into_iter().for_each(|(key, value)| cache.insert(key, value));
            Ok(hits.measure(|turn| turn.for_each(|key| drop(black_box(cache.get(key).expect("it has it"))))))
        }
        Client::MokaFuture => {
            let cache = moka::future::Cache::builder().max_capacity(ROOM as u64).time_to_live(TTL).build();
            for (key, value) in pairs {
                cache.insert(key, value).await;
            }
            let measured = move || {
                hits.measure(|turn| {
                    runtime().block_on(async {
                        for key in turn {
                            let value = cache.try_get_with_by_ref(key, async { bail!("it was not there") });
                            black_box(value.await.expect("it has it"));
                        }
                    });
                })
            };
            Ok(tokio::task::spawn_blocking(measured).await?)
        }
        _ => bail!("{client:?} has no memory of its own"),
    }
}

/// One runtime around a turn, as in a service's task.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) async fn zipfed(client: Client, ask: &Ask) -> anyhow::Result<Figures> {
    match client {
        Client::QuickCache => {
            let cache = quick_cache::sync::Cache::new(usize::try_from(KEPT)?);
            zipf(ask, async |key: u64| {
                let hit = AtomicBool::new(true);
                let load = || {
                    hit.store(false, Ordering::Relaxed);
                    Ok::<u64, std::convert::Infallible>(key)
                };
                cache.get_or_insert_with(&key, load)?;
                Ok(hit.into_inner())
            })
            .await
        }
        Client::Moka => {
            let cache = moka::sync::Cache::builder().max_capacity(KEPT).time_to_live(TTL).build();
            zipf(ask, async |key: u64| {
                Ok(!cache.entry(key).or_insert_with(|| key).is_fresh())
            })
            .await
        }
        _ => bail!("{client:?} does not take part"),
    }
}
