//! What other processes invalidate.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::redis::{ErrorKind, RedisError, RedisResult};
use futures_util::StreamExt;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::tier::redis::{Invalidation, Redis};

/// How often the feed's connection is asked whether it lives. A second is what a cut may cost in age beside
/// [`detached_age`](crate::CacheConfig::detached_age).
const PING: Duration = Duration::from_secs(1);

impl Redis {
    /// Hears the feed until `shutdown`. `hear` gets what others invalidate, and everything at each beginning,
    /// since something may have been missed.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        hear: impl Fn(Invalidation) + Send + Sync,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let listening = async {
            let mut failures = 0_u32;
            loop {
                let error = match self.listen_once(&hear).await {
                    Ok(()) => "ended".to_owned(),
                    Err(error) => error.to_string(),
                };
                if self.attached.swap(false, Ordering::AcqRel) {
                    failures = 0;
                    self.metrics.attached.set(0);
                    tracing::warn!(cache = self.config.name, error, "invalidations are not heard for now");
                }
                failures = failures.saturating_add(1);
                let bound = (PING / 20).saturating_mul(1 << failures.min(16)).min(self.config.max_pause);
                // Someone has to look after Redis when nobody asks it: there may be something to tell.
                self.usable();
                sleep(bound.mul_f64(rand::random_range(0.5..=1.0))).await;
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            () = listening => {}
        }
        self.attached.store(false, Ordering::Release);
        self.metrics.attached.set(0);
    }

    async fn listen_once(self: &Arc<Self>, hear: &(impl Fn(Invalidation) + Sync)) -> RedisResult<()> {
        let connect = async {
            let mut feed = self.client.get_async_pubsub().await?;
            feed.subscribe(self.channel()).await?;
            RedisResult::Ok(feed)
        };
        let feed = timeout(self.config.connect_timeout, connect).await.map_err(|_| silent())??;
        let (mut sink, mut messages) = feed.split();
        // ORDER: subscribed first, then forget, then trust: nothing can fall in between.
        hear(Invalidation::All);
        self.attached.store(true, Ordering::Release);
        self.metrics.attached.set(1);
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let text = String::from_utf8_lossy(message.get_payload_bytes());
                    match Invalidation::from_message(&text) {
                        // Done already, before and after it was sent.
                        Some((node, _)) if node == self.node => {}
                        Some((_, invalidation)) => hear(invalidation),
                        None => tracing::warn!(cache = self.config.name, "a message on the feed that says nothing known"),
                    }
                }
                _ = pings.tick() => {
                    timeout(PING, sink.ping::<::redis::Value>()).await.map_err(|_| silent())??;
                    self.usable();
                }
            }
        }
    }
}

fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
