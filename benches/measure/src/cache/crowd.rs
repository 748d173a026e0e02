//! Tasks that ask at once.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinSet;

use crate::cache::clock::{self, Instant};
use crate::cache::figures::{Figures, number};
use crate::latency::Latency;

/// `tasks` tasks call so often in all, each call with a number of its own; a call handles `each` keys. As `rate` keys a
/// second, `cpu` µs of this process's time a key, and the calls' `p50`, `p99`, `max` and `mean` in µs.
///
/// # Errors
///
/// The first one of a call.
pub async fn crowd<F, Fut>(tasks: usize, calls: usize, each: usize, call: F) -> anyhow::Result<Figures>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let call = Arc::new(call);
    let mut running = JoinSet::new();
    let (started, cpu) = (Instant::now(), clock::process());
    for task in 0..tasks {
        let call = Arc::clone(&call);
        running.spawn(async move {
            let mut latencies = Vec::with_capacity(calls / tasks + 1);
            for number in (task..calls).step_by(tasks) {
                let started = Instant::now();
                call(number).await?;
                latencies.push(started.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latency = Latency::with_capacity(calls);
    let mut sum = 0.0;
    while let Some(latencies) = running.join_next().await {
        for one in latencies.context("a task panicked")?? {
            sum += one.as_secs_f64();
            latency.add(one);
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let keys = number(calls * each);
    let mut figures = Figures::default();
    figures.set("rate", keys / seconds);
    figures.set("cpu", number(clock::process() - cpu) / 1e3 / keys);
    figures.set("mean", sum * 1e6 / number(calls));
    figures.set_latency("", latency);
    Ok(figures)
}
