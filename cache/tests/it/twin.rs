//! Several nodes in one process.

use tokio_util::task::AbortOnDropHandle;
use tramline_cache::conformance::{self, Nodes};
use tramline_cache::twin::Twin;
use tramline_cache::{Clock, Store, StoreConfig};

fn node(twin: &Twin) -> (Store, AbortOnDropHandle<()>) {
    let mut config = StoreConfig::default();
    config.clock = Clock::tokio();
    let store = Store::twin(twin, config);
    let run = tokio::spawn({
        let store = store.clone();
        async move { store.run(std::future::pending()).await }
    });
    (store, AbortOnDropHandle::new(run))
}

async fn attached(store: &Store) {
    while !store.stats().attached {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    let running = std::sync::Mutex::new(Vec::new());
    conformance::check(|| async {
        let twin = Twin::new();
        let ((a, run_a), (b, run_b)) = (node(&twin), node(&twin));
        attached(&a).await;
        attached(&b).await;
        running.lock().unwrap().extend([run_a, run_b]);
        Nodes::new(a, b)
    })
    .await;
}
