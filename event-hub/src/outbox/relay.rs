//! The life of a relay: load what waits, send it, write down what became of it.

mod flow;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout};

use crate::hub::Hub;
use crate::outbox::metrics::Metrics;
use crate::outbox::relay::flow::Flow;
use crate::outbox::store::{Session, Store, Wanted, now};
use crate::outbox::{OutboxWaker, RelayConfig};

/// A relay over any database.
#[derive(Debug)]
pub(crate) struct Core<S> {
    store: S,
    hub: Hub,
    config: RelayConfig,
    waker: OutboxWaker,
}

/// Why a session ended.
enum End {
    Drained,
    Lost(sqlx::Error),
}

// === impl Core ===

impl<S: Store> Core<S> {
    pub(crate) fn new(store: S, hub: Hub, config: RelayConfig, waker: OutboxWaker) -> Self {
        Self { store, hub, config, waker }
    }

    pub(crate) fn waker(&self) -> OutboxWaker {
        self.waker.clone()
    }

    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        let mut shutdown = std::pin::pin!(shutdown);
        let metrics = Metrics::new(&self.config.name);
        let mut flow = Flow::new(self.hub.clone(), self.config.clone(), metrics);
        let mut failures = 0_u32;
        flow.metrics.standby();
        loop {
            let open = timeout(self.config.store_timeout, self.store.open());
            let opened = tokio::select! {
                biased;
                () = &mut shutdown => return,
                opened = open => opened.unwrap_or_else(|_| Err(timed_out())),
            };
            let pause = match opened {
                Ok(Some(mut session)) => {
                    flow.metrics.active();
                    let started = Instant::now();
                    let end = serve(&mut flow, &mut session, &self.waker, shutdown.as_mut()).await;
                    drop(session);
                    flow.metrics.standby();
                    match end {
                        End::Drained => return,
                        End::Lost(error) => {
                            // A session that did its work for a while starts the count anew.
                            failures =
                                if started.elapsed() > self.config.max_pause { 1 } else { failures + 1 };
                            lost(&flow, &error, failures);
                            self.config.delay(failures, self.config.max_pause)
                        }
                    }
                }
                // Another relay is active.
                Ok(None) => {
                    failures = 0;
                    self.config.poll_interval.mul_f64(rand::random_range(0.5..=1.5))
                }
                Err(error) => {
                    failures += 1;
                    lost(&flow, &error, failures);
                    self.config.delay(failures, self.config.max_pause)
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => return,
                () = flow.progress_for(pause) => {}
            }
        }
    }
}

/// Works with one session until it fails, or until `shutdown` and everything that is out is answered.
async fn serve<S: Session, F: Future<Output = ()> + Send>(
    flow: &mut Flow,
    session: &mut S,
    waker: &OutboxWaker,
    mut shutdown: Pin<&mut F>,
) -> End {
    // Another relay may have worked meanwhile: what was loaded says nothing any more.
    flow.lanes.clear();
    let keep = flow.unsettled_rows();
    match flow.store(session.reset(&keep)).await {
        Ok(0) => {}
        Ok(rows) => tracing::info!(outbox = flow.config.name, rows, "sending again what was not settled"),
        Err(error) => return End::Lost(error),
    }
    let mut deadline = None;
    let mut next_load = Instant::now();
    let mut next_gauge = Instant::now();
    loop {
        if let Err(error) = write_down(flow, session).await {
            if deadline.is_some() {
                // INVARIANT: `shutdown` has completed and is not polled again. The rows are sent again.
                lost(flow, &error, 1);
                return End::Drained;
            }
            return End::Lost(error);
        }
        // Also while there is always something to do: nothing new is taken once the end was asked for.
        if deadline.is_none() && shutdown.as_mut().now_or_never().is_some() {
            deadline = Some(Instant::now() + flow.config.drain_timeout);
            flow.lanes.clear();
        }
        let now = Instant::now();
        match deadline {
            Some(deadline) if flow.out() == 0 || now >= deadline => return End::Drained,
            Some(_) => {}
            None => {
                if flow.lanes.ran_low() {
                    next_load = now;
                }
                if now >= next_load.min(flow.retry_at()) && flow.wants_rows() {
                    match load(flow, session).await {
                        // More than fitted: look again as soon as there is room.
                        Ok(true) => next_load = now,
                        Ok(false) => next_load = now + flow.config.poll_interval,
                        Err(error) => return End::Lost(error),
                    }
                }
                // ORDER: before the figures: they can wait, and must not be what keeps events from going out.
                flow.send();
                if now >= next_gauge {
                    match flow.store(session.depth()).await {
                        Ok(depth) => flow.metrics.depth(depth),
                        Err(error) => return End::Lost(error),
                    }
                    next_gauge = now + flow.config.gauge_interval;
                }
            }
        }
        if flow.has_changes() {
            continue;
        }
        let wake_at = match deadline {
            Some(deadline) => deadline,
            None => {
                let load_at = next_load.min(flow.retry_at());
                let load_at = if flow.wants_rows() { load_at } else { next_gauge };
                load_at.min(next_gauge).min(flow.paused_until().unwrap_or(next_gauge))
            }
        };
        tokio::select! {
            // ORDER: shutdown first, or a busy outbox could keep us from ever seeing it.
            biased;
            () = &mut shutdown, if deadline.is_none() => {
                deadline = Some(Instant::now() + flow.config.drain_timeout);
                flow.lanes.clear();
            }
            () = flow.answer() => {}
            () = waker.notified(), if deadline.is_none() => next_load = Instant::now(),
            () = sleep_until(wake_at) => {}
        }
    }
}

/// Loads rows into the lanes; true when the table has more than was taken.
async fn load<S: Session>(flow: &mut Flow, session: &mut S) -> Result<bool, sqlx::Error> {
    let limit = flow.room();
    let (except, except_keys) = (flow.lanes.rows(), flow.lanes.full_keys());
    let want = Wanted {
        now: now(),
        except: &except,
        except_keys: &except_keys,
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let rows = flow.store(session.load(&want)).await?;
    flow.loaded();
    let more = rows.len() >= limit;
    for row in rows {
        // What its lane has no room for stays in the table.
        flow.lanes.add(row);
    }
    Ok(more)
}

/// Writes the answers into the table, and lets the next rows of their keys go.
async fn write_down<S: Session>(flow: &mut Flow, session: &mut S) -> Result<(), sqlx::Error> {
    while flow.has_changes() {
        let changes = flow.take_changes();
        let written = flow.store(session.apply(&changes)).await;
        if let Err(error) = written {
            // They are written with the next session.
            flow.put_back(changes);
            return Err(error);
        }
        // ORDER: only now, or a crash could send an older event of a key after a newer one.
        flow.release(&changes);
    }
    Ok(())
}

fn lost(flow: &Flow, error: &sqlx::Error, failures: u32) {
    flow.metrics.store_error();
    if failures == 1 {
        tracing::warn!(outbox = flow.config.name, %error, "the outbox's database failed; trying again");
    } else {
        tracing::debug!(outbox = flow.config.name, %error, failures, "the outbox's database failed again");
    }
}

fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

/// A pause that never ends by itself: a day is past every other timer here.
const NEVER: Duration = Duration::from_secs(86_400);
