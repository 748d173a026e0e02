//! The loop of one consumer: so many handlers at once, and the drain.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::consumer::settle::settle;
use crate::consumer::{Consumer, Process};
use crate::driver::{Settlement, Subscription};

/// How long the subscription's owner may take to send the last acknowledgements and to leave.
const LEAVE: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, then drains.
///
/// ORDER: no new deliveries → handlers finish, their own publishes confirmed → their acknowledgements are
/// sent → the rest goes back → the channel is closed.
pub(crate) async fn run<P: Process>(
    consumer: Arc<Consumer<P>>,
    subscription: Subscription,
    shutdown: impl Future<Output = ()> + Send,
) {
    let Subscription { mut deliveries, settlements, stop, state, owner } = subscription;
    // Dropped with this future: the owner then gives everything back.
    let _stop = stop.clone().drop_guard();
    let mut shutdown = pin!(shutdown);
    let mut handlers = JoinSet::new();
    let concurrency = consumer.config.concurrency.max(1);
    loop {
        let delivery = tokio::select! {
            // ORDER: shutdown first, or a busy queue could keep us from ever seeing it.
            biased;
            () = &mut shutdown => break,
            Some(_) = handlers.join_next() => continue,
            delivery = deliveries.recv(), if handlers.len() < concurrency => match delivery {
                Some(delivery) => delivery,
                None => break,
            },
        };
        if delivery.token.generation != state.generation.load(Ordering::Acquire) {
            // The broker has it back already, and will deliver it again.
            continue;
        }
        let (consumer, settlements, stop) = (Arc::clone(&consumer), settlements.clone(), stop.clone());
        handlers.spawn(async move {
            consumer.metrics.in_flight.increment(1);
            let token = delivery.token;
            let in_flight = InFlight(&consumer.metrics.in_flight);
            let verdict = settle(&consumer, delivery, &stop).await;
            drop(in_flight);
            // An owner that is gone has given it back.
            let _ = settlements.send(Settlement { token, verdict }).await;
        });
    }
    stop.cancel();
    deliveries.close();
    {
        let finish = async { while handlers.join_next().await.is_some() {} };
        let mut finish = pin!(finish);
        tokio::select! {
            biased;
            () = &mut finish => {}
            () = sleep(consumer.config.drain_timeout) => {
                tracing::warn!(consumer = consumer.name, "handlers did not finish in time: their events go back");
            }
        }
    }
    handlers.shutdown().await;
    drop(settlements);
    drop(deliveries);
    if timeout(LEAVE, owner).await.is_err() {
        tracing::warn!(consumer = consumer.name, "the broker did not answer the leave in time");
    }
}

/// Counts down on every way out, aborts included.
struct InFlight<'a>(&'a metrics::Gauge);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
