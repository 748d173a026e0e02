//! What callers see while Redis is stopped, paused, restarted empty, slow, and fails over.
//!
//! `cargo run --release -p tramline-cache --example faults [SECONDS]`
//!
//! Two processes' worth of stores, each with callers of two kinds, one question after the other: some ask for what is in
//! memory, some for keys that nobody has, which a load answers after a millisecond. One invalidates. Each phase lasts so
//! many seconds, and is told by a line. It ends at the first phase in which an error reaches a caller. Servers are private
//! ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use devkit::{Fault, Redis, RedisSentinels};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tramline_cache::{Cache, CacheConfig, RedisConfig, Stats, Store, StoreConfig};

/// What faults of Redis cost callers.
#[derive(Debug, Parser)]
struct Args {
    /// How long each phase takes
    #[arg(default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// Callers of each kind on each store.
const CALLERS: usize = 8;

/// How long a load takes.
const LOAD: Duration = Duration::from_millis(1);

/// Keys that are always in memory.
const WARM: u64 = 100;

/// Between two questions of a caller, or what is measured is how two cores are shared.
const PAUSE: Duration = Duration::from_micros(500);

/// Two stores on one Redis.
struct World {
    nodes: Vec<(Store, Cache<u64, String>)>,
    next: Arc<AtomicU64>,
}

/// What callers have seen.
#[derive(Default)]
struct Seen {
    hits: Vec<f64>,
    misses: Vec<f64>,
    errors: usize,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "its output")]
async fn main() -> anyhow::Result<()> {
    let time = Duration::from_secs(Args::parse().seconds);
    println!(
        "| phase | hits | p50 ms | p99 ms | max ms | misses | p50 ms | p99 ms | max ms | loads | from Redis | forgotten | errors |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    one(time).await?;
    watched(time).await
}

/// A single Redis.
async fn one(time: Duration) -> anyhow::Result<()> {
    let server = Redis::start().await?;
    let (fault, url) = Fault::in_front_of(&server.url()).await?;
    let world = World::new(&RedisConfig::new(url))?;
    world.phase("cold", time).await?;
    world.phase("well", time).await?;
    server.stop().await;
    world.phase("stopped", time).await?;
    server.restart().await?;
    world.phase("back", time).await?;
    server.pause();
    world.phase("paused", time).await?;
    server.resume();
    world.phase("goes on", time).await?;
    server.kill().await;
    empty(&server)?;
    let (phase, restarted) = tokio::join!(world.phase("killed, restarted empty", time), server.restart());
    phase?;
    restarted?;
    fault.delay(Duration::from_millis(50));
    world.phase("slow (100 ms a trip)", time).await?;
    fault.heal();
    fault.half_open();
    world.phase("half open", time).await?;
    fault.heal();
    world.phase("healed", time).await
}

/// One that sentinels watch over.
async fn watched(time: Duration) -> anyhow::Result<()> {
    let watched = RedisSentinels::start().await?;
    let world = World::new(&RedisConfig::sentinel(watched.urls(), RedisSentinels::MASTER))?;
    world.phase("a master, cold", time).await?;
    world.phase("well", time).await?;
    watched.servers()[0].kill().await;
    let (phase, over) = tokio::join!(world.phase("master killed, failing over", time), watched.failed_over());
    phase?;
    over?;
    world.phase("another master", time).await?;
    watched.servers()[0].restart().await?;
    world.phase("the first one back", time).await
}

/// Removes what it wrote.
fn empty(server: &Redis) -> anyhow::Result<()> {
    Ok(std::fs::remove_dir_all(server.folder().join("appendonlydir"))?)
}

// === impl World ===

impl World {
    fn new(redis: &RedisConfig) -> anyhow::Result<Self> {
        let node = || {
            let store = Store::redis(redis.clone(), StoreConfig::default())?;
            let cache = store.cache(CacheConfig::new("faults"))?;
            tokio::spawn({
                let store = store.clone();
                async move { store.run(std::future::pending()).await }
            });
            anyhow::Ok((store, cache))
        };
        Ok(Self { nodes: vec![node()?, node()?], next: Arc::default() })
    }

    #[expect(clippy::print_stdout, reason = "its output")]
    async fn phase(&self, name: &str, time: Duration) -> anyhow::Result<()> {
        let (before, flushes, end) = (self.stats(), self.flushes(), Instant::now() + time);
        let mut callers = JoinSet::new();
        for (_, cache) in &self.nodes {
            for n in 0..CALLERS {
                callers.spawn(hits(cache.clone(), n as u64, end));
                callers.spawn(misses(cache.clone(), Arc::clone(&self.next), end));
            }
        }
        callers.spawn(endings(self.nodes[0].1.clone(), end));
        let mut all = Seen::default();
        while let Some(seen) = callers.join_next().await {
            let seen = seen?;
            all.hits.extend(seen.hits);
            all.misses.extend(seen.misses);
            all.errors += seen.errors;
        }
        let after = self.stats();
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} |",
            figures(&mut all.hits),
            figures(&mut all.misses),
            after.loads - before.loads,
            after.hits_shared - before.hits_shared,
            self.flushes() - flushes,
            all.errors
        );
        anyhow::ensure!(all.errors == 0, "{name}: errors have reached callers");
        Ok(())
    }

    /// How often memory was forgotten, since something may have been missed.
    fn flushes(&self) -> u64 {
        self.nodes.iter().map(|(store, _)| store.stats().flushes).sum()
    }

    fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for (_, cache) in &self.nodes {
            let stats = cache.stats();
            sum.loads += stats.loads;
            sum.hits_shared += stats.hits_shared;
        }
        sum
    }
}

