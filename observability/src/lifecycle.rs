//! Tasks with names, and a drain in order: first nobody is sent to us, then nobody is let in, then what is in
//! is finished, from the outside inwards, and last what was seen is flushed.

mod report;
mod signal;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

pub use crate::lifecycle::report::{DrainReport, PhaseReport, TaskEnd};
pub use crate::lifecycle::signal::shutdown_signal;

/// The tasks of a process, by the phase in which they stop. Clones are the same lifecycle.
#[derive(Clone)]
pub struct Lifecycle(Arc<Shared>);

/// When a task or hook has its turn in [`Lifecycle::drain`]. They stop in this order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Phase {
    /// Readiness goes off, so that balancers look elsewhere.
    Ready,
    /// Listeners close; requests under way are answered.
    Accept,
    /// Consumers stop taking messages and finish those they have.
    Consumers,
    /// Outbox relays send what is committed.
    Relays,
    /// Sockets are told to reconnect elsewhere.
    Sockets,
    /// Telemetry, caches and connections are flushed and closed.
    Flush,
}

struct Shared {
    state: Mutex<State>,
    /// Holds the first task that ended before it was told to; [`Lifecycle::ended_early`] waits on it.
    early: watch::Sender<Option<TaskEnd>>,
}

struct State {
    stops: HashMap<Phase, CancellationToken>,
    tasks: Vec<Task>,
    hooks: Vec<(Phase, &'static str, Hook)>,
}

struct Task {
    phase: Phase,
    name: &'static str,
    /// Closed when the task is over; the task holds the other half.
    over: watch::Receiver<()>,
    abort: AbortHandle,
}

type Hook = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

// === impl Lifecycle ===

impl Lifecycle {
    /// A lifecycle without tasks.
    #[must_use]
    pub fn new() -> Self {
        let stops = Phase::ALL.map(|phase| (phase, CancellationToken::new()));
        Self(Arc::new(Shared {
            state: Mutex::new(State { stops: stops.into(), tasks: Vec::new(), hooks: Vec::new() }),
            early: watch::channel(None).0,
        }))
    }

    /// Starts a task. When its phase comes, `stop` is cancelled, and the drain waits for the task to end.
    ///
    /// A task that ends before that, by itself or by a panic, is logged, and [`ended_early`](Self::ended_early)
    /// tells of it.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn spawn<F>(&self, phase: Phase, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stopping(phase);
        let future = std::panic::AssertUnwindSafe(task(stop.clone())).catch_unwind();
        let (alive, over) = watch::channel(());
        let shared = Arc::clone(&self.0);
        let handle = tokio::spawn(async move {
            let panicked = future.await.is_err();
            if panicked || !stop.is_cancelled() {
                tracing::error!(task = name, panicked, "a task ended before it was told to");
                let end = TaskEnd { name, panicked };
                shared.early.send_if_modified(|first| {
                    let is_first = first.is_none();
                    first.get_or_insert(end);
                    is_first
                });
            }
            drop(alive);
        });
        let mut state = self.lock();
        state.tasks.retain(|task| task.over.has_changed().is_ok());
        state.tasks.push(Task { phase, name, over, abort: handle.abort_handle() });
    }

    /// Adds something to do when `phase` comes, beside the end of its tasks.
    pub fn on<F>(&self, phase: Phase, name: &'static str, hook: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hook: Hook = Box::new(move || Box::pin(hook()));
        self.lock().hooks.push((phase, name, hook));
    }

    /// A token that is cancelled when `phase` comes: for what is not a task of its own.
    #[must_use]
    pub fn stopping(&self, phase: Phase) -> CancellationToken {
        self.lock().stops[&phase].clone()
    }

