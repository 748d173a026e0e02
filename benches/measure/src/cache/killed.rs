//! Redis is killed.

use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cache::Ask;
use crate::cache::clock::Instant;
use crate::cache::figures::{Figures, median, number};
use crate::latency::Latency;

/// What a cache is asked in this row.
#[derive(Debug)]
#[allow(clippy::exhaustive_structs, reason = "made by the programs of this repository alone")]
pub struct Sides<Hit, Miss, Stale> {
    /// Asks so often for what memory has.
    pub hits: Hit,
    /// Asks for a key that nobody has. The load takes no time.
    pub miss: Miss,
    /// Asks for this one of [`STALE`] keys, which are no longer fresh. The load fails.
    pub stale: Stale,
}

/// Hits in one look.
const HITS: usize = 100_000;

/// Looks, of which the middle one counts.
const LOOKS: usize = 7;

/// So many misses, with a pause between two, so that they see some of the probes.
const MISSES: usize = 1000;
const PAUSE: Duration = Duration::from_millis(3);

/// Of whoever waits in each call, fewer are enough.
const LONG: Duration = Duration::from_secs(10);

/// Keys that are asked for when they are no longer fresh.
pub const STALE: usize = 200;

/// How long those are fresh. They are filled before [`killed`], which waits that long.
pub const FRESH: Duration = Duration::from_millis(500);

/// `hit_before` and `hit_after` in ns, `miss_before` as `p50` in µs, a task that does nothing as `task_p50` and so on, the
/// first miss after the end as `first` in ms, later ones as `miss_p50`, `miss_p99` and `miss_max` in µs, stale answers as
/// `stale_p50` and so on, and how many `errors` there were.
///
/// # Errors
///
/// When Redis cannot be killed.
pub async fn killed<Hit, Miss, Stale>(ask: &Ask, sides: Sides<Hit, Miss, Stale>) -> anyhow::Result<Figures>
where
    Hit: AsyncFn(usize) -> anyhow::Result<()>,
    Miss: AsyncFn(usize) -> anyhow::Result<()>,
    Stale: AsyncFn(usize) -> anyhow::Result<()>,
{
    let mut figures = Figures::default();
    let (mut errors, mut latency) = (0_usize, Latency::with_capacity(MISSES));
    let misses = ask.times(MISSES);
    figures.set("hit_before", look(&sides.hits).await?);
    for number in 0..misses {
        let (took, failed) = timed(&sides.miss, number).await;
        latency.add(took);
        errors += failed;
        tokio::time::sleep(PAUSE).await;
    }
    figures.set("miss_before", latency.percentiles().p50);
    let mut latency = Latency::with_capacity(MISSES);
    for number in 0..misses {
        let (took, _) = timed(&async |_| Ok(tokio::spawn(async {}).await?), number).await;
        latency.add(took);
        tokio::time::sleep(PAUSE).await;
    }
    figures.set_latency("task_", latency);
    killing(ask)?;
    let (first, failed) = timed(&sides.miss, misses).await;
    errors += failed;
    figures.set("first", first.as_secs_f64() * 1e3);
    figures.set("hit_after", look(&sides.hits).await?);
    let mut latency = Latency::with_capacity(MISSES);
    let began = Instant::now();
    for number in (0..misses).take_while(|_| began.elapsed() < LONG) {
        let (took, failed) = timed(&sides.miss, misses + 1 + number).await;
        latency.add(took);
        errors += failed;
        tokio::time::sleep(PAUSE).await;
    }
    figures.set_latency("miss_", latency);
    tokio::time::sleep(FRESH).await;
    let mut latency = Latency::with_capacity(STALE);
    let began = Instant::now();
    for number in (0..STALE).take_while(|_| began.elapsed() < LONG) {
        let (took, failed) = timed(&sides.stale, number).await;
        latency.add(took);
        errors += failed;
    }
    figures.set_latency("stale_", latency);
    figures.set("errors", number(errors));
    Ok(figures)
}

/// Kills the Redis that was made for this row.
fn killing(ask: &Ask) -> anyhow::Result<()> {
    let redis = ask.redis.context("the process of Redis is not given")?;
    kill(Pid::from_raw(redis), Signal::SIGKILL).context("cannot kill Redis")
}

async fn look(hits: &impl AsyncFn(usize) -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let started = Instant::now();
        hits(HITS).await?;
        looks.push(number(started.elapsed().as_nanos()) / number(HITS));
    }
    Ok(median(looks))
}

async fn timed(call: &impl AsyncFn(usize) -> anyhow::Result<()>, number: usize) -> (Duration, usize) {
    let started = Instant::now();
    let failed = usize::from(call(number).await.is_err());
    (started.elapsed(), failed)
}
