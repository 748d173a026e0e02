//! What memory has.

use std::hint::black_box;

use anyhow::bail;
use measure::cache::{Ask, Figures, Hits, Turn};
use tokio::runtime::Runtime;
use tramline_cache::{Store, StoreConfig};

use crate::cache::{Allocations, Profiles, fill, profiles};

/// The time of a hit; with a counter, its allocations instead.
pub(super) async fn run(ask: &Ask, counter: Option<Allocations>) -> anyhow::Result<Figures> {
    let store = Store::memory(StoreConfig::default());
    let profiles = profiles(&store)?;
    let hits = Hits::new(ask);
    for key in hits.keys() {
        fill(&profiles, key.clone()).await?;
    }
    let running = tokio::spawn(async move { store.run(std::future::pending()).await });
    let figures = tokio::task::spawn_blocking(move || {
        let Some(count) = counter else { return Ok(hits.measure(|turn| asked(&profiles, turn))) };
        let runtime = runtime()?;
        let before = count();
        let asked = hits.once(|turn| asked_in(&runtime, &profiles, turn));
        let mut figures = Figures::default();
        figures.set("allocations", figure(count() - before) / figure(asked as u64));
        anyhow::Ok(figures)
    });
    let figures = figures.await??;
    running.abort();
    Ok(figures)
}

fn asked(profiles: &Profiles, turn: Turn<'_>) {
    // It costs nothing beside a million hits.
    asked_in(&runtime().expect("a runtime"), profiles, turn);
}

/// As in a service's task: one runtime around all.
fn asked_in(runtime: &Runtime, profiles: &Profiles, turn: Turn<'_>) {
    runtime.block_on(async {
        for key in turn {
            let value = profiles.get_or_load(key, || async { load() }).await;
            black_box(value.expect("memory has it"));
        }
    });
}

/// Memory has all.
fn load() -> anyhow::Result<String> {
    bail!("it was not there")
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().build()
}

#[expect(clippy::cast_precision_loss, reason = "some millions")]
fn figure(count: u64) -> f64 {
    count as f64
}
