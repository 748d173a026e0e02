//! Attempts counted in Redis, by one script an attempt.

use std::time::Duration;

use ::redis::Script;
use ::redis::aio::ConnectionManager;

use crate::attempts::{AttemptsConfig, Names, TooManyAttempts};
use crate::error::Error;
use crate::revocation::redis::{connect, millis, within};

pub(crate) struct Shared {
    conn: ConnectionManager,
    config: AttemptsConfig,
    count: Script,
    take_back: Script,
}

// === impl Shared ===

impl Shared {
    pub(crate) fn connect(url: &str, config: &AttemptsConfig) -> Result<Self, Error> {
        Ok(Self {
            conn: connect(url, config.redis_timeout)?,
            config: config.clone(),
            count: Script::new(COUNT),
            take_back: Script::new(TAKE_BACK),
        })
    }

    pub(crate) async fn count(&self, names: &Names) -> Result<Result<(), TooManyAttempts>, Error> {
        let mut call = self.keyed(&self.count, names);
        call.arg(self.config.per_account).arg(self.config.per_address).arg(millis(self.config.window));
        let mut conn = self.conn.clone();
        let wait: i64 = within(self.config.redis_timeout, call.invoke_async(&mut conn)).await?;
        Ok(match u64::try_from(wait) {
            Ok(0) | Err(_) => Ok(()),
            Ok(wait) => Err(TooManyAttempts { retry_after: Duration::from_millis(wait) }),
        })
    }

    pub(crate) async fn take_back(&self, names: &Names, all: bool) -> Result<(), Error> {
        let mut call = self.keyed(&self.take_back, names);
        call.arg(i64::from(all));
        let mut conn = self.conn.clone();
        within(self.config.redis_timeout, call.invoke_async::<()>(&mut conn)).await
    }

    fn keyed<'a>(&self, script: &'a Script, names: &Names) -> ::redis::ScriptInvocation<'a> {
        // The address's tag keeps both keys in one slot of a cluster.
        let tag = format!("{}attempts:{{{}}}", self.config.prefix, names.address);
        let mut call = script.prepare_invoke();
        call.key(format!("{tag}:{}", names.account)).key(tag);
        call
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// Returns 0 when the attempt may go on, else how many milliseconds to wait.
const COUNT: &str = "
for i = 1, 2 do
  if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[i]) then
    return math.max(redis.call('PTTL', KEYS[i]), 1)
  end
end
for i = 1, 2 do
  if redis.call('INCR', KEYS[i]) == 1 then
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
  end
end
return 0";

/// Never makes a counter, which would have no end, and never one below nothing.
const TAKE_BACK: &str = "
if ARGV[1] == '1' then
  redis.call('DEL', KEYS[1])
elseif tonumber(redis.call('GET', KEYS[1]) or '0') > 0 then
  redis.call('DECR', KEYS[1])
end
if tonumber(redis.call('GET', KEYS[2]) or '0') > 0 then
  redis.call('DECR', KEYS[2])
end";
