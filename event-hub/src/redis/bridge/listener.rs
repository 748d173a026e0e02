//! The subscription: held for as long as the bridge runs.

use std::time::Duration;

use ::redis::aio::PubSubSink;
use ::redis::aio::PubSubStream;
use ::redis::{Msg, RedisResult};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::redis::PubSub;
use crate::redis::bridge::buffer::{Message, Sender};
use crate::redis::bridge::copies::Copies;
use crate::redis::bridge::status::{End, Figures};
use crate::redis::config::BridgeConfig;
use crate::redis::connection::silent;

pub(super) struct Listener {
    redis: PubSub,
    config: BridgeConfig,
    buffer: Sender,
    figures: Figures,
    /// Since when nothing is heard, once something was.
    deaf: Option<Instant>,
    backoff: Backoff,
}

/// How often the connection is asked whether it lives: half of what an outage without a word may cost in silence.
const PING: Duration = Duration::from_secs(1);

// === impl Listener ===

impl Listener {
    pub(super) fn new(redis: PubSub, config: BridgeConfig, buffer: Sender, figures: Figures) -> Self {
        let backoff = Backoff::new(redis.config().backoff_first, redis.config().backoff_max);
        Self { redis, config, buffer, figures, deaf: None, backoff }
    }

    /// Listens until the stop, and subscribes again whenever that ends.
    pub(super) async fn run(mut self, stop: &CancellationToken) {
        loop {
            let ended = self.listen(stop).await;
            let was_attached = self.figures.detached();
            if stop.is_cancelled() {
                return;
            }
            let why = match ended {
                Ok(()) => "the connection ended".to_owned(),
                Err(error) => error.to_string(),
            };
            let pause = self.backoff.next();
            let redis = &self.redis.config().name;
            self.figures.failed(&why);
            if was_attached {
                self.deaf = Some(Instant::now());
                self.figures.gap();
                tracing::error!(
                    redis,
                    why,
                    ?pause,
                    "the subscription is lost: what is published now is missed"
                );
            } else {
                tracing::warn!(redis, why, ?pause, "no subscription at Redis");
            }
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    async fn listen(&mut self, stop: &CancellationToken) -> RedisResult<()> {
        let config = self.redis.config();
        let subscribe = timeout(config.connect_timeout, self.subscribe());
        let Some(subscribed) = stop.run_until_cancelled(subscribe).await else { return Ok(()) };
        let (mut sink, mut messages) = subscribed.map_err(|_| silent())??;
        self.attached();
        // A connection of its own: what one brought says nothing about the next.
        let mut copies = Copies::default();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let patience = self.redis.config().response_timeout;
        loop {
            tokio::select! {
                // ORDER: the end first, or a busy channel could keep us from ever seeing it.
                biased;
                () = stop.cancelled() => break,
                message = messages.next() => match message {
                    Some(message) => self.take(&message, &mut copies),
                    None => return Ok(()),
                },
                _ = pings.tick() => {
                    timeout(patience, sink.ping::<::redis::Value>()).await.map_err(|_| silent())??;
                }
            }
        }
        self.leave(&mut sink, &mut messages, &mut copies).await
    }

    async fn subscribe(&self) -> RedisResult<(PubSubSink, PubSubStream)> {
        let mut feed = self.redis.client().get_async_pubsub().await?;
        if !self.config.channels.is_empty() {
            feed.subscribe(&self.config.channels).await?;
        }
        if !self.config.patterns.is_empty() {
            feed.psubscribe(&self.config.patterns).await?;
        }
        Ok(feed.split())
    }

    fn attached(&mut self) {
        let redis = &self.redis.config().name;
        match self.deaf.take() {
            Some(since) => {
                let missed = since.elapsed();
                tracing::warn!(redis, ?missed, "subscribed again: what was published meanwhile is missed");
            }
            None => tracing::info!(redis, "subscribed"),
        }
        self.backoff.reset();
        self.figures.attached();
    }

    /// Takes what Redis has sent before it knew that we leave.
    async fn leave(
        &mut self,
        sink: &mut PubSubSink,
        messages: &mut PubSubStream,
        copies: &mut Copies,
    ) -> RedisResult<()> {
        let unsubscribe = async {
            if !self.config.channels.is_empty() {
                sink.unsubscribe(&self.config.channels).await?;
            }
            if !self.config.patterns.is_empty() {
                sink.punsubscribe(&self.config.patterns).await?;
            }
            RedisResult::Ok(())
        };
        let left = timeout(self.redis.config().response_timeout, unsubscribe).await;
        while let Some(Some(message)) = messages.next().now_or_never() {
            self.take(&message, copies);
        }
        left.unwrap_or_else(|_| Err(silent()))
    }

    fn take(&mut self, message: &Msg, copies: &mut Copies) {
        let read = || RedisResult::Ok((message.get_channel()?, message.get_pattern()?));
        let (channel, pattern) = match read() {
            Ok(names) => names,
            Err(error) => {
                tracing::error!(%error, "a message on a channel whose name is no text: refused");
                self.figures.came();
                return self.figures.ended(End::Malformed, 1);
            }
        };
        let message = Message { channel, pattern, body: Bytes::copy_from_slice(message.get_payload_bytes()) };
        if !copies.has(&message) {
            self.buffer.put(message);
        }
    }
}
