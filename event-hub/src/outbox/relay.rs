//! The life of a relay: load what waits, send it, write down what became of it.

mod flow;
mod walk;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep_until, timeout};

use crate::hub::Hub;
use crate::outbox::figures::Figures;
use crate::outbox::parts::PARTS;
use crate::outbox::relay::flow::Flow;
use crate::outbox::schema::timed_out;
use crate::outbox::shares::plan;
use crate::outbox::status::RelayMonitor;
use crate::outbox::store::{Session, Store, Wanted, now as now_micros};
use crate::outbox::waker::Signals;
use crate::outbox::{OutboxWaker, RelayConfig};

/// A relay over any database.
#[derive(Debug)]
pub(crate) struct Core<S> {
    store: S,
    flow: Flow,
    signals: Signals,
}

/// Why a session ended.
enum End {
    Drained,
    Lost(sqlx::Error),
}

// === impl Core ===

impl<S: Store> Core<S> {
    pub(crate) fn new(store: S, hub: Hub, config: RelayConfig, signals: Signals) -> Self {
        let config = config.checked();
        let figures = Figures::new(&config);
        Self { store, flow: Flow::new(hub, config, figures), signals }
    }

    pub(crate) fn waker(&self) -> OutboxWaker {
        self.signals.waker.clone()
    }

    pub(crate) fn monitor(&self) -> RelayMonitor {
        self.flow.figures.monitor()
    }