/// Asks for what is in memory, or was before it was forgotten: that is no hit then.
async fn hits(cache: Cache<u64, String>, n: u64, end: Instant) -> Seen {
    let mut seen = Seen::default();
    let mut key = n;
    while Instant::now() < end {
        key = (key + 1) % WARM;
        let there = cache.peek(&key).is_some();
        ask(&cache, key, there, &mut seen).await;
    }
    seen
}

async fn misses(cache: Cache<u64, String>, next: Arc<AtomicU64>, end: Instant) -> Seen {
    let mut seen = Seen::default();
    while Instant::now() < end {
        ask(&cache, 1_000 + next.fetch_add(1, Ordering::Relaxed), false, &mut seen).await;
    }
    seen
}

/// Ends one after the other, so that there is something to tell a Redis that is away.
async fn endings(cache: Cache<u64, String>, end: Instant) -> Seen {
    let mut key = 0;
    while Instant::now() < end {
        key = (key + 1) % WARM;
        cache.invalidate(&key).await;
        sleep(Duration::from_millis(20)).await;
    }
    Seen::default()
}

async fn ask(cache: &Cache<u64, String>, key: u64, hit: bool, seen: &mut Seen) {
    let begun = Instant::now();
    let load = || async {
        sleep(LOAD).await;
        Ok::<_, std::fmt::Error>("an answer".to_owned())
    };
    let answer = cache.get_or_load(&key, load).await;
    let millis = begun.elapsed().as_secs_f64() * 1000.0;
    if hit { &mut seen.hits } else { &mut seen.misses }.push(millis);
    seen.errors += usize::from(answer.is_err());
    sleep(PAUSE).await;
}

/// How many, the middle, the hundredth slowest and the slowest of them.
fn figures(millis: &mut [f64]) -> String {
    millis.sort_by(f64::total_cmp);
    let at = |part: usize| millis.get((millis.len() * part / 100).min(millis.len().saturating_sub(1)));
    let [p50, p99, max] = [50, 99, 100].map(|part| at(part).copied().unwrap_or_default());
    format!("{} | {p50:.3} | {p99:.3} | {max:.1}", millis.len())
}
