//! Our cache, as a service has it: typed, with its policy, its feed and the recorder of metrics.

mod hits;
mod killed;
mod many;
mod shared;
mod zipf;

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use measure::cache::{Ask, Row, invalidator, key, stampede, stampeding, value, watcher};
use tramline_cache::{Cache, CacheConfig, RedisConfig, Store, StoreConfig};
use tramline_observability::metrics::{Recorder, RecorderConfig};

/// How often memory was allocated since the start of the process.
pub type Allocations = fn() -> u64;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    ask: Ask,
}

/// Profiles by the user's key.
type Profiles = Cache<String, String>;

/// Runs the row that the command line names.
///
/// # Errors
///
/// If it cannot be run; a wrong answer counts as that too.
pub fn main(counter: Option<Allocations>) -> anyhow::Result<()> {
    let Cli { ask } = Cli::parse();
    let _recorder = Recorder::global(&RecorderConfig::default()).context("the recorder")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&ask, counter))
}

async fn run(ask: &Ask, counter: Option<Allocations>) -> anyhow::Result<()> {
    let figures = match ask.row {
        Row::HitOne | Row::HitTwo => hits::run(ask, counter).await?,
        Row::SharedOne => shared::run(ask, 1).await?,
        Row::SharedCrowd => shared::run(ask, 64).await?,
        Row::Many => many::run(ask).await?,
        Row::Nobody => many::nobody(ask).await?,
        Row::Stampede if ask.child => {
            let profiles = profiles(&shared(ask).await?)?;
            return stampeding(move |key, load| {
                let profiles = profiles.clone();
                async move {
                    Ok(profiles.get_or_load(&key, || async { anyhow::Ok(load.load().await) }).await?.len())
                }
            })
            .await;
        }
        Row::Stampede => stampede(ask).await?,
        Row::Zipf => zipf::run(ask).await?,
        Row::Invalidate if ask.child => {
            let profiles = profiles(&shared(ask).await?)?;
            let watched = profiles.clone();
            let fill = async || fill(&profiles, key(0)).await;
            return watcher(fill, move || watched.peek(&key(0)).is_some()).await;
        }
        Row::Invalidate => {
            let profiles = profiles(&shared(ask).await?)?;
            invalidator(ask, async || {
                profiles.invalidate(&key(0)).await;
                Ok(())
            })
            .await?
        }
        Row::RedisKilled => killed::run(ask).await?,
    };
    figures.print()
}

/// A store that hears what others end.
async fn shared(ask: &Ask) -> anyhow::Result<Store> {
    let store = Store::redis(RedisConfig::new(&ask.url), StoreConfig::default())?;
    let running = store.clone();
    tokio::spawn(async move { running.run(std::future::pending()).await });
    while !store.stats().attached {
        // Nothing tells of it, and nothing is measured yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(store)
}

/// A cache as its defaults make it, but for a life that no row outlasts.
fn profiles(store: &Store) -> anyhow::Result<Profiles> {
    let mut config = CacheConfig::new("profiles");
    config.policy.ttl = Duration::from_hours(1);
    Ok(store.cache(config)?)
}

async fn fill(profiles: &Profiles, key: String) -> anyhow::Result<()> {
    profiles.get_or_load(&key, || async { anyhow::Ok(value()) }).await?;
    Ok(())
}