    /// Waits until a task ends that was not told to: a reason to end the process.
    ///
    /// # Cancel safety
    ///
    /// Safe: it tells the same first task again.
    pub async fn ended_early(&self) -> TaskEnd {
        let mut early = self.0.early.subscribe();
        loop {
            if let Some(end) = early.borrow_and_update().clone() {
                return end;
            }
            // The sender lives in `self`.
            let _ = early.changed().await;
        }
    }

    /// Goes through the phases, within `limit` in all.
    ///
    /// A phase may use what is left, save a tenth of `limit` for each later phase that has something to do. What
    /// is not over by then goes on beside the later phases, and is aborted at the end. A second call finds
    /// nothing to do.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the phases not reached do not begin; those begun go on.
    pub async fn drain(&self, limit: Duration) -> DrainReport {
        let begin = Instant::now();
        let end = begin + limit;
        let mut report = DrainReport::default();
        let mut late: Vec<Waiting> = Vec::new();
        for phase in Phase::ALL {
            let started = Instant::now();
            let waiting = self.begin(phase);
            let later = Phase::ALL.into_iter().filter(|&later| later > phase);
            let reserved: Duration = later.filter(|&later| self.has_work(later)).map(|_| limit / 10).sum();
            let until = end.checked_sub(reserved).unwrap_or(started).max(started);
            let unfinished = wait(waiting, until).await;
            report.phases.push(PhaseReport {
                phase,
                took: started.elapsed(),
                late: unfinished.iter().map(|waiting| waiting.name).collect(),
            });
            late.extend(unfinished);
        }
        for waiting in wait(late, end).await {
            waiting.abort.abort();
            tracing::warn!(name = waiting.name, "not over in time, aborted");
            report.aborted.push(waiting.name);
        }
        report.took = begin.elapsed();
        report
    }

    /// Cancels the phase's token, starts its hooks, and takes its tasks.
    fn begin(&self, phase: Phase) -> Vec<Waiting> {
        let mut state = self.lock();
        state.stops[&phase].cancel();
        let mut waiting = Vec::new();
        let (now, rest) = state.tasks.drain(..).partition(|task| task.phase == phase);
        state.tasks = rest;
        let now: Vec<Task> = now;
        waiting.extend(now.into_iter().map(|task| Waiting {
            name: task.name,
            over: task.over,
            abort: task.abort,
        }));
        let (now, rest) = state.hooks.drain(..).partition(|hook| hook.0 == phase);
        state.hooks = rest;
        drop(state);
        let now: Vec<(Phase, &'static str, Hook)> = now;
        for (_, name, hook) in now {
            let (alive, over) = watch::channel(());
            let future = hook();
            let handle = tokio::spawn(async move {
                future.await;
                drop(alive);
            });
            waiting.push(Waiting { name, over, abort: handle.abort_handle() });
        }
        waiting
    }

    fn has_work(&self, phase: Phase) -> bool {
        let state = self.lock();
        state.tasks.iter().any(|task| task.phase == phase) || state.hooks.iter().any(|hook| hook.0 == phase)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let tasks: Vec<_> = state.tasks.iter().map(|task| task.name).collect();
        f.debug_struct("Lifecycle").field("tasks", &tasks).finish()
    }
}

// === impl Phase ===

impl Phase {
    /// All phases in their order.
    pub const ALL: [Self; 6] =
        [Self::Ready, Self::Accept, Self::Consumers, Self::Relays, Self::Sockets, Self::Flush];
}

/// Something that the drain waits for.
struct Waiting {
    name: &'static str,
    over: watch::Receiver<()>,
    abort: AbortHandle,
}

/// Waits for all of them, until a moment; returns those that are not over.
async fn wait(waiting: Vec<Waiting>, until: Instant) -> Vec<Waiting> {
    let each = waiting.into_iter().map(|mut waiting| async move {
        // Nobody sends: `changed` ends, with an error, when the other half is gone, by a panic or abort too.
        let over = timeout_at(until, waiting.over.changed()).await.is_ok();
        (!over).then_some(waiting)
    });
    join_all(each).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
