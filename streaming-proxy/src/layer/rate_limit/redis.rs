//! Buckets in Redis, shared by all processes that use the same prefix and name.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use metrics::Counter;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{ConnectionAddr, Script};
use tokio::time::{Instant, timeout};

use crate::error::ProxyError;
use crate::layer::rate_limit::LimiterConfig;
use crate::layer::rate_limit::decision::Bucket;
use crate::layer::rate_limit::quota::Quota;

pub(crate) struct Redis {
    connection: ConnectionManager,
    script: Script,
    /// What keys begin with.
    prefix: String,
    timeout: Duration,
    pause: Duration,
    /// Redis is not asked before then.
    away_until: Mutex<Option<Instant>>,
    failed: Counter,
}

/// GCRA in one step, by Redis's clock: `{1, left}` or `{0, microseconds to wait}`.
///
/// Microseconds of a year times the largest number fit the 53 bits of Lua's numbers for every quota whose window is
/// a year or less; the key lives no longer than its bucket takes to fill.
const GCRA: &str = r"
local interval = tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local wait = full + interval - interval * burst - now
-- Half a microsecond: sums of fractions must not refuse what is due.
if wait > 0.5 then return {0, math.ceil(wait)} end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.3f', full), 'PX', math.max(1, math.ceil((full - now) / 1000)))
return {1, math.floor((now - full) / interval + burst + 0.001)}
";

// === impl Redis ===

impl Redis {
    pub(crate) fn new(url: &str, name: &str, config: &LimiterConfig) -> Result<Self, ProxyError> {
        let wrong = |cause: redis::RedisError| ProxyError::config("the Redis URL").with(cause);
        let client = redis::Client::open(url).map_err(wrong)?;
        if matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. }) {
            provide();
        }
        let manager = ConnectionManagerConfig::new()
            // One try at a time: the pause of the limiter decides when the next is.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(config.redis_timeout.max(Duration::from_millis(1))));
        let connection = ConnectionManager::new_lazy_with_config(client, manager).map_err(wrong)?;
        Ok(Self {
            connection,
            script: Script::new(GCRA),
            prefix: format!("{}:{name}:", config.prefix),
            timeout: config.redis_timeout,
            pause: config.redis_pause,
            away_until: Mutex::new(None),
            failed: metrics::counter!("streaming_proxy.rate_limit.redis_failures", "limit" => name.to_owned()),
        })
    }

    /// Takes one from `key`'s bucket; `None` while Redis is away.
    pub(crate) async fn take(&self, key: &str, quota: Quota) -> Option<Bucket> {
        if self.is_away() {
            return None;
        }
        let interval = quota.interval().as_nanos();
        // Three digits after the point are the nanoseconds.
        let interval = format!("{}.{:03}", interval / 1000, interval % 1000);
        let mut connection = self.connection.clone();
        let mut call = self.script.key(format!("{}{key}", self.prefix));
        call.arg(interval).arg(quota.limit());
        let result = timeout(self.timeout, call.invoke_async::<(u8, u64)>(&mut connection)).await;
        match result {
            Ok(Ok((1, left))) => Some(Bucket::Left(u32::try_from(left).unwrap_or(u32::MAX))),
            Ok(Ok((_, wait))) => Some(Bucket::Empty(Duration::from_micros(wait))),
            Ok(Err(error)) => self.step_back(&error),
            Err(elapsed) => self.step_back(&elapsed),
        }
    }

    /// How long it is not asked after a failure.
    pub(crate) fn pause(&self) -> Duration {
        self.pause
    }

    fn is_away(&self) -> bool {
        self.lock().is_some_and(|until| until > Instant::now())
    }

    fn step_back(&self, error: &(dyn std::error::Error + 'static)) -> Option<Bucket> {
        self.failed.increment(1);
        tracing::debug!(error, "Redis is away: limits are decided without it");
        *self.lock() = Some(Instant::now() + self.pause);
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver speaks TLS by the process's provider, which rustls cannot choose where a build has two: then it panics.
fn provide() {
    // An error: the application has chosen.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An application with two providers of TLS in its build has chosen none by that, and rustls would panic.
    #[tokio::test]
    async fn whoever_asks_for_tls_has_a_provider() {
        Redis::new("rediss://127.0.0.1:1", "a", &LimiterConfig::default()).unwrap();
        assert!(rustls::crypto::CryptoProvider::get_default().is_some());
    }
}
