//! One cold key, and everybody wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use crate::cache::clock::{Instant, shared};
use crate::cache::figures::{Figures, median, number};
use crate::cache::relatives::{Child, Orders, say};
use crate::cache::{Ask, VALUE, value};

/// Four processes with 250 tasks each.
const PROCESSES: usize = 4;
const TASKS: usize = 250;

/// How long a load takes.
const LOAD: Duration = Duration::from_millis(100);

/// The parent: tells all children a key that nobody has, and waits until all have it. `loads` at most for a key, and
/// `over` ms more than the load takes until the last one has it, as the middle of some keys.
///
/// # Errors
///
/// When a child fails.
pub async fn stampede(ask: &Ask) -> anyhow::Result<Figures> {
    let mut children = Vec::new();
    for _ in 0..PROCESSES {
        children.push(Child::start().await?);
    }
    let (mut most, mut over) = (0, Vec::new());
    for _ in 0..ask.times(10) {
        let key = format!("stampede-{}", shared());
        let started = Instant::now();
        for child in &mut children {
            child.tell(&key).await?;
        }
        let mut loads = 0;
        for child in &mut children {
            loads += child.hear().await?.parse::<u64>().context("a child tells how many loads it had")?;
        }
        over.push((started.elapsed().as_secs_f64() - LOAD.as_secs_f64()) * 1e3);
        most = most.max(loads);
    }
    let mut figures = Figures::default();
    figures.set("loads", number(most));
    figures.set("over", median(over));
    Ok(figures)
}

/// A child: `get` asks a cache after a key, with the load that it is given.
///
/// # Errors
///
/// When somebody does not get the value.
pub async fn stampeding<F, Fut>(get: F) -> anyhow::Result<()>
where
    F: Fn(String, Load) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = anyhow::Result<usize>> + Send + 'static,
{
    let get = Arc::new(get);
    let mut orders = Orders::new()?;
    while let Some(key) = orders.next().await? {
        let load = Load(Arc::default());
        let mut asking = JoinSet::new();
        for _ in 0..TASKS {
            asking.spawn(get(key.clone(), load.clone()));
        }
        while let Some(length) = asking.join_next().await {
            ensure!(length.context("a task panicked")?? == VALUE, "not the value");
        }
        say(&load.0.load(Ordering::Acquire).to_string())?;
    }
    Ok(())
}

/// A load that is counted.
#[derive(Clone, Debug)]
pub struct Load(Arc<AtomicU64>);

// === impl Load ===

impl Load {
    /// Takes its time.
    pub async fn load(self) -> String {
        self.0.fetch_add(1, Ordering::AcqRel);
        tokio::time::sleep(LOAD).await;
        value()
    }
}
