//! Waits until everything that was accepted has come to its end, or nothing moves any more.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, interval, timeout};
use tramline_event_hub::Hub;

use crate::log::Log;
use crate::tally::Counts;
use crate::workers::Workers;
use crate::{bed, ledger};

pub(super) struct Drain<'a> {
    /// Straight to the broker, to ask for the depth of queues.
    hub: Hub,
    names: Vec<String>,
    pool: &'a PgPool,
    log: &'a Log,
    workers: &'a Workers,
}

/// What moves while there is something to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct State {
    counts: Counts,
    /// Messages that wait in queues.
    depth: u64,
    outbox: i64,
}

/// Everything is back, so that a publish takes milliseconds; a backed-off connection some seconds.
const PUBLISH_LIMIT: Duration = Duration::from_secs(120);

/// Longer than every pause of a relay, a retry or a reconnect here, and than a broker takes to be up again on a machine
/// that is busy.
const STUCK: Duration = Duration::from_secs(120);

/// A run of an hour leaves no more behind than one of a minute: publishers are held back.
const LIMIT: Duration = Duration::from_mins(5);

// === impl Drain ===

impl<'a> Drain<'a> {
    pub(super) fn new(
        url: &str,
        pool: &'a PgPool,
        log: &'a Log,
        workers: &'a Workers,
    ) -> anyhow::Result<Self> {
        let names = bed::topology().with_delays().queues.into_iter().map(|queue| queue.name).collect();
        Ok(Self { hub: bed::hub(url, "ledger")?, names, pool, log, workers })
    }

    /// What did not end, in words.
    pub(super) async fn run(&self) -> anyhow::Result<Vec<String>> {
        let mut troubles = Vec::new();
        let finished = self.log.finished(self.workers.publishers());
        if timeout(PUBLISH_LIMIT, finished).await.is_err() {
            troubles.push(format!("events not confirmed after {PUBLISH_LIMIT:?} without faults"));
        }
        let started = Instant::now();
        let mut moved = started;
        let mut last = None;
        let mut clock = interval(Duration::from_secs(1));
        loop {
            clock.tick().await;
            let state = self.state().await;
            let now = Instant::now();
            match &state {
                Ok(state) if last.replace(*state) != Some(*state) => moved = now,
                Ok(state) if state.depth == 0 && state.outbox == 0 && self.is_settled().await? => {
                    return Ok(troubles);
                }
                // One that does not answer in time is asked again: so far nothing has moved.
                _ => {}
            }
            if now - moved > STUCK || now - started > LIMIT {
                troubles.push(match state {
                    Ok(state) => {
                        format!("not drained: {} messages wait, {} rows", state.depth, state.outbox)
                    }
                    Err(error) => format!("not drained, as far as anybody knows: {error:#}"),
                });
                return Ok(troubles);
            }
        }
    }

    /// How many messages wait, in the delays too.
    pub(super) async fn depth(&self) -> anyhow::Result<u64> {
        let mut depth = 0;
        for name in &self.names {
            depth += self.hub.queue(name).await?.map_or(0, |queue| queue.messages);
        }
        Ok(depth)
    }

    pub(super) async fn close(self) {
        self.hub.shutdown().await;
    }

    async fn state(&self) -> anyhow::Result<State> {
        let outbox = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(self.pool).await?;
        Ok(State { counts: self.workers.counts(), depth: self.depth().await?, outbox })
    }

    async fn is_settled(&self) -> anyhow::Result<bool> {
        Ok(ledger::load(self.pool, self.log).await?.is_settled())
    }
}
