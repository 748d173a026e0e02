//! Memory for a tenth of the keys.

use std::convert::Infallible;
use std::time::Duration;

use measure::cache::{Ask, Figures, KEPT, zipf};
use tramline_cache::{Cache, CacheConfig, Store, StoreConfig};

pub(super) async fn run(ask: &Ask) -> anyhow::Result<Figures> {
    let mut config = CacheConfig::new("numbers");
    config.policy.ttl = Duration::from_hours(1);
    // The number of entries is what bounds it.
    config.max_entries = KEPT;
    config.max_weight = KEPT * 1024;
    let numbers: Cache<u64, u64> = Store::memory(StoreConfig::default()).cache(config)?;
    zipf(ask, async |key| {
        let loads = numbers.stats().loads;
        numbers.get_or_load(&key, move || async move { Ok::<_, Infallible>(key) }).await?;
        Ok(numbers.stats().loads == loads)
    })
    .await
}