    pub(crate) async fn run(self, shutdown: impl Future<Output = ()> + Send) {
        let Self { mut store, mut flow, signals } = self;
        let mut shutdown = std::pin::pin!(shutdown);
        let mut failures = 0_u32;
        flow.figures.standby();
        loop {
            let opened = {
                // It may wait for the server as long as it may; answers are taken meanwhile.
                let mut open = std::pin::pin!(timeout(flow.config.store_timeout, store.open()));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut shutdown => return,
                        opened = &mut open => break opened.unwrap_or_else(|_| Err(timed_out())),
                        () = flow.answer() => {}
                    }
                }
            };
            let pause = match opened {
                Ok(Some(mut session)) => {
                    flow.figures.store_answered();
                    let started = Instant::now();
                    let end = serve(&mut flow, &mut session, &signals, shutdown.as_mut()).await;
                    drop(session);
                    flow.lose_all();
                    flow.tell();
                    match end {
                        End::Drained => return,
                        End::Lost(error) => {
                            // A session that did its work for a while starts the count anew.
                            failures =
                                if started.elapsed() > flow.config.max_pause { 1 } else { failures + 1 };
                            flow.figures.store_failed(&error, failures);
                            flow.config.delay(failures, flow.config.max_pause)
                        }
                    }
                }
                // A relay of an older version has the outbox to itself.
                Ok(None) => {
                    flow.figures.store_answered();
                    failures = 0;
                    flow.config.poll_interval.mul_f64(rand::random_range(0.5..=1.5))
                }
                Err(error) => {
                    failures += 1;
                    flow.figures.store_failed(&error, failures);
                    flow.config.delay(failures, flow.config.max_pause)
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

/// When a session does what next.
struct Plan {
    load: Instant,
    gauge: Instant,
    share: Instant,
    prune: Instant,
    /// Set once the end was asked for.
    deadline: Option<Instant>,
}

/// Works with one session until it fails, or until `shutdown` and everything that is out is answered.
async fn serve<S: Session, F: Future<Output = ()> + Send>(
    flow: &mut Flow,
    session: &mut S,
    signals: &Signals,
    mut shutdown: Pin<&mut F>,
) -> End {
    let start = Instant::now();
    let mut plan = Plan { load: start, gauge: start, share: start, prune: start, deadline: None };
    loop {
        let done = async {
            keep_house(flow, session, &mut plan).await?;
            // Also while there is always something to do: nothing new is taken once the end was asked for, were it
            // asked for a statement ago.
            look_for_end(flow, &mut plan, shutdown.as_mut());
            take_rows(flow, session, &mut plan).await?;
            look_for_end(flow, &mut plan, shutdown.as_mut());
            // ORDER: before the figures: they can wait, and must not be what keeps events from going out.
            flow.send();
            count(flow, session, &mut plan).await
        };
        if let Err(error) = done.await {
            if plan.deadline.is_some() {
                // INVARIANT: `shutdown` has completed and is not polled again. The rows are sent again.
                flow.figures.store_failed(&error, 1);
                return End::Drained;
            }
            return End::Lost(error);
        }
        flow.tell();
        if flow.has_changes() {
            continue;
        }
        if plan.deadline.is_some_and(|deadline| flow.out() == 0 || Instant::now() >= deadline) {
            return End::Drained;
        }
        let wake_at = plan.wake_at(flow);
        tokio::select! {
            // ORDER: shutdown first, or a busy outbox could keep us from ever seeing it.
            biased;
            () = &mut shutdown, if plan.deadline.is_none() => begin_end(flow, &mut plan),
            () = flow.answer() => {}
            () = signals.waker.notified(), if plan.deadline.is_none() => plan.load = Instant::now(),
            () = signals.shares.notified(), if plan.deadline.is_none() => plan.share = Instant::now(),
            () = sleep_until(wake_at) => {}
        }
    }
}

fn look_for_end<F: Future<Output = ()>>(flow: &mut Flow, plan: &mut Plan, shutdown: Pin<&mut F>) {
    if plan.deadline.is_none() && shutdown.now_or_never().is_some() {
        begin_end(flow, plan);
    }
}

fn begin_end(flow: &mut Flow, plan: &mut Plan) {
    let now = Instant::now();
    plan.deadline = Some(now + flow.config.drain_timeout);
    plan.share = now;
    flow.leave_all();
}

// === impl Plan ===

impl Plan {
    fn wake_at(&self, flow: &Flow) -> Instant {
        if let Some(deadline) = self.deadline {
            return deadline;
        }
        let rest = self.gauge.min(self.share).min(self.prune);
        let load = if flow.wants_rows() { self.load.min(flow.retry_at()) } else { rest };
        let others = [flow.paused_until(), flow.leave_by()].into_iter().flatten().min();
        load.min(rest).min(others.unwrap_or(rest))
    }
}

/// Writes down what was answered, and sees to the partitions.
async fn keep_house<S: Session>(
    flow: &mut Flow,
    session: &mut S,
    plan: &mut Plan,
) -> Result<(), sqlx::Error> {
    write_down(flow, session).await?;
    let now = Instant::now();
    if now >= plan.share && plan.deadline.is_some() {
        // ORDER: before it gives anything back, so that the others' shares are large enough to take it.
        plan.share = now + NEVER;
        flow.store(session.retire()).await?;
    } else if now >= plan.share {
        plan.share = now + flow.config.share_interval.mul_f64(rand::random_range(0.8..=1.2));
        if share(flow, session).await? {
            plan.load = now;
        }
    }
    let left = flow.left();
    if !left.is_empty() {
        flow.store(session.give(left)).await?;
        flow.gave(left);
    }
    Ok(())
}

/// Loads rows, where it is time and there is room.
async fn take_rows<S: Session>(flow: &mut Flow, session: &mut S, plan: &mut Plan) -> Result<(), sqlx::Error> {
    let now = Instant::now();
    if plan.deadline.is_some() {
        return Ok(());
    }
    if flow.lanes.ran_low() {
        plan.load = now;
    }
    if now >= plan.load.min(flow.retry_at()) && flow.wants_rows() {
        // More than fitted: look again as soon as there is room.
        let more = load(flow, session).await?;
        plan.load = if more { now } else { now + flow.config.poll_interval };
    }
    Ok(())
}

/// Counts, and removes what was kept long enough.
async fn count<S: Session>(flow: &mut Flow, session: &mut S, plan: &mut Plan) -> Result<(), sqlx::Error> {
    let now = Instant::now();
    if plan.deadline.is_some() {
        return Ok(());
    }
    // One of all tells and prunes: the one that has the first partition.
    let reports = flow.owns(0);
    if now >= plan.gauge {
        plan.gauge = now + flow.config.gauge_interval;
        let depth = flow.store(session.depth(flow.figures.counted())).await?;
        flow.figures.depth(depth, reports);
    }
    if now >= plan.prune {
        plan.prune = now + flow.config.gauge_interval;
        let keep = flow.config.keep_sent.unwrap_or_default();
        let before = now_micros().saturating_sub(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX));
        if reports && flow.store(session.prune(before, PRUNE_BATCH)).await? >= PRUNE_BATCH.unsigned_abs() {
            plan.prune = now;
        }
    }
    Ok(())
}

/// Takes the partitions that are free, up to the fair share, or begins to hand over what is more; true when it took.
async fn share<S: Session>(flow: &mut Flow, session: &mut S) -> Result<bool, sqlx::Error> {
    let view = flow.store(session.view()).await?;
    flow.relays(u32::try_from(view.others.len()).unwrap_or(u32::MAX).saturating_add(1));
    let plan = plan(&view, flow.sending(), rand::random_range(0..PARTS));
    if plan.give > 0 {
        flow.leave_some(plan.give);
    }
    if plan.take.is_empty() {
        return Ok(false);
    }
    let keep = flow.unsettled_rows();
    let taken = flow.store(session.take(plan.take, &keep)).await?;
    if taken.again > 0 {
        tracing::info!(outbox = flow.config.name, rows = taken.again, "sending again what was not settled");
    }
    flow.took(taken.parts);
    Ok(!taken.parts.is_empty())
}

/// Loads rows into the lanes; true when the table has more than was taken.
async fn load<S: Session>(flow: &mut Flow, session: &mut S) -> Result<bool, sqlx::Error> {
    let parts = flow.sending();
    let way = flow.walk.way(parts);
    let keyed = flow.room().div_ceil(2);
    let keyless = keyed.div_ceil(way.len().max(1));
    let (except, except_keys) = (flow.lanes.rows(), flow.lanes.full_keys());
    let bound = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    let want = Wanted {
        now: now_micros(),
        from: &way,
        except: &except,
        except_keys: &except_keys,
        lane: bound(flow.lanes.bound()),
        keyed: bound(keyed),
        keyless: bound(keyless),
    };
    let rows = flow.store(session.load(&want)).await?;
    flow.loaded();
    let more = flow.walk.went(&way, &rows, keyed);
    let more = more || rows.iter().filter(|row| row.key.is_none()).count() >= keyless;
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

/// A pause that never ends by itself: a day is past every other timer here.
const NEVER: Duration = Duration::from_secs(86_400);

/// How many kept rows one statement removes: a long one would hold up what is to be sent.
const PRUNE_BATCH: i64 = 1_000;
