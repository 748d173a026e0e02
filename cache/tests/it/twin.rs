//! Several nodes in one process.

use std::convert::Infallible;
use std::sync::Mutex;

use tramline_cache::conformance::{self, Nodes};
use tramline_cache::twin::Twin;
use tramline_cache::{CacheConfig, Clock, StoreConfig};

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
        // Those of the check before are not needed any more, and take time from these.
        *running.lock().unwrap() = vec![run_a, run_b];
        Nodes::new(a, b)
    })
    .await;
}

/// Nobody tells of what others end: what memory has is believed for a while, at no other price, and then asked for again.
#[tokio::test(start_paused = true)]
async fn what_is_not_heard_of_is_believed_for_a_while() {
    let twin = Twin::new();
    let mut config = StoreConfig::default();
    config.clock = Clock::manual();
    let clock = config.clock.clone();
    let age = config.detached_age;
    // It does not run.
    let store = Store::twin(&twin, config);
    let cache = store.cache::<u64, u64>(CacheConfig::new("ages")).unwrap();
    let ask =
        async |value: u64| cache.get_or_load(&1, move || async move { Ok::<_, Infallible>(value) }).await;
    assert_eq!(*ask(1).await.unwrap(), 1);
    clock.advance(age - Duration::from_millis(1));
    assert_eq!(*ask(2).await.unwrap(), 1);
    assert_eq!(cache.peek(&1).as_deref(), Some(&1));
    assert_eq!((cache.stats().hits_memory, cache.stats().hits_shared), (1, 0));
    clock.advance(Duration::from_millis(1));
    assert_eq!(cache.peek(&1), None);
    assert_eq!(*ask(3).await.unwrap(), 1);
    assert_eq!((cache.stats().hits_memory, cache.stats().hits_shared), (1, 1));
}
