//! The connection that publishes.

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::redis::PubSub;

/// One connection, made when it is needed and again after each failure. Who calls paces the attempts.
pub(super) struct Connection {
    redis: PubSub,
    /// Held while one connects: the others wait for the same connection.
    current: Mutex<Current>,
    away: AtomicBool,
}

#[derive(Default)]
struct Current {
    /// Tells this connection from the one that failed a moment ago.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

/// Redis did not take it.
#[derive(Debug)]
pub(super) struct Away(RedisError);

// === impl Connection ===

impl Connection {
    pub(super) fn new(redis: PubSub) -> Self {
        Self { redis, current: Mutex::default(), away: AtomicBool::new(false) }
    }

    /// Publishes, and answers how many listeners Redis has sent it to.
    pub(super) async fn publish(&self, channel: &str, body: &[u8]) -> Result<u64, Away> {
        let name = &self.redis.config().name;
        match self.try_publish(channel, body).await {
            Ok(heard) => {
                if self.away.swap(false, Ordering::AcqRel) {
                    tracing::info!(redis = name, "Redis is back: events go out again");
                }
                Ok(heard)
            }
            Err(error) => {
                if !self.away.swap(true, Ordering::AcqRel) {
                    tracing::warn!(redis = name, %error, "Redis is away: events for it wait in their queue");
                }
                Err(Away(error))
            }
        }
    }

    async fn try_publish(&self, channel: &str, body: &[u8]) -> RedisResult<u64> {
        let (number, mut connection) = self.get().await?;
        let mut command = ::redis::cmd("PUBLISH");
        command.arg(channel).arg(body);
        let answer =
            timeout(self.redis.config().response_timeout, command.query_async(&mut connection)).await;
        let answer = answer.unwrap_or_else(|_| Err(silent()));
        if answer.is_err() {
            // A connection whose other end is gone without a word never ends by itself.
            let mut current = self.current.lock().await;
            if current.number == number {
                current.connection = None;
            }
        }
        answer
    }

    async fn get(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection {
            return Ok((current.number, connection.clone()));
        }
        let config = self.redis.config();
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.response_timeout));
        let connecting = self.redis.client().get_multiplexed_async_connection_with_config(&settings);
        let connection = timeout(config.connect_timeout, connecting).await.map_err(|_| silent())??;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }
}

// === impl Away ===

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis did not take the event")
    }
}

impl StdError for Away {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

pub(super) fn silent() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}
