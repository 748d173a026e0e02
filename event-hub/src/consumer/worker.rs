//! The loop of one consumer: so many handlers at once, and the drain.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::{JoinSet, coop};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::consumer::lanes::{Job, Lanes};
use crate::consumer::settle::{Step, settle};
use crate::consumer::{Consumer, PAUSE, Process};
use crate::driver::{Settlement, Subscription, SubscriptionState, Verdict};
use crate::handler::Panicked;
use crate::handler::received::Origin;
use crate::handover::{Line, Settlements};
use crate::message::{Delivery, Token};

/// How long the subscription's owner may take to send the last acknowledgements and to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// How long aborted handlers may take to be gone. One that blocks its thread takes no notice.
const ABORT: Duration = Duration::from_secs(1);

/// How many deliveries are lined up at once.
const BATCH: usize = 64;

/// A handler that takes so long has its settlement sent at once: what that costs is nothing beside it.
const LONG: Duration = Duration::from_millis(1);

/// What the workers of one run share.
struct Shared<P> {
    consumer: Arc<Consumer<P>>,
    deliveries: Line<Delivery>,
    /// Where order is kept: what may be handled.
    lanes: Option<Lanes>,
    settlements: Settlements,
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
    let Subscription { deliveries, settlements, stop, state, mut owner } = subscription;
    let mut told = true;
    // Dropped with this future: the owner then gives everything back.
    let _stop = stop.clone().drop_guard();
    let mut shutdown = pin!(shutdown);
    let mut workers = JoinSet::new();
    let ordered = consumer.config.order.is_some();
    let shared = Arc::new(Shared {
        lanes: ordered.then(|| Lanes::new(usize::from(consumer.config.prefetch))),
        consumer: Arc::clone(&consumer),
        deliveries: deliveries.clone(),
        settlements,
        state,
        stop: stop.clone(),
    });
    let mut batch = Vec::new();
    'take: loop {
        tokio::select! {
            // ORDER: the end first, or a busy queue could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            () = consumer.halt.cancelled() => break,
            // One more as long as there is work for it, up to the bound: a worker that idles costs nothing.
            () = shared.short() => {
                // What was asked for before there were enough is heard once more.
                if workers.len() < consumer.config.concurrency {
                    workers.spawn(work(Arc::clone(&shared)));
                }
                if workers.len() >= consumer.config.concurrency {
                    shared.enough();
                }
            }
            () = deliveries.closed() => {
                told = false;
                break;
            }
            _ = deliveries.pop_many(&mut batch, BATCH), if ordered => {}
        }
        for delivery in batch.drain(..) {
            tokio::select! {
                biased;
                () = &mut shutdown => break 'take,
                () = consumer.halt.cancelled() => break 'take,
                () = shared.line_up(delivery) => {}
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
    let mut work = pin!(shared.work());
    poll_fn(|cx| {
        let done = work.as_mut().poll(cx);
        // Whatever it waits for now, a handler or the next event: what is settled must not wait with it.
        shared.settlements.flush();
        done
    })
    .await;
}

// === impl Shared ===

impl<P: Process> Shared<P> {
    fn generation(&self) -> u64 {
        self.state.generation.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.consumer.is_draining() || self.consumer.halt.is_cancelled()
    }

    /// Waits until there is more to do than workers to do it.
    async fn short(&self) {
        match &self.lanes {
            Some(lanes) => lanes.heads().short().await,
            None => self.deliveries.short().await,
        }
    }

    /// There will be no more workers.
    fn enough(&self) {
        match &self.lanes {
            Some(lanes) => lanes.heads().enough(),
            None => self.deliveries.enough(),
        }
    }

    /// Where order is kept.
    async fn line_up(&self, delivery: Delivery) {
        if delivery.token.generation != self.generation() {
            // The broker has it back already, and will deliver it again.
            return;
        }
        let Some(lanes) = &self.lanes else { return };
        let mut job = Job::from(delivery);
        self.consumer.find_key(&mut job);
        lanes.push(job).await;
    }

    async fn work(&self) {
        // A worker's own: a count of references that all of them share would go from core to core with each event.
        let origin = Arc::new(Origin::clone(&self.consumer.origin));
        let mut own: Option<Job> = None;
        loop {
            // Handlers that never wait must not keep the thread for themselves.
            coop::consume_budget().await;
            let next = match own.take() {
                Some(job) => Some(job),
                None => self.next().await,
            };
            let Some(mut job) = next else { return };
            if self.is_over() {
                // Never begun: its owner gives it back.
                return;
            }
            self.consumer.receive(&mut job, &origin);
            let step = self.handle(&mut job).await;
            own = match (&self.lanes, step) {
                (_, Step::Kept) => return,
                (Some(lanes), Step::Later) => lanes.again(job),
                (Some(lanes), Step::Done(_) | Step::Stale) => job.key.and_then(|key| lanes.done(&key)),
                (None, Step::Done(_) | Step::Stale) => None,
                // Nobody stands back where there is no order.
                (None, Step::Later) => Some(job),
            };
        }
    }

    /// The next in line. None when there is none, and no more to come.
    async fn next(&self) -> Option<Job> {
        // Nearly always at once: then nothing need watch for the stop.
        let next = match &self.lanes {
            Some(lanes) => lanes.heads().try_pop(),
            None => self.deliveries.try_pop().map(Job::from),
        };
        if next.is_some() {
            return next;
        }
        let next = async {
            match &self.lanes {
                Some(lanes) => lanes.heads().pop().await,
                None => self.deliveries.pop().await.map(Job::from),
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            job = next => job,
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
            self.settlements.put(Settlement { token: job.delivery.token, verdict });
            if job.took >= LONG {
                self.settlements.flush();
            }
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
            self.shared.settlements.send(settlement);
        }
    }
}
