//! Revocations in Redis: one sorted set by the tokens' end.

use std::time::Duration;

use ::redis::ConnectionAddr;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use jiff::Timestamp;

use crate::clock::between;
use crate::error::{Error, ErrorKind};
use crate::revocation::{RevocationEntry, RevocationsConfig};

pub(crate) struct Shared {
    conn: ConnectionManager,
    key: String,
    config: RevocationsConfig,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn connect(url: &str, config: &RevocationsConfig) -> Result<Self, Error> {
        Ok(Self {
            conn: connect(url, config.redis_timeout)?,
            key: format!("{}revocations", config.prefix),
            config: config.clone(),
        })
    }

    pub(crate) async fn add(&self, entry: &RevocationEntry) -> Result<(), Error> {
        let now = self.config.clock.now();
        let life = between(now, entry.until).min(self.config.token_life);
        if life.is_zero() {
            return Ok(());
        }
        let body = serde_json::to_string(entry).map_err(away)?;
        let mut pipe = ::redis::pipe();
        pipe.atomic()
            .cmd("ZADD")
            .arg(&self.key)
            .arg(now.as_millisecond() + millis(life))
            .arg(body)
            .ignore()
            // Members whose tokens have ended go with each addition; the whole with the last one.
            .cmd("ZREMRANGEBYSCORE")
            .arg(&self.key)
            .arg("-inf")
            .arg(now.as_millisecond())
            .ignore()
            .cmd("PEXPIRE")
            .arg(&self.key)
            .arg(millis(self.config.token_life))
            .ignore();
        let mut conn = self.conn.clone();
        within(self.config.redis_timeout, pipe.query_async::<()>(&mut conn)).await
    }

    pub(crate) async fn all(&self, now: Timestamp) -> Result<Vec<RevocationEntry>, Error> {
        let mut command = ::redis::cmd("ZREVRANGEBYSCORE");
        command
            .arg(&self.key)
            .arg("+inf")
            .arg(now.as_millisecond())
            .arg("LIMIT")
            .arg(0)
            // One more than fits: the memory then knows that it cannot keep all.
            .arg(self.config.capacity.saturating_add(1));
        let mut conn = self.conn.clone();
        let bodies: Vec<String> = within(LOAD_TIMEOUT, command.query_async(&mut conn)).await?;
        let entries = bodies.iter().filter_map(|body| {
            serde_json::from_str(body)
                .inspect_err(|error| tracing::warn!(%error, "a revocation in Redis is unreadable"))
                .ok()
        });
        Ok(entries.collect())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// Connects in the background; only an address that does not parse is an error.
pub(crate) fn connect(url: &str, timeout: Duration) -> Result<ConnectionManager, Error> {
    let client = ::redis::Client::open(url).map_err(away)?;
    if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
        provide();
    }
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(timeout))
        .set_response_timeout(Some(LOAD_TIMEOUT))
        // One try a call: the caller has a fallback and does not wait for a second.
        .set_number_of_retries(1)
        .set_max_delay(Duration::from_secs(1));
    ConnectionManager::new_lazy_with_config(client, config).map_err(away)
}

/// The driver speaks TLS by the process's provider, which rustls cannot choose where a build has two: then it panics.
fn provide() {
    // An error: the application has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Waits for Redis so long and no longer.
pub(crate) async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = ::redis::RedisResult<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(away(error)),
        Err(late) => Err(away(late)),
    }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn away(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with(ErrorKind::Unavailable, error)
}

/// 100,000 entries are 20 MB: a few hundred milliseconds from a busy Redis.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
