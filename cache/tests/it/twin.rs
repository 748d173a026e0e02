//! Several nodes in one process.

use std::sync::Mutex;

use tramline_cache::conformance::{self, Nodes};
use tramline_cache::twin::Twin;
use tramline_cache::{Clock, StoreConfig};

use super::*;

async fn node(twin: &Twin) -> (Store, AbortOnDropHandle<()>) {
    let mut config = StoreConfig::default();
    config.clock = Clock::tokio();
    let store = Store::twin(twin, config);
    let run = running(&store);
    until(|| store.stats().attached).await;
    (store, run)
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    let running = Mutex::new(Vec::new());
    conformance::check(|| async {
        let twin = Twin::new();
        let ((a, run_a), (b, run_b)) = (node(&twin).await, node(&twin).await);
        running.lock().unwrap().extend([run_a, run_b]);
        Nodes::new(a, b)
    })
    .await;
}
