//! What Redis is told, and what it has yet to hear.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::redis::{RedisResult, Value};
use tokio::time::timeout;

use crate::tier::redis::call::Call;
use crate::tier::redis::link::probe::Probe;
use crate::tier::redis::link::{Failure, Link};
use crate::tier::{Ending, Untold};

impl Link {
    /// Tells of what ended. That is possible a moment before anything may be asked.
    pub(in crate::tier::redis) async fn tell_all(
        self: &Arc<Self>,
        calls: &[Call<'_>],
    ) -> Result<Vec<RedisResult<Value>>, Failure> {
        let mut connection = self.connected().await;
        if connection.is_none() && self.gate.admits() {
            connection = self.lock().clone();
        }
        self.run_all_by(connection, calls).await
    }

    /// Redis has to be told this before it is asked again.
    pub(in crate::tier::redis) fn remember(&self, ending: Ending) {
        self.gate.remember(ending);
        self.publish();
        if self.left.load(Ordering::Acquire) {
            let (prefix, Untold { endings, .. }) = (self.calls.names.prefix(), self.gate.untold());
            tracing::warn!(
                prefix,
                endings,
                "what ended after the store did is not told: other processes answer it until its life is over"
            );
        }
    }

    /// The store runs: what cannot be told is told later.
    pub(in crate::tier::redis) fn begin(&self) {
        self.left.store(false, Ordering::Release);
    }

    /// Tells what Redis has yet to be told by one more attempt, whatever the pause says: there is no later. One that
    /// runs is waited for before, and both for as long as two may take.
    pub(in crate::tier::redis) async fn tell_rest(self: &Arc<Self>) {
        let mut over = self.tried.subscribe();
        let trying = async {
            while self.gate.untold().words() > 0 {
                self.gate.hurry();
                if self.gate.begin_probe() {
                    return Probe::new(self.clone()).run().await;
                }
                // Each attempt says when it is over, and one that nobody sees here has told everything.
                if over.changed().await.is_err() {
                    return;
                }
            }
        };
        let limit = self.attempt(self.gate.untold().words()).saturating_mul(2);
        let _ = timeout(limit, trying).await;
        self.left.store(true, Ordering::Release);
    }

    pub(super) fn publish(&self) {
        self.metrics.pending.set(self.gate.untold().words() as u64);
    }
}
