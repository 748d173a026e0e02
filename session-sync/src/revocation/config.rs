//! How revocations behave.

use std::time::Duration;

use crate::clock::Clock;

/// How [`Revocations`](crate::revocation::Revocations) behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RevocationsConfig {
    /// How many entries are kept.
    ///
    /// When more are alive, all are dropped and every token issued until then counts as expired:
    /// clients renew, ended sessions cannot, so nothing revoked becomes good again.
    /// The default, 100,000, is about 20 MiB and 111 revocations a second for 15 minutes.
    pub capacity: usize,
    /// The longest life of an access token, with room for clocks.
    ///
    /// The default, 17 minutes, is 15 and the skew on both sides.
    pub token_life: Duration,
    /// What names begin with in Redis.
    pub prefix: String,
    /// How long Redis may take for a call.
    ///
    /// The default, 500 ms, is a thousand times a local round trip.
    pub redis_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
}

impl Default for RevocationsConfig {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            token_life: Duration::from_secs(17 * 60),
            prefix: "tramline:".to_owned(),
            redis_timeout: Duration::from_millis(500),
            clock: Clock::system(),
        }
    }
}
