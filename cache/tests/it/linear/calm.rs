//! When nothing breaks and nothing changes by chance.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::linear::ROWS;
use crate::linear::way::Way;
use crate::linear::worker::{Worker, loaded};

/// So long the last words may be on their way.
const SOON: Duration = Duration::from_secs(10);

/// Loads of all rows that have read them, and wait for a word.
pub(super) struct Late {
    go: watch::Sender<bool>,
    asked: JoinSet<()>,
}

// === impl Worker ===

impl Worker {
    /// Ends all that can be ended so.
    pub(super) async fn end_each(&self, ways: &[Way]) {
        for way in ways {
            self.end(*way, 0, |_| true).await;
        }
    }

    /// Whoever asks gets what the last ending left, soon, and it is kept.
    pub(super) async fn settled(&self) -> Result<(), String> {
        for row in 0..ROWS {
            for policy in 0..self.caches.len() {
                let deadline = Instant::now() + SOON;
                while let Err(wrong) = self.is_settled(row, policy).await {
                    if Instant::now() > deadline {
                        return Err(format!("node {}, when all is well: {wrong}", self.node));
                    }
                    sleep(Duration::from_millis(10)).await;
                }
            }
        }
        Ok(())
    }

    async fn is_settled(&self, row: u64, policy: usize) -> Result<(), String> {
        let (cache, source) = (self.cache_of(policy, row), Arc::clone(&self.source));
        let find =
            move || async move { Ok::<_, std::fmt::Error>(source.read(row).map(|seen| loaded(row, seen))) };
        let found = cache.answer(&row, find).await.map_err(|error| format!("{error:?}"))?.value;
        self.source.judge(row, self.source.last(row), found.as_deref(), Duration::MAX)?;
        // What is not in memory cannot be old there.
        if found.is_some() && cache.peek(&row).is_none() {
            return Err(format!("row {row}: {found:?} is not kept"));
        }
        Ok(())
    }

    /// Begins to load all rows, of which nothing is kept, and has read them when it comes back.
    pub(super) async fn load_late(&self) -> Late {
        let (begun, mut begins) = mpsc::channel(1);
        let (go, goes) = watch::channel(false);
        let mut asked = JoinSet::new();
        for row in 0..ROWS {
            let (cache, source) = (self.cache_of(0, row).clone(), Arc::clone(&self.source));
            let (begun, mut goes) = (begun.clone(), goes.clone());
            let find = move || async move {
                let seen = source.read(row);
                begun.send(()).await.unwrap();
                goes.wait_for(|go| *go).await.unwrap();
                Ok::<_, std::fmt::Error>(seen.map(|seen| loaded(row, seen)))
            };
            asked.spawn(async move { drop(cache.answer(&row, find).await) });
        }
        drop(begun);
        for _ in 0..ROWS {
            begins.recv().await.expect("each of them loads");
        }
        Late { go, asked }
    }
}

// === impl Late ===

impl Late {
    pub(super) async fn end(self) {
        self.go.send_replace(true);
        self.asked.join_all().await;
    }
}
