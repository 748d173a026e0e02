//! Direct publishers: what the hub does not confirm is sent again, the same event with its id.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tramline_event_hub::{Event, Hub};

use crate::bed::KEYS;
use crate::plan::sub_seed;
use crate::task::{DIRECT, Does, HOPELESS, Task};

/// What they know, shared with whoever asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    known: Mutex<Known>,
    /// Set while the consumers are far behind.
    braked: AtomicBool,
}

/// What publishers know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Everything that was ever sent; true for poison.
    pub(crate) offered: HashMap<String, bool>,
    /// What the hub has confirmed.
    pub(crate) accepted: HashSet<String>,
    /// Answers by name, beside the confirms.
    pub(crate) answers: HashMap<&'static str, u64>,
    /// Those after which nobody can know.
    pub(crate) unknown: u64,
    pub(crate) outage: Outage,
}

/// The longest time without a confirm.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outage {
    last: Option<Instant>,
    pub(crate) longest: Duration,
}

/// The tasks that publish.
#[derive(Debug)]
pub(crate) struct Publishers {
    tasks: JoinSet<anyhow::Result<()>>,
    quiet: watch::Sender<bool>,
}

const PUBLISHERS: u64 = 3;

/// Some two hundred events a second in all: consumers and database keep up with it on two busy cores.
const PACE_MS: std::ops::Range<u64> = 30..90;
const BATCH: std::ops::RangeInclusive<usize> = 1..=8;

/// Between two tries of what was not confirmed.
const AGAIN: Duration = Duration::from_millis(100);

// === impl Publishers ===

impl Publishers {
    pub(crate) fn start(hub: &Hub, log: &Log, seed: u64) -> Self {
        let (quiet, wanted) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..PUBLISHERS {
            let rng = Xoshiro256PlusPlus::seed_from_u64(sub_seed(seed, 1_000 + number));
            let publisher =
                Publisher { hub: hub.clone(), log: log.clone(), rng, number, seqs: HashMap::new() };
            tasks.spawn(publisher.run(wanted.clone()));
        }
        Self { tasks, quiet }
    }

    /// Has nothing new published, and returns when everything is confirmed, which may be never.
    ///
    /// # Cancel safety
    ///
    /// They go on when dropped.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        self.quiet.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

struct Publisher {
    hub: Hub,
    log: Log,
    rng: Xoshiro256PlusPlus,
    number: u64,
    seqs: HashMap<String, i64>,
}

// === impl Publisher ===

impl Publisher {
    async fn run(mut self, quiet: watch::Receiver<bool>) -> anyhow::Result<()> {
        while !*quiet.borrow() {
            let batch =
                (0..self.rng.random_range(BATCH)).map(|_| self.draw()).collect::<Result<Vec<_>, _>>()?;
            let mut pending = self.publish(batch).await;
            while !pending.is_empty() {
                sleep(AGAIN).await;
                pending = self.publish(pending).await;
            }
            sleep(Duration::from_millis(self.rng.random_range(PACE_MS))).await;
            while self.log.0.braked.load(Ordering::Relaxed) && !*quiet.borrow() {
                sleep(AGAIN).await;
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> anyhow::Result<Event> {
        let key = format!("p{}-{}", self.number, self.rng.random_range(0..KEYS));
        let seq = self.seqs.entry(key.clone()).or_default();
        *seq += 1;
        let hopeless = self.rng.random_ratio(1, 200);
        let does = if hopeless { Does::Poison } else { Does::draw(&mut self.rng) };
        let task = Task { key, seq: *seq, does };
        let event = task.event(if hopeless { HOPELESS } else { DIRECT })?;
        self.log.known().offered.insert(event.id.to_string(), does.is_poison());
        Ok(event)
    }

    /// Answers with what is not confirmed.
    async fn publish(&self, events: Vec<Event>) -> Vec<Event> {
        let ids: Vec<String> = events.iter().map(|event| event.id.to_string()).collect();
        let answers = self.hub.publish_all(events).await;
        let mut known = self.log.known();
        let mut pending = Vec::new();
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer {
                Ok(_) => {
                    known.accepted.insert(id);
                    known.outage.confirmed();
                }
                Err(error) => {
                    *known.answers.entry(error.kind().name()).or_default() += 1;
                    known.unknown += u64::from(error.may_have_arrived());
                    pending.push(error.into_event());
                }
            }
        }
        pending
    }
}

// === impl Log ===

impl Log {
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has publishers wait, or go on.
    pub(crate) fn brake(&self, on: bool) {
        self.0.braked.store(on, Ordering::Relaxed);
    }
}

// === impl Outage ===

impl Outage {
    fn confirmed(&mut self) {
        let now = Instant::now();
        if let Some(last) = self.last {
            self.longest = self.longest.max(now - last);
        }
        self.last = Some(now);
    }
}
