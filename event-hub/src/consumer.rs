//! Running a handler over a subscription: the same for every broker.

pub(crate) mod attempts;
mod ended;
mod gate;
mod halt;
mod judge;
mod lanes;
mod moves;
mod settle;
mod worker;

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tower_service::Service;

use crate::config::{ConsumerConfig, HubConfig};
use crate::consumer::lanes::Job;
use crate::driver::Backend;
use crate::handler::received::Origin;
use crate::handler::{BoxError, Handler, Outcome, Panicked, Received};
use crate::telemetry::{ConsumerMetrics, ProcessSpans};
use crate::topology::DeadLetter;

#[allow(unreachable_pub, reason = "the harness shows it")]
pub use crate::consumer::ended::Ended;
pub(crate) use crate::consumer::gate::Gate;
pub(crate) use crate::consumer::halt::Halt;
pub(crate) use crate::consumer::moves::Moves;
pub(crate) use crate::consumer::worker::run;

/// What one consumer's deliveries have in common.
pub(crate) struct Consumer<P> {
    pub(crate) backend: Backend,
    pub(crate) hub: HubConfig,
    pub(crate) config: ConsumerConfig,
    pub(crate) name: String,
    pub(crate) process: P,
    pub(crate) failures: Failures,
    pub(crate) metrics: ConsumerMetrics,
    pub(crate) spans: ProcessSpans,
    pub(crate) origin: Arc<Origin>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) halt: Halt,
    /// Set before the stop of a drain; a consumer that is dropped has none.
    pub(crate) draining: AtomicBool,
}

/// What this consumer does with what fails.
#[derive(Clone, Debug)]
pub(crate) enum Failures {
    /// Again through the delay queues; given up, to the dead letters. Without any, again for ever.
    Move(Option<DeadLetter>),
    /// Again in place, which keeps the order; given up, dropped.
    Stay,
}

/// A handler or a service behind one face.
pub(crate) trait Process: Send + Sync + 'static {
    /// What is ready for one call.
    type Ready: Send;

    /// Waits until it can take a delivery.
    fn ready(&self) -> impl Future<Output = Result<Self::Ready, BoxError>> + Send;

    fn call(
        &self,
        ready: Self::Ready,
        received: Received,
    ) -> impl Future<Output = Result<Outcome, BoxError>> + Send;
}

pub(crate) struct Handled<H, M> {
    handler: H,
    marker: PhantomData<fn() -> M>,
}

/// The lock is for the clone that each call gets: a service need not be `Sync`.
pub(crate) struct Served<S>(Mutex<S>);

// === impl Consumer ===

impl<P> Consumer<P> {
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.hub.publish_timeout
    }

    /// How often an event is tried in all.
    pub(crate) fn max_attempts(&self) -> u32 {
        // Below the queue's own limit of 20, so that it is we who say why.
        self.config.retry.max_attempts.clamp(1, REDELIVERIES)
    }

    /// The delay before the next try.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        drawn(self.config.retry.first_delay, self.config.retry.max_delay, failures)
    }

    fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// What the handler gets of a job.
    fn received<'a>(&self, job: &'a mut Job) -> &'a mut Received {
        self.receive(job, &self.origin)
    }

    /// As [`Consumer::received`], with a copy of the origin of the caller's own.
    fn receive<'a>(&self, job: &'a mut Job, origin: &Arc<Origin>) -> &'a mut Received {
        let delivery = &job.delivery;
        job.received.get_or_insert_with(|| {
            Received::new(delivery.clone(), attempts::standing(delivery), Arc::clone(origin))
        })
    }

    /// Finds what must not pass it, and what it must not pass.
    fn find_key(&self, job: &mut Job) {
        let Some(order) = &self.config.order else { return };
        let received = self.received(job);
        job.key = catch_unwind(AssertUnwindSafe(|| order.key.of(received))).unwrap_or_else(|panic| {
            let error = Panicked::new(panic.as_ref());
            tracing::error!(consumer = self.name, %error, "no key found for an event");
            // Among themselves they keep their order.
            Some(String::new())
        });
    }
}

// === impl Handled ===

impl<H, M> Handled<H, M> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, marker: PhantomData }
    }
}

impl<H: Handler<M>, M: 'static> Process for Handled<H, M> {
    type Ready = ();

    async fn ready(&self) -> Result<(), BoxError> {
        Ok(())
    }

    fn call(&self, (): (), received: Received) -> impl Future<Output = Result<Outcome, BoxError>> + Send {
        self.handler.handle(received)
    }
}

// === impl Served ===

impl<S> Served<S> {
    pub(crate) fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }
}

impl<S> Process for Served<S>
where
    S: Service<Received, Response = Outcome, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    type Ready = S;

    async fn ready(&self) -> Result<S, BoxError> {
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What is made ready is what is called: a permit or a place belongs to this clone.
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
        Ok(service)
    }

    async fn call(&self, mut service: S, received: Received) -> Result<Outcome, BoxError> {
        service.call(received).await.map_err(Into::into)
    }
}

/// The `n`th pause in a row: full doubling, and the upper half of it drawn.
fn drawn(first: Duration, max: Duration, n: u32) -> Duration {
    let bound = first.saturating_mul(1 << n.saturating_sub(1).min(20)).min(max);
    bound.mul_f64(rand::random_range(0.5..=1.0))
}

/// How long what was given back, or could not be moved, keeps its place in the window: a pause, so that a
/// consumer that is alone with it does not spin.
const PAUSE: Duration = Duration::from_secs(1);

/// The last redelivery that a handler sees; the queue itself gives up at 20.
pub(crate) const REDELIVERIES: u32 = 19;
