//! The cache in memory alone.

use tramline_cache::conformance::{self, Nodes};
use tramline_cache::{Clock, Store, StoreConfig};

fn config() -> StoreConfig {
    let mut config = StoreConfig::default();
    config.clock = Clock::tokio();
    config
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    conformance::check(|| async { Nodes::alone(Store::memory(config())) }).await;
}
