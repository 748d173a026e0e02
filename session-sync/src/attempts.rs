//! Attempts to sign in: so many failures per account and address, and no more.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Clock;

mod memory;
#[cfg(feature = "redis")]
mod redis;

/// Counts attempts. Clones share the counts.
///
/// An attempt counts as failed from its start; a success takes it back. So a burst of parallel
/// guesses gets no further than one after the other.
#[derive(Clone, Debug)]
pub struct Attempts {
    config: AttemptsConfig,
    memory: Arc<memory::Memory>,
    #[cfg(feature = "redis")]
    redis: Option<Arc<redis::Shared>>,
    refused: metrics::Counter,
}

/// How [`Attempts`] behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptsConfig {
    /// Failures per account and address.
    ///
    /// The default, 5, forgives a caps lock key and stops a list of passwords.
    pub per_account: u32,
    /// Failures per address, whatever the account.
    ///
    /// The default, 50, lets an office behind one address in and stops a list of accounts.
    pub per_address: u32,
    /// How long failures count, from the first of them.
    ///
    /// The default is 15 minutes.
    pub window: Duration,
    /// How many counters are kept in memory; when full, the one ending first makes room.
    ///
    /// The default, 100,000, is about 10 MiB.
    pub capacity: usize,
    /// What names begin with in Redis.
    pub prefix: String,
    /// How long Redis may take before memory decides instead.
    ///
    /// The default, 250 ms, is less than a password hash under load.
    pub redis_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
}

/// Too many failures.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too many failed attempts")]
#[non_exhaustive]
pub struct TooManyAttempts {
    /// When to try again.
    pub retry_after: Duration,
}

/// The two counters of an attempt. They name no account: hashes do.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    account: String,
    address: String,
}

// === impl Attempts ===

impl Attempts {
    /// Counts of this process alone.
    #[must_use]
    pub fn memory(config: AttemptsConfig) -> Self {
        Self {
            memory: Arc::new(memory::Memory::new(&config)),
            #[cfg(feature = "redis")]
            redis: None,
            refused: metrics::counter!("session_sync_attempts_refused_total"),
            config,
        }
    }

    /// Counts shared through Redis; while it is away each process counts for itself. For TLS see
    /// [`Revocations::redis`](crate::Revocations::redis).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when `url` does not parse.
    #[cfg(feature = "redis")]
    pub fn redis(url: &str, config: AttemptsConfig) -> Result<Self, crate::Error> {
        let shared = redis::Shared::connect(url, &config)?;
        let mut attempts = Self::memory(config);
        attempts.redis = Some(Arc::new(shared));
        Ok(attempts)
    }

    /// Begins an attempt, which counts as failed unless [`succeeded`](Self::succeeded) or
    /// [`withdraw`](Self::withdraw) says otherwise.
    ///
    /// # Errors
    ///
    /// [`TooManyAttempts`]: do not even look at the password.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the attempt may count.
    pub async fn begin(&self, account: &str, address: IpAddr) -> Result<(), TooManyAttempts> {
        let names = names(account, address);
        let outcome = self.count(&names).await;
        if outcome.is_err() {
            self.refused.increment(1);
        }
        outcome
    }

    /// The password was right: the account's failures from this address are forgotten.
    ///
    /// # Cancel safety
    ///
    /// Dropped, they may still count.
    pub async fn succeeded(&self, account: &str, address: IpAddr) {
        self.take_back(&names(account, address), true).await;
    }

    /// The attempt came to nothing through no fault of the caller, for example a database away.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it may still count.
    pub async fn withdraw(&self, account: &str, address: IpAddr) {
        self.take_back(&names(account, address), false).await;
    }

    async fn count(&self, names: &Names) -> Result<(), TooManyAttempts> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            match redis.count(names).await {
                Ok(outcome) => return outcome,
                Err(error) => fall_back(&error),
            }
        }
        std::future::ready(()).await;
        self.memory.count(names, self.config.clock.now())
    }

    async fn take_back(&self, names: &Names, all: bool) {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis
            && let Err(error) = redis.take_back(names, all).await
        {
            fall_back(&error);
        }
        std::future::ready(()).await;
        // In memory too: what was counted there while Redis was away must not outlive a success.
        self.memory.take_back(names, all);
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::memory(AttemptsConfig::default())
    }
}

// === impl AttemptsConfig ===

impl Default for AttemptsConfig {
    fn default() -> Self {
        Self {
            per_account: 5,
            per_address: 50,
            window: Duration::from_secs(15 * 60),
            capacity: 100_000,
            prefix: "tramline:".to_owned(),
            redis_timeout: Duration::from_millis(250),
            clock: Clock::system(),
        }
    }
}

#[cfg(feature = "redis")]
fn fall_back(error: &crate::Error) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "attempts are counted in memory");
}

fn names(account: &str, address: IpAddr) -> Names {
    // Who has one IPv6 address has its whole /64.
    let address = match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    };
    let folded = account.trim().to_lowercase();
    Names {
        account: hex::encode(Sha256::digest(format!("{folded}\n{address}"))),
        address: hex::encode(Sha256::digest(&address)),
    }
}

#[cfg(test)]
mod tests;
