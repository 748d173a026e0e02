//! What only Redis has, key by key.

use anyhow::bail;
use measure::cache::{Ask, Figures, crowd, key};
use tramline_cache::Loaded;

use crate::cache::{Profiles, profiles, shared};

/// Each key is asked for once by a store that has just begun.
pub(super) async fn run(ask: &Ask, tasks: usize) -> anyhow::Result<Figures> {
    let calls = ask.times(if tasks == 1 { 20_000 } else { 200_000 });
    let profiles = filled(ask, calls).await?;
    crowd(tasks, calls, 1, move |number| {
        let profiles = profiles.clone();
        async move {
            let value = profiles.get_or_load(&key(number), absent).await?;
            anyhow::ensure!(value.len() == measure::cache::VALUE, "not the value");
            Ok(())
        }
    })
    .await
}

/// A cache with nothing in memory, over a Redis that has so many keys.
pub(super) async fn filled(ask: &Ask, keys: usize) -> anyhow::Result<Profiles> {
    let other = profiles(&shared(ask).await?)?;
    crowd(64, keys, 1, move |number| {
        let other = other.clone();
        async move {
            other.set(&key(number), Loaded::new(measure::cache::value())).await;
            Ok(())
        }
    })
    .await?;
    profiles(&shared(ask).await?)
}

/// Redis has all.
async fn absent() -> anyhow::Result<String> {
    bail!("Redis did not have it")
}
