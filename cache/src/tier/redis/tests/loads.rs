//! One load for all processes, by a Redis that counts.

use std::sync::atomic::AtomicUsize;

use devkit::Fault;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::key::written;
use crate::{Cache, CacheConfig, Error, Store, StoreConfig};

/// Four processes.
struct Stores {
    caches: Vec<Cache<u64, usize>>,
    stores: Vec<Store>,
    _runs: Vec<AbortOnDropHandle<()>>,
}

// === impl Stores ===

impl Stores {
    async fn on(configs: [RedisConfig; 4]) -> Self {
        let mut settings = StoreConfig::default();
        (settings.lease_ttl, settings.lease_wait) = (Duration::from_secs(3), Duration::from_secs(60));
        let stores = configs.map(|config| Store::redis(config, settings.clone()).unwrap()).to_vec();
        let runs = stores.iter().cloned().map(|store| {
            AbortOnDropHandle::new(tokio::spawn(async move { store.run(std::future::pending()).await }))
        });
        let runs = runs.collect();
        until(async || stores.iter().all(|store| store.stats().attached)).await;
        let caches = stores.iter().map(|store| store.cache(CacheConfig::new("numbers")).unwrap()).collect();
        Self { caches, stores, _runs: runs }
    }
}

/// The load takes longer than a lease lives, which is renewed. A process whose connection breaks meanwhile may load for
/// itself, once, and what it brings is not kept by the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_who_ask_by_four_stores_are_one_load() {
    let Some((server, direct)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let mut raw = Raw::new(&server.url()).await;
    for cut in [false, true] {
        let direct = named(direct.clone());
        let stores =
            Stores::on([direct.clone(), direct.clone(), direct.clone(), at(&url, direct.clone())]).await;
        let loads = Arc::new(AtomicUsize::new(0));
        let (begin, go) = watch::channel(false);
        let ask = |n: usize| -> tokio::task::JoinHandle<Result<usize, Error>> {
            let (cache, loads, mut go) = (stores.caches[n % 4].clone(), Arc::clone(&loads), go.clone());
            tokio::spawn(async move {
                let load = move || async move {
                    let many = loads.fetch_add(1, Ordering::SeqCst) + 1;
                    go.wait_for(|go| *go).await.map(|_| many)
                };
                cache.get_or_load(&1, load).await.map(|value| *value)
            })
        };
        let mut asked = vec![ask(0)];
        until(async || loads.load(Ordering::SeqCst) == 1).await;
        asked.extend((1..1_000).map(ask));
        until(async || stores.caches[1..].iter().all(|cache| cache.stats().lease_waits >= 1)).await;

        let slot = Slot { space: "numbers.1".into(), key: written(&1_u64).into() };
        let name = Node::new(&direct).name(&slot);
        let (mut left, mut renewed) = (0, 0);
        while renewed < 4 {
            let life: i64 = raw.say(&format!("PTTL {name}")).await;
            assert!(life > 0, "the lease is lost after {renewed} times");
            renewed += usize::from(life > left);
            left = life;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if cut {
            let flushes = stores.stores[3].stats().flushes;
            fault.cut_once();
            until(async || stores.stores[3].stats().flushes > flushes && stores.stores[3].stats().attached)
                .await;
        }
        begin.send_replace(true);
        for (n, answer) in asked.into_iter().enumerate() {
            let answer = answer.await.unwrap().unwrap();
            assert!(answer == 1 || cut && n % 4 == 3 && answer == 2, "{answer} by {n}");
        }
        let loads = loads.load(Ordering::SeqCst);
        assert!(loads == 1 || cut && loads == 2, "{loads} loads");
        let fifth = Store::redis(direct, StoreConfig::default()).unwrap();
        let cache: Cache<u64, usize> = fifth.cache(CacheConfig::new("numbers")).unwrap();
        assert_eq!(cache.get(&1).await.as_deref(), Some(&1), "cut: {cut}");
    }
}
