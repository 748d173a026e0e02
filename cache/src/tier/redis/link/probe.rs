//! Finds out when Redis answers again, and tells it first what it missed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::redis::RedisResult;
use tokio::time::{sleep, timeout};

use crate::clock::millis;
use crate::tier::Ending;
use crate::tier::redis::connection::{Connection, silent};
use crate::tier::redis::link::failure::is_split;
use crate::tier::redis::link::{Link, all};

/// One attempt. Whatever becomes of it, the next one is possible.
pub(super) struct Probe {
    link: Arc<Link>,
    succeeded: bool,
}

/// So many words are told at once: some milliseconds of Redis's time, and of a slow line's what one answer may take.
pub(in crate::tier::redis) const WORDS: usize = 250;

/// The first question to a new connection may wait for what is behind it; the best of some is taken.
const SAMPLES: usize = 3;

// === impl Probe ===

impl Probe {
    pub(super) fn new(link: Arc<Link>) -> Self {
        Self { link, succeeded: false }
    }

    pub(super) async fn run(mut self) {
        let prefix = self.link.calls.names.prefix();
        match self.link.recover().await {
            Ok(()) => {
                self.succeeded = true;
                tracing::debug!(prefix, "Redis is there");
            }
            Err(error) => {
                self.link.metrics.tier_errors.add();
                if *self.link.tried.borrow() {
                    tracing::debug!(prefix, %error, "Redis is still away");
                } else {
                    // Never reached, it has not been lost either, of which others would warn.
                    tracing::warn!(prefix, %error, "Redis cannot be reached; going on without it");
                }
            }
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.succeeded {
            *self.link.lock() = None;
            self.link.gate.probe_failed();
        }
        self.link.publish();
        self.link.tried.send_replace(true);
    }
}

// === impl Link ===

impl Link {
    /// Makes Redis usable: connected, told everything that it missed, and with its time known.
    async fn recover(&self) -> RedisResult<()> {
        let held = self.lock().clone();
        let mut connection = match held {
            Some(connection) => connection,
            None => {
                let fresh = self.fresh().await?;
                self.outwait().await;
                fresh
            }
        };
        let mut placed = false;
        loop {
            let pending = self.gate.pending();
            for words in pending.chunks(WORDS) {
                self.tell(&mut connection, words).await?;
            }
            {
                let mut place = self.lock();
                if placed && place.is_none() {
                    // Someone who told by it found it lost.
                    return Err(silent());
                }
                *place = Some(connection.clone());
            }
            placed = true;
            if self.gate.open(&pending) {
                return Ok(());
            }
            // More came meanwhile. From here on whoever ends something tells it, or there may be no end.
            self.gate.admit();
        }
    }

    /// A new connection to a Redis that takes writes and knows the scripts.
    async fn fresh(&self) -> RedisResult<Connection> {
        let mut connection = self.server.connect().await?;
        let limit = self.config.response_timeout;
        let codes = self.calls.scripts.all().map(|script| script.code);
        timeout(limit, connection.send(&codes, &[])).await.map_err(|_| silent())??;
        self.time.doubt();
        for _ in 0..SAMPLES {
            timeout(limit, self.time_of(&mut connection)).await.map_err(|_| silent())??;
        }
        let count = [self.calls.marks(&[], 1)];
        timeout(limit, all(&mut connection, &count)).await.map_err(|_| silent())??.pop().transpose()?;
        Ok(connection)
    }

    async fn tell(&self, connection: &mut Connection, words: &[Ending]) -> RedisResult<()> {
        let calls: Vec<_> = words.iter().flat_map(|ending| self.calls.end(ending)).collect();
        let telling = all(connection, &calls);
        let answers = timeout(self.config.response_timeout, telling).await.map_err(|_| silent())??;
        match answers.into_iter().find_map(RedisResult::err) {
            None => Ok(()),
            Some(error) if is_split(&error) => self.tell_everything(connection).await,
            Some(error) => Err(error),
        }
    }

    /// In the place of what a cluster does not take as long as it moves the slot of the marks, or left it half moved:
    /// this one asks for the count alone.
    async fn tell_everything(&self, connection: &mut Connection) -> RedisResult<()> {
        let calls = self.calls.end(&Ending::All);
        let answers =
            timeout(self.config.response_timeout, all(connection, &calls)).await.map_err(|_| silent())??;
        answers.into_iter().collect::<RedisResult<Vec<_>>>()?;
        self.gate.told(Ending::All);
        tracing::warn!(
            prefix = self.calls.names.prefix(),
            "the cluster has a slot half moved, that of the marks; everything ended in the place of what it did not take"
        );
        Ok(())
    }

    /// How long one may take that tells so much.
    pub(super) fn attempt(&self, words: usize) -> Duration {
        // The scripts, the time, the count, what is on its way; a trip for so many words, and one for what came meanwhile.
        let trips = SAMPLES + 4 + words.div_ceil(WORDS);
        let trips = u32::try_from(trips).unwrap_or(u32::MAX);
        self.config.connect_timeout.saturating_add(self.config.response_timeout.saturating_mul(trips))
    }

    /// Waits until nothing that was sent over an earlier connection is written any more. That may take longer than its
    /// end: what was sent before is on its way.
    async fn outwait(&self) {
        let limit = millis(self.config.response_timeout).saturating_add(1);
        let left = self.written_until.load(Ordering::Acquire).saturating_sub(self.time.now());
        if left > 0 {
            // By the time of another Redis it may be any, and nothing is on its way to that one.
            sleep(Duration::from_millis(left.min(limit) + 1)).await;
        }
    }
}
