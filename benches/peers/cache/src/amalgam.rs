//! amalgam: `get_or_set` as its documentation shows it, over Redis with its feed and its lock.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use amalgam::provider::{JsonSerializer, RedisBackplane, RedisDistributedCache, RedisDistributedLocker};
use amalgam::{Cache, EntryOptions, FactoryError, source};
use anyhow::{bail, ensure};
use measure::cache::{
    Ask, FRESH, Figures, Hits, Load, Row, STALE, Sides, VALUE, crowd, key, killed, stampede, stampeding,
    value,
};

use crate::memory::runtime;

const HOUR: Duration = Duration::from_secs(3600);

/// How long its breaker stays open: about as long as ours pauses at most.
const PAUSE: Duration = Duration::from_secs(2);

/// None: a child, whose parent has the figures.
pub(crate) async fn run(ask: &Ask) -> anyhow::Result<Option<Figures>> {
    Ok(Some(match ask.row {
        Row::HitOne | Row::HitTwo => hits(ask).await?,
        Row::SharedOne => shared(ask, 1).await?,
        Row::SharedCrowd => shared(ask, 64).await?,
        Row::Stampede if ask.child => {
            let cache = redis(ask).await?;
            let get = move |key: String, load: Load| {
                let cache = cache.clone();
                async move {
                    let load = source::factory(|context| async move {
                        Ok::<_, FactoryError>(context.value(load.load().await))
                    });
                    Ok(cache.get_or_set(key, load).await?.len())
                }
            };
            stampeding(get).await?;
            return Ok(None);
        }
        Row::Stampede => stampede(ask).await?,
        Row::RedisKilled => redis_killed(ask).await?,
        _ => bail!("amalgam does not take part"),
    }))
}

/// Values are counted pointers, as the others have them.
async fn hits(ask: &Ask) -> anyhow::Result<Figures> {
    let options = EntryOptions::new(HOUR);
    let cache: Cache<Arc<str>> = Cache::builder().default_options(options).immutable_values().try_build()?;
    let hits = Hits::new(ask);
    for key in hits.keys() {
        cache.set(key, Arc::from(value())).await?;
    }
    let measured = move || {
        hits.measure(|turn| {
            runtime().block_on(async {
                for key in turn {
                    let absent = source::factory(|context| async move { Err(context.fail("it was not there")) });
                    black_box(cache.get_or_set(key, absent).await.expect("it has it"));
                }
            });
        })
    };
    Ok(tokio::task::spawn_blocking(measured).await?)
}

async fn shared(ask: &Ask, tasks: usize) -> anyhow::Result<Figures> {
    let calls = ask.times(if tasks == 1 { 20_000 } else { 200_000 });
    let other = redis(ask).await?;
    crowd(64, calls, 1, move |number| {
        let other = other.clone();
        async move { Ok(other.set(key(number), value()).await?) }
    })
    .await?;
    let cache = redis(ask).await?;
    crowd(tasks, calls, 1, move |number| {
        let cache = cache.clone();
        async move {
            let absent = source::factory(|context| async move { Err(context.fail("Redis did not have it")) });
            ensure!(cache.get_or_set(key(number), absent).await?.len() == VALUE, "not the value");
            Ok(())
        }
    })
    .await
}

async fn redis_killed(ask: &Ask) -> anyhow::Result<Figures> {
    let cache = redis(ask).await?;
    let old = |options: EntryOptions| {
        options.with_duration(FRESH).with_fail_safe(true, Some(HOUR), Some(Duration::from_secs(1)))
    };
    let stale = |number| key(10 + number);
    for number in 0..STALE {
        cache.set(stale(number), value()).options(old).await?;
    }
    let warm = key(1);
    cache.set(&warm, value()).await?;
    let sides = Sides {
        hits: async |times| {
            for _ in 0..times {
                let failed = source::factory(|context| async move { Err(context.fail("away")) });
                cache.get_or_set(&warm, failed).await?;
            }
            Ok(())
        },
        miss: async |number| {
            let load = source::factory(|context| async move { Ok::<_, FactoryError>(context.value(value())) });
            cache.get_or_set(key(1000 + number), load).await?;
            Ok(())
        },
        stale: async |number| {
            let failed = source::factory(|context| async move { Err(context.fail("away")) });
            cache.get_or_set(stale(number), failed).options(old).await?;
            Ok(())
        },
    };
    killed(ask, sides).await
}

/// As its example for Redis, and with its breakers, which it does not have by itself.
async fn redis(ask: &Ask) -> anyhow::Result<Cache<String>> {
    let cache = Cache::builder()
        .default_options(EntryOptions::new(HOUR))
        .distributed(Arc::new(RedisDistributedCache::connect(ask.url.clone()).await?))
        .serializer(Arc::new(JsonSerializer))
        .backplane(Arc::new(RedisBackplane::connect(ask.url.clone()).await?))
        .distributed_locker(Arc::new(RedisDistributedLocker::connect(ask.url.clone()).await?))
        .distributed_circuit_breaker(PAUSE)
        .backplane_circuit_breaker(PAUSE)
        .try_build()?;
    Ok(cache)
}
