//! What one process ends, and another one sees.

use std::time::Duration;

use anyhow::Context as _;

use crate::cache::Ask;
use crate::cache::clock::shared;
use crate::cache::figures::Figures;
use crate::cache::relatives::{Child, Orders, say};
use crate::latency::Latency;

/// Between two of them: nothing is under way when one begins.
const PAUSE: Duration = Duration::from_millis(2);

/// How often the watcher looks. The figures are this exact.
const LOOK: Duration = Duration::from_micros(20);

/// After this it was lost.
const LIMIT: Duration = Duration::from_secs(5);

/// The parent: calls `end` again and again, and hears when its child sees it. `p50`, `p99` and `max` in µs from the call.
///
/// # Errors
///
/// When the child fails.
pub async fn invalidator(ask: &Ask, end: impl AsyncFn() -> anyhow::Result<()>) -> anyhow::Result<Figures> {
    let mut child = Child::start().await?;
    let times = ask.times(1000);
    let mut latency = Latency::with_capacity(times);
    for _ in 0..times {
        child.tell("fill").await?;
        child.hear().await?;
        tokio::time::sleep(PAUSE).await;
        let started = shared();
        end().await?;
        let seen: u64 = child.hear().await?.parse().context("the child tells when it saw it")?;
        latency.add(Duration::from_nanos(seen.saturating_sub(started)));
    }
    let mut figures = Figures::default();
    figures.set_latency("", latency);
    Ok(figures)
}

/// The child: `fill` brings the value here, and `there` tells whether it still is.
///
/// # Errors
///
/// When the end is never seen.
pub async fn watcher(
    fill: impl AsyncFn() -> anyhow::Result<()>,
    there: impl Fn() -> bool + Clone + Send + 'static,
) -> anyhow::Result<()> {
    let mut orders = Orders::new()?;
    while orders.next().await?.is_some() {
        fill().await?;
        anyhow::ensure!(there(), "filled, and not there");
        let there = there.clone();
        // A thread that looks and sleeps, so that the runtime sleeps as it does when nothing happens.
        let watch = tokio::task::spawn_blocking(move || watch(&there));
        say("filled")?;
        let seen = watch.await.context("the watch panicked")?.context("never seen")?;
        say(&seen.to_string())?;
    }
    Ok(())
}

fn watch(there: &impl Fn() -> bool) -> Option<u64> {
    #[cfg(target_os = "linux")]
    // Else a sleep may take 50 µs more.
    let _ = nix::sys::prctl::set_timerslack(1);
    let began = shared();
    loop {
        if !there() {
            return Some(shared());
        }
        if u128::from(shared() - began) > LIMIT.as_nanos() {
            return None;
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, which only looks")]
        std::thread::sleep(LOOK);
    }
}
