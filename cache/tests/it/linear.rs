//! No read is older than it may be.
//!
//! Three nodes share a twin whose network is slow and breaks; tasks on each of them ask for rows of a table that changes,
//! and tell the caches. What a node has ended itself it never answers again; what another has ended, not after the lag of
//! the feed, or `detached_age` and the time to notice when the feed is broken or nobody has time to hear it. All in paused time, and by chance:
//! `TRAMLINE_CACHE_SEED` repeats one choice of chances, up to the order of what happens in one millisecond;
//! `TRAMLINE_CACHE_SEEDS` says how many are tried.

mod calm;
mod redis;
mod source;
mod way;
mod weather;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, join_all, select, try_join_all};
use rand::RngExt;
use tokio::time::{Instant, sleep};
use tramline_cache::{Cache, CacheConfig, Policy, Refresh, Store, StoreConfig};

use crate::linear::source::{Seen, Source};
use crate::linear::weather::{Kind, Weather};
use crate::linear::worker::{Worker, random, tagged};
use crate::support::Nodes;

const NODES: usize = 3;
const WORKERS: usize = 4;
const TURNS: usize = 250;
const ROWS: u64 = 9;
const DETACHED_AGE: Duration = Duration::from_millis(800);

/// What is the same for all tasks of a run.
#[derive(Clone, Copy)]
struct Plan {
    loads_fail: bool,
    load: Duration,
    pause: Duration,
    /// The longest that anything may be kept.
    age: Duration,
}

#[test]
fn no_read_is_older_than_it_may_be() {
    let seeds: Vec<u64> = match number("TRAMLINE_CACHE_SEED") {
        Some(seed) => vec![seed],
        None => {
            let many = number("TRAMLINE_CACHE_SEEDS").unwrap_or(SEEDS);
            (0..many).map(|_| rand::random_range(0..1_000_000)).collect()
        }
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        if let Err(wrong) = runtime.unwrap().block_on(run(seed)) {
            panic!("TRAMLINE_CACHE_SEED={seed}: {wrong}");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().expect("a number"))
}

/// A third of a second each.
const SEEDS: u64 = 10;

async fn run(seed: u64) -> Result<(), String> {
    let mut chance = random(seed, 0);
    let mut up_to = |most: u64| Duration::from_millis(chance.random_range(0..=most));
    let nodes = Nodes::new(NODES, settings).await;
    let lags: Vec<Duration> = (0..NODES).map(|_| up_to(25)).collect();
    for (node, lag) in lags.iter().enumerate() {
        nodes.twin.lag(node, *lag);
        nodes.twin.slow(node, up_to(8));
    }
    let source = Arc::new(Source::new(ROWS, Weather::new(lags, DETACHED_AGE)));
    let policies = [policy(&mut up_to), policy(&mut up_to)];
    let working =
        work(&nodes.stores, &source, &policies, &mut up_to, seed, TURNS, Duration::from_millis(500));
    let breaking = join_all((0..NODES).map(|node| storm(&nodes, &source, node, seed)));
    match select(Box::pin(working), Box::pin(breaking)).await {
        Either::Left((done, _)) => done.map(drop),
        Either::Right((never, _)) => unreachable!("{never:?}"),
    }
}

fn settings(config: &mut StoreConfig) {
    config.detached_age = DETACHED_AGE;
    config.max_ttl = Duration::from_secs(20);
    config.cut_policies = true;
    config.lease_ttl = Duration::from_millis(300);
    config.lease_wait = Duration::from_millis(400);
}

/// Lets everybody do so many turns, and gives back who did them. Nodes beyond the usual ones only ask.
async fn work(
    stores: &[Store],
    source: &Arc<Source>,
    policies: &[Policy],
    up_to: &mut impl FnMut(u64) -> Duration,
    seed: u64,
    turns: usize,
    slack: Duration,
) -> Result<Vec<Worker>, String> {
    let longest = |policy: &Policy| policy.ttl + policy.stale_for.unwrap_or_default();
    let plan = Plan {
        loads_fail: seed.is_multiple_of(3),
        load: up_to(60) + Duration::from_millis(1),
        pause: up_to(80) + Duration::from_millis(5),
        age: policies.iter().map(longest).max().unwrap() + slack,
    };
    let mut workers = Vec::new();
    for (node, store) in stores.iter().enumerate() {
        let cache: Cache<u64, Seen> = store.cache(CacheConfig::new("rows")).unwrap();
        let with_tags = |policy: &Policy| {
            let mut with_tags = policy.clone();
            with_tags.tags = vec![tagged()];
            [policy, &with_tags].map(|policy| cache.with_policy(policy.clone()).unwrap())
        };
        let caches: Vec<_> = policies.iter().map(with_tags).collect();
        for _ in 0..WORKERS {
            let (random, source) = (random(seed, workers.len() + 10), Arc::clone(source));
            let (store, caches, only_asks) = (store.clone(), caches.clone(), node >= NODES);
            let worker = Worker { node, store, caches, source, plan, random, only_asks };
            workers.push(worker);
        }
    }
    let each = workers
        .into_iter()
        .map(|worker| async { tokio::spawn(worker.run(turns)).await.map_err(|panic| panic.to_string())? });
    try_join_all(each).await
}

const HARD: Duration = Duration::from_secs(3);

fn policy(up_to: &mut impl FnMut(u64) -> Duration) -> Policy {
    let mut policy = Policy::new(up_to(12_000) + Duration::from_millis(20));
    let mut maybe = |most: u64| Some(up_to(most)).filter(|some| some.as_millis() % 2 == 0);
    policy.negative_ttl = maybe(2_000);
    policy.stale_for = maybe(3_000);
    policy.soft_timeout = maybe(40);
    if maybe(1).is_some() {
        policy.refresh =
            if maybe(1).is_some() { Refresh::At { share: 0.3 } } else { Refresh::Early { beta: 4.0 } };
    }
    policy.retry_after = up_to(300);
    policy.hard_timeout = HARD;
    policy
}

/// Breaks what connects one node, again and again.
async fn storm(nodes: &Nodes, source: &Source, node: usize, seed: u64) -> std::convert::Infallible {
    let mut random = random(seed, node + 100);
    let (twin, weather) = (&nodes.twin, &source.weather);
    loop {
        sleep(Duration::from_millis(random.random_range(100..4_000))).await;
        match random.random_range(0..12) {
            0..3 => {
                weather.begin(node, Kind::Cut);
                twin.cut(node);
            }
            3..6 => {
                weather.begin(node, Kind::Deaf);
                twin.deafen(node);
            }
            6..8 => {
                weather.begin(node, Kind::Still);
                nodes.stand(node, true);
            }
            8..11 => {
                weather.begin(node, Kind::Lossy);
                twin.lose_one(node);
                continue;
            }
            _ => {
                twin.restart_empty();
                continue;
            }
        }
        let calm = Instant::now() + Duration::from_millis(random.random_range(1..7_000));
        tokio::time::sleep_until(calm).await;
        twin.heal(node);
        nodes.stand(node, false);
        weather.heal(node);
    }
}
