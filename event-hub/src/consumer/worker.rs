//! The loop of one consumer: so many handlers at once, and the drain.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::consumer::lanes::{Job, Lanes};
use crate::consumer::settle::{Step, settle};
use crate::consumer::{Consumer, PAUSE, Process};
use crate::driver::{Settlement, Subscription, SubscriptionState, Verdict};
use crate::handler::Panicked;
use crate::message::Token;

/// How long the subscription's owner may take to send the last acknowledgements and to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// How long aborted handlers may take to be gone. One that blocks its thread takes no notice.
const ABORT: Duration = Duration::from_secs(1);

/// How many deliveries are taken over at once.
const BATCH: usize = 64;

/// What the workers of one run share.
struct Shared<P> {
    consumer: Arc<Consumer<P>>,
    lanes: Lanes,
    settlements: mpsc::Sender<Settlement>,
    state: Arc<SubscriptionState>,
    stop: CancellationToken,
}

/// Runs until `shutdown`, or until an ordered consumer halts, then drains. False when the subscription ended by itself.
///
/// A panic of the subscription's owner goes on here.
///
/// ORDER: no new deliveries → handlers finish, their own publishes confirmed → their acknowledgements are
/// sent → the rest goes back → the channel is closed.
pub(crate) async fn run<P: Process>(
    consumer: Arc<Consumer<P>>,
    subscription: Subscription,
    shutdown: impl Future<Output = ()> + Send,
) -> bool {
    let Subscription { mut deliveries, settlements, stop, state, mut owner } = subscription;
    let mut told = true;
    // Dropped with this future: the owner then gives everything back.
    let _stop = stop.clone().drop_guard();
    let mut shutdown = pin!(shutdown);
    let mut workers = JoinSet::new();
    let shared = Arc::new(Shared {
        lanes: Lanes::new(usize::from(consumer.config.prefetch).max(1)),
        consumer: Arc::clone(&consumer),
        settlements,
        state,
        stop: stop.clone(),
    });
    let mut batch = Vec::with_capacity(BATCH);
    'take: loop {
        tokio::select! {
            // ORDER: the end first, or a busy queue could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            () = consumer.halt.cancelled() => break,
            taken = deliveries.recv_many(&mut batch, BATCH) => if taken == 0 {
                told = false;
                break;
            },
        }
        let now = Instant::now();
        for delivery in batch.drain(..) {
            if delivery.token.generation != shared.generation() {
                // The broker has it back already, and will deliver it again.
                continue;
            }
            let line_up = shared.line_up(Job::new(delivery, now));
            tokio::select! {
                biased;
                () = &mut shutdown => break 'take,
                () = consumer.halt.cancelled() => break 'take,
                () = line_up => {}
            }
            // One more for each job, up to the bound: a worker that idles costs nothing.
            if workers.len() < consumer.config.concurrency {
                workers.spawn(work(Arc::clone(&shared)));
            }
        }
    }
    consumer.drain();
    stop.cancel();
    deliveries.close();
    {
        let finish = async { while workers.join_next().await.is_some() {} };
        let mut finish = pin!(finish);
        tokio::select! {
            biased;
            () = &mut finish => {}
            () = sleep(consumer.config.drain_timeout) => {
                tracing::warn!(consumer = consumer.name, "handlers did not finish in time: their events go back");
            }
        }
    }
    workers.abort_all();
    let aborted = async { while workers.join_next().await.is_some() {} };
    if timeout(ABORT, aborted).await.is_err() {
        tracing::error!(
            consumer = consumer.name,
            "a handler blocks its thread: its event goes back all the same"
        );
    }
    // The last sender of settlements: the owner leaves.
    drop(shared);
    drop(deliveries);
    match timeout(LEAVE, &mut owner).await {
        Ok(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Ok(_) => {}
        Err(_) => {
            tracing::warn!(consumer = consumer.name, "the broker did not answer the leave in time");
            // Its channel goes with it, and what is out goes back.
            owner.abort();
        }
    }
    told
}

/// Handles one job after the other until the stop.
async fn work<P: Process>(shared: Arc<Shared<P>>) {
    let mut own: Option<Job> = None;
    loop {
        let next = match own.take() {
            Some(job) => Some(job),
            None => shared.next().await,
        };
        let Some(mut job) = next else { return };
        if shared.is_over() {
            // Never begun: its owner gives it back.
            return;
        }
        own = match shared.handle(&mut job).await {
            Step::Later => shared.lanes.again(job),
            Step::Done(_) | Step::Stale => job.key.take().and_then(|key| shared.lanes.done(&key)),
            Step::Kept => return,
        };
    }
}

// === impl Shared ===

impl<P: Process> Shared<P> {
    fn generation(&self) -> u64 {
        self.state.generation.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.stop.is_cancelled() || self.consumer.halt.is_cancelled()
    }

    async fn line_up(&self, mut job: Job) {
        self.consumer.find_key(&mut job);
        self.lanes.push(job).await;
    }

    /// The next in line. None when there is none, and no more to come.
    async fn next(&self) -> Option<Job> {
        if let Some(job) = self.lanes.try_next() {
            return Some(job);
        }
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            job = self.lanes.next() => Some(job),
        }
    }

    /// Handles a job and sends its settlement, whatever happens.
    async fn handle(&self, job: &mut Job) -> Step {
        if job.generation() != self.generation() {
            return Step::Stale;
        }
        let mut unsettled = Unsettled { shared: self, token: job.delivery.token, open: true };
        let settle = AssertUnwindSafe(settle(&self.consumer, job, &self.state, &self.stop)).catch_unwind();
        let step = match settle.await {
            Ok(step) => step,
            Err(panic) => {
                // No handler's panic, which is a failure like any other, but one of what is around it.
                let error = Panicked::new(panic.as_ref());
                tracing::error!(consumer = self.consumer.name, %error, "event could not be settled");
                // A pause, so that it does not spin.
                let _ = self.stop.run_until_cancelled(sleep(PAUSE)).await;
                // Given back it would let the next of its key pass.
                if job.key.is_some() { Step::Later } else { Step::Done(Verdict::Fail) }
            }
        };
        unsettled.open = false;
        if let Step::Done(verdict) = step {
            let settlement = Settlement { token: job.delivery.token, verdict };
            // An owner that is gone has given it back.
            let _ = self.settlements.send(settlement).await;
        }
        step
    }
}

/// A delivery in a handler. When that is aborted, this says what has become of it.
struct Unsettled<'a, P> {
    shared: &'a Shared<P>,
    token: Token,
    open: bool,
}

impl<P> Drop for Unsettled<'_, P> {
    fn drop(&mut self) {
        // At a drain, and where order matters, it goes back with the others, uncounted and in its place. Otherwise
        // its consumer has gone without an answer, as in a crash, and that may be this very event's doing.
        if self.open && !self.shared.consumer.is_draining() && self.shared.consumer.config.order.is_none() {
            let settlement = Settlement { token: self.token, verdict: Verdict::Fail };
            // As much room as there are deliveries; without it the event goes back uncounted.
            let _ = self.shared.settlements.try_send(settlement);
        }
    }
}
